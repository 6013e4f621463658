use rayline::prelude::*;

#[task]
fn f(name: &str) -> usize {
    name.len()
}

fn main() {}

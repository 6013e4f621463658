use rayline::prelude::*;

#[task]
fn f<'a>(x: &'a String) -> usize {
    x.len()
}

fn main() {}

use rayline::prelude::*;

#[task]
fn f(x: &String) -> &String {
    x
}

fn main() {}

use rayline::prelude::*;

#[task(name = 7)]
fn f(x: i64) -> i64 {
    x
}

fn main() {}

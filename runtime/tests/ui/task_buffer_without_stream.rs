use rayline::prelude::*;

#[task(buffer = 8)]
fn f(x: i64) -> i64 {
    x
}

fn main() {}

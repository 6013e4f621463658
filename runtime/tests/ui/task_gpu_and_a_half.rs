use rayline::prelude::*;

#[task(gpu = 1.5)]
fn f(x: i64) -> i64 {
    x
}

fn main() {}

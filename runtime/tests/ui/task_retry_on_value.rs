use rayline::prelude::*;

#[task(retry_on = any)]
fn f(x: i64) -> i64 {
    x
}

fn main() {}

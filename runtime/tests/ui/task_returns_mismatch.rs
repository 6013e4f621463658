use rayline::prelude::*;

#[task(returns = 3)]
fn f(x: i64) -> (i64, i64) {
    (x, x)
}

fn main() {}

use rayline::prelude::*;

pub struct Diverged;

#[task(retry_on(Diverged))]
fn f(x: i64) -> i64 {
    x
}

fn main() {}

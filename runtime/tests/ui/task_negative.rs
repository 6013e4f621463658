use rayline::prelude::*;

#[task(cpu = -1)]
fn f(x: i64) -> i64 {
    x
}

fn main() {}

use rayline::prelude::*;

#[task(cpu = 2, cpu = 3)]
fn f(x: i64) -> i64 {
    x
}

fn main() {}

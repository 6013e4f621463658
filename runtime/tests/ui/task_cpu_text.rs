use rayline::prelude::*;

#[task(cpu = "two")]
fn f(x: i64) -> i64 {
    x
}

fn main() {}

use rayline::prelude::*;

#[task(isolated)]
fn f(x: i64) -> i64 {
    x
}

fn main() {}

use rayline::prelude::*;

#[task(retries = "often")]
fn f(x: i64) -> i64 {
    x
}

fn main() {}

use rayline::prelude::*;

#[task(memory = "2 gigs")]
fn f(x: i64) -> i64 {
    x
}

fn main() {}

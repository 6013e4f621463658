use rayline::prelude::*;

#[task]
fn f(_: i64) -> i64 {
    1
}

fn main() {}

use rayline::prelude::*;

#[task]
fn f(x: i64) -> i64 {
    x
}

rayline::instantiate!(f);

fn main() {}

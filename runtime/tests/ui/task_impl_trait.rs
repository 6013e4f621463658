use rayline::prelude::*;

#[task]
fn f(x: i64) -> impl std::fmt::Debug {
    x
}

fn main() {}

use rayline::prelude::*;

#[task]
fn f(values: impl Iterator<Item = i64>) -> i64 {
    values.sum()
}

fn main() {}

use rayline::prelude::*;

#[task(isolated)]
fn count(to: i64) -> impl Iterator<Item = i64> + Send {
    0..to
}

#[task(isolated = true)]
fn valued() {}

fn main() {}

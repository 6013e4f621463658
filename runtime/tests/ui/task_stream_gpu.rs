use rayline::prelude::*;

#[task(gpu = 1)]
fn f(n: u64) -> impl Iterator<Item = u64> + Send {
    0..n
}

fn main() {}

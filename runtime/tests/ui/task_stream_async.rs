use rayline::prelude::*;

#[task]
async fn f(n: i64) -> impl Iterator<Item = i64> + Send {
    0..n
}

fn main() {}

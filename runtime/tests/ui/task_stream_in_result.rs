use rayline::prelude::*;

#[task]
fn f(n: i64) -> Result<impl Iterator<Item = i64> + Send, std::fmt::Error> {
    Ok(0..n)
}

fn main() {}

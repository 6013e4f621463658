use rayline::prelude::*;

#[task]
fn f(x: i64) -> i64 {
    x
}

#[task]
fn g(text: String) -> usize {
    text.len()
}

fn main() {
    let _ = g::remote(f::remote(1));
}

use rayline::prelude::*;

#[task]
fn f(a: i64, b: i64) -> i64 {
    a + b
}

fn main() {
    let _ = f::remote(1);
}

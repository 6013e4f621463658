use rayline::prelude::*;

#[task]
fn f(x: i64) -> i64 {
    x
}

fn main() {
    let _ = f::remote("seven");
}

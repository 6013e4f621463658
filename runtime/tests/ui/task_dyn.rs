use rayline::prelude::*;

#[task]
fn f(shape: &dyn std::fmt::Debug) -> String {
    format!("{shape:?}")
}

fn main() {}

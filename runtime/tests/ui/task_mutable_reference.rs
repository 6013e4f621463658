use rayline::prelude::*;

#[task]
fn f(x: &mut Vec<f32>) {
    x.clear();
}

fn main() {}

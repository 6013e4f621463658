use rayline::prelude::*;

#[task]
fn f(values: &[f32]) -> usize {
    values.len()
}

fn main() {}

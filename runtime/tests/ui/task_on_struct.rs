use rayline::prelude::*;

#[task]
struct Policy {
    weights: Vec<f32>,
}

fn main() {}

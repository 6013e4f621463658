use rayline::prelude::*;

pub struct Policy {
    pub weights: Vec<f32>,
}

#[task]
fn f(policy: &Policy) -> usize {
    policy.weights.len()
}

fn main() {}

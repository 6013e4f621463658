use rayline::prelude::*;

#[derive(Clone)]
pub struct Weights(Vec<f32>);

#[derive(Actor)]
pub struct Learner {
    weights: Weights,
}

#[methods]
impl Learner {
    pub fn new() -> Self {
        Self { weights: Weights(vec![]) }
    }

    pub fn weights(&self) -> Weights {
        self.weights.clone()
    }
}

fn main() {}

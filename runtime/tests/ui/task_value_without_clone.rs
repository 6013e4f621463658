use rayline::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
pub struct Batch {
    pub rewards: Vec<f32>,
}

#[task(retries = 3, retry_on(any))]
fn f(batch: Batch) -> usize {
    batch.rewards.len()
}

fn main() {}

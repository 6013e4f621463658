use rayline::prelude::*;

#[derive(Actor)]
struct Counter {
    n: u64,
}

#[methods]
impl Counter {
    pub async fn new() -> Self {
        Self { n: 0 }
    }
}

fn main() {}

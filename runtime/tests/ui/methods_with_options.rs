use rayline::prelude::*;

#[derive(Actor)]
struct Counter {
    n: u64,
}

#[methods(concurrency = 4)]
impl Counter {
    pub fn new() -> Self {
        Self { n: 0 }
    }
}

fn main() {}

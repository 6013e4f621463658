use rayline::prelude::*;

#[derive(Actor)]
struct Counter {
    n: u64,
}

#[methods]
impl Counter {
    pub fn new() -> Self {
        Self { n: 0 }
    }

    pub fn n(&self) -> &u64 {
        &self.n
    }
}

fn main() {}

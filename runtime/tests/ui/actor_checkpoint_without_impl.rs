use rayline::prelude::*;

#[derive(Actor)]
#[actor(checkpoint = 10)]
pub struct Counter {
    n: u64,
}

#[methods]
impl Counter {
    pub fn new() -> Self {
        Self { n: 0 }
    }

    pub fn add(&mut self, n: u64) -> u64 {
        self.n += n;
        self.n
    }
}

fn main() {}

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

    pub fn all(&self) -> impl Iterator<Item = u64> + Send {
        0..self.n
    }
}

fn main() {}

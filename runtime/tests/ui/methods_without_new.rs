use rayline::prelude::*;

#[derive(Actor)]
struct Counter {
    n: u64,
}

#[methods]
impl Counter {
    pub fn add(&mut self, n: u64) -> u64 {
        self.n += n;
        self.n
    }
}

fn main() {}

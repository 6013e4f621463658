use rayline::prelude::*;

#[derive(Actor)]
struct Counter {
    n: u64,
}

#[methods]
impl Default for Counter {
    fn default() -> Self {
        Self { n: 0 }
    }
}

fn main() {}

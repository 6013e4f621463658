use rayline::prelude::*;

#[derive(Actor)]
#[actor(concurrency = 0)]
struct Counter {
    n: u64,
}

fn main() {}

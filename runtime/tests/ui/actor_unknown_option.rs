use rayline::prelude::*;

#[derive(Actor)]
#[actor(retries = 2)]
struct Counter {
    n: u64,
}

fn main() {}

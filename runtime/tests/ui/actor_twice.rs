use rayline::prelude::*;

#[derive(Actor)]
#[actor(cpu = 1)]
#[actor(gpu = 1)]
struct Counter {
    n: u64,
}

fn main() {}

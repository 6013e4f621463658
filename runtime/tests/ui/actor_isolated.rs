use rayline::prelude::*;

#[derive(Actor)]
#[actor(isolated)]
struct Simulator {
    handle: u64,
}

fn main() {}

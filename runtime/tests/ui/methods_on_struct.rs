use rayline::prelude::*;

#[methods]
struct Counter {
    n: u64,
}

fn main() {}

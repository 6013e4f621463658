use rayline::prelude::*;

#[derive(Actor)]
pub struct Counter {
    n: std::cell::Cell<u64>,
}

fn main() {}

use rayline::prelude::*;

#[derive(Actor)]
struct Store<T> {
    value: T,
}

fn main() {}

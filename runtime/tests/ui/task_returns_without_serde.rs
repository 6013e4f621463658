use rayline::prelude::*;

pub struct Batch;

#[task]
fn f() -> Batch {
    Batch
}

fn main() {}

use rayline::prelude::*;

#[derive(Actor)]
struct Counter {
    n: u64,
}

#[methods]
impl Counter {
    pub fn new() -> Self {
        Self { n: 0 }
    }

    pub fn add<T: Into<u64>>(&mut self, n: T) -> u64 {
        self.n += n.into();
        self.n
    }
}

fn main() {}

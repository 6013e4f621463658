//! Tasks, references and an actor, in twenty lines: `cargo run --release --example hello`.

use rayline::prelude::*;

/// Throws `throws` darts at a square, and counts those in the circle. Pure in its seed.
#[task]
fn throw(throws: u32, seed: u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut coordinate = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..throws).filter(|_| coordinate().hypot(coordinate()) < 1.0).count() as u64
}

/// Adds up what the tasks find.
#[derive(Actor)]
struct Tally {
    hits: u64,
}

#[methods]
impl Tally {
    pub fn new() -> Self {
        Self { hits: 0 }
    }

    pub fn add(&mut self, hits: u64) -> u64 {
        self.hits += hits;
        self.hits
    }
}

#[rayline::main]
fn main() -> rayline::Result<()> {
    let tally = Tally::remote();
    // A call takes a reference before it is a value.
    let sums: Vec<_> = (1..=100).map(|seed| tally.add(throw::remote(100_000, seed))).collect();
    let hits = sums.last().expect("a hundred calls").get()?;
    println!("pi is about {:.4}", 4.0 * hits as f64 / 1e7);
    Ok(())
}

//! Random graphs of tasks and messages from several threads, with cancellations, drops, clones and waits: everything ends,
//! and every captured value and outcome is dropped exactly once. `STRESS_SEED=7` repeats one seed.
// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

use rayline_exec::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// Counts how many of its kind live.
struct Counted(Arc<AtomicI64>);

impl Counted {
    fn new(live: &Arc<AtomicI64>) -> Self {
        live.fetch_add(1, Ordering::SeqCst);
        Self(live.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

enum Out {
    Value { sum: i64, _held: Counted },
    Fault,
}

impl Outcome for Out {
    fn from_fault(_: &'static str, _: Fault) -> Self {
        Out::Fault
    }
}

/// Sums what it waits for; sometimes submits a child and waits for it, sometimes panics.
struct Node {
    pool: Pool,
    mood: u64,
    live: Arc<AtomicI64>,
    captured: Counted,
}

fn value(handle: &Handle<Out>) -> i64 {
    match handle.outcome() {
        Some(Ok(Out::Value { sum, .. })) => *sum,
        _ => 1,
    }
}

impl Node {
    fn work(self, sum: i64) -> Out {
        assert!(!self.mood.is_multiple_of(97), "a task that panics");
        let mut sum = sum + 1;
        if self.mood.is_multiple_of(5) {
            let captured = Counted::new(&self.live);
            let child = Node { pool: self.pool, mood: self.mood / 5 + 1, live: self.live.clone(), captured };
            let child = self.pool.submit((), child);
            child.wait().unwrap();
            sum += value(&child);
        }
        drop(self.captured);
        Out::Value { sum, _held: Counted::new(&self.live) }
    }
}

impl Function<()> for Node {
    type Outcome = Out;
    const NAME: &'static str = "node";

    fn call(self, (): ()) -> Out {
        self.work(0)
    }
}

type Two = (Awaited<Out>, (Awaited<Out>, ()));

impl Function<Two> for Node {
    type Outcome = Out;
    const NAME: &'static str = "node";

    fn call(self, (a, (b, ())): Two) -> Out {
        let sum = value(&a.into_handle()) + value(&b.into_handle());
        self.work(sum.min(1000))
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below
    }
}

/// One thread's share of a round.
fn submit_some(pool: Pool, mut random: Random, live: &Arc<AtomicI64>, tasks: usize) {
    let mut known: Vec<Handle<Out>> = Vec::new();
    for _ in 0..tasks {
        let node = Node { pool, mood: random.next(1000), live: live.clone(), captured: Counted::new(live) };
        let handle = if known.len() > 2 && random.next(2) == 0 {
            let mut pick = || known[random.next(known.len() as u64) as usize].clone();
            let (a, b) = (pick(), pick());
            pool.submit((Awaited::new(a), (Awaited::new(b), ())), node)
        } else {
            pool.submit((), node)
        };
        match random.next(12) {
            0 => handle.cancel(),
            1 => drop(handle.clone()),
            2 => handle.wait().unwrap(),
            3 => drop(handle.wait_until(Instant::now() + Duration::from_micros(50)).then_some(())),
            _ => {}
        }
        if random.next(4) > 0 {
            known.push(handle);
        }
        if known.len() > 50 {
            let gone = random.next(known.len() as u64) as usize;
            drop(known.swap_remove(gone).try_take());
        }
    }
    if random.next(2) == 0 {
        let mut queue = CompletionQueue::new(known);
        let wanted = queue.len() / 2;
        (0..wanted).for_each(|_| drop(queue.next_until(None)));
    } else {
        known.iter().for_each(|handle| handle.wait().unwrap());
    }
}

fn round(seed: u64) {
    let (live, mut random) = (Arc::new(AtomicI64::new(0)), Random(seed));
    let options = PoolOptions { workers: 1 + random.next(3) as usize, threads_max: 16, ..PoolOptions::default() };
    let pool = Pool::new(options);
    std::thread::scope(|scope| {
        for _ in 0..1 + random.next(3) {
            let (random, live) = (Random(random.next(u64::MAX)), &live);
            scope.spawn(move || submit_some(pool, random, live, if cfg!(miri) { 12 } else { 300 }));
        }
    });
    pool.shutdown();
    assert_eq!(live.load(Ordering::SeqCst), 0, "values are left: STRESS_SEED={seed} repeats it");
    assert_eq!(pool.threads(), 0);
}

#[test]
fn random_graphs_end_and_leave_nothing() {
    std::panic::set_hook(Box::new(|info| {
        if !info.to_string().contains("a task that panics") {
            eprintln!("{info}");
        }
    }));
    if let Ok(seed) = std::env::var("STRESS_SEED") {
        return round(seed.parse().unwrap());
    }
    (1..=if cfg!(miri) { 4 } else { 100 }).for_each(round);
}

//! Actors: order, overlap, names, crashes, checkpoints, ends.
// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

use rayline::prelude::*;
use rayline::{ErrorKind, Named};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[derive(Actor)]
#[actor(restarts = 2, concurrency = 4)]
struct Counter {
    count: i64,
    log: Vec<i64>,
}

#[methods]
impl Counter {
    pub fn new(start: i64) -> Self {
        Self { count: start, log: Vec::new() }
    }

    /// Adds.
    pub fn add(&mut self, n: i64) -> i64 {
        self.count += n;
        self.log.push(n);
        self.count
    }

    pub fn count(&self) -> i64 {
        self.count
    }

    pub fn log(&self) -> Vec<i64> {
        self.log.clone()
    }

    pub fn crash(&mut self) -> i64 {
        panic!("crashed on purpose")
    }

    pub async fn later(&mut self, n: i64) -> i64 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.count += n;
        self.count
    }

    pub async fn peek_later(&self, ms: u64) -> i64 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        self.count
    }
}

#[task]
fn slow(x: i64) -> i64 {
    std::thread::sleep(Duration::from_millis(20));
    x
}

#[test]
fn calls_of_one_caller_run_in_order() {
    let counter = Counter::remote(0);
    let sums: Vec<_> = (0..10_000).map(|i| counter.add(i)).collect();
    assert_eq!(sums[9_999].get().unwrap(), (0..10_000).sum::<i64>());
    assert_eq!(counter.log().get().unwrap(), (0..10_000).collect::<Vec<_>>());
}

#[test]
fn a_call_that_waits_for_an_argument_keeps_its_place() {
    let counter = Counter::remote(0);
    counter.add(1);
    counter.add(slow::remote(2));
    counter.add(3);
    counter.add(slow::remote(4));
    assert_eq!(counter.add(5).get().unwrap(), 15);
    assert_eq!(counter.log().get().unwrap(), vec![1, 2, 3, 4, 5]);
}

#[test]
fn asynchronous_methods_keep_order_and_overlap() {
    let counter = Counter::remote(0);
    counter.later(1);
    assert_eq!(counter.add(1).get().unwrap(), 2, "`&mut self` is exclusive across await points");
    let begin = std::time::Instant::now();
    let peeks: Vec<_> = (0..4).map(|_| counter.peek_later(300)).collect();
    assert_eq!(get_all(&peeks).unwrap(), vec![2; 4]);
    assert!(begin.elapsed() < Duration::from_millis(1100), "four of `&self` overlap: {:?}", begin.elapsed());
}

#[test]
fn a_crash_restarts_the_actor_and_loses_no_queued_call() {
    let counter = Counter::remote(100);
    counter.add(1);
    let crash = counter.crash();
    let after = counter.add(5);
    let error = crash.get().unwrap_err();
    assert!(error.is_panic(), "{error}");
    assert_eq!(after.get().unwrap(), 105, "a new life begins anew");
    counter.crash();
    assert_eq!(counter.count().get().unwrap(), 100);
    counter.crash();
    let error = counter.count().get().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ActorDied { .. }), "{error}");
    println!("{error}");
}

#[test]
fn named_actors() {
    let first = Counter::create(7).name("seven").remote();
    assert_eq!(Counter::named("seven").unwrap().count().get().unwrap(), 7);
    let same = Counter::create(8).name("seven").get_or_create().unwrap();
    assert_eq!(same.count().get().unwrap(), 7);
    let taken = Counter::create(9).name("seven").remote();
    println!("{}", taken.count().get().unwrap_err());
    println!("{}", Counter::named("eight").unwrap_err());
    drop((first, same));
    for _ in 0..1000 {
        if <Counter as Named>::named("seven").is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("the actor lives on after its last reference");
}

#[test]
fn a_killed_actor_fails_calls() {
    let counter = Counter::remote(0);
    assert_eq!(counter.add(1).get().unwrap(), 1);
    counter.kill();
    for _ in 0..1000 {
        if counter.add(1).get().is_err() {
            println!("{}", counter.add(1).get().unwrap_err());
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("it lives");
}

#[derive(Actor)]
#[actor(restarts = 5, checkpoint = 10)]
struct Saved {
    sum: u64,
}

static APPLIED: AtomicU32 = AtomicU32::new(0);

#[methods]
impl Saved {
    pub fn new() -> Self {
        Self { sum: 0 }
    }

    pub fn add(&mut self, n: u64) -> u64 {
        APPLIED.fetch_add(1, Ordering::SeqCst);
        self.sum += n;
        self.sum
    }

    pub fn crash(&mut self) {
        panic!("crashed on purpose")
    }
}

impl Checkpoint for Saved {
    type State = u64;

    fn save(&self) -> u64 {
        self.sum
    }

    fn restore(sum: u64) -> Self {
        Self { sum }
    }
}

#[test]
fn a_checkpointed_actor_replays_only_what_came_after() {
    let saved = Saved::remote();
    for _ in 0..25 {
        saved.add(1);
    }
    saved.crash();
    assert_eq!(saved.add(1).get().unwrap(), 26);
    assert_eq!(APPLIED.load(Ordering::SeqCst), 25 + 5 + 1, "five calls since the checkpoint at 20 are replayed");
}

#[test]
fn a_call_that_waits_for_an_argument_outlives_the_last_reference() {
    let counter = Counter::remote(1);
    let call = counter.add(slow::remote(5));
    std::thread::spawn(move || drop(counter)).join().unwrap();
    assert_eq!(call.get_timeout(Duration::from_secs(20)).unwrap(), 6);
}

//! Tasks that wait for tasks on one CPU: whoever blocks lends what it holds.
// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

use rayline::prelude::*;
use rayline::{Config, ErrorKind, init_with};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);

#[task]
fn plain(x: i64) -> i64 {
    x + 1
}

#[task(retries = 1, retry_on(any))]
fn leased(x: i64) -> i64 {
    x + 1
}

#[task(retries = 1, retry_on(any))]
fn leased_on_leased(depth: i64) -> Result<i64, Error> {
    if depth == 0 { Ok(0) } else { Ok(leased_on_leased::remote(depth - 1).get_timeout(LONG)? + 1) }
}

#[task(retries = 1, retry_on(any))]
fn leased_on_plain(x: i64) -> Result<i64, Error> {
    plain::remote(x).get_timeout(LONG)
}

#[task]
fn plain_on_leased(x: i64) -> Result<i64, Error> {
    leased::remote(x).get_timeout(LONG)
}

#[derive(Actor)]
#[actor(cpu = 1)]
struct Heavy {
    total: i64,
}

#[methods]
impl Heavy {
    pub fn new() -> Self {
        Self { total: 0 }
    }

    pub fn add(&mut self, x: i64) -> Result<i64, Error> {
        self.total += leased::remote(x).get_timeout(LONG)? + plain::remote(x).get_timeout(LONG)?;
        Ok(self.total)
    }
}

/// One runtime at a time: these tests share a process.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[test]
fn whoever_blocks_lends_its_cpu() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let _runtime = init_with(Config::default().cpus(1)).unwrap();
    assert_eq!(leased_on_leased::remote(5).get_timeout(LONG).unwrap(), 5);
    assert_eq!(leased_on_plain::remote(1).get_timeout(LONG).unwrap(), 2);
    assert_eq!(plain_on_leased::remote(1).get_timeout(LONG).unwrap(), 2);
    let heavy = Heavy::remote();
    assert_eq!(heavy.add(1).get_timeout(LONG).unwrap(), 4);
    assert_eq!(plain::remote(1).get_timeout(LONG).unwrap(), 2, "an actor that holds the only CPU stops nobody");
    let error = leased::call(1).cpu(2).remote().get_timeout(LONG).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Infeasible(_)), "{error}");
}

/// Waits for what the caller gives it, inside a method.
#[derive(Actor)]
struct Collector {
    notified: u64,
}

#[methods]
impl Collector {
    pub fn new() -> Self {
        Self { notified: 0 }
    }

    pub fn notify(&mut self) -> u64 {
        self.notified += 1;
        self.notified
    }

    pub fn consume(&mut self, refs: Vec<ObjectRef<u64>>) -> Result<u64, Error> {
        refs.iter().map(|object| object.get_timeout(LONG)).sum()
    }
}

#[task]
async fn sleepy(ms: u64) -> u64 {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    ms
}

/// Schedules the collector's runner on its own thread, then waits for something else.
#[task]
fn notifies_then_waits(collector: CollectorRef, other: ObjectRef<u64>) -> Result<u64, Error> {
    let _ = collector.notify();
    std::thread::sleep(Duration::from_millis(60));
    other.get_timeout(LONG)
}

#[task]
fn child(x: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(30));
    x
}

#[task]
fn waits_for(_first: u64, refs: Vec<ObjectRef<u64>>) -> Result<u64, Error> {
    refs[0].get_timeout(LONG)
}

static CHILD: std::sync::Mutex<Option<ObjectRef<u64>>> = std::sync::Mutex::new(None);

#[task]
fn parent(other: ObjectRef<u64>) -> Result<u64, Error> {
    *CHILD.lock().unwrap() = Some(child::remote(1));
    std::thread::sleep(Duration::from_millis(60));
    other.get_timeout(LONG)
}

#[test]
fn a_job_that_waits_runs_nothing_that_waits_for_it() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let _runtime = init_with(Config::default().cpus(1)).unwrap();
    let begin = std::time::Instant::now();
    let collector = Collector::remote();
    collector.notify().get_timeout(LONG).unwrap();
    let job = notifies_then_waits::remote(collector.clone(), sleepy::remote(200));
    std::thread::sleep(Duration::from_millis(20));
    let sum = collector.consume(vec![job.clone()]);
    assert_eq!((job.get_timeout(LONG).unwrap(), sum.get_timeout(LONG).unwrap()), (200, 200));
    let parent = parent::remote(sleepy::remote(200));
    std::thread::sleep(Duration::from_millis(20));
    let child = CHILD.lock().unwrap().take().expect("the parent has begun");
    let waits = waits_for::remote(child, vec![parent.clone()]);
    assert_eq!((parent.get_timeout(LONG).unwrap(), waits.get_timeout(LONG).unwrap()), (200, 200));
    assert!(begin.elapsed() < Duration::from_secs(10), "it went on at a deadline only: {:?}", begin.elapsed());
}

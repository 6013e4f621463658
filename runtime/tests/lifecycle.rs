//! A runtime from start to end, and that nothing of it is left: threads, values, actors. One test, as it counts the
//! threads of the process.
// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

use rayline::prelude::*;
use rayline::{Config, ErrorKind, init, init_with, is_running, shutdown};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

/// Values of type `Counted` that live.
static LIVE: AtomicI64 = AtomicI64::new(0);

#[derive(Debug, Serialize, Deserialize)]
struct Counted(u64);

impl Counted {
    fn new(n: u64) -> Self {
        LIVE.fetch_add(1, Ordering::SeqCst);
        Self(n)
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new(self.0)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

#[task]
fn make(n: u64) -> Counted {
    Counted::new(n)
}

#[task]
fn merge(a: Counted, b: &Counted) -> Counted {
    Counted::new(a.0 + b.0)
}

#[task(retries = 2, retry_on(any))]
fn leased(value: Counted) -> Result<Counted, Error> {
    Ok(value)
}

#[task]
fn fails(value: Counted) -> Counted {
    panic!("with {}", value.0)
}

#[task]
fn stream(n: u64) -> impl Iterator<Item = Counted> + Send {
    (0..n).map(Counted::new)
}

#[task]
async fn never(value: Counted) -> Counted {
    tokio::time::sleep(Duration::from_secs(3600)).await;
    value
}

/// Tasks called `slow` that began.
static BEGUN: AtomicI64 = AtomicI64::new(0);

#[task]
fn slow(ms: u64) -> u64 {
    BEGUN.fetch_add(1, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(ms));
    ms
}

#[derive(Actor)]
struct Keeper {
    kept: Vec<Counted>,
}

#[methods]
impl Keeper {
    pub fn new(first: Counted) -> Self {
        Self { kept: vec![first] }
    }

    pub fn keep(&mut self, value: Counted) -> usize {
        self.kept.push(value);
        self.kept.len()
    }
}

/// Threads of this process that the runtime may have started; the reactor of asynchronous tasks stays.
fn threads() -> usize {
    let names = std::fs::read_dir("/proc/self/task")
        .expect("needs /proc")
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("rayline") && !name.starts_with("rayline-io")).count()
}

fn use_everything() {
    let values: Vec<_> = (0..500).map(make::remote).collect();
    let merged: Vec<_> = values.iter().map(|value| merge::remote(make::remote(1), value)).collect();
    assert_eq!(merged[7].read().unwrap().0, 8);
    assert_eq!(leased::remote(&values[3]).get_timeout(LONG).unwrap().0, 3);
    assert!(fails::remote(&values[4]).get_timeout(LONG).unwrap_err().is_panic());
    let keeper = Keeper::remote(&values[0]);
    assert_eq!(keeper.keep(make::remote(2)).get_timeout(LONG).unwrap(), 2);
    let mut items = stream::remote(1000);
    assert_eq!(items.next().unwrap().take().unwrap().0, 0);
    let pending = never::remote(make::remote(5));
    let cancelled = never::remote(make::remote(6));
    cancelled.clone().cancel();
    assert!(cancelled.get_timeout(LONG).unwrap_err().is_cancelled());
    drop((items, pending, keeper));
}

#[test]
fn nothing_is_left_after_shutdown() {
    assert!(!is_running());
    for round in 0..3 {
        let runtime = init_with(Config::default().cpus(2)).unwrap();
        assert!(matches!(init().unwrap_err().kind(), ErrorKind::AlreadyRunning));
        use_everything();
        // What is queued behind running tasks is ended by the shutdown, and what runs is waited for.
        let running: Vec<_> = (0..2).map(|_| slow::remote(30)).collect();
        while BEGUN.load(Ordering::SeqCst) < 2 * (round + 1) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let queued: Vec<_> = (0..100).map(make::remote).collect();
        let begin = Instant::now();
        drop(runtime);
        assert!(begin.elapsed() < Duration::from_secs(5), "shutting down took {:?}", begin.elapsed());
        assert!(!is_running());
        assert!(running.iter().all(|task| task.get_timeout(LONG).unwrap() == 30), "running tasks end");
        for object in &queued {
            let ended = object.get_timeout(LONG);
            assert!(ended.is_ok() || matches!(ended.unwrap_err().kind(), ErrorKind::Shutdown));
        }
        let late = make::remote(1).get_timeout(LONG).unwrap_err();
        assert!(matches!(late.kind(), ErrorKind::Shutdown), "{late}");
        drop((running, queued));
        assert_eq!(threads(), 0, "threads of the runtime are left after round {round}");
        assert_eq!(LIVE.load(Ordering::SeqCst), 0, "values are left after round {round}");
        assert_eq!(rayline::internal::live_cells().unwrap_or(0), 0, "cells are left after round {round}");
    }
    shutdown();
    let _again = init().unwrap();
    assert_eq!(make::remote(3).get_timeout(LONG).unwrap().0, 3, "a runtime may be started again");
}

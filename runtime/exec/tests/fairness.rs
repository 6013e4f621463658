//! Who comes next: a mailbox with much to do gives way to the other jobs of its thread, and submitters take turns.
// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

use rayline_exec::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// More than a test needs where it doesn't hang.
const LONG: Duration = Duration::from_secs(10);
/// How many messages a runner takes at once.
const BATCH: usize = 128;

struct Out(usize);

impl Outcome for Out {
    fn from_fault(_: &'static str, _: Fault) -> Self {
        Out(usize::MAX)
    }
}

struct Run<F>(F);

impl<F: FnOnce() -> usize + Send + 'static> Function<()> for Run<F> {
    type Outcome = Out;
    const NAME: &'static str = "run";

    fn call(self, (): ()) -> Out {
        Out((self.0)())
    }
}

/// A method of an actor without a state.
struct Call<F>(F);

impl<F: FnOnce() -> usize + Send + 'static> Method<(), ()> for Call<F> {
    type Receiver = ByMut;
    type Outcome = Out;
    const NAME: &'static str = "call";

    fn call(self, (): &mut (), (): ()) -> Out {
        Out((self.0)())
    }
}

struct Quiet;

impl ActorHooks for Quiet {
    fn crashed(&self, _: &'static str, _: &str) {}

    fn stopped(&self) {}
}

fn value(handle: &Handle<Out>) -> usize {
    assert!(handle.wait_until(Instant::now() + LONG), "it never runs");
    handle.outcome().unwrap().unwrap().0
}

fn one_worker() -> Pool {
    Pool::new(PoolOptions { workers: 1, ..PoolOptions::default() })
}

#[test]
fn a_mailbox_gives_way_after_a_batch() {
    let pool = one_worker();
    let mailbox = Mailbox::<()>::new(pool, 1, Box::new(Quiet));
    let ran = Arc::new(AtomicUsize::new(0));
    let (before, (tell, told)) = (ran.clone(), channel());
    // The task lies on the worker's deque, below what the runner pushes.
    let submit = move || {
        drop(pool.submit((), Run(move || usize::from(tell.send(before.load(Ordering::SeqCst)).is_ok()))));
        0
    };
    drop(mailbox.send((), Call(submit)));
    for _ in 0..20 * BATCH {
        let ran = ran.clone();
        drop(mailbox.send((), Call(move || ran.fetch_add(1, Ordering::SeqCst))));
    }
    let last = mailbox.send((), Call(|| 0));
    mailbox.open(());
    let messages = told.recv_timeout(LONG).unwrap();
    assert!(messages <= 2 * BATCH, "the task ran after {messages} messages");
    value(&last);
    pool.shutdown();
}

#[test]
fn threads_that_submit_take_turns() {
    let pool = one_worker();
    let (opened, ran) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let open = opened.clone();
    // Holds the worker until all is queued.
    let hog = pool.submit(
        (),
        Run(move || {
            while !open.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            0
        }),
    );
    for _ in 0..20_000 {
        let ran = ran.clone();
        drop(pool.submit((), Run(move || ran.fetch_add(1, Ordering::SeqCst))));
    }
    let before = ran.clone();
    let other = std::thread::spawn(move || pool.submit((), Run(move || before.load(Ordering::SeqCst))));
    let other = other.join().unwrap();
    opened.store(true, Ordering::SeqCst);
    let tasks = value(&other);
    assert!(tasks <= 1000, "another thread's task ran after {tasks} of this one's");
    value(&hog);
    pool.shutdown();
}

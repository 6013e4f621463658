//! The end of a runtime in all situations: who waits is told, who runs may end, and a later runtime is another.
// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

mod common;

use common::{LONG, eventually, within_time};
use rayline::prelude::*;
use rayline::{Config, ErrorKind, Runtime, init, init_with, is_running, shutdown};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One runtime at a time: these tests share a process.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    BEGUN.store(0, Ordering::SeqCst);
    turn
}

fn runtime() -> Runtime {
    init_with(Config::default().cpus(2)).expect("no other runtime")
}

/// Shuts down on a thread of its own, as it may hang.
fn end(runtime: Runtime) {
    within_time(move || drop(runtime));
}

/// Tasks that began and wait.
static BEGUN: AtomicI64 = AtomicI64::new(0);

fn begun(tasks: i64) {
    eventually("the tasks begin", || BEGUN.load(Ordering::SeqCst) >= tasks);
}

#[task]
fn plain(x: u64) -> u64 {
    x
}

#[task(cpu = 2)]
fn leased(ms: u64) -> u64 {
    BEGUN.fetch_add(1, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(ms));
    ms
}

#[task(cpu = 2, retries = 9, retry_on(any))]
fn fails_late(ms: u64) -> Result<u64, std::num::ParseIntError> {
    BEGUN.fetch_add(1, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(ms));
    "x".parse()
}

#[task]
async fn never() -> u64 {
    BEGUN.fetch_add(1, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    0
}

fn is_shutdown(error: &Error) -> bool {
    matches!(error.root().kind(), ErrorKind::Shutdown | ErrorKind::Cancelled)
}

#[task]
fn wait_for_never() -> bool {
    is_shutdown(&never::remote().get().unwrap_err())
}

#[task]
fn wait_for_leased() -> bool {
    let waits = leased::call(0).cpu(2).remote();
    BEGUN.fetch_add(1, Ordering::SeqCst);
    waits.get().is_ok_and(|ms| ms == 0) || waits.get().is_err_and(|error| is_shutdown(&error))
}

/// Waits for a group that can't be reserved while another is; and for a reservation and an actor once all is closed.
#[task]
fn wait_for_group(group_is_mine: bool) -> Vec<String> {
    let reserve = || PlacementGroup::reserve(Strategy::Pack, [Bundle::cpu(2)]);
    let _mine = group_is_mine.then(|| reserve().unwrap());
    let group = reserve().unwrap();
    BEGUN.fetch_add(100, Ordering::SeqCst);
    let first = group.ready(None).unwrap_err().to_string();
    let second = reserve().and_then(|group| group.ready(None)).unwrap_err().to_string();
    let third = Holder::create(Held::new()).name("late").get_or_create().unwrap_err().to_string();
    vec![first, second, third]
}

#[task]
fn shut_down_inside() {
    shutdown();
}

/// Waits until a shutdown has begun, which waits for this; then whether another runtime is refused.
#[task]
fn begin_another_inside(ms: u64) -> bool {
    BEGUN.fetch_add(1, Ordering::SeqCst);
    eventually("the shutdown begins", || !is_running());
    std::thread::sleep(Duration::from_millis(ms));
    init().is_err_and(|error| matches!(error.kind(), ErrorKind::AlreadyRunning))
}

#[task]
fn takes(ends: Ends) {
    drop(ends);
}

/// Shuts down, and begins another runtime, when it is dropped; counts where that was refused.
#[derive(Clone, Serialize, Deserialize)]
struct Ends;

static REFUSED: AtomicI64 = AtomicI64::new(0);

impl Drop for Ends {
    fn drop(&mut self) {
        shutdown();
        REFUSED.fetch_add(i64::from(init().is_err()), Ordering::SeqCst);
    }
}

/// Values of type `Held` that live.
static HELD: AtomicI64 = AtomicI64::new(0);

#[derive(Serialize, Deserialize)]
struct Held;

impl Held {
    fn new() -> Self {
        HELD.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Clone for Held {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Actor)]
#[actor(restarts = 3, concurrency = 2)]
struct Holder {
    held: Option<Held>,
}

#[methods]
impl Holder {
    pub fn new(held: Held) -> Self {
        Self { held: Some(held) }
    }

    pub fn holds(&self) -> bool {
        self.held.is_some()
    }

    pub fn linger(&mut self, ms: u64) -> u64 {
        BEGUN.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(ms));
        ms
    }
}

#[test]
fn a_task_cannot_shut_down_its_runtime() {
    let _turn = turn();
    let runtime = runtime();
    let error = shut_down_inside::remote().get_timeout(LONG).unwrap_err();
    assert!(error.is_panic() && error.to_string().contains("wait for itself"), "{error}");
    assert!(is_running());
    assert_eq!(plain::remote(1).get_timeout(LONG).unwrap(), 1);
    end(runtime);
    assert!(!is_running());
}

#[test]
fn a_guard_ends_its_own_runtime_only() {
    let _turn = turn();
    let first = runtime();
    let value = plain::remote(5);
    assert_eq!(value.get_timeout(LONG).unwrap(), 5);
    shutdown();
    let second = runtime();
    end(first);
    assert!(is_running(), "the guard of a runtime that has ended does nothing");
    assert_eq!(plain::remote(&value).get_timeout(LONG).unwrap(), 5, "a value outlives its runtime");
    end(second);
    assert!(!is_running());
}

#[test]
fn of_many_that_begin_one_does() {
    let _turn = turn();
    let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(|| init_with(Config::default().cpus(1)))).collect();
    let began: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(began.iter().filter(|began| began.is_ok()).count(), 1);
    within_time(move || drop(began));
    assert!(!is_running());
    let error = init_with(Config::default().cpus(0)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Config(_)), "{error}");
    let runtime = init().expect("a refused configuration leaves nothing behind");
    end(runtime);
}

#[test]
fn a_shutdown_waits_for_no_one_who_waits_for_it() {
    let _turn = turn();
    let runtime = runtime();
    let inside: Vec<_> = (0..2).map(|_| begin_another_inside::remote(20)).collect();
    begun(2);
    // Queued behind them, it is dropped by the shutdown.
    let dropped = takes::remote(Ends);
    end(runtime);
    assert!(inside.iter().all(|inside| inside.get_timeout(LONG).unwrap()));
    assert!(is_shutdown(&dropped.get_timeout(LONG).unwrap_err()));
    assert_eq!(REFUSED.load(Ordering::SeqCst), 1);
}

#[test]
fn a_second_shutdown_waits_for_the_first() {
    let _turn = turn();
    let runtime = runtime();
    let slow = leased::remote(100);
    begun(1);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                shutdown();
                assert!(slow.is_ready(), "it returned while a task runs");
            });
        }
    });
    end(runtime);
}

#[test]
fn leased_tasks_that_run_may_end_and_others_are_told() {
    let _turn = turn();
    let runtime = runtime();
    let running = leased::remote(50);
    begun(1);
    let queued: Vec<_> = (0..20).map(|_| leased::remote(0)).collect();
    end(runtime);
    assert_eq!(running.get_timeout(LONG).unwrap(), 50);
    for task in queued {
        let error = task.get_timeout(LONG).unwrap_err();
        assert_eq!(error.to_string(), "shutdown::leased didn't run, as the runtime was shut down");
    }
}

#[test]
fn a_task_is_not_tried_again_once_it_ends() {
    let _turn = turn();
    let runtime = runtime();
    let running = fails_late::remote(50);
    begun(1);
    end(runtime);
    assert!(running.get_timeout(LONG).is_err());
    assert!(BEGUN.load(Ordering::SeqCst) <= 2, "it ran {} times", BEGUN.load(Ordering::SeqCst));
}

#[test]
fn whoever_waits_is_told() {
    let _turn = turn();
    for _ in 0..3 {
        BEGUN.store(0, Ordering::SeqCst);
        let runtime = runtime();
        let (futures, groups, tasks) =
            (wait_for_never::remote(), wait_for_group::remote(true), wait_for_leased::remote());
        // The hundred is the group's.
        begun(102);
        end(runtime);
        assert!(futures.get_timeout(LONG).unwrap());
        assert!(tasks.get_timeout(LONG).unwrap());
        let told = groups.get_timeout(LONG).unwrap();
        assert!(told.iter().all(|text| text.contains("shut down")), "{told:?}");
    }
}

#[test]
fn actors_are_dropped_though_others_refer_to_them() {
    let _turn = turn();
    let runtime = runtime();
    let holders: Vec<_> = (0..4).map(|_| Holder::remote(Held::new())).collect();
    assert!(holders.iter().all(|holder| holder.holds().get_timeout(LONG).unwrap()));
    let detached = Holder::create(Held::new()).name("detached").detached().remote();
    assert!(detached.holds().get_timeout(LONG).unwrap());
    let running = holders[0].linger(50);
    begun(1);
    let queued = holders[0].linger(0);
    end(runtime);
    assert_eq!(running.get_timeout(LONG).unwrap(), 50, "a method that runs may end");
    assert!(queued.get_timeout(LONG).is_err());
    let error = detached.holds().get_timeout(LONG).unwrap_err();
    assert!(error.to_string().contains("the runtime was shut down"), "{error}");
    drop((holders, detached));
    assert_eq!(HELD.load(Ordering::SeqCst), 0, "dropped with the last reference, if not before");
}

#[test]
fn a_shutdown_drops_the_actors() {
    let _turn = turn();
    let runtime = runtime();
    let holders: Vec<_> = (0..4).map(|_| Holder::remote(Held::new())).collect();
    assert!(holders.iter().all(|holder| holder.holds().get_timeout(LONG).unwrap()));
    end(runtime);
    // The constructor's arguments are kept for another life, for as long as there are references.
    let kept = HELD.load(Ordering::SeqCst);
    assert!(kept <= 4, "{kept} are left: the actors' own states weren't dropped");
    drop(holders);
    assert_eq!(HELD.load(Ordering::SeqCst), 0);
}

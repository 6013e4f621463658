//! Plain tasks in worker processes: the same values, errors and waits as on threads, and deaths that cost a try.

// Helper functions of tests may panic as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use common::alone;
use rayline::prelude::*;
use rayline::{Config, ErrorKind, context};
use std::collections::BTreeSet;
use std::process::{abort, id};
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

/// One runtime at a time, with that many worker processes.
fn crew(processes: usize) -> (rayline::Runtime, MutexGuard<'static, ()>) {
    let one = alone();
    (rayline::init_with(Config::default().cpus(2).processes(processes)).unwrap(), one)
}

#[task]
fn process() -> u32 {
    id()
}

#[task]
fn slow_process() -> u32 {
    std::thread::sleep(Duration::from_millis(20));
    id()
}

#[task]
fn add(a: i64, b: &i64) -> i64 {
    a + b
}

#[task]
fn fib(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let (a, b) = (fib::remote(n - 1), fib::remote(n - 2));
    a.get().unwrap() + b.get().unwrap()
}

#[task]
fn parse(text: String) -> Result<i64, std::num::ParseIntError> {
    text.parse()
}

#[test]
fn tasks_run_in_all_processes_of_the_crew() {
    let _runtime = crew(2);
    let objects: Vec<_> = (0..40).map(|_| slow_process::remote()).collect();
    let processes: BTreeSet<u32> = objects.iter().map(|object| object.get().unwrap()).collect();
    assert!(processes.len() == 2 && !processes.contains(&id()), "{processes:?}");
}

#[test]
fn references_chain_as_on_threads() {
    let _runtime = crew(1);
    let sum = (0..200).fold(add::remote(0, 0), |sum, i| add::remote(&sum, i));
    assert_eq!(sum.get().unwrap(), (0..200).sum::<i64>());
    let both = [add::remote(1, &sum), add::remote(put(2), &sum)];
    assert_eq!(both.map(|object| object.take().unwrap()), [19_901, 19_902]);
    assert_eq!(fib::remote(15).get().unwrap(), 610);
}

#[test]
fn many_in_flight_come_back_each_to_its_own() {
    let _runtime = crew(2);
    let objects: Vec<_> = (0..20_000).map(|i| (i, add::remote(i, 1))).collect();
    for (i, object) in objects {
        assert_eq!(object.get().unwrap(), i + 1);
    }
}

#[test]
fn waits_of_all_kinds_end() {
    let _runtime = crew(1);
    let objects: Vec<_> = (0..100).map(|i| add::remote(i, 0)).collect();
    let (ready, late) = wait(objects, 40, None);
    assert!(ready.len() >= 40);
    assert_eq!(as_completed(late).count(), 100 - ready.len());
    assert_eq!(rayline::block_on(async { add::remote(1, 2).await }).unwrap(), 3);
    // Nobody waits in the driver while this is made.
    let alone = add::remote(add::remote(1, 1), 1);
    let begin = Instant::now();
    while !alone.is_ready() {
        assert!(begin.elapsed() < Duration::from_secs(10), "an answer that nobody waits for isn't taken");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(add::remote(1, 1).get_timeout(Duration::from_secs(10)).is_ok());
}

#[test]
fn threads_that_wait_beside_each_other_all_get_theirs() {
    let _runtime = crew(1);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for i in 0..500 {
                    assert_eq!(add::remote(thread, i).get().unwrap(), thread + i);
                }
            });
        }
    });
}

#[test]
fn errors_come_back() {
    let _runtime = crew(1);
    let failed = parse::remote("x".to_owned());
    assert_eq!(failed.get().unwrap_err().to_string(), "crew::parse failed: invalid digit found in string");
    assert_eq!(add::remote(&failed, 1).get().unwrap_err().kind(), &ErrorKind::Argument);
}

#[task]
fn dies_once() -> u32 {
    if context().attempt() == 1 {
        abort();
    }
    context().attempt()
}

#[task(retries = 1)]
fn dies_always() -> u32 {
    abort()
}

#[test]
fn a_death_costs_its_tasks_a_try() {
    let _runtime = crew(2);
    assert_eq!(dies_once::remote().get().unwrap(), 2);
    let error = dies_always::remote().get().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WorkerDied { attempt: 2, .. }), "{error}");
    assert!(process::remote().get().is_ok(), "the crew is whole again");
}

#[test]
fn a_long_task_keeps_no_other_waiting() {
    let _runtime = crew(1);
    let begin = Instant::now();
    let long: Vec<_> = (0..2).map(|_| sleeps::remote(400)).collect();
    long.iter().for_each(|object| object.wait());
    assert!(begin.elapsed() < Duration::from_millis(780), "two CPUs, two tasks beside each other");
}

#[task]
fn sleeps(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

#[test]
fn a_shutdown_lets_running_tasks_end_and_drops_the_others() {
    let runtime = crew(1);
    let objects: Vec<_> = (0..40).map(|_| sleeps::remote(100)).collect();
    std::thread::sleep(Duration::from_millis(50));
    let begin = Instant::now();
    drop(runtime);
    assert!(begin.elapsed() < Duration::from_secs(2), "what waits is dropped");
    let (done, dropped): (Vec<_>, Vec<_>) = objects.iter().map(|object| object.get()).partition(Result::is_ok);
    assert!(!done.is_empty() && !dropped.is_empty(), "{} done, {} dropped", done.len(), dropped.len());
    assert!(dropped.iter().all(|result| matches!(result, Err(error) if error.kind() == &ErrorKind::Shutdown)));
}

//! Tasks in processes of their own: values, errors, crashes, bounds, and that nothing of them is left.

// Helper functions of tests may panic as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use common::alone;
use rayline::prelude::*;
use rayline::{Buf, Config, ErrorKind, Tensor, context};
use std::collections::BTreeSet;
use std::process::{Command, abort, exit, id};
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

/// One runtime at a time, of two CPUs.
fn runtime() -> (rayline::Runtime, MutexGuard<'static, ()>) {
    let one = alone();
    (rayline::init_with(Config::default().cpus(2).gpus(2)).unwrap(), one)
}

#[task(isolated)]
fn process() -> u32 {
    id()
}

#[task(isolated)]
fn scale(values: &Tensor<f32>, by: f32) -> Tensor<f32> {
    let values: Vec<f32> = values.data().iter().map(|value| value * by).collect();
    Tensor::from(Buf::from(values))
}

#[task(isolated)]
fn parse(text: String) -> Result<i64, std::num::ParseIntError> {
    text.parse()
}

#[task(isolated)]
fn panics() -> u8 {
    panic!("no such state")
}

#[task]
fn square(x: i64) -> i64 {
    x * x
}

#[task(isolated)]
fn squares(to: i64) -> i64 {
    (0..to).map(square::remote).map(|object| object.get().unwrap()).sum()
}

#[test]
fn runs_elsewhere_and_gives_values_back() {
    let _runtime = runtime();
    let elsewhere = process::remote().get().unwrap();
    assert_ne!(elsewhere, id());
    let large = put(Tensor::from(Buf::from(vec![1.5f32; 3_000_000])));
    let scaled = scale::remote(&large, 2.0).get().unwrap();
    assert_eq!((scaled.data().len(), scaled.data()[2_999_999]), (3_000_000, 3.0));
    assert_eq!(squares::remote(100).get().unwrap(), 328_350);
}

#[test]
fn an_idle_process_is_used_again() {
    let _runtime = runtime();
    let processes: BTreeSet<u32> = (0..20).map(|_| process::remote().get().unwrap()).collect();
    assert_eq!(processes.len(), 1, "one after the other they need one process");
    let beside: Vec<_> = (0..50).map(|_| process::remote()).collect();
    let processes: BTreeSet<u32> = beside.iter().map(|object| object.get().unwrap()).collect();
    assert!(processes.len() <= 2, "two CPUs, two processes: {processes:?}");
}

#[test]
fn errors_and_panics_come_back_in_words() {
    let _runtime = runtime();
    assert_eq!(parse::remote("17".to_owned()).get().unwrap(), 17);
    let error = parse::remote("seventeen".to_owned()).get().unwrap_err();
    assert_eq!(error.to_string(), "isolated::parse failed: invalid digit found in string");
    let error = panics::remote().get().unwrap_err();
    assert!(error.is_panic());
    assert!(error.to_string().contains("no such state"), "{error}");
}

#[task(isolated, retries = 0)]
fn aborts() {
    println!("about to abort");
    abort()
}

#[task(isolated, retries = 0)]
fn exits(code: i32) {
    exit(code)
}

/// Dies in its first two attempts.
#[task(isolated, retries = 2)]
fn dies_twice() -> u32 {
    if context().attempt() < 3 {
        abort();
    }
    context().attempt()
}

#[task(isolated, retries = 1)]
fn dies_always() -> u32 {
    eprintln!("attempt {}", context().attempt());
    abort()
}

#[test]
fn a_crash_is_an_error_that_says_how() {
    let _runtime = runtime();
    let error = aborts::remote().get().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WorkerDied { attempt: 1, .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("killed by signal 6 (SIGABRT)") && text.contains("about to abort"), "{text}");
    let text = exits::remote(3).get().unwrap_err().to_string();
    assert!(text.contains("exited with code 3"), "{text}");
    assert!(process::remote().get().is_ok(), "others go on");
}

#[test]
fn a_crash_is_retried_within_its_budget() {
    let _runtime = runtime();
    assert_eq!(dies_twice::remote().get().unwrap(), 3);
    let error = dies_always::remote().get().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WorkerDied { attempt: 2, .. }), "{error}");
    assert!(error.to_string().contains("in attempt 2"), "{error}");
}

#[task(isolated, gpu = 0.5)]
fn assigned() -> (u64, Vec<u32>, String) {
    let context = context();
    let gpus = context.gpus().iter().map(|share| share.index).collect();
    (context.task_id().seq, gpus, context.task().to_owned())
}

#[test]
fn knows_what_it_was_given() {
    let _runtime = runtime();
    let (seq, gpus, task) = assigned::remote().get().unwrap();
    assert!(seq > 0);
    assert_eq!((gpus.len(), task.as_str()), (1, "isolated::assigned"));
}

#[task(isolated, memory = "64 MiB", retries = 0)]
fn hoards() -> usize {
    let hoard: Vec<Vec<u8>> = (0..64).map(|_| vec![1; 4 << 20]).collect();
    std::thread::sleep(Duration::from_secs(20));
    hoard.len()
}

#[test]
fn more_memory_than_asked_for_ends_it() {
    let _runtime = runtime();
    let error = hoards::remote().get_timeout(Duration::from_secs(10)).unwrap_err().to_string();
    assert!(error.contains("its task asked for 64 MiB"), "{error}");
}

#[task(isolated)]
fn patient() -> bool {
    let begin = Instant::now();
    while !context().cancelled() && begin.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(1));
    }
    context().cancelled()
}

#[test]
fn a_cancellation_reaches_it() {
    let _runtime = runtime();
    let (first, second) = (patient::remote(), patient::remote());
    std::thread::sleep(Duration::from_millis(200));
    let begin = Instant::now();
    first.cancel();
    second.cancel();
    // Both CPUs are held until both have heard of it.
    assert!(process::remote().get().is_ok());
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[task(isolated)]
async fn later(x: i64) -> i64 {
    tokio::time::sleep(Duration::from_millis(5)).await;
    x + 1
}

#[task(isolated, returns = 2)]
fn parts(x: i64) -> (i64, String) {
    (x, x.to_string())
}

#[test]
fn may_be_async_and_return_parts() {
    let _runtime = runtime();
    assert_eq!(later::remote(square::remote(3)).get().unwrap(), 10);
    let (number, text) = parts::remote(5);
    assert_eq!((number.get().unwrap(), text.get().unwrap().as_str()), (5, "5"));
}

#[task(isolated)]
fn first<T: Clone + Send + Sync + serde::Serialize + serde::de::DeserializeOwned + 'static>(values: Vec<T>) -> T {
    values[0].clone()
}
rayline::instantiate!(first<u8>);

#[test]
fn generic_tasks_must_be_registered() {
    let _runtime = runtime();
    assert_eq!(first::<u8>::remote(vec![7, 8]).get().unwrap(), 7);
    let error = first::<i16>::remote(vec![7]).get().unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unregistered);
    assert!(error.to_string().contains("instantiate!"), "{error}");
}

#[task(isolated)]
fn holds(object: ObjectRef<i64>) -> i64 {
    object.get().unwrap()
}

#[test]
fn references_travel_and_failed_arguments_fail_the_call() {
    let _runtime = runtime();
    assert_eq!(holds::remote(put(square::remote(3))).get().unwrap(), 9);
    let failed = parse::remote("x".to_owned());
    let error = later::remote(failed).get().unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Argument);
}

#[test]
fn a_shutdown_ends_the_processes() {
    let processes: Vec<u32> = {
        let _runtime = runtime();
        let pair = [process::remote(), process::remote()];
        pair.iter().map(|object| object.get().unwrap()).collect()
    };
    assert!(processes.iter().all(|pid| !runs(*pid)), "{processes:?}");
}

fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie has ended.
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

/// Not a test of its own: the driver of the next.
#[test]
fn driver_that_is_killed() {
    if std::env::var_os("RAYLINE_TEST_DRIVER").is_some() {
        let _runtime = runtime();
        println!("pid={}", process::remote().get().unwrap());
        let waits = patient::remote();
        waits.wait();
    }
}

#[test]
fn workers_die_with_their_driver() {
    use std::io::{BufRead, BufReader};
    let mut driver = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "driver_that_is_killed", "--nocapture"])
        .env("RAYLINE_TEST_DRIVER", "1")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let worker = lines.find_map(|line| line.unwrap().split_once("pid=")?.1.trim().parse().ok()).unwrap();
    assert!(runs(worker));
    driver.kill().unwrap();
    driver.wait().unwrap();
    let begin = Instant::now();
    while runs(worker) {
        assert!(begin.elapsed() < Duration::from_secs(1), "the worker outlives its driver");
        std::thread::sleep(Duration::from_millis(5));
    }
}

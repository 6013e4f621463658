//! Large buffers between a driver and its worker processes: copied once, viewed in place, and nothing of them left.

// Helper functions of tests may panic as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use common::{alone, eventually};
use rayline::prelude::*;
use rayline::{Buf, Config, Runtime, context};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::read_to_string;
use std::process::{Command, id};
use std::sync::MutexGuard;
use std::time::Duration;

const MIB: usize = 1 << 20;
/// 100 MB of `f32`.
const LARGE: usize = 25_000_000;

/// One runtime at a time: it ends before another begins.
struct Driver {
    runtime: Runtime,
    _one: MutexGuard<'static, ()>,
}

fn with(config: Config) -> Driver {
    let one = alone();
    Driver { runtime: rayline::init_with(config.cpus(2)).unwrap(), _one: one }
}

fn crew(processes: usize) -> Driver {
    with(Config::default().processes(processes))
}

/// How many objects the store has, and their bytes.
fn objects(driver: &Driver) -> (usize, u64) {
    let usage = driver.runtime.object_store().expect("there are worker processes");
    (usage.objects + usage.spilled_objects, usage.object_bytes + usage.spilled_bytes)
}

#[track_caller]
fn comes_to(driver: &Driver, wanted: usize) {
    eventually(&format!("{wanted} objects"), || objects(driver).0 == wanted);
}

fn tensor(len: usize) -> Tensor<f32> {
    Tensor::from(Buf::from_iter((0..len).map(|i| (i % 1000) as f32)))
}

/// A few of the elements, added up.
fn sample(tensor: &Tensor<f32>) -> f64 {
    tensor.data().iter().step_by(1009).map(|x| f64::from(*x)).sum()
}

/// Whether the memory at an address is the store's.
fn is_shared<T>(data: &[T]) -> bool {
    let address = data.as_ptr().addr();
    let maps = read_to_string("/proc/self/maps").unwrap();
    let lines = maps.lines().filter(|line| line.contains("memfd:rayline-store"));
    let mut ranges = lines.filter_map(|line| line.split(' ').next()?.split_once('-'));
    let number = |hex| usize::from_str_radix(hex, 16).unwrap();
    ranges.any(|(start, end)| (number(start)..number(end)).contains(&address))
}

/// Bytes of memory of this process's own.
fn own_bytes() -> usize {
    let status = read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[derive(Clone, Serialize, Deserialize)]
struct Batch {
    policy: String,
    parts: Vec<Option<(u8, Tensor<f32>)>>,
}

#[task]
fn look_into(batch: &Batch) -> (f64, bool) {
    let (_, tensor) = batch.parts[1].as_ref().unwrap();
    (sample(tensor), is_shared(tensor.data()))
}

#[test]
fn an_argument_is_copied_once_however_deep_and_often() {
    let driver = crew(2);
    let tensor = tensor(LARGE);
    let expected = (sample(&tensor), true);
    let batch = put(Batch { policy: "greedy".into(), parts: vec![None, Some((1, tensor))] });
    for _ in 0..10 {
        let results: Vec<_> = (0..10).map(|_| look_into::remote(&batch)).collect();
        assert!(results.iter().all(|result| result.get().unwrap() == expected));
        assert_eq!(objects(&driver), (1, 4 * LARGE as u64));
    }
    drop(batch);
    comes_to(&driver, 0);
}

#[test]
fn threads_that_pass_a_buffer_at_once_copy_it_once() {
    let driver = crew(2);
    let buf = tensor(MIB).data().clone();
    std::thread::scope(|scope| {
        for thread in 1..5 {
            let (driver, buf) = (&driver, buf.slice(0..MIB - thread));
            scope.spawn(move || {
                assert!(back::remote(buf.clone(), thread).get().unwrap().0 == buf);
                assert!(objects(driver).0 <= 2, "the largest part, and the whole");
            });
        }
    });
    drop(buf);
    comes_to(&driver, 0);
}

#[task]
fn make(len: usize) -> Tensor<f32> {
    tensor(len)
}

#[test]
fn a_value_is_viewed_in_place() {
    let driver = crew(1);
    make::remote(LARGE).get().unwrap();
    comes_to(&driver, 0);
    let before = own_bytes();
    let made = make::remote(LARGE).get().unwrap();
    assert_eq!(objects(&driver), (1, 4 * LARGE as u64));
    assert!(is_shared(made.data()));
    let sum = sample(&made);
    let grown = own_bytes().saturating_sub(before);
    assert!(grown < 10 * MIB, "{grown} bytes of the driver's own");
    assert_eq!(sum, sample(&tensor(LARGE)));
    let other = made.clone();
    drop(made);
    assert_eq!(objects(&driver).0, 1);
    drop(other);
    comes_to(&driver, 0);
}

#[task]
fn add_up(tensor: &Tensor<f32>) -> (u32, f64) {
    std::thread::sleep(Duration::from_millis(2));
    (id(), sample(tensor))
}

#[test]
fn a_value_goes_on_to_another_worker_and_not_through_the_driver() {
    let driver = crew(2);
    let made = make::remote(LARGE);
    made.wait();
    let before = own_bytes();
    let sums: Vec<_> = (0..40).map(|_| add_up::remote(&made)).collect();
    let processes: BTreeSet<u32> = sums.iter().map(|sum| sum.get().unwrap().0).collect();
    assert!(processes.len() == 2 && !processes.contains(&id()), "{processes:?}");
    let grown = own_bytes().saturating_sub(before);
    assert!(grown < 20 * MIB, "{grown} bytes in the driver");
    assert_eq!(objects(&driver), (1, 4 * LARGE as u64));
    assert_eq!(sums[0].get().unwrap().1, sample(&tensor(LARGE)));
    drop(made);
    comes_to(&driver, 0);
}

#[task]
fn back(buf: &Buf<f32>, from: usize) -> (Buf<f32>, Buf<f32>) {
    (buf.clone(), buf.slice(from..))
}

#[test]
fn parts_and_what_comes_back_are_the_same_object() {
    let driver = crew(1);
    let buf = Buf::from_iter((0..MIB).map(|i| i as f32));
    let (all, part) = back::remote(buf.clone(), 100).get().unwrap();
    assert!(all == buf && part == buf.slice(100..));
    assert_eq!(part.as_ptr(), &raw const all[100]);
    let (again, part) = back::remote(part, 1000).get().unwrap();
    assert_eq!(again.as_ptr(), &raw const all[100]);
    assert_eq!(part.as_ptr(), &raw const all[1100]);
    assert_eq!(objects(&driver), (1, 4 * MIB as u64));
    drop(buf);
    assert!(all.len() == MIB && all[MIB - 1] == (MIB - 1) as f32, "a view of what is deleted");
    drop((all, part, again));
    comes_to(&driver, 0);
}

fn kill_self() {
    Command::new("kill").args(["-9", &id().to_string()]).status().unwrap();
    std::thread::sleep(Duration::from_secs(30));
}

#[task(retries = 1)]
fn killed_once(tensor: &Tensor<f32>) -> (u32, f64) {
    if context().attempt() == 1 {
        kill_self();
    }
    (context().attempt(), sample(tensor))
}

#[test]
fn another_attempt_names_the_same_object() {
    let driver = crew(2);
    let large = tensor(MIB);
    let sum = sample(&large);
    let large = put(large);
    assert_eq!(killed_once::remote(&large).get().unwrap(), (2, sum));
    assert_eq!(objects(&driver).0, 1);
    drop(large);
    comes_to(&driver, 0);
}

/// Kills the process that made it when it is dropped there, which is when its encoding is made and not yet sent.
#[derive(Clone, Serialize, Deserialize)]
struct Last {
    tensor: Tensor<f32>,
    process: u32,
    attempt: u32,
}

impl Drop for Last {
    fn drop(&mut self) {
        if self.process == id() && self.attempt == 1 {
            kill_self();
        }
    }
}

#[task(retries = 1)]
fn last() -> Last {
    Last { tensor: tensor(MIB), process: id(), attempt: context().attempt() }
}

#[task(isolated, retries = 1)]
fn last_isolated() -> Last {
    Last { tensor: tensor(MIB), process: id(), attempt: context().attempt() }
}

#[test]
fn what_a_worker_made_and_did_not_send_goes_with_it() {
    let driver = crew(1);
    for submit in [|| last::remote(), || last_isolated::remote()] {
        let value = submit().take().unwrap();
        assert_eq!((value.attempt, value.tensor.data()[999]), (2, 999.0));
        assert_eq!(objects(&driver).0, 1, "and not the first attempt's");
        drop(value);
        comes_to(&driver, 0);
    }
}

/// Is killed some time about its answer.
#[task(retries = 3)]
fn killed_about(after_micros: u64) -> Tensor<f32> {
    if context().attempt() == 1 {
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(after_micros));
            kill_self();
        });
    }
    tensor(MIB / 4)
}

#[test]
fn a_death_about_the_answer_leaves_nothing() {
    let driver = crew(1);
    for i in 0..24 {
        let value = killed_about::remote(i * 400).get().unwrap();
        assert_eq!(sample(&value), sample(&tensor(MIB / 4)), "also when its maker is gone");
    }
    comes_to(&driver, 0);
}

#[test]
fn a_value_that_nobody_takes_leaves_nothing() {
    let driver = crew(1);
    (0..20).for_each(|_| drop(make::remote(MIB)));
    make::remote(MIB).cancel();
    add_up::remote(tensor(10)).wait();
    comes_to(&driver, 0);
}

#[task]
fn fails_with(tensor: Tensor<f32>) -> Result<Tensor<f32>, std::fmt::Error> {
    if tensor.data().is_empty() { Ok(tensor) } else { Err(std::fmt::Error) }
}

#[test]
fn an_error_leaves_nothing() {
    let driver = crew(1);
    assert!(fails_with::remote(tensor(MIB)).get().is_err());
    comes_to(&driver, 0);
}

#[test]
fn without_room_the_bytes_are_sent() {
    let driver = with(Config::default().processes(1).object_store(2 * MIB as u64));
    let (all, part) = back::remote(tensor(3 * MIB).data().clone(), 5).get().unwrap();
    assert!(!is_shared(&all) && all.len() == 3 * MIB && part.len() == 3 * MIB - 5);
    assert_eq!(objects(&driver), (0, 0));
    assert_eq!(all[..], tensor(3 * MIB).data()[..]);
}

#[test]
fn more_than_fits_is_spilled_or_sent() {
    let driver = with(Config::default().processes(1).object_store(24 * MIB as u64));
    let expected = sample(&tensor(MIB));
    let arguments: Vec<_> = (0..12).map(|_| put(tensor(MIB))).collect();
    for _ in 0..2 {
        for argument in &arguments {
            assert_eq!(add_up::remote(argument).get().unwrap().1, expected);
        }
    }
    assert!(driver.runtime.object_store().unwrap().spilled_objects > 0);
    let values: Vec<_> = (0..12).map(|_| make::remote(MIB).get().unwrap()).collect();
    assert!(values.iter().all(|value| sample(value) == expected));
    assert!(values.iter().any(|value| is_shared(value.data())) && values.iter().any(|value| !is_shared(value.data())));
    drop((arguments, values));
    comes_to(&driver, 0);
}

#[test]
fn there_need_be_no_store() {
    let driver = with(Config::default().processes(1).object_store(0));
    let value = back::remote(tensor(MIB).data().clone(), 1).get().unwrap().0;
    assert!(!is_shared(&value) && driver.runtime.object_store().is_none());
}

#[task(isolated)]
fn double(tensor: &Tensor<f32>) -> (Tensor<f32>, bool) {
    let doubled: Vec<f32> = tensor.data().iter().map(|x| 2.0 * x).collect();
    (Tensor::from(Buf::from(doubled)), is_shared(tensor.data()))
}

#[test]
fn isolated_tasks_do_the_same() {
    let driver = with(Config::default());
    assert!(driver.runtime.object_store().is_none(), "before there is a process");
    let large = put(tensor(MIB));
    for _ in 0..5 {
        let (doubled, was_shared) = double::remote(&large).get().unwrap();
        assert!(was_shared && is_shared(doubled.data()));
        assert_eq!(sample(&doubled), 2.0 * sample(&tensor(MIB)));
        drop(doubled);
        comes_to(&driver, 1);
    }
    drop(large);
    comes_to(&driver, 0);
}

#[task]
fn halve(tensor: &Tensor<f32>) -> Tensor<f32> {
    Tensor::from(Buf::from_iter(tensor.data().iter().map(|x| x / 2.0)))
}

/// Runs a task on a thread of the worker, and one in a process of the worker's own, whose store is the worker's.
#[task]
fn nested(tensor: Tensor<f32>) -> (Tensor<f32>, Tensor<f32>, Tensor<f32>) {
    let tensor = put(tensor);
    let (half, twice) = (halve::remote(&tensor), double::remote(&tensor));
    let (twice, was_shared) = twice.get().unwrap();
    assert!(was_shared && is_shared(twice.data()));
    (half.get().unwrap(), twice, tensor.take().unwrap())
}

#[test]
fn a_worker_runs_tasks_of_its_own() {
    let driver = crew(1);
    let large = tensor(MIB);
    let (half, twice, same) = nested::remote(large.clone()).get().unwrap();
    assert_eq!([sample(&half), sample(&twice)], [sample(&large) / 2.0, sample(&large) * 2.0]);
    assert_eq!(same, large);
    assert_eq!(objects(&driver).0, 3, "the third is the argument");
    drop((half, twice, same, large));
    comes_to(&driver, 0);
}

#[test]
fn values_outlive_their_runtime_and_go_on_to_the_next() {
    let kept = {
        let _driver = crew(1);
        make::remote(MIB).get().unwrap()
    };
    assert_eq!(sample(&kept), sample(&tensor(MIB)));
    let driver = crew(1);
    assert_eq!(add_up::remote(kept.clone()).get().unwrap().1, sample(&tensor(MIB)));
    assert_eq!(objects(&driver).0, 1, "a copy in this runtime's store");
    drop(kept);
    comes_to(&driver, 0);
}

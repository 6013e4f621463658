//! Large buffers between the processes of a cluster: read once by each that needs them, and let go by all.
#![allow(clippy::unwrap_used)]
#![cfg(feature = "command")]

mod common;
mod daemons;

use common::kill;
use daemons::SOON;
use daemons::cluster::Cluster;
use rayline::internal::{Answer, TASKS, published_memories, span_bytes_read};
use rayline::prelude::*;
use rayline::{Buf, ErrorKind, context};
use rayline_store::{Carrier, ImportError, Name, encode_with};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::process::id;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const MB: usize = 1_000_000;

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < SOON, "not within {SOON:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Where a worker is, what it has published, and how much it has read.
#[task]
fn counts() -> (u32, usize, u64) {
    std::thread::sleep(Duration::from_millis(5));
    (context().node().0, published_memories(), span_bytes_read())
}

/// The counts of each node's worker that answers.
fn counts_of_nodes() -> BTreeMap<u32, (usize, u64)> {
    let all: Vec<_> = (0..30).map(|_| counts::remote()).collect();
    all.iter().map(|counts| counts.get().unwrap()).map(|(node, published, read)| (node, (published, read))).collect()
}

/// Nothing is published here, nor by a worker.
fn all_is_let_go() {
    eventually("nothing is published here", || published_memories() == 0);
    eventually("nothing is published there", || counts_of_nodes().values().all(|(published, _)| *published == 0));
}

fn tensor(bytes: usize) -> Tensor<f32> {
    Tensor::from(Buf::from_iter((0..bytes / 4).map(|i| (i % 1013) as f32)))
}

/// Of all elements, exact.
fn sum(tensor: &Tensor<f32>) -> f64 {
    tensor.data().iter().map(|x| f64::from(*x)).sum()
}

#[derive(Clone, Serialize, Deserialize)]
struct Deep {
    name: String,
    layers: Vec<Option<(u8, Tensor<f32>)>>,
}

#[task]
fn add_up(deep: &Deep) -> (u32, f64) {
    std::thread::sleep(Duration::from_millis(5));
    assert_eq!(deep.name, "deep");
    (context().node().0, deep.layers.iter().flatten().map(|(_, tensor)| sum(tensor)).sum())
}

#[task]
fn total(tensor: Tensor<f32>) -> f64 {
    sum(&tensor)
}

#[task]
fn make(bytes: usize, millis: u64) -> Tensor<f32> {
    std::thread::sleep(Duration::from_millis(millis));
    tensor(bytes)
}

#[task]
fn back(tensor: Tensor<f32>) -> (Tensor<f32>, Buf<f32>) {
    let part = tensor.data().slice(1..);
    (tensor, part)
}

#[task(isolated)]
fn total_apart(tensor: &Tensor<f32>) -> (f64, Tensor<f32>) {
    (sum(tensor), tensor.clone())
}

#[test]
fn an_argument_is_read_once_by_each_node() {
    let _cluster = Cluster::at_work("spans-once", 1);
    let tensor = tensor(50 * MB);
    let expected = sum(&tensor);
    let deep = put(Deep { name: "deep".into(), layers: vec![None, Some((1, tensor))] });
    let sums: Vec<_> = (0..50).map(|_| add_up::remote(&deep)).collect();
    let sums: Vec<_> = sums.iter().map(|sum| sum.get().unwrap()).collect();
    assert!(sums.iter().all(|(_, sum)| *sum == expected));
    assert_eq!(sums.iter().map(|(node, _)| *node).collect::<BTreeSet<_>>().len(), 2, "{sums:?}");
    assert_eq!(published_memories(), 1);
    assert!(counts_of_nodes().values().all(|(_, read)| *read == 50 * MB as u64), "{:?}", counts_of_nodes());
    drop(deep);
    all_is_let_go();
}

#[test]
fn an_argument_that_comes_again_is_not_read_again() {
    let _cluster = Cluster::at_work("spans-again", 0);
    let tensor = tensor(10 * MB);
    let expected = sum(&tensor);
    for _ in 0..100 {
        assert_eq!(total::remote(tensor.clone()).get().unwrap(), expected);
    }
    assert!(counts_of_nodes().values().all(|(_, read)| *read == 10 * MB as u64));
    // In its vector it could be written: that is another memory.
    let mut other = tensor.data().clone().into_vec();
    other[0] += 1.0;
    assert_eq!(total::remote(Tensor::from(Buf::from(other))).get().unwrap(), expected + 1.0);
    drop(tensor);
    all_is_let_go();
}

#[test]
fn values_are_read_and_let_go() {
    let _cluster = Cluster::at_work("spans-values", 1);
    let before = span_bytes_read();
    let values: Vec<_> = (0..20).map(|_| make::remote(5 * MB, 0)).collect();
    let expected = sum(&tensor(5 * MB));
    assert!(values.iter().all(|value| sum(&value.get().unwrap()) == expected));
    assert_eq!(span_bytes_read() - before, 100 * MB as u64);
    // A value goes on to other nodes, and comes back in part.
    let (whole, part) = back::remote(&values[0]).get().unwrap();
    assert_eq!((sum(&whole), &part[..]), (expected, &whole.data()[1..]));
    let (apart, same) = total_apart::remote(&values[1]).get().unwrap();
    assert_eq!((apart, sum(&same)), (expected, expected));
    // Nobody waits for these.
    drop((0..10).map(|_| make::remote(5 * MB, 0)).collect::<Vec<_>>());
    drop((values, whole, part, same));
    all_is_let_go();
}

#[derive(Actor)]
#[actor(restarts = 1)]
struct Model {
    parameters: Tensor<f32>,
}

#[methods]
impl Model {
    pub fn new(parameters: Tensor<f32>) -> Self {
        Self { parameters }
    }

    pub fn set(&mut self, parameters: Tensor<f32>) -> f64 {
        self.parameters = parameters;
        sum(&self.parameters)
    }

    pub fn parameters(&self) -> Tensor<f32> {
        self.parameters.clone()
    }

    pub fn sum(&self) -> f64 {
        sum(&self.parameters)
    }

    pub fn aborts(&mut self) {
        std::process::abort();
    }
}

#[test]
fn actors_take_and_give_large_buffers() {
    let _cluster = Cluster::at_work("spans-actors", 0);
    let (first, second) = (tensor(20 * MB), tensor(8 * MB));
    let model = Model::remote(first.clone());
    assert_eq!(model.sum().get().unwrap(), sum(&first));
    assert_eq!(model.set(second.clone()).get().unwrap(), sum(&second));
    for _ in 0..3 {
        assert_eq!(model.parameters().get().unwrap(), second);
    }
    assert!(model.aborts().get().is_err());
    eventually("it begins again with what it was made of", || model.sum().get().is_ok_and(|now| now == sum(&first)));
    drop((first, second));
    assert_eq!(published_memories(), 1, "the constructor's argument is kept for another life");
    drop(model);
    all_is_let_go();
}

/// Names what nobody has.
struct Nowhere;

impl Carrier for Nowhere {
    fn export(&self, _: &Buf<u8>) -> Option<Name> {
        Some(Name::new(b"nowhere", Arc::new(())))
    }

    fn import(&self, _: &[u8]) -> Result<Buf<u8>, ImportError> {
        Err(ImportError::Unavailable { why: "its holder is asleep".into() })
    }
}

#[test]
fn an_argument_that_cant_be_read_costs_a_try() {
    let args = encode_with(&(tensor(MB),), &Nowhere).unwrap();
    let entry = TASKS.iter().find(|entry| entry.name == "spans::total").unwrap();
    let Answer::Died(how) = entry.run.unwrap()(&args, 1, &Nowhere) else { panic!("it has read it") };
    assert_eq!(how, "can't read a large argument: it can't be viewed: its holder is asleep");
}

/// Comes before a buffer in a value: who decodes it waits here, the buffer being unread.
#[derive(Clone, Debug, Serialize)]
struct Gate(u32);

static IS_OPEN: AtomicBool = AtomicBool::new(true);
static WAITING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

impl<'de> Deserialize<'de> for Gate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let maker = u32::deserialize(deserializer)?;
        if !IS_OPEN.load(Ordering::Acquire) {
            WAITING.lock().unwrap().push(maker);
        }
        while !IS_OPEN.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Self(maker))
    }
}

#[task(retries = 2)]
fn gated() -> (Gate, Tensor<f32>) {
    (Gate(id()), tensor(5 * MB))
}

#[task(retries = 0)]
fn gated_once() -> (Gate, Tensor<f32>) {
    (Gate(id()), tensor(5 * MB))
}

/// The process whose answer waits to be read.
fn maker_at_the_gate() -> u32 {
    eventually("an answer is at the gate", || !WAITING.lock().unwrap().is_empty());
    WAITING.lock().unwrap().pop().unwrap()
}

/// Reads a value on a thread of its own.
fn reading<T: Clone + Send + Sync + 'static>(object: ObjectRef<T>) -> JoinHandle<rayline::Result<T>> {
    std::thread::spawn(move || object.get_timeout(SOON))
}

fn kill_and_wait(pid: u32) {
    kill(pid);
    let runs = || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"));
    eventually("a killed process is gone", || !runs());
}

#[test]
fn a_value_whose_worker_dies_before_it_is_read_is_made_again() {
    let _cluster = Cluster::at_work("spans-dies", 0);
    IS_OPEN.store(false, Ordering::Release);
    let value = reading(gated::remote());
    let first = maker_at_the_gate();
    // The lane's other answers don't wait for it.
    assert_eq!(counts_of_nodes().len(), 1);
    kill_and_wait(first);
    IS_OPEN.store(true, Ordering::Release);
    let (Gate(second), made) = value.join().unwrap().unwrap();
    assert_ne!(first, second);
    assert_eq!(sum(&made), sum(&tensor(5 * MB)));

    IS_OPEN.store(false, Ordering::Release);
    let value = reading(gated_once::remote());
    kill_and_wait(maker_at_the_gate());
    IS_OPEN.store(true, Ordering::Release);
    let error = value.join().unwrap().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Lost(why) if why.contains("has no retries left")), "{error}");
    drop(made);
    all_is_let_go();
}

#[test]
fn a_shutdown_waits_for_values_that_are_yet_to_be_read() {
    let mut cluster = Cluster::at_work("spans-shutdown", 0);
    let begun = [make::remote(30 * MB, 300), make::remote(30 * MB, 300)];
    std::thread::sleep(Duration::from_millis(100));
    drop(cluster.runtime.take());
    let kept: Vec<_> = begun.iter().map(|value| value.get().unwrap()).collect();
    assert!(kept.iter().all(|value| sum(value) == sum(&tensor(30 * MB))));
    assert_eq!(published_memories(), 0);
}

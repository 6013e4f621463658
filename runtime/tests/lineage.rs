//! Values that stay on the nodes where they were made: read from there by who needs them, and made again where they are lost.
#![allow(clippy::unwrap_used)]
#![cfg(feature = "command")]

mod common;
mod daemons;

use common::kill;
use daemons::SOON;
use daemons::cluster::Cluster;
use rayline::internal::span_bytes_read;
use rayline::prelude::*;
use rayline::{ErrorKind, Tensor, context};
use std::time::{Duration, Instant};

/// Elements of a value that stays where it was made.
const LARGE: usize = 300_000;

/// Where it ran, and many numbers.
#[task(retries = 5)]
fn make(fill: f32) -> (u32, Tensor<f32>) {
    (context().node().0, Tensor::from_shape_vec((LARGE,), vec![fill; LARGE]).unwrap())
}

/// One more in each number.
#[task(retries = 5)]
fn next(before: &(u32, Tensor<f32>)) -> (u32, Tensor<f32>) {
    let numbers: Vec<f32> = before.1.data().iter().map(|x| x + 1.0).collect();
    (context().node().0, Tensor::from_shape_vec((LARGE,), numbers).unwrap())
}

/// Where it runs, where its argument was made, and what that begins with.
#[task]
fn look(of: &(u32, Tensor<f32>)) -> (u32, u32, f32) {
    (context().node().0, of.0, of.1.data()[0])
}

/// The same on a lease.
#[task(resources(license = 1), retries = 3)]
fn look_licensed(of: &(u32, Tensor<f32>)) -> (u32, u32, f32) {
    (context().node().0, of.0, of.1.data()[0])
}

#[task(retries = 0)]
fn make_once(fill: f32) -> (u32, Tensor<f32>) {
    (context().node().0, Tensor::from_shape_vec((LARGE,), vec![fill; LARGE]).unwrap())
}

#[derive(Actor)]
struct Holds {
    first: f32,
}

#[methods]
impl Holds {
    pub fn new(of: &(u32, Tensor<f32>)) -> Self {
        Self { first: of.1.data()[0] }
    }

    pub fn add(&mut self, of: &(u32, Tensor<f32>)) -> f32 {
        self.first += of.1.data()[0];
        self.first
    }
}

#[test]
fn values_go_from_worker_to_worker_and_calls_to_values() {
    let cluster = Cluster::at_work("lineage-moves", 1);
    let before = span_bytes_read();
    let made: Vec<_> = (0..20).map(|i| make::remote(i as f32)).collect();
    wait(made.clone(), made.len(), None);
    let looks: Vec<_> = made.iter().map(|value| look::remote(value).get().unwrap()).collect();
    assert!(looks.iter().enumerate().all(|(i, look)| look.2 == i as f32));
    assert!(looks.iter().all(|(here, there, _)| here == there), "calls go where their argument is: {looks:?}");
    // A lease is where the license is, whose node reads what it hasn't.
    let licensed: Vec<_> = made.iter().map(|value| look_licensed::remote(value).get().unwrap()).collect();
    assert!(licensed.iter().all(|(node, _, _)| *node == 2));
    assert!(licensed.iter().any(|(_, made, _)| *made == 1) || looks.iter().all(|(_, made, _)| *made == 2));
    let holds = Holds::remote(&made[3]);
    assert_eq!(holds.add(&made[4]).get().unwrap(), 7.0);
    let bytes = (LARGE * 4) as u64;
    assert_eq!(span_bytes_read() - before, bytes, "the driver has read what a constructor needs in each life only");
    assert_eq!(made[5].get().unwrap().1.data()[LARGE - 1], 5.0);
    assert_eq!(span_bytes_read() - before, 2 * bytes);
    drop(cluster);
}

#[test]
fn a_chain_that_a_node_has_taken_along_is_made_again() {
    let mut cluster = Cluster::at_work("lineage-chain", 2);
    // The intermediate values are dropped: each is only in the lineage of the next.
    let last = (0..50).fold(make::remote(0.0), |value, _| next::remote(&value));
    let other = make::remote(7.0);
    let (_, holder, first) = look::remote(&last).get().unwrap();
    assert_eq!(first, 50.0);
    if holder == 1 {
        // The head's node: its worker alone is killed.
        kill(worker_on(1));
    } else {
        drop(cluster.nodes.remove(holder as usize - 2));
    }
    let (_, made, first) = look::remote(&last).get_timeout(SOON).unwrap();
    assert_eq!(first, 50.0);
    assert!(holder == 1 || made != holder, "it was made again elsewhere");
    assert_eq!(last.get_timeout(SOON).unwrap().1.data()[LARGE - 1], 50.0);
    assert_eq!(look::remote(&other).get_timeout(SOON).unwrap().2, 7.0);
    assert_eq!(rayline::block_on(async { last.await.unwrap().1.data()[1] }), 50.0);
}

/// The worker's process on a node.
fn worker_on(node: u32) -> u32 {
    let begin = Instant::now();
    loop {
        let all: Vec<_> = (0..10).map(|_| pid::remote()).collect();
        if let Some((_, pid)) = all.iter().map(|pid| pid.get().unwrap()).find(|(on, _)| *on == node) {
            return pid;
        }
        assert!(begin.elapsed() < SOON, "nothing runs on n{node}");
    }
}

#[test]
fn a_value_without_retries_is_lost_with_a_word() {
    let cluster = Cluster::at_work("lineage-once", 0);
    let value = make_once::remote(1.0);
    value.wait();
    kill(worker_on(1));
    let error = value.get_timeout(SOON).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Lost(why) if why.contains("no retries left")), "{error}");
    let error = look::remote(&value).get_timeout(SOON).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Argument, "{error}");
    let late = make::remote(2.0);
    late.wait();
    drop(cluster);
    assert_eq!(late.get().unwrap_err().kind(), &ErrorKind::Shutdown);
}

#[task]
fn pid() -> (u32, u32) {
    std::thread::sleep(Duration::from_millis(5));
    (context().node().0, std::process::id())
}

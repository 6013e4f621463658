//! A cluster on loopback with this process as its driver.

use super::{Home, SOON};
use crate::common::alone;
use rayline::prelude::*;
use rayline::{Config, Runtime, context};
use std::collections::BTreeSet;
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

/// A head with two CPUs, other nodes with three CPUs and two licenses each, and this process as a driver there.
pub struct Cluster {
    pub runtime: Option<Runtime>,
    pub nodes: Vec<Home>,
    pub head: Home,
    _one: MutexGuard<'static, ()>,
}

impl Cluster {
    pub fn new(name: &str, nodes: usize) -> Cluster {
        let one = alone();
        let head = Home::head(name);
        let nodes = (0..nodes).map(|node| Home::node(&format!("{name}-{node}"), &head)).collect();
        let runtime = Some(rayline::init_with(config(&head)).unwrap());
        Cluster { runtime, nodes, head, _one: one }
    }

    /// One whose nodes have all run a task.
    pub fn at_work(name: &str, nodes: usize) -> Cluster {
        let cluster = Cluster::new(name, nodes);
        let begin = Instant::now();
        while working() <= nodes {
            assert!(begin.elapsed() < SOON, "not all nodes work");
        }
        cluster
    }

    pub fn add_node(&mut self, name: &str) {
        self.nodes.push(Home::node(name, &self.head));
    }

    /// Waits until as many CPUs are used as there are leases for.
    pub fn wait_for_used(&self, cpus: f64) {
        let begin = Instant::now();
        loop {
            let status = self.head.json(&["status", "--json"]);
            if status["used"]["cpu"].as_f64() == Some(cpus) {
                return;
            }
            assert!(begin.elapsed() < SOON, "not {cpus} CPUs are used: {status}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.runtime.take());
    }
}

/// What a driver on the head's machine begins with.
pub fn config(head: &Home) -> Config {
    Config::default().cpus(2).address(&head.address()).secret_file(head.file("secret"))
}

#[task]
fn node() -> u32 {
    std::thread::sleep(Duration::from_millis(5));
    context().node().0
}

/// How many nodes answer.
fn working() -> usize {
    let all: Vec<_> = (0..30).map(|_| node::remote()).collect();
    all.iter().map(|node| node.get().unwrap()).collect::<BTreeSet<_>>().len()
}

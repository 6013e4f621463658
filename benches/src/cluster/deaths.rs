//! What deaths cost.

use super::daemons::Cluster;
use super::tasks::warm_up;
use crate::metric::Metric;
use anyhow::{Context, Result};
use rayline::prelude::*;
use std::path::{Path, PathBuf};
use std::process::{Command, id};
use std::time::{Duration, Instant};

/// Writes its node and its process's id where nobody has done so, and then waits to be killed, or for the file to go; the
/// second attempt returns.
#[task(retries = 3)]
fn killed_once(file: String) -> u32 {
    if !Path::new(&file).exists() {
        let told = format!("{} {}", rayline::context().node().0, id());
        std::fs::write(format!("{file}.new"), told).expect("the folder is there");
        std::fs::rename(format!("{file}.new"), &file).expect("the file was just written");
        let begin = Instant::now();
        while Path::new(&file).exists() && begin.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    id()
}

/// The node and the process that have begun.
fn told(file: &Path) -> Result<(u32, String)> {
    let begin = Instant::now();
    while !file.exists() {
        anyhow::ensure!(begin.elapsed() < Duration::from_secs(10), "no task has begun");
        std::thread::sleep(Duration::from_millis(1));
    }
    let told = std::fs::read_to_string(file)?;
    let (node, pid) = told.split_once(' ').context("two numbers")?;
    Ok((node.parse()?, pid.to_owned()))
}

/// An actor that is saved after each call.
#[derive(Actor)]
#[actor(restarts = 1000, checkpoint = 1)]
struct Saved {
    sum: u64,
}

impl Checkpoint for Saved {
    type State = u64;

    fn save(&self) -> u64 {
        self.sum
    }

    fn restore(sum: u64) -> Self {
        Self { sum }
    }
}

#[methods]
impl Saved {
    pub fn new() -> Self {
        Self { sum: 0 }
    }

    pub fn add(&mut self, n: u64) -> u64 {
        self.sum += n;
        self.sum
    }

    pub fn pid(&self) -> u32 {
        id()
    }
}

/// From `kill -9` of the process of an actor to the first answer of its next life, which has the state of the last.
pub fn actor_restart(reps: usize) -> Result<Metric> {
    let cluster = Cluster::start(&[1])?;
    let _runtime = cluster.join()?;
    let actor = Saved::remote();
    let mut values = Vec::new();
    for rep in 0..reps as u64 {
        anyhow::ensure!(actor.add(1).get()? == rep + 1, "the state is lost");
        let pid = actor.pid().get()?;
        let begin = Instant::now();
        Command::new("kill").args(["-KILL", &pid.to_string()]).status().context("no `kill`")?;
        // A call that was on its way when the process died fails.
        while actor.pid().get().map_or(true, |now| now == pid) {
            anyhow::ensure!(begin.elapsed() < Duration::from_secs(10), "the actor doesn't begin again");
        }
        values.push(begin.elapsed().as_secs_f64() * 1e3);
        // One that dies soon after its start, a second time, is not hired again at once.
        std::thread::sleep(Duration::from_millis(1100));
    }
    Ok(Metric::of("actor_restart", "ms", values))
}

fn fresh(rep: usize) -> PathBuf {
    let file = std::env::temp_dir().join(format!("rayline-bench-{}-killed-{rep}", id()));
    // What an earlier run left.
    let _ = std::fs::remove_file(&file);
    file
}

/// From `kill -9` of a worker process to the first result of the task that ran there.
pub fn worker_kill(reps: usize) -> Result<Metric> {
    let cluster = Cluster::start(&[1])?;
    let _runtime = cluster.join()?;
    warm_up(1)?;
    let mut values = Vec::new();
    for rep in 0..reps {
        let file = fresh(rep);
        let task = killed_once::remote(file.display().to_string());
        let (_, pid) = told(&file)?;
        let begin = Instant::now();
        Command::new("kill").args(["-KILL", &pid]).status().context("no `kill`")?;
        task.get()?;
        values.push(begin.elapsed().as_secs_f64() * 1e3);
        std::fs::remove_file(file)?;
        // One that dies soon after its start, a second time, is not hired again at once.
        std::thread::sleep(Duration::from_millis(1100));
    }
    Ok(Metric::of("worker_kill", "ms", values))
}

/// From `kill -9` of a node's daemon to the first result of the task that ran there, on another node.
pub fn node_kill(reps: usize) -> Result<Metric> {
    let mut values = Vec::new();
    for rep in 0..reps.min(5) {
        let mut cluster = Cluster::start(&[1, 1, 1])?;
        let _runtime = cluster.join()?;
        warm_up(3)?;
        // Two of three nodes have a task, so that one has room.
        let files = [fresh(2 * rep), fresh(2 * rep + 1)];
        let tasks = files.each_ref().map(|file| killed_once::remote(file.display().to_string()));
        let nodes = files.each_ref().map(|file| told(file));
        let [first, second] = nodes.map(|told| told.map(|(node, _)| node));
        let node = first?.max(second?);
        let begin = Instant::now();
        cluster.kill(node as usize - 1)?;
        // The one that ran there returns first; the other not before its file is gone, and the runtime not before it.
        let (ready, late) = wait(tasks.into_iter().collect(), 1, Some(Duration::from_secs(10)));
        anyhow::ensure!(ready.len() == 1, "no task has run again");
        values.push(begin.elapsed().as_secs_f64() * 1e3);
        files.iter().try_for_each(std::fs::remove_file)?;
        late.iter().for_each(ObjectRef::wait);
    }
    Ok(Metric::of("node_kill_tasks", "ms", values))
}

//! Programs on clusters of real daemons on loopback: their tasks run on the nodes, and outlive workers and nodes.
#![allow(clippy::unwrap_used)]
#![cfg(feature = "command")]

mod common;
mod daemons;

use common::{alone, kill};
use daemons::cluster::{Cluster, config};
use daemons::{Home, SOON, text};
use rayline::prelude::*;
use rayline::{Config, ErrorKind, context};
use std::collections::BTreeSet;
use std::process::{Command, Stdio, id};
use std::time::{Duration, Instant};

#[task]
fn add(a: i64, b: &i64) -> i64 {
    a + b
}

#[task]
fn place() -> (u32, u32) {
    std::thread::sleep(Duration::from_millis(20));
    (context().node().0, id())
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

#[task(resources(license = 1))]
fn licensed(millis: u64) -> u32 {
    std::thread::sleep(Duration::from_millis(millis));
    context().node().0
}

/// A pid file, and what waits for whoever reads it.
#[task(retries = 3)]
fn slow(folder: String, millis: u64) -> u32 {
    let file = format!("{folder}/{}-{}", id(), rand());
    std::fs::write(file, id().to_string()).unwrap();
    std::thread::sleep(Duration::from_millis(millis));
    context().node().0
}

#[task(isolated)]
fn isolated() -> (u32, u32) {
    (context().node().0, id())
}

#[task]
fn sum(numbers: Vec<u64>) -> u64 {
    numbers.iter().sum()
}

#[task(cpu = 1, retries = 0, resources(license = 1))]
fn dies() {
    eprintln!("last words");
    std::process::abort();
}

#[derive(Actor)]
#[actor(restarts = 2, resources(license = 1))]
struct Counter {
    count: u64,
}

#[methods]
impl Counter {
    pub fn new(start: u64) -> Result<Self, std::fmt::Error> {
        if start == 99 {
            return Err(std::fmt::Error);
        }
        Ok(Self { count: start })
    }

    pub fn add(&mut self, n: u64) -> u64 {
        self.count += n;
        self.count
    }

    pub fn place(&self) -> (u32, u32, u32) {
        (context().node().0, id(), context().actor().map_or(0, |(_, life)| life))
    }

    pub async fn sleep(&self, millis: u64) -> u64 {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        self.count
    }

    pub fn panics(&mut self) {
        panic!("on purpose");
    }

    pub fn aborts(&mut self) {
        std::process::abort();
    }
}

/// Counts, is saved every ten calls, and tells how many calls its lives have made.
#[derive(Actor)]
#[actor(restarts = 3, checkpoint = 10)]
struct Ledger {
    sum: u64,
    calls_here: u64,
}

impl Checkpoint for Ledger {
    type State = u64;

    fn save(&self) -> u64 {
        self.sum
    }

    fn restore(sum: u64) -> Self {
        Self { sum, calls_here: 0 }
    }
}

#[methods]
impl Ledger {
    pub fn new() -> Self {
        Self { sum: 0, calls_here: 0 }
    }

    pub fn add(&mut self, n: u64) -> u64 {
        self.calls_here += 1;
        self.sum += n;
        self.sum
    }

    pub fn place(&self) -> (u32, u64) {
        (id(), self.calls_here)
    }
}

fn rand() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

/// A folder of the test's own, that goes with it.
struct Folder(String);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("rayline-driver-{}-{name}", id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Folder(path.display().to_string())
    }

    /// The processes that have written their ids, once there are as many.
    fn pids(&self, count: usize) -> Vec<u32> {
        let begin = Instant::now();
        loop {
            let files = std::fs::read_dir(&self.0).unwrap();
            let pids: Vec<u32> =
                files.filter_map(|file| std::fs::read_to_string(file.unwrap().path()).ok()?.parse().ok()).collect();
            if pids.len() >= count {
                return pids;
            }
            assert!(begin.elapsed() < SOON, "only {} of {count} tasks have begun", pids.len());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"))
}

#[test]
fn tasks_run_on_all_nodes_and_values_come_back() {
    let cluster = Cluster::new("plain", 1);
    cluster.wait_for_used(5.0);
    let places: Vec<_> = (0..100).map(|_| place::remote()).collect();
    let places: BTreeSet<_> = places.iter().map(|place| place.get().unwrap()).collect();
    assert_eq!(places.iter().map(|(node, _)| *node).collect::<Vec<_>>(), [1, 2], "one worker on each node");
    assert!(places.iter().all(|(_, pid)| *pid != id()));
    let sum = (0..200).fold(add::remote(0, 0), |sum, i| add::remote(&sum, i));
    assert_eq!(sum.get().unwrap(), (0..200).sum::<i64>());
    assert_eq!(fib::remote(12).get().unwrap(), 144);
    let many: Vec<_> = (0..20_000).map(|i| (i, add::remote(i, 1))).collect();
    assert!(many.iter().all(|(i, object)| object.get().unwrap() == i + 1));
    let long: Vec<u64> = (0..1_000_000).collect();
    assert_eq!(self::sum::remote(long).get().unwrap(), 499_999_500_000);
}

#[test]
fn errors_come_back_with_their_words() {
    let _cluster = Cluster::new("errors", 1);
    let failed = parse::remote("x".to_owned());
    assert_eq!(failed.get().unwrap_err().to_string(), "driver::parse failed: invalid digit found in string");
    assert_eq!(add::remote(&failed, 1).get().unwrap_err().kind(), &ErrorKind::Argument);
    let died = dies::remote().get().unwrap_err();
    let said = died.to_string();
    assert!(matches!(died.kind(), ErrorKind::WorkerDied { attempt: 1, .. }), "{said}");
    assert!(said.contains("on n2") && said.contains("SIGABRT") && said.contains("last words"), "{said}");
    assert_eq!(add::remote(1, 1).get().unwrap(), 2, "another worker has come");
}

#[test]
fn leases_bind_tasks_to_nodes_that_have_what_they_need() {
    let _cluster = Cluster::new("leases", 1);
    let begin = Instant::now();
    let tasks: Vec<_> = (0..6).map(|_| licensed::remote(50)).collect();
    assert!(tasks.iter().all(|task| task.get().unwrap() == 2));
    assert!(begin.elapsed() >= Duration::from_millis(150), "two licenses: two at a time");
    let none = licensed::call(0).resource("license", 3.0).remote();
    assert!(matches!(none.get().unwrap_err().kind(), ErrorKind::Infeasible(_)));
    let apart: Vec<_> = (0..2).map(|_| isolated::remote().get().unwrap()).collect();
    assert!(apart.iter().all(|(_, pid)| *pid != id()), "{apart:?}");
}

#[test]
fn groups_are_placed_over_nodes_and_actors_live() {
    let _cluster = Cluster::new("groups", 1);
    let group = PlacementGroup::reserve(Strategy::StrictSpread, [Bundle::cpu(1), Bundle::cpu(1)]).unwrap();
    let places: Vec<u32> =
        (0..2).map(|bundle| place::call().place(group.bundle(bundle)).remote().get().unwrap().0).collect();
    assert_eq!(BTreeSet::from_iter(places), BTreeSet::from([1, 2]));
}

#[test]
fn actors_live_on_nodes_and_take_calls_in_order() {
    let cluster = Cluster::new("actors", 1);
    let counter = Counter::remote(40);
    let counts: Vec<_> = (0..500).map(|_| counter.add(1)).collect();
    assert_eq!(counts.iter().map(|count| count.get().unwrap()).collect::<Vec<_>>(), (41..541).collect::<Vec<u64>>());
    let (node, pid, life) = counter.place().get().unwrap();
    assert!((node, life) == (2, 1) && pid != id(), "it is where its license is: {node}, {life}");
    // A call waits for its arguments, and the next for it.
    let slow = fib::remote(15);
    let after = [counter.add(slow), counter.add(1)];
    assert_eq!(after.map(|count| count.get().unwrap()), [540 + 610, 540 + 611]);
    let begin = Instant::now();
    let asleep: Vec<_> = (0..1).map(|_| counter.sleep(50)).collect();
    assert!(asleep.iter().all(|count| count.get().unwrap() == 1151) && begin.elapsed() >= Duration::from_millis(50));
    let shown = cluster.head.json(&["list", "actors", "--json"]);
    assert_eq!((&shown[0]["state"], &shown[0]["node"]), (&"alive".into(), &"n2".into()), "{shown}");
    let jobs = cluster.head.json(&["jobs", "list", "--json"]);
    assert!(jobs[0]["state"] == "running" && jobs[0]["binary"].as_str().is_some_and(|hash| hash.len() == 16), "{jobs}");
    drop(counter);
    let begin = Instant::now();
    while cluster.head.json(&["list", "actors", "--json"])[0]["state"] != "dead" {
        assert!(begin.elapsed() < SOON, "an actor that nobody refers to lives on");
    }
    let failed = Counter::remote(99).add(1).get().unwrap_err();
    assert!(
        matches!(failed.kind(), ErrorKind::ActorDied { .. }) && failed.root().to_string().contains("Counter"),
        "{failed}"
    );
}

#[test]
fn actors_begin_again_and_their_waiting_calls_go_on() {
    let _cluster = Cluster::new("restarts", 1);
    let counter = Counter::remote(0);
    assert_eq!(counter.add(5).get().unwrap(), 5);
    let (_, first, _) = counter.place().get().unwrap();
    let (crash, after) = (counter.panics(), counter.add(1));
    let crashed = crash.get().unwrap_err();
    assert!(crashed.is_panic() && crashed.to_string().contains("on purpose"), "{crashed}");
    assert_eq!(after.get().unwrap(), 1, "what had not begun runs in the next life");
    let (_, second, life) = counter.place().get().unwrap();
    assert_eq!((second, life), (first, 2));
    let aborted = counter.aborts().get().unwrap_err();
    assert!(matches!(aborted.kind(), ErrorKind::WorkerDied { .. }), "{aborted}");
    let begin = Instant::now();
    let third = loop {
        // A call that was on its way when the worker died fails.
        match counter.place().get_timeout(SOON) {
            Ok((_, pid, life)) => break (pid, life),
            Err(error) => assert!(begin.elapsed() < SOON, "{error}"),
        }
    };
    assert!(third.0 != first && third.1 == 3, "{third:?}");
    counter.kill();
    let begin = Instant::now();
    while !matches!(counter.add(1).get(), Err(error) if matches!(error.kind(), ErrorKind::ActorDied { .. })) {
        assert!(begin.elapsed() < SOON, "a killed actor answers");
    }
}

#[test]
fn a_saved_actor_goes_on_in_another_process_where_it_was() {
    let _cluster = Cluster::new("saved", 1);
    let ledger = Ledger::remote();
    let sums: Vec<_> = (1..=37).map(|n| ledger.add(n)).collect();
    assert_eq!(sums.last().unwrap().get().unwrap(), 37 * 38 / 2);
    let (pid, calls) = ledger.place().get().unwrap();
    assert_eq!(calls, 37);
    kill(pid);
    let begin = Instant::now();
    let (other, calls) = loop {
        // A call that was on its way when the worker died fails.
        match ledger.place().get_timeout(SOON) {
            Ok(place) => break place,
            Err(error) => assert!(begin.elapsed() < SOON, "{error}"),
        }
    };
    assert!(other != pid && calls == 7, "seven calls came after the last checkpoint: {calls}");
    assert_eq!(ledger.add(1).get().unwrap(), 37 * 38 / 2 + 1);
    // The next checkpoint comes two calls later.
    let more: Vec<_> = (0..5).map(|_| ledger.add(1)).collect();
    assert_eq!(more[4].get().unwrap(), 37 * 38 / 2 + 6);
    kill(ledger.place().get().unwrap().0);
    let begin = Instant::now();
    while ledger.place().get_timeout(SOON).is_err() {
        assert!(begin.elapsed() < SOON);
    }
    assert_eq!(ledger.add(0).get().unwrap(), 37 * 38 / 2 + 6);
}

#[test]
fn tasks_outlive_their_worker_and_their_node() {
    let cluster = Cluster::new("deaths", 2);
    let folder = Folder::new("deaths");
    let tasks: Vec<_> = (0..8).map(|_| slow::remote(folder.0.clone(), 500)).collect();
    let first = folder.pids(1)[0];
    kill(first);
    assert!(tasks.iter().all(|task| task.get().is_ok()), "a worker's death costs a try");

    let begun = folder.pids(9).len();
    let tasks: Vec<_> = (0..8).map(|_| slow::remote(folder.0.clone(), 500)).collect();
    folder.pids(begun + 8);
    cluster.nodes[0].signal("-KILL");
    let begin = Instant::now();
    let nodes: Vec<u32> = tasks.iter().map(|task| task.get().unwrap()).collect();
    assert!(nodes.iter().all(|node| *node != 2), "what ran on the dead node ran again elsewhere: {nodes:?}");
    assert!(begin.elapsed() < SOON);
}

#[test]
fn a_driver_goes_on_with_a_head_that_was_started_again() {
    let mut cluster = Cluster::new("head", 1);
    let counter = Counter::remote(0);
    assert_eq!(counter.add(1).get().unwrap(), 1);
    let address = cluster.head.address();
    cluster.head.signal("-KILL");
    let begin = Instant::now();
    loop {
        let again =
            cluster.head.run(&["start", "--head", "--listen", &address, "--control", "127.0.0.1:0", "--cpus", "2"]);
        if again.status.success() {
            break;
        }
        assert!(begin.elapsed() < SOON, "{}", text(&again));
    }
    // Until the driver has heard of the new head the old lives of the nodes go on.
    let lost = loop {
        match counter.add(1).get_timeout(SOON) {
            Err(error) if matches!(error.kind(), ErrorKind::ActorDied { .. }) => break error,
            _ => assert!(begin.elapsed() < SOON, "the actor of an earlier head lives on"),
        }
    };
    assert!(lost.to_string().contains("started anew"), "{lost}");
    // The nodes take other names.
    let nodes: BTreeSet<u32> = (0..20).map(|_| place::remote()).map(|place| place.get().unwrap().0).collect();
    assert!(nodes.iter().all(|node| *node > 2), "{nodes:?}");
    let begin = Instant::now();
    while !matches!(Counter::remote(5).add(1).get_timeout(SOON), Ok(6)) {
        assert!(begin.elapsed() < SOON, "actors can't be made any more");
    }
    drop(cluster.runtime.take());
}

#[test]
fn a_node_that_comes_later_gets_work() {
    let mut cluster = Cluster::new("late", 0);
    let folder = Folder::new("late");
    let tasks: Vec<_> = (0..600).map(|_| slow::remote(folder.0.clone(), 10)).collect();
    folder.pids(2);
    cluster.add_node("late-1");
    let nodes: BTreeSet<u32> = tasks.iter().map(|task| task.get().unwrap()).collect();
    assert_eq!(nodes, BTreeSet::from([1, 2]));
    assert_eq!(licensed::remote(0).get().unwrap(), 2);
}

#[test]
fn a_shutdown_waits_for_running_tasks_and_leaves_nothing() {
    let mut cluster = Cluster::new("shutdown", 1);
    cluster.wait_for_used(5.0);
    let folder = Folder::new("shutdown");
    let task = slow::remote(folder.0.clone(), 300);
    let pid = folder.pids(1)[0];
    drop(cluster.runtime.take());
    assert!(task.get().is_ok(), "what ran may end");
    assert!(!runs(pid), "its worker is gone");
    cluster.wait_for_used(0.0);
    cluster.runtime = Some(rayline::init_with(config(&cluster.head)).unwrap());
    assert_eq!(add::remote(1, 1).get().unwrap(), 2, "the same process joins again");
}

/// Not a test of its own: the program of the next.
#[test]
fn program_that_is_killed() {
    let Ok(folder) = std::env::var("RAYLINE_TEST_FOLDER") else { return };
    let _runtime = rayline::init().unwrap();
    let tasks: Vec<_> = (0..5).map(|_| slow::remote(folder.clone(), 60_000)).collect();
    tasks.iter().for_each(|task| drop(task.get()));
}

#[test]
fn workers_and_leases_of_a_dead_driver_go() {
    let cluster = Cluster::new("driver", 1);
    cluster.wait_for_used(5.0);
    let folder = Folder::new("driver");
    let mut driver = Command::new(std::env::current_exe().unwrap());
    driver.args(["--exact", "program_that_is_killed", "--nocapture"]).stdout(Stdio::null()).stderr(Stdio::null());
    driver.env("RAYLINE_TEST_FOLDER", &folder.0).env("RAYLINE_ADDRESS", cluster.head.address());
    let mut driver = driver.env("RAYLINE_SECRET_FILE", cluster.head.file("secret")).spawn().unwrap();
    let pids = folder.pids(1);
    driver.kill().unwrap();
    driver.wait().unwrap();
    let begin = Instant::now();
    while pids.iter().any(|pid| runs(*pid)) {
        assert!(begin.elapsed() < Duration::from_secs(1), "workers outlive their driver");
        std::thread::sleep(Duration::from_millis(5));
    }
    // What it held is this driver's again.
    assert!((0..100).all(|i| add::remote(i, 1).get().unwrap() == i + 1));
    cluster.wait_for_used(5.0);
}

#[test]
fn a_program_that_cant_join_says_what_to_do() {
    let _one = alone();
    let head = Home::head("join");
    let refused = |config: Config| rayline::init_with(config).unwrap_err();
    let nowhere = refused(config(&head).address("127.0.0.1:1"));
    assert!(matches!(nowhere.kind(), ErrorKind::Cluster(_)));
    assert!(nowhere.to_string().contains("check the address"), "{nowhere}");
    let other = Home::head("join-other");
    let wrong = refused(config(&head).secret_file(other.file("secret"))).to_string();
    assert!(wrong.contains("another cluster"), "{wrong}");
    let none = refused(config(&head).secret_file("nowhere")).to_string();
    assert!(none.contains("RAYLINE_SECRET_FILE"), "{none}");
    let name = refused(config(&head).address("no address")).to_string();
    assert!(name.contains("10.0.0.1:7741"), "{name}");
    let both = refused(config(&head).processes(2)).to_string();
    assert!(both.contains("leave `processes` out"), "{both}");
    assert!(text(&head.run(&["status"])).contains("1 alive"));
}

//! References inside values that go to other processes: of objects, and of actors.
#![allow(clippy::unwrap_used)]

mod common;
#[cfg(feature = "command")]
mod daemons;

use common::{alone, kill};
use rayline::internal::exported_refs;
use rayline::prelude::*;
use rayline::{Config, ErrorKind, Tensor, context};
use serde::{Deserialize, Serialize};
use std::process::id;
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);

/// A runtime with two worker processes.
fn crew() -> (rayline::Runtime, MutexGuard<'static, ()>) {
    let one = alone();
    (rayline::init_with(Config::default().cpus(2).processes(2)).unwrap(), one)
}

/// References deep in a value.
#[derive(Clone, Serialize, Deserialize)]
struct Parts {
    name: String,
    parts: Vec<ObjectRef<Tensor<f32>>>,
    total: Option<ObjectRef<f64>>,
}

fn tensor(fill: f32, len: usize) -> Tensor<f32> {
    Tensor::from_shape_vec((len,), vec![fill; len]).unwrap()
}

#[task]
fn slow_tensor(fill: f32, len: usize) -> Tensor<f32> {
    std::thread::sleep(Duration::from_millis(30));
    tensor(fill, len)
}

#[task]
fn total(of: Parts) -> f64 {
    let parts = of.parts.iter().map(|part| part.get().unwrap().data().iter().map(|x| f64::from(*x)).sum::<f64>());
    parts.sum::<f64>() + of.total.map_or(0.0, |total| total.get().unwrap())
}

/// Makes the parts by tasks of its own, of which some run on when it returns.
#[task]
fn make(len: usize) -> Parts {
    let parts = vec![slow_tensor::remote(1.0, len), slow_tensor::remote(2.0, len)];
    Parts { name: format!("made by {}", id()), parts, total: Some(put(0.5)) }
}

/// Gives on what it was given.
#[task]
fn pass(of: Parts) -> Parts {
    Parts { name: format!("{}, passed by {}", of.name, id()), ..of }
}

#[task]
fn fails() -> f64 {
    panic!("on purpose")
}

#[derive(Actor)]
struct Sum {
    sum: f64,
}

#[methods]
impl Sum {
    pub fn new() -> Self {
        Self { sum: 0.0 }
    }

    pub fn add(&mut self, tensor: &Tensor<f32>) -> f64 {
        self.sum += tensor.data().iter().map(|x| f64::from(*x)).sum::<f64>();
        self.sum
    }

    pub fn place(&self) -> (u32, u32) {
        (context().node().0, id())
    }

    pub async fn sum(&self) -> f64 {
        self.sum
    }

    pub fn state(&self) -> Tensor<f32> {
        tensor(self.sum as f32, 100_000)
    }

    pub fn panics(&mut self) {
        panic!("in a method")
    }
}

/// Adds to an actor that it was given, once with a late argument.
#[task]
fn adds(to: SumRef, len: usize) -> Vec<f64> {
    let late = to.add(slow_tensor::remote(1.0, len));
    let after = to.add(tensor(2.0, 10));
    vec![late.get().unwrap(), after.get().unwrap(), to.sum().get().unwrap()]
}

/// Where the actor is, and what it answers with.
#[task]
fn asks(of: SumRef) -> ((u32, u32), f32) {
    (of.place().get().unwrap(), of.state().get().unwrap().data()[99_999])
}

#[task]
fn ends(actor: SumRef) -> String {
    actor.kill();
    let begin = Instant::now();
    loop {
        match actor.sum().get() {
            Err(error) => return error.to_string(),
            Ok(_) => assert!(begin.elapsed() < SOON, "it lives on"),
        }
    }
}

#[task]
fn error_of(of: Parts) -> String {
    of.total.unwrap().get().unwrap_err().to_string()
}

#[task]
fn error_of_method(actor: SumRef) -> String {
    actor.panics().get().unwrap_err().to_string()
}

/// An actor of the task's own.
#[task]
fn make_sum() -> (SumRef, u32) {
    let sum = Sum::remote();
    sum.add(tensor(1.0, 5));
    (sum, id())
}

#[task]
fn same(a: SumRef, b: SumRef) -> bool {
    a.id() == b.id()
}

#[task(isolated)]
fn isolated_total(of: Parts) -> f64 {
    total(of)
}

/// Keeps another.
#[derive(Actor)]
struct Keeper {
    kept: Option<SumRef>,
}

#[methods]
impl Keeper {
    pub fn new(kept: SumRef) -> Self {
        Self { kept: Some(kept) }
    }

    pub fn add(&self, fill: f32) -> f64 {
        self.kept.as_ref().unwrap().add(tensor(fill, 3)).get().unwrap()
    }

    pub fn give(&self) -> SumRef {
        self.kept.clone().unwrap()
    }

    pub fn drop_it(&mut self) {
        self.kept = None;
    }
}

/// Waits until nothing is exported any more.
fn nothing_is_left() {
    let begin = Instant::now();
    while exported_refs() > 0 {
        assert!(begin.elapsed() < SOON, "{} references are still exported", exported_refs());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn parts(len: usize) -> Parts {
    let parts = vec![slow_tensor::remote(1.0, len), put(tensor(2.0, len))];
    Parts { name: "parts".into(), parts, total: Some(put(0.5)) }
}

/// References go there, back, and on, those of values that have yet to come too.
fn objects(len: usize) {
    let expected = 3.0 * len as f64 + 0.5;
    assert_eq!(total::remote(parts(len)).get().unwrap(), expected);
    let passed = pass::remote(pass::remote(parts(len)));
    assert_eq!(total::remote(&passed).get().unwrap(), expected);
    let made = make::remote(len).get().unwrap();
    assert!(made.name.starts_with("made by"));
    assert_eq!(total::remote(pass::remote(made.clone())).get().unwrap(), expected);
    assert_eq!(made.parts[1].get().unwrap(), tensor(2.0, len));
    assert_eq!(passed.get().unwrap().parts[0].get().unwrap(), tensor(1.0, len));
    let failed = Parts { name: String::new(), parts: Vec::new(), total: Some(fails::remote()) };
    assert!(error_of::remote(failed).get().unwrap().contains("on purpose"));
    drop((passed, made));
    nothing_is_left();
}

/// Actors are called by whoever was given a reference to them.
fn actors(len: usize) {
    let sum = Sum::remote();
    let expected = vec![len as f64, len as f64 + 20.0, len as f64 + 20.0];
    assert_eq!(adds::remote(sum.clone(), len).get().unwrap(), expected);
    let (place, state) = asks::remote(sum.clone()).get().unwrap();
    assert_eq!((place, state), (sum.place().get().unwrap(), (len + 20) as f32));
    assert!(error_of_method::remote(Sum::remote()).get().unwrap().contains("in a method"));
    let ended = ends::remote(sum.clone()).get().unwrap();
    assert!(ended.contains("dead"), "{ended}");
    assert!(matches!(sum.sum().get().unwrap_err().kind(), ErrorKind::ActorDied { .. }));
    drop(sum);

    let (own, pid) = make_sum::remote().get().unwrap();
    assert_eq!(own.add(tensor(1.0, 5)).get().unwrap(), 10.0);
    assert_eq!(own.place().get().unwrap().1, pid, "it lives where it was made");
    assert_eq!(adds::remote(own.clone(), len).get().unwrap()[0], 10.0 + len as f64);
    assert!(same::remote(own.clone(), own.clone()).get().unwrap());
    drop(own);
    nothing_is_left();
}

/// Whoever holds a reference keeps the actor.
fn holders() {
    let keeper = Keeper::remote(Sum::remote());
    assert_eq!(keeper.add(1.0).get().unwrap(), 3.0);
    let given = keeper.give().get().unwrap();
    keeper.drop_it().get().unwrap();
    assert_eq!(given.add(tensor(1.0, 4)).get().unwrap(), 7.0);
    assert_eq!(
        keeper.give().get().unwrap_err().kind(),
        &ErrorKind::Panicked { message: "called `Option::unwrap()` on a `None` value".into(), attempt: 1 }
    );
    drop((given, keeper));
    nothing_is_left();
}

#[test]
fn objects_go_to_worker_processes() {
    let _crew = crew();
    objects(10);
    objects(200_000);
}

#[test]
fn actors_are_called_from_worker_processes() {
    let _crew = crew();
    actors(10);
    actors(200_000);
    holders();
    assert_eq!(isolated_total::remote(parts(10)).get().unwrap(), 30.5);
}

#[test]
fn what_a_dead_process_had_is_lost_with_a_word() {
    let _crew = crew();
    let (own, pid) = make_sum::remote().get().unwrap();
    let left = make::remote(300_000).get().unwrap();
    kill(pid);
    let begin = Instant::now();
    let error = loop {
        if let Err(error) = own.add(tensor(1.0, 5)).get() {
            break error;
        }
        assert!(begin.elapsed() < SOON);
    };
    assert!(matches!(error.kind(), ErrorKind::WorkerDied { .. }), "{error}");
    // It is of that process or of the other.
    let _ = left.parts[0].get();
    let late = total::remote(Parts { total: None, ..left });
    let _ = late.get_timeout(SOON).map_err(|error| assert!(!matches!(error.kind(), ErrorKind::Timeout(_)), "{error}"));
    assert!(same::remote(own.clone(), own).get().unwrap(), "a reference that leads nowhere is a value still");
    nothing_is_left();
}

#[test]
fn nothing_but_the_runtime_encodes_references() {
    let error = serde_json::to_string(&put(1)).unwrap_err().to_string();
    assert!(error.contains("after `get`"), "{error}");
    assert!(serde_json::from_str::<ObjectRef<u32>>("1").is_err());
}

#[cfg(feature = "command")]
mod on_nodes {
    use super::*;
    use crate::daemons::cluster::Cluster;

    #[test]
    fn objects_go_to_nodes() {
        let _cluster = Cluster::new("refs-objects", 1);
        objects(10);
        objects(200_000);
    }

    #[test]
    fn actors_are_called_from_nodes() {
        let _cluster = Cluster::new("refs-actors", 1);
        actors(10);
        actors(200_000);
        holders();
        let error = isolated_total::remote(parts(10)).get().unwrap_err();
        assert!(error.root().to_string().contains("a reference is in the value"), "{error}");
    }
}

//! What a task or method knows of itself; and values with large buffers.
// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

use rayline::prelude::*;
use rayline::{Config, Runtime, init_with};
use std::sync::LazyLock;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(30);
const CPUS: u32 = 2;

/// The runtime of all tests here.
fn start() {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| init_with(Config::default().cpus(CPUS).gpus(2)).unwrap());
    LazyLock::force(&RUNTIME);
}

/// Name, id, attempt, slots, actor and life, as text where they have no other form here.
type Known = (String, String, u32, usize, Option<u32>);

fn known() -> Known {
    let context = context();
    assert_eq!(context.task_id(), rayline::context().task_id(), "an id is stable within its task");
    let life = context.actor().map(|(_, life)| life);
    (context.task().to_owned(), context.task_id().to_string(), context.attempt(), context.cpu_slots().len(), life)
}

#[task]
fn plain() -> Known {
    known()
}

#[task(name = "training step", cpu = 0.5)]
fn leased() -> Known {
    known()
}

#[task]
async fn asynchronous() -> Known {
    tokio::time::sleep(Duration::from_millis(1)).await;
    known()
}

/// A leased task that runs a plain one on its own stack while it waits.
#[task(cpu = 0.5)]
fn nested() -> (Known, Known) {
    (known(), plain::remote().get().unwrap())
}

#[derive(Actor)]
#[actor(restarts = 1)]
struct Knower;

#[methods]
impl Knower {
    pub fn new() -> Self {
        assert!(context().actor().is_some(), "a constructor knows its actor");
        Self
    }

    pub fn know(&mut self) -> Known {
        known()
    }

    pub async fn know_later(&self) -> Known {
        tokio::time::sleep(Duration::from_millis(1)).await;
        known()
    }

    pub fn crash(&mut self) {
        panic!("crashed on purpose")
    }
}

#[test]
fn a_task_knows_its_name_id_and_attempt() {
    start();
    let (first, second) = (plain::remote().get().unwrap(), plain::remote().get().unwrap());
    assert_eq!((first.0.as_str(), first.2, first.3, first.4), ("context::plain", 1, 1, None));
    assert_ne!(first.1, second.1, "two tasks have two ids");
    assert_eq!(leased::remote().get().unwrap().0, "training step");
    assert_eq!(asynchronous::remote().get().unwrap().0, "context::asynchronous");
    assert_eq!(context().task(), "driver");
    let (outer, inner) = nested::remote().get().unwrap();
    assert_eq!((outer.0.as_str(), inner.0.as_str()), ("context::nested", "context::plain"));
    assert_ne!(outer.1, inner.1, "a task on the stack of another has an id of its own");
}

#[test]
fn a_method_knows_its_actor_and_life() {
    start();
    let actor = Knower::remote();
    let first = actor.know().get().unwrap();
    assert_eq!((first.0.as_str(), first.4), ("context::Knower::know", Some(1)));
    assert_eq!(actor.know_later().get().unwrap().4, Some(1));
    actor.crash();
    assert_eq!(actor.know().get_timeout(Duration::from_secs(20)).unwrap().4, Some(2));
}

#[task]
fn norm(values: &Tensor<f32>) -> f32 {
    values.data().iter().map(|value| value * value).sum::<f32>().sqrt()
}

#[task]
fn address(values: &Tensor<f32>) -> usize {
    values.data().as_ptr() as usize
}

#[test]
fn tensors_are_read_in_place() {
    start();
    let tensor = Tensor::from_shape_vec(vec![2, 2], vec![1.0f32, 2.0, 2.0, 4.0]).unwrap();
    let here = tensor.data().as_ptr() as usize;
    let object = put(tensor);
    assert_eq!(norm::remote(&object).get().unwrap(), 5.0);
    assert_eq!(address::remote(&object).get().unwrap(), here, "no copy was made");
}

#[task]
fn slots() -> Vec<u32> {
    context().cpu_slots()
}

#[task(cpu = 2)]
fn wide_slots() -> Vec<u32> {
    context().cpu_slots()
}

#[task(cpu = 0, gpu = 0.25)]
fn quarter() -> Vec<(u32, f64)> {
    context().gpus().iter().map(|gpu| (gpu.index, gpu.share)).collect()
}

#[derive(Actor)]
#[actor(cpu = 0.5, gpu = 1)]
struct OnGpu;

#[methods]
impl OnGpu {
    pub fn new() -> Self {
        assert_eq!(context().gpus().len(), 1, "a constructor has the actor's GPUs");
        Self
    }

    pub fn gpus(&self) -> Vec<(u32, f64)> {
        context().gpus().iter().map(|gpu| (gpu.index, gpu.share)).collect()
    }

    pub async fn gpus_later(&mut self) -> usize {
        tokio::time::sleep(Duration::from_millis(1)).await;
        context().gpus().len()
    }
}

#[test]
fn a_task_knows_what_it_was_given() {
    start();
    let given: Vec<_> = (0..100).map(|_| slots::remote()).collect();
    for slots in given.iter().map(|slots| slots.get_timeout(LONG).unwrap()) {
        assert!(slots.len() == 1 && slots[0] < CPUS, "{slots:?}");
    }
    let mut wide = wide_slots::remote().get_timeout(LONG).unwrap();
    wide.sort_unstable();
    assert!(wide.len() == 2 && wide[0] < wide[1] && wide[1] < CPUS, "two slots of {CPUS}: {wide:?}");
    let quarters: Vec<_> = (0..8).map(|_| quarter::remote()).collect();
    for gpus in quarters.iter().map(|gpus| gpus.get_timeout(LONG).unwrap()) {
        assert!(matches!(gpus[..], [(0 | 1, 0.25)]), "{gpus:?}");
    }
    let actor = OnGpu::remote();
    assert!(matches!(actor.gpus().get_timeout(LONG).unwrap()[..], [(0 | 1, 1.0)]));
    assert_eq!(actor.gpus_later().get_timeout(LONG).unwrap(), 1);
    assert!(plain_gpus::remote().get_timeout(LONG).unwrap().is_empty());
}

#[task]
fn plain_gpus() -> Vec<(u32, f64)> {
    context().gpus().iter().map(|gpu| (gpu.index, gpu.share)).collect()
}

#[test]
fn no_two_tasks_have_one_id() {
    start();
    let tasks: Vec<_> = (0..500).flat_map(|_| [plain::remote(), leased::remote(), asynchronous::remote()]).collect();
    let mut ids: Vec<String> = tasks.iter().map(|task| task.get_timeout(LONG).unwrap().1).collect();
    ids.push(context().task_id().to_string());
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[task(retries = 2, retry_on(any))]
fn second_try() -> Result<(String, u32), std::num::ParseIntError> {
    let context = context();
    if context.attempt() == 1 {
        *FIRST_ID.lock().unwrap() = context.task_id().to_string();
        "x".parse::<u32>()?;
    }
    Ok((context.task_id().to_string(), context.attempt()))
}

static FIRST_ID: std::sync::Mutex<String> = std::sync::Mutex::new(String::new());

#[test]
fn all_tries_of_a_task_have_one_id() {
    start();
    let (id, attempt) = second_try::remote().get_timeout(LONG).unwrap();
    assert_eq!((id, attempt), (FIRST_ID.lock().unwrap().clone(), 2));
}

#[task]
fn from_a_thread() -> String {
    std::thread::spawn(|| context().task().to_owned()).join().unwrap()
}

#[test]
fn outside_a_task_there_is_the_driver() {
    start();
    let here = context();
    assert_eq!((here.task(), here.attempt(), here.cancelled()), ("driver", 1, false));
    assert!(here.gpus().is_empty() && here.cpu_slots().is_empty() && here.actor().is_none());
    assert_eq!(here.task_id(), context().task_id());
    let within = rayline::block_on(async { context().task_id() });
    assert_eq!(within, here.task_id(), "a future that the driver runs is the driver");
    assert_eq!(
        from_a_thread::remote().get_timeout(LONG).unwrap(),
        "driver",
        "a thread that a task starts isn't the task"
    );
    let actor = Knower::remote();
    assert_eq!(actor.id(), actor.clone().id());
    assert!(format!("{actor:?}").contains("Knower"), "{actor:?}");
}

//! What a task or method knows of itself; and values with large buffers.
// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

use rayline::prelude::*;
use std::time::Duration;

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
    let tensor = Tensor::from_shape_vec(vec![2, 2], vec![1.0f32, 2.0, 2.0, 4.0]).unwrap();
    let here = tensor.data().as_ptr() as usize;
    let object = put(tensor);
    assert_eq!(norm::remote(&object).get().unwrap(), 5.0);
    assert_eq!(address::remote(&object).get().unwrap(), here, "no copy was made");
}

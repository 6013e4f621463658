//! References inside of values: they travel as they are, keep what they refer to, and are read where they are wanted.
// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

mod common;

use common::{LONG, eventually};
use rayline::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicI64, Ordering};

/// Values of type `Weights` that live.
static LIVE: AtomicI64 = AtomicI64::new(0);

#[derive(Serialize, Deserialize)]
struct Weights(Vec<f32>);

impl Weights {
    fn new(n: usize) -> Self {
        LIVE.fetch_add(1, Ordering::SeqCst);
        Self(vec![1.0; n])
    }
}

impl Clone for Weights {
    fn clone(&self) -> Self {
        Self::new(self.0.len())
    }
}

impl Drop for Weights {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A value with references in it, one of them deep.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "")]
struct Model {
    name: String,
    layers: Vec<ObjectRef<Weights>>,
    best: Option<Box<Model>>,
    keeper: Option<KeeperRef>,
}

#[derive(Actor)]
struct Keeper {
    model: Option<Model>,
}

#[methods]
impl Keeper {
    pub fn new() -> Self {
        Self { model: None }
    }

    pub fn keep(&mut self, model: Model) -> usize {
        self.model.insert(model).layers.len()
    }

    /// A reference that the actor holds, given away.
    pub fn layer(&self, index: usize) -> Option<ObjectRef<Weights>> {
        self.model.as_ref()?.layers.get(index).cloned()
    }
}

#[task]
fn layer(n: usize) -> Weights {
    Weights::new(n)
}

#[task]
fn build(name: String, layers: usize) -> Model {
    // The layers are made while the model already travels.
    Model { name, layers: (1..=layers).map(layer::remote).collect(), best: None, keeper: None }
}

#[task]
fn improve(model: Model) -> Model {
    Model { name: format!("{}'", model.name), best: Some(Box::new(model)), layers: vec![], keeper: None }
}

#[task]
fn size(model: &Model) -> Result<usize, Error> {
    let layers = model.layers.iter().chain(model.best.iter().flat_map(|best| &best.layers));
    layers.map(|layer| Ok(layer.read()?.0.len())).sum()
}

#[task]
fn resolved(weights: &Weights) -> usize {
    weights.0.len()
}

/// Takes the reference itself, whether or not its value is there.
#[task]
fn unresolved(weights: ObjectRef<Weights>) -> Result<usize, Error> {
    Ok(weights.read()?.0.len())
}

/// A reference to a reference.
#[task]
fn second(layers: Vec<ObjectRef<Weights>>) -> ObjectRef<Weights> {
    layers[1].clone()
}

#[task]
fn keep_in(model: Model) -> Result<usize, Error> {
    let keeper = model.keeper.clone().expect("it has one");
    keeper.keep(model).get_timeout(LONG)
}

#[test]
fn references_in_values_keep_what_they_refer_to() {
    {
        let model = improve::remote(build::remote("a".to_owned(), 4));
        assert_eq!(size::remote(&model).get_timeout(LONG).unwrap(), 1 + 2 + 3 + 4);
        assert_eq!(model.get_timeout(LONG).unwrap().name, "a'");

        let layers = build::remote("b".to_owned(), 3).get_timeout(LONG).unwrap().layers;
        assert_eq!(resolved::remote(&layers[2]).get_timeout(LONG).unwrap(), 3);
        assert_eq!(unresolved::remote(layers[2].clone()).get_timeout(LONG).unwrap(), 3);
        let second = second::remote(layers).get_timeout(LONG).unwrap();
        assert_eq!(resolved::remote(second).get_timeout(LONG).unwrap(), 2);

        let keeper = Keeper::remote();
        let model = build::remote("c".to_owned(), 5).get_timeout(LONG).unwrap();
        let kept = keep_in::remote(Model { keeper: Some(keeper.clone()), ..model });
        assert_eq!(kept.get_timeout(LONG).unwrap(), 5);
        let given = keeper.layer(4).get_timeout(LONG).unwrap().expect("it keeps five");
        assert_eq!(resolved::remote(given).get_timeout(LONG).unwrap(), 5);
        assert!(LIVE.load(Ordering::SeqCst) > 0);
        // The model in the keeper refers to the keeper: by itself it would live on.
        keeper.kill();
    }
    eventually("nothing is left once nobody refers to it", || LIVE.load(Ordering::SeqCst) == 0);
}

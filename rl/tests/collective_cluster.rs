//! Collective operations, and learners that step together, on a cluster of two nodes: what they give in one process.

#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

mod daemons;

use rayline::{Buf, Config, Tensor, put};
use rayline_rl::collective::{Collective, ReduceOp};
use rayline_rl::ppo::{PpoConfig, Trainer};

/// The sum over three ranks of tensors large enough to go by name, the same on all of them.
fn sum() -> Vec<f32> {
    let mut group = Collective::new(3).unwrap();
    let numbers = |rank: usize| (0..200_000).map(|i| ((i * (rank + 3)) as f32 * 0.37).sin()).collect::<Vec<f32>>();
    let inputs = (0..3).map(|rank| put(Tensor::from(Buf::from(numbers(rank))))).collect();
    let results = group.allreduce(inputs, ReduceOp::Sum).unwrap();
    let mut results: Vec<_> = results.into_iter().map(|r| r.take().unwrap().into_data().into_vec()).collect();
    assert!(results.iter().all(|result| *result == results[0]));
    group.barrier().unwrap();
    results.swap_remove(0)
}

/// Parameters of all learners after some updates.
fn learn() -> Vec<Vec<f32>> {
    let config = PpoConfig { seed: 5, total_steps: 2_000, ..PpoConfig::cartpole() };
    let mut trainer = Trainer::new("CartPole-v1", config, 2).unwrap().with_learners(2).unwrap();
    while !trainer.is_done() {
        trainer.step().unwrap();
    }
    let own = trainer.learner().snapshot().parameters.to_vec();
    trainer.replica_parameters().unwrap().into_iter().chain([own]).collect()
}

#[test]
fn a_cluster_gives_what_one_process_gives() {
    let embedded = {
        let _runtime = rayline::init_with(Config::default().cpus(2).embedded()).unwrap();
        (sum(), learn())
    };
    let folder = tempfile::tempdir().unwrap();
    let _runtime = rayline::init_with(daemons::two_nodes(folder.path())).unwrap();
    let on_nodes = (sum(), learn());
    assert_eq!(on_nodes.1[0], on_nodes.1[1], "learners disagree");
    assert!(on_nodes == embedded, "other numbers than in one process");
}

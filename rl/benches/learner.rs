//! Times what training repeats: an update per minibatch, a step of collecting, a forward pass.
//!
//! `cargo bench -p rayline-rl --bench learner`

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rayline_rl::env::make_vec;
use rayline_rl::nn::{ActionHead, Activation, ActorCritic, ActorCriticSpec, Random, Workspace};
use rayline_rl::ppo::{Collector, CollectorSeed, Minibatches, PolicySnapshot, PpoConfig, PpoLearner, RolloutBatch};

/// Two hidden layers of 64, tanh.
fn spec(obs_dim: usize, head: ActionHead) -> ActorCriticSpec {
    ActorCriticSpec {
        obs_dim,
        head,
        hidden: vec![64, 64],
        activation: Activation::Tanh,
        initial_log_std: 0.0,
        lstm_units: None,
    }
}

/// CartPole's shapes.
fn cartpole() -> ActorCriticSpec {
    spec(4, ActionHead::Categorical { choices: vec![2] })
}

/// HalfCheetah's shapes.
fn cheetah() -> ActorCriticSpec {
    spec(17, ActionHead::Gaussian { dims: 6 })
}

/// One step of random experience in `rows` environments.
fn experience(spec: &ActorCriticSpec, snapshot: &PolicySnapshot, rows: usize) -> RolloutBatch {
    let model = ActorCritic::new(spec.clone());
    let mut random = Random::new(1, 99);
    let mut normals = |count: usize| {
        let mut out = vec![0.0; count];
        random.fill_normal(&mut out);
        out
    };
    let (obs, rewards, values, next_values) =
        (normals(rows * spec.obs_dim), normals(rows), normals(rows), normals(rows));
    let (mut actions, mut log_probs) = (model.head().actions(rows), vec![0.0; rows]);
    let numbers = actions.len();
    let tools = (&mut random, &mut Workspace::default());
    model.act(&snapshot.parameters, (&obs, None), tools, actions.slice_mut(0..numbers), &mut log_probs);
    RolloutBatch {
        steps: 1,
        envs: rows,
        policy_version: 0,
        obs,
        actions,
        masks: vec![],
        log_probs,
        rewards,
        values,
        next_values,
        terminated: vec![false; rows],
        truncated: vec![false; rows],
        episodes: vec![],
        seen: Default::default(),
        memory: None,
    }
}

/// One update of one minibatch, everything included: forward, loss, backward, clipping, Adam.
fn updates(c: &mut Criterion) {
    let mut group = c.benchmark_group("update");
    let cases = [
        ("obs 4, discrete 2, 1 thread", cartpole(), 1),
        ("obs 4, discrete 2, 2 threads", cartpole(), 2),
        ("obs 17, gaussian 6, 1 thread", cheetah(), 1),
        ("obs 17, gaussian 6, 2 threads", cheetah(), 2),
    ];
    for (name, spec, learner_threads) in cases {
        for rows in [64, 128, 256, 512] {
            let config = PpoConfig {
                n_envs: rows,
                n_steps: 1,
                epochs: 1,
                minibatches: Minibatches::Count(1),
                total_steps: u64::MAX,
                learner_threads,
                ..PpoConfig::cleanrl()
            };
            let mut learner = PpoLearner::new(config, spec.clone()).expect("the settings are sound");
            let batch = experience(&spec, &learner.snapshot(), rows);
            group.throughput(Throughput::Elements(rows as u64));
            group.bench_function(BenchmarkId::new(name, rows), |b| {
                b.iter(|| learner.update(std::slice::from_ref(&batch)).expect("random experience is finite"));
            });
        }
    }
    group.finish();
}

/// A rollout of 128 steps of `CartPole-v1`: divide by 128 for a step.
fn collecting(c: &mut Criterion) {
    let mut group = c.benchmark_group("collect 128 steps of CartPole-v1");
    for envs in [1, 4, 8, 64] {
        let learner = PpoLearner::new(PpoConfig::cleanrl(), cartpole()).expect("the preset is sound");
        let seed = CollectorSeed { seed: 1, index: 0, first_env: 0 };
        let made = make_vec("CartPole-v1", envs).expect("the environment exists");
        let mut collector = Collector::new(cartpole(), made, 128, seed).expect("the spaces fit");
        let snapshot = learner.snapshot();
        group.throughput(Throughput::Elements(128 * envs as u64));
        group.bench_function(BenchmarkId::from_parameter(envs), |b| {
            b.iter_batched(
                || (),
                |()| collector.collect(&snapshot).expect("CartPole never fails"),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// The policy network alone on a few rows.
fn forward(c: &mut Criterion) {
    let mut group = c.benchmark_group("policy forward, obs 4, 2x64");
    let model = ActorCritic::new(cartpole());
    let parameters = model.initial_parameters(&mut Random::new(1, 0));
    for rows in [4, 8] {
        let mut obs = vec![0.0; rows * 4];
        Random::new(2, 0).fill_normal(&mut obs);
        let mut workspace = Workspace::default();
        group.bench_function(BenchmarkId::from_parameter(rows), |b| {
            b.iter(|| model.policy().forward(&parameters[model.policy_range()], &obs, &mut workspace)[0]);
        });
    }
    group.finish();
}

criterion_group!(benches, updates, collecting, forward);
criterion_main!(benches);

//! Training on simulator actors: reproducible, resumable, and clear about mistakes.

use std::ops::ControlFlow;

use rayline_rl::ppo::{Checkpoint, PpoConfig, PpoError, Trainer};

fn config(total_steps: u64) -> PpoConfig {
    PpoConfig { total_steps, seed: 11, ..PpoConfig::cartpole() }
}

/// Parameters and curve after a whole run.
fn run(simulators: usize, seed: u64) -> (Vec<f32>, Vec<Option<f64>>) {
    let config = PpoConfig { seed, ..config(5_000) };
    let mut trainer = Trainer::new("CartPole-v1", config, simulators).expect("sound settings");
    let mut curve = Vec::new();
    trainer
        .run(|progress| {
            curve.push(progress.episodes.mean_return());
            ControlFlow::Continue(())
        })
        .expect("a run that learns");
    (trainer.learner().snapshot().parameters.to_vec(), curve)
}

#[test]
fn the_same_seed_and_simulators_give_the_same_run() {
    for simulators in [1, 2, 3] {
        assert_eq!(run(simulators, 5), run(simulators, 5), "with {simulators} simulators");
    }
    assert_ne!(run(2, 5).0, run(2, 6).0, "another seed gives another run");
}

#[test]
fn it_learns_cart_pole_on_two_simulators() {
    let mut trainer = Trainer::new("CartPole-v1", config(100_000), 2).unwrap();
    let mut best: f64 = 0.0;
    trainer
        .run(|progress| {
            best = best.max(progress.episodes.mean_return().unwrap_or(0.0));
            if best >= 475.0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert!(best >= 475.0, "a mean return of {best} after {} steps", trainer.learner().env_steps());
}

#[test]
fn a_resumed_run_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("half.safetensors");
    let mut first = Trainer::new("CartPole-v1", config(2_000), 2).unwrap();
    first.run(|_| ControlFlow::Continue(())).unwrap();
    first.learner().checkpoint().save(&path).unwrap();
    let mut checkpoint = Checkpoint::load(&path).unwrap();
    checkpoint.config_mut().total_steps = 4_000;
    let mut second = Trainer::resume("CartPole-v1", checkpoint, 2).unwrap();
    assert_eq!(second.learner().env_steps(), first.learner().env_steps());
    assert_eq!(second.learner().snapshot().parameters, first.learner().snapshot().parameters);
    second.run(|_| ControlFlow::Continue(())).unwrap();
    assert!(second.learner().env_steps() >= 4_000);
}

#[test]
fn mistakes_are_told_at_once() {
    let unknown = Trainer::new("CartPole-v9", config(100), 2).err().unwrap();
    assert!(unknown.to_string().contains("did you mean \"CartPole-v1\""), "{unknown}");
    for simulators in [0, 9] {
        let error = Trainer::new("CartPole-v1", config(100), simulators).err().unwrap();
        assert!(matches!(error, PpoError::Config { field: "simulators", .. }), "{error}");
    }
    let other = Trainer::new("CartPole-v1", config(100), 1).unwrap().learner().checkpoint();
    let error = Trainer::resume("Pendulum-v1", other, 1).err().unwrap();
    assert!(matches!(error, PpoError::Mismatch { .. }), "{error}");
}

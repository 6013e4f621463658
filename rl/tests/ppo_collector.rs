//! What a collector records, against a scripted environment whose every step is known.

use rayline_rl::env::{Actions, EnvError, Episode, Space, StepOut, VecEnv, make_vec};
use rayline_rl::nn::{ActorCritic, ActorCriticSpec, Evaluation, PolicyOutputs, Random, Workspace};
use rayline_rl::ppo::{
    Collector, CollectorSeed, EpisodeEnd, PolicySnapshot, PpoConfig, PpoError, PpoLearner, RolloutBatch, evaluate,
};

const SEED: CollectorSeed = CollectorSeed { seed: 3, index: 0, first_env: 0 };

/// Environment `e` observes `100 e + t` at its `t`-th step since the start and earns `t`; an episode ends every third
/// step (or as told), in environment 0 by termination, in environment 1 by truncation, with the final observation
/// `-(100 e + t)`.
struct Script {
    spaces: [Space; 2],
    episode_steps: [usize; 2],
    time: usize,
}

impl Script {
    fn new() -> Self {
        Self { spaces: [Space::uniform(-1e3, 1e3, 1), Space::Discrete { n: 2 }], episode_steps: [3, 3], time: 0 }
    }
}

impl VecEnv for Script {
    fn env_count(&self) -> usize {
        2
    }

    fn observation_space(&self) -> &Space {
        &self.spaces[0]
    }

    fn action_space(&self) -> &Space {
        &self.spaces[1]
    }

    fn reset_from(&mut self, _: u64, _: u64, obs: &mut [f32]) -> Result<(), EnvError> {
        obs.copy_from_slice(&[0.0, 100.0]);
        Ok(())
    }

    fn restart(&mut self, _: usize, _: &mut [f32]) -> Result<(), EnvError> {
        unreachable!("the script has its own ends")
    }

    fn step(&mut self, _: Actions<'_>, out: StepOut<'_>) -> Result<(), EnvError> {
        out.finished.clear(1);
        self.time += 1;
        for env in 0..2 {
            let (seen, ends) = ((100 * env + self.time) as f32, self.time.is_multiple_of(self.episode_steps[env]));
            let (terminated, truncated) = (ends && env == 0, ends && env == 1);
            (out.obs[env], out.rewards[env]) = (seen, self.time as f32);
            (out.terminated[env], out.truncated[env]) = (terminated, truncated);
            if ends {
                let (total_reward, final_obs) = (self.time as f64, &[-seen][..]);
                out.finished.push(Episode {
                    env,
                    total_reward,
                    length: self.episode_steps[env] as u32,
                    terminated,
                    truncated,
                    final_obs,
                });
            }
        }
        Ok(())
    }
}

fn script_model() -> (ActorCriticSpec, PolicySnapshot) {
    let script = Script::new();
    let config = PpoConfig { hidden: vec![8], ..PpoConfig::cleanrl() };
    let spec = config.model_spec(&script.spaces[0], &script.spaces[1]);
    let model = ActorCritic::new(spec.clone());
    let mut parameters = model.initial_parameters(&mut Random::new(1, 0));
    // Observations are of size 100: small weights keep the values of different ones different.
    parameters.iter_mut().for_each(|p| *p *= 0.02);
    (spec, PolicySnapshot { version: 7, parameters: parameters.into(), scaling: None })
}

fn collect(batches: usize) -> Vec<RolloutBatch> {
    let (spec, snapshot) = script_model();
    let mut collector = Collector::new(spec, Box::new(Script::new()), 4, SEED).expect("the spaces fit");
    (0..batches).map(|_| collector.collect(&snapshot).expect("the script never fails")).collect()
}

#[test]
fn rows_are_steps_first_and_episodes_go_on_over_batches() {
    let batches = collect(2);
    assert_eq!(batches[0].obs, [0.0, 100.0, 1.0, 101.0, 2.0, 102.0, 3.0, 103.0]);
    assert_eq!(batches[1].obs, [4.0, 104.0, 5.0, 105.0, 6.0, 106.0, 7.0, 107.0]);
    assert_eq!(batches[1].rewards, [5.0, 5.0, 6.0, 6.0, 7.0, 7.0, 8.0, 8.0]);
    assert_eq!((batches[0].steps, batches[0].envs, batches[0].policy_version), (4, 2, 7));
    let end = |total_reward| EpisodeEnd { total_reward, length: 3 };
    assert_eq!(batches[0].episodes, [end(3.0), end(3.0)]);
    assert_eq!(batches[1].episodes, [end(6.0), end(6.0)]);
}

#[test]
fn values_bootstrap_from_what_truly_followed() {
    let (spec, snapshot) = script_model();
    let model = ActorCritic::new(spec);
    let value = |obs: f32| model.values(&snapshot.parameters, &[obs], &mut Workspace::default())[0];
    assert!((value(103.0) - value(-103.0)).abs() > 1e-3, "the test must tell the two apart");
    let close = |a: f32, b: f32| assert!((a - b).abs() < 1e-5, "{a} against {b}");
    let batch = &collect(1)[0];
    for (row, obs) in batch.obs.iter().enumerate() {
        close(batch.values[row], value(*obs));
    }
    // Steps 0 and 1 go on; step 2 ends both episodes; step 3 is followed by the observations that the next batch acts
    // on.
    for (row, followed) in [1.0, 101.0, 2.0, 102.0].into_iter().enumerate() {
        close(batch.next_values[row], value(followed));
    }
    assert_eq!(batch.next_values[4], 0.0, "a termination has no future");
    close(batch.next_values[5], value(-103.0));
    close(batch.next_values[6], value(4.0));
    close(batch.next_values[7], value(104.0));
}

#[test]
fn log_probabilities_are_those_of_the_actions() {
    let (spec, snapshot) = script_model();
    let (model, batch) = (ActorCritic::new(spec), &collect(1)[0]);
    let (mut workspace, mut evaluation) = (Workspace::default(), Evaluation::default());
    let outputs = model.policy().forward(&snapshot.parameters[model.policy_range()], &batch.obs, &mut workspace);
    let outputs = PolicyOutputs { values: outputs, log_std: &[], mask: None };
    model.head().evaluate(outputs, batch.actions.as_actions(), &mut evaluation);
    for (recorded, computed) in batch.log_probs.iter().zip(&evaluation.log_probs) {
        assert!((recorded - computed).abs() < 1e-5, "{recorded} against {computed}");
    }
}

#[test]
fn collectors_draw_from_streams_of_their_own() {
    let (spec, snapshot) = script_model();
    let actions = |index: u64| {
        let seed = CollectorSeed { index, ..SEED };
        let mut collector = Collector::new(spec.clone(), Box::new(Script::new()), 50, seed).unwrap();
        collector.collect(&snapshot).unwrap().actions
    };
    assert_eq!(actions(0), actions(0));
    assert_ne!(actions(0), actions(1));
}

#[test]
fn evaluation_takes_as_many_episodes_of_each_environment() {
    let (spec, snapshot) = script_model();
    let mut envs = Script { episode_steps: [1, 4], ..Script::new() };
    let ends = evaluate(&ActorCritic::new(spec), &snapshot.parameters, &mut envs, 3, 0).unwrap();
    assert_eq!(ends.iter().map(|end| end.length).collect::<Vec<_>>(), [1, 1, 4, 4]);
}

#[test]
fn two_collectors_see_what_one_sees_over_all_environments() {
    let spec = PpoConfig::cleanrl().model_spec(
        make_vec("CartPole-v1", 1).unwrap().observation_space(),
        make_vec("CartPole-v1", 1).unwrap().action_space(),
    );
    let snapshot = PpoLearner::new(PpoConfig::cleanrl(), spec.clone()).unwrap().snapshot();
    let first_obs = |envs: usize, index: u64, first_env: u64| {
        let seed = CollectorSeed { seed: 3, index, first_env };
        let made = make_vec("CartPole-v1", envs).unwrap();
        Collector::new(spec.clone(), made, 1, seed).unwrap().collect(&snapshot).unwrap().obs
    };
    let (whole, left, right) = (first_obs(4, 0, 0), first_obs(2, 0, 0), first_obs(2, 1, 2));
    assert_eq!(whole, [left, right].concat());
}

#[test]
fn what_does_not_fit_is_named() {
    let (spec, snapshot) = script_model();
    let cartpole = make_vec("CartPole-v1", 2).unwrap();
    let message = |made: Result<Collector, PpoError>| made.err().expect("it does not fit").to_string();
    assert_eq!(
        message(Collector::new(spec.clone(), cartpole, 4, SEED)),
        "observations of the environments don't fit the model: expected width 1, found Box([-4.8 -inf -0.41887903 -inf], [4.8 inf 0.41887903 inf], (4,), float32)"
    );
    let mut collector = Collector::new(spec, Box::new(Script::new()), 4, SEED).unwrap();
    let short = PolicySnapshot { version: 0, parameters: snapshot.parameters[1..].into(), scaling: None };
    let refused = collector.collect(&short).unwrap_err().to_string();
    assert!(refused.starts_with("parameters of the snapshot don't fit the model: expected 59 numbers"), "{refused}");
}

//! MuJoCo's tasks: a batch of 64 on all cores, random actions drawn and episodes begun anew within the measured time,
//! in turns with MuJoCo's own rollout.

use super::python::Python;
use crate::metric::Metric;
use anyhow::Result;
use rayline_rl::env::mujoco::{MujocoTask, MujocoVec};
use rayline_rl::env::{ActionBuf, ActionSampler, StepBuf, VecEnv};
use std::time::{Duration, Instant};

const ENVS: usize = 64;

/// Steps of `HalfCheetah-v5` a second.
pub fn halfcheetah(reps: usize) -> Result<Metric> {
    measure("env_halfcheetah", MujocoTask::HalfCheetah, ("half_cheetah.xml", "5"), reps)
}

/// Steps of `Hopper-v5` a second.
pub fn hopper(reps: usize) -> Result<Metric> {
    measure("env_hopper", MujocoTask::Hopper, ("hopper.xml", "4"), reps)
}

/// Steps of `Humanoid-v5` a second.
pub fn humanoid(reps: usize) -> Result<Metric> {
    measure("env_humanoid", MujocoTask::Humanoid, ("humanoid.xml", "5"), reps)
}

fn measure(name: &str, task: MujocoTask, model: (&str, &str), reps: usize) -> Result<Metric> {
    let mut envs = MujocoVec::new(task, ENVS)?;
    let mut sampler = ActionSampler::new(envs.action_space(), ENVS, 7)?;
    let mut actions = ActionBuf::new(envs.action_space(), ENVS);
    let mut out = StepBuf::new(&envs);
    envs.reset(7, &mut out.obs)?;
    let mut play = |for_at_least: Duration| -> Result<f64> {
        let (begin, mut steps) = (Instant::now(), 0);
        while begin.elapsed() < for_at_least {
            sampler.fill(&mut actions);
            envs.step(actions.as_actions(), out.out())?;
            steps += ENVS;
        }
        Ok(steps as f64 / begin.elapsed().as_secs_f64())
    };
    let mut peer = Python::start("mujoco_rollout.py", &[model.0, model.1])?;
    play(Duration::from_millis(300))?;
    let (mut values, mut rollouts) = (vec![], vec![]);
    for _ in 0..reps {
        rollouts.push(peer.measure()?[0]);
        values.push(play(Duration::from_secs(1))?);
    }
    let ratios = values.iter().zip(&rollouts).map(|(ours, rollout)| ours / rollout).collect();
    let (rollout, ratio) = (Metric::of("", "", rollouts), Metric::of("", "", ratios));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let metric = Metric::of(name, "steps/s", values).with("envs", ENVS).with("threads", threads);
    let metric = metric.with("mujoco", envs.library_version()).with("rollout", rollout.value);
    Ok(metric.with("of_rollout", ratio.value).with("of_rollout_min", ratio.min).with("of_rollout_max", ratio.max))
}

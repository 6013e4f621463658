//! Environments in Python: through the bridge, and by Python alone in turns with it.

use super::python::Python;
use crate::metric::Metric;
use anyhow::Result;
use rayline_rl::env::{ActionBuf, ActionSampler, StepBuf, VecEnv};
use std::time::{Duration, Instant};

/// Steps a second of one Python process behind the bridge by those of Python alone, `CartPole-v1`, 64 environments; for
/// one environment and for `HalfCheetah-v5` in `params`.
pub fn bridge_of_raw(reps: usize) -> Result<Metric> {
    let (ratio, raw) = ratio("CartPole-v1", 64, reps)?;
    let (one, _) = self::ratio("CartPole-v1", 1, reps)?;
    let metric = Metric { name: "gym_bridge_of_raw".into(), ..ratio }.with("envs", 64).with("raw", raw);
    let metric = metric.with("one_env", one.value);
    // It needs MuJoCo besides.
    match self::ratio("HalfCheetah-v5", 16, reps) {
        Ok((cheetah, _)) => Ok(metric.with("halfcheetah_16", cheetah.value)),
        Err(_) => Ok(metric),
    }
}

/// The ratio, and Python's own rate.
fn ratio(id: &str, count: usize, reps: usize) -> Result<(Metric, f64)> {
    let mut envs = rayline_rl::gym(id).envs(count).processes(1).build()?;
    let mut sampler = ActionSampler::new(envs.action_space(), count, 7)?;
    let mut actions = ActionBuf::new(envs.action_space(), count);
    let mut out = StepBuf::new(&envs);
    envs.reset(7, &mut out.obs)?;
    let mut play = |for_at_least: Duration| -> Result<f64> {
        let (begin, mut steps) = (Instant::now(), 0);
        while begin.elapsed() < for_at_least {
            sampler.fill(&mut actions);
            envs.step(actions.as_actions(), out.out())?;
            steps += count;
        }
        Ok(steps as f64 / begin.elapsed().as_secs_f64())
    };
    let mut raw = Python::start("gym_raw.py", &[id, &count.to_string()])?;
    play(Duration::from_millis(300))?;
    let (mut ratios, mut rates) = (vec![], vec![]);
    for _ in 0..reps {
        let theirs = raw.measure()?;
        ratios.push(play(Duration::from_secs(1))? / theirs);
        rates.push(theirs);
    }
    Ok((Metric::of("", "ratio", ratios), Metric::of("", "", rates).value))
}

//! Environments in Python: through the bridge, and by Python alone in turns with it.

use super::python::Python;
use crate::metric::Metric;
use anyhow::{Context, Result};
use rayline_rl::env::{ActionBuf, ActionSampler, StepBuf, VecEnv};
use std::time::{Duration, Instant};

/// Steps a second of one Python process behind the bridge by those of Python alone, `CartPole-v1`, 64 environments; for
/// one environment and for `HalfCheetah-v5` in `params`. `cpu` counts seconds of the Python process's CPU instead of time:
/// what the bridge costs it, whatever else the machine does.
pub fn bridge_of_raw(reps: usize) -> Result<Metric> {
    let many = Ratios::measure("CartPole-v1", 64, reps)?;
    let one = Ratios::measure("CartPole-v1", 1, reps)?;
    let metric = Metric::of("gym_bridge_of_raw", "ratio", many.time).with("envs", 64).with("raw", many.raw);
    let metric = metric.with("cpu", many.cpu).with("one_env", Metric::of("", "", one.time).value);
    // It needs MuJoCo besides.
    match Ratios::measure("HalfCheetah-v5", 16, reps) {
        Ok(cheetah) => {
            let time = Metric::of("", "", cheetah.time).value;
            Ok(metric.with("halfcheetah_16", time).with("halfcheetah_16_cpu", cheetah.cpu))
        }
        Err(_) => Ok(metric),
    }
}

struct Ratios {
    time: Vec<f64>,
    /// The median.
    cpu: f64,
    /// Python's own rate, the median.
    raw: f64,
}

impl Ratios {
    fn measure(id: &str, count: usize, reps: usize) -> Result<Self> {
        // MuJoCo writes its warnings to a file where it is started.
        let envs = rayline_rl::gym(id).envs(count).processes(1).current_dir(std::env::temp_dir());
        let mut envs = envs.build()?;
        let mut sampler = ActionSampler::new(envs.action_space(), count, 7)?;
        let mut actions = ActionBuf::new(envs.action_space(), count);
        let mut out = StepBuf::new(&envs);
        envs.reset(7, &mut out.obs)?;
        let mut play = |for_at_least: Duration| -> Result<[f64; 2]> {
            let (begin, cpu, mut steps) = (Instant::now(), cpu_seconds(envs.process_id(0))?, 0.0);
            while begin.elapsed() < for_at_least {
                sampler.fill(&mut actions);
                envs.step(actions.as_actions(), out.out())?;
                steps += count as f64;
            }
            let cpu = cpu_seconds(envs.process_id(0))? - cpu;
            Ok([steps / begin.elapsed().as_secs_f64(), steps / cpu])
        };
        let mut raw = Python::start("gym_raw.py", &[id, &count.to_string()])?;
        play(Duration::from_millis(300))?;
        let (mut time, mut cpu, mut rates) = (vec![], vec![], vec![]);
        for _ in 0..reps {
            let theirs = raw.measure()?;
            let ours = play(Duration::from_secs(1))?;
            time.push(ours[0] / theirs[0]);
            cpu.push(ours[1] / theirs[1]);
            rates.push(theirs[0]);
        }
        Ok(Self { time, cpu: Metric::of("", "", cpu).value, raw: Metric::of("", "", rates).value })
    }
}

/// Seconds of CPU that a process has used, in hundredths.
fn cpu_seconds(process_id: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process_id}/stat"))?;
    // The name, in brackets, may hold spaces.
    let (_, fields) = stat.rsplit_once(')').context("no fields")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<f64>());
    Ok(ticks.sum::<Result<f64, _>>()? / 100.0)
}

//! Raw simulators: a batch of 1,024 a thread, random actions drawn and episodes begun anew within the measured time.

use crate::metric::Metric;
use anyhow::Result;
use rayline_rl::env::{ActionBuf, ActionSampler, EnvError, StepBuf, VecEnv, make_vec};
use std::hint::black_box;
use std::time::Instant;

const ENVS: usize = 1024;

/// Steps of `CartPole-v1` a second.
pub fn cartpole(reps: usize) -> Result<Metric> {
    measure("env_cartpole", "CartPole-v1", 20_000, reps)
}

/// Steps of `Pendulum-v1` a second.
pub fn pendulum(reps: usize) -> Result<Metric> {
    measure("env_pendulum", "Pendulum-v1", 5_000, reps)
}

struct Player {
    envs: Box<dyn VecEnv>,
    sampler: ActionSampler,
    actions: ActionBuf,
    out: StepBuf,
}

impl Player {
    fn new(id: &str, index: u64) -> Result<Self, EnvError> {
        let mut envs = make_vec(id, ENVS)?;
        let first = index * ENVS as u64;
        let sampler = ActionSampler::new_from(envs.action_space(), ENVS, 7, first)?;
        let actions = ActionBuf::new(envs.action_space(), ENVS);
        let mut out = StepBuf::new(envs.as_ref());
        envs.reset_from(7, first, &mut out.obs)?;
        Ok(Self { envs, sampler, actions, out })
    }

    fn play(&mut self, steps: usize) -> Result<(), EnvError> {
        for _ in 0..steps {
            self.sampler.fill(&mut self.actions);
            self.envs.step(self.actions.as_actions(), self.out.out())?;
            black_box(&self.out);
        }
        Ok(())
    }
}

fn measure(name: &str, id: &str, steps: usize, reps: usize) -> Result<Metric> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut players = (0..threads).map(|index| Player::new(id, index as u64)).collect::<Result<Vec<_>, _>>()?;
    let mut play = |steps: usize| -> Result<f64> {
        let begin = Instant::now();
        std::thread::scope(|scope| {
            let playing: Vec<_> = players.iter_mut().map(|player| scope.spawn(|| player.play(steps))).collect();
            playing.into_iter().try_for_each(|thread| thread.join().expect("a player doesn't panic"))
        })?;
        Ok((threads * ENVS * steps) as f64 / begin.elapsed().as_secs_f64())
    };
    play(steps / 10)?;
    let values = (0..reps).map(|_| play(steps)).collect::<Result<Vec<_>>>()?;
    Ok(Metric::of(name, "steps/s", values).with("envs", ENVS).with("threads", threads))
}

//! Suite `rl`: simulators and training.

mod allreduce;
mod envs;
mod gym;
mod mujoco;
mod ppo;
mod python;

use crate::Bench;

/// The metrics of the suite.
pub const BENCHES: &[Bench] = &[
    bench("env_cartpole", envs::cartpole),
    bench("env_pendulum", envs::pendulum),
    bench("env_halfcheetah", mujoco::halfcheetah),
    bench("env_hopper", mujoco::hopper),
    bench("env_humanoid", mujoco::humanoid),
    bench("gym_bridge_of_raw", gym::bridge_of_raw),
    bench("allreduce", allreduce::allreduce),
    bench("ppo_throughput", ppo::throughput),
    bench("ppo_cartpole_475", ppo::cartpole_475),
];

const fn bench(name: &'static str, run: fn(usize) -> anyhow::Result<crate::metric::Metric>) -> Bench {
    Bench { suite: "rl", name, run }
}

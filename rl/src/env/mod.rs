//! Environments: one at a time ([`Env`]) or as a batch ([`VecEnv`]), under Gymnasium's ids, with its dynamics, rewards
//! and limits.
//!
//! ```
//! use rayline_rl::env::{ActionBuf, ActionSampler, StepBuf, make_vec};
//!
//! let mut envs = make_vec("CartPole-v1", 8)?;
//! let mut out = StepBuf::new(envs.as_ref());
//! let mut actions = ActionBuf::new(envs.action_space(), envs.env_count());
//! let mut sampler = ActionSampler::new(envs.action_space(), envs.env_count(), 7)?;
//! envs.reset(7, &mut out.obs)?;
//! for _ in 0..100 {
//!     sampler.fill(&mut actions);
//!     envs.step(actions.as_actions(), out.out())?;
//! }
//! assert!(!out.obs.iter().any(|value| value.is_nan()));
//! # Ok::<(), rayline_rl::env::EnvError>(())
//! ```
//!
//! Two families implement the same tasks. [`classic`] holds one environment a value in double precision, equal to
//! Gymnasium's to the last bits of the mathematics library. [`fast`] holds batches in single precision, laid out for
//! vector instructions; one of their steps differs from Gymnasium's by about a part in a million. [`make`] gives the
//! first, [`make_vec`] the second.
//!
//! [`mujoco`] has Gymnasium's MuJoCo tasks, with the library loaded where one is asked for; [`gym`](mod@gym) steps any
//! environment of Gymnasium in Python processes, and [`make_vec`] too, by `gym:` before its id. [`wrappers`] change
//! what a batch sees, earns or does.
//!
//! Deliberately absent: rendering (classic control has `rayline_rl::render`), and Gymnasium's two other autoreset modes (see [`VecEnv`]).

mod actions;
mod batch;
pub mod classic;
mod error;
pub mod fast;
mod finished;
pub mod gym;
pub mod mujoco;
mod philox;
mod registry;
mod sampler;
mod single;
mod space;
mod sync_vec;
mod time_limit;
mod trig;
mod vec_env;
pub mod wrappers;

pub use actions::{ActionBuf, Actions};
pub use batch::{Batch, Dynamics, Lane, Moved};
pub use error::EnvError;
pub use finished::{Episode, Finished};
pub use philox::{Stream, instance_seed};
#[cfg_attr(not(feature = "settings"), expect(unused_imports, reason = "settings are what else has names"))]
pub(crate) use registry::nearest;
pub use registry::{ids, make, make_vec, register};
pub use sampler::ActionSampler;
pub use single::{Env, Step};
pub use space::Space;
pub use sync_vec::SyncVec;
pub use time_limit::TimeLimit;
pub use vec_env::{StepBuf, StepOut, VecEnv};

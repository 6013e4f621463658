//! The classic control tasks in single precision, for [`Batch`](super::Batch): fast, and within about 1e-6 of
//! Gymnasium at each step.
//!
//! ```
//! use rayline_rl::env::{Batch, VecEnv, fast};
//!
//! let envs = Batch::new(fast::CartPole, 1024)?.with_length_max(200);
//! assert_eq!(envs.action_space().to_string(), "Discrete(2)");
//! # Ok::<(), rayline_rl::env::EnvError>(())
//! ```

mod acrobot;
mod cart_pole;
mod mountain_car;
mod pendulum;

pub use acrobot::Acrobot;
pub use cart_pole::CartPole;
pub use mountain_car::{MountainCar, MountainCarContinuous};
pub use pendulum::Pendulum;

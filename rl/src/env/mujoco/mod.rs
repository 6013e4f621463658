//! Gymnasium's MuJoCo tasks, with the library loaded at run time.
//!
//! MuJoCo is not needed to build or to run anything else. Where one of these tasks is asked for, the library is looked
//! for as [`MujocoPlace`] says; the simplest way to get it and the models is
//!
//! ```sh
//! pip install mujoco gymnasium
//! ```
//!
//! Given the same library, state and actions, a simulation goes through the same states as Gymnasium's, bit for bit.
//! Observations are then rounded to single precision. HalfCheetah, Hopper, InvertedPendulum, Swimmer and Walker2d work
//! with MuJoCo 3.1 and later. Ant and Humanoid observe forces that the library gives no function for: they are read
//! from its structs, whose layout is known for the last release of each minor version from 3.1.6 to 4.0.1, and checked
//! on loading; others are refused.
//!
//! As in Gymnasium, an action outside its bounds is clipped by the simulation, but its cost is that of the action
//! given; [`ClipAction`](super::wrappers::ClipAction) changes that.

mod error;
mod ffi;
mod layout;
mod place;
mod slot;
mod task;
mod vec;

pub use error::MujocoError;
pub use place::MujocoPlace;
pub use task::MujocoTask;
pub use vec::MujocoVec;

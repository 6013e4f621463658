//! Small neural networks for policies and values, forward and backward, on the CPU.
//!
//! Parameters are one flat `f32` vector that every part reads through offsets: an optimiser, a checkpoint and a network
//! message then need to know nothing of layers. Layouts ([`Mlp`], [`ActorCritic`]) are plain descriptions; what a pass
//! needs in memory is a [`Workspace`] that the caller keeps, so that nothing is allocated per step.
//!
//! Matrix products are `faer`'s (at the machine's bound from 4 rows on); the loops between them are written so that the
//! compiler vectorises them, and dispatched at run time to AVX2 or AVX-512.

mod action;
mod activation;
mod actor_critic;
mod adam;
pub mod categorical;
mod diagonal;
pub mod gaussian;
mod head;
mod init;
mod linalg;
mod lstm;
pub mod math;
mod mlp;
mod random;

pub use action::{ActionRows, ActionsMut};
pub use activation::Activation;
pub use actor_critic::{ActorCritic, ActorCriticSpec, NamedTensor};
pub use adam::{Adam, global_norm};
pub use diagonal::{Bounds, DiagonalGaussian, StdSource};
pub use head::{ActionHead, Evaluation, PolicyOutputs};
pub use init::orthogonal;
pub use lstm::{Lstm, LstmState, LstmWorkspace};
pub use mlp::{Layer, Mlp, Workspace};
pub use random::Random;

pub(crate) use action::gather;

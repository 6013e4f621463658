//! What devices compute for reinforcement learning.
//!
//! Each kernel has a type that is loaded once and then run as often as one likes. Arrays have the shapes that are named
//! with them, row-major; the length of each is checked.

mod gae;
mod sources;

pub use self::gae::{Gae, GaeInputs};
pub use self::sources::SOURCES;

//! Cards: what they are, the memory that they may touch, and their queue pairs.

mod completions;
mod context;
mod error;
mod gid;
mod probe;
mod queue_pair;
mod rail;
mod registered;
#[cfg(test)]
mod tests;

pub use self::completions::Completions;
pub use self::error::CardError;
pub use self::gid::{GidChoice, LinkLayer};
#[cfg(test)]
use self::probe::probe_with;
pub use self::probe::{CardReport, PortReport, Report, probe};
pub use self::queue_pair::{End, Local, QueuePair, RECEIVES_PER_REQUEST};
pub use self::rail::{Rail, RailAddress, Wanted};
pub use self::registered::Registered;

//! Peers over RDMA: object bytes by the cards, everything else by TCP.
//!
//! An endpoint has a TCP endpoint inside, which carries control frames, authenticates peers, and reads what cards
//! can't. See the README beside this file for queue pairs, leases, failures and limits.

mod card;
mod conduit;
mod driver;
mod endpoint;
#[cfg(test)]
mod fake;
mod hold;
mod lease;
mod machine;
mod memory;
mod options;
mod shared;
#[cfg(test)]
mod tests;
mod verbs;
mod wire;

pub use self::card::{CardReport, GidChoice, LinkLayer, PortReport, Report, probe};
pub use self::endpoint::Rdma;
pub use self::options::{Mode, Options, Route};

//! The simulator of whole clusters: the machines of `rayline-core` in one thread, under a seeded clock and network.
//!
//! [`run`] plays one seed: a phase with faults, then one without, in which everything must settle, then one in which all
//! is given back and nothing may be left. An invariant that doesn't hold is a panic, which [`run_caught`] turns into a
//! value with the seed that reproduces it. See the crate's README for what is simulated, and what not.
//!
//! Source: the deterministic simulation of FoundationDB (Zhou et al., SIGMOD'21) and of TigerBeetle.
#![forbid(unsafe_code)]

mod host;
mod inject;
mod message;
mod mutation;
mod network;
mod oracle;
mod owners;
mod plan;
mod rng;
mod runner;
mod runs;
mod workload;
mod world;

pub use mutation::Mutation;
pub use plan::{Faults, Load, Net, Plan};
pub use rng::Rng;
pub use runner::{Broken, Options, Summary, run, run_caught};

//! The control surface: what the command and other programs ask of the head, in gRPC (`proto/rayline/v1/control.proto`).
//!
//! ```text
//!  thread rayline-surface                                       the daemon's loop
//!    token.rs (every call) -> services.rs -- Question, 64 at most --> head.rs, machines
//!                                    \---- keys, jobs -----> ledger
//! ```
//! It has a thread of its own, so that neither handshakes nor disks hold up heartbeats; the machines keep theirs, and are
//! asked by closures that it runs between two letters.

mod connections;
mod page;
mod services;
mod surface;
mod tls;
mod token;

pub(super) use self::{
    page::{Page, WAITING_MAX},
    surface::{Surface, SurfaceSetup},
    tls::{client_config, fetch_ca},
    token::{Bearer, bearer},
};
pub use self::{surface::SurfaceError, tls::TlsError};

use super::desk::Desk;
use super::head::Head;

/// What the control surface wants of the head.
pub(super) type Question = Box<dyn FnOnce(&mut Head, &mut Desk) + Send>;

/// The messages and services of `control.proto`.
#[allow(missing_docs, clippy::all)]
pub mod pb {
    tonic::include_proto!("rayline.v1");

    /// What reflection serves.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/control.bin"));
}

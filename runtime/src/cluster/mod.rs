//! A cluster's control plane: the daemon of a node, with the head in one of them, and what the command asks of it.
//!
//! ```text
//!  daemon of the head                     daemon of a node              command
//!    head.rs: Members, Controller           seat.rs: Member, Node         client.rs
//!    seat.rs: its own Member and Node             |                          |
//!          \______ post.rs: letters over TCP _____|__________________________|
//! ```
//! The machines of `rayline-core` take the decisions; `rayline-sim` runs the same ones, and who sends what to whom is as
//! there. A letter bears the name of the life that it is for: what is for another is dropped.

mod binary;
mod client;
mod daemon;
mod desk;
mod head;
mod home;
mod letter;
mod owners;
mod post;
mod seat;
mod secret;
mod status;
mod workers;

pub(crate) use self::binary::Published;
pub(crate) use self::client::fresh_peer;
pub use self::{
    binary::{Binary, BinaryId},
    client::{Client, ClientError},
    daemon::{Daemon, Ended, News, Setup},
    home::{Home, HomeError, Running},
    letter::{Address, Envelope, Letter, Place, Report},
    post::{HEAD, Post, PostError},
    secret::{Keys, SecretError},
    status::{ActorRow, Answer, GroupRow, NodeRow, NodeState, Page, Question, Resources, WaitingRow},
    workers::Job,
};

//! Worker processes: the same program, started to run tasks apart from the driver.
//!
//! ```text
//!  control thread -- Start --> Fleet (a thread) --starts--> process --> worker::main, before the program's `main`
//!                                |  Lane: calls, by number                |
//!                                +---- ring: Run, Cancel ---------------> | pool of its own
//!  cell <- Leased::ended <- lane's thread <- ring: Value, Failed <--------+
//!                                ^ the process's end, with its last lines: what is under way has died
//! ```
//! Large buffers don't go through the ring ([`values`]), nor through the connection with a node ([`spans`]). A worker dies with its driver: the system kills it with the thread that started it, and the ring closes.

mod calls;
mod choice;
mod crew;
mod fetcher;
mod fleet;
mod held;
mod lane;
mod launch;
mod leased_call;
mod lent;
mod lives;
mod node_reader;
mod output;
mod pace;
mod relay;
mod reply;
mod ring_end;
mod ring_reader;
mod role;
mod socket;
mod span_cache;
mod spans;
mod values;
mod watch;
mod welcome;
mod wire;
mod worker;

pub(crate) use calls::{Answered, Called, Waiting};
pub(crate) use crew::{Crew, submit};
pub(crate) use fleet::Fleet;
pub(crate) use lane::{Keeper, Lane};
pub(crate) use leased_call::run_on;
pub(crate) use lent::Lent;
pub(crate) use lives::{Ended, Life, LifeId};
pub(crate) use node_reader::Joined;
pub(crate) use output::say;
pub use reply::Reply;
pub(crate) use spans::Spans;
pub use spans::{published_memories, span_bytes_read};
pub(crate) use values::{Unread, Value, Values};
pub(crate) use welcome::Greeter;
pub(crate) use worker::{Hello, Worker};

/// What a node's daemon needs to start workers.
#[cfg(feature = "command")]
pub(crate) use {
    launch::ended,
    node_reader::Posting,
    output::{LastLines, forward},
    role::assign_worker,
};

use std::time::Duration;

/// How long a thread spins for messages before it sleeps: about what it costs to be woken.
const SPIN: Duration = Duration::from_micros(50);

/// The variable by which a worker finds its ring.
const RING: &str = "RAYLINE_RING";
/// The variable by which it finds its socket to the driver's object store.
const STORE: &str = "RAYLINE_STORE";

/// With fewer calls under way each message leaves at once, as somebody waits for it; with more it may wait for others.
const FEW: usize = 4;

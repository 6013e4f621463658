//! The pure state machines of Rayline: who owns, who runs, who holds, who is dead.
//!
//! Four kinds of machines, each with `handle(&mut self, now, event, &mut out)`: [`owner::Owner`] (one in every process
//! that submits tasks), [`node::Node`] (one on every machine) and [`controller::Controller`] (one a cluster), and for
//! membership [`members::Members`] beside the controller with a [`members::Member`] in each node's process. They know
//! no clock, thread, lock, socket or randomness. A *driver* turns the world into events and carries actions out, in the
//! order in which they were pushed; it holds payloads, errors and queues of bytes, and takes no decision.
//!
//! # A task that left the fast path
//! ```text
//!  process            Owner                         Node                      worker
//!    | Submit ------->  |  waits for arguments        |                          |
//!    |                  | -- RequestLease(request) -> |  queue, ledger           |
//!    |                  | <- LeaseGranted(lease) ---- |                          |
//!    |                  | -- Start(task, attempt, lease) ----------------------> |
//!    |                  | <- TaskDone / TaskFailed (task, attempt, lease) ------ |
//!    | <- ObjectReady - | -- Start(next task, same lease) ---------------------> |
//!    |                  |         .. the node is out of the loop ..              |
//!    |                  | -- ReturnLease(lease) ----> |  next waiter             |
//!    | DropRef -------> | -- Release(object) -------> |                          |
//! ```
//! A task whose `TaskDone` bears an old attempt only gives its lease back. A value that is needed and has no copy is made
//! again: its task runs in a new attempt, arguments first.
//!
//! # Executor threads of the fast path
//! ```text
//!  executor           Owner                                    Node
//!    |                  | -- RequestLease(1 cpu, revocable) --> |  granted while no other wants the CPU
//!    | <- OpenExecutor  | <- LeaseGranted -------------------- |
//!    |   runs tasks     |                                      | <-- RequestLease(gpu: 1, cpu: 1) of a task
//!    | <- CloseExecutor | <- LeaseReclaim -------------------- |
//!    |   parks          |                                      |
//!    | ExecutorClosed > | -- ReturnLease, RequestLease(again) > |  granted when the CPU is free again
//! ```
//!
//! # An actor
//! ```text
//!  creator          Controller                      Node                 worker
//!    | CreateActor --> | -- RequestLease ----------> |                      |
//!    | <- ActorCreated | <- LeaseGranted ----------- |                      |
//!    |                 | -- StartActor(incarnation, lease) ---------------> |
//!    |                 | <- ActorStarted(incarnation) --------------------- |
//!    | <- ActorAlive   | <- ActorEnded(incarnation) ----------------------- |  crash
//!    | <- ActorRestarting, or ActorDead; -- ReturnLease -> |              |
//!    |                 |    timer, RequestLease, StartActor(incarnation + 1)
//! ```
//! The next incarnation starts only when the last has ended or its node is dead.
//!
//! # A placement group
//! ```text
//!  owner              Controller                    Node 1          Node 2
//!    | ReserveGroup --> |  plan                       |               |
//!    |                  | -- PrepareBundle(attempt) ->| ------------> |
//!    |                  | <- Prepared --------------- | <- Prepared - |
//!    |                  | -- CommitBundle ----------> | ------------> |     a refusal, a death or the timeout instead:
//!    | <- GroupReady -- | <- Committed -------------- | ------------- |     ReturnBundle to all, try again later
//! ```
//! One group is prepared at a time, so no two can hold what the other waits for.
//!
//! # A `get` that blocks
//! ```text
//!  worker or executor          Node
//!    | LendCpus(lease) ------> |  others use the CPUs; the lease keeps its GPUs and memory
//!    |   .. blocks, wakes ..   |
//!    | RetakeCpus(lease) ----> |  before all other waiters
//!    | <- CpusBack(lease)      |  goes on, perhaps on other slots
//! ```
//! Whoever blocks on a task that may need the CPU it holds must lend it, or both wait for ever. Actors and bundles, which
//! would keep what they get, are not given CPUs that are only lent.
//!
//! # Membership
//! ```text
//!  node's process (Member)         Members                      Controller, owners, nodes
//!    | Join(machine, boot) ------> |                                |
//!    | <- Welcome(node) ---------- |                                |
//!    | Heartbeat(beat) ----------> | -- NodeUp, at the first -----> |
//!    | <- Ack(beat) -------------- |                                |
//!    |  ends itself fence_after    |                                |
//!    |  the last beat that was     |                                |
//!    |  acknowledged was sent      | -- NodeDied, OwnerDied ------> |   dead_after the last was heard, which is later
//! ```
//!
//! # What a driver must keep
//! - Actions are carried out in order. Messages between two machines may be repeated, and may overtake each other, but
//!   those from the controller about one group to its owner; whoever loses one sends it again until the answer is there,
//!   or declares the receiver dead. What [`members::Members`] says to one receiver, and what owners say to each other
//!   (borrowing counts), comes in order and once. Heartbeats and their answers may be lost.
//! - Before a node's driver handles anything it asks [`members::Member::may_act`].
//! - A node drops a copy on a `Release` whose attempt is that of the copy or later; whoever fetches a copy gets its attempt
//!   with it. It keeps nothing for, and runs nothing of, an owner that it was told is dead.
//! - A worker begins each (task, attempt) at most once and answers it with one `TaskDone` or `TaskFailed`, also after
//!   `CancelRunning`. A node's driver starts each (actor, incarnation) at most once and never after it was told to stop it;
//!   it answers with `ActorStarted` or `ActorEnded`, and to every `StopActor` with `ActorEnded`.
//! - Timers may come late and twice, but not never.
//! - Names are new: a task, object, actor, group or node id is not used again.
//! - `check` may be called after any event: it is linear in the machine's state, and for tests and the simulator.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod controller;
mod finished;
pub mod ids;
mod limits;
pub mod members;
pub mod node;
mod out;
pub mod owner;
pub mod resources;
mod time;

pub use limits::Limits;
pub use out::Out;
pub use time::{Backoff, Time};

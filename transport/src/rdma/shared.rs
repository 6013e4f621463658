//! What the threads and tasks of an endpoint share.

use super::card::{Completions, RailAddress};
use super::driver::{Command, Waker};
use super::memory::Cards;
use super::{Mode, Route};
use crate::error::TransportError;
use crate::face::{Completion, PeerId, Read};
use crate::region::CHUNK_BYTES;
use crate::tcp;
use std::collections::HashMap;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// An endpoint.
pub struct Shared {
    pub control: tcp::Control,
    pub mode: Mode,
    pub cards: Cards,
    /// Of each rail.
    pub completions: Vec<Arc<Completions>>,
    /// Requests of each kind that a queue pair has room for.
    pub work_per_lane_max: u32,
    /// Places for queue pairs that peers have with us.
    pub served: Arc<Semaphore>,
    /// Which slots of pushes are taken.
    pub slots: Mutex<Slots>,
    commands: SyncSender<Command>,
    waker: Waker,
    routes: Mutex<HashMap<PeerId, Route>>,
}

/// Numbers that WRITEs tell us, 12 bits each.
pub struct Slots(Vec<bool>);

/// Pushes to us at a time; more are declined.
pub const SLOTS_MAX: usize = 1 << 12;

impl Slots {
    pub fn new() -> Self {
        Self(vec![false; SLOTS_MAX])
    }

    pub fn take(&mut self) -> Option<u16> {
        let free = self.0.iter().position(|is_taken| !is_taken)?;
        self.0[free] = true;
        u16::try_from(free).ok()
    }

    pub fn give_back(&mut self, slot: u16) {
        self.0[usize::from(slot)] = false;
    }
}

/// What an endpoint over RDMA is made of, but for what each has of its own.
pub struct Parts {
    pub control: tcp::Control,
    pub mode: Mode,
    pub cards: Cards,
    pub completions: Vec<Arc<Completions>>,
    pub work_per_lane_max: u32,
    pub served_max: usize,
}

impl Shared {
    pub fn new(parts: Parts, commands: SyncSender<Command>, waker: Waker) -> Self {
        let Parts { control, mode, cards, completions, work_per_lane_max, served_max } = parts;
        Self {
            control,
            mode,
            cards,
            completions,
            work_per_lane_max,
            served: Arc::new(Semaphore::new(served_max)),
            slots: Mutex::new(Slots::new()),
            commands,
            waker,
            routes: Mutex::default(),
        }
    }

    /// What peers must know of our rails.
    pub fn addresses(&self) -> Vec<RailAddress> {
        self.cards.rails.iter().map(|rail| rail.address()).collect()
    }

    /// Hands the driver a command, unless it has too many.
    pub fn try_tell(&self, command: Command) -> Result<(), TrySendError<Command>> {
        self.commands.try_send(command)?;
        self.waker.wake();
        Ok(())
    }

    /// Hands the driver a command, when it has room: not for tasks. False where it has ended.
    pub fn tell(&self, command: Command) -> bool {
        let is_taken = self.commands.send(command).is_ok();
        self.waker.wake();
        is_taken
    }

    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    pub fn route(&self, peer: PeerId) -> Route {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.get(&peer).cloned().unwrap_or(Route::Unknown)
    }

    pub fn set_route(&self, peer: PeerId, route: Route) {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).insert(peer, route);
    }

    /// Reads by TCP what cards couldn't, if that is wanted.
    pub fn read_elsewhere(&self, peer: PeerId, read: Read, done: Completion) {
        if self.mode == Mode::Auto {
            return self.control.read(peer, read, done);
        }
        drop(read);
        done.complete(Err(self.unreachable(peer)));
    }

    /// Why cards can't reach a peer.
    pub fn unreachable(&self, peer: PeerId) -> TransportError {
        match self.route(peer) {
            Route::Tcp { error: Some(error) } => error,
            _ => TransportError::gone(peer, "its cards can't be reached by ours"),
        }
    }

    /// Bytes of a piece between our cards and those of a peer: a chunk, or what all can send at once. A power of two.
    pub fn piece_bytes(&self, theirs: &[RailAddress]) -> u32 {
        let ours = self.cards.rails.iter().map(|rail| rail.address().message_bytes_max);
        let all = ours.chain(theirs.iter().map(|rail| rail.message_bytes_max));
        let largest = all.fold(u32::try_from(CHUNK_BYTES).expect("1 MiB"), u32::min).max(1);
        1 << largest.ilog2()
    }
}

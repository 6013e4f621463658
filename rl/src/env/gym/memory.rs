//! The memory that a Python process shares with its driver.
//!
//! Python maps it; the driver reads and writes it as a file, which is the same memory, costs a fifth of a microsecond a
//! call, and needs no `unsafe`. Whose turn it is, is told by bytes on a socket, which also order the accesses: the
//! driver writes before it sends, Python reads after it has received, and the reverse.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytemuck::{cast_slice, cast_slice_mut};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use serde::Serialize;

use super::GymError;
use crate::env::{Actions, Space};

/// Nothing of one array shares a cache line with another.
const ALIGN: usize = 64;

/// Where what lies, in bytes; Python gets it as JSON. What the driver writes comes first, what Python writes after.
#[derive(Clone, Debug, Default, Serialize)]
struct Layout {
    /// Number of the driver's last turn, for Python to look at while it waits: `u64`.
    turn: usize,
    /// Which environment to restart: `u64`.
    index: usize,
    /// `[n, width]` of `u32` if `discrete`, else of `f32`.
    actions: usize,
    discrete: bool,
    /// `[n]` of `u64`.
    seeds: usize,
    /// `[n]` of `f64`.
    rewards: usize,
    /// Bit 0 of each: terminated; bit 1: truncated. `[n]` of `u8`.
    flags: usize,
    /// `[n, obs_dim]` of `f32`.
    obs: usize,
    /// Last observations of the episodes that ended, `[n, obs_dim]` of `f32`.
    finals: usize,
    len: usize,
}

/// The shared memory of one process.
pub struct Memory {
    file: File,
    layout: Layout,
    turn: u64,
    obs_dim: usize,
    /// Turn, index and actions, as they lie in the memory.
    outgoing: Vec<u8>,
    rewards: Vec<f64>,
    flags: Vec<u8>,
}

impl Memory {
    /// Memory of no length, for a process to inherit before its spaces are known.
    pub fn new() -> Result<Self, GymError> {
        let fd = memfd_create("rayline-gym", MemfdFlags::CLOEXEC).map_err(io::Error::from);
        let file = File::from(fd.map_err(GymError::io("making shared memory"))?);
        Ok(Self {
            file,
            layout: Layout::default(),
            turn: 0,
            obs_dim: 0,
            outgoing: vec![],
            rewards: vec![],
            flags: vec![],
        })
    }

    /// Gives the memory its length, for `count` environments.
    pub fn allot(&mut self, count: usize, observation_space: &Space, action_space: &Space) -> Result<(), GymError> {
        let (obs_dim, width) = (observation_space.width(), action_space.width());
        let mut len = ALIGN;
        let mut room = |bytes: usize| {
            let start = len;
            len = (len + bytes).next_multiple_of(ALIGN);
            start
        };
        let (actions, seeds) = (room(4 * count * width), room(8 * count));
        let (rewards, flags) = (room(8 * count), room(count));
        let (obs, finals) = (room(4 * count * obs_dim), room(4 * count * obs_dim));
        let discrete = action_space.is_discrete();
        self.layout = Layout { turn: 0, index: 8, actions, discrete, seeds, rewards, flags, obs, finals, len };
        self.obs_dim = obs_dim;
        self.outgoing = vec![0; actions + 4 * count * width];
        (self.rewards, self.flags) = (vec![0.0; count], vec![0; count]);
        ftruncate(&self.file, len as u64).map_err(io::Error::from).map_err(GymError::io("making room in shared memory"))
    }

    /// The memory itself, for a process to inherit.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where what lies, as JSON.
    pub fn layout(&self) -> String {
        serde_json::to_string(&self.layout).expect("plain numbers have a JSON form")
    }

    /// Writes the actions of a turn.
    pub fn write_actions(&mut self, actions: Actions<'_>) -> Result<(), GymError> {
        let room = &mut self.outgoing[self.layout.actions..];
        match actions {
            Actions::Discrete(choices) => room.copy_from_slice(cast_slice(choices)),
            Actions::Continuous(values) => room.copy_from_slice(cast_slice(values)),
        }
        self.write_turn(self.outgoing.len())
    }

    /// Writes the seeds for a turn that resets all environments.
    pub fn write_seeds(&mut self, seeds: &[u64]) -> Result<(), GymError> {
        self.write(cast_slice(seeds), self.layout.seeds)?;
        self.write_turn(ALIGN)
    }

    /// Writes which environment is restarted in a turn.
    pub fn write_index(&mut self, env: usize) -> Result<(), GymError> {
        let at = self.layout.index;
        self.outgoing[at..at + 8].copy_from_slice(&(env as u64).to_ne_bytes());
        self.write_turn(ALIGN)
    }

    /// Reads what was observed, `[n, obs_dim]`.
    pub fn read_obs(&self, obs: &mut [f32]) -> Result<(), GymError> {
        self.read(cast_slice_mut(obs), self.layout.obs)
    }

    /// Reads what one environment observed, `[obs_dim]`.
    pub fn read_row(&self, env: usize, obs: &mut [f32]) -> Result<(), GymError> {
        self.read(cast_slice_mut(obs), self.layout.obs + 4 * env * self.obs_dim)
    }

    /// Reads the last observation of an episode that ended, `[obs_dim]`.
    pub fn read_final(&self, env: usize, obs: &mut [f32]) -> Result<(), GymError> {
        self.read(cast_slice_mut(obs), self.layout.finals + 4 * env * self.obs_dim)
    }

    /// Reads rewards and flags, `[n]` each.
    pub fn read_results(&mut self) -> Result<(&[f64], &[u8]), GymError> {
        let failed = GymError::io("reading shared memory");
        let Layout { rewards, flags, .. } = self.layout;
        self.file.read_exact_at(cast_slice_mut(&mut self.rewards), rewards as u64).map_err(&failed)?;
        self.file.read_exact_at(&mut self.flags, flags as u64).map_err(&failed)?;
        Ok((&self.rewards, &self.flags))
    }

    /// Writes the first `len` bytes, the number of a new turn at their head.
    fn write_turn(&mut self, len: usize) -> Result<(), GymError> {
        self.turn += 1;
        self.outgoing[..8].copy_from_slice(&self.turn.to_ne_bytes());
        self.write(&self.outgoing[..len], 0)
    }

    fn write(&self, bytes: &[u8], at: usize) -> Result<(), GymError> {
        self.file.write_all_at(bytes, at as u64).map_err(GymError::io("writing shared memory"))
    }

    fn read(&self, bytes: &mut [u8], at: usize) -> Result<(), GymError> {
        self.file.read_exact_at(bytes, at as u64).map_err(GymError::io("reading shared memory"))
    }
}

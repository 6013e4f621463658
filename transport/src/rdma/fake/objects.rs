//! What the fake's functions give out: the header's structs, and what the fake itself keeps behind them.

use super::super::verbs::abi::*;
use super::{Fabric, State};
use rustix::event::{EventfdFlags, eventfd};
use std::collections::VecDeque;
use std::ffi::{CString, c_int};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

#[repr(C)]
pub struct FakeContext {
    pub header: ibv_context,
    pub fabric: Arc<Fabric>,
    pub card: usize,
}

pub struct FakeDevice {
    pub name: CString,
    pub fabric: Arc<Fabric>,
    pub card: usize,
}

pub struct FakeDomain {
    pub context: *mut ibv_context,
}

#[repr(C)]
pub struct FakeChannel {
    pub header: ibv_comp_channel,
    pub descriptor: OwnedFd,
    pub events: Mutex<VecDeque<*mut ibv_cq>>,
}

#[repr(C)]
pub struct FakeQueue {
    pub header: ibv_cq,
    pub channel: *mut FakeChannel,
    pub inner: Mutex<Inner>,
}

#[derive(Default)]
pub struct Inner {
    pub found: VecDeque<ibv_wc>,
    pub is_armed: bool,
    pub events: u32,
}

/// Registered memory, under its key.
#[derive(Clone, Copy)]
pub struct Memory {
    pub address: u64,
    pub len: u64,
    pub access: u32,
    pub place: Place,
}

#[derive(Clone, Copy)]
pub enum Place {
    Host,
    /// The descriptor of a dmabuf, whose first byte has address 0.
    Device(c_int),
}

/// A queue pair, under its number.
#[derive(Clone)]
pub struct QueuePair {
    pub card: usize,
    pub send_queue: *mut ibv_cq,
    pub receive_queue: *mut ibv_cq,
    pub peer: Option<u32>,
    pub is_dead: bool,
    pub receives: VecDeque<u64>,
}

// SAFETY: the pointers are used under the fabric's lock, while what they point to lives.
unsafe impl Send for QueuePair {}

/// A request that is yet to be carried out.
pub struct Kept {
    pub number: u32,
    pub id: u64,
    pub opcode: u32,
    pub word: u32,
    pub remote: (u64, u32),
    pub local: Vec<ibv_sge>,
}

impl FakeChannel {
    pub fn new(context: *mut ibv_context) -> Self {
        use std::os::fd::AsRawFd;
        let descriptor = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
        let header = ibv_comp_channel { context, fd: descriptor.as_raw_fd() };
        Self { header, descriptor, events: Mutex::default() }
    }
}

/// A completion comes: whoever has armed the queue gets an event.
pub fn push(queue: *mut ibv_cq, completion: ibv_wc) {
    // SAFETY: a queue lives as long as its queue pairs.
    let fake = unsafe { &*queue.cast::<FakeQueue>() };
    let mut inner = fake.inner.lock().unwrap();
    inner.found.push_back(completion);
    if std::mem::take(&mut inner.is_armed) {
        drop(inner);
        // SAFETY: a channel lives as long as its queues.
        let channel = unsafe { &*fake.channel };
        channel.events.lock().unwrap().push_back(queue);
        rustix::io::write(&channel.descriptor, &1_u64.to_ne_bytes()).unwrap();
    }
}

impl Kept {
    /// Does what a card would do, and completes.
    pub fn carry_out(self, state: &mut State) {
        let Some(pair) = state.pairs.get(&self.number).cloned() else { return };
        let peer = pair.peer.and_then(|number| state.pairs.get(&number));
        let is_write = self.opcode != IBV_WR_RDMA_READ;
        if !pair.is_dead && is_write && peer.is_some_and(|peer| !peer.is_dead && peer.receives.is_empty()) {
            return state.unready.push(self);
        }
        let len: u32 = self.local.iter().map(|piece| piece.length).sum();
        let status = if pair.is_dead { IBV_WC_WR_FLUSH_ERR } else { self.attempt(state, &pair, len.into()) };
        if status != IBV_WC_SUCCESS {
            state.pairs.get_mut(&self.number).unwrap().is_dead = true;
        }
        let completion = ibv_wc { wr_id: self.id, status, qp_num: self.number, byte_len: len, ..ibv_wc::default() };
        state.complete(pair.send_queue, completion);
    }

    fn attempt(&self, state: &mut State, pair: &QueuePair, len: u64) -> u32 {
        let Some((peer_number, peer)) = pair.peer.and_then(|number| Some((number, state.pairs.get(&number)?.clone())))
        else {
            return IBV_WC_RETRY_EXC_ERR;
        };
        if peer.is_dead || state.cut.contains(&pair.card) || state.cut.contains(&peer.card) {
            return IBV_WC_RETRY_EXC_ERR;
        }
        let is_read = self.opcode == IBV_WR_RDMA_READ;
        let needed = if is_read { IBV_ACCESS_REMOTE_READ } else { IBV_ACCESS_REMOTE_WRITE };
        let (address, key) = self.remote;
        let Some(theirs) = lookup(state, (address, len), key, needed) else {
            state.pairs.get_mut(&peer_number).unwrap().is_dead = true;
            return IBV_WC_REM_ACCESS_ERR;
        };
        let mut at = address;
        for piece in &self.local {
            let access = if is_read { IBV_ACCESS_LOCAL_WRITE } else { 0 };
            let Some(ours) = lookup(state, (piece.addr, piece.length.into()), piece.lkey, access) else {
                return 4; // IBV_WC_LOC_PROT_ERR
            };
            let (from, to) =
                if is_read { ((theirs, at), (ours, piece.addr)) } else { ((ours, piece.addr), (theirs, at)) };
            copy(state, from, to, piece.length as usize);
            at += u64::from(piece.length);
        }
        *state.moved.entry(pair.card).or_default() += len;
        if !is_read { self.tell(state, peer_number, len) } else { IBV_WC_SUCCESS }
    }

    fn tell(&self, state: &mut State, peer: u32, len: u64) -> u32 {
        let pair = state.pairs.get_mut(&peer).unwrap();
        let id = pair.receives.pop_front().expect("looked at before");
        let queue = pair.receive_queue;
        let completion = ibv_wc {
            wr_id: id,
            opcode: IBV_WC_RECV_RDMA_WITH_IMM,
            imm_data: self.word,
            byte_len: len as u32,
            qp_num: peer,
            ..ibv_wc::default()
        };
        state.complete(queue, completion);
        IBV_WC_SUCCESS
    }
}

/// The memory under a key, if all of the range is in it and may be used so.
fn lookup(state: &State, (address, len): (u64, u64), key: u32, access: u32) -> Option<Memory> {
    let memory = *state.memories.get(&key)?;
    let is_within = address >= memory.address && address + len <= memory.address + memory.len;
    (is_within && memory.access & access == access).then_some(memory)
}

fn copy(state: &mut State, (from, source): (Memory, u64), (to, target): (Memory, u64), len: usize) {
    let bytes = match from.place {
        // SAFETY: registered, and within its bounds.
        Place::Host => unsafe { std::slice::from_raw_parts(source as *const u8, len) }.to_vec(),
        Place::Device(descriptor) => state.devices[&descriptor][source as usize..source as usize + len].to_vec(),
    };
    match to.place {
        // SAFETY: registered for writing, and within its bounds; who registered it keeps others off.
        Place::Host => unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target as *mut u8, len) },
        Place::Device(descriptor) => {
            state.devices.get_mut(&descriptor).unwrap()[target as usize..target as usize + len].copy_from_slice(&bytes);
        }
    }
}

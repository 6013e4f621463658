//! Reliable connected queue pairs.

use super::super::verbs::abi::*;
use super::completions::Completions;
use super::error::{CardError, done, made};
use super::gid::LinkLayer;
use super::rail::{Rail, RailAddress};
use std::ffi::c_uint;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

/// A try takes 4.096 us * 2^14 = 67 ms. There are at most 6 more: some cards take 7 as "for ever". So a peer that is
/// gone shows in half a second.
const TIMEOUT: u8 = 14;
const RETRIES: u8 = 6;
/// A receiver without a posted receive is tried again after 0.64 ms, for ever: it is alive, and whoever waits has a
/// deadline.
const NOT_READY_TIMER: u8 = 12;
const NOT_READY_RETRIES: u8 = 7;
/// A peer may have its next request on the way before a receive is posted anew.
pub const RECEIVES_PER_REQUEST: u32 = 2;

/// One end of a connection between two cards. It dies with its first error; its end stops whatever it has under way.
pub struct QueuePair {
    rail: Arc<Rail>,
    raw: NonNull<ibv_qp>,
    sequence: u32,
    // Kept for longer than the queue pair.
    _completions: Arc<Completions>,
}

/// What the other end must know of one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The queue pair's number.
    pub number: u32,
    /// The number of its first packet.
    pub sequence: u32,
}

/// Memory of ours that a request reads or writes, in order: at most two pieces.
#[derive(Clone, Copy)]
pub struct Local {
    pieces: [ibv_sge; 2],
    count: usize,
}

// SAFETY: libibverbs lets any thread use a queue pair.
unsafe impl Send for QueuePair {}
// SAFETY: as for `Send`.
unsafe impl Sync for QueuePair {}

impl QueuePair {
    /// A queue pair with room for `requests`, and receives for as many of the peer, not yet connected. Peers may read
    /// and write by it what they have keys for.
    ///
    /// # Errors
    /// What the card says.
    pub fn new(rail: &Arc<Rail>, completions: &Arc<Completions>, requests: u32) -> Result<Self, CardError> {
        let queue = completions.queue();
        let mut wanted = ibv_qp_init_attr {
            qp_context: null_mut(),
            send_cq: queue,
            recv_cq: queue,
            srq: null_mut(),
            cap: ibv_qp_cap {
                max_send_wr: requests,
                max_recv_wr: requests * RECEIVES_PER_REQUEST,
                max_send_sge: 2,
                max_recv_sge: 1,
                max_inline_data: 0,
            },
            qp_type: IBV_QPT_RC,
            sq_sig_all: 0,
        };
        // SAFETY: domain and queue are of the same card, and are kept for longer.
        let raw = unsafe { (rail.verbs().create_qp)(rail.domain(), &raw mut wanted) };
        let raw = made(raw, "ibv_create_qp", rail.name())?;
        let sequence = getrandom::u32().unwrap_or(std::process::id()) & 0x00ff_ffff;
        let pair = Self { rail: rail.clone(), raw, sequence, _completions: completions.clone() };
        pair.initialize()?;
        Ok(pair)
    }

    /// What the other end must know.
    pub fn end(&self) -> End {
        End { number: self.number(), sequence: self.sequence }
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        // SAFETY: made by `new`, ended by `drop` only.
        unsafe { self.raw.as_ref().qp_num }
    }

    fn initialize(&self) -> Result<(), CardError> {
        let attributes = ibv_qp_attr {
            qp_state: IBV_QPS_INIT,
            port_num: self.rail.port(),
            qp_access_flags: IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE,
            ..ibv_qp_attr::default()
        };
        self.modify(attributes, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS)
    }

    /// Connects it with a peer's. Both ends must have been before either sends.
    ///
    /// # Errors
    /// What the card says.
    pub fn connect(&self, peer: &RailAddress, end: End) -> Result<(), CardError> {
        let ours = self.rail.address();
        let attributes = ibv_qp_attr {
            qp_state: IBV_QPS_RTR,
            path_mtu: ours.mtu.min(peer.mtu).into(),
            dest_qp_num: end.number,
            rq_psn: end.sequence,
            max_dest_rd_atomic: ours.reads_served_max,
            min_rnr_timer: NOT_READY_TIMER,
            ah_attr: self.route(peer),
            ..ibv_qp_attr::default()
        };
        let mask = IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN;
        self.modify(attributes, mask | IBV_QP_STATE | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER)?;
        let attributes = ibv_qp_attr {
            qp_state: IBV_QPS_RTS,
            sq_psn: self.sequence,
            timeout: TIMEOUT,
            retry_cnt: RETRIES,
            rnr_retry: NOT_READY_RETRIES,
            max_rd_atomic: self.rail.reads_max().min(peer.reads_served_max),
            ..ibv_qp_attr::default()
        };
        let mask = IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT;
        self.modify(attributes, mask | IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC)
    }

    /// The way to a peer: by LID within an InfiniBand subnet, by GID over Ethernet.
    fn route(&self, peer: &RailAddress) -> ibv_ah_attr {
        let route = ibv_ah_attr { dlid: peer.lid, port_num: self.rail.port(), ..ibv_ah_attr::default() };
        if peer.link == LinkLayer::InfiniBand {
            return route;
        }
        let grh = ibv_global_route {
            dgid: ibv_gid { raw: peer.gid },
            sgid_index: self.rail.gid().index,
            hop_limit: 64,
            ..ibv_global_route::default()
        };
        ibv_ah_attr { grh, is_global: 1, ..route }
    }

    /// Asks for a READ of `address` at the peer into `local`.
    ///
    /// # Errors
    /// What the card says; then nothing was asked for.
    ///
    /// # Safety
    /// Until the completion with this `id` has come, or the queue pair has ended, the memory of `local` stays
    /// registered and is the card's to write.
    pub unsafe fn read(&self, id: u64, local: Local, (address, key): (u64, u32)) -> Result<(), CardError> {
        // SAFETY: as the caller says.
        unsafe { self.post(request(id, IBV_WR_RDMA_READ, address, key), local) }
    }

    /// Asks for a WRITE of `local` to `address` at the peer, which is told `word` when it has come.
    ///
    /// # Errors
    /// What the card says; then nothing was asked for.
    ///
    /// # Safety
    /// As for `read`, but that the card reads.
    pub unsafe fn write(&self, id: u64, local: Local, at: (u64, u32), word: u32) -> Result<(), CardError> {
        let request = request(id, IBV_WR_RDMA_WRITE_WITH_IMM, at.0, at.1);
        // SAFETY: as the caller says.
        unsafe { self.post(ibv_send_wr { imm_data: word.to_be(), ..request }, local) }
    }

    unsafe fn post(&self, mut request: ibv_send_wr, mut local: Local) -> Result<(), CardError> {
        request.sg_list = local.pieces.as_mut_ptr();
        request.num_sge = i32::try_from(local.count).expect("two at most");
        let mut refused = null_mut();
        // SAFETY: the request and its pieces are copied by the call; the rest is the caller's.
        let code = unsafe {
            let context = (*self.raw.as_ptr()).context;
            ((*context).post_send)(self.raw.as_ptr(), &raw mut request, &raw mut refused)
        };
        done(code, "ibv_post_send", self.rail.name())
    }

    /// Gives the card a place for the word of one WRITE of the peer.
    ///
    /// # Errors
    /// What the card says.
    pub fn receive(&self, id: u64) -> Result<(), CardError> {
        let mut request = ibv_recv_wr { wr_id: id, next: null_mut(), sg_list: null_mut(), num_sge: 0 };
        let mut refused = null_mut();
        // SAFETY: no memory is named.
        let code = unsafe {
            let context = (*self.raw.as_ptr()).context;
            ((*context).post_recv)(self.raw.as_ptr(), &raw mut request, &raw mut refused)
        };
        done(code, "ibv_post_recv", self.rail.name())
    }

    fn modify(&self, mut attributes: ibv_qp_attr, mask: c_uint) -> Result<(), CardError> {
        // SAFETY: made by `new`; the attributes are those of the mask.
        let code = unsafe { (self.rail.verbs().modify_qp)(self.raw.as_ptr(), &raw mut attributes, mask.cast_signed()) };
        done(code, "ibv_modify_qp", self.rail.name())
    }
}

impl Drop for QueuePair {
    fn drop(&mut self) {
        // SAFETY: made by `new`. After this the card touches no memory for it.
        let code = unsafe { (self.rail.verbs().destroy_qp)(self.raw.as_ptr()) };
        assert_eq!(code, 0, "a card kept a queue pair: what it writes to can't be given to others");
    }
}

impl Local {
    /// No memory.
    pub fn new() -> Self {
        Self { pieces: [ibv_sge::default(); 2], count: 0 }
    }

    /// More memory, as the card sees it.
    ///
    /// # Panics
    /// With the third piece.
    #[must_use]
    pub fn and(mut self, address: u64, length: u32, key: u32) -> Self {
        self.pieces[self.count] = ibv_sge { addr: address, length, lkey: key };
        self.count += 1;
        self
    }
}

fn request(id: u64, opcode: c_uint, remote_addr: u64, rkey: u32) -> ibv_send_wr {
    ibv_send_wr {
        wr_id: id,
        next: null_mut(),
        sg_list: null_mut(),
        num_sge: 0,
        opcode,
        send_flags: IBV_SEND_SIGNALED,
        imm_data: 0,
        remote_addr,
        rkey,
        rest: [0; 9],
    }
}

//! What cards do and refuse: on the fake, and in the virtual machine on software cards.

use super::*;
use crate::rdma::fake::{Card, Fabric, cards_to_test, verbs};
use crate::rdma::verbs::abi::*;
use crate::region::{Backing, Memory};
use crate::{Memfd, TransportError};
use std::sync::Arc;
use std::time::{Duration, Instant};

const BYTES: usize = 64 << 10;

/// Two cards, a queue pair on each, connected.
struct Two {
    ends: [Side; 2],
}

/// In the order in which they end.
struct Side {
    pair: QueuePair,
    registered: Option<Registered>,
    completions: Arc<Completions>,
    memory: Memfd,
    rail: Arc<Rail>,
}

impl Two {
    /// The first reads and writes memory that the second has registered so.
    fn new(access: u32) -> Self {
        let (verbs, cards) = cards_to_test();
        let rails = Rail::open_all(verbs, &Wanted { cards, gid_index: None }).unwrap();
        let mut sides =
            rails.into_iter().zip([IBV_ACCESS_LOCAL_WRITE, access]).map(|(rail, access)| Side::new(rail, access));
        let ends = [sides.next().unwrap(), sides.next().unwrap()];
        for (one, other) in [(0, 1), (1, 0)] {
            ends[one].pair.connect(&ends[other].rail.address(), ends[other].pair.end()).unwrap();
        }
        Self { ends }
    }

    fn remote(&self) -> (u64, u32) {
        let there = &self.ends[1];
        (there.address(), there.registered.as_ref().unwrap().remote_key())
    }

    fn local(&self, len: usize) -> Local {
        let here = &self.ends[0];
        Local::new().and(here.address(), len as u32, here.registered.as_ref().unwrap().local_key())
    }

    fn read(&self, id: u64, len: usize, remote: (u64, u32)) -> u32 {
        // SAFETY: the memory stays registered, and nobody else looks at it before the completion is there.
        unsafe { self.ends[0].pair.read(id, self.local(len), remote).unwrap() };
        let completion = self.ends[0].next();
        assert_eq!(completion.wr_id, id);
        completion.status
    }

    fn write(&self, len: usize, remote: (u64, u32)) -> u32 {
        // SAFETY: as above.
        unsafe { self.ends[0].pair.write(7, self.local(len), remote, 0x0012_3456).unwrap() };
        self.ends[0].next().status
    }
}

impl Side {
    fn new(rail: Rail, access: u32) -> Self {
        let rail = Arc::new(rail);
        let completions = Arc::new(Completions::new(&rail, 64).unwrap());
        let mut memory = Memfd::new(BYTES).unwrap();
        memory.bytes_mut().iter_mut().enumerate().for_each(|(at, byte)| *byte = (at % 251) as u8 ^ access as u8);
        // SAFETY: the memory ends after what is registered, and is looked at only when nothing is under way.
        let registered = unsafe { Registered::new(&rail, memory.backing(), 0..BYTES as u64, access).unwrap() };
        let pair = QueuePair::new(&rail, &completions, 16).unwrap();
        Self { pair, registered: Some(registered), completions, memory, rail }
    }

    fn address(&self) -> u64 {
        let Backing::Host { base, .. } = self.memory.backing() else { panic!("it is a memfd") };
        base.as_ptr().addr() as u64
    }

    /// Waits for one completion, as the driver does: look, arm, look again, sleep.
    fn next(&self) -> ibv_wc {
        let (mut found, began) = (vec![], Instant::now());
        loop {
            self.completions.poll(&mut found).unwrap();
            if found.is_empty() {
                self.completions.arm().unwrap();
                self.completions.poll(&mut found).unwrap();
            }
            if let Some(first) = found.first() {
                assert_eq!(found.len(), 1);
                return *first;
            }
            assert!(began.elapsed() < Duration::from_secs(10), "no completion");
            let channel = self.completions.descriptor();
            let mut channels = [rustix::event::PollFd::new(&channel, rustix::event::PollFlags::IN)];
            let second = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
            rustix::event::poll(&mut channels, Some(&second)).unwrap();
            self.completions.take_events();
        }
    }
}

#[test]
fn bytes_go_both_ways_and_a_write_tells_its_word() {
    let mut two = Two::new(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE);
    assert_eq!(two.read(1, BYTES, two.remote()), IBV_WC_SUCCESS);
    let theirs = two.ends[1].memory.bytes_mut().to_vec();
    assert!(two.ends[0].memory.bytes_mut() == theirs);
    two.ends[0].memory.bytes_mut().fill(9);
    two.ends[1].pair.receive(33).unwrap();
    assert_eq!(two.write(BYTES / 2, two.remote()), IBV_WC_SUCCESS);
    let told = two.ends[1].next();
    assert_eq!((told.wr_id, told.opcode, u32::from_be(told.imm_data)), (33, IBV_WC_RECV_RDMA_WITH_IMM, 0x0012_3456));
    let written = two.ends[1].memory.bytes_mut();
    assert!(written[..BYTES / 2].iter().all(|byte| *byte == 9) && written[BYTES / 2..] == theirs[BYTES / 2..]);
}

#[test]
fn one_request_fills_two_pieces_of_memory() {
    let mut two = Two::new(IBV_ACCESS_REMOTE_READ);
    let here = &two.ends[0];
    let key = here.registered.as_ref().unwrap().local_key();
    let local = Local::new().and(here.address() + 1000, 500, key).and(here.address(), 500, key);
    // SAFETY: as in `read`.
    unsafe { here.pair.read(1, local, two.remote()).unwrap() };
    assert_eq!(here.next().status, IBV_WC_SUCCESS);
    let theirs = two.ends[1].memory.bytes_mut()[..1000].to_vec();
    let ours = two.ends[0].memory.bytes_mut();
    assert!(ours[1000..1500] == theirs[..500] && ours[..500] == theirs[500..]);
}

#[test]
fn a_wrong_key_is_refused_and_ends_the_queue_pair() {
    let two = Two::new(IBV_ACCESS_REMOTE_READ);
    let (address, key) = two.remote();
    assert_eq!(two.read(1, 100, (address, key ^ 0x5555)), IBV_WC_REM_ACCESS_ERR);
    assert_eq!(two.read(2, 100, (address, key)), IBV_WC_WR_FLUSH_ERR);
}

#[test]
fn a_read_past_the_end_is_refused() {
    let two = Two::new(IBV_ACCESS_REMOTE_READ);
    let (address, key) = two.remote();
    assert_eq!(two.read(1, 101, (address + BYTES as u64 - 100, key)), IBV_WC_REM_ACCESS_ERR);
}

#[test]
fn what_is_deregistered_is_refused() {
    let mut two = Two::new(IBV_ACCESS_REMOTE_READ);
    let remote = two.remote();
    assert_eq!(two.read(1, 100, remote), IBV_WC_SUCCESS);
    two.ends[1].registered = None;
    assert_eq!(two.read(2, 100, remote), IBV_WC_REM_ACCESS_ERR);
}

#[test]
fn a_write_to_what_is_read_only_is_refused() {
    let mut two = Two::new(IBV_ACCESS_REMOTE_READ);
    let before = two.ends[1].memory.bytes_mut().to_vec();
    two.ends[1].pair.receive(1).unwrap();
    assert_eq!(two.write(100, two.remote()), IBV_WC_REM_ACCESS_ERR);
    assert!(two.ends[1].memory.bytes_mut() == before);
}

#[test]
fn a_peer_whose_end_is_gone_shows_in_a_second() {
    let two = Two::new(IBV_ACCESS_REMOTE_READ);
    let remote = two.remote();
    let Two { ends: [here, there] } = two;
    drop(there.pair);
    let began = Instant::now();
    let key = here.registered.as_ref().unwrap().local_key();
    // SAFETY: as in `read`.
    unsafe { here.pair.read(1, Local::new().and(here.address(), 100, key), remote).unwrap() };
    assert_eq!(here.next().status, IBV_WC_RETRY_EXC_ERR);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn what_a_card_refuses_is_an_error_that_names_card_and_call() {
    let fabric = Fabric::new(1);
    let open = || Rail::open_all(verbs(), &Wanted::default());
    fabric.fail("ibv_get_device_list", libc::EPERM, 1);
    let error = open().err().unwrap();
    assert_eq!(error.to_string(), "ibv_get_device_list failed on card -");
    for call in ["ibv_open_device", "ibv_query_device", "ibv_query_port", "ibv_query_gid_table", "ibv_alloc_pd"] {
        fabric.fail(call, libc::ENOMEM, 1);
        assert!(open().unwrap().is_empty(), "{call}");
        fabric.assert_nothing_is_left();
    }
    let rail = Arc::new(open().unwrap().remove(0));
    for call in ["ibv_create_comp_channel", "ibv_create_cq"] {
        fabric.fail(call, libc::ENOMEM, 1);
        assert_eq!(Completions::new(&rail, 1).err().unwrap().call, call);
    }
    let completions = Arc::new(Completions::new(&rail, 1).unwrap());
    for call in ["ibv_create_qp", "ibv_modify_qp"] {
        fabric.fail(call, libc::ENOMEM, 1);
        let error = QueuePair::new(&rail, &completions, 1).err().unwrap();
        assert_eq!((error.call, error.card.as_str()), (call, "fake0"));
        let error = TransportError::from(error);
        assert!(matches!(error, TransportError::Local { .. }), "{error}");
    }
    drop((rail, completions));
    fabric.assert_nothing_is_left();
}

#[test]
fn ports_that_are_down_or_unwanted_are_left_alone() {
    let cards = Fabric::new(3).cards.clone();
    let fabric = Fabric::of(vec![Card { is_active: false, ..cards[0].clone() }, cards[1].clone(), cards[2].clone()]);
    let names = |wanted: &[&str]| -> Vec<String> {
        let cards = wanted.iter().map(|name| String::from(*name)).collect();
        let rails = Rail::open_all(verbs(), &Wanted { cards, gid_index: None }).unwrap();
        rails.iter().map(|rail| rail.name().into()).collect()
    };
    assert_eq!(names(&[]), ["fake1", "fake2"]);
    assert_eq!(names(&["fake0", "fake2"]), ["fake2"]);
    fabric.assert_nothing_is_left();
}

#[test]
fn a_report_says_what_is_there_and_what_is_amiss() {
    let mut cards = Fabric::new(2).cards.clone();
    cards[0].is_active = false;
    let fabric = Fabric::of(cards);
    let report = probe_with(verbs());
    let text = report.to_string();
    assert!(report.is_usable() && report.has_dmabuf);
    assert!(text.contains("fake0 port 1: Ethernet (RoCE v2), not active: look at cable"), "{text}");
    assert!(text.contains("fake1 port 1: Ethernet (RoCE v2), active, packets of 4096 bytes"), "{text}");
    assert!(text.contains("GID 0 (10.0.0.2): RoCE v2 over IPv4"), "{text}");
    fabric.fail("ibv_open_device", libc::EPERM, 2);
    let text = probe_with(verbs()).to_string();
    assert!(text.contains("fake0: ibv_open_device failed on card fake0: Operation not permitted"), "{text}");
    fabric.assert_nothing_is_left();
    Fabric::of(vec![]);
    let report = probe_with(verbs());
    assert!(!report.is_usable() && report.to_string().starts_with("no RDMA: no card"), "{report}");
}

#[test]
fn rails_reach_their_like() {
    let cards = Fabric::new(2).cards.clone();
    let infiniband = |name: &str, subnet: u8| {
        let name = name.into();
        Card { name, is_infiniband: true, address: [subnet; 16], ..cards[0].clone() }
    };
    Fabric::of(vec![cards[0].clone(), infiniband("ib1", 1), infiniband("ib2", 1), infiniband("ib3", 2)]);
    let rails = Rail::open_all(verbs(), &Wanted::default()).unwrap();
    let reaches = |one: usize, other: usize| rails[one].address().reaches(&rails[other].address());
    assert!(reaches(0, 0) && reaches(1, 2));
    assert!(!reaches(0, 1) && !reaches(1, 0) && !reaches(2, 3));
}

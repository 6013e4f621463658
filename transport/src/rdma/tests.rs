//! Whole endpoints on cards that aren't there, and all that may fail under them.

use super::fake::{Fabric, verbs};
use super::{Mode, Options, Rdma, Route};
use crate::tcp::{ClusterId, Options as TcpOptions, Secret};
use crate::{
    Access, Backing, CHUNK_BYTES, Completion, Extent, Limits, Memfd, Memory, PeerId, Read, Refusal, Regions,
    Registration, RemoteSpan, Transport, TransportError, read_blocking,
};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;
const READER: PeerId = PeerId(1);
const HOLDER: PeerId = PeerId(2);

/// Two endpoints that know each other, and the fabric of their cards.
struct Two {
    reader: Rdma,
    holder: Rdma,
    fabric: Arc<Fabric>,
}

fn options(peer: PeerId, mode: Mode) -> Options {
    let limits = Limits {
        stall_timeout: Duration::from_secs(3),
        peer_timeout: Duration::from_secs(5),
        chunk_wait: Duration::from_millis(300),
        source_pause: Duration::from_millis(20),
        has_checksums: true,
        ..Limits::default()
    };
    let tcp = TcpOptions { limits, ..TcpOptions::loopback(peer, ClusterId(1), Secret([3; 32])) };
    let queue_pair_timeout = Duration::from_secs(3);
    Options { mode, extent_bytes: 2 * MIB as u64, queue_pair_timeout, ..Options::new(tcp) }
}

fn bind(options: Options) -> Rdma {
    let (rdma, events) = Rdma::bind_with(options, Regions::new(), || Ok(verbs())).unwrap();
    // Nobody sends frames here.
    drop(events);
    rdma
}

impl Two {
    fn new(cards: usize, mode: Mode) -> Self {
        Self::with(Fabric::new(cards), mode)
    }

    fn with(fabric: Arc<Fabric>, mode: Mode) -> Self {
        let (reader, holder) = (bind(options(READER, mode)), bind(options(HOLDER, mode)));
        reader.introduce(HOLDER, holder.address());
        holder.introduce(READER, reader.address());
        Self { reader, holder, fabric }
    }

    fn read(&self, span: RemoteSpan) -> Result<Vec<u8>, TransportError> {
        let (_target, landing) = land(&self.reader, span.len as usize);
        read_blocking(&self.reader, HOLDER, span, &landing)?;
        Ok(landing.to_vec().unwrap())
    }

    /// Ends both; nothing is left on the cards.
    fn end(self) {
        drop((self.reader, self.holder));
        let began = Instant::now();
        // Tasks of the endpoints that were making queue pairs end them a little later.
        while began.elapsed() < Duration::from_secs(2) && self.fabric.live("context") > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.fabric.assert_nothing_is_left();
    }
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 31 + at / 4093) as u8).collect()
}

fn publish(rdma: &Rdma, bytes: &[u8]) -> (Registration, Extent) {
    let mut memory = Memfd::new(bytes.len().max(1)).unwrap();
    memory.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
    let registration = rdma.regions().register(memory, Access::Read);
    let extent = registration.publish(0, bytes.len() as u64).unwrap();
    (registration, extent)
}

fn land(rdma: &Rdma, bytes: usize) -> (Registration, Extent) {
    let registration = rdma.regions().register(Memfd::new(bytes.max(1)).unwrap(), Access::Land);
    let extent = registration.land(0, bytes as u64).unwrap();
    (registration, extent)
}

fn push(rdma: &Rdma, peer: PeerId, source: &Extent, target: RemoteSpan) -> Result<(), TransportError> {
    let (tell, outcome) = mpsc::channel();
    rdma.push(peer, source, target, Completion::new(peer, move |result| drop(tell.send(result))));
    outcome.recv().unwrap()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(5), "never {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn objects_go_by_all_rails_and_across_extents() {
    let two = Two::new(2, Mode::Rdma);
    for bytes in [0, 1, 4097, MIB, 5 * MIB + 7] {
        let sent = pattern(bytes);
        let (_source, object) = publish(&two.holder, &sent);
        assert!(two.read(object.remote()).unwrap() == sent, "{bytes} bytes differ");
    }
    let sent = pattern(9 * MIB);
    let (_source, object) = publish(&two.holder, &sent);
    // A part that begins within an extent, and ends within another.
    assert!(two.read(object.remote().slice(777, 7 * MIB as u64)).unwrap() == sent[777..777 + 7 * MIB]);
    assert!(two.read(object.remote()).unwrap() == sent);
    assert!(matches!(two.reader.route(HOLDER), Route::Rdma { rails: 2 }));
    assert!(two.fabric.moved(0) > 0 && two.fabric.moved(1) > 0, "a rail is idle");
    two.end();
}

#[test]
fn pieces_are_no_longer_than_a_message() {
    let mut cards = Fabric::new(1).cards.clone();
    cards[0].message_bytes_max = 300_000;
    let two = Two::with(Fabric::of(cards), Mode::Rdma);
    let sent = pattern(3 * MIB + 5);
    let (_source, object) = publish(&two.holder, &sent);
    assert!(two.read(object.remote()).unwrap() == sent);
    let (_target, landing) = land(&two.reader, sent.len());
    push(&two.holder, READER, &object, landing.remote()).unwrap();
    assert!(landing.to_vec().unwrap() == sent);
    two.end();
}

#[test]
fn completions_that_come_twice_change_nothing() {
    let two = Two::new(1, Mode::Rdma);
    two.fabric.stutter();
    let sent = pattern(6 * MIB + 1);
    let (_source, object) = publish(&two.holder, &sent);
    for _ in 0..3 {
        assert!(two.read(object.remote()).unwrap() == sent);
    }
    let (_target, landing) = land(&two.reader, sent.len());
    push(&two.holder, READER, &object, landing.remote()).unwrap();
    assert!(landing.to_vec().unwrap() == sent);
    two.end();
}

#[test]
fn a_card_that_fails_leaves_its_work_to_the_other() {
    let two = Two::new(2, Mode::Rdma);
    let sent = pattern(6 * MIB);
    let (_source, object) = publish(&two.holder, &sent);
    two.fabric.freeze();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| two.read(object.remote()));
        wait_until("posted", || two.fabric.kept() == 6);
        two.fabric.cut(1, true);
        two.fabric.thaw();
        assert!(reading.join().unwrap().unwrap() == sent);
    });
    two.fabric.cut(1, false);
    let before = two.fabric.moved(1);
    wait_until("used again", || two.read(object.remote()).unwrap() == sent && two.fabric.moved(1) > before);
    two.end();
}

#[test]
fn without_a_card_that_works_bytes_go_by_tcp_or_not_at_all() {
    for mode in [Mode::Auto, Mode::Rdma] {
        let two = Two::new(2, mode);
        let sent = pattern(4 * MIB);
        let (_source, object) = publish(&two.holder, &sent);
        (0..2).for_each(|card| two.fabric.cut(card, true));
        match (mode, two.read(object.remote())) {
            (Mode::Auto, read) => assert!(read.unwrap() == sent),
            (_, read) => assert!(matches!(read, Err(TransportError::PeerGone { peer: HOLDER, .. })), "{read:?}"),
        }
        two.end();
    }
}

#[test]
fn what_a_card_refuses_goes_by_tcp() {
    let calls = ["ibv_reg_mr", "ibv_create_qp", "ibv_modify_qp", "ibv_post_send"];
    for call in calls {
        let two = Two::new(1, Mode::Auto);
        let sent = pattern(2 * MIB + 9);
        let (_source, object) = publish(&two.holder, &sent);
        two.fabric.fail(call, libc::ENOMEM, 1000);
        assert!(two.read(object.remote()).unwrap() == sent, "{call}");
        two.end();
    }
}

#[test]
fn a_failure_that_passes_costs_nothing_else() {
    for call in ["ibv_create_qp", "ibv_modify_qp", "ibv_post_send"] {
        let two = Two::new(1, Mode::Rdma);
        let sent = pattern(2 * MIB + 9);
        let (_source, object) = publish(&two.holder, &sent);
        two.fabric.fail(call, libc::ENOMEM, 1);
        assert!(two.read(object.remote()).unwrap() == sent, "{call}");
        assert!(two.fabric.moved(0) >= sent.len() as u64, "{call}");
        two.end();
    }
}

#[test]
fn endpoints_without_cards_say_so() {
    let sent = pattern(MIB);
    let two = Two::new(0, Mode::Auto);
    let (_source, object) = publish(&two.holder, &sent);
    assert!(two.read(object.remote()).unwrap() == sent);
    assert!(matches!(two.reader.route(HOLDER), Route::Tcp { error: None }));
    let (_target, landing) = land(&two.reader, MIB);
    let refused = push(&two.holder, READER, &object, landing.remote()).unwrap_err();
    assert!(matches!(refused, TransportError::Refused { refusal: Refusal::NoCards, .. }), "{refused}");
    let refused = Rdma::bind_with(options(READER, Mode::Rdma), Regions::new(), || Err("not installed".into()));
    assert!(matches!(refused.err(), Some(TransportError::Local { what: "use RDMA, as is asked for", .. })));
}

#[test]
fn a_peer_without_cards_is_read_by_tcp_and_the_route_says_why() {
    let fabric = Fabric::new(1);
    let (reader, holder) = (bind(options(READER, Mode::Auto)), bind(options(HOLDER, Mode::Tcp)));
    reader.introduce(HOLDER, holder.address());
    let two = Two { reader, holder, fabric };
    let sent = pattern(MIB + 1);
    let (_source, object) = publish(&two.holder, &sent);
    assert!(matches!(two.reader.route(HOLDER), Route::Unknown));
    assert!(two.read(object.remote()).unwrap() == sent);
    let route = two.reader.route(HOLDER).to_string();
    assert!(route.starts_with("tcp (no connection with peer 2: it uses no RDMA"), "{route}");
    assert_eq!(two.fabric.moved(0), 0);
    two.end();
}

#[test]
fn bytes_that_are_read_are_not_given_again_before_the_read_has_ended() {
    let two = Two::new(1, Mode::Rdma);
    let (source, object) = publish(&two.holder, &pattern(4 * MIB));
    let span = object.remote();
    two.fabric.freeze();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| two.read(span));
        wait_until("posted", || two.fabric.kept() == 4);
        drop(object);
        assert!(source.publish(0, 4096).is_err(), "a lease holds it");
        two.fabric.thaw();
        let error = reading.join().unwrap().unwrap_err();
        assert!(matches!(error, TransportError::Revoked { .. }), "{error}");
    });
    wait_until("let go", || source.publish(0, 4096).is_ok());
    two.end();
}

#[test]
fn what_is_deregistered_is_revoked_at_the_card() {
    let two = Two::new(1, Mode::Rdma);
    let sent = pattern(4 * MIB);
    let (source, object) = publish(&two.holder, &sent);
    let (_other_source, other) = publish(&two.holder, &sent);
    two.fabric.freeze();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| two.read(object.remote()));
        let beside = scope.spawn(|| two.read(other.remote()));
        wait_until("posted", || two.fabric.kept() == 8);
        let registered = two.fabric.live("memory");
        drop(source);
        assert_eq!(two.fabric.live("memory"), registered - 2, "two extents are deregistered");
        two.fabric.thaw();
        let error = reading.join().unwrap().unwrap_err();
        assert!(matches!(error, TransportError::Revoked { .. }), "{error}");
        // The queue pair has died of it; what else was on it is read by another.
        assert!(beside.join().unwrap().unwrap() == sent);
    });
    two.end();
}

#[test]
fn an_endpoint_that_ends_stops_its_reads_before_their_memory_is_given_away() {
    let two = Two::new(1, Mode::Rdma);
    let (_source, object) = publish(&two.holder, &pattern(2 * MIB));
    let (target, landing) = land(&two.reader, 2 * MIB);
    let read = Read::new(object.remote(), &landing, 0..2).unwrap();
    let (tell, outcome) = mpsc::channel();
    two.fabric.freeze();
    two.reader.read(HOLDER, read, Completion::new(HOLDER, move |result| drop(tell.send(result))));
    wait_until("posted", || two.fabric.kept() == 2);
    let Two { reader, holder, fabric } = two;
    drop(reader);
    let error = outcome.recv().unwrap().unwrap_err();
    assert!(matches!(error, TransportError::PeerGone { .. }), "{error}");
    fabric.thaw();
    drop(landing);
    // Nothing has been written: the queue pairs had ended.
    let again = target.publish(0, 2 * MIB as u64).unwrap();
    assert!(again.to_vec().unwrap().iter().all(|byte| *byte == 0));
    drop((target, again, _source, object, holder));
    fabric.assert_nothing_is_left();
}

#[test]
fn a_peer_that_ends_ends_its_reads() {
    let two = Two::new(1, Mode::Rdma);
    let (_source, object) = publish(&two.holder, &pattern(2 * MIB));
    let span = object.remote();
    assert!(two.read(span).is_ok());
    two.fabric.freeze();
    let Two { reader, holder, fabric } = two;
    let (_target, landing) = land(&reader, 2 * MIB);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| read_blocking(&reader, HOLDER, span, &landing));
        wait_until("posted", || fabric.kept() == 2);
        drop(holder);
        let error = reading.join().unwrap().unwrap_err();
        assert!(matches!(error, TransportError::PeerGone { .. }), "{error}");
    });
    assert!(Read::new(span, &landing, 0..2).is_ok(), "a chunk is kept that may be anything");
}

#[test]
fn what_is_still_arriving_is_waited_for_and_passed_on() {
    let two = Two::new(1, Mode::Rdma);
    let sent = pattern(2 * MIB);
    let (_source, object) = publish(&two.holder, &sent);
    // The reader's landing place is itself read, by the holder.
    let (_between, half) = land(&two.reader, sent.len());
    let (_target, landing) = land(&two.holder, sent.len());
    let early = read_blocking(&two.holder, READER, half.remote(), &landing).unwrap_err();
    assert!(matches!(early, TransportError::NotYet { peer: READER, .. }), "{early}");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| read_blocking(&two.holder, READER, half.remote(), &landing));
        push(&two.holder, READER, &object, half.remote()).unwrap();
        waiting.join().unwrap().unwrap();
    });
    assert!(landing.to_vec().unwrap() == sent);
    two.end();
}

#[test]
fn a_push_is_of_a_whole_object_into_a_place_of_its_own() {
    let two = Two::new(2, Mode::Rdma);
    let sent = pattern(3 * MIB + 1);
    let (_source, object) = publish(&two.holder, &sent);
    let (target, landing) = land(&two.reader, sent.len());
    let before = two.fabric.live("memory");
    push(&two.holder, READER, &object, landing.remote()).unwrap();
    assert!(landing.to_vec().unwrap() == sent);
    assert_eq!(two.fabric.live("memory") - before, 2 * 2, "a key to write by is left");
    let again = push(&two.holder, READER, &object, landing.remote()).unwrap_err();
    assert!(matches!(again, TransportError::Region { .. }), "{again}");
    let (_other, short) = land(&two.reader, 5);
    assert!(matches!(push(&two.holder, READER, &object, short.remote()), Err(TransportError::Region { .. })));
    drop(landing);
    let gone = RemoteSpan { len: sent.len() as u64, ..short.remote() };
    assert!(matches!(push(&two.holder, READER, &object, gone), Err(TransportError::OutOfBounds { .. })));
    drop(target);
    two.end();
}

#[test]
fn more_peers_than_queue_pairs_take_turns() {
    let fabric = Fabric::new(1);
    let few = Options { queue_pairs_max: 2, quantum: Duration::from_millis(2), ..options(READER, Mode::Rdma) };
    let reader = bind(Options { queue_pair_timeout: Duration::from_secs(10), ..few });
    let holders: Vec<Rdma> = (10..17).map(|peer| bind(options(PeerId(peer), Mode::Rdma))).collect();
    let sent = pattern(100_000);
    let objects: Vec<(Registration, Extent)> = holders.iter().map(|holder| publish(holder, &sent)).collect();
    let place = 100_000_usize.next_multiple_of(4096);
    let target = reader.regions().register(Memfd::new(1000 * place).unwrap(), Access::Land);
    holders.iter().for_each(|holder| reader.introduce(holder.local(), holder.address()));
    let (tell, outcomes) = mpsc::channel();
    let landings: Vec<Extent> = (0..1000)
        .map(|index| {
            let landing = target.land((index * place) as u64, 100_000).unwrap();
            let (peer, span) = (holders[index % 7].local(), objects[index % 7].1.remote());
            let tell = tell.clone();
            let done = Completion::new(peer, move |result| drop(tell.send(result)));
            reader.read(peer, Read::new(span, &landing, 0..1).unwrap(), done);
            landing
        })
        .collect();
    for _ in 0..1000 {
        outcomes.recv_timeout(Duration::from_secs(20)).unwrap().unwrap();
        assert!(fabric.live("pair") <= 2 + 7 * 2);
    }
    assert!(landings.iter().all(|landing| landing.to_vec().unwrap() == sent));
    drop((reader, target, landings, objects, holders));
    fabric.assert_nothing_is_left();
}

#[test]
fn reads_beyond_the_limit_are_refused() {
    let fabric = Fabric::new(1);
    let reader = bind(Options { transfers_max: 3, ..options(READER, Mode::Rdma) });
    let holder = bind(options(HOLDER, Mode::Rdma));
    reader.introduce(HOLDER, holder.address());
    let (_source, object) = publish(&holder, &pattern(1000));
    let target = reader.regions().register(Memfd::new(1 << 20).unwrap(), Access::Land);
    let (tell, outcomes) = mpsc::channel();
    fabric.freeze();
    let _landings: Vec<Extent> = (0..9)
        .map(|index| {
            let landing = target.land(index * 4096, 1000).unwrap();
            let tell = tell.clone();
            let done = Completion::new(HOLDER, move |result| drop(tell.send(result)));
            reader.read(HOLDER, Read::new(object.remote(), &landing, 0..1).unwrap(), done);
            landing
        })
        .collect();
    wait_until("posted", || fabric.kept() == 3);
    fabric.thaw();
    let outcomes: Vec<_> = (0..9).map(|_| outcomes.recv().unwrap()).collect();
    let refused = outcomes.iter().filter(|one| matches!(one, Err(TransportError::Full { limit: 3, .. })));
    assert_eq!((refused.count(), outcomes.iter().filter(|one| one.is_ok()).count()), (6, 3));
}

/// Memory of a device, as a GPU's driver exports it: the process can't look at it.
struct Device {
    descriptor: i32,
    bytes: u64,
}

// SAFETY: the fake keeps the memory for longer than the test.
unsafe impl Memory for Device {
    fn backing(&self) -> Backing {
        Backing::Dmabuf { fd: self.descriptor, offset: 0, bytes: self.bytes }
    }
}

#[test]
fn memory_of_a_gpu_is_source_and_landing_place_of_reads_and_pushes() {
    let two = Two::new(1, Mode::Rdma);
    let (len, sent) = (3 * MIB + 100, pattern(3 * MIB + 100));
    let device = |descriptor: i32, bytes: Vec<u8>, rdma: &Rdma| {
        let memory = Device { descriptor, bytes: bytes.len() as u64 };
        two.fabric.add_device_memory(descriptor, bytes);
        rdma.regions().register(memory, Access::Land)
    };
    let source = device(1001, sent.clone(), &two.holder);
    let object = source.publish(0, len as u64).unwrap();
    // From a GPU to the host, from one to another, and pushed.
    assert!(two.read(object.remote()).unwrap() == sent);
    let target = device(1002, vec![0; len], &two.reader);
    let landing = target.land(0, len as u64).unwrap();
    read_blocking(&two.reader, HOLDER, object.remote(), &landing).unwrap();
    assert!(landing.is_complete() && two.fabric.device_memory(1002) == sent);
    let pushed = device(1003, vec![0; len], &two.reader);
    let place = pushed.land(0, len as u64).unwrap();
    push(&two.holder, READER, &object, place.remote()).unwrap();
    assert!(place.is_complete() && two.fabric.device_memory(1003) == sent);
    assert_eq!(object.to_vec(), None, "the process can't look at it");
    drop((source, object, target, landing, pushed, place));
    two.end();
}

#[test]
fn what_only_cards_reach_is_refused_by_tcp() {
    let two = Two::new(1, Mode::Tcp);
    let device = Device { descriptor: 1001, bytes: CHUNK_BYTES };
    let source = two.holder.regions().register(device, Access::Land);
    let object = source.publish(0, CHUNK_BYTES).unwrap();
    let refused = two.read(object.remote()).unwrap_err();
    assert!(refused.to_string().contains("memory of a device, which only cards reach"), "{refused}");
    let (_source, on_host) = publish(&two.holder, &pattern(MIB));
    let target = two.reader.regions().register(Device { descriptor: 1002, bytes: CHUNK_BYTES }, Access::Land);
    let landing = target.land(0, CHUNK_BYTES).unwrap();
    let refused = read_blocking(&two.reader, HOLDER, on_host.remote(), &landing).unwrap_err();
    assert!(matches!(refused, TransportError::Region { .. }), "{refused}");
}

//! Pulls of whole objects: once for all who ask, from whoever has them, along chains of half-received ones.
#![allow(clippy::unwrap_used)]

mod common;

use common::{MIB, limits, node, options, pattern, publish};
use rayline_transport::tcp::{Options, Tcp};
use rayline_transport::{
    Access, Ask, Broadcast, Class, Extent, Limits, Memfd, Network, ObjectKey, PeerId, Pull, Puller, Regions,
    Registration, RemoteSpan, Source, Transport, TransportError,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);

/// An endpoint that pulls, and a region to land in.
struct Receiver {
    tcp: Arc<Tcp>,
    puller: Puller,
    landing: Registration,
}

fn receiver(options: Options, bytes: usize) -> Receiver {
    let limits = options.limits.clone();
    let tcp = Arc::new(node(options).tcp);
    let puller = Puller::new(tcp.clone(), limits).unwrap();
    let landing = tcp.regions().register(Memfd::new(bytes).unwrap(), Access::Land);
    Receiver { tcp, puller, landing }
}

fn source(peer: u128, span: RemoteSpan) -> Source {
    Source { peer: PeerId(peer), span, rank: 0 }
}

fn ask(sources: Vec<Source>, extent: Extent) -> Ask {
    let land = Box::new(move || Ok(extent));
    Ask { object: ObjectKey(5), class: Class::Get, len: sources[0].span.len, sources, land }
}

fn bytes(pull: &Pull) -> Vec<u8> {
    pull.wait(SOON).expect("it ends in time").unwrap().to_vec().unwrap()
}

#[test]
fn an_object_is_pulled_once_whoever_asks() {
    let holder = node(options(2));
    let receiver = receiver(options(1), 40 * MIB);
    receiver.tcp.introduce(PeerId(2), holder.tcp.address());
    let sent = pattern(40 * MIB);
    let (_source, object) = publish(&holder.tcp, &sent);
    let landed = Arc::new(AtomicUsize::new(0));
    let (extent, count) = (receiver.landing.land(0, sent.len() as u64).unwrap(), landed.clone());
    let again = landed.clone();
    let land = Box::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(extent)
    });
    let first = Ask { class: Class::Prefetch, land, ..ask(vec![source(2, object.remote())], spare(&receiver)) };
    let first = receiver.puller.pull(first).unwrap();
    let land = Box::new(move || {
        again.fetch_add(1, Ordering::Relaxed);
        Err(TransportError::Cancelled)
    });
    let second = Ask { land, ..ask(vec![source(2, object.remote())], spare(&receiver)) };
    let second = receiver.puller.pull(second).unwrap();
    assert!(bytes(&second) == sent);
    assert!(bytes(&first) == sent);
    assert_eq!(landed.load(Ordering::Relaxed), 1);
    assert_eq!(first.progress().bytes, first.progress().total);
}

/// An extent of no bytes, where another closure takes its place.
fn spare(receiver: &Receiver) -> Extent {
    receiver.tcp.regions().register(Memfd::new(1).unwrap(), Access::Land).land(0, 0).unwrap()
}

#[test]
fn the_next_source_serves_what_one_that_died_leaves() {
    let receiver = receiver(options(1), 24 * MIB);
    let sent = pattern(24 * MIB);
    let slow = Options { lane_bytes_per_s: 4 << 20, ..options(2) };
    let (dying, other) = (node(slow), node(options(3)));
    receiver.tcp.introduce(PeerId(2), dying.tcp.address());
    receiver.tcp.introduce(PeerId(3), other.tcp.address());
    let (_first, object) = publish(&dying.tcp, &sent);
    let (_second, copy) = publish(&other.tcp, &sent);
    let behind = Source { rank: 1, ..source(3, copy.remote()) };
    let extent = receiver.landing.land(0, sent.len() as u64).unwrap();
    let pull = receiver.puller.pull(ask(vec![source(2, object.remote()), behind], extent)).unwrap();
    let deadline = Instant::now() + SOON;
    while pull.progress().bytes == 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(pull.outcome().is_none(), "it was too fast to be interrupted");
    drop(dying);
    assert!(bytes(&pull) == sent);
}

#[test]
fn without_a_source_a_pull_says_why() {
    let receiver = receiver(options(1), MIB);
    let nowhere = RemoteSpan { key: 1, generation: 1, offset: 0, len: MIB as u64 };
    let extent = receiver.landing.land(0, MIB as u64).unwrap();
    let pull = receiver.puller.pull(ask(vec![source(9, nowhere)], extent)).unwrap();
    match pull.wait(SOON).unwrap() {
        Err(TransportError::NoSource { last: Some(last) }) => {
            assert!(matches!(*last, TransportError::PeerUnknown { peer: PeerId(9) }), "{last}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_pull_that_nobody_wants_gives_its_landing_place_back() {
    let receiver = receiver(options(1), 8 * MIB);
    let slow = node(Options { lane_bytes_per_s: 1 << 20, ..options(2) });
    receiver.tcp.introduce(PeerId(2), slow.tcp.address());
    let (_source, object) = publish(&slow.tcp, &pattern(8 * MIB));
    let extent = receiver.landing.land(0, object.len()).unwrap();
    let pull = receiver.puller.pull(ask(vec![source(2, object.remote())], extent)).unwrap();
    drop(pull.clone());
    assert!(pull.outcome().is_none());
    drop(pull);
    // The reads in flight end first: with the object, or with the patience of the lane.
    let deadline = Instant::now() + SOON;
    drop(slow);
    while receiver.landing.land(0, 8 * MIB as u64).is_err() {
        assert!(Instant::now() < deadline, "the place is never given back");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn more_pulls_than_may_be_are_refused_and_those_that_wait_are_admitted_later() {
    let limits = Limits { pulls_max: 3, admitted_bytes_max: MIB as u64, ..limits() };
    let receiver = receiver(Options { limits, ..options(1) }, 8 * MIB);
    let slow = node(Options { lane_bytes_per_s: 8 << 20, ..options(2) });
    receiver.tcp.introduce(PeerId(2), slow.tcp.address());
    let (_source, object) = publish(&slow.tcp, &pattern(2 * MIB));
    let pull = |at: u64| {
        let extent = receiver.landing.land(at * 2 * MIB as u64, object.len()).unwrap();
        let ask = ask(vec![source(2, object.remote())], extent);
        receiver.puller.pull(Ask { object: ObjectKey(u128::from(at)), ..ask })
    };
    let pulls: Vec<Pull> = (0..3).map(|at| pull(at).unwrap()).collect();
    assert!(matches!(pull(3), Err(TransportError::Full { limit: 3, .. })));
    assert!(pulls.iter().all(|pull| bytes(pull).len() == 2 * MIB));
}

#[test]
fn a_chain_of_half_received_objects_takes_little_longer_than_one_transfer() {
    let rate = 16 << 20;
    let paced = |peer| Options { lane_bytes_per_s: rate, ..options(peer) };
    let origin = node(Options { limits: Limits { lanes_per_peer_max: 1, ..limits() }, ..paced(100) });
    let sent = pattern(32 * MIB);
    let (_source, object) = publish(&origin.tcp, &sent);
    let receivers: Vec<Receiver> = (1..=4)
        .map(|peer| {
            let limits = Limits { lanes_per_peer_max: 1, stall_timeout: SOON, chunk_wait: SOON / 2, ..limits() };
            receiver(Options { limits, ..paced(peer) }, sent.len())
        })
        .collect();
    let mut chain = Broadcast::new(source(100, object.remote()), 1);
    let begin = Instant::now();
    let mut took = vec![];
    let pulls: Vec<Pull> = (1..)
        .zip(&receivers)
        .map(|(peer, receiver)| {
            let all = (1..).zip(&receivers);
            all.for_each(|(other, there)| receiver.tcp.introduce(PeerId(other), there.tcp.address()));
            receiver.tcp.introduce(PeerId(100), origin.tcp.address());
            let extent = receiver.landing.land(0, sent.len() as u64).unwrap();
            let sources = chain.join(source(peer, extent.remote()));
            receiver.puller.pull(ask(sources, extent)).unwrap()
        })
        .collect();
    for pull in &pulls {
        assert!(bytes(pull) == sent);
        took.push(begin.elapsed());
    }
    assert!(took[3] < took[0] * 2, "one transfer takes {:?}, four in a chain {:?}", took[0], took[3]);
}

#[test]
fn the_place_of_an_object_is_free_with_its_last_handle() {
    let holder = node(options(2));
    let receiver = receiver(options(1), 2 * MIB);
    receiver.tcp.introduce(PeerId(2), holder.tcp.address());
    let (_source, object) = publish(&holder.tcp, &pattern(2 * MIB));
    for _ in 0..200 {
        let extent = receiver.landing.land(0, object.len()).expect("the last pull is over");
        let pull = receiver.puller.pull(ask(vec![source(2, object.remote())], extent)).unwrap();
        pull.wait(SOON).unwrap().unwrap();
    }
}

#[test]
fn pulls_work_within_a_process() {
    let network = Network::new();
    let (holder, _events) = network.join(PeerId(2), Regions::new(), limits());
    let (reader, _events) = network.join(PeerId(1), Regions::new(), limits());
    let sent = pattern(5 * MIB);
    let (_source, object) = publish(&holder, &sent);
    let landing = reader.regions().register(Memfd::new(sent.len()).unwrap(), Access::Land);
    let puller = Puller::new(Arc::new(reader), limits()).unwrap();
    let extent = landing.land(0, sent.len() as u64).unwrap();
    let pull = puller.pull(ask(vec![source(2, object.remote())], extent)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(runtime.block_on(pull.finished()).unwrap().to_vec().unwrap() == sent);
}

//! What is tried.

use crate::holder::{HOLDER, Holder, MIB, options, pattern};

use crate::links::Netem;
use rayline_transport::rdma::{Mode, Options, Rdma, Route};
use rayline_transport::{
    Access, Completion, Extent, Memfd, PeerId, Read, Regions, Registration, RemoteSpan, Transport, TransportError,
    read_blocking,
};
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub const ALL: &[(&str, fn())] = &[
    ("objects_of_all_sizes_arrive_whole", objects_of_all_sizes_arrive_whole),
    ("delay_and_loss_cost_time_only", delay_and_loss_cost_time_only),
    ("a_span_that_isnt_there_is_refused", a_span_that_isnt_there_is_refused),
    ("what_is_revoked_while_it_is_read_is_not_had", what_is_revoked_while_it_is_read_is_not_had),
    ("what_is_deregistered_while_it_is_read_is_not_had", what_is_deregistered_while_it_is_read_is_not_had),
    ("a_rail_that_fails_leaves_its_work_to_the_other", a_rail_that_fails_leaves_its_work_to_the_other),
    ("without_a_rail_bytes_go_by_tcp", without_a_rail_bytes_go_by_tcp),
    ("a_peer_that_is_killed_ends_its_reads", a_peer_that_is_killed_ends_its_reads),
    ("a_push_lands_whole", a_push_lands_whole),
    ("a_thousand_reads_share_a_few_queue_pairs", a_thousand_reads_share_a_few_queue_pairs),
];

const PEER: PeerId = PeerId(HOLDER);

/// The cards of both processes where there is one each: the virtual machine's, or those that are named.
fn cards() -> (String, String) {
    let named = std::env::var("RAYLINE_TEST_CARDS");
    let named = named.as_deref().unwrap_or("rxe0,rxe1");
    let (reader, other) = named.split_once(',').expect("RAYLINE_TEST_CARDS names two cards, with a comma between");
    (reader.into(), other.into())
}

fn pair() -> (Rdma, Holder) {
    pair_with(|reader| reader, 1)
}

fn pair_with(change: impl FnOnce(Options) -> Options, holders: usize) -> (Rdma, Holder) {
    let (reader, other) = cards();
    join(change(options(1, &[&reader])), Holder::start(holders, &[&other]))
}

/// Two rails each: of the virtual machine only, whose links can be cut.
fn pair_of_two_rails() -> (Rdma, Holder) {
    join(options(1, &["rxe0", "rxe2"]), Holder::start(1, &["rxe1", "rxe3"]))
}

fn join(options: Options, holder: Holder) -> (Rdma, Holder) {
    let (reader, events) = Rdma::bind(options, Regions::new()).unwrap();
    // Nobody sends frames here.
    drop(events);
    for (index, address) in holder.addresses.iter().enumerate() {
        reader.introduce(PeerId(HOLDER + index as u128), *address);
    }
    (reader, holder)
}

fn land(reader: &Rdma, bytes: usize) -> (Registration, Extent) {
    let registration = reader.regions().register(Memfd::new(bytes).unwrap(), Access::Land);
    let extent = registration.land(0, bytes as u64).unwrap();
    (registration, extent)
}

fn read(reader: &Rdma, peer: PeerId, span: RemoteSpan) -> Result<Vec<u8>, TransportError> {
    let (_registration, extent) = land(reader, span.len as usize);
    read_blocking(reader, peer, span, &extent)?;
    Ok(extent.to_vec().expect("a read that ended well is complete"))
}

fn objects_of_all_sizes_arrive_whole() {
    let (reader, mut holder) = pair();
    for bytes in [1, 4097, MIB - 1, MIB, MIB + 1, 9 * MIB + 5] {
        let span = holder.span(&format!("publish 0 {bytes} {bytes}"));
        assert!(read(&reader, PEER, span).unwrap() == pattern(bytes, bytes), "{bytes} bytes differ");
    }
    assert!(matches!(reader.route(PEER), Route::Rdma { rails: 1 }), "{}", reader.route(PEER));
}

fn delay_and_loss_cost_time_only() {
    let (reader, mut holder) = pair();
    let span = holder.span(&format!("publish 0 {} 3", 8 * MIB));
    let _there = Netem::new("veth1", &["delay", "1ms", "loss", "0.5%"]);
    let _back = Netem::new("veth0", &["delay", "1ms", "loss", "0.5%"]);
    for _ in 0..3 {
        assert!(read(&reader, PEER, span).unwrap() == pattern(8 * MIB, 3));
    }
}

fn a_span_that_isnt_there_is_refused() {
    let (reader, mut holder) = pair();
    let span = holder.span("publish 0 100000 1");
    let other = |span| read(&reader, PEER, span).unwrap_err();
    assert!(matches!(other(RemoteSpan { len: 100_001, ..span }), TransportError::OutOfBounds { .. }));
    assert!(matches!(other(RemoteSpan { generation: 1, ..span }), TransportError::Revoked { .. }));
    assert!(matches!(other(RemoteSpan { key: 1, ..span }), TransportError::Revoked { .. }));
    assert_eq!(holder.ask("retire"), "retired");
    assert!(matches!(other(span), TransportError::Revoked { .. }));
}

/// Reads what the holder is told to take away meanwhile.
fn revoked_by(command: &str) {
    let bytes = 64 * MIB;
    let (reader, mut holder) = pair();
    let span = holder.span(&format!("publish 0 {bytes} 1"));
    // Once before, so that all is registered and connected.
    assert!(read(&reader, PEER, span.slice(0, MIB as u64)).is_ok());
    let _slow = Netem::new("veth1", &["rate", "400mbit"]);
    let (_registration, extent) = land(&reader, bytes);
    let error = std::thread::scope(|scope| {
        let reading = scope.spawn(|| read_blocking(&reader, PEER, span, &extent));
        std::thread::sleep(Duration::from_millis(300));
        holder.ask(command);
        reading.join().unwrap().unwrap_err()
    });
    assert!(matches!(error, TransportError::Revoked { .. }), "{error}");
    assert!(Read::new(span, &extent, 0..64).is_ok(), "a chunk is kept that may be anything");
}

fn what_is_revoked_while_it_is_read_is_not_had() {
    revoked_by("retire");
}

fn what_is_deregistered_while_it_is_read_is_not_had() {
    revoked_by("deregister");
}

fn a_rail_that_fails_leaves_its_work_to_the_other() {
    let bytes = 48 * MIB;
    let (reader, mut holder) = pair_of_two_rails();
    let span = holder.span(&format!("publish 0 {bytes} 5"));
    assert!(read(&reader, PEER, span).unwrap() == pattern(bytes, 5));
    assert!(matches!(reader.route(PEER), Route::Rdma { rails: 2 }), "{}", reader.route(PEER));
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| read(&reader, PEER, span).unwrap());
        std::thread::sleep(Duration::from_millis(100));
        let _cut = Netem::new("veth3", &["loss", "100%"]);
        assert!(reading.join().unwrap() == pattern(bytes, 5));
        // The rail is known to be bad: nobody waits for it again.
        assert!(read(&reader, PEER, span).unwrap() == pattern(bytes, 5));
    });
    assert!(read(&reader, PEER, span).unwrap() == pattern(bytes, 5));
}

fn without_a_rail_bytes_go_by_tcp() {
    let bytes = 6 * MIB;
    let (reader, mut holder) = pair_with(|options| Options { mode: Mode::Auto, ..options }, 1);
    let span = holder.span(&format!("publish 0 {bytes} 5"));
    assert!(read(&reader, PEER, span.slice(0, 100)).is_ok());
    let _cut = Netem::new("veth1", &["loss", "100%"]);
    let began = Instant::now();
    assert!(read(&reader, PEER, span).unwrap() == pattern(bytes, 5));
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?} to find out", began.elapsed());
}

fn a_peer_that_is_killed_ends_its_reads() {
    let bytes = 64 * MIB;
    let (reader, mut holder) = pair();
    let span = holder.span(&format!("publish 0 {bytes} 1"));
    let (_registration, extent) = land(&reader, bytes);
    let _slow = Netem::new("veth1", &["rate", "400mbit"]);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| read_blocking(&reader, PEER, span, &extent));
        std::thread::sleep(Duration::from_millis(400));
        holder.kill();
        let began = Instant::now();
        let error = reading.join().unwrap().unwrap_err();
        assert!(matches!(error, TransportError::PeerGone { .. }), "{error}");
        assert!(began.elapsed() < Duration::from_secs(3), "it took {:?} to find out", began.elapsed());
    });
    assert!(Read::new(span, &extent, 0..64).is_ok(), "a chunk is kept that may be anything");
}

fn a_push_lands_whole() {
    let bytes = 5 * MIB + 77;
    let (pusher, mut holder) = pair_of_two_rails();
    let target = holder.span(&format!("land 0 {bytes}"));
    let mut memory = Memfd::new(bytes).unwrap();
    memory.bytes_mut().copy_from_slice(&pattern(bytes, 8));
    let registration = pusher.regions().register(memory, Access::Read);
    let source = registration.publish(0, bytes as u64).unwrap();
    let push = || {
        let (tell, outcome) = mpsc::channel();
        pusher.push(PEER, &source, target, Completion::new(PEER, move |result| drop(tell.send(result))));
        outcome.recv().unwrap()
    };
    push().unwrap();
    assert_eq!(holder.ask("landed 8"), "true");
    let again = push().unwrap_err();
    assert!(matches!(again, TransportError::Region { .. }), "what has landed is written again: {again}");
}

fn a_thousand_reads_share_a_few_queue_pairs() {
    const PEERS: usize = 12;
    const READS: usize = 1000;
    const BYTES: usize = 20_000;
    let (reader, mut holder) = pair_with(|options| Options { queue_pairs_max: 4, ..options }, PEERS);
    let spans: Vec<RemoteSpan> =
        (0..PEERS).map(|peer| holder.span(&format!("publish {peer} {BYTES} {peer}"))).collect();
    let place = BYTES.next_multiple_of(4096);
    let registration = reader.regions().register(Memfd::new(READS * place).unwrap(), Access::Land);
    let (tell, outcomes) = mpsc::channel();
    let extents: Vec<Extent> = (0..READS)
        .map(|index| {
            let extent = registration.land((index * place) as u64, BYTES as u64).unwrap();
            let (peer, span) = (PeerId(HOLDER + (index % PEERS) as u128), spans[index % PEERS]);
            let (read, tell) = (Read::new(span, &extent, 0..1).unwrap(), tell.clone());
            reader.read(peer, read, Completion::new(peer, move |result| drop(tell.send((index, result)))));
            extent
        })
        .collect();
    for _ in 0..READS {
        let (index, result) = outcomes.recv_timeout(Duration::from_secs(60)).expect("all reads end");
        result.unwrap_or_else(|error| panic!("read {index}: {error}"));
        assert!(extents[index].to_vec().unwrap() == pattern(BYTES, index % PEERS), "read {index} differs");
    }
}

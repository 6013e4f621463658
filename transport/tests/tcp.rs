//! Two endpoints over loopback: objects, frames, and what is refused.
#![allow(clippy::unwrap_used)]

mod common;

use common::{MIB, land, limits, next, node, options, pair, pattern, publish};
use rayline_transport::tcp::{Options, Secret};
use rayline_transport::{Event, Limits, PeerId, Read, Refusal, RemoteSpan, Transport, TransportError, read_blocking};
use std::io::{Read as _, Write};
use std::time::{Duration, Instant};

const HOLDER: PeerId = PeerId(2);

#[test]
fn objects_of_all_sizes_arrive_whole() {
    let (reader, holder) = pair();
    for bytes in [0, 1, 4097, MIB - 1, MIB, MIB + 1, 9 * MIB + 5] {
        let sent = pattern(bytes);
        let (_source, object) = publish(&holder.tcp, &sent);
        let (_target, landing) = land(&reader.tcp, bytes);
        read_blocking(&reader.tcp, HOLDER, object.remote(), &landing).unwrap();
        assert!(landing.to_vec().unwrap() == sent, "{bytes} bytes differ");
    }
}

#[test]
fn part_of_an_object_can_be_read() {
    let (reader, holder) = pair();
    let sent = pattern(3 * MIB);
    let (_source, object) = publish(&holder.tcp, &sent);
    let (_target, landing) = land(&reader.tcp, 2 * MIB);
    read_blocking(&reader.tcp, HOLDER, object.remote().slice(777, 2 * MIB as u64), &landing).unwrap();
    assert!(landing.to_vec().unwrap() == sent[777..777 + 2 * MIB]);
}

#[test]
fn many_reads_at_once_share_the_lanes() {
    let (reader, holder) = pair();
    let sent = pattern(MIB + 3);
    let (_source, object) = publish(&holder.tcp, &sent);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let (_target, landing) = land(&reader.tcp, sent.len());
                read_blocking(&reader.tcp, HOLDER, object.remote(), &landing).unwrap();
                assert!(landing.to_vec().unwrap() == sent);
            });
        }
    });
}

#[test]
fn a_span_that_isnt_there_any_more_is_refused_as_such() {
    let (reader, holder) = pair();
    let (source, object) = publish(&holder.tcp, &pattern(1000));
    let span = object.remote();
    let read = |span: RemoteSpan| {
        let (_target, landing) = land(&reader.tcp, span.len as usize);
        read_blocking(&reader.tcp, HOLDER, span, &landing).unwrap_err()
    };
    assert!(matches!(read(RemoteSpan { len: 1001, ..span }), TransportError::OutOfBounds { .. }));
    assert!(matches!(read(RemoteSpan { generation: 0, ..span }), TransportError::Revoked { peer: HOLDER, .. }));
    assert!(matches!(read(RemoteSpan { key: 0, ..span }), TransportError::Revoked { .. }));
    drop(object);
    let revoked = read(span);
    assert!(revoked.to_string().contains("peer 2 has revoked bytes 0..+1000 of region"), "{revoked}");
    let object = source.publish(0, 1000).unwrap();
    assert!(matches!(read(span), TransportError::Revoked { .. }));
    drop(source);
    assert!(matches!(read(object.remote()), TransportError::Revoked { .. }));
}

#[test]
fn what_is_revoked_while_it_is_read_does_not_count_as_there() {
    let (reader, holder) = (node(options(1)), node(Options { lane_bytes_per_s: 8 << 20, ..options(2) }));
    reader.tcp.introduce(HOLDER, holder.tcp.address());
    let (_source, object) = publish(&holder.tcp, &pattern(8 * MIB));
    let span = object.remote();
    let (_target, landing) = land(&reader.tcp, 8 * MIB);
    let error = std::thread::scope(|scope| {
        let reading = scope.spawn(|| read_blocking(&reader.tcp, HOLDER, span, &landing));
        std::thread::sleep(Duration::from_millis(250));
        drop(object);
        reading.join().unwrap().unwrap_err()
    });
    assert!(matches!(error, TransportError::Revoked { .. }), "{error}");
    assert!(Read::new(span, &landing, 0..8).is_ok(), "a chunk is kept that may be anything");
}

#[test]
fn what_is_still_arriving_is_waited_for_and_passed_on() {
    let (middle, holder) = pair();
    let last = node(options(3));
    last.tcp.introduce(PeerId(1), middle.tcp.address());
    let sent = pattern(2 * MIB);
    let (_source, object) = publish(&holder.tcp, &sent);
    let (_between, half) = land(&middle.tcp, sent.len());
    let (_target, landing) = land(&last.tcp, sent.len());
    let early = read_blocking(&last.tcp, PeerId(1), half.remote(), &landing).unwrap_err();
    assert!(matches!(early, TransportError::NotYet { peer: PeerId(1), .. }), "{early}");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| read_blocking(&last.tcp, PeerId(1), half.remote(), &landing));
        read_blocking(&middle.tcp, HOLDER, object.remote(), &half).unwrap();
        waiting.join().unwrap().unwrap();
    });
    assert!(landing.to_vec().unwrap() == sent);
}

#[test]
fn a_landing_place_is_written_once() {
    let (reader, holder) = pair();
    let (_source, object) = publish(&holder.tcp, &pattern(MIB));
    let (target, landing) = land(&reader.tcp, MIB);
    read_blocking(&reader.tcp, HOLDER, object.remote(), &landing).unwrap();
    assert!(matches!(Read::new(object.remote(), &landing, 0..1), Err(TransportError::Region { .. })));
    assert!(Read::new(object.remote().slice(0, 9), &landing, 0..1).is_err());
    assert!(target.land(0, 1).is_err());
    drop(landing);
    assert!(target.land(0, 1).is_ok());
}

#[test]
fn frames_come_in_order_both_ways() {
    let (mut a, mut b) = pair();
    for at in 0..200_u32 {
        a.tcp.send(PeerId(2), at.to_le_bytes().into()).unwrap();
        b.tcp.send(PeerId(1), at.to_le_bytes().into()).unwrap();
    }
    for events in [&mut a.events, &mut b.events] {
        assert!(matches!(next(events), Event::Up { .. }));
        for at in 0..200_u32 {
            match next(events) {
                Event::Frame { bytes, .. } => assert_eq!(bytes, at.to_le_bytes()),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn an_idle_connection_stays_and_a_closed_one_is_told() {
    let (a, mut b) = pair();
    a.tcp.send(PeerId(2), vec![1]).unwrap();
    assert!(matches!(next(&mut b.events), Event::Up { peer: PeerId(1), .. }));
    assert!(matches!(next(&mut b.events), Event::Frame { .. }));
    std::thread::sleep(limits().peer_timeout + Duration::from_millis(300));
    assert!(b.events.try_recv().is_err());
    drop(a);
    assert!(matches!(next(&mut b.events), Event::Down { peer: PeerId(1), error: TransportError::PeerGone { .. } }));
    assert!(b.tcp.send(PeerId(1), vec![1]).is_ok());
    assert!(matches!(next(&mut b.events), Event::Down { error: TransportError::PeerGone { .. }, .. }));
}

#[test]
fn frames_and_their_queue_are_bounded() {
    let limits = Limits { frames_queued_max: 4, ..limits() };
    let a = node(Options { limits, ..options(1) });
    assert!(matches!(a.tcp.send(PeerId(2), vec![]), Err(TransportError::PeerUnknown { .. })));
    // A listener that never answers: what is queued stays so.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    a.tcp.introduce(PeerId(2), silent.local_addr().unwrap());
    assert!(matches!(a.tcp.send(PeerId(2), vec![0; 65537]), Err(TransportError::FrameTooLarge { limit: 65536, .. })));
    let sent = (0..9).map(|_| a.tcp.send(PeerId(2), vec![])).take_while(Result::is_ok).count();
    assert_eq!(sent, 4);
    assert!(matches!(a.tcp.send(PeerId(2), vec![]), Err(TransportError::Full { limit: 4, .. })));
}

#[test]
fn a_stranger_gets_neither_bytes_nor_frames() {
    let holder = node(options(2));
    let mut stranger = node(Options { secret: Secret([8; 32]), ..options(1) });
    stranger.tcp.introduce(HOLDER, holder.tcp.address());
    let (_source, object) = publish(&holder.tcp, &pattern(10));
    let (_target, landing) = land(&stranger.tcp, 10);
    let refused = read_blocking(&stranger.tcp, HOLDER, object.remote(), &landing).unwrap_err();
    assert!(matches!(refused, TransportError::Refused { refusal: Refusal::Secret, .. }), "{refused}");
    stranger.tcp.send(HOLDER, vec![1]).unwrap();
    assert!(matches!(next(&mut stranger.events), Event::Down { error: TransportError::Refused { .. }, .. }));
}

#[test]
fn plain_text_stays_on_loopback() {
    let address = "0.0.0.0:0".parse().unwrap();
    let refused =
        rayline_transport::tcp::Tcp::bind(Options { address, ..options(1) }, rayline_transport::Regions::new());
    assert!(matches!(refused.err(), Some(TransportError::Insecure { .. })));
}

#[test]
fn lanes_are_bounded_at_the_holder_and_closed_when_idle() {
    let holder = node(Options { limits: Limits { lanes_served_max: 1, ..limits() }, ..options(2) });
    let (_source, object) = publish(&holder.tcp, &pattern(10));
    let read = |peer: u128| {
        let reader = node(options(peer));
        reader.tcp.introduce(HOLDER, holder.tcp.address());
        let (_target, landing) = land(&reader.tcp, 10);
        (read_blocking(&reader.tcp, HOLDER, object.remote(), &landing), reader)
    };
    let (first, reader) = read(1);
    first.unwrap();
    assert!(matches!(read(3).0, Err(TransportError::Refused { refusal: Refusal::Busy, .. })));
    let deadline = Instant::now() + Duration::from_secs(5);
    while read(4).0.is_err() {
        assert!(Instant::now() < deadline, "the idle lane is still open");
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(reader);
}

#[test]
fn a_stream_carries_bytes_both_ways_and_ends_for_both() {
    let (dialler, mut acceptor) = pair();
    let ours = dialler.tcp.open_stream(PeerId(2)).unwrap();
    let Event::Stream { peer: PeerId(1), stream: theirs } = next(&mut acceptor.events) else { panic!("no stream") };
    let sent = pattern(3 * MIB);
    std::thread::scope(|scope| {
        scope.spawn(|| (&ours).write_all(&sent).unwrap());
        let mut received = vec![0; sent.len()];
        (&theirs).read_exact(&mut received).unwrap();
        assert!(received == sent);
        (&theirs).write_all(&received[..100]).unwrap();
    });
    let mut back = [0; 100];
    (&ours).read_exact(&mut back).unwrap();
    assert_eq!(back, sent[..100]);
    // A stream is its holder's: the end of an endpoint doesn't end it, the end of the stream does for all clones.
    drop(acceptor);
    ours.clone().close();
    assert_eq!((&theirs).read(&mut back).unwrap(), 0);
    assert_eq!((&ours).read(&mut back).unwrap(), 0);
}

#[test]
fn a_stream_to_nobody_is_an_error() {
    let (dialler, acceptor) = pair();
    assert!(matches!(dialler.tcp.open_stream(PeerId(9)), Err(TransportError::PeerUnknown { .. })));
    drop(acceptor);
    assert!(matches!(dialler.tcp.open_stream(PeerId(2)), Err(TransportError::PeerGone { .. })));
}

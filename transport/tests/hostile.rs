//! Peers that stall, lie, break off or send rubbish, over real sockets. One in the middle makes an honest holder hostile.
#![allow(clippy::unwrap_used)]

mod common;

use common::{MIB, Node, land, limits, next, node, options, pair, pattern, publish};
use rayline_transport::{Event, PeerId, Transport, TransportError, read_blocking};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

const HOLDER: PeerId = PeerId(2);
/// What a holder sends in the handshake of a lane: a challenge of 128 bytes and a welcome of 8.
const HANDSHAKE: usize = 136;

#[derive(Clone, Copy)]
enum Fault {
    /// The byte that the holder sends at this position becomes another.
    Flip(usize),
    /// Nothing more comes after so many bytes.
    Stall(usize),
    /// The holder's side is closed after so many bytes.
    HalfClose(usize),
    /// Both sides are closed after so many bytes.
    Cut(usize),
}

/// Passes one connection on, with a fault in what the holder sends.
fn between(holder: SocketAddr, fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let reader = listener.accept().unwrap().0;
        let holder = TcpStream::connect(holder).unwrap();
        let (mut from, mut to) = (reader.try_clone().unwrap(), holder.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        pass(holder, reader, fault);
    });
    address
}

fn pass(mut holder: TcpStream, mut reader: TcpStream, fault: Fault) {
    let (mut sent, mut bytes) = (0, vec![0; 65536]);
    while let Ok(n @ 1..) = holder.read(&mut bytes) {
        let here = sent..sent + n;
        let end = match fault {
            Fault::Flip(at) => {
                if here.contains(&at) {
                    bytes[at - sent] ^= 0x40;
                }
                n
            }
            Fault::Stall(at) | Fault::HalfClose(at) | Fault::Cut(at) => n.min(at.saturating_sub(sent)),
        };
        if reader.write_all(&bytes[..end]).is_err() {
            return;
        }
        sent += end;
        if end < n {
            match fault {
                Fault::Flip(_) => {}
                Fault::Stall(_) => std::thread::sleep(Duration::from_secs(5)),
                Fault::HalfClose(_) => {
                    // The reader has gone already, or sees the end now.
                    let _ = reader.shutdown(Shutdown::Write);
                    std::thread::sleep(Duration::from_secs(5));
                }
                Fault::Cut(_) => drop(reader.shutdown(Shutdown::Both)),
            }
            return;
        }
    }
}

/// Reads 2 MiB through one in the middle; the error. Afterwards the landing place can be filled by an honest holder.
fn read_through(fault: Fault) -> TransportError {
    let (reader, holder) = (node(options(1)), node(options(2)));
    reader.tcp.introduce(HOLDER, between(holder.tcp.address(), fault));
    let sent = pattern(2 * MIB);
    let (_source, object) = publish(&holder.tcp, &sent);
    let (target, landing) = land(&reader.tcp, sent.len());
    let begin = Instant::now();
    let error = read_blocking(&reader.tcp, HOLDER, object.remote(), &landing).unwrap_err();
    assert!(begin.elapsed() < limits().stall_timeout * 4, "it took {:?}", begin.elapsed());
    drop(landing);
    reader.tcp.introduce(HOLDER, holder.tcp.address());
    let landing = target.land(0, sent.len() as u64).unwrap();
    read_blocking(&reader.tcp, HOLDER, object.remote(), &landing).unwrap();
    assert!(landing.to_vec().unwrap() == sent);
    error
}

#[test]
fn a_holder_that_stalls_is_given_up() {
    for at in [HANDSHAKE + 5, HANDSHAKE + 32 + MIB / 2, HANDSHAKE + 2 * (32 + MIB) + 3] {
        let error = read_through(Fault::Stall(at));
        assert!(matches!(error, TransportError::TimedOut { peer: HOLDER, .. }), "{at}: {error}");
    }
}

#[test]
fn a_holder_that_breaks_off_is_gone() {
    for at in [0, 100, HANDSHAKE, HANDSHAKE + 40, HANDSHAKE + 32 + MIB + 7] {
        for fault in [Fault::Cut(at), Fault::HalfClose(at)] {
            let error = read_through(fault);
            assert!(matches!(error, TransportError::PeerGone { peer: HOLDER, .. }), "{at}: {error}");
        }
    }
}

#[test]
fn corrupt_bytes_are_noticed_and_not_kept() {
    let error = read_through(Fault::Flip(HANDSHAKE + 32 + MIB + 32 + 99));
    assert!(matches!(error, TransportError::Corrupt { at, .. } if at == MIB as u64), "{error}");
}

#[test]
fn each_field_of_a_chunks_header_that_lies_is_noticed() {
    for at in (0..28).filter(|at| !(4..8).contains(at)) {
        let error = read_through(Fault::Flip(HANDSHAKE + at));
        assert!(matches!(error, TransportError::Protocol { peer: HOLDER, .. }), "{at}: {error}");
    }
}

#[test]
fn a_holder_that_isnt_who_it_says_is_refused() {
    for at in [8, 30, 70, 100] {
        let error = read_through(Fault::Flip(at));
        assert!(matches!(error, TransportError::Refused { peer: HOLDER, .. }), "{at}: {error}");
    }
}

#[test]
fn strangers_with_rubbish_or_nothing_to_say_dont_keep_others_out() {
    let (reader, holder) = pair();
    let address = holder.tcp.address();
    let silent: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
    for _ in 0..20 {
        let mut stranger = TcpStream::connect(address).unwrap();
        stranger.write_all(&[0xff; 4096]).unwrap();
    }
    let (_source, object) = publish(&holder.tcp, &pattern(MIB));
    let (_target, landing) = land(&reader.tcp, MIB);
    read_blocking(&reader.tcp, HOLDER, object.remote(), &landing).unwrap();
    let mut rest = vec![];
    let mut first = &silent[0];
    first.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(first.read_to_end(&mut rest).unwrap_or(0), 0, "a silent stranger is hung up on");
}

#[test]
fn a_holder_that_falls_silent_on_control_is_told_down() {
    let (mut sender, holder): (Node, Node) = (node(options(1)), node(options(2)));
    sender.tcp.introduce(HOLDER, between(holder.tcp.address(), Fault::Stall(HANDSHAKE)));
    sender.tcp.send(HOLDER, vec![1; 100]).unwrap();
    assert!(matches!(next(&mut sender.events), Event::Up { peer: HOLDER, .. }));
    match next(&mut sender.events) {
        Event::Down { peer: HOLDER, error: TransportError::TimedOut { .. } } => {}
        other => panic!("{other:?}"),
    }
}

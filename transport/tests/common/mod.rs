//! Endpoints on loopback with short limits.
#![allow(clippy::unwrap_used, dead_code)]

use rayline_transport::tcp::{ClusterId, Options, Secret, Tcp};
use rayline_transport::{Access, Event, Extent, Limits, Memfd, PeerId, Regions, Registration, Transport};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;

pub const MIB: usize = 1 << 20;

/// An endpoint, and what it is told.
pub struct Node {
    pub tcp: Tcp,
    pub events: Receiver<Event>,
}

pub fn limits() -> Limits {
    Limits {
        connect_timeout: Duration::from_secs(2),
        stall_timeout: Duration::from_millis(600),
        chunk_wait: Duration::from_millis(300),
        lane_idle: Duration::from_millis(400),
        heartbeat: Duration::from_millis(100),
        peer_timeout: Duration::from_millis(1500),
        source_pause: Duration::from_millis(10),
        ..Limits::default()
    }
}

pub fn options(peer: u128) -> Options {
    let options = Options::loopback(PeerId(peer), ClusterId(1), Secret([7; 32]));
    Options { limits: limits(), ..options }
}

pub fn node(options: Options) -> Node {
    let (tcp, events) = Tcp::bind(options, Regions::new()).unwrap();
    Node { tcp, events }
}

/// Two endpoints that know each other.
pub fn pair() -> (Node, Node) {
    let (a, b) = (node(options(1)), node(options(2)));
    a.tcp.introduce(PeerId(2), b.tcp.address());
    b.tcp.introduce(PeerId(1), a.tcp.address());
    (a, b)
}

pub fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 31 + at / 4093) as u8).collect()
}

/// A registered region that is published as a whole.
pub fn publish(node: &impl Transport, bytes: &[u8]) -> (Registration, Extent) {
    let mut memory = Memfd::new(bytes.len().max(1)).unwrap();
    memory.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
    let registration = node.regions().register(memory, Access::Read);
    let extent = registration.publish(0, bytes.len() as u64).unwrap();
    (registration, extent)
}

/// A registered region that is a landing place as a whole.
pub fn land(node: &impl Transport, bytes: usize) -> (Registration, Extent) {
    let registration = node.regions().register(Memfd::new(bytes.max(1)).unwrap(), Access::Land);
    let extent = registration.land(0, bytes as u64).unwrap();
    (registration, extent)
}

/// The next event, or none in five seconds.
pub fn next(events: &mut Receiver<Event>) -> Event {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match events.try_recv() {
            Ok(event) => return event,
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("no event: {error}"),
        }
    }
}

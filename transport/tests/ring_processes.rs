//! Two processes in truth: this binary spawns itself, and the child's part is the test `child`, by what its environment
//! says.
#![allow(clippy::unwrap_used)]

use rayline_transport::ring::{Pair, Receiver, Sender, Wait, inherit, inherited, recv_fd, send_fd};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const FRAMES: u64 = 1_000_000;
const SPIN: Duration = Duration::from_micros(20);
const LATE: Option<Duration> = Some(Duration::from_secs(60));
const PART: &str = "RAYLINE_RING_TEST_PART";
const FILE: &str = "RAYLINE_RING_TEST_FILE";

#[test]
fn a_million_frames_each_way_arrive_whole_and_in_order() {
    let (pair, file) = Pair::create(1 << 17).unwrap();
    let mut child = spawn("exchange", file);
    exchange(pair, 1, 2);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_peer_killed_while_it_sends_leaves_whole_frames() {
    for round in 0..20 {
        let (mut pair, file) = Pair::create(1 << 16).unwrap();
        let mut child = spawn("send for ever", file);
        let closer = pair.closer.clone();
        let watcher = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(20_000 + round * 777));
            child.kill().unwrap();
            let status = child.wait().unwrap();
            closer.close();
            assert_eq!(status.signal(), Some(9), "it was killed in mid-send, and didn't end by itself");
        });
        let mut expected = Frames::new(1);
        while pair.receiver.wait(SPIN, LATE) == Wait::Ready {
            pair.receiver.recv_batch(|frame| expected.check(frame)).unwrap();
        }
        watcher.join().unwrap();
        assert_eq!(pair.receiver.wait(SPIN, LATE), Wait::Closed);
        assert_eq!(pair.receiver.recv_batch(|_| ()).unwrap(), 0);
    }
}

#[test]
fn a_peer_killed_while_it_reads_leaves_a_sender_that_ends() {
    let (mut pair, file) = Pair::create(1 << 16).unwrap();
    let mut child = spawn("receive for ever", file);
    let closer = pair.closer.clone();
    let watcher = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        child.kill().unwrap();
        child.wait().unwrap();
        std::thread::sleep(Duration::from_millis(50));
        closer.close();
    });
    let mut frames = Frames::new(1);
    while pair.sender.send(&[frames.next()], LATE).is_ok() {}
    watcher.join().unwrap();
    assert!(pair.sender.is_closed());
}

#[test]
fn a_file_goes_through_a_socket() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (mut pair, file) = Pair::create(1 << 16).unwrap();
    send_fd(&ours, file.as_fd()).unwrap();
    let mut peer = Pair::open(recv_fd(&theirs).unwrap()).unwrap();
    pair.sender.send(&[b"hello"], LATE).unwrap();
    pair.sender.flush();
    assert_eq!(peer.receiver.recv_batch(|frame| assert_eq!(frame, b"hello")).unwrap(), 1);

    drop(ours);
    assert_eq!(recv_fd(&theirs).unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    let (mut plain, theirs) = UnixStream::pair().unwrap();
    std::io::Write::write_all(&mut plain, b"x").unwrap();
    assert_eq!(recv_fd(&theirs).unwrap_err().kind(), std::io::ErrorKind::InvalidData);
}

#[test]
fn a_file_that_was_not_inherited_is_an_error() {
    assert_eq!(inherited("RAYLINE_RING_TEST_UNSET").unwrap_err().kind(), std::io::ErrorKind::NotFound);
    for (value, expected) in [("", "invalid"), ("-1", "invalid"), ("7 ", "invalid"), ("1000000", "closed")] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child", "--nocapture"]).env(PART, expected).env(FILE, value);
        assert!(command.stdout(Stdio::null()).status().unwrap().success(), "{value:?}");
    }
}

/// What a spawned copy of this binary does; nothing in the binary that was started by hand.
#[test]
fn child() {
    let Ok(part) = std::env::var(PART) else { return };
    let file = inherited(FILE);
    match part.as_str() {
        "exchange" => exchange(Pair::open(file.unwrap()).unwrap(), 2, 1),
        "send for ever" => {
            let (mut sender, mut frames) = (Pair::open(file.unwrap()).unwrap().sender, Frames::new(1));
            while sender.send(&[frames.next()], None).is_ok() {}
        }
        "receive for ever" => receive(&mut Pair::open(file.unwrap()).unwrap().receiver, 1, u64::MAX),
        "invalid" => assert_eq!(file.unwrap_err().kind(), std::io::ErrorKind::InvalidData),
        "closed" => assert!(file.unwrap_err().raw_os_error().is_some()),
        other => panic!("no part {other}"),
    }
}

fn spawn(part: &str, file: OwnedFd) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]).env(PART, part).stdout(Stdio::null());
    inherit(&mut command, FILE, file);
    command.spawn().unwrap()
}

fn exchange(pair: Pair, ours: u64, theirs: u64) {
    let Pair { mut sender, mut receiver, closer: _ } = pair;
    std::thread::scope(|scope| {
        scope.spawn(|| send(&mut sender, ours));
        receive(&mut receiver, theirs, FRAMES);
    });
    // Both directions stay open until both sides have everything.
    sender.close();
    assert_eq!(receiver.wait(SPIN, LATE), Wait::Closed);
}

fn send(sender: &mut Sender, seed: u64) {
    let mut frames = Frames::new(seed);
    for _ in 0..FRAMES {
        let frame = frames.next();
        let (a, b) = frame.split_at(frame.len() / 3);
        sender.send(&[a, b], LATE).unwrap();
    }
    sender.flush();
}

fn receive(receiver: &mut Receiver, seed: u64, count: u64) {
    let (mut expected, mut received) = (Frames::new(seed), 0);
    while received < count {
        assert_eq!(receiver.wait(SPIN, LATE), Wait::Ready, "after {received} frames");
        received += receiver.recv_batch(|frame| expected.check(frame)).unwrap() as u64;
    }
}

/// Frames of random sizes, mostly small, the same on both sides.
struct Frames {
    state: u64,
    noise: Vec<u8>,
}

impl Frames {
    const BYTES_MAX: u64 = 16_000;

    fn new(seed: u64) -> Self {
        let mut frames = Self { state: seed, noise: vec![] };
        frames.noise = (0..2 * Self::BYTES_MAX).map(|_| frames.random() as u8).collect();
        frames
    }

    fn next(&mut self) -> &[u8] {
        let random = self.random();
        let bytes = if random.is_multiple_of(1024) { (random >> 20) % Self::BYTES_MAX } else { (random >> 20) % 128 };
        let at = ((random >> 40) % Self::BYTES_MAX) as usize;
        &self.noise[at..at + bytes as usize]
    }

    fn check(&mut self, frame: &[u8]) {
        assert!(self.next() == frame, "another frame of {} bytes was expected", frame.len());
    }

    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state ^ (self.state >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd)
    }
}

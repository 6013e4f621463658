//! Both ends of a pair in one process, and a peer that writes nonsense.
#![allow(clippy::unwrap_used)]

use rayline_transport::ring::{Pair, RING_BYTES_MAX, RING_BYTES_MIN, RingError, SendError, Wait};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const SPIN: Duration = Duration::from_micros(20);
const SOON: Option<Duration> = Some(Duration::from_millis(20));
const LATE: Option<Duration> = Some(Duration::from_secs(20));

/// Where the control blocks lie in the file: behind the magic number and the mark of having been opened.
const CONTROL: u64 = 256;
const HEAD: u64 = CONTROL;
const TAIL: u64 = CONTROL + 128;
const DATA: u64 = 64 << 10;

fn pair() -> (Pair, Pair) {
    let (ours, file) = Pair::create(RING_BYTES_MIN).unwrap();
    (ours, Pair::open(file).unwrap())
}

/// Also the file, by which a test plays a hostile peer.
fn pair_and_file() -> (Pair, Pair, File) {
    let (ours, file) = Pair::create(RING_BYTES_MIN).unwrap();
    let copy = file.try_clone().unwrap();
    (ours, Pair::open(file).unwrap(), File::from(copy))
}

fn received(pair: &mut Pair) -> Vec<Vec<u8>> {
    let mut frames = vec![];
    pair.receiver.recv_batch(|frame| frames.push(frame.to_vec())).unwrap();
    frames
}

#[test]
fn frames_arrive_in_both_directions() {
    let (mut a, mut b) = pair();
    a.sender.try_send(&[b"to ", b"", b"b"]).unwrap();
    b.sender.try_send(&[]).unwrap();
    b.sender.try_send(&[b"to a"]).unwrap();
    assert_eq!(received(&mut b), [b""; 0], "not before they are flushed");
    a.sender.flush();
    b.sender.flush();
    assert_eq!(received(&mut b), [b"to b"]);
    assert_eq!(received(&mut a), [&b""[..], b"to a"]);
    assert_eq!(received(&mut a), [b""; 0]);
}

#[test]
fn many_frames_are_published_unasked() {
    let (mut a, mut b) = pair();
    (0..100u8).for_each(|n| a.sender.try_send(&[&[n]]).unwrap());
    let frames = received(&mut b);
    assert!(!frames.is_empty() && frames.len() < 100, "{}", frames.len());
}

#[test]
fn a_full_ring_says_so_and_takes_more_when_it_was_read() {
    let (mut a, mut b) = pair();
    let frame = vec![7; a.sender.frame_bytes_max()];
    (0..4).for_each(|_| a.sender.try_send(&[&frame]).unwrap());
    assert_eq!(a.sender.try_send(&[]), Err(SendError::Full));
    assert_eq!(a.sender.send(&[], SOON), Err(SendError::TimedOut));
    assert_eq!(received(&mut b), vec![frame.clone(); 4], "Full publishes");
    a.sender.try_send(&[&frame]).unwrap();
}

#[test]
fn a_frame_too_large_is_an_error_and_harms_nothing() {
    let (mut a, mut b) = pair();
    let bytes_max = a.sender.frame_bytes_max();
    assert_eq!(bytes_max, b.receiver.frame_bytes_max());
    let error = SendError::TooLarge { bytes: bytes_max + 1, bytes_max };
    assert_eq!(a.sender.try_send(&[&vec![1; bytes_max], &[1]]), Err(error));
    assert_eq!(a.sender.send(&[&vec![1; bytes_max], &[1]], None), Err(error));
    a.sender.try_send(&[b"small"]).unwrap();
    a.sender.flush();
    assert_eq!(received(&mut b), [b"small"]);
}

#[test]
fn waits_end_by_news_by_the_timeout_and_by_the_end() {
    let (mut a, mut b) = pair();
    assert_eq!(b.receiver.wait(SPIN, SOON), Wait::TimedOut);
    assert_eq!(b.receiver.wait(Duration::ZERO, Some(Duration::ZERO)), Wait::TimedOut);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            a.sender.try_send(&[b"1"]).unwrap();
            a.sender.flush();
            std::thread::sleep(Duration::from_millis(20));
            a.sender.try_send(&[b"2"]).unwrap();
            a.sender.close();
        });
        assert_eq!(b.receiver.wait(SPIN, LATE), Wait::Ready);
        assert_eq!(received(&mut b), [b"1"]);
        assert_eq!(b.receiver.wait(SPIN, LATE), Wait::Ready);
        assert_eq!(received(&mut b), [b"2"]);
        assert_eq!(b.receiver.wait(SPIN, LATE), Wait::Closed);
    });
    assert_eq!(a.sender.try_send(&[]), Err(SendError::Closed));
    b.sender.try_send(&[b"the other direction is open"]).unwrap();
}

#[test]
fn a_sender_that_waits_for_room_is_woken_by_it_and_by_the_end() {
    let (mut a, mut b) = pair();
    let frame = vec![7; a.sender.frame_bytes_max()];
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            (0..8).for_each(|_| a.sender.send(&[&frame], LATE).unwrap());
            (0..8).find_map(|_| a.sender.send(&[&frame], LATE).err())
        });
        let mut count = 0;
        while count < 8 {
            std::thread::sleep(Duration::from_millis(5));
            count += received(&mut b).len();
        }
        std::thread::sleep(Duration::from_millis(20));
        b.closer.close();
        assert_eq!(sender.join().unwrap(), Some(SendError::Closed));
    });
}

#[test]
fn dropping_an_end_closes_its_direction() {
    let (mut a, b) = pair();
    let Pair { sender, receiver, closer } = b;
    assert!(!closer.is_closed());
    drop(receiver);
    assert_eq!(a.sender.try_send(&[]), Err(SendError::Closed));
    assert_eq!(a.receiver.wait(SPIN, SOON), Wait::TimedOut);
    drop(sender);
    assert_eq!(a.receiver.wait(SPIN, SOON), Wait::Closed);
    assert!(closer.is_closed());
}

#[test]
fn news_wake_who_stands_by_unless_somebody_attends() {
    let (mut a, mut b) = pair();
    let sleeper = b.receiver.sleeper();
    std::thread::scope(|scope| {
        let standby = scope.spawn(|| (sleeper.sleep(LATE), Instant::now()));
        std::thread::sleep(Duration::from_millis(30));
        // Polling, this end sees that somebody sleeps.
        assert_eq!(received(&mut b), [b""; 0]);
        a.sender.try_send(&[b"1"]).unwrap();
        a.sender.flush();
        assert_eq!(received(&mut b), [b"1"]);
        a.sender.try_send(&[b"2"]).unwrap();
        a.sender.flush();
        std::thread::sleep(Duration::from_millis(30));
        let left = Instant::now();
        b.receiver.step_down();
        let (end, woken) = standby.join().unwrap();
        assert_eq!(end, Wait::Ready);
        assert!(woken >= left, "it slept while this end attended");
    });
    assert_eq!(received(&mut b), [b"2"]);
}

#[test]
fn the_end_wakes_sleepers_though_somebody_attends() {
    let (a, mut b) = pair();
    let sleeper = b.receiver.sleeper();
    std::thread::scope(|scope| {
        let standby = scope.spawn(|| sleeper.sleep(LATE));
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(received(&mut b), [b""; 0]);
        a.closer.close();
        assert_eq!(standby.join().unwrap(), Wait::Closed);
    });
}

/// The role of the receiver goes to and fro between a thread that polls and one that stands by, and no frame waits.
#[test]
fn the_receiver_moves_between_threads() {
    const FRAMES: u64 = 20_000;
    let (mut a, b) = pair();
    let sleeper = b.receiver.sleeper();
    let receiver = Mutex::new(b.receiver);
    let total = Mutex::new((0, 0));
    let take = |receiver: &mut rayline_transport::ring::Receiver| {
        let mut total = total.lock().unwrap();
        let add = |frame: &[u8]| {
            total.0 += 1;
            total.1 += u64::from_le_bytes(frame.try_into().unwrap());
        };
        receiver.recv_batch(add).unwrap();
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while sleeper.sleep(LATE) == Wait::Ready {
                if let Ok(mut receiver) = receiver.try_lock() {
                    take(&mut receiver);
                    receiver.step_down();
                }
            }
        });
        scope.spawn(|| {
            for round in 0.. {
                let mut receiver = receiver.lock().unwrap();
                let end = receiver.wait(SPIN, Some(Duration::from_micros(200)));
                take(&mut receiver);
                receiver.step_down();
                drop(receiver);
                if end == Wait::Closed {
                    break;
                }
                if round % 4 == 0 {
                    std::thread::sleep(Duration::from_micros(100));
                }
            }
        });
        for n in 0..FRAMES {
            a.sender.send(&[&n.to_le_bytes()], LATE).unwrap();
            a.sender.flush();
        }
        a.sender.close();
    });
    assert_eq!(*total.lock().unwrap(), (FRAMES, FRAMES * (FRAMES - 1) / 2));
}

#[test]
fn only_a_file_of_ours_is_opened_and_once_only() {
    let (_ours, file) = Pair::create(1).unwrap();
    let copy = || OwnedFd::from(File::from(file.try_clone().unwrap()));
    Pair::open(copy()).unwrap();
    assert!(matches!(Pair::open(copy()), Err(RingError::AlreadyOpen)));
    File::from(copy()).write_at(b"x", 0).unwrap();
    assert!(matches!(Pair::open(copy()), Err(RingError::BadHeader { .. })));
    let null = OwnedFd::from(File::open("/dev/null").unwrap());
    assert!(matches!(Pair::open(null), Err(RingError::NotSealed)));
    assert_eq!(Pair::create(RING_BYTES_MAX + 1).unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    assert!(File::from(copy()).set_len(0).is_err(), "it can't shrink");
}

#[test]
fn a_head_that_lies_is_found() {
    for head in [4, 8 + RING_BYTES_MIN as u64, u64::MAX, u64::MAX - 7] {
        let (_a, mut b, file) = pair_and_file();
        file.write_at(&head.to_le_bytes(), HEAD).unwrap();
        assert_eq!(b.receiver.wait(SPIN, SOON), Wait::Ready);
        for _ in 0..2 {
            let error = b.receiver.recv_batch(|_| panic!("there is no frame")).unwrap_err();
            assert!(matches!(error, RingError::Corrupt { word: "head", value } if value == head), "{error}");
        }
        assert!(b.closer.is_closed());
    }
}

#[test]
fn a_head_that_goes_back_is_found() {
    let (mut a, mut b, file) = pair_and_file();
    a.sender.try_send(&[b"1"]).unwrap();
    a.sender.flush();
    assert_eq!(received(&mut b), [b"1"]);
    file.write_at(&8u64.to_le_bytes(), HEAD).unwrap();
    assert!(matches!(b.receiver.recv_batch(|_| ()), Err(RingError::Corrupt { word: "head", value: 8 })));
}

#[test]
fn a_length_that_lies_is_found() {
    for length in [9, 1 << 14, u64::MAX, u64::MAX - 7, 1 << 32] {
        let (mut a, mut b, file) = pair_and_file();
        a.sender.try_send(&[b"12345678"]).unwrap();
        a.sender.flush();
        file.write_at(&length.to_le_bytes(), DATA).unwrap();
        let error = b.receiver.recv_batch(|_| panic!("there is no frame")).unwrap_err();
        assert!(matches!(error, RingError::Corrupt { word: "length", value } if value == length), "{error}");
        assert_eq!(a.sender.try_send(&[]), Err(SendError::Closed));
    }
}

#[test]
fn a_tail_that_lies_is_found() {
    for tail in [4, 1 << 40, u64::MAX] {
        let (mut a, _b, file) = pair_and_file();
        let frame = vec![7; a.sender.frame_bytes_max()];
        (0..4).for_each(|_| a.sender.try_send(&[&frame]).unwrap());
        file.write_at(&tail.to_le_bytes(), TAIL).unwrap();
        let expected = Err(SendError::Corrupt { word: "tail", value: tail });
        assert_eq!(a.sender.send(&[], LATE), expected);
        assert_eq!(a.sender.try_send(&[]), Err(SendError::Closed));
    }
}

#[test]
fn a_peer_cannot_open_again_what_this_side_closed() {
    let (mut a, _b, file) = pair_and_file();
    a.closer.close();
    file.write_at(&[0; 2 * 5 * 128], CONTROL).unwrap();
    assert_eq!(a.sender.try_send(&[]), Err(SendError::Closed));
    assert_eq!(a.receiver.wait(SPIN, LATE), Wait::Closed);
}

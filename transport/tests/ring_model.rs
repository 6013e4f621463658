//! Random programs against a queue as model, and against a peer that scribbles over the shared memory.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use rayline_transport::ring::{Pair, RING_BYTES_MIN, Receiver, RingError, SendError, Sender, Wait};
use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

#[derive(Clone, Debug)]
enum Step {
    Send(usize, u8),
    Flush,
    Receive,
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = prop_oneof![4 => 0..100usize, 1 => 0..17_000usize, 1 => 16_300..16_400usize];
    prop_oneof![
        20 => (bytes, any::<u8>()).prop_map(|(bytes, fill)| Step::Send(bytes, fill)),
        1 => Just(Step::Flush),
        1 => Just(Step::Receive),
    ]
}

/// One direction, as it should be.
#[derive(Default)]
struct Model {
    frames: VecDeque<Vec<u8>>,
    /// How many of them the receiver may see.
    visible: usize,
    used_bytes: usize,
    since_flush: usize,
}

impl Model {
    fn send(&mut self, frame: Vec<u8>, bytes_max: usize) -> Result<(), SendError> {
        let record_bytes = 8 + frame.len().next_multiple_of(8);
        if frame.len() > bytes_max {
            return Err(SendError::TooLarge { bytes: frame.len(), bytes_max });
        }
        if self.used_bytes + record_bytes > RING_BYTES_MIN {
            self.flush();
            return Err(SendError::Full);
        }
        self.used_bytes += record_bytes;
        self.frames.push_back(frame);
        self.since_flush += 1;
        if self.since_flush == 64 {
            self.flush();
        }
        Ok(())
    }

    fn flush(&mut self) {
        self.visible = self.frames.len();
        self.since_flush = 0;
    }

    fn receive(&mut self) -> Vec<Vec<u8>> {
        let frames: Vec<Vec<u8>> = self.frames.drain(..std::mem::take(&mut self.visible)).collect();
        self.used_bytes -= frames.iter().map(|frame| 8 + frame.len().next_multiple_of(8)).sum::<usize>();
        frames
    }
}

fn run(sender: &mut Sender, receiver: &mut Receiver, model: &mut Model, step: Step) {
    match step {
        Step::Send(bytes, fill) => {
            let frame: Vec<u8> = (0..bytes).map(|at| (at as u8).wrapping_mul(31) ^ fill).collect();
            let (a, b) = frame.split_at(bytes * usize::from(fill) / 256);
            let sent = sender.try_send(&[a, b]);
            assert_eq!(sent, model.send(frame, sender.frame_bytes_max()));
        }
        Step::Flush => {
            sender.flush();
            model.flush();
        }
        Step::Receive => {
            let ready = if model.visible > 0 { Wait::Ready } else { Wait::TimedOut };
            assert_eq!(receiver.wait(Duration::ZERO, Some(Duration::ZERO)), ready);
            let mut frames = vec![];
            let count = receiver.recv_batch(|frame| frames.push(frame.to_vec())).unwrap();
            assert_eq!(count, frames.len());
            assert!(frames == model.receive(), "other frames than were sent");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_pair_is_two_bounded_queues(steps in prop::collection::vec((any::<bool>(), step()), 1..400)) {
        let (mut a, file) = Pair::create(1).unwrap();
        let mut b = Pair::open(file).unwrap();
        let mut models = [Model::default(), Model::default()];
        for (forth, step) in steps {
            let (from, to) = if forth { (&mut a, &mut b) } else { (&mut b, &mut a) };
            run(&mut from.sender, &mut to.receiver, &mut models[usize::from(forth)], step);
        }
    }

    /// Whatever the peer writes, each call returns in time, and what is wrong is an error.
    #[test]
    fn scribbling_harms_nobody(writes in prop::collection::vec((0..3u64, 0..10u64, word(), 0..4u8), 1..60)) {
        let (mut pair, file) = Pair::create(1).unwrap();
        let mut peer = Pair::open(file.try_clone().unwrap()).unwrap();
        let file = File::from(file);
        let began = Instant::now();
        for (kind, place, value, use_it) in writes {
            let at = match kind {
                0 => 256 + place * 128,
                1 => (64 << 10) + place * 24,
                _ => (64 << 10) + RING_BYTES_MIN as u64 + place * 24,
            };
            file.write_at(&value.to_le_bytes(), at).unwrap();
            let timeout = Some(Duration::from_micros(100));
            let ends = if use_it % 2 == 0 { &mut pair } else { &mut peer };
            let _ = ends.sender.send(&[&[7; 3000]], timeout);
            ends.sender.flush();
            let _ = ends.receiver.wait(Duration::ZERO, timeout);
            match ends.receiver.recv_batch(|frame| assert!(frame.len() <= RING_BYTES_MIN / 4)) {
                Ok(_) => {}
                Err(RingError::Corrupt { .. }) => assert!(ends.closer.is_closed()),
                Err(other) => panic!("{other}"),
            }
        }
        prop_assert!(began.elapsed() < Duration::from_secs(10));
    }
}

/// Values that are near what is right, and values that are far from it.
fn word() -> impl Strategy<Value = u64> {
    let near = (0..20u64).prop_map(|n| n * 8);
    prop_oneof![
        near,
        0..5u64,
        (0..64u32).prop_map(|shift| 1 << shift),
        (0..20u64).prop_map(|n| u64::MAX - n),
        any::<u64>()
    ]
}

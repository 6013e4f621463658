//! What a frame costs between two processes: this binary spawns itself as the peer.
#![allow(clippy::unwrap_used, missing_docs)]

use criterion::{Criterion, Throughput, criterion_group};
use rayline_transport::ring::{Pair, Wait, inherit, inherited};
use std::hint::black_box;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const FILE: &str = "RAYLINE_RING_BENCH_FILE";
const SPIN: Duration = Duration::from_millis(10);
const RING_BYTES: usize = 1 << 20;
/// What the peer does with a frame, by its first byte: sends it back.
const ECHO: u8 = 1;
/// Counts it.
const COUNT: u8 = 2;
/// Counts it, and answers how many came since it answered last.
const COUNT_AND_TELL: u8 = 3;

/// One way, 64 bytes a frame: the peer tells when it has the last one.
fn pipelined(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring_pipelined");
    group.sample_size(20).measurement_time(Duration::from_secs(3));
    for (name, bytes) in [("16_bytes", 16), ("64_bytes", 64), ("256_bytes", 256), ("4096_bytes", 4096)] {
        let (mut pair, mut child) = peer(SPIN);
        group.throughput(Throughput::Elements(1));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|frames| {
                let frame = |kind| std::iter::once(kind).chain(std::iter::repeat(7)).take(bytes).collect::<Vec<u8>>();
                let (count, last) = (frame(COUNT), frame(COUNT_AND_TELL));
                let began = Instant::now();
                for _ in 1..frames {
                    pair.sender.send(&[&count], None).unwrap();
                }
                pair.sender.send(&[&last], None).unwrap();
                pair.sender.flush();
                let counted = answer(&mut pair);
                let elapsed = began.elapsed();
                assert_eq!(counted, frames);
                elapsed
            });
        });
        end(pair, &mut child);
    }
    group.finish();
}

/// There and back, 64 bytes a frame, up to 1,024 under way, sent and answered in batches of 64.
fn answered(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring_answered");
    group.sample_size(20).measurement_time(Duration::from_secs(3)).throughput(Throughput::Elements(1));
    let (mut pair, mut child) = peer(SPIN);
    group.bench_function("64_bytes", |bencher| {
        bencher.iter_custom(|frames| {
            let began = Instant::now();
            let (mut sent, mut answers) = (0, 0);
            while answers < frames {
                let batch = 64.min(frames - sent).min(answers + 1024 - sent);
                (0..batch).for_each(|_| pair.sender.try_send(&[&[ECHO; 64]]).unwrap());
                sent += batch;
                pair.sender.flush();
                answers += pair.receiver.recv_batch(|_| ()).unwrap() as u64;
            }
            began.elapsed()
        });
    });
    end(pair, &mut child);
    group.finish();
}

/// There and back, one frame at a time.
fn round_trip(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring_round_trip");
    group.sample_size(20).measurement_time(Duration::from_secs(3));
    let (mut pair, mut child) = peer(SPIN);
    group.bench_function("both_spin", |bencher| bencher.iter(|| echo(&mut pair)));
    end(pair, &mut child);

    let (mut pair, mut child) = peer(Duration::ZERO);
    group.bench_function("peer_sleeps", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut sum = Duration::ZERO;
            for _ in 0..rounds {
                // Long enough for the peer to be asleep.
                std::thread::sleep(Duration::from_micros(200));
                let began = Instant::now();
                echo(&mut pair);
                sum += began.elapsed();
            }
            sum
        });
    });
    end(pair, &mut child);
    group.finish();
}

fn echo(pair: &mut Pair) {
    let mut frame = [7; 64];
    frame[0] = ECHO;
    pair.sender.try_send(&[&frame]).unwrap();
    pair.sender.flush();
    answer(pair);
}

/// Waits for one frame, and returns its first word.
fn answer(pair: &mut Pair) -> u64 {
    let mut word = None;
    while word.is_none() {
        assert_eq!(pair.receiver.wait(SPIN, None), Wait::Ready);
        let read = |frame: &[u8]| word = Some(u64::from_le_bytes(frame[..8].try_into().unwrap()));
        pair.receiver.recv_batch(read).unwrap();
    }
    word.unwrap()
}

fn peer(spin: Duration) -> (Pair, Child) {
    let (pair, file) = Pair::create(RING_BYTES).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(spin.as_micros().to_string());
    inherit(&mut command, FILE, file);
    let child = command.spawn().unwrap();
    (pair, child)
}

fn end(pair: Pair, child: &mut Child) {
    drop(pair);
    assert!(child.wait().unwrap().success());
}

fn be_the_peer(mut pair: Pair, spin: Duration) {
    let mut count = 0u64;
    while pair.receiver.wait(spin, None) == Wait::Ready {
        let Pair { sender, receiver, .. } = &mut pair;
        let handle = |frame: &[u8]| {
            count += 1;
            match black_box(frame)[0] {
                ECHO => sender.try_send(&[frame]).unwrap(),
                COUNT_AND_TELL => sender.try_send(&[&std::mem::take(&mut count).to_le_bytes()]).unwrap(),
                _ => {}
            }
        };
        receiver.recv_batch(handle).unwrap();
        pair.sender.flush();
    }
}

criterion_group!(benches, pipelined, answered, round_trip);

fn main() {
    if let Ok(file) = inherited(FILE) {
        let spin = std::env::args().nth(1).unwrap().parse().unwrap();
        return be_the_peer(Pair::open(file).unwrap(), Duration::from_micros(spin));
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}

//! Streams on leases: what they hold, while they make items and while they rest, and when they give it back.
// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

mod common;

use common::{LONG, eventually, within_time};
use rayline::prelude::*;
use rayline::{Config, ErrorKind, GpuShare, Runtime, init_with};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One runtime at a time: these tests share a process.
static TURN: Mutex<()> = Mutex::new(());

fn runtime() -> (MutexGuard<'static, ()>, Runtime) {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let config = Config::default().cpus(2).gpus(2).gpu_memory(1 << 30).resource("license", 1);
    (turn, init_with(config).expect("no other runtime"))
}

/// What one item saw of its task.
type Seen = (u64, String, u32, Vec<(u32, f64)>, usize);

fn seen() -> Seen {
    let context = context();
    let share = |gpu: &GpuShare| (gpu.index, gpu.share);
    let gpus = context.gpus().iter().map(share).collect();
    (context.task_id().seq, context.task().to_owned(), context.attempt(), gpus, context.cpu_slots().len())
}

#[task(cpu = 1, gpu = 0.5, buffer = 2)]
fn on_half_a_gpu(items: u64) -> impl Iterator<Item = Seen> + Send {
    let first = seen();
    (0..items).map(move |_| {
        assert_eq!(seen().0, first.0, "one task makes the iterator and drives it");
        seen()
    })
}

#[task(cpu = 0, gpu = 0.5)]
fn half_gpu() -> u32 {
    context().gpus()[0].index
}

#[task(cpu = 0, gpu = 2)]
fn both_gpus() -> usize {
    context().gpus().len()
}

#[task(cpu = 2)]
fn both_cpus() -> usize {
    context().cpu_slots().len()
}

#[task]
fn plain(x: u64) -> u64 {
    x
}

#[test]
fn every_item_is_made_on_the_lease() {
    let (_turn, _runtime) = runtime();
    let items: Vec<Seen> = within_time(|| on_half_a_gpu::remote(50).values().collect::<Result<_, _>>()).unwrap();
    assert_eq!(items.len(), 50);
    assert_eq!(items.iter().map(|seen| seen.0).collect::<HashSet<_>>().len(), 1, "all of one task");
    assert!(items.iter().all(|seen| seen.1 == "leased_streams::on_half_a_gpu" && seen.2 == 1));
    assert!(items.iter().all(|seen| matches!(seen.3[..], [(_, share)] if share == 0.5) && seen.4 == 1), "{items:?}");
}

#[test]
fn a_stream_that_rests_keeps_its_gpu_and_lends_its_cpu() {
    let (_turn, _runtime) = runtime();
    let mut stream = on_half_a_gpu::remote(100);
    let first = stream.next_timeout(LONG).unwrap().unwrap().take().unwrap();
    assert!(!both_gpus::remote().wait_timeout(Duration::from_millis(50)), "half of one is held");
    let half = half_gpu::remote();
    assert_eq!(both_cpus::remote().get_timeout(LONG).unwrap(), 2, "what rests lends its CPU");
    let plain: Vec<_> = (0..100).map(plain::remote).collect();
    assert!(plain.iter().enumerate().all(|(i, task)| task.get_timeout(LONG).unwrap() == i as u64));
    let second = stream.next_timeout(LONG).unwrap().unwrap().take().unwrap();
    assert_eq!((first.0, &first.3), (second.0, &second.3), "the same task on the same share");
    drop(stream);
    half.get_timeout(LONG).unwrap();
    assert_eq!(both_gpus::remote().get_timeout(LONG).unwrap(), 2, "dropped, it gives its share back");
}

/// Iterators that hold the license and live.
static HOLDERS: AtomicUsize = AtomicUsize::new(0);

struct Holder(u64);

impl Holder {
    fn new() -> Self {
        assert_eq!(HOLDERS.fetch_add(1, Ordering::SeqCst), 0, "there is one license");
        Self(0)
    }
}

impl Iterator for Holder {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        assert_eq!(HOLDERS.load(Ordering::SeqCst), 1, "there is one license");
        self.0 += 1;
        Some(self.0)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        HOLDERS.fetch_sub(1, Ordering::SeqCst);
    }
}

#[task(cpu = 0, resources(license = 1), buffer = 4)]
fn licensed(items: usize, panic_at: u64) -> impl Iterator<Item = u64> + Send {
    Holder::new().take(items).inspect(move |i| assert_ne!(*i, panic_at, "on purpose"))
}

#[task(cpu = 0, resources(license = 1))]
fn needs_license() -> usize {
    HOLDERS.load(Ordering::SeqCst)
}

#[test]
fn the_lease_goes_back_at_the_end_and_on_failure() {
    let (_turn, _runtime) = runtime();
    for _ in 0..20 {
        let stream = licensed::remote(10, 0);
        assert_eq!(
            within_time(|| stream.values().collect::<Result<Vec<_>, _>>()).unwrap(),
            (1..=10).collect::<Vec<_>>()
        );
        let mut stream = licensed::remote(10, 3).values();
        assert_eq!((stream.next().unwrap().unwrap(), stream.next().unwrap().unwrap()), (1, 2));
        let error = stream.next().unwrap().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Stream) && error.is_panic(), "{error}");
        assert!(stream.next().is_none());
        assert_eq!(needs_license::remote().get_timeout(LONG).unwrap(), 0, "the iterator goes before the lease");
    }
}

#[test]
fn the_lease_goes_back_when_the_stream_is_dropped() {
    let (_turn, _runtime) = runtime();
    for taken in 0..40 {
        // Before it began, while it runs, while it rests.
        let mut stream = licensed::remote(usize::MAX, 0);
        for _ in 0..taken % 8 {
            stream.next_timeout(LONG).unwrap().unwrap();
        }
        if taken % 3 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
        drop(stream);
        assert_eq!(needs_license::remote().get_timeout(LONG).unwrap(), 0);
    }
    let streams: Vec<_> = (0..20).map(|_| licensed::remote(usize::MAX, 0)).collect();
    drop(streams);
    assert_eq!(needs_license::remote().get_timeout(LONG).unwrap(), 0, "those that waited are gone");
}

static WAS_TOLD: AtomicBool = AtomicBool::new(false);

#[task(cpu = 0.5)]
fn until_cancelled() -> impl Iterator<Item = u64> + Send {
    (0..2).inspect(|i| {
        while *i == 1 && !context().cancelled() {
            std::thread::sleep(Duration::from_millis(1));
        }
        WAS_TOLD.store(*i == 1, Ordering::SeqCst);
    })
}

#[test]
fn a_running_one_hears_that_it_was_dropped() {
    let (_turn, _runtime) = runtime();
    let mut stream = until_cancelled::remote();
    stream.next_timeout(LONG).unwrap().unwrap();
    drop(stream);
    eventually("it was told", || WAS_TOLD.load(Ordering::SeqCst));
}

#[test]
fn shutting_down_ends_streams_with_an_error() {
    let (_turn, runtime) = runtime();
    let mut rests = licensed::remote(usize::MAX, 0);
    assert_eq!(rests.next_timeout(LONG).unwrap().unwrap().take().unwrap(), 1);
    let mut waits = licensed::remote(usize::MAX, 0);
    drop(runtime);
    let mut left = within_time(move || rests.by_ref().map(ObjectRef::take).collect::<Vec<_>>());
    let error = left.pop().unwrap().unwrap_err();
    assert!(matches!(error.root().kind(), ErrorKind::Shutdown), "{error}");
    assert!(left.into_iter().enumerate().all(|(i, item)| item.unwrap() == i as u64 + 2));
    let error = waits.next_timeout(LONG).unwrap().unwrap().take().unwrap_err();
    assert!(matches!(error.root().kind(), ErrorKind::Shutdown), "{error}");
    assert!(waits.next_timeout(LONG).unwrap().is_none());
    assert_eq!(HOLDERS.load(Ordering::SeqCst), 0, "no iterator is left");
}

#[test]
fn what_can_never_be_is_the_only_item() {
    let (_turn, _runtime) = runtime();
    for stream in [licensed::call(3, 0).gpu(3), licensed::call(3, 0).gpu(1.5), licensed::call(3, 0).cpu(-1)] {
        let mut stream = stream.remote();
        let error = stream.next_timeout(LONG).unwrap().unwrap().take().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Infeasible(_)), "{error}");
        assert!(stream.next_timeout(LONG).unwrap().is_none());
    }
}

#[test]
fn a_prepared_call_may_ask_for_more_or_be_placed() {
    let (_turn, _runtime) = runtime();
    let all = |stream: ObjectStream<Seen>| within_time(|| stream.values().collect::<Result<Vec<_>, _>>()).unwrap();
    let items = all(on_half_a_gpu::call(5).gpu(2).cpu(0).buffer(1).remote());
    assert!(items.len() == 5 && items.iter().all(|seen| seen.3 == [(0, 1.0), (1, 1.0)] && seen.4 == 0), "{items:?}");
    let group = PlacementGroup::reserve(Strategy::Pack, [Bundle::cpu(1).gpu(0.5)]).unwrap();
    assert!(group.ready(Some(LONG)).unwrap());
    assert_eq!(all(on_half_a_gpu::call(5).place(group.bundle(0)).remote()).len(), 5);
    let error = on_half_a_gpu::call(5).gpu(1).place(group.bundle(0)).remote().values().next().unwrap().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Infeasible(_)), "{error}");
}

#[task(retries = 3, retry_on(panic), buffer = 3)]
fn fails_now_and_then(items: u64) -> impl Iterator<Item = (u64, u32)> + Send {
    // Attempt n gets n * 7 items far.
    (0..items).map(|i| {
        assert!(i < 7 * u64::from(context().attempt()), "on purpose");
        (i, context().attempt())
    })
}

#[test]
fn another_attempt_skips_what_was_handed_out() {
    let (_turn, _runtime) = runtime();
    let stream = fails_now_and_then::remote(20);
    let items = within_time(|| stream.values().collect::<Result<Vec<_>, _>>()).unwrap();
    assert_eq!(items, (0..20).map(|i| (i, i as u32 / 7 + 1)).collect::<Vec<_>>());
    let mut items = within_time(|| fails_now_and_then::call(100).retries(1).remote().values().collect::<Vec<_>>());
    let error = items.pop().unwrap().unwrap_err();
    assert!(error.is_panic() && error.to_string().contains("attempt 2"), "{error}");
    assert_eq!(items.len(), 14);
}

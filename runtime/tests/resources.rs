//! Resources that are declared: GPUs as devices, names of one's own, groups; never more at once than there is.
// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

use rayline::prelude::*;
use rayline::{Config, ErrorKind, Runtime, init_with};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);

/// One runtime at a time: these tests share a process.
static TURN: Mutex<()> = Mutex::new(());

fn runtime() -> (MutexGuard<'static, ()>, Runtime) {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let config = Config::default().cpus(2).gpus(2).gpu_memory(1 << 30).resource("license", 1).memory(1 << 30);
    (turn, init_with(config).expect("no other runtime"))
}

/// Ten-thousandths of each GPU, and units of the license, that are held now.
static GPU: [AtomicI64; 2] = [AtomicI64::new(0), AtomicI64::new(0)];
static LICENSES: AtomicI64 = AtomicI64::new(0);

#[task(cpu = 0, gpu = 0.5)]
fn half_gpu() -> Vec<u32> {
    hold_gpus()
}

#[task(cpu = 0, gpu = 1)]
fn whole_gpu() -> Vec<u32> {
    hold_gpus()
}

#[task(cpu = 0, gpu = 2)]
fn both_gpus() -> Vec<u32> {
    hold_gpus()
}

/// Holds what it was given for a while, and asserts that nobody else has too much of it.
fn hold_gpus() -> Vec<u32> {
    let gpus = context().gpus();
    for gpu in &gpus {
        let parts = (gpu.share * 10_000.0) as i64;
        let held = GPU[gpu.index as usize].fetch_add(parts, Ordering::SeqCst) + parts;
        assert!(held <= 10_000, "GPU {} is held {held} times over", gpu.index);
    }
    std::thread::sleep(Duration::from_millis(2));
    for gpu in &gpus {
        GPU[gpu.index as usize].fetch_sub((gpu.share * 10_000.0) as i64, Ordering::SeqCst);
    }
    gpus.iter().map(|gpu| gpu.index).collect()
}

#[task(cpu = 0, resources(license = 1))]
fn licensed() -> i64 {
    let held = LICENSES.fetch_add(1, Ordering::SeqCst) + 1;
    std::thread::sleep(Duration::from_millis(1));
    LICENSES.fetch_sub(1, Ordering::SeqCst);
    held
}

#[task(cpu = 2)]
fn wide() -> usize {
    context().cpu_slots().len()
}

#[task]
fn plain(x: i64) -> i64 {
    x
}

#[test]
fn gpus_are_shared_by_fractions_and_never_beyond() {
    let (_turn, _runtime) = runtime();
    let mut tasks = Vec::new();
    for _ in 0..20 {
        tasks.extend([half_gpu::remote(), half_gpu::remote(), whole_gpu::remote(), both_gpus::remote()]);
    }
    let used: Vec<Vec<u32>> = tasks.iter().map(|task| task.get_timeout(LONG).unwrap()).collect();
    assert!(used.chunks(4).all(|four| four.iter().map(Vec::len).eq([1, 1, 1, 2])));
}

#[test]
fn fractions_pack_onto_one_device() {
    let (_turn, _runtime) = runtime();
    let group = PlacementGroup::reserve(Strategy::Pack, [Bundle::cpu(0).gpu(0.5), Bundle::cpu(0).gpu(0.5)]).unwrap();
    assert!(group.ready(Some(LONG)).unwrap());
    let first = half_gpu::call().place(group.bundle(0)).remote().get_timeout(LONG).unwrap();
    let second = half_gpu::call().place(group.bundle(1)).remote().get_timeout(LONG).unwrap();
    assert_eq!(first, second, "two halves share one device");
    assert_eq!(whole_gpu::remote().get_timeout(LONG).unwrap().len(), 1, "so that the other is free");
}

#[test]
fn named_resources_and_wide_tasks() {
    let (_turn, _runtime) = runtime();
    let tasks: Vec<_> = (0..20).map(|_| licensed::remote()).collect();
    assert!(tasks.iter().all(|task| task.get_timeout(LONG).unwrap() == 1), "one license, one holder");
    let wide: Vec<_> = (0..10).map(|_| wide::remote()).collect();
    let plain: Vec<_> = (0..1000).map(plain::remote).collect();
    assert!(wide.iter().all(|task| task.get_timeout(LONG).unwrap() == 2));
    assert!(plain.iter().enumerate().all(|(i, task)| task.get_timeout(LONG).unwrap() == i as i64));
}

#[test]
fn what_can_never_be_is_said_at_once() {
    let (_turn, _runtime) = runtime();
    let text = |error: Error| {
        assert!(matches!(error.kind(), ErrorKind::Infeasible(_)), "{error}");
        error.to_string()
    };
    let gpus = text(whole_gpu::call().gpu(3).remote().get_timeout(LONG).unwrap_err());
    assert!(gpus.contains("needs {gpu: 3}") && gpus.contains("gpu: 2"), "{gpus}");
    let name = text(plain::call(1).resource("tape", 1).remote().get_timeout(LONG).unwrap_err());
    assert!(name.contains("tape: 1") && name.contains("tape: 0"), "{name}");
    let memory = text(plain::call(1).memory(1 << 40).remote().get_timeout(LONG).unwrap_err());
    assert!(memory.contains("memory: 1024 GiB") && memory.contains("has memory: 1 GiB"), "{memory}");
    let half = text(whole_gpu::call().gpu(1.5).remote().get_timeout(LONG).unwrap_err());
    assert!(half.contains("1.5"), "{half}");
}

#[test]
fn groups_of_every_strategy() {
    let (_turn, _runtime) = runtime();
    for strategy in [Strategy::Pack, Strategy::Spread, Strategy::StrictPack] {
        let group = PlacementGroup::reserve(strategy, [Bundle::cpu(1), Bundle::cpu(1)]).unwrap();
        assert!(group.ready(Some(LONG)).unwrap(), "{strategy:?}");
        let placed: Vec<_> = (0..2).map(|i| plain::call(7).place(group.bundle(i)).remote()).collect();
        assert!(placed.iter().all(|task| task.get_timeout(LONG).unwrap() == 7), "{strategy:?}");
    }
    let strict = PlacementGroup::reserve(Strategy::StrictSpread, [Bundle::cpu(1), Bundle::cpu(1)]).unwrap_err();
    assert!(strict.to_string().contains("needs 2 nodes"), "{strict}");
    let large = PlacementGroup::reserve(Strategy::Pack, [Bundle::cpu(64)]).unwrap_err();
    assert!(large.to_string().contains("cpu: 64"), "{large}");
    let none = PlacementGroup::reserve(Strategy::Pack, []).unwrap_err();
    assert!(none.to_string().contains("at least one bundle"), "{none}");
}

#[test]
fn a_removed_group_fails_what_waits_in_it() {
    let (_turn, _runtime) = runtime();
    let first = PlacementGroup::reserve(Strategy::Pack, [Bundle::cpu(2)]).unwrap();
    assert!(first.ready(Some(LONG)).unwrap());
    let second = PlacementGroup::reserve(Strategy::Pack, [Bundle::cpu(2)]).unwrap();
    assert!(!second.ready(Some(Duration::from_millis(20))).unwrap(), "the first has all");
    let waiting = plain::call(1).place(second.bundle(0)).remote();
    let placed = plain::call(2).place(first.bundle(0)).remote();
    assert_eq!(placed.get_timeout(LONG).unwrap(), 2);
    second.remove();
    let error = waiting.get_timeout(LONG).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Group(_)), "{error}");
    drop(first);
    let third = PlacementGroup::reserve(Strategy::Pack, [Bundle::cpu(2)]).unwrap();
    assert!(third.ready(Some(LONG)).unwrap(), "what the first had is free");
}

#[derive(Actor)]
#[actor(cpu = 1)]
struct Resident;

#[methods]
impl Resident {
    pub fn new() -> Self {
        Self
    }

    pub fn gpus(&self) -> usize {
        context().gpus().len()
    }
}

#[test]
fn an_actor_lives_in_its_bundle_and_dies_with_it() {
    let (_turn, _runtime) = runtime();
    let group = PlacementGroup::reserve(Strategy::Pack, [Bundle::cpu(1).gpu(1)]).unwrap();
    let actor = Resident::create().gpu(1).place(group.bundle(0)).remote();
    assert_eq!(actor.gpus().get_timeout(LONG).unwrap(), 1);
    group.remove();
    for _ in 0..2000 {
        if let Err(error) = actor.gpus().get_timeout(LONG) {
            assert!(matches!(error.kind(), ErrorKind::ActorDied { .. }), "{error}");
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("it outlives its group");
}

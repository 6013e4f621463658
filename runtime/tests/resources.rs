//! Resources that are declared: GPUs as devices, names of one's own, groups; never more at once than there is.
// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

mod common;

use common::LONG;
use rayline::prelude::*;
use rayline::{Config, ErrorKind, Runtime, init_with};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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
    let one = PlacementGroup::reserve(Strategy::StrictSpread, [Bundle::cpu(1)]).unwrap();
    assert!(one.ready(Some(LONG)).unwrap(), "one bundle fits on one node");
    drop(one);
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

#[test]
fn a_program_may_make_groups_for_as_long_as_it_runs() {
    let (_turn, _runtime) = runtime();
    // More than an owner has scheduling classes at once.
    for i in 0..5_000 {
        let group = PlacementGroup::reserve(Strategy::Pack, [Bundle::cpu(1)]).unwrap();
        let placed = plain::call(i).place(group.bundle(0)).remote();
        assert_eq!(placed.get_timeout(LONG).unwrap(), i);
    }
}

/// Bytes, and ten-thousandths of CPUs, that are held now, and the most that were.
static MEMORY: AtomicI64 = AtomicI64::new(0);
static CPU: AtomicI64 = AtomicI64::new(0);

/// Holds `amount` for a while, and returns how much was held with it.
fn hold(of: &AtomicI64, amount: i64) -> i64 {
    let held = of.fetch_add(amount, Ordering::SeqCst) + amount;
    std::thread::sleep(Duration::from_millis(2));
    of.fetch_sub(amount, Ordering::SeqCst);
    held
}

#[task(cpu = 0, memory = "400 MiB")]
fn large() -> i64 {
    hold(&MEMORY, 400 << 20)
}

#[task(cpu = 0.5)]
fn half_cpu() -> i64 {
    hold(&CPU, 5_000)
}

#[task(cpu = 1, retries = 1, retry_on(any))]
fn one_cpu() -> i64 {
    hold(&CPU, 10_000)
}

#[task(cpu = 2)]
fn two_cpus() -> i64 {
    hold(&CPU, 20_000)
}

#[test]
fn memory_is_counted() {
    let (_turn, _runtime) = runtime();
    let held: Vec<_> = (0..20).map(|_| large::remote()).collect();
    let most = held.iter().map(|task| task.get_timeout(LONG).unwrap()).max().unwrap();
    assert!(most <= 1 << 30, "{most} bytes were held at once, of 1 GiB");
    assert_eq!(large::call().memory(1 << 30).remote().get_timeout(LONG).unwrap(), 400 << 20, "all of it is one's");
}

#[test]
fn cpus_are_counted_in_fractions() {
    let (_turn, _runtime) = runtime();
    let tasks: Vec<_> =
        (0..20).flat_map(|_| [half_cpu::remote(), one_cpu::remote(), two_cpus::remote(), half_cpu::remote()]).collect();
    let most = tasks.iter().map(|task| task.get_timeout(LONG).unwrap()).max().unwrap();
    assert!(most <= 20_000, "{most} ten-thousandths were held at once, of two CPUs");
}

#[task(cpu = 0, gpu = 1, returns = 2)]
fn two_parts(x: i64) -> (i64, Vec<u32>) {
    (x, hold_gpus())
}

#[test]
fn a_task_with_several_returns_gets_what_it_needs() {
    let (_turn, _runtime) = runtime();
    let parts: Vec<_> = (0..10).map(two_parts::remote).collect();
    for (x, (value, gpus)) in parts.iter().enumerate() {
        assert_eq!(value.get_timeout(LONG).unwrap(), x as i64);
        assert_eq!(gpus.get_timeout(LONG).unwrap().len(), 1, "it has a GPU");
    }
}

static HELD: AtomicI64 = AtomicI64::new(0);

#[task(cpu = 0, resources(license = 1))]
fn hold_license() -> i64 {
    HELD.store(1, Ordering::SeqCst);
    while !context().cancelled() {
        std::thread::sleep(Duration::from_millis(1));
    }
    1
}

#[test]
fn a_cancelled_task_gives_back_what_it_holds_or_waits_for() {
    let (_turn, _runtime) = runtime();
    let holder = hold_license::remote();
    common::eventually("it holds the license", || HELD.load(Ordering::SeqCst) == 1);
    let waiting: Vec<_> = (0..5).map(|_| licensed::remote()).collect();
    assert!(!waiting[4].wait_timeout(Duration::from_millis(20)), "the license is taken");
    waiting.iter().take(4).for_each(|task| task.clone().cancel());
    assert!(waiting.iter().take(4).all(|task| task.get_timeout(LONG).unwrap_err().is_cancelled()));
    assert!(!waiting[4].is_ready());
    holder.clone().cancel();
    assert_eq!(waiting[4].get_timeout(LONG).unwrap(), 1);
    assert!(holder.wait_timeout(LONG));
}

#[test]
fn a_group_waits_for_its_turn() {
    let (_turn, _runtime) = runtime();
    let bundles = || [Bundle::cpu(1).gpu(1), Bundle::cpu(1).gpu(1).resource("license", 1)];
    let first = PlacementGroup::reserve(Strategy::StrictPack, bundles()).unwrap();
    assert!(first.ready(Some(LONG)).unwrap());
    assert_eq!(first.bundles(), 2);
    let second = PlacementGroup::reserve(Strategy::StrictPack, bundles()).unwrap();
    let placed = plain::call(3).place(second.bundle(1)).remote();
    assert!(!placed.wait_timeout(Duration::from_millis(20)), "its group isn't there yet");
    drop(first);
    assert!(second.ready(Some(LONG)).unwrap());
    assert_eq!(placed.get_timeout(LONG).unwrap(), 3);
    let too_large = plain::call(1).cpu(2).place(second.bundle(0)).remote().get_timeout(LONG).unwrap_err();
    assert!(matches!(too_large.kind(), ErrorKind::Infeasible(_)), "{too_large}");
    let held = second.bundle(0);
    drop(second);
    assert_eq!(plain::call(4).place(held).remote().get_timeout(LONG).unwrap(), 4, "a bundle keeps its group");
    let third = PlacementGroup::reserve(Strategy::Pack, bundles()).unwrap();
    assert!(third.ready(Some(LONG)).unwrap(), "and gives it back");
}

#[test]
#[should_panic = "bundle 2 of a group with 1 bundles"]
fn a_group_has_no_further_bundles() {
    let (_turn, _runtime) = runtime();
    let group = PlacementGroup::reserve(Strategy::Pack, [Bundle::cpu(1)]).unwrap();
    let _ = group.bundle(2);
}

#[test]
fn a_dead_actor_gives_back_its_gpu() {
    let (_turn, _runtime) = runtime();
    for _ in 0..5 {
        let actors = [Resident::create().cpu(0).gpu(1).remote(), Resident::create().cpu(0).gpu(1).remote()];
        assert!(actors.iter().all(|actor| actor.gpus().get_timeout(LONG).unwrap() == 1));
        let waiting = both_gpus::remote();
        assert!(!waiting.wait_timeout(Duration::from_millis(5)), "the actors hold both");
        actors[0].kill();
        drop(actors);
        assert_eq!(waiting.get_timeout(LONG).unwrap().len(), 2);
    }
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

#[task(cpu = 0.5)]
fn half(x: usize) -> usize {
    x
}

/// A waker that is woken by mistake, as happens where many come and go, is no cancellation.
#[test]
fn leased_tasks_are_cancelled_by_nobody_else() {
    let _runtime = runtime();
    let mut window = std::collections::VecDeque::new();
    for i in 0..20_000 {
        if window.len() == 1000 {
            let (expected, object): (usize, ObjectRef<usize>) = window.pop_front().unwrap();
            assert_eq!(object.get().unwrap(), expected);
        }
        window.push_back((i, half::remote(i)));
    }
    for (expected, object) in window {
        assert_eq!(object.get().unwrap(), expected);
    }
}

//! What a seed stands for: how large the cluster is, what it is asked to do, and what goes wrong.

use std::time::Duration;

use rayline_core::Limits;
use rayline_core::resources::{Amount, Capacity};

use crate::rng::Rng;

/// All parameters of a run, drawn from its seed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Machines, each with what it has.
    pub hosts: Vec<Capacity>,
    /// How long faults and work go on; after that nothing is injected, and everything must settle.
    pub fault_time: Duration,
    /// The bounds of all machines.
    pub limits: Limits,
    /// The network.
    pub net: Net,
    /// What goes wrong, each as a weight; 0 is never.
    pub faults: Faults,
    /// What is asked for.
    pub load: Load,
    /// A machine's own check runs after one of so many of its events.
    pub check_every: u64,
}

/// How messages travel.
#[derive(Clone, Debug)]
pub struct Net {
    /// The longest delay without faults.
    pub delay: Duration,
    /// How many in a thousand are lost and sent again, or lost for good where the channel may lose.
    pub lost_permille: u64,
    /// How many in a thousand come twice.
    pub twice_permille: u64,
    /// How much later a repeated message comes at most.
    pub again: Duration,
}

/// Weights of faults, and how often one comes.
#[derive(Clone, Debug)]
pub struct Faults {
    /// The longest wait between two faults.
    pub gap: Duration,
    /// A machine crashes with all on it and starts again.
    pub crash: u64,
    /// A machine stands still.
    pub stall: u64,
    /// The controller stands still.
    pub controller_stall: u64,
    /// A machine can't speak to the controller, in one direction or both.
    pub cut_controller: u64,
    /// Two machines can't speak, in one direction or both.
    pub cut_pair: u64,
    /// A machine can't speak to anybody.
    pub isolate: u64,
    /// An owner's process crashes.
    pub kill_owner: u64,
    /// A store loses a value.
    pub lose_object: u64,
    /// A store has no room for a while.
    pub fill_store: u64,
    /// The wall clock jumps.
    pub wall_jump: u64,
}

/// What the owners do.
#[derive(Clone, Debug)]
pub struct Load {
    /// Owners at the start.
    pub owners: usize,
    /// Things that each does.
    pub actions: u64,
    /// The longest wait between two.
    pub gap: Duration,
    /// The most arguments of a task.
    pub args_max: u64,
    /// How deep a chain tends to be: arguments are among so many of the last objects.
    pub recent: u64,
    /// The longest run.
    pub run: Duration,
    /// Runs in a thousand that fail.
    pub failures_permille: u64,
    /// The most retries of a task.
    pub retries_max: u64,
    /// Runs in a thousand that block and lend their CPUs.
    pub blocks_permille: u64,
    /// Actors, groups, cancellations, borrows: weights beside 100 for tasks.
    pub actors: u64,
    /// Weight of reserving and removing groups.
    pub groups: u64,
    /// Weight of cancellations.
    pub cancels: u64,
    /// Weight of lending references to other owners.
    pub borrows: u64,
    /// Weight of dropping references.
    pub drops: u64,
    /// Permanent things (actors, bundles) that an owner may have at once.
    pub permanent_max: usize,
    /// Executor threads of each owner.
    pub executors: u32,
    /// Values that a store holds.
    pub store_values: usize,
}

impl Plan {
    /// The plan of a seed; with `nodes` machines instead of as many as the seed says.
    pub fn of_seed(seed: u64, nodes: Option<usize>) -> Plan {
        let mut rng = Rng::new(seed);
        let drawn = usize::try_from(if rng.chance(850) { rng.between(3, 9) } else { rng.between(10, 60) }).unwrap_or(3);
        let nodes = nodes.unwrap_or(drawn).max(1);
        let is_large = nodes > 100;
        Plan {
            hosts: (0..nodes).map(|at| host(&mut rng, at)).collect(),
            fault_time: Duration::from_millis(if is_large { 60_000 } else { rng.between(1_500, 8_000) }),
            limits: limits(&mut rng, is_large),
            net: net(&mut rng),
            faults: faults(&mut rng, nodes),
            load: load(&mut rng, nodes),
            check_every: if is_large { 2048 } else { rng.between(1, 16) },
        }
    }
}

fn host(rng: &mut Rng, at: usize) -> Capacity {
    let cpus = u32::try_from(rng.between(2, 8)).unwrap_or(2);
    let gpus = if at > 0 && rng.chance(400) { u32::try_from(rng.between(1, 4)).unwrap_or(1) } else { 0 };
    let start = Capacity::cpus(Amount::from_units(cpus)).with_memory(8 << 30);
    (0..gpus).fold(start, |capacity, index| capacity.with_gpu(index, 80 << 30))
}

fn limits(rng: &mut Rng, is_large: bool) -> Limits {
    let size = |rng: &mut Rng, low, high| usize::try_from(rng.between(low, high)).unwrap_or(1);
    let beat = if is_large { 500 } else { rng.between(20, 150) };
    Limits {
        node_waiting_max: size(rng, 4, 60),
        overtakes_max: u32::try_from(rng.between(1, 16)).unwrap_or(1),
        node_tombstones_max: size(rng, 256, 4096),
        class_requests_max: size(rng, 1, 24),
        lease_slice: Duration::from_millis(rng.below(200)),
        request_patience: Duration::from_millis(rng.between(20, 400)),
        lineage_max: if rng.chance(300) { size(rng, 4, 60) } else { 1 << 16 },
        rebuild_depth_max: if rng.chance(200) { u32::try_from(rng.between(1, 8)).unwrap_or(1) } else { 10_000 },
        tasks_max: if rng.chance(150) { size(rng, 8, 40) } else { 1 << 16 },
        prepare_timeout: Duration::from_millis(rng.between(50, 1_000)),
        heartbeat_every: Duration::from_millis(beat),
        fence_after: Duration::from_millis(beat * 9),
        dead_after: Duration::from_millis(beat * 11),
        ..Limits::default()
    }
}

fn net(rng: &mut Rng) -> Net {
    Net {
        delay: Duration::from_micros(rng.between(50, 8_000)),
        lost_permille: if rng.chance(500) { rng.below(40) } else { 0 },
        twice_permille: if rng.chance(700) { rng.below(200) } else { 0 },
        again: Duration::from_millis(rng.between(1, 1_500)),
    }
}

fn faults(rng: &mut Rng, nodes: usize) -> Faults {
    let mut weight = || if rng.chance(500) { rng.between(1, 10) } else { 0 };
    let (crash, stall, controller_stall) = (weight(), weight(), weight() / 3);
    let (cut_controller, cut_pair, isolate) = (weight(), weight(), weight());
    let (kill_owner, lose_object, fill_store, wall_jump) = (weight(), weight(), weight(), weight());
    // In a large cluster each death is told to a thousand: many at once cost time and show nothing new.
    let least = if nodes > 100 { 50 } else { 1 };
    let gap = Duration::from_millis((rng.between(20, 1_000) * 6 / (nodes as u64).clamp(6, 60)).max(least));
    Faults {
        gap,
        crash,
        stall,
        controller_stall,
        cut_controller,
        cut_pair,
        isolate,
        kill_owner,
        lose_object,
        fill_store,
        wall_jump,
    }
}

fn load(rng: &mut Rng, nodes: usize) -> Load {
    let mut weight = |most| if rng.chance(700) { rng.between(1, most) } else { 0 };
    let (actors, groups, cancels) = (weight(20), weight(15), weight(15));
    let (borrows, drops) = (weight(25), weight(60));
    Load {
        owners: usize::try_from(rng.between(1, 3)).unwrap_or(1) + nodes / 100,
        actions: rng.between(20, 250),
        gap: Duration::from_millis(rng.between(5, 60)),
        args_max: rng.below(5),
        recent: rng.between(1, 30),
        run: Duration::from_millis(rng.between(1, 250)),
        failures_permille: if rng.chance(500) { rng.below(200) } else { 0 },
        retries_max: rng.below(20),
        blocks_permille: if rng.chance(500) { rng.below(300) } else { 0 },
        actors,
        groups,
        cancels,
        borrows,
        drops,
        permanent_max: 5,
        executors: u32::try_from(if rng.chance(500) { rng.between(1, 3) } else { 0 }).unwrap_or(0),
        store_values: usize::try_from(if rng.chance(300) { rng.between(8, 60) } else { 1 << 20 }).unwrap_or(8),
    }
}

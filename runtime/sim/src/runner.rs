//! Playing seeds.

use std::cell::Cell;
use std::fmt::Arguments;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::time::Duration;

use crate::mutation::Mutation;
use crate::plan::Plan;
use crate::world::World;

/// How a seed is played.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// So many machines, instead of as many as the seed says.
    pub nodes: Option<usize>,
    /// A known fault in the machinery.
    pub mutation: Option<Mutation>,
    /// Gets a line for all that happens.
    pub trace: Option<fn(Arguments<'_>)>,
}

/// What a run was like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Equal for equal runs.
    pub hash: u64,
    /// Things that happened.
    pub events: u64,
    /// How long it took on the simulated clock.
    pub simulated: Duration,
    /// Machines.
    pub nodes: usize,
    /// Owners, all lives counted.
    pub owners: u32,
}

/// A run in which an invariant did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The seed.
    pub seed: u64,
    /// Which invariant, and what was found.
    pub message: String,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seed {}: {}", self.seed, self.message)
    }
}

impl std::error::Error for Broken {}

/// How long a cluster may take to settle when nothing goes wrong any more.
const SETTLE_MAX: Duration = Duration::from_secs(300);

/// Plays one seed.
///
/// # Panics
/// Where an invariant does not hold, with its id.
pub fn run(seed: u64, options: Options) -> Summary {
    let plan = Plan::of_seed(seed, options.nodes);
    let fault_time = plan.fault_time;
    let mut world = World::new(seed, plan, options.mutation, options.trace);
    let owners = world.plan.load.owners;
    for _ in 0..owners {
        let host = usize::try_from(world.rng.below(world.hosts.len() as u64)).expect("a host's index");
        world.hosts[host].owners_wanted += 1;
    }
    let end = world.now + fault_time;
    world.run_until(end);
    world.heal();
    settle(&mut world, World::unsettled);
    world.check_all();
    world.give_all_back();
    settle(&mut world, |world| world.leftovers());
    world.check_all();
    Summary {
        hash: world.hash,
        events: world.events,
        simulated: world.now.since(rayline_core::Time::ZERO),
        nodes: world.hosts.len(),
        owners: world.next_owner - 1,
    }
}

/// Lets the world go on until nothing is left to wait for.
fn settle(world: &mut World, unsettled: impl Fn(&mut World) -> Option<String>) {
    let deadline = world.now + SETTLE_MAX;
    let mut pause = Duration::from_millis(50);
    let mut still = 0;
    while still < 2 {
        let end = world.now + pause;
        world.run_until(end);
        match unsettled(world) {
            None => still += 1,
            Some(why) => {
                still = 0;
                assert!(world.now < deadline, "{why}");
                pause = (pause * 5 / 4).min(Duration::from_secs(5));
            }
        }
    }
}

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Plays one seed; a broken invariant is a value, and prints nothing.
///
/// # Errors
/// [`Broken`] where an invariant does not hold.
pub fn run_caught(seed: u64, options: Options) -> Result<Summary, Broken> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_QUIET.get() {
                before(info);
            }
        }));
    });
    IS_QUIET.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(|| run(seed, options)));
    IS_QUIET.set(false);
    result.map_err(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        let message = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Broken { seed, message: message.unwrap_or_else(|| "a panic without words".to_owned()) }
    })
}

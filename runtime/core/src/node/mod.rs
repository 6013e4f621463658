//! A node: its resources, and who leases them.

mod bundles;
mod check;
mod pool;
mod protocol;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bundles::{Bundle, Phase};
use pool::{Claim, Cpus, Hold, Lease, Pool, Waiting};
pub use protocol::{Action, Event, Refusal};

use crate::finished::Finished;
use crate::ids::{Attempt, BundleId, LeaseId, NodeId, OwnerId, RequestId};
use crate::limits::Limits;
use crate::out::Out;
use crate::resources::{Capacity, Demand, Grant, Ledger};
use crate::time::Time;

/// What a node ignored, and why. For metrics and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests and prepares that came twice.
    pub duplicates: u64,
    /// Events about requests, bundles or attempts that were over.
    pub stale: u64,
    /// Events about leases that aren't there.
    pub unknown_leases: u64,
}

/// Where a request that isn't over is. A request goes `(new) --> Waiting --> Granted --> (finished)`, or straight from
/// any of them to finished; a finished one never comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Waiting { pool: Option<BundleId> },
    Granted { lease: LeaseId },
}

/// A request, without its name.
struct Ask {
    demand: Demand,
    bundle: Option<BundleId>,
    revocable: bool,
}

/// The machine of one node: leases against a ledger, with a queue whose rule is that of its pools: first come, first
/// served; whoever fits may overtake a bounded number of times ([`Limits::overtakes_max`]), after which what the overtaken
/// one needs of what is free is kept for it; revocable leases are given only of what no other can use, and asked back.
///
/// Invariants, asserted by [`Node::check`]:
/// - NODE-1 (R1, R3): in each pool what is free, leased and held by bundles is exactly the capacity.
/// - NODE-2 (R2): a request waits once, or has one live lease, or is over; lease ids are never reused.
/// - NODE-3 (G1): a bundle's pool has exactly what the bundle holds of the node; only committed ones have waiters.
/// - NODE-4: nobody waits who could be served; revocable leases that are needed have been asked back.
/// - NODE-5 (Z1): nothing is held or awaited by an owner that was declared dead.
/// - NODE-6 (B1): queues and memories are within [`Limits`].
///
/// Source: Moritz et al., OSDI'18, §4.2.2; leases as in Ray's `raylet/scheduling`.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    limits: Limits,
    own: Pool,
    bundles: BTreeMap<BundleId, Bundle>,
    /// The pool of each live lease: a bundle's, or the node's own.
    homes: BTreeMap<LeaseId, Option<BundleId>>,
    requests: BTreeMap<RequestId, Place>,
    finished: BTreeMap<OwnerId, Finished>,
    /// The last attempt that ended of bundles that are gone.
    returned: BTreeMap<BundleId, Attempt>,
    dead_owners: BTreeSet<OwnerId>,
    next_lease: u64,
    counters: Counters,
}

impl Node {
    /// A node with all its resources free.
    pub fn new(id: NodeId, capacity: Capacity, limits: Limits) -> Node {
        Node {
            id,
            own: Pool::new(Ledger::new(capacity), limits.overtakes_max),
            limits,
            bundles: BTreeMap::new(),
            homes: BTreeMap::new(),
            requests: BTreeMap::new(),
            finished: BTreeMap::new(),
            returned: BTreeMap::new(),
            dead_owners: BTreeSet::new(),
            next_lease: 1,
            counters: Counters::default(),
        }
    }

    /// Takes one event and appends what is to be done.
    pub fn handle(&mut self, _now: Time, event: Event, out: &mut Out<Action>) {
        match event {
            Event::RequestLease { request, demand, bundle, revocable } => {
                self.request_lease(request, Ask { demand, bundle, revocable }, out);
            }
            Event::CancelRequest { request } => self.cancel_request(request, out),
            Event::ReturnLease { lease } => self.return_lease(lease, out),
            Event::LendCpus { lease } => self.lend_cpus(lease, out),
            Event::RetakeCpus { lease } => self.retake_cpus(lease, out),
            Event::OwnerDied { owner } => self.owner_died(owner, out),
            Event::PrepareBundle { bundle, attempt, demand } => self.prepare_bundle(bundle, attempt, demand, out),
            Event::CommitBundle { bundle, attempt } => self.commit_bundle(bundle, attempt, out),
            Event::ReturnBundle { bundle, attempt } => self.return_bundle(bundle, attempt, out),
        }
    }

    /// The node's id.
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// What is free of the node itself, bundles not counted.
    pub const fn ledger(&self) -> &Ledger {
        &self.own.ledger
    }

    /// What a live lease holds.
    pub fn grant(&self, lease: LeaseId) -> Option<&Grant> {
        let pool = self.pool(*self.homes.get(&lease)?)?;
        Some(&pool.leases.get(&lease)?.grant)
    }

    /// Requests and bundles that wait.
    pub fn waiting(&self) -> usize {
        let bundled = self.bundles.values().filter_map(|bundle| bundle.phase.pool());
        self.own.waiting() + bundled.map(Pool::waiting).sum::<usize>()
    }

    /// What those ask for who wait for resources of the node itself, in the order in which they came; revocable requests
    /// don't count, since they ask for what is left over.
    pub fn waiting_demands(&self) -> impl Iterator<Item = &Demand> {
        self.own.firm.iter().map(|waiting| &waiting.demand)
    }

    /// Bundles that grant leases.
    pub fn committed(&self) -> impl Iterator<Item = BundleId> {
        let committed = |bundle: &Bundle| matches!(bundle.phase, Phase::Committed { .. });
        self.bundles.iter().filter(move |(_, bundle)| committed(bundle)).map(|(id, _)| *id)
    }

    /// Whose request got a live lease.
    pub fn holder(&self, lease: LeaseId) -> Option<OwnerId> {
        let pool = self.pool(*self.homes.get(&lease)?)?;
        Some(pool.leases.get(&lease)?.request.owner)
    }

    /// Live leases.
    pub fn leases(&self) -> usize {
        self.homes.len()
    }

    /// What was ignored so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    fn request_lease(&mut self, request: RequestId, ask: Ask, out: &mut Out<Action>) {
        if let Some(place) = self.requests.get(&request) {
            return self.answer_again(request, *place, out);
        }
        if let Err(refusal) = self.may_wait(request, &ask) {
            self.finish(request);
            return out.push(Action::Refused { request, refusal });
        }
        self.requests.insert(request, Place::Waiting { pool: ask.bundle });
        let pool = self.pool_mut(ask.bundle).expect("it may wait there");
        pool.wait(Claim::Lease(request), ask.demand, ask.revocable);
        self.serve(ask.bundle, out);
    }

    /// A request came twice. A grant is said again, since the first answer may be lost.
    fn answer_again(&mut self, request: RequestId, place: Place, out: &mut Out<Action>) {
        self.counters.duplicates += 1;
        if let Place::Granted { lease } = place {
            let grant = self.grant(lease).expect("NODE-2: a granted request has a lease").clone();
            out.push(Action::Granted { request, lease, grant });
        }
    }

    fn may_wait(&mut self, request: RequestId, ask: &Ask) -> Result<(), Refusal> {
        if self.dead_owners.contains(&request.owner) {
            self.counters.stale += 1;
            return Err(Refusal::OwnerDead(request.owner));
        }
        if self.finished.get(&request.owner).is_some_and(|finished| finished.contains(request.seq)) {
            self.counters.stale += 1;
            return Err(Refusal::Stale);
        }
        match ask.bundle {
            None => self.own.ledger.feasible_ever(&ask.demand).map_err(Refusal::Infeasible)?,
            Some(bundle) => match self.bundles.get(&bundle).map(|known| &known.phase) {
                Some(Phase::Committed { pool, .. }) => {
                    let feasible = pool.ledger.feasible_ever(&ask.demand);
                    feasible.map_err(|infeasible| Refusal::Infeasible(infeasible.of_bundle()))?;
                }
                _ => return Err(Refusal::BundleGone(bundle)),
            },
        }
        if self.is_full(ask.revocable) {
            return Err(Refusal::QueueFull);
        }
        Ok(())
    }

    /// Whether no other may wait. Those who take what is left over have a queue of their own: they wait for long, and must
    /// not keep others out.
    pub(super) fn is_full(&self, revocable: bool) -> bool {
        let count = |pool: &Pool| if revocable { pool.revocable.len() } else { pool.firm.len() };
        let bundled = self.bundles.values().filter_map(|bundle| bundle.phase.pool());
        count(&self.own) + bundled.map(count).sum::<usize>() >= self.limits.node_waiting_max
    }

    fn cancel_request(&mut self, request: RequestId, out: &mut Out<Action>) {
        match self.requests.get(&request).copied() {
            Some(Place::Waiting { pool }) => {
                self.pool_mut(pool).expect("NODE-2: it waits there").forget(Claim::Lease(request));
                self.finish(request);
                self.serve(pool, out);
            }
            Some(Place::Granted { lease }) => self.return_lease(lease, out),
            None => {
                self.counters.stale += 1;
                self.finish(request);
            }
        }
    }

    fn return_lease(&mut self, lease: LeaseId, out: &mut Out<Action>) {
        match self.drop_lease(lease) {
            Some(home) => self.serve_after_return(home, out),
            None => self.counters.unknown_leases += 1,
        }
    }

    /// Takes back what a lease holds, and says of which pool.
    fn drop_lease(&mut self, lease: LeaseId) -> Option<Option<BundleId>> {
        let home = self.homes.remove(&lease)?;
        let pool = self.pool_mut(home).expect("NODE-2: a lease has a home");
        let held = pool.leases.remove(&lease).expect("NODE-2: a lease is at home");
        pool.note(lease);
        if matches!(held.cpus, Cpus::Retaking(_)) {
            pool.forget(Claim::Cpus(lease));
        }
        pool.ledger.release(&held.grant);
        self.finish(held.request);
        Some(home)
    }

    fn serve_after_return(&mut self, home: Option<BundleId>, out: &mut Out<Action>) {
        self.serve(home, out);
        if let Some(bundle) = home
            && matches!(self.bundles[&bundle].phase, Phase::Ending { .. })
        {
            self.finish_bundle(bundle, out);
        }
    }

    fn lend_cpus(&mut self, lease: LeaseId, out: &mut Out<Action>) {
        let Some((home, pool)) = self.home_of(lease) else { return };
        let held = pool.leases.get_mut(&lease).expect("NODE-2: a lease is at home");
        match &held.cpus {
            Cpus::Held => {
                let cpus = held.grant.split_cpus();
                held.cpus = Cpus::Lent(Demand::cpus(cpus.cpu()));
                pool.ledger.release(&cpus);
            }
            // It blocks again before it has them back: nothing is kept for it any more.
            Cpus::Retaking(demand) => {
                held.cpus = Cpus::Lent(demand.clone());
                pool.forget(Claim::Cpus(lease));
            }
            Cpus::Lent(_) => {
                self.counters.stale += 1;
                return;
            }
        }
        pool.note(lease);
        self.serve(home, out);
    }

    fn retake_cpus(&mut self, lease: LeaseId, out: &mut Out<Action>) {
        let Some((home, pool)) = self.home_of(lease) else { return };
        let held = pool.leases.get_mut(&lease).expect("NODE-2: a lease is at home");
        let Cpus::Lent(demand) = held.cpus.clone() else {
            self.counters.stale += 1;
            return;
        };
        held.cpus = Cpus::Retaking(demand.clone());
        pool.note(lease);
        pool.wait_for_cpus(lease, demand);
        self.serve(home, out);
    }

    fn owner_died(&mut self, owner: OwnerId, out: &mut Out<Action>) {
        self.dead_owners.insert(owner);
        while self.dead_owners.len() > self.limits.dead_owners_max {
            self.dead_owners.pop_first();
        }
        let first = RequestId { owner, seq: 0 };
        let last = RequestId { owner, seq: u64::MAX };
        let places: Vec<_> = self.requests.range(first..=last).map(|(request, place)| (*request, *place)).collect();
        // All goes before others are served, so that nothing of it is granted to the dead owner, or asked back of it.
        let mut pools = BTreeSet::new();
        for (request, place) in places {
            pools.extend(match place {
                Place::Waiting { pool } => {
                    self.pool_mut(pool).expect("NODE-2: it waits there").forget(Claim::Lease(request));
                    self.finish(request);
                    Some(pool)
                }
                Place::Granted { lease } => self.drop_lease(lease),
            });
        }
        pools.into_iter().for_each(|pool| self.serve_after_return(pool, out));
        self.finished.remove(&owner);
    }

    /// Gives a pool's free resources to those who wait for them, and asks revocable leases back where that helps.
    fn serve(&mut self, key: Option<BundleId>, out: &mut Out<Action>) {
        while let Some((waiting, grant)) = self.pool_mut(key).and_then(Pool::next_firm) {
            self.settle(key, waiting, grant, Hold::Firm, out);
        }
        let Some(pool) = self.pool_mut(key) else { return };
        let mut asked = Vec::new();
        let will_be_served = pool.reclaim(&mut asked);
        for lease in asked {
            out.push(Action::Reclaim { request: pool.leases[&lease].request, lease });
        }
        if will_be_served {
            return;
        }
        while let Some((waiting, grant)) = self.pool_mut(key).and_then(Pool::next_revocable) {
            self.settle(key, waiting, grant, Hold::Revocable, out);
        }
        let Some(pool) = self.pool_mut(key) else { return };
        let mut asked = Vec::new();
        pool.share(&mut asked);
        for lease in asked {
            out.push(Action::Reclaim { request: pool.leases[&lease].request, lease });
        }
    }

    fn settle(&mut self, key: Option<BundleId>, served: Waiting, grant: Grant, hold: Hold, out: &mut Out<Action>) {
        match served.claim {
            Claim::Lease(request) => self.grant_lease(key, request, Lease::new(request, grant, hold), out),
            Claim::Bundle(bundle, attempt) => {
                let known = self.bundles.get_mut(&bundle).expect("NODE-3: a waiting bundle is known");
                known.phase = Phase::Prepared { grant };
                out.push(Action::Prepared { bundle, attempt });
            }
            Claim::Cpus(lease) => {
                let pool = self.pool_mut(key).expect("NODE-2: it waited there");
                let held = pool.leases.get_mut(&lease).expect("NODE-2: it waited for its CPUs");
                held.grant.join_cpus(grant);
                held.cpus = Cpus::Held;
                let (owner, grant) = (held.request.owner, held.grant.clone());
                pool.note(lease);
                out.push(Action::CpusBack { owner, lease, grant });
            }
        }
    }

    fn grant_lease(&mut self, key: Option<BundleId>, request: RequestId, lease: Lease, out: &mut Out<Action>) {
        let id = LeaseId { node: self.id, seq: self.next_lease };
        self.next_lease += 1;
        out.push(Action::Granted { request, lease: id, grant: lease.grant.clone() });
        self.requests.insert(request, Place::Granted { lease: id });
        self.homes.insert(id, key);
        let pool = self.pool_mut(key).expect("it was served there");
        pool.leases.insert(id, lease);
        pool.note(id);
    }

    /// Notes that a request is over.
    fn finish(&mut self, request: RequestId) {
        self.requests.remove(&request);
        if !self.dead_owners.contains(&request.owner) {
            let tombstones_max = self.limits.node_tombstones_max;
            self.finished.entry(request.owner).or_default().insert(request.seq, tombstones_max);
        }
    }

    fn home_of(&mut self, lease: LeaseId) -> Option<(Option<BundleId>, &mut Pool)> {
        let Some(home) = self.homes.get(&lease).copied() else {
            self.counters.unknown_leases += 1;
            return None;
        };
        Some((home, self.pool_mut(home)?))
    }

    fn pool(&self, key: Option<BundleId>) -> Option<&Pool> {
        match key {
            None => Some(&self.own),
            Some(bundle) => self.bundles.get(&bundle)?.phase.pool(),
        }
    }

    fn pool_mut(&mut self, key: Option<BundleId>) -> Option<&mut Pool> {
        match key {
            None => Some(&mut self.own),
            Some(bundle) => self.bundles.get_mut(&bundle)?.phase.pool_mut(),
        }
    }
}

impl Lease {
    fn new(request: RequestId, grant: Grant, hold: Hold) -> Lease {
        Lease { request, grant, hold, cpus: Cpus::Held }
    }
}

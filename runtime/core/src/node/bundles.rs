//! Bundles of placement groups on a node: two phases, so that a group is committed on all its nodes or on none (G1).

use alloc::vec::Vec;

use super::pool::{Claim, Pool};
use super::{Action, Hold, Node, Refusal};
use crate::ids::{Attempt, BundleId};
use crate::out::Out;
use crate::resources::{Capacity, Demand, Grant, Ledger};

/// A bundle that the node knows.
#[derive(Debug)]
pub(super) struct Bundle {
    pub(super) attempt: Attempt,
    pub(super) phase: Phase,
}

/// How far a bundle is. Only a committed one grants leases.
///
/// ```text
///   PrepareBundle --> Waiting -- fits --> Prepared -- CommitBundle --> Committed
///                        |                   |                             | ReturnBundle
///                        | ReturnBundle      | ReturnBundle                v
///                        '-----> gone <------'<--- the last lease --- Ending
/// ```
#[derive(Debug)]
pub(super) enum Phase {
    Waiting,
    Prepared { grant: Grant },
    Committed { grant: Grant, pool: Pool },
    Ending { grant: Grant, pool: Pool },
}

impl Phase {
    /// What the bundle holds of the node's own pool.
    pub(super) fn grant(&self) -> Option<&Grant> {
        match self {
            Phase::Waiting => None,
            Phase::Prepared { grant } | Phase::Committed { grant, .. } | Phase::Ending { grant, .. } => Some(grant),
        }
    }

    /// The bundle's own pool.
    pub(super) fn pool(&self) -> Option<&Pool> {
        match self {
            Phase::Waiting | Phase::Prepared { .. } => None,
            Phase::Committed { pool, .. } | Phase::Ending { pool, .. } => Some(pool),
        }
    }

    pub(super) fn pool_mut(&mut self) -> Option<&mut Pool> {
        match self {
            Phase::Waiting | Phase::Prepared { .. } => None,
            Phase::Committed { pool, .. } | Phase::Ending { pool, .. } => Some(pool),
        }
    }
}

impl Node {
    pub(super) fn prepare_bundle(&mut self, bundle: BundleId, attempt: Attempt, demand: Demand, out: &mut Out<Action>) {
        if self.returned.get(&bundle).is_some_and(|returned| *returned >= attempt) {
            self.counters.stale += 1;
            return;
        }
        if let Some(known) = self.bundles.get(&bundle) {
            return self.prepare_again(bundle, known.attempt, attempt, out);
        }
        if let Err(infeasible) = self.own.ledger.feasible_ever(&demand) {
            let refusal = Refusal::Infeasible(infeasible);
            return out.push(Action::PrepareRefused { bundle, attempt, refusal });
        }
        if self.is_full(false) {
            return out.push(Action::PrepareRefused { bundle, attempt, refusal: Refusal::QueueFull });
        }
        self.bundles.insert(bundle, Bundle { attempt, phase: Phase::Waiting });
        self.own.wait(Claim::Bundle(bundle, attempt), demand, false);
        self.serve(None, out);
    }

    /// A bundle is known already: a duplicate of its own attempt is answered again. A later attempt finds an earlier one
    /// only where it overtook the return of that; it is refused and will be tried again.
    fn prepare_again(&mut self, bundle: BundleId, known: Attempt, attempt: Attempt, out: &mut Out<Action>) {
        self.counters.duplicates += 1;
        if attempt > known {
            return out.push(Action::PrepareRefused { bundle, attempt, refusal: Refusal::BundleGone(bundle) });
        }
        let is_prepared = matches!(self.bundles[&bundle].phase, Phase::Prepared { .. } | Phase::Committed { .. });
        if attempt == known && is_prepared {
            out.push(Action::Prepared { bundle, attempt });
        }
    }

    pub(super) fn commit_bundle(&mut self, bundle: BundleId, attempt: Attempt, out: &mut Out<Action>) {
        let Some(known) = self.bundles.get_mut(&bundle).filter(|known| known.attempt == attempt) else {
            self.counters.stale += 1;
            return;
        };
        match core::mem::replace(&mut known.phase, Phase::Waiting) {
            Phase::Prepared { grant } => {
                let capacity = Capacity::of_grant(self.own.ledger.capacity(), &grant);
                let pool = Pool::new(Ledger::new(capacity), self.limits.overtakes_max);
                known.phase = Phase::Committed { grant, pool };
                out.push(Action::Committed { bundle, attempt });
            }
            phase @ Phase::Committed { .. } => {
                self.counters.duplicates += 1;
                known.phase = phase;
                out.push(Action::Committed { bundle, attempt });
            }
            phase @ (Phase::Waiting | Phase::Ending { .. }) => {
                self.counters.stale += 1;
                known.phase = phase;
            }
        }
    }

    pub(super) fn return_bundle(&mut self, bundle: BundleId, attempt: Attempt, out: &mut Out<Action>) {
        let Some(known) = self.bundles.get_mut(&bundle) else {
            self.note_returned(bundle, attempt);
            return out.push(Action::BundleReturned { bundle, attempt });
        };
        if known.attempt > attempt {
            self.counters.stale += 1;
            return;
        }
        let ended = core::mem::replace(&mut known.attempt, attempt);
        match core::mem::replace(&mut known.phase, Phase::Waiting) {
            Phase::Waiting => self.own.forget(Claim::Bundle(bundle, ended)),
            phase @ Phase::Prepared { .. } => known.phase = phase,
            Phase::Committed { grant, pool } => {
                known.phase = Phase::Ending { grant, pool };
                self.ask_all_back(bundle, out);
            }
            phase @ Phase::Ending { .. } => known.phase = phase,
        }
        self.finish_bundle(bundle, out);
    }

    /// Ends a bundle for good once no lease is left in it.
    pub(super) fn finish_bundle(&mut self, bundle: BundleId, out: &mut Out<Action>) {
        let Some(known) = self.bundles.get(&bundle) else { return };
        if known.phase.pool().is_some_and(|pool| !pool.leases.is_empty()) {
            return;
        }
        let attempt = known.attempt;
        if let Some(grant) = known.phase.grant() {
            self.own.ledger.release(grant);
        }
        self.bundles.remove(&bundle);
        self.note_returned(bundle, attempt);
        out.push(Action::BundleReturned { bundle, attempt });
        self.serve(None, out);
    }

    /// Refuses all who wait for a bundle and asks for all its leases. Leases that wait for their CPUs keep waiting: with
    /// them they reach the task boundary.
    fn ask_all_back(&mut self, bundle: BundleId, out: &mut Out<Action>) {
        let pool = self.bundles.get_mut(&bundle).and_then(|known| known.phase.pool_mut());
        let pool = pool.expect("only committed bundles are asked");
        let (cpus, rest): (Vec<_>, Vec<_>) =
            pool.firm.drain(..).chain(pool.revocable.drain(..)).partition(|w| matches!(w.claim, Claim::Cpus(_)));
        pool.firm.extend(cpus);
        for (lease, held) in &mut pool.leases {
            if held.hold != Hold::Reclaiming {
                held.hold = Hold::Reclaiming;
                out.push(Action::Reclaim { request: held.request, lease: *lease });
            }
        }
        pool.leases.keys().copied().collect::<Vec<_>>().into_iter().for_each(|lease| pool.note(lease));
        for waiting in rest {
            if let Claim::Lease(request) = waiting.claim {
                self.finish(request);
                out.push(Action::Refused { request, refusal: Refusal::BundleGone(bundle) });
            }
        }
    }

    /// Remembers that a bundle ended, for a prepare that comes late.
    fn note_returned(&mut self, bundle: BundleId, attempt: Attempt) {
        let last = self.returned.entry(bundle).or_insert(attempt);
        *last = (*last).max(attempt);
        while self.returned.len() > self.limits.node_tombstones_max {
            self.returned.pop_first();
        }
    }
}

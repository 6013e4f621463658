//! The invariants of a node.

use alloc::vec::Vec;

use super::bundles::Phase;
use super::pool::{Claim, Cpus, Pool};
use super::{Node, Place};
use crate::ids::BundleId;
use crate::resources::{Capacity, Grant};

impl Node {
    /// Asserts the invariants that [`Node`] lists. Linear in the node's state.
    ///
    /// # Panics
    /// Where one doesn't hold, with its id.
    pub fn check(&self) {
        let held: Vec<&Grant> = self.bundles.values().filter_map(|bundle| bundle.phase.grant()).collect();
        self.own.check(&held);
        self.check_pool(None, &self.own);
        for (id, bundle) in &self.bundles {
            if let (Some(grant), Some(pool)) = (bundle.phase.grant(), bundle.phase.pool()) {
                self.check_bundle(*id, grant, pool);
            }
            let waits = self.own.firm.iter().filter(|w| w.claim == Claim::Bundle(*id, bundle.attempt)).count();
            let should_wait = usize::from(matches!(bundle.phase, Phase::Waiting));
            assert_eq!(waits, should_wait, "NODE-3: bundle {id} waits {waits} times");
        }
        self.check_requests();
        self.check_bounds();
    }

    fn check_bundle(&self, id: BundleId, grant: &Grant, pool: &Pool) {
        let capacity = Capacity::of_grant(self.own.ledger.capacity(), grant);
        assert!(*pool.ledger.capacity() == capacity, "NODE-3: bundle {id} has other resources than it holds");
        pool.check(&[]);
        self.check_pool(Some(id), pool);
        let is_ending = matches!(self.bundles[&id].phase, Phase::Ending { .. });
        assert!(!is_ending || !pool.leases.is_empty(), "NODE-3: bundle {id} has ended and is still here");
    }

    /// Each who waits in or leases from a pool is known under it.
    fn check_pool(&self, key: Option<BundleId>, pool: &Pool) {
        for waiting in pool.firm.iter().chain(&pool.revocable) {
            match waiting.claim {
                Claim::Lease(request) => {
                    let place = self.requests.get(&request);
                    assert_eq!(place, Some(&Place::Waiting { pool: key }), "NODE-2: request {request}");
                }
                Claim::Bundle(bundle, _) => assert!(self.bundles.contains_key(&bundle), "NODE-3: bundle {bundle}"),
                Claim::Cpus(lease) => {
                    let is_retaking = matches!(pool.leases[&lease].cpus, Cpus::Retaking(_));
                    assert!(is_retaking, "NODE-2: lease {lease} waits for CPUs that it has");
                }
            }
        }
        for (id, lease) in &pool.leases {
            let place = self.requests.get(&lease.request);
            assert_eq!(place, Some(&Place::Granted { lease: *id }), "NODE-2: request {}", lease.request);
            assert_eq!(self.homes.get(id), Some(&key), "NODE-2: lease {id} is not at home");
            assert!(id.seq < self.next_lease, "NODE-2: lease {id} was not given yet");
        }
    }

    /// Each request that isn't over waits once or has a lease, and belongs to a live owner.
    fn check_requests(&self) {
        let pools = || [&self.own].into_iter().chain(self.bundles.values().filter_map(|bundle| bundle.phase.pool()));
        let is_lease = |claim| matches!(claim, Claim::Lease(_));
        let queued = pools().flat_map(|pool| pool.firm.iter().chain(&pool.revocable));
        let waiting = queued.filter(|waiting| is_lease(waiting.claim)).count();
        let leased: usize = pools().map(|pool| pool.leases.len()).sum();
        assert_eq!(waiting + leased, self.requests.len(), "NODE-2: a request waits twice, or not at all");
        assert_eq!(leased, self.homes.len(), "NODE-2: a lease has a home and isn't there");
        for request in self.requests.keys() {
            assert!(!self.dead_owners.contains(&request.owner), "NODE-5: {request} is of a dead owner");
            let is_finished = self.finished.get(&request.owner).is_some_and(|f| f.contains(request.seq));
            let below_floor =
                self.finished.get(&request.owner).is_some_and(|f| f.len() >= self.limits.node_tombstones_max);
            assert!(!is_finished || below_floor, "NODE-2: {request} is over and alive");
        }
    }

    fn check_bounds(&self) {
        let cpus = self.homes.len();
        assert!(self.waiting() <= 2 * self.limits.node_waiting_max + cpus, "NODE-6: too many wait");
        assert!(self.returned.len() <= self.limits.node_tombstones_max, "NODE-6: too many bundles remembered");
        assert!(self.dead_owners.len() <= self.limits.dead_owners_max, "NODE-6: too many dead owners remembered");
        for (owner, finished) in &self.finished {
            assert!(
                finished.len() <= self.limits.node_tombstones_max,
                "NODE-6: too many requests of {owner} remembered"
            );
        }
    }
}

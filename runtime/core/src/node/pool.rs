//! One pool of resources: who holds leases on it, and who waits.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use crate::ids::{Attempt, BundleId, LeaseId, OwnerId, RequestId};
use crate::resources::{Demand, Grant, Ledger};

/// Who waits, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// A request for a lease.
    Lease(RequestId),
    /// The first phase of a bundle; only on the node's own pool.
    Bundle(BundleId, Attempt),
    /// A lease that lent its CPUs and wants them back.
    Cpus(LeaseId),
}

/// A place in the queue.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) claim: Claim,
    pub(super) demand: Demand,
    /// How many that came later were served before it.
    pub(super) overtaken: u32,
}

impl Waiting {
    /// Who asks for a lease; nobody's are the rest.
    fn owner(&self) -> OwnerId {
        match self.claim {
            Claim::Lease(request) => request.owner,
            Claim::Bundle(..) | Claim::Cpus(_) => OwnerId::CONTROLLER,
        }
    }

    /// Whether it will hold what it gets for as long as it likes: it must not get CPUs that are only lent.
    fn is_permanent(&self) -> bool {
        match self.claim {
            Claim::Lease(request) => request.owner == OwnerId::CONTROLLER,
            Claim::Bundle(..) => true,
            Claim::Cpus(_) => false,
        }
    }
}

/// A lease while it lives.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) request: RequestId,
    pub(super) grant: Grant,
    pub(super) hold: Hold,
    pub(super) cpus: Cpus,
}

/// How firmly a lease is held.
///
/// ```text
///   Firm -----------.
///                    >-- the bundle ends, or a firm waiter needs a revocable one --> Reclaiming -- ReturnLease --> gone
///   Revocable ------'
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    Firm,
    Revocable,
    Reclaiming,
}

/// Where a lease's CPUs are.
///
/// ```text
///   Held -- LendCpus --> Lent -- RetakeCpus --> Retaking -- CPUs are free --> Held
///                         ^                        |
///                         +------- LendCpus -------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cpus {
    Held,
    Lent(Demand),
    Retaking(Demand),
}

/// A ledger with its leases and its queues: the node's own, or that of a committed bundle.
///
/// The rule of the queue: first come, first served, but whoever fits now may overtake those who don't. A waiter that was
/// overtaken `overtakes_max` times *reserves*: what it needs of what is free is kept for it, and only what is left beyond
/// goes to later ones. So nobody starves, and a request that waits for a GPU does not stop those that want CPUs only.
/// Revocable requests get what no firm waiter can use, even with all revocable leases given back; whoever holds the fewest
/// revocable leases comes first, and who holds two more than one who waits gives one back.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub(super) ledger: Ledger,
    pub(super) leases: BTreeMap<LeaseId, Lease>,
    pub(super) firm: VecDeque<Waiting>,
    pub(super) revocable: VecDeque<Waiting>,
    /// Leases that aren't firm, and leases whose CPUs are away: few among many.
    soft: BTreeSet<LeaseId>,
    away: BTreeSet<LeaseId>,
    overtakes_max: u32,
}

impl Pool {
    pub(super) fn new(ledger: Ledger, overtakes_max: u32) -> Pool {
        Pool {
            ledger,
            leases: BTreeMap::new(),
            firm: VecDeque::new(),
            revocable: VecDeque::new(),
            soft: BTreeSet::new(),
            away: BTreeSet::new(),
            overtakes_max,
        }
    }

    /// A lease came, went, or changed: keeps the sets of the few in step.
    pub(super) fn note(&mut self, id: LeaseId) {
        let lease = self.leases.get(&id);
        let (is_soft, is_away) =
            lease.map_or((false, false), |lease| (lease.hold != Hold::Firm, lease.cpus != Cpus::Held));
        set_member(&mut self.soft, id, is_soft);
        set_member(&mut self.away, id, is_away);
    }

    pub(super) fn wait(&mut self, claim: Claim, demand: Demand, revocable: bool) {
        let queue = if revocable { &mut self.revocable } else { &mut self.firm };
        queue.push_back(Waiting { claim, demand, overtaken: 0 });
    }

    /// Queues a lease that wants its CPUs back before all others, and reserves for it at once.
    pub(super) fn wait_for_cpus(&mut self, lease: LeaseId, demand: Demand) {
        self.firm.push_front(Waiting { claim: Claim::Cpus(lease), demand, overtaken: u32::MAX });
    }

    pub(super) fn forget(&mut self, claim: Claim) {
        self.firm.retain(|waiting| waiting.claim != claim);
        self.revocable.retain(|waiting| waiting.claim != claim);
    }

    /// The next firm waiter to be served, with what it gets.
    pub(super) fn next_firm(&mut self) -> Option<(Waiting, Grant)> {
        let at = self.first_that_fits()?;
        let waiting = self.firm.remove(at).expect("it was just found");
        for earlier in self.firm.iter_mut().take(at) {
            earlier.overtaken = earlier.overtaken.saturating_add(1);
        }
        let grant = self.ledger.take(&waiting.demand).expect("it was found to fit");
        Some((waiting, grant))
    }

    /// The next revocable waiter to be served. Only for when [`Pool::reclaim`] has said that no firm waiter is about to
    /// be served.
    pub(super) fn next_revocable(&mut self) -> Option<(Waiting, Grant)> {
        let held = self.revocable_by_owner();
        let fitting = self.revocable.iter().enumerate().filter(|(_, waiting)| self.ledger.fits(&waiting.demand));
        let (at, _) = fitting.min_by_key(|(_, waiting)| held.get(&waiting.owner()).copied().unwrap_or(0))?;
        let waiting = self.revocable.remove(at).expect("it was just found");
        let grant = self.ledger.take(&waiting.demand).expect("it was found to fit");
        Some((waiting, grant))
    }

    /// Marks the revocable leases that firm waiters need back, newest first, and appends them to `asked`. Returns whether
    /// some firm waiter will be served by leases that were asked back, now or before.
    pub(super) fn reclaim(&mut self, asked: &mut Vec<LeaseId>) -> bool {
        if self.firm.is_empty() || self.soft.is_empty() {
            return false;
        }
        let mut coming = self.ledger.clone();
        let mut spare = Vec::new();
        for id in &self.soft {
            let lease = &self.leases[id];
            match lease.hold {
                Hold::Firm => {}
                Hold::Revocable => spare.push(*id),
                Hold::Reclaiming => coming.release(&lease.grant),
            }
        }
        let mut most = coming.clone();
        spare.iter().for_each(|lease| most.release(&self.leases[lease].grant));
        let mut will_be_served = false;
        let mut reserved = Demand::nothing();
        for at in 0..self.firm.len() {
            if !self.fits(&self.firm[at], &most, &reserved) {
                self.reserve(&self.firm[at], &mut reserved);
                continue;
            }
            while !self.fits(&self.firm[at], &coming, &reserved) {
                let lease = spare.pop().expect("with all of them it fits");
                coming.release(&self.leases[&lease].grant);
                asked.push(lease);
            }
            coming.take(&self.firm[at].demand).expect("it was found to fit");
            most = coming.clone();
            spare.iter().for_each(|lease| most.release(&self.leases[lease].grant));
            will_be_served = true;
        }
        for lease in asked {
            self.leases.get_mut(lease).expect("it was just found").hold = Hold::Reclaiming;
        }
        will_be_served
    }

    /// Marks the revocable leases, newest first, that are to go from owners that hold many to owners that wait with fewer, and
    /// appends them to `asked`. Only for when no firm waiter is about to be served.
    pub(super) fn share(&mut self, asked: &mut Vec<LeaseId>) {
        if self.revocable.is_empty() || self.soft.is_empty() {
            return;
        }
        let mut held = self.revocable_by_owner();
        let mut spare: Vec<LeaseId> = self.revocable_leases().map(|(id, _)| id).collect();
        let mut coming = self.soft.len() - spare.len();
        let mut wanted = BTreeMap::<OwnerId, usize>::new();
        self.revocable.iter().for_each(|waiting| *wanted.entry(waiting.owner()).or_default() += 1);
        let count = |held: &BTreeMap<OwnerId, usize>, owner: OwnerId| held.get(&owner).copied().unwrap_or(0);
        let owner_of = |id: LeaseId| self.leases[&id].request.owner;
        while let Some(poorest) = wanted.keys().copied().min_by_key(|owner| count(&held, *owner)) {
            if coming > 0 {
                coming -= 1;
            } else {
                let richest = (0..spare.len()).max_by_key(|at| count(&held, owner_of(spare[*at])));
                let Some(at) = richest else { break };
                let owner = owner_of(spare[at]);
                if count(&held, owner) < count(&held, poorest) + 2 {
                    break;
                }
                asked.push(spare.remove(at));
                *held.entry(owner).or_default() -= 1;
            }
            *held.entry(poorest).or_default() += 1;
            let left = wanted.get_mut(&poorest).expect("it was just found");
            *left -= 1;
            if *left == 0 {
                wanted.remove(&poorest);
            }
        }
        for lease in asked {
            self.leases.get_mut(lease).expect("it was just found").hold = Hold::Reclaiming;
        }
    }

    /// How many revocable leases each owner holds, that aren't asked back.
    fn revocable_by_owner(&self) -> BTreeMap<OwnerId, usize> {
        let mut held = BTreeMap::new();
        self.revocable_leases().for_each(|(_, owner)| *held.entry(owner).or_default() += 1);
        held
    }

    /// The revocable leases that aren't asked back, and who holds them.
    fn revocable_leases(&self) -> impl Iterator<Item = (LeaseId, OwnerId)> {
        let soft = self.soft.iter().map(|id| (*id, &self.leases[id]));
        soft.filter(|(_, lease)| lease.hold == Hold::Revocable).map(|(id, lease)| (id, lease.request.owner))
    }

    pub(super) fn waiting(&self) -> usize {
        self.firm.len() + self.revocable.len()
    }

    /// Asserts that the ledger is what the leases and `others` (grants held by bundles) leave (R1, R3), and that nobody
    /// waits who could be served.
    pub(super) fn check(&self, others: &[&Grant]) {
        self.ledger.check();
        let mut all = self.ledger.clone();
        self.leases.values().for_each(|lease| all.release(&lease.grant));
        others.iter().for_each(|grant| all.release(grant));
        assert!(all.is_unused(), "NODE-1: resources are missing: {all:?}");
        self.check_sets();
        assert!(self.first_that_fits().is_none(), "NODE-4: a firm waiter could be served");
        let mut asked = Vec::new();
        let mut after = self.clone();
        let will_be_served = after.reclaim(&mut asked);
        assert!(asked.is_empty(), "NODE-4: {asked:?} should have been asked back");
        if !will_be_served {
            assert!(after.next_revocable().is_none(), "NODE-4: a revocable waiter could be served");
            after.share(&mut asked);
            assert!(asked.is_empty(), "NODE-4: {asked:?} should go to owners with fewer");
        }
    }

    fn check_sets(&self) {
        let soft = self.leases.iter().filter(|(_, lease)| lease.hold != Hold::Firm).map(|(id, _)| id);
        assert!(soft.eq(&self.soft), "NODE-1: the set of leases that aren't firm is wrong");
        let away = self.leases.iter().filter(|(_, lease)| lease.cpus != Cpus::Held).map(|(id, _)| id);
        assert!(away.eq(&self.away), "NODE-1: the set of leases whose CPUs are away is wrong");
    }

    fn first_that_fits(&self) -> Option<usize> {
        let mut reserved = Demand::nothing();
        for (at, waiting) in self.firm.iter().enumerate() {
            if self.fits(waiting, &self.ledger, &reserved) {
                return Some(at);
            }
            self.reserve(waiting, &mut reserved);
        }
        None
    }

    fn fits(&self, waiting: &Waiting, ledger: &Ledger, reserved: &Demand) -> bool {
        if !waiting.is_permanent() {
            return ledger.fits_beside(&waiting.demand, reserved);
        }
        let mut reserved = reserved.clone();
        self.lent().for_each(|demand| reserved.add(demand));
        ledger.fits_beside(&waiting.demand, &reserved)
    }

    fn reserve(&self, waiting: &Waiting, reserved: &mut Demand) {
        if waiting.overtaken >= self.overtakes_max {
            reserved.add(&waiting.demand);
        }
    }

    /// CPUs that leases have lent and will want back.
    fn lent(&self) -> impl Iterator<Item = &Demand> {
        self.away.iter().filter_map(|id| match &self.leases[id].cpus {
            Cpus::Held => None,
            Cpus::Lent(demand) | Cpus::Retaking(demand) => Some(demand),
        })
    }
}

fn set_member(set: &mut BTreeSet<LeaseId>, id: LeaseId, is_member: bool) {
    if is_member {
        set.insert(id);
    } else {
        set.remove(&id);
    }
}

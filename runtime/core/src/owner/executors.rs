//! The executor threads of the fast path, each on a revocable lease of one local CPU.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::{Action, Owner, Purpose, Wake};
use crate::ids::{LeaseId, RequestId};
use crate::node::Refusal;
use crate::out::Out;
use crate::resources::{Amount, Demand, Grant};
use crate::time::Time;

/// The leases that executor threads run on, and the requests for more.
#[derive(Debug, Default)]
pub(super) struct Executors {
    pub(super) wanted: usize,
    pub(super) requests: BTreeSet<RequestId>,
    pub(super) seats: BTreeMap<LeaseId, Seat>,
    pub(super) refusals: u32,
}

/// One thread's lease: `(granted) --> Open -- asked back, or too many --> Closing -- ExecutorClosed --> (returned)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    Open,
    Closing,
}

impl Executors {
    pub(super) fn has(&self, lease: LeaseId) -> bool {
        self.seats.contains_key(&lease)
    }

    pub(super) fn forget_request(&mut self, request: RequestId) {
        self.requests.remove(&request);
    }

    /// The local node is dead.
    pub(super) fn forget_all(&mut self) {
        *self = Executors::default();
    }

    fn open(&self) -> impl DoubleEndedIterator<Item = LeaseId> {
        self.seats.iter().filter(|(_, seat)| **seat == Seat::Open).map(|(lease, _)| *lease)
    }
}

impl Owner {
    pub(super) fn set_executors(&mut self, count: u32, out: &mut Out<Action>) {
        self.executors.wanted = count as usize;
        self.balance_executors(out);
    }

    /// Asks for what is missing. What is too much is cancelled, or closed, newest first. A closing thread is asked for
    /// again only when it has closed, so that there are never more threads than wanted.
    pub(super) fn balance_executors(&mut self, out: &mut Out<Action>) {
        let executors = &mut self.executors;
        while executors.requests.len() + executors.open().count() > executors.wanted
            && let Some(request) = executors.requests.pop_last()
        {
            self.requests.remove(&request);
            out.push(Action::CancelRequest { node: self.local, request });
        }
        let spare = executors.open().count().saturating_sub(executors.wanted);
        let closing: Vec<LeaseId> = executors.open().rev().take(spare).collect();
        closing.into_iter().for_each(|lease| self.close_executor(lease, out));
        if !self.nodes.contains(&self.local) {
            return;
        }
        while self.executors.requests.len() + self.executors.seats.len() < self.executors.wanted {
            let request = self.new_request(Purpose::Executor);
            self.executors.requests.insert(request);
            let demand = Demand::cpus(Amount::ONE);
            out.push(Action::RequestLease { node: self.local, request, demand, bundle: None, revocable: true });
        }
    }

    pub(super) fn open_executor(&mut self, request: RequestId, lease: LeaseId, grant: Grant, out: &mut Out<Action>) {
        self.executors.requests.remove(&request);
        self.executors.refusals = 0;
        self.executors.seats.insert(lease, Seat::Open);
        out.push(Action::OpenExecutor { lease, grant });
        self.balance_executors(out);
    }

    pub(super) fn close_executor(&mut self, lease: LeaseId, out: &mut Out<Action>) {
        if self.executors.seats.insert(lease, Seat::Closing) == Some(Seat::Open) {
            out.push(Action::CloseExecutor { lease });
        }
    }

    pub(super) fn executor_closed(&mut self, lease: LeaseId, out: &mut Out<Action>) {
        if self.executors.seats.remove(&lease).is_none() {
            self.counters.unknown_leases += 1;
            return;
        }
        out.push(Action::ReturnLease { lease });
        self.balance_executors(out);
    }

    /// A node without the CPU is not asked again; one that is too busy is, later.
    pub(super) fn executor_refused(&mut self, now: Time, request: RequestId, refusal: &Refusal, out: &mut Out<Action>) {
        self.executors.requests.remove(&request);
        match refusal {
            Refusal::Infeasible(_) | Refusal::OwnerDead(_) => {
                self.executors.wanted = self.executors.requests.len() + self.executors.open().count();
            }
            Refusal::QueueFull | Refusal::BundleGone(_) | Refusal::Stale => {
                self.executors.refusals += 1;
                let wait = self.limits.request_backoff.wait(self.executors.refusals, u64::from(self.id.0));
                self.set_timer(now + wait, Wake::Executors, out);
            }
        }
    }
}

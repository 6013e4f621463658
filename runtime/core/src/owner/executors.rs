//! The executor threads of the fast path, each on a revocable lease of one CPU of its node.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::{Action, Owner, Purpose, Wake};
use crate::ids::{LeaseId, NodeId, RequestId};
use crate::node::Refusal;
use crate::out::Out;
use crate::resources::{Amount, Demand, Grant};
use crate::time::Time;

/// The leases that executor threads run on, and the requests for more, by node.
pub(super) type Executors = BTreeMap<NodeId, Team>;

/// Those of one node.
#[derive(Debug, Default)]
pub(super) struct Team {
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

impl Team {
    fn open(&self) -> impl DoubleEndedIterator<Item = LeaseId> {
        self.seats.iter().filter(|(_, seat)| **seat == Seat::Open).map(|(lease, _)| *lease)
    }
}

impl Owner {
    pub(super) fn is_executors(&self, lease: LeaseId) -> bool {
        self.executors.get(&lease.node).is_some_and(|team| team.seats.contains_key(&lease))
    }

    pub(super) fn set_executors(&mut self, node: NodeId, count: u32, out: &mut Out<Action>) {
        if self.dead_nodes.contains(&node) {
            self.counters.stale += 1;
            return;
        }
        self.executors.entry(node).or_default().wanted = count as usize;
        self.balance_executors(node, out);
    }

    /// Asks for what is missing. What is too much is cancelled, or closed, newest first. A closing thread is asked for
    /// again only when it has closed, so that there are never more threads than wanted.
    pub(super) fn balance_executors(&mut self, node: NodeId, out: &mut Out<Action>) {
        let Some(team) = self.executors.get_mut(&node) else { return };
        while team.requests.len() + team.open().count() > team.wanted
            && let Some(request) = team.requests.pop_last()
        {
            self.requests.remove(&request);
            out.push(Action::CancelRequest { node, request });
        }
        let spare = team.open().count().saturating_sub(team.wanted);
        let closing: Vec<LeaseId> = team.open().rev().take(spare).collect();
        let missing = team.wanted.saturating_sub(team.requests.len() + team.seats.len());
        closing.into_iter().for_each(|lease| self.close_executor(lease, out));
        if self.nodes.contains(&node) {
            (0..missing).for_each(|_| self.request_executor(node, out));
        }
    }

    fn request_executor(&mut self, node: NodeId, out: &mut Out<Action>) {
        let request = self.new_request(Purpose::Executor(node));
        self.executors.entry(node).or_default().requests.insert(request);
        let demand = Demand::cpus(Amount::ONE);
        out.push(Action::RequestLease { node, request, demand, bundle: None, revocable: true });
    }

    pub(super) fn open_executor(&mut self, request: RequestId, lease: LeaseId, grant: Grant, out: &mut Out<Action>) {
        let team = self.executors.entry(lease.node).or_default();
        team.requests.remove(&request);
        team.refusals = 0;
        team.seats.insert(lease, Seat::Open);
        out.push(Action::OpenExecutor { lease, grant });
        self.balance_executors(lease.node, out);
    }

    pub(super) fn close_executor(&mut self, lease: LeaseId, out: &mut Out<Action>) {
        let Some(team) = self.executors.get_mut(&lease.node) else { return };
        if team.seats.insert(lease, Seat::Closing) == Some(Seat::Open) {
            out.push(Action::CloseExecutor { lease });
        }
    }

    pub(super) fn executor_closed(&mut self, lease: LeaseId, out: &mut Out<Action>) {
        let seat = self.executors.get_mut(&lease.node).and_then(|team| team.seats.remove(&lease));
        if seat.is_none() {
            self.counters.unknown_leases += 1;
            return;
        }
        out.push(Action::ReturnLease { lease });
        self.balance_executors(lease.node, out);
    }

    /// An executor's request is no more: its lease was asked back before it came.
    pub(super) fn forget_executor(&mut self, node: NodeId, request: RequestId) {
        if let Some(team) = self.executors.get_mut(&node) {
            team.requests.remove(&request);
        }
    }

    pub(super) fn drop_executors_on(&mut self, node: NodeId) {
        for request in self.executors.remove(&node).into_iter().flat_map(|team| team.requests) {
            self.requests.remove(&request);
        }
    }

    /// A node without the CPU is not asked again; one that is too busy is, later.
    pub(super) fn executor_refused(
        &mut self,
        now: Time,
        (node, request): (NodeId, RequestId),
        refusal: &Refusal,
        out: &mut Out<Action>,
    ) {
        let Some(team) = self.executors.get_mut(&node) else { return };
        team.requests.remove(&request);
        match refusal {
            Refusal::Infeasible(_) | Refusal::OwnerDead(_) => team.wanted = team.requests.len() + team.open().count(),
            Refusal::QueueFull | Refusal::BundleGone(_) | Refusal::Stale => {
                team.refusals += 1;
                let wait = self.limits.request_backoff.wait(team.refusals, u64::from(self.id.0));
                self.set_timer(now + wait, Wake::Executors(node), out);
            }
        }
    }
}

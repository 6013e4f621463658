//! Who belongs to the cluster, and who is dead: the failure detector, and the life of a node as the node sees it.

mod member;
mod protocol;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

pub use member::{Action as MemberAction, Event as MemberEvent, Member};
pub use protocol::{Action, Event, JoinRefusal, Peer};

use crate::ids::{NodeId, OwnerId, TimerToken};
use crate::limits::Limits;
use crate::out::Out;
use crate::resources::Capacity;
use crate::time::Time;

/// A node that is a member.
#[derive(Debug)]
struct Seat {
    peer: Peer,
    capacity: Capacity,
    /// Whether it has said that it knows its name; before that nobody may ask anything of it.
    is_up: bool,
    /// When it is dead, unless it is heard before.
    due: Time,
    owners: BTreeSet<OwnerId>,
}

/// The last life of a machine that joined, and its name while it lives.
#[derive(Debug)]
struct Machine {
    boot: u64,
    node: Option<NodeId>,
}

/// The members of a cluster; one of it stands beside the controller.
///
/// A node is dead when it was not heard for [`Limits::dead_after`], when it leaves, and when its machine joins in a later
/// life. A node ends itself [`Limits::fence_after`] after it *sent* the last heartbeat that was acknowledged
/// ([`Member`]), which is earlier than the other by the margin between the two: when a node is declared dead nothing of it
/// runs any more. Owners are dead with their node.
///
/// Where a node's own side has ended the connection, its process is most likely over, and need not be waited for that long:
/// it is dead [`Limits::closed_dead_after`] later, unless it is heard before. A process that lives has known of the end at
/// least as long, and ends itself after the shorter [`Limits::closed_fence_after`], so that the margin is there too.
///
/// A node is up, and asked for anything, from its first heartbeat on: what was sent to a name that its bearer doesn't know
/// yet would be lost.
///
/// When this machine itself was stopped for a while, what the nodes said meanwhile still waits to be read. A timer that
/// comes late is taken for that, and everybody gets the whole time anew.
///
/// Invariants, asserted by [`Members::check`]:
/// - MEM-1 (D1): every member is watched, and a timer is set while there are members.
/// - MEM-2 (D2): a machine has one live node at most, that of its last life.
/// - MEM-3 (Z1): a live owner is on a live node.
/// - MEM-4 (B1): tables are within [`Limits`].
#[derive(Debug)]
pub struct Members {
    limits: Limits,
    nodes: BTreeMap<NodeId, Seat>,
    machines: BTreeMap<u64, Machine>,
    owners: BTreeMap<OwnerId, NodeId>,
    dead_owners: BTreeSet<OwnerId>,
    /// Members by when they are dead.
    watch: BTreeSet<(Time, NodeId)>,
    timer: Option<(TimerToken, Time)>,
    next_node: u32,
    next_timer: u64,
}

impl Members {
    /// Nobody yet.
    pub fn new(limits: Limits) -> Members {
        Members {
            limits,
            nodes: BTreeMap::new(),
            machines: BTreeMap::new(),
            owners: BTreeMap::new(),
            dead_owners: BTreeSet::new(),
            watch: BTreeSet::new(),
            timer: None,
            next_node: 1,
            next_timer: 1,
        }
    }

    /// Nobody yet, after an earlier life of this machine: names are given from `next` on, and a life of one of these
    /// machines that is no later than the one with it is over. Of more than [`Limits::machines_max`] the first count.
    ///
    /// # Panics
    /// Where `next` is `n0`, which is nobody's name.
    pub fn after(limits: Limits, next: NodeId, lives: impl IntoIterator<Item = Peer>) -> Members {
        assert!(next.0 > 0, "names begin with n1");
        let lives = lives.into_iter().take(limits.machines_max);
        let machines = lives.map(|peer| (peer.machine, Machine { boot: peer.boot, node: None })).collect();
        Members { next_node: next.0, machines, ..Members::new(limits) }
    }

    /// Takes one event and appends what is to be done.
    pub fn handle(&mut self, now: Time, event: Event, out: &mut Out<Action>) {
        match event {
            Event::Join { peer, capacity } => self.join(now, peer, capacity, out),
            Event::Heartbeat { node, beat } => self.heartbeat(now, node, beat, out),
            Event::OwnerJoin { owner, node } => self.owner_join(owner, node, out),
            Event::OwnerClosed { owner } => self.owner_closed(owner, out),
            Event::Leave { node } => self.bury(node, out),
            Event::Closed { node } => self.closed(now, node),
            Event::Timer { token } => self.sweep(now, token, out),
        }
        self.watch_next(now, out);
    }

    /// Live nodes that are up, with what they have: what a new member is told.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Capacity)> {
        self.nodes.iter().filter(|(_, seat)| seat.is_up).map(|(node, seat)| (*node, &seat.capacity))
    }

    /// Whether a node is a member and up.
    pub fn is_member(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|seat| seat.is_up)
    }

    /// Whether a node was welcomed and is not dead.
    pub fn is_welcomed(&self, node: NodeId) -> bool {
        self.nodes.contains_key(&node)
    }

    /// All that were welcomed and are not dead: who must hear of deaths, also before they are up.
    pub fn welcomed(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.keys().copied()
    }

    /// The dead owners that are remembered: what a new owner is told, since they may still speak to it.
    pub fn dead_owners(&self) -> impl Iterator<Item = OwnerId> {
        self.dead_owners.iter().copied()
    }

    /// The node that a live owner belongs to.
    pub fn home(&self, owner: OwnerId) -> Option<NodeId> {
        self.owners.get(&owner).copied()
    }

    /// Live owners.
    pub fn owners(&self) -> impl Iterator<Item = OwnerId> {
        self.owners.keys().copied()
    }

    fn join(&mut self, now: Time, peer: Peer, capacity: Capacity, out: &mut Out<Action>) {
        let last = self.machines.get(&peer.machine).map(|machine| (machine.boot, machine.node));
        match last {
            Some((boot, Some(node))) if boot == peer.boot => return out.push(Action::Welcome { peer, node }),
            Some((boot, _)) if boot >= peer.boot => {
                return out.push(Action::Refuse { peer, why: JoinRefusal::LifeOver });
            }
            // The machine has started anew, so its former life is over, though nobody has said so yet.
            Some((_, Some(node))) => self.bury(node, out),
            Some((_, None)) | None => {}
        }
        let is_full = self.nodes.len() >= self.limits.nodes_max;
        if is_full || (last.is_none() && self.machines.len() >= self.limits.machines_max && !self.forget_machine()) {
            return out.push(Action::Refuse { peer, why: JoinRefusal::TooMany });
        }
        let node = NodeId(self.next_node);
        self.next_node += 1;
        self.machines.insert(peer.machine, Machine { boot: peer.boot, node: Some(node) });
        let due = now + self.limits.dead_after;
        self.nodes.insert(node, Seat { peer, capacity, is_up: false, due, owners: BTreeSet::new() });
        self.watch.insert((due, node));
        out.push(Action::Welcome { peer, node });
    }

    /// Forgets a machine without a live node, for one that is new.
    fn forget_machine(&mut self) -> bool {
        let gone = self.machines.iter().find(|(_, machine)| machine.node.is_none()).map(|(machine, _)| *machine);
        gone.is_some_and(|machine| self.machines.remove(&machine).is_some())
    }

    fn heartbeat(&mut self, now: Time, node: NodeId, beat: u64, out: &mut Out<Action>) {
        let Some(seat) = self.nodes.get_mut(&node) else { return out.push(Action::Fence { node }) };
        self.watch.remove(&(seat.due, node));
        seat.due = seat.due.max(now + self.limits.dead_after);
        self.watch.insert((seat.due, node));
        if !core::mem::replace(&mut seat.is_up, true) {
            out.push(Action::NodeUp { node, capacity: seat.capacity.clone() });
        }
        out.push(Action::Ack { node, beat });
    }

    /// A connection has ended at the node's side: it has little time to come back.
    fn closed(&mut self, now: Time, node: NodeId) {
        let Some(seat) = self.nodes.get_mut(&node) else { return };
        self.watch.remove(&(seat.due, node));
        seat.due = seat.due.min(now + self.limits.closed_dead_after);
        self.watch.insert((seat.due, node));
        // The timer that is set may come too late; one that is replaced says nothing when it comes.
        self.timer = self.timer.filter(|(_, at)| *at <= seat.due);
    }

    fn owner_join(&mut self, owner: OwnerId, node: NodeId, out: &mut Out<Action>) {
        if self.owners.contains_key(&owner) {
            return out.push(Action::OwnerWelcome { owner });
        }
        let Some(seat) = self.nodes.get_mut(&node).filter(|_| !self.dead_owners.contains(&owner)) else { return };
        seat.owners.insert(owner);
        self.owners.insert(owner, node);
        out.push(Action::OwnerWelcome { owner });
    }

    fn owner_closed(&mut self, owner: OwnerId, out: &mut Out<Action>) {
        if let Some(node) = self.owners.remove(&owner)
            && let Some(seat) = self.nodes.get_mut(&node)
        {
            seat.owners.remove(&owner);
            out.push(Action::OwnerDied { owner });
        }
        self.note_dead(owner);
    }

    /// Remembers a dead owner, for a join of it that comes late.
    fn note_dead(&mut self, owner: OwnerId) {
        self.dead_owners.insert(owner);
        while self.dead_owners.len() > self.limits.dead_owners_max {
            self.dead_owners.pop_first();
        }
    }

    fn bury(&mut self, node: NodeId, out: &mut Out<Action>) {
        let Some(seat) = self.nodes.remove(&node) else { return };
        self.watch.remove(&(seat.due, node));
        if let Some(machine) = self.machines.get_mut(&seat.peer.machine) {
            machine.node = None;
        }
        if seat.is_up {
            out.push(Action::NodeDied { node });
        }
        for owner in seat.owners {
            self.owners.remove(&owner);
            self.note_dead(owner);
            out.push(Action::OwnerDied { owner });
        }
    }

    /// Buries those who were silent for too long, unless this machine was.
    fn sweep(&mut self, now: Time, token: TimerToken, out: &mut Out<Action>) {
        let Some((_, due)) = self.timer.take_if(|(known, _)| *known == token) else { return };
        if now.since(due) > self.limits.heartbeat_every {
            let due = now + self.limits.dead_after;
            for (node, seat) in &mut self.nodes {
                self.watch.remove(&(seat.due, *node));
                seat.due = due;
                self.watch.insert((due, *node));
            }
        }
        let silent = self.watch.iter().take_while(|(due, _)| *due <= now);
        silent.map(|(_, node)| *node).collect::<Vec<_>>().into_iter().for_each(|node| self.bury(node, out));
    }

    /// Sets the timer for the member that is dead first. It comes at least every heartbeat, so that a late one says
    /// that this machine was stopped.
    fn watch_next(&mut self, now: Time, out: &mut Out<Action>) {
        if self.timer.is_some() {
            return;
        }
        if let Some((due, _)) = self.watch.first() {
            let at = (*due).min(now + self.limits.heartbeat_every);
            let token = TimerToken(self.next_timer);
            self.next_timer += 1;
            self.timer = Some((token, at));
            out.push(Action::SetTimer { at, token });
        }
    }

    /// Asserts the invariants that [`Members`] lists. Linear in the number of members, but for a logarithm.
    ///
    /// # Panics
    /// Where one doesn't hold, with its id.
    pub fn check(&self) {
        for (node, seat) in &self.nodes {
            assert!(self.watch.contains(&(seat.due, *node)), "MEM-1: {node} is not watched");
            let last = self.machines.get(&seat.peer.machine).map(|machine| (machine.boot, machine.node));
            assert_eq!(last, Some((seat.peer.boot, Some(*node))), "MEM-2: {node} is not its machine's last life");
            let lost = seat.owners.iter().find(|owner| self.owners.get(owner) != Some(node));
            assert_eq!(lost, None, "MEM-3: an owner of {node} is elsewhere");
        }
        assert_eq!(self.watch.len(), self.nodes.len(), "MEM-1: a dead node is watched");
        assert!(self.nodes.is_empty() || self.timer.is_some(), "MEM-1: nobody watches the watch");
        let homes: usize = self.nodes.values().map(|seat| seat.owners.len()).sum();
        assert_eq!(homes, self.owners.len(), "MEM-3: an owner is on no live node");
        assert!(self.nodes.len() <= self.limits.nodes_max, "MEM-4: too many nodes");
        assert!(self.machines.len() <= self.limits.machines_max, "MEM-4: too many machines");
        assert!(self.dead_owners.len() <= self.limits.dead_owners_max, "MEM-4: too many dead owners remembered");
        assert!(self.owners.keys().all(|owner| !self.dead_owners.contains(owner)), "MEM-3: a dead owner lives");
    }
}

//! What the command asks of the head, and the answers: rows for tables, and for programs.

use rayline_core::ids::{ActorId, GroupId, NodeId};
use rayline_core::resources::{Amount, Capacity, Demand, Ledger};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What somebody wants to know. Lists come in pages, each with what is behind the last row of the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// The nodes.
    Nodes {
        /// Those behind this one.
        after: Option<NodeId>,
    },
    /// Actors, those too that died not long ago.
    Actors {
        /// Those behind this one.
        after: Option<ActorId>,
    },
    /// Placement groups.
    Groups {
        /// Those behind this one.
        after: Option<GroupId>,
    },
    /// Demand that waits, and why.
    Waiting,
}

/// What the head says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Question::Nodes`].
    Nodes(Page<NodeRow, NodeId>),
    /// To [`Question::Actors`].
    Actors(Page<ActorRow, ActorId>),
    /// To [`Question::Groups`].
    Groups(Page<GroupRow, GroupId>),
    /// To [`Question::Waiting`], at most [`Page::ROWS_MAX`] rows.
    Waiting(Vec<WaitingRow>),
}

/// Some rows of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<R, K> {
    /// The rows.
    pub rows: Vec<R>,
    /// What to ask for next; `None` at the end.
    pub next: Option<K>,
}

/// Amounts of resources: what a node has, what is free of it, or what is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// CPUs.
    pub cpu: Units,
    /// GPUs.
    pub gpu: Units,
    /// Host memory in bytes.
    pub memory_bytes: u64,
    /// Resources of one's own, by name.
    pub named: BTreeMap<String, Units>,
}

/// An amount, written as a number of units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units(Amount);

/// A node, as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRow {
    /// Its name in this life: `n1`.
    pub node: String,
    /// Whether it lives.
    pub state: NodeState,
    /// Whether the head runs in it.
    pub is_head: bool,
    /// Its host's name.
    pub host: String,
    /// Its process on that host.
    pub pid: u32,
    /// Where it listens.
    pub address: String,
    /// What it has.
    pub total: Resources,
    /// What is used of it: leased, or set apart for bundles.
    pub used: Resources,
    /// Live leases.
    pub leases: u32,
}

/// Whether a node lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// It was welcomed, and has not said yet that it knows.
    Joining,
    /// It is a member.
    Alive,
    /// It was silent for too long, its process has ended, or its machine has begun another life.
    Dead,
    /// It was stopped.
    Left,
}

/// An actor, as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorRow {
    /// Its id: `a1.2`.
    pub actor: String,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// `pending`, `starting`, `alive`, `restarting` or `dead`.
    pub state: String,
    /// Where it lives.
    pub node: Option<String>,
    /// What it asks for.
    pub demand: Resources,
    /// Why it is dead.
    pub why: Option<String>,
}

/// A placement group, as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRow {
    /// Its id: `g1.2`.
    pub group: String,
    /// `pack`, `spread`, `strict-pack` or `strict-spread`.
    pub strategy: String,
    /// Whether all its bundles are set apart.
    pub is_ready: bool,
    /// How many bundles it has.
    pub bundle_count: u32,
    /// What each bundle asks for, the first [`Page::ROWS_MAX`].
    pub bundles: Vec<Resources>,
    /// The node of each bundle, where it is ready.
    pub nodes: Vec<String>,
}

/// Demand that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingRow {
    /// Who waits: leases on a node, an actor, a group.
    pub who: String,
    /// What each of them asks for.
    pub demand: Resources,
    /// How many wait with the same demand.
    pub count: u32,
    /// Why.
    pub why: String,
}

impl Page<(), ()> {
    /// Rows of a page, or fewer where they would not fit a frame.
    pub const ROWS_MAX: usize = 100;
}

impl<R, K: Copy> Page<R, K> {
    /// The first `rows_max` rows of a list, each with its key.
    pub(super) fn of(mut rows: impl Iterator<Item = (K, R)>, rows_max: usize) -> Page<R, K> {
        let mut page = Page { rows: Vec::new(), next: None };
        let mut last = None;
        for (key, row) in rows.by_ref().take(rows_max) {
            page.rows.push(row);
            last = Some(key);
        }
        page.next = last.filter(|_| rows.next().is_some());
        page
    }
}

impl Resources {
    /// All of a node.
    pub(super) fn of(capacity: &Capacity) -> Resources {
        let named = capacity.named().iter().map(|(name, amount)| (name.to_string(), Units(*amount)));
        Resources {
            cpu: Units(capacity.cpu()),
            gpu: Units(capacity.gpus().iter().fold(Amount::ZERO, |sum, gpu| sum + gpu.share)),
            memory_bytes: capacity.memory_bytes(),
            named: named.collect(),
        }
    }

    /// What is free of a node.
    pub(super) fn free_of(ledger: &Ledger) -> Resources {
        let free = |(name, _): &(std::sync::Arc<str>, Amount)| (name.to_string(), Units(ledger.free_named(name)));
        Resources {
            cpu: Units(ledger.free_cpu()),
            gpu: Units(ledger.free_gpus().iter().fold(Amount::ZERO, |sum, share| sum + *share)),
            memory_bytes: ledger.free_memory_bytes(),
            named: ledger.capacity().named().iter().map(free).collect(),
        }
    }

    /// What is asked for.
    pub(super) fn asked(demand: &Demand) -> Resources {
        let named = demand.named().iter().map(|(name, amount)| (name.to_string(), Units(*amount)));
        Resources {
            cpu: Units(demand.cpu()),
            gpu: Units(demand.gpu()),
            memory_bytes: demand.memory_bytes(),
            named: named.collect(),
        }
    }

    /// What is left without `free`.
    pub(super) fn without(&self, free: &Resources) -> Resources {
        let named = self.named.iter().map(|(name, units)| {
            let free = free.named.get(name).copied().unwrap_or_default();
            (name.clone(), units.without(free))
        });
        Resources {
            cpu: self.cpu.without(free.cpu),
            gpu: self.gpu.without(free.gpu),
            memory_bytes: self.memory_bytes.saturating_sub(free.memory_bytes),
            named: named.collect(),
        }
    }

    /// The sum of both.
    #[must_use]
    pub fn and(mut self, other: &Resources) -> Resources {
        self.cpu.0 = self.cpu.0 + other.cpu.0;
        self.gpu.0 = self.gpu.0 + other.gpu.0;
        self.memory_bytes = self.memory_bytes.saturating_add(other.memory_bytes);
        for (name, units) in &other.named {
            let sum = self.named.entry(name.clone()).or_default();
            sum.0 = sum.0 + units.0;
        }
        self
    }
}

impl Units {
    fn without(self, other: Units) -> Units {
        Units(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Units {
    /// As a number, which is exact: amounts have four digits after the point, and at most thirteen in all.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.parts() as f64 / Amount::ONE.parts() as f64)
    }
}

impl<'de> Deserialize<'de> for Units {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let units = f64::deserialize(deserializer)?;
        Amount::from_f64(units).map(Units).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            NodeState::Joining => "joining",
            NodeState::Alive => "alive",
            NodeState::Dead => "dead",
            NodeState::Left => "left",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_end_where_the_list_does() {
        let list = |n: u32| (0..n).map(|i| (i, i * 10));
        assert_eq!(Page::of(list(5), 5).next, None);
        let page = Page::of(list(6), 5);
        assert_eq!((page.rows.len(), page.next), (5, Some(4)));
        assert_eq!(Page::of(list(0), 5).rows, Vec::<u32>::new());
    }

    #[test]
    fn amounts_are_numbers_and_come_back_the_same() {
        let capacity = Capacity::cpus(Amount::from_f64(2.3).unwrap()).with_named("license", Amount::from_parts(1));
        let resources = Resources::of(&capacity);
        let json = serde_json::to_string(&resources).unwrap();
        assert_eq!(json, r#"{"cpu":2.3,"gpu":0.0,"memory_bytes":0,"named":{"license":0.0001}}"#);
        assert_eq!(serde_json::from_str::<Resources>(&json).unwrap(), resources);
        assert_eq!(resources.without(&Resources::free_of(&Ledger::new(capacity))).cpu, Units::default());
    }
}

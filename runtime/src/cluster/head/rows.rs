//! What the head shows of itself: rows of the control surface's lists.

use super::{Head, NodeState, Seen};
use crate::cluster::control::{Page, WAITING_MAX, pb};
use crate::cluster::post::HEAD;
use crate::cluster::status::Resources;
use rayline_core::controller::{ActorSpec, ActorState, Strategy};
use rayline_core::ids::{ActorId, GroupId, NodeId};
use rayline_core::resources::Demand;
use std::collections::BTreeMap;

/// Bundles of a group that are shown.
const BUNDLES_MAX: usize = 100;

impl Head {
    /// Nodes after `after`, dead ones too that died not long ago.
    pub(in crate::cluster) fn node_rows(&self, after: Option<NodeId>, rows_max: usize) -> Page<pb::Node> {
        let alive = self.nodes.iter().map(|(node, seen)| {
            let state = if self.members.is_member(*node) { NodeState::Alive } else { NodeState::Joining };
            (*node, (seen, state))
        });
        let gone = self.gone.iter().map(|(node, seen, state)| (*node, (seen, *state)));
        let all: BTreeMap<NodeId, (&Seen, NodeState)> = alive.chain(gone).collect();
        let rows = all.into_iter().filter(|(node, _)| after.is_none_or(|after| *node > after));
        Page::of(rows.map(|(node, (seen, state))| (node, seen.row(node, state))), rows_max)
    }

    /// Actors after `after`, those too that died not long ago.
    pub(in crate::cluster) fn actor_rows(&self, after: Option<ActorId>, rows_max: usize) -> Page<pb::Actor> {
        let actors = self.controller.actors(after);
        Page::of(actors.map(|(id, spec, state)| (id, actor_row(id, spec, state))), rows_max)
    }

    /// Groups after `after`.
    pub(in crate::cluster) fn group_rows(&self, after: Option<GroupId>, rows_max: usize) -> Page<pb::Group> {
        let groups = self.controller.groups(after);
        let rows =
            groups.map(|(id, strategy, bundles, nodes)| (id, group_row(id, strategy, bundles, nodes.as_deref())));
        Page::of(rows, rows_max)
    }

    /// Demand that waits.
    pub(in crate::cluster) fn waiting_rows(&self) -> Vec<pb::Waiting> {
        let leases = self.nodes.iter().flat_map(|(node, seen)| {
            let waiting = seen.report.iter().flat_map(|report| &report.waiting);
            waiting.map(move |(demand, count)| {
                let why = format!("{node} has too little free");
                waiting_row(format!("leases on {node}"), &Resources::asked(demand), *count, why)
            })
        });
        let actors = self.controller.actors(None).filter_map(|(id, spec, state)| {
            let is_waiting = matches!(state, ActorState::Pending | ActorState::Restarting);
            let why = match spec.bundle {
                Some(bundle) => format!("for room in bundle {bundle}"),
                None => "for a node with room, or the pause after a failure".to_owned(),
            };
            is_waiting.then(|| waiting_row(format!("actor {id}"), &Resources::asked(&spec.demand), 1, why))
        });
        let groups = self.controller.groups(None).filter(|(.., nodes)| nodes.is_none()).map(|(id, _, bundles, _)| {
            let demand = bundles.iter().map(Resources::asked).fold(Resources::default(), |sum, one| sum.and(&one));
            let why = "for nodes that have room for all its bundles at once".to_owned();
            waiting_row(format!("group {id}"), &demand, 1, why)
        });
        leases.chain(groups).chain(actors).take(WAITING_MAX).collect()
    }
}

impl Seen {
    fn row(&self, node: NodeId, state: NodeState) -> pb::Node {
        let used = self.report.as_ref().map(|report| self.total.without(&report.free)).unwrap_or_default();
        pb::Node {
            node: node.to_string(),
            state: state.word().to_owned(),
            is_head: self.by == HEAD,
            host: self.place.host.clone(),
            pid: self.place.pid,
            address: self.place.address.to_string(),
            total: Some((&self.total).into()),
            used: Some((&used).into()),
            leases: self.report.as_ref().map_or(0, |report| report.leases),
        }
    }
}

impl NodeState {
    fn word(self) -> &'static str {
        match self {
            NodeState::Joining => "joining",
            NodeState::Alive => "alive",
            NodeState::Dead => "dead",
            NodeState::Left => "left",
        }
    }
}

impl From<&Resources> for pb::Resources {
    fn from(resources: &Resources) -> Self {
        pb::Resources {
            cpu: resources.cpu.as_f64(),
            gpu: resources.gpu.as_f64(),
            memory_bytes: resources.memory_bytes,
            named: resources.named.iter().map(|(name, units)| (name.clone(), units.as_f64())).collect(),
        }
    }
}

fn actor_row(id: ActorId, spec: &ActorSpec, state: ActorState) -> pb::Actor {
    let (state, node, why) = match state {
        ActorState::Pending => ("pending", None, None),
        ActorState::Starting => ("starting", None, None),
        ActorState::Alive { node, .. } => ("alive", Some(node.to_string()), None),
        ActorState::Restarting => ("restarting", None, None),
        ActorState::Dead { cause } => ("dead", None, Some(cause.to_string())),
    };
    let demand = Some((&Resources::asked(&spec.demand)).into());
    pb::Actor { actor: id.to_string(), name: spec.name.clone(), state: state.to_owned(), node, demand, why }
}

fn group_row(id: GroupId, strategy: Strategy, bundles: &[Demand], nodes: Option<&[NodeId]>) -> pb::Group {
    let strategy = match strategy {
        Strategy::Pack => "pack",
        Strategy::Spread => "spread",
        Strategy::StrictPack => "strict-pack",
        Strategy::StrictSpread => "strict-spread",
    };
    pb::Group {
        group: id.to_string(),
        strategy: strategy.to_owned(),
        is_ready: nodes.is_some(),
        bundle_count: u32::try_from(bundles.len()).unwrap_or(u32::MAX),
        bundles: bundles.iter().take(BUNDLES_MAX).map(|demand| (&Resources::asked(demand)).into()).collect(),
        nodes: nodes.unwrap_or_default().iter().take(BUNDLES_MAX).map(NodeId::to_string).collect(),
    }
}

fn waiting_row(who: String, demand: &Resources, count: u32, why: String) -> pb::Waiting {
    pb::Waiting { who, demand: Some(demand.into()), count, why }
}

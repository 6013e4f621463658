//! Where the bundles of a group go: pure planning against what is free.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::protocol::{GroupRefusal, Strategy};
use crate::ids::NodeId;
use crate::resources::{Demand, Infeasible, Ledger};

/// The bundles of a group, with where those are that have a place already.
pub(super) struct Layout<'a> {
    pub(super) strategy: Strategy,
    pub(super) bundles: &'a [Demand],
    pub(super) fixed: &'a [Option<NodeId>],
}

/// A node for each bundle, against what is free of `nodes`; `None` where none was found. Strict strategies are kept
/// exactly, the others as far as resources allow. Bundles without GPUs go to nodes without GPUs where they can.
pub(super) fn plan(layout: &Layout<'_>, nodes: &BTreeMap<NodeId, Ledger>) -> Option<Vec<NodeId>> {
    let trial = Trial { nodes, touched: BTreeMap::new(), places: layout.fixed.to_vec() };
    match layout.strategy {
        Strategy::StrictPack => trial.on_one_node(layout),
        Strategy::StrictSpread => trial.on_different_nodes(layout),
        Strategy::Pack => trial.clone().on_one_node(layout).or_else(|| trial.on_few_nodes(layout)),
        Strategy::Spread => trial.clone().evenly(layout).or_else(|| trial.on_few_nodes(layout)),
    }
}

/// Why a group can't be placed on these nodes even if all of them were free; `None` where it can, and where there are no
/// nodes yet.
pub(super) fn refusal(
    strategy: Strategy,
    bundles: &[Demand],
    nodes: &BTreeMap<NodeId, Ledger>,
) -> Option<GroupRefusal> {
    if nodes.is_empty() {
        return None;
    }
    for (index, demand) in bundles.iter().enumerate() {
        if let Err(infeasible) = feasible_somewhere(demand, nodes) {
            return Some(GroupRefusal::Bundle { index: index as u32, infeasible });
        }
    }
    let empty: BTreeMap<NodeId, Ledger> =
        nodes.iter().map(|(node, ledger)| (*node, Ledger::new(ledger.capacity().clone()))).collect();
    let fixed: Vec<Option<NodeId>> = bundles.iter().map(|_| None).collect();
    if plan(&Layout { strategy, bundles, fixed: &fixed }, &empty).is_some() {
        return None;
    }
    let mut asked = Demand::nothing();
    bundles.iter().for_each(|demand| asked.add(demand));
    let present = nodes.len();
    Some(match strategy {
        Strategy::StrictSpread => {
            let holds_one = |ledger: &&Ledger| bundles.iter().any(|demand| ledger.fits(demand));
            let suitable = empty.values().filter(holds_one).count();
            GroupRefusal::Nodes { needed: bundles.len(), present, suitable }
        }
        Strategy::StrictPack => {
            let size = |ledger: &&Ledger| (ledger.capacity().gpus().len(), ledger.capacity().cpu());
            let largest = nodes.values().max_by_key(size).expect("each bundle fits some node");
            GroupRefusal::OneNode { asked, largest: largest.capacity().clone() }
        }
        Strategy::Pack | Strategy::Spread => GroupRefusal::Together { asked, present },
    })
}

/// Whether some node could ever meet `demand` alone.
pub(super) fn feasible_somewhere(demand: &Demand, nodes: &BTreeMap<NodeId, Ledger>) -> Result<(), Infeasible> {
    let mut closest: Option<Infeasible> = None;
    for ledger in nodes.values() {
        match ledger.feasible_ever(demand) {
            Ok(()) => return Ok(()),
            Err(infeasible) => {
                closest = Some(match closest {
                    Some(other) => other.closer(infeasible),
                    None => infeasible,
                });
            }
        }
    }
    closest.map_or(Ok(()), |infeasible| Err(infeasible.of_largest_node()))
}

/// The node for something that needs one place: of those where it fits now one without GPUs if it needs none, with most
/// CPUs free. What needs no CPU of its own uses those of others all the same: it goes where `residents`, of which each has
/// one more when it comes, have most CPUs each.
pub(super) fn single(
    demand: &Demand,
    nodes: &BTreeMap<NodeId, Ledger>,
    residents: impl Fn(NodeId) -> usize,
) -> Option<NodeId> {
    let fitting = nodes.iter().filter(|(_, ledger)| ledger.fits(demand));
    let shares = |node: NodeId, ledger: &Ledger| match demand.cpu().is_zero() {
        true => ledger.capacity().cpu().parts() / (residents(node) as i64 + 1),
        false => ledger.free_cpu().parts(),
    };
    let best =
        fitting.min_by_key(|(node, ledger)| (wastes_gpus(ledger, demand), Reverse(shares(**node, ledger)), **node));
    best.map(|(node, _)| *node)
}

fn wastes_gpus(ledger: &Ledger, demand: &Demand) -> bool {
    demand.gpu().is_zero() && !ledger.capacity().gpus().is_empty()
}

/// A try to place bundles: ledgers with what was placed so far taken from them.
#[derive(Clone)]
struct Trial<'a> {
    nodes: &'a BTreeMap<NodeId, Ledger>,
    touched: BTreeMap<NodeId, Ledger>,
    places: Vec<Option<NodeId>>,
}

impl Trial<'_> {
    fn ledger(&self, node: NodeId) -> &Ledger {
        self.touched.get(&node).unwrap_or_else(|| &self.nodes[&node])
    }

    /// Puts a bundle on a node, if it fits.
    fn put(&mut self, index: usize, demand: &Demand, node: NodeId) -> bool {
        let ledger = self.touched.entry(node).or_insert_with(|| self.nodes[&node].clone());
        let fits = ledger.take(demand).is_some();
        if fits {
            self.places[index] = Some(node);
        }
        fits
    }

    /// The bundles without a place, the largest first: small ones fill the gaps.
    fn open(&self, layout: &Layout<'_>) -> Vec<usize> {
        let mut open: Vec<usize> = (0..self.places.len()).filter(|index| self.places[*index].is_none()).collect();
        let size = |index: &usize| (layout.bundles[*index].gpu(), layout.bundles[*index].cpu(), Reverse(*index));
        open.sort_by_key(|index| Reverse(size(index)));
        open
    }

    fn finished(self) -> Option<Vec<NodeId>> {
        self.places.into_iter().collect()
    }

    /// How many bundles are on a node.
    fn count(&self, node: NodeId) -> usize {
        self.places.iter().filter(|place| **place == Some(node)).count()
    }

    /// All on one node: the fullest that holds them.
    fn on_one_node(self, layout: &Layout<'_>) -> Option<Vec<NodeId>> {
        let open = self.open(layout);
        let needs_gpu = layout.bundles.iter().any(|demand| !demand.gpu().is_zero());
        let taken = self.places.iter().flatten().next().copied();
        let mut candidates: Vec<NodeId> = match taken {
            Some(node) => Vec::from([node]),
            None => self.nodes.keys().copied().collect(),
        };
        candidates.sort_by_key(|node| {
            let ledger = self.ledger(*node);
            (!needs_gpu && !ledger.capacity().gpus().is_empty(), ledger.free_cpu())
        });
        let hold_all = |node: &NodeId| {
            let mut trial = self.clone();
            open.iter().all(|index| trial.put(*index, &layout.bundles[*index], *node)).then_some(trial)
        };
        let trial = candidates.iter().find_map(hold_all)?;
        trial.finished().filter(|places| places.windows(2).all(|pair| pair[0] == pair[1]))
    }

    /// Always the node next that takes most of what is left.
    fn on_few_nodes(mut self, layout: &Layout<'_>) -> Option<Vec<NodeId>> {
        loop {
            let open = self.open(layout);
            let Some(first) = open.first() else { return self.finished() };
            let taken_by = |node: NodeId| {
                let mut ledger = self.ledger(node).clone();
                let taken = open.iter().filter(|index| ledger.take(&layout.bundles[**index]).is_some());
                taken.copied().collect::<Vec<_>>()
            };
            let rank = |node: &NodeId, taken: usize| {
                let ledger = self.ledger(*node);
                let is_new = self.count(*node) == 0;
                let wastes_gpus = wastes_gpus(ledger, &layout.bundles[*first]);
                (Reverse(taken), is_new, wastes_gpus, ledger.free_cpu(), *node)
            };
            let options = self.nodes.keys().map(|node| (*node, taken_by(*node)));
            let (node, taken) = options.min_by_key(|(node, taken)| rank(node, taken.len()))?;
            if taken.is_empty() {
                return None;
            }
            for index in taken {
                self.put(index, &layout.bundles[index], node);
            }
        }
    }

    /// Each on the node that has fewest so far.
    fn evenly(mut self, layout: &Layout<'_>) -> Option<Vec<NodeId>> {
        for index in self.open(layout) {
            let demand = &layout.bundles[index];
            let fitting = self.nodes.keys().filter(|node| self.ledger(**node).fits(demand));
            let rank = |node: &NodeId| {
                let ledger = self.ledger(*node);
                (self.count(*node), wastes_gpus(ledger, demand), Reverse(ledger.free_cpu()), *node)
            };
            let node = *fitting.min_by_key(|node| rank(node))?;
            self.put(index, demand, node);
        }
        self.finished()
    }

    /// Each on a node of its own: a matching of bundles to nodes, found by augmenting paths, so that it is found wherever
    /// there is one.
    fn on_different_nodes(mut self, layout: &Layout<'_>) -> Option<Vec<NodeId>> {
        let open = self.open(layout);
        let free: Vec<NodeId> = self.nodes.keys().copied().filter(|node| self.count(*node) == 0).collect();
        let mut taken_by: BTreeMap<NodeId, usize> = BTreeMap::new();
        for index in &open {
            let mut options = Matching { nodes: self.nodes, layout, free: &free, tried: Vec::new() };
            if !options.assign(*index, &mut taken_by) {
                return None;
            }
        }
        for (node, index) in taken_by {
            self.put(index, &layout.bundles[index], node);
        }
        self.finished()
    }
}

/// One search for an augmenting path. Its depth is at most the number of bundles, which is bounded.
struct Matching<'a> {
    nodes: &'a BTreeMap<NodeId, Ledger>,
    layout: &'a Layout<'a>,
    free: &'a [NodeId],
    tried: Vec<NodeId>,
}

impl Matching<'_> {
    fn assign(&mut self, index: usize, taken_by: &mut BTreeMap<NodeId, usize>) -> bool {
        let options = self.options(index);
        if let Some(node) = options.iter().find(|node| !taken_by.contains_key(node)) {
            taken_by.insert(*node, index);
            return true;
        }
        for node in options {
            if self.tried.contains(&node) {
                continue;
            }
            self.tried.push(node);
            if self.assign(taken_by[&node], taken_by) {
                taken_by.insert(node, index);
                return true;
            }
        }
        false
    }

    fn options(&self, index: usize) -> Vec<NodeId> {
        let demand = &self.layout.bundles[index];
        let mut options: Vec<NodeId> = self.free.iter().copied().filter(|node| self.nodes[node].fits(demand)).collect();
        options.sort_by_key(|node| (wastes_gpus(&self.nodes[node], demand), Reverse(self.nodes[node].free_cpu())));
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::{Amount, Capacity};
    use alloc::string::ToString;

    fn cpu(units: u32) -> Demand {
        Demand::cpus(Amount::from_units(units))
    }

    fn gpu(units: u32) -> Demand {
        cpu(1).with_gpu(Amount::from_units(units)).unwrap()
    }

    /// Nodes n1, n2, .. with these CPUs and GPUs.
    fn cluster(sizes: &[(u32, u32)]) -> BTreeMap<NodeId, Ledger> {
        let node = |(index, (cpus, gpus)): (usize, &(u32, u32))| {
            let capacity = Capacity::cpus(Amount::from_units(*cpus));
            let capacity = (0..*gpus).fold(capacity, |capacity, gpu| capacity.with_gpu(gpu, 0));
            (NodeId(index as u32 + 1), Ledger::new(capacity))
        };
        sizes.iter().enumerate().map(node).collect()
    }

    fn places(strategy: Strategy, bundles: &[Demand], nodes: &BTreeMap<NodeId, Ledger>) -> Option<Vec<u32>> {
        let fixed: Vec<Option<NodeId>> = bundles.iter().map(|_| None).collect();
        let plan = plan(&Layout { strategy, bundles, fixed: &fixed }, nodes)?;
        Some(plan.into_iter().map(|node| node.0).collect())
    }

    #[test]
    fn pack_takes_the_fullest_node_that_holds_all_else_few() {
        let nodes = cluster(&[(8, 0), (4, 0), (2, 0)]);
        assert_eq!(places(Strategy::Pack, &[cpu(2), cpu(2)], &nodes), Some([2, 2].to_vec()));
        assert_eq!(places(Strategy::Pack, &[cpu(6), cpu(3), cpu(2)], &nodes), Some([1, 2, 1].to_vec()));
        assert_eq!(places(Strategy::StrictPack, &[cpu(6), cpu(3)], &nodes), None);
    }

    #[test]
    fn spread_goes_round() {
        let nodes = cluster(&[(4, 0), (4, 0)]);
        assert_eq!(places(Strategy::Spread, &[cpu(1), cpu(1), cpu(1)], &nodes), Some([1, 2, 1].to_vec()));
        assert_eq!(places(Strategy::StrictSpread, &[cpu(1), cpu(1), cpu(1)], &nodes), None);
    }

    #[test]
    fn strict_spread_finds_a_matching_wherever_there_is_one() {
        let nodes = cluster(&[(2, 0), (8, 1), (4, 0)]);
        let bundles = [cpu(2), gpu(1), cpu(3)];
        assert_eq!(places(Strategy::StrictSpread, &bundles, &nodes), Some([1, 2, 3].to_vec()));
    }

    #[test]
    fn bundles_without_gpus_leave_gpu_nodes_alone() {
        let nodes = cluster(&[(8, 4), (8, 0)]);
        assert_eq!(places(Strategy::Spread, &[cpu(1), gpu(1)], &nodes), Some([2, 1].to_vec()));
        assert_eq!(single(&cpu(1), &nodes, |_| 0), Some(NodeId(2)));
        assert_eq!(places(Strategy::Pack, &[cpu(1), cpu(1)], &nodes), Some([2, 2].to_vec()));
    }

    #[test]
    fn what_is_placed_stays_and_counts() {
        let nodes = cluster(&[(4, 0), (4, 0), (4, 0)]);
        let fixed = [Some(NodeId(2)), None, None];
        let bundles = [cpu(1), cpu(1), cpu(1)];
        let with = |strategy| plan(&Layout { strategy, bundles: &bundles, fixed: &fixed }, &nodes).unwrap();
        assert_eq!(with(Strategy::StrictSpread), [NodeId(2), NodeId(1), NodeId(3)]);
        assert_eq!(with(Strategy::StrictPack), [NodeId(2), NodeId(2), NodeId(2)]);
        assert_eq!(with(Strategy::Spread), [NodeId(2), NodeId(1), NodeId(3)]);
    }

    #[test]
    fn what_needs_no_cpu_goes_where_there_are_most_for_each() {
        let nodes = cluster(&[(2, 0), (4, 0), (2, 0)]);
        let mut residents = [0; 4];
        let mut next = || {
            let node = single(&Demand::nothing(), &nodes, |node| residents[node.0 as usize]).unwrap();
            residents[node.0 as usize] += 1;
            node.0
        };
        assert_eq!([(); 8].map(|()| next()), [2, 1, 2, 3, 2, 1, 2, 3]);
    }

    #[test]
    fn says_why_a_group_can_never_be() {
        let one = cluster(&[(2, 0)]);
        let say = |strategy, bundles: &[Demand], nodes: &BTreeMap<NodeId, Ledger>| {
            refusal(strategy, bundles, nodes).unwrap().to_string()
        };
        assert_eq!(
            say(Strategy::StrictSpread, &[cpu(1), cpu(1)], &one),
            "needs 2 nodes, one for each bundle, but there is 1 node and 1 can hold a bundle; add nodes or use Spread"
        );
        assert_eq!(
            say(Strategy::Pack, &[cpu(1), cpu(64)], &one),
            "bundle 1 needs {cpu: 64}, but the largest node has cpu: 2; lower the demand or add a node"
        );
        assert_eq!(
            say(Strategy::StrictPack, &[cpu(2), cpu(2)], &cluster(&[(2, 0), (3, 0)])),
            "needs {cpu: 4} on one node, but the largest node has {cpu: 3}; lower the demand or use Pack"
        );
        assert_eq!(
            say(Strategy::Spread, &[cpu(2), cpu(2)], &one),
            "needs {cpu: 4} in all, and there is 1 node too small for that together; lower the demand or add a node"
        );
        assert_eq!(refusal(Strategy::Spread, &[cpu(1), cpu(1)], &one), None);
    }
}

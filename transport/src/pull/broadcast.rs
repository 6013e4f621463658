//! One object to many: each receiver reads from one that is itself still receiving.

use super::Source;
use crate::face::PeerId;

/// The order of the receivers of one object: a chain, or a tree. Whoever knows the receivers keeps it, and tells each of
/// them its sources.
///
/// ```text
///  fanout 1:  origin -> r0 -> r1 -> r2       fanout 2:  origin -> r0 -> r2, r3
///                                                              -> r1 -> r4, r5
/// ```
#[derive(Clone, Debug)]
pub struct Broadcast {
    fanout: usize,
    /// The origin, then the receivers as they joined. One that left stays as `None`: its place counts.
    members: Vec<Option<Source>>,
}

impl Broadcast {
    /// A broadcast from `origin`, whose members each feed `fanout` others.
    ///
    /// # Panics
    /// If `fanout` is 0.
    pub fn new(origin: Source, fanout: usize) -> Self {
        assert!(fanout > 0, "somebody must be fed");
        Self { fanout, members: vec![Some(origin)] }
    }

    /// Adds a receiver by its landing place; the sources that it shall pull from: its parent, and behind that the
    /// parent's parents, to turn to when one fails.
    pub fn join(&mut self, receiver: Source) -> Vec<Source> {
        let mut at = self.members.len();
        self.members.push(Some(receiver));
        let mut sources = vec![];
        while at > 0 {
            at = (at - 1) / self.fanout;
            if let Some(source) = self.members[at] {
                let rank = u32::try_from(sources.len()).expect("a tree is not as high as that");
                sources.push(Source { rank, ..source });
            }
        }
        sources
    }

    /// A receiver is gone: nobody who joins from now on is sent there. Those whose sources name it turn to the next.
    pub fn leave(&mut self, peer: PeerId) {
        for member in &mut self.members[1..] {
            if member.is_some_and(|source| source.peer == peer) {
                *member = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::RemoteSpan;

    fn source(peer: u128) -> Source {
        Source { peer: PeerId(peer), span: RemoteSpan { key: 1, generation: 1, offset: 0, len: 9 }, rank: 0 }
    }

    fn join(broadcast: &mut Broadcast, peer: u128) -> Vec<(u128, u32)> {
        broadcast.join(source(peer)).iter().map(|source| (source.peer.0, source.rank)).collect()
    }

    #[test]
    fn a_chain_reads_from_the_one_before_and_leans_on_those_before_it() {
        let mut chain = Broadcast::new(source(0), 1);
        assert_eq!(join(&mut chain, 1), [(0, 0)]);
        assert_eq!(join(&mut chain, 2), [(1, 0), (0, 1)]);
        chain.leave(PeerId(1));
        assert_eq!(join(&mut chain, 3), [(2, 0), (0, 1)]);
        chain.leave(PeerId(3));
        assert_eq!(join(&mut chain, 4), [(2, 0), (0, 1)]);
    }

    #[test]
    fn a_tree_feeds_as_many_as_it_is_told() {
        let mut tree = Broadcast::new(source(0), 2);
        let parents: Vec<u128> = (1..7).map(|peer| join(&mut tree, peer)[0].0).collect();
        assert_eq!(parents, [0, 0, 1, 1, 2, 2]);
    }
}

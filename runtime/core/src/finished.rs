//! Which of the things that an owner has named by numbers are over.

use alloc::collections::BTreeSet;

/// The finished requests (groups, actors) of one owner, so that a late duplicate starts nothing. Bounded: beyond
/// `tombstones_max` the lowest are summed up as "all below".
#[derive(Debug, Default)]
pub(crate) struct Finished {
    /// All below this one count as finished.
    floor: u64,
    above: BTreeSet<u64>,
}

impl Finished {
    /// Notes that `seq` is over.
    pub(crate) fn insert(&mut self, seq: u64, tombstones_max: usize) {
        if seq >= self.floor {
            self.above.insert(seq);
        }
        while self.above.len() > tombstones_max {
            let lowest = self.above.pop_first().expect("it is not empty");
            self.floor = lowest + 1;
        }
    }

    /// Whether `seq` is over.
    pub(crate) fn contains(&self, seq: u64) -> bool {
        seq < self.floor || self.above.contains(&seq)
    }

    /// How many are remembered one by one.
    pub(crate) fn len(&self) -> usize {
        self.above.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_a_window_and_takes_all_below_it_for_finished() {
        let mut finished = Finished::default();
        for seq in [5, 9, 7, 12] {
            finished.insert(seq, 3);
        }
        assert_eq!(finished.len(), 3);
        for (seq, over) in [(1, true), (5, true), (6, false), (7, true), (8, false), (12, true), (13, false)] {
            assert_eq!(finished.contains(seq), over, "{seq}");
        }
    }
}

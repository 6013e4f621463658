//! What evaluators bring in.

use serde::{Deserialize, Serialize};

use crate::env::wrappers::RunningStats;

/// What one pair earned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Its place in the round.
    pub pair: u32,
    /// Mean return of its episodes, on the positive and on the negative side.
    pub returns: [f32; 2],
    /// Environment steps of its episodes, on either side.
    pub steps: [u32; 2],
}

/// What some pairs of a round earned, and what was observed on the way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Harvest {
    /// One for each pair, by place.
    pub samples: Vec<Sample>,
    /// Of the observations of those pairs that were to be observed; `None` where none was.
    pub obs_stats: Option<RunningStats>,
}

impl Harvest {
    /// Adds what comes after this one.
    ///
    /// # Panics
    /// If the observations are of another width.
    pub fn join(&mut self, later: &Self) {
        self.samples.extend_from_slice(&later.samples);
        match (&mut self.obs_stats, &later.obs_stats) {
            (Some(stats), Some(later)) => stats.add(later),
            (None, Some(later)) => self.obs_stats = Some(later.clone()),
            (_, None) => {}
        }
    }

    /// Environment steps of all episodes.
    pub fn env_steps(&self) -> u64 {
        self.samples.iter().flat_map(|sample| sample.steps).map(u64::from).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joining_keeps_the_order_and_adds_up_what_was_observed() {
        let sample = |pair| Sample { pair, returns: [1.0, 2.0], steps: [10, 20] };
        let mut stats = RunningStats::new(1);
        stats.update(&[1.0, 3.0]);
        let mut all = Harvest::default();
        all.join(&Harvest { samples: vec![sample(0)], obs_stats: None });
        all.join(&Harvest { samples: vec![sample(1), sample(2)], obs_stats: Some(stats.clone()) });
        assert_eq!(all.obs_stats, Some(stats.clone()));
        all.join(&Harvest { samples: vec![sample(3)], obs_stats: Some(stats) });
        assert_eq!(all.samples.iter().map(|sample| sample.pair).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(all.env_steps(), 120);
        let stats = all.obs_stats.unwrap();
        assert!((stats.count() - 4.0).abs() < 1e-3 && (stats.mean()[0] - 2.0).abs() < 1e-3);
    }
}

//! Rollouts on their way from simulators to the learner.

use std::collections::VecDeque;

use rayline::{ObjectRef, put};

use super::{PolicySnapshot, PpoError, RolloutBatch, SimulatorRef};

/// Calls of simulators, answered in the order in which they were made, so that a run is the same each time.
///
/// ```text
/// max_lag 0    collect, collect | learn | collect, collect | learn         all wait for each other
/// max_lag 1    collect, collect | collect, collect | collect, collect      the rollouts of round k + 1 are of the policy
///                               | learn            | learn                 that round k began with
/// max_lag k    each update takes the oldest 1 / k of the calls, rounded up, and these simulators go on at once
/// ```
///
/// With `s` simulators and `n` rollouts an update, a call has `s - n` before it, so it is learned from at most
/// `s / n`, rounded up, updates after its policy: never more than `max_lag`.
pub(super) struct Pipeline {
    simulators: Vec<SimulatorRef>,
    /// Calls under way, oldest first: which simulator, and what it will have gathered.
    under_way: VecDeque<(usize, ObjectRef<RolloutBatch>)>,
    max_lag: u64,
}

impl Pipeline {
    /// No calls yet.
    pub fn new(simulators: Vec<SimulatorRef>, max_lag: u64) -> Self {
        Self { simulators, under_way: VecDeque::new(), max_lag }
    }

    /// The rollouts to learn from next. The calls that go on meanwhile are of `policy`, which is that before the update.
    ///
    /// # Errors
    /// [`PpoError::Simulator`] where one failed; all calls under way are then let go of.
    pub fn next(&mut self, policy: PolicySnapshot) -> Result<Vec<RolloutBatch>, PpoError> {
        let policy = put(policy);
        if self.under_way.is_empty() {
            (0..self.simulators.len()).for_each(|simulator| self.call(simulator, &policy));
        }
        let count = self.rollouts_per_update();
        let calls: Vec<_> = self.under_way.drain(..count).collect();
        let taken: Result<Vec<_>, PpoError> =
            calls.into_iter().map(|(simulator, call)| Ok((simulator, call.take()?))).collect();
        let taken = taken.inspect_err(|_| self.under_way.clear())?;
        if self.max_lag > 0 {
            taken.iter().for_each(|(simulator, _)| self.call(*simulator, &policy));
        }
        Ok(taken.into_iter().map(|(_, rollout)| rollout).collect())
    }

    /// Simulators whose calls go through.
    pub fn simulator_count(&self) -> usize {
        self.simulators.len()
    }

    /// Rollouts that each update takes.
    pub fn rollouts_per_update(&self) -> usize {
        rollouts_per_update(self.simulators.len(), self.max_lag)
    }

    fn call(&mut self, simulator: usize, policy: &ObjectRef<PolicySnapshot>) {
        self.under_way.push_back((simulator, self.simulators[simulator].collect(policy)));
    }
}

/// Rollouts that an update takes so that none waits for more than `max_lag` updates.
fn rollouts_per_update(simulators: usize, max_lag: u64) -> usize {
    let max_lag = usize::try_from(max_lag).unwrap_or(usize::MAX);
    simulators.div_ceil(max_lag.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The greatest lag over many updates, each call counted from the version it was made with.
    fn lag(simulators: usize, max_lag: u64) -> u64 {
        let count = rollouts_per_update(simulators, max_lag);
        let (mut versions, mut worst) = (VecDeque::from(vec![0; simulators]), 0);
        for version in 0..100 {
            for _ in 0..count {
                let made = versions.pop_front().expect("as many calls as simulators are under way");
                worst = worst.max(version - made);
                versions.push_back(version);
            }
        }
        worst
    }

    #[test]
    fn no_call_waits_for_more_updates_than_the_bound() {
        for simulators in 1..20 {
            for max_lag in 1..25 {
                let worst = lag(simulators, max_lag);
                assert!((1..=max_lag).contains(&worst), "{simulators} simulators, bound {max_lag}: {worst}");
            }
        }
    }
}

//! Several learners that step together.

use rayline::{ObjectRef, Tensor, put};

use super::replica::{Replica, ReplicaRef, pack, unpack};
use super::{PpoError, PpoLearner, RolloutBatch, SeenStats, UpdateStats};
use crate::collective::{Collective, ReduceOp};

/// The learners of a run but the first, which is the trainer's own, and the group that joins their gradients.
///
/// ```text
///              rank 0, in the driver      rank 1, an actor        rank 2, an actor
/// minibatch    gradient of its share      gradient                gradient
///                 '------------------ allreduce: the mean ------------------'
///              step                       step                    step            the same bits, the same step
/// ```
///
/// All learners have the same parameters, optimiser and random numbers, and see a share of each batch each.
pub(super) struct Learners {
    replicas: Vec<ReplicaRef>,
    group: Collective,
    /// Whether an update has failed: then some may have begun it, or made steps, where others have not.
    is_torn: bool,
}

impl Learners {
    /// `count` learners, of which the first is `learner`.
    ///
    /// # Errors
    /// [`PpoError::Collective`] for none.
    pub fn new(count: usize, learner: &PpoLearner) -> Result<Self, PpoError> {
        let group = Collective::new(count)?;
        Ok(Self { replicas: replicas(count, learner), group, is_torn: false })
    }

    /// As [`PpoLearner::update`], by all learners together. After an update that failed, all begin as copies of `learner`,
    /// whoever was dead.
    ///
    /// # Errors
    /// As [`PpoLearner::update`], and then no learner has made the step; [`PpoError::Learner`] if one is dead, and
    /// [`PpoError::Collective`] if a rank of the group is.
    pub fn update(&mut self, learner: &mut PpoLearner, rollouts: Vec<RolloutBatch>) -> Result<UpdateStats, PpoError> {
        if self.is_torn {
            self.group.reform();
            self.replicas = replicas(self.replicas.len() + 1, learner);
        }
        self.is_torn = true;
        let stats = self.update_all(learner, rollouts)?;
        self.is_torn = false;
        Ok(stats)
    }

    fn update_all(
        &mut self,
        learner: &mut PpoLearner,
        mut rollouts: Vec<RolloutBatch>,
    ) -> Result<UpdateStats, PpoError> {
        let count = self.replicas.len() + 1;
        check_shares(&rollouts, count)?;
        let seen: Vec<SeenStats> = rollouts.iter_mut().map(|rollout| std::mem::take(&mut rollout.seen)).collect();
        let mut others = rollouts.split_off(rollouts.len() / count);
        let shared = put(seen.clone());
        let begun = self.replicas.iter().map(|replica| {
            let share: Vec<_> = others.drain(..rollouts.len()).collect();
            replica.begin(share, &shared, count)
        });
        let begun = begun.collect();
        let mut run = learner.begin(&rollouts, &seen, count)?;
        self.all(begun)?;
        while !run.is_done() {
            let gradients: Vec<_> = self.replicas.iter().map(ReplicaRef::gradient).collect();
            let losses = learner.differentiate_next(&mut run);
            let reduced = self.reduce(pack(learner, losses), gradients)?;
            let losses = unpack(learner, &reduced);
            learner.step(&mut run, losses)?;
        }
        self.all(self.replicas.iter().map(ReplicaRef::finish).collect())?;
        Ok(learner.finish(run))
    }

    /// Parameters of all learners but the first.
    ///
    /// # Errors
    /// [`PpoError::Learner`] if one is dead.
    pub fn parameters(&self) -> Result<Vec<Vec<f32>>, PpoError> {
        self.all(self.replicas.iter().map(ReplicaRef::parameters).collect())
    }

    /// The learners but the first.
    pub fn replicas(&self) -> &[ReplicaRef] {
        &self.replicas
    }

    /// The mean of `own` and `gradients`, against which the replicas step.
    fn reduce(&mut self, own: Tensor<f32>, gradients: Vec<ObjectRef<Tensor<f32>>>) -> Result<Tensor<f32>, PpoError> {
        let inputs = std::iter::once(put(own)).chain(gradients.iter().cloned()).collect();
        let mut reduced = self.group.allreduce(inputs, ReduceOp::Mean)?.into_iter();
        let own = reduced.next().expect("a group has a rank");
        // Nobody waits for the steps: whatever is asked of a replica next comes after, and a failed one shows there.
        self.replicas.iter().zip(reduced).for_each(|(replica, reduced)| drop(replica.step(reduced)));
        own.take().map_err(|source| self.failure(gradients, source))
    }

    /// Who is to blame for a reduction that failed.
    fn failure(&self, gradients: Vec<ObjectRef<Tensor<f32>>>, source: rayline::Error) -> PpoError {
        if let Err(error) = self.all(gradients) {
            return error;
        }
        match self.group.barrier() {
            Err(error) => error.into(),
            Ok(()) => PpoError::Learner { rank: 0, source },
        }
    }

    /// What the replicas answer; an error names the first that failed.
    fn all<T: rayline::Data>(&self, answers: Vec<ObjectRef<T>>) -> Result<Vec<T>, PpoError> {
        let answers = answers.into_iter().enumerate();
        answers.map(|(at, answer)| answer.take().map_err(|source| PpoError::Learner { rank: at + 1, source })).collect()
    }
}

/// Copies of `learner`, one fewer than `count`.
fn replicas(count: usize, learner: &PpoLearner) -> Vec<ReplicaRef> {
    let checkpoint = put(learner.checkpoint());
    (1..count).map(|_| Replica::remote(&checkpoint)).collect()
}

/// An error unless the rollouts can be dealt out to `count` learners so that all have the same number of rows.
fn check_shares(rollouts: &[RolloutBatch], count: usize) -> Result<(), PpoError> {
    let is_even = rollouts.len().is_multiple_of(count) && !rollouts.is_empty();
    if is_even && rollouts.iter().all(|rollout| rollout.rows() == rollouts[0].rows()) {
        return Ok(());
    }
    let expected = format!("a multiple of {count} of equal size, for as many learners");
    let found = format!("{} of {:?} rows", rollouts.len(), rollouts.iter().map(RolloutBatch::rows).collect::<Vec<_>>());
    Err(PpoError::Mismatch { what: "rollouts of an update", expected, found })
}

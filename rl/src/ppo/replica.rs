//! A learner as an actor, one of several that step together.

use rayline::{Actor, Buf, Tensor, methods};

use super::learner::Run;
use super::loss::Losses;
use super::{Checkpoint, PpoError, PpoLearner, RolloutBatch, SeenStats};

/// A learner that sees a share of each batch and makes the same steps as all others of its group.
#[derive(Actor)]
pub struct Replica {
    learner: PpoLearner,
    run: Option<Run>,
}

#[methods]
impl Replica {
    /// A copy of the learner that `checkpoint` is of.
    ///
    /// # Errors
    /// As [`PpoLearner::from_checkpoint`].
    pub fn new(checkpoint: Checkpoint) -> Result<Self, PpoError> {
        Ok(Self { learner: PpoLearner::from_checkpoint(checkpoint)?, run: None })
    }

    /// Begins an update over its share, `rollouts`, of what `learners` learners see; `seen` is of all of it.
    ///
    /// # Errors
    /// As [`PpoLearner::update`].
    pub fn begin(
        &mut self,
        rollouts: Vec<RolloutBatch>,
        seen: Vec<SeenStats>,
        learners: usize,
    ) -> Result<(), PpoError> {
        self.run = Some(self.learner.begin(&rollouts, &seen, learners)?);
        Ok(())
    }

    /// The gradient of the next minibatch, and what it says of the losses.
    ///
    /// # Errors
    /// [`PpoError::Mismatch`] if no update is under way.
    pub fn gradient(&mut self) -> Result<Tensor<f32>, PpoError> {
        let run = self.run.as_mut().ok_or_else(no_update)?;
        let losses = self.learner.differentiate_next(run);
        Ok(pack(&self.learner, losses))
    }

    /// Steps against the mean of all gradients.
    ///
    /// # Errors
    /// As [`PpoLearner::update`].
    pub fn step(&mut self, reduced: &Tensor<f32>) -> Result<(), PpoError> {
        let run = self.run.as_mut().ok_or_else(no_update)?;
        let losses = unpack(&mut self.learner, reduced);
        self.learner.step(run, losses).map(drop)
    }

    /// Ends the update.
    ///
    /// # Errors
    /// [`PpoError::Mismatch`] if none is under way.
    pub fn finish(&mut self) -> Result<(), PpoError> {
        let run = self.run.take().ok_or_else(no_update)?;
        self.learner.finish(run);
        Ok(())
    }

    /// Its parameters, to be compared.
    pub fn parameters(&mut self) -> Vec<f32> {
        self.learner.parameters.clone()
    }
}

/// Gradient and losses of the minibatch that `learner` has just differentiated, as one tensor.
pub(super) fn pack(learner: &PpoLearner, losses: Losses) -> Tensor<f32> {
    let mut numbers = Vec::with_capacity(learner.gradient().len() + Losses::NUMBERS);
    numbers.extend_from_slice(learner.gradient());
    numbers.extend(losses.numbers());
    Tensor::from(Buf::from(numbers))
}

/// The reverse: makes the gradient that of `learner`, and returns the losses.
pub(super) fn unpack(learner: &mut PpoLearner, reduced: &Tensor<f32>) -> Losses {
    let (gradient, losses) = reduced.data().split_at(reduced.len() - Losses::NUMBERS);
    learner.gradient_mut().copy_from_slice(gradient);
    Losses::from_numbers(std::array::from_fn(|at| losses[at]))
}

fn no_update() -> PpoError {
    PpoError::Mismatch { what: "calls of a replica", expected: "an update under way".into(), found: "none".into() }
}

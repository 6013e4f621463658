//! Evaluation beside training.

use rayline::{ObjectRef, put};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{EpisodeEnd, PolicyEvaluator, PolicyEvaluatorRef, PpoError, PpoLearner};

/// How a run is evaluated while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluationPlan {
    /// Updates from one evaluation to the next.
    pub every: u64,
    /// Episodes of an evaluation.
    pub episodes: usize,
    /// Environments of the evaluator.
    pub envs: usize,
}

/// What a policy earned without exploration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyEvaluation {
    /// Updates that the policy had seen.
    pub version: u64,
    /// Environment steps that it had learned from.
    pub env_steps: u64,
    /// Its episodes, in order of time.
    pub episodes: Vec<EpisodeEnd>,
}

impl PolicyEvaluation {
    /// Mean return; `None` without episodes.
    pub fn mean_return(&self) -> Option<f64> {
        let count = self.episodes.len();
        (count > 0).then(|| self.episodes.iter().map(|end| end.total_reward).sum::<f64>() / count as f64)
    }
}

/// Sends snapshots to an evaluator, one at a time. Where the last one is still played when the next is due, that one is
/// passed over: training never waits. Nor does it end with a failed evaluation, which is told in the log and begins anew
/// with the next one that is due.
pub(super) struct Evaluations {
    env: String,
    plan: EvaluationPlan,
    evaluator: Option<PolicyEvaluatorRef>,
    state: State,
    passed_over: u64,
}

/// ```text
/// Idle --due--> Playing --in, or failed--> Idle
/// ```
enum State {
    Idle,
    Playing { version: u64, env_steps: u64, episodes: ObjectRef<Vec<EpisodeEnd>> },
}

impl Evaluations {
    /// Evaluations in environments called `env`.
    ///
    /// # Errors
    /// [`PpoError::Config`] for a plan that can't work.
    pub fn new(env: &str, plan: EvaluationPlan) -> Result<Self, PpoError> {
        let fields = [("every", plan.every), ("episodes", plan.episodes as u64), ("envs", plan.envs as u64)];
        if let Some((field, value)) = fields.into_iter().find(|(_, value)| *value == 0) {
            let (why, remedy) = ("an evaluation would never be made", "set it to 1 or more");
            return Err(PpoError::Config { field, value: value.to_string(), why, remedy });
        }
        Ok(Self { env: env.to_owned(), plan, evaluator: None, state: State::Idle, passed_over: 0 })
    }

    /// The evaluation that has come in meanwhile, if any; begins one of `learner`'s policy where that is due.
    pub fn poll(&mut self, learner: &PpoLearner) -> Option<PolicyEvaluation> {
        let is_in = matches!(&self.state, State::Playing { episodes, .. } if episodes.is_ready());
        let evaluation = if is_in { self.finish() } else { None };
        if learner.updates().is_multiple_of(self.plan.every) {
            match self.state {
                State::Idle => self.begin(learner),
                State::Playing { .. } => self.passed_over += 1,
            }
        }
        evaluation
    }

    /// Waits for the evaluation under way, if any.
    pub fn finish(&mut self) -> Option<PolicyEvaluation> {
        let State::Playing { version, env_steps, episodes } = std::mem::replace(&mut self.state, State::Idle) else {
            return None;
        };
        match episodes.take() {
            Ok(episodes) => Some(PolicyEvaluation { version, env_steps, episodes }),
            Err(error) => {
                warn!(version, %error, "an evaluation failed; training goes on");
                self.evaluator = None;
                None
            }
        }
    }

    /// Evaluations that were due while the last one was still under way.
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }

    fn begin(&mut self, learner: &PpoLearner) {
        let (env, plan) = (&self.env, self.plan);
        let evaluator = self.evaluator.get_or_insert_with(|| {
            PolicyEvaluator::remote(env.clone(), plan.envs, put(learner.model().spec().clone()))
        });
        let (version, env_steps) = (learner.updates(), learner.env_steps());
        // Each evaluation has episodes of its own, apart from those of training.
        let seed = learner.config().seed.wrapping_add(version).wrapping_mul(0xD1B5_4A32_D192_ED03);
        let episodes = evaluator.evaluate(put(learner.snapshot()), plan.episodes, seed);
        self.state = State::Playing { version, env_steps, episodes };
    }
}

//! Named numbers of one moment of a run.

use crate::es::EsProgress;
use crate::ppo::{EpisodeEnd, Progress};

/// What a run tells at one step: numbers under names. A number that isn't known at this step, such as the return of an
/// evaluation that isn't due, is `None`: left out where that is possible, an empty cell in a table.
///
/// | name | is | of |
/// |---|---|---|
/// | `rollout/ep_rew_mean`, `rollout/ep_len_mean` | mean return and length of the last 100 episodes; with evolution strategies, of the round's perturbations | Stable-Baselines3 |
/// | `charts/episodic_return`, `charts/episodic_length` | those of the last episode that ended | CleanRL |
/// | `charts/learning_rate`, `charts/SPS` | step size; environment steps a second since the record began | CleanRL |
/// | `losses/policy_loss`, `value_loss`, `entropy`, `approx_kl`, `old_approx_kl`, `clipfrac`, `explained_variance` | see [`UpdateStats`](crate::ppo::UpdateStats) | CleanRL |
/// | `losses/grad_norm` | norm of the gradient before clipping | |
/// | `es/ep_rew_max`, `es/gradient_norm`, `es/parameter_norm`, `es/lost_pairs` | see [`EsStats`](crate::es::EsStats) | |
/// | `eval/mean_reward`, `eval/std_reward`, `eval/mean_ep_length` | episodes without exploration | Stable-Baselines3 |
/// | `time/iterations`, `time/time_elapsed` | updates or rounds; seconds since the record began | Stable-Baselines3 |
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scalars {
    /// Environment steps.
    pub step: u64,
    /// Numbers by name; the same names in the same order at every step of a run.
    pub values: Vec<(&'static str, Option<f64>)>,
}

impl Scalars {
    /// What PPO tells after an update.
    pub fn of_ppo(progress: &Progress<'_>) -> Self {
        let (stats, episodes) = (progress.stats, progress.episodes);
        let last = episodes.last();
        let told = |value: f32| Some(f64::from(value));
        let values = vec![
            ("rollout/ep_rew_mean", episodes.mean_return()),
            ("rollout/ep_len_mean", episodes.mean_length()),
            ("charts/episodic_return", last.map(|end| end.total_reward)),
            ("charts/episodic_length", last.map(|end| f64::from(end.length))),
            ("charts/learning_rate", told(stats.learning_rate)),
            ("losses/policy_loss", told(stats.policy_loss)),
            ("losses/value_loss", told(stats.value_loss)),
            ("losses/entropy", told(stats.entropy)),
            ("losses/approx_kl", told(stats.approx_kl)),
            ("losses/old_approx_kl", told(stats.old_approx_kl)),
            ("losses/clipfrac", told(stats.clip_fraction)),
            ("losses/explained_variance", told(stats.explained_variance)),
            ("losses/grad_norm", told(stats.grad_norm)),
            ("time/iterations", Some(progress.learner.updates() as f64)),
        ];
        Self { step: progress.env_steps, values }
    }

    /// What evolution strategies tell after a round, the evaluation included where one was due.
    pub fn of_es(progress: &EsProgress<'_>) -> Self {
        let stats = progress.stats;
        let told = |value: f32| Some(f64::from(value));
        let values = vec![
            ("rollout/ep_rew_mean", told(stats.mean_return)),
            ("rollout/ep_len_mean", told(stats.mean_steps)),
            ("charts/learning_rate", told(progress.learner.config().learning_rate)),
            ("es/ep_rew_max", told(stats.max_return)),
            ("es/gradient_norm", told(stats.gradient_norm)),
            ("es/parameter_norm", told(stats.parameter_norm)),
            ("es/lost_pairs", Some(stats.lost_pairs as f64)),
            ("time/iterations", Some(stats.round as f64)),
        ];
        let episodes = progress.evaluation.map(|evaluation| evaluation.episodes.as_slice());
        Self { step: progress.env_steps, values }.with_evaluation(episodes)
    }

    /// The same, with what `episodes` without exploration came to; `None` where no evaluation was due.
    #[must_use]
    pub fn with_evaluation(mut self, episodes: Option<&[EpisodeEnd]>) -> Self {
        let episodes = episodes.filter(|episodes| !episodes.is_empty());
        let returns = episodes.map(|episodes| mean_and_deviation(episodes.iter().map(|end| end.total_reward)));
        let lengths = episodes.map(|episodes| mean_and_deviation(episodes.iter().map(|end| f64::from(end.length))));
        self.values.extend([
            ("eval/mean_reward", returns.map(|(mean, _)| mean)),
            ("eval/std_reward", returns.map(|(_, deviation)| deviation)),
            ("eval/mean_ep_length", lengths.map(|(mean, _)| mean)),
        ]);
        self
    }

    /// The number of this name, if it is known.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(found, _)| *found == name).and_then(|(_, value)| *value)
    }
}

/// Mean and standard deviation (of the numbers themselves, as NumPy's `std`). Not a number without any.
pub(crate) fn mean_and_deviation(values: impl ExactSizeIterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.clone().sum::<f64>() / count;
    let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / count).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evaluation_is_told_by_mean_deviation_and_length() {
        let ends = [(1.0, 10), (3.0, 20)].map(|(total_reward, length)| EpisodeEnd { total_reward, length });
        let told = Scalars::default().with_evaluation(Some(&ends));
        let want = [("eval/mean_reward", 2.0), ("eval/std_reward", 1.0), ("eval/mean_ep_length", 15.0)];
        assert_eq!(told.values, want.map(|(name, value)| (name, Some(value))));
        assert_eq!((told.get("eval/std_reward"), told.get("eval/other")), (Some(1.0), None));
    }

    #[test]
    fn an_evaluation_that_was_not_due_has_names_without_numbers() {
        for episodes in [None, Some(&[][..])] {
            let told = Scalars::default().with_evaluation(episodes);
            assert_eq!(told.values.len(), 3);
            assert!(told.values.iter().all(|(_, value)| value.is_none()));
        }
    }
}

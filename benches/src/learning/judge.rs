//! Whether a goal is reached.

use super::{GOALS, Goal, LearningRun};
use std::fmt::Write;

/// What the runs for a goal came to.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The goal.
    pub goal: Goal,
    /// Scores of its runs, by seed.
    pub scores: Vec<f64>,
    /// Mean of the scores.
    pub mean: f64,
    /// Standard deviation of the scores.
    pub deviation: f64,
    /// Whether the mean is at least the published return less its deviation.
    pub is_reached: bool,
}

/// The verdicts on all goals of which there are runs.
pub fn judge(runs: &[LearningRun]) -> Vec<Verdict> {
    GOALS.iter().filter_map(|goal| verdict(goal, runs)).collect()
}

/// The verdicts as a table in Markdown.
pub fn table(verdicts: &[Verdict]) -> String {
    let mut text =
        "| environment | trained by | published | after steps | our steps | ours (mean ± deviation of seeds) | least seed | reached |\n\
                    |---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for Verdict { goal, scores, mean, deviation, is_reached } in verdicts {
        let published = match goal.published {
            (mean, 0.0) => format!("{mean:.1} ({})", goal.source),
            (mean, deviation) => format!("{mean:.1} ± {deviation:.1} ({})", goal.source),
        };
        let least = scores.iter().copied().fold(f64::INFINITY, f64::min);
        writeln!(
            text,
            "| {} | {} | {published} | {} | {} | {mean:.1} ± {deviation:.1}, {} seeds | {least:.1} | {} |",
            goal.env,
            goal.algorithm(),
            goal.published_steps,
            goal.steps,
            scores.len(),
            if *is_reached { "yes" } else { "no" },
        )
        .expect("a string takes all that is written");
    }
    text
}

impl Goal {
    /// Whether a run is for this goal.
    pub fn is_of(&self, run: &LearningRun) -> bool {
        self.env == run.env && self.algorithm() == run.algorithm && self.source == run.source
    }
}

fn verdict(goal: &Goal, runs: &[LearningRun]) -> Option<Verdict> {
    let mut of_goal: Vec<&LearningRun> = runs.iter().filter(|run| goal.is_of(run)).collect();
    of_goal.sort_by_key(|run| run.seed);
    let scores: Vec<f64> = of_goal.iter().map(|run| run.score).collect();
    let count = scores.len() as f64;
    let mean = scores.iter().sum::<f64>() / count;
    let deviation = (scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / count).sqrt();
    (!scores.is_empty()).then(|| Verdict { goal: *goal, scores, mean, deviation, is_reached: mean >= goal.bar() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(goal: &Goal, scores: &[f64]) -> Vec<LearningRun> {
        let run = |(seed, score): (usize, &f64)| LearningRun {
            env: goal.env.to_owned(),
            algorithm: goal.algorithm().to_owned(),
            source: goal.source.to_owned(),
            seed: seed as u64,
            steps: goal.steps,
            seconds: 1.0,
            score: *score,
            curve: vec![],
        };
        scores.iter().enumerate().map(run).collect()
    }

    #[test]
    fn a_goal_is_reached_within_its_interval_and_not_below() {
        let goal = GOALS.iter().find(|goal| goal.published.1 > 0.0).expect("a goal with a deviation");
        for (shift, is_reached) in [(0.1, true), (-0.1, false)] {
            let verdicts = judge(&runs(goal, &[goal.bar() + shift + 2.0, goal.bar() + shift - 2.0]));
            assert_eq!((verdicts.len(), verdicts[0].is_reached), (1, is_reached));
            assert!((verdicts[0].deviation - 2.0).abs() < 1e-9);
            assert!(table(&verdicts).contains(if is_reached { "| yes |" } else { "| no |" }));
        }
        assert!(judge(&[]).is_empty());
    }
}

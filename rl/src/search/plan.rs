//! The search itself: what is tried next.

use serde_json::{Map, Value};

use super::train::{Order, Start, Trained, train};
use super::{SearchError, SearchSpace, Trial};
use crate::env::make_vec;
use crate::nn::Random;
use crate::ppo::{Checkpoint, PpoConfig};
use crate::settings::Assignment;
use crate::with_causes;

/// Settings that a policy that is taken over can't change.
const FIXED: [&str; 4] = ["hidden", "activation", "initial_log_std", "seed"];
/// Share of a population that takes over, and share that is taken over from.
///
/// Source: Jaderberg et al. 2017, §4.1, "truncation selection".
const SHARE: f64 = 0.2;
/// Streams of the generator: one for each trial, and one for what happens between rounds.
const BETWEEN_ROUNDS: u64 = 1 << 32;

/// How settings are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Each trial draws its own, and trains to the end.
    Random,
    /// Trials train in so many rounds, at least 2, between which the worst take over from the best.
    Population {
        /// How many.
        rounds: usize,
    },
}

/// What is searched, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchPlan {
    /// The environment, by its id.
    pub env: String,
    /// Settings that all trials share; `total_steps` are those of each.
    pub base: PpoConfig,
    /// Settings that differ.
    pub space: SearchSpace,
    /// How they are found.
    pub method: Method,
    /// Trials, or members of the population.
    pub trials: usize,
    /// Seed of the search; trials have seeds of their own that it yields.
    pub seed: u64,
    /// Episodes by which a policy is judged.
    pub episodes: usize,
}

/// What a search has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// All rows, by round and number.
    pub trials: Vec<Trial>,
    /// The trial with the best score, if one didn't fail, with its policy and settings.
    pub best: Option<(Trial, Checkpoint)>,
}

/// One trial between its rounds.
struct Member {
    settings: Map<String, Value>,
    parent: Option<usize>,
    /// What it goes on from; `None` before its first round and after a failure.
    checkpoint: Option<Checkpoint>,
}

/// Searches as `plan` says; `on_trial` sees each row once it and those before it are done.
///
/// The same plan gives the same rows, however many are trained at once.
///
/// # Errors
/// [`SearchError`] if it can't begin; what goes wrong later is in the rows.
pub fn search(plan: &SearchPlan, mut on_trial: impl FnMut(&Trial)) -> Result<Found, SearchError> {
    plan.check()?;
    let rounds = plan.rounds();
    let mut between = Random::new(plan.seed, BETWEEN_ROUNDS);
    let mut members: Vec<Member> = (0..plan.trials).map(|trial| plan.member(trial)).collect();
    let mut found = Found { trials: Vec::new(), best: None };
    for round in 0..rounds {
        let until = plan.base.total_steps * (round as u64 + 1) / rounds as u64;
        let submitted: Vec<_> =
            (members.iter().enumerate()).map(|(at, member)| plan.order(at, member, until).map(train::remote)).collect();
        let mut rows = Vec::new();
        for (at, trained) in submitted.into_iter().enumerate() {
            let trained = trained.and_then(|trained| trained.take().map_err(|error| with_causes(&error)));
            let row = members[at].finish(at, round, trained);
            on_trial(&row);
            found.keep(&row, &members[at]);
            rows.push(row);
        }
        if round + 1 < rounds {
            exploit_and_explore(&mut members, &rows, &plan.space, &mut between);
        }
        found.trials.extend(rows);
    }
    Ok(found)
}

impl SearchPlan {
    fn rounds(&self) -> usize {
        match self.method {
            Method::Random => 1,
            Method::Population { rounds } => rounds,
        }
    }

    fn check(&self) -> Result<(), SearchError> {
        self.base.validate()?;
        make_vec(&self.env, 1)?;
        let unsound = |field, value: usize, why| Err(SearchError::Plan { field, value: value.to_string(), why });
        let is_population = self.method != Method::Random;
        let fixed = self.space.domains().iter().find(|(key, _)| is_population && FIXED.contains(&key.as_str()));
        match self {
            Self { trials: 0, .. } => unsound("trials", 0, "nothing would be tried"),
            Self { episodes: 0, .. } => unsound("episodes", 0, "policies are judged by their episodes"),
            Self { method: Method::Population { rounds }, .. } if *rounds < 2 => {
                unsound("rounds", *rounds, "nothing is taken over within one round: 2 or more")
            }
            Self { trials, .. } if is_population && *trials < 2 => {
                unsound("trials", *trials, "a population has 2 members or more")
            }
            _ => match fixed {
                Some((key, _)) => {
                    let why = "a policy that is taken over has it fixed: search for it at random";
                    Err(SearchError::Plan { field: "space", value: key.clone(), why })
                }
                None => Ok(()),
            },
        }
    }

    fn member(&self, trial: usize) -> Member {
        let settings = self.space.sample(&mut Random::new(self.seed, trial as u64));
        Member { settings, parent: None, checkpoint: None }
    }

    /// What a member is to do next, or why its settings make no sense together.
    fn order(&self, trial: usize, member: &Member, until: u64) -> Result<Order, String> {
        let seed = Random::new(self.seed, trial as u64).bits();
        let config = match &member.checkpoint {
            Some(checkpoint) => with_settings(checkpoint.config(), &member.settings)?,
            None => with_settings(&PpoConfig { seed, ..self.base.clone() }, &member.settings)?,
        };
        let start = match &member.checkpoint {
            Some(checkpoint) => {
                let mut checkpoint = checkpoint.clone();
                *checkpoint.config_mut() = PpoConfig { seed, ..config };
                Start::From(Box::new(checkpoint))
            }
            None => Start::New(config),
        };
        Ok(Order { env: self.env.clone(), start, until, episodes: self.episodes })
    }
}

impl Member {
    /// Takes in what a round brought, and tells it.
    fn finish(&mut self, trial: usize, round: usize, trained: Result<Trained, String>) -> Trial {
        let row = Trial {
            trial,
            round,
            parent: self.parent.take(),
            settings: self.settings.clone(),
            env_steps: 0,
            score: None,
            error: None,
        };
        match trained {
            Ok(Trained { checkpoint, score }) => {
                let env_steps = checkpoint.env_steps();
                self.checkpoint = Some(checkpoint);
                Trial { env_steps, score: Some(score), ..row }
            }
            Err(error) => {
                self.checkpoint = None;
                Trial { error: Some(error), ..row }
            }
        }
    }
}

impl Found {
    fn keep(&mut self, row: &Trial, member: &Member) {
        let is_better = self.best.as_ref().is_none_or(|(best, _)| row.score > best.score);
        if let Some(checkpoint) = member.checkpoint.as_ref().filter(|_| is_better && row.score.is_some()) {
            self.best = Some((row.clone(), checkpoint.clone()));
        }
    }
}

/// Those that failed, and the worst of the others, take over the policy and the changed settings of one of the best.
fn exploit_and_explore(members: &mut [Member], rows: &[Trial], space: &SearchSpace, random: &mut Random) {
    let mut ranking: Vec<&Trial> = rows.iter().collect();
    ranking.sort_by(|a, b| a.order(b));
    let alive = ranking.iter().filter(|row| row.score.is_some()).count();
    let share = ((members.len() as f64 * SHARE).ceil() as usize).min(alive / 2);
    // Where all have failed, all begin anew as they are; where one is left, it is taken over from.
    let best = share.max(usize::from(alive > 0));
    for loser in ranking.iter().enumerate().filter(|(rank, _)| *rank >= alive - share).map(|(_, row)| row.trial) {
        if best == 0 {
            continue;
        }
        let winner = ranking[random.below(best)].trial;
        members[loser] = Member {
            settings: space.change(&members[winner].settings, random),
            parent: Some(winner),
            checkpoint: members[winner].checkpoint.clone(),
        };
    }
}

fn with_settings(base: &PpoConfig, settings: &Map<String, Value>) -> Result<PpoConfig, String> {
    let assignments = settings.iter().map(|(key, value)| {
        let place = "search".to_owned();
        Assignment { place, key: key.clone(), value: value.clone() }
    });
    let config = assignments.into_iter().try_fold(base.clone(), |config, assignment| assignment.apply(&config));
    config.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn population(scores: &[Option<f64>]) -> (Vec<Member>, Vec<Trial>) {
        let plan = SearchPlan {
            env: "CartPole-v1".into(),
            base: PpoConfig::cartpole(),
            space: SearchSpace::usual(),
            method: Method::Population { rounds: 2 },
            trials: scores.len(),
            seed: 1,
            episodes: 1,
        };
        let members: Vec<Member> = (0..scores.len()).map(|trial| plan.member(trial)).collect();
        let rows = scores.iter().enumerate().map(|(trial, score)| Trial {
            trial,
            round: 0,
            parent: None,
            settings: members[trial].settings.clone(),
            env_steps: 1,
            score: *score,
            error: score.is_none().then(String::new),
        });
        let rows = rows.collect();
        (members, rows)
    }

    fn parents(scores: &[Option<f64>]) -> Vec<Option<usize>> {
        let (mut members, rows) = population(scores);
        let before: Vec<_> = members.iter().map(|member| member.settings.clone()).collect();
        exploit_and_explore(&mut members, &rows, &SearchSpace::usual(), &mut Random::new(1, 0));
        for (at, member) in members.iter().enumerate() {
            assert_eq!(member.settings != before[at], member.parent.is_some(), "member {at}");
        }
        members.into_iter().map(|member| member.parent).collect()
    }

    #[test]
    fn the_worst_fifth_takes_over_from_the_best_fifth() {
        assert_eq!(parents(&[3.0, 9.0, 5.0, 1.0, 7.0].map(Some)), [None, None, None, Some(1), None]);
        assert_eq!(parents(&[Some(1.0), Some(2.0)]), [Some(1), None]);
    }

    #[test]
    fn those_that_failed_take_over_too() {
        assert_eq!(parents(&[None, Some(2.0), None]), [Some(1), None, Some(1)]);
        assert_eq!(parents(&[None, None]), [None, None], "there is nothing to take over");
    }
}

//! The settings that a search tries.

use serde_json::{Map, Value, json};

use super::{Domain, SearchError};
use crate::nn::Random;
use crate::ppo::PpoConfig;
use crate::settings::{Assignment, SettingsError};

/// Settings with the values that they may have, such as `learning_rate = { log_uniform = [1e-4, 1e-2] }`.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchSpace(Vec<(String, Domain)>);

impl SearchSpace {
    /// What `assignments` say, for trials with settings over `base`.
    ///
    /// # Errors
    /// [`SearchError::Settings`] for a setting that doesn't exist, or a domain that makes no sense or has values that the
    /// setting can't have.
    pub fn new<'a>(
        base: &PpoConfig,
        assignments: impl IntoIterator<Item = &'a Assignment>,
    ) -> Result<Self, SearchError> {
        let domains = assignments.into_iter().map(|assignment| {
            let unsound = |reason: String| {
                let (place, key, value) =
                    (assignment.place.clone(), assignment.key.clone(), assignment.value.to_string());
                SettingsError::Value { place, key, value, reason }
            };
            let domain: Domain = serde_json::from_value(assignment.value.clone()).map_err(|error| {
                unsound(format!("{error}; write uniform, log_uniform or integer = [low, high], or choice = [..]"))
            })?;
            if let Some(flaw) = domain.flaw() {
                return Err(unsound(flaw.to_owned()).into());
            }
            for value in ends(&domain) {
                Assignment { value, ..assignment.clone() }.apply(base)?;
            }
            Ok((assignment.key.clone(), domain))
        });
        Ok(Self(domains.collect::<Result<_, SearchError>>()?))
    }

    /// What is usually worth trying: learning rate, discount, lambda, entropy bonus and clip.
    pub fn usual() -> Self {
        let domains = [
            ("learning_rate", Domain::LogUniform(1e-4, 1e-2)),
            ("gamma", Domain::Choice([0.95, 0.98, 0.99, 0.995, 0.999].map(|gamma| json!(gamma)).to_vec())),
            ("gae_lambda", Domain::Uniform(0.8, 1.0)),
            ("entropy_coef", Domain::LogUniform(1e-5, 1e-1)),
            ("clip", Domain::Uniform(0.1, 0.4)),
        ];
        Self(domains.map(|(key, domain)| (key.to_owned(), domain)).to_vec())
    }

    /// The settings, each with its domain.
    pub fn domains(&self) -> &[(String, Domain)] {
        &self.0
    }

    /// A value for each setting.
    pub(super) fn sample(&self, random: &mut Random) -> Map<String, Value> {
        self.0.iter().map(|(key, domain)| (key.clone(), domain.sample(random))).collect()
    }

    /// Values near those of `settings`.
    pub(super) fn change(&self, settings: &Map<String, Value>, random: &mut Random) -> Map<String, Value> {
        let changed = self.0.iter().map(|(key, domain)| (key.clone(), domain.change(&settings[key], random)));
        changed.collect()
    }
}

/// Values that stand for all of a domain.
fn ends(domain: &Domain) -> Vec<Value> {
    match domain {
        Domain::Uniform(low, high) | Domain::LogUniform(low, high) => vec![json!(low), json!(high)],
        Domain::Integer(low, high) => vec![json!(low), json!(high)],
        Domain::Choice(values) => values.clone(),
    }
}

//! The values that a setting may have.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::nn::Random;

/// By how much population-based training changes a number, up or down.
///
/// Source: Jaderberg et al. 2017, §4.1.
const CHANGES: [f64; 2] = [0.8, 1.2];
/// How often a choice is made anew when it is changed.
const ANEW: f32 = 0.25;

/// Where the values of a setting come from, and how they are changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Domain {
    /// A number between two bounds.
    Uniform(f64, f64),
    /// A number between two positive bounds whose logarithm is uniform: for rates and weights.
    LogUniform(f64, f64),
    /// A whole number between two bounds, both included.
    Integer(i64, i64),
    /// One of some values.
    Choice(Vec<Value>),
}

impl Domain {
    /// What is wrong with it, if anything is.
    pub(super) fn flaw(&self) -> Option<&'static str> {
        let is_ordered = |low: f64, high: f64| low.is_finite() && high.is_finite() && low < high;
        match self {
            Self::Uniform(low, high) if !is_ordered(*low, *high) => Some("the first bound must be below the second"),
            Self::LogUniform(low, high) if *low <= 0.0 || !is_ordered(*low, *high) => {
                Some("the bounds must be above 0, the first below the second")
            }
            Self::Integer(low, high) if low >= high => Some("the first bound must be below the second"),
            Self::Choice(values) if values.is_empty() => Some("there is nothing to choose from"),
            _ => None,
        }
    }

    /// A value.
    pub fn sample(&self, random: &mut Random) -> Value {
        let share = f64::from(random.uniform());
        match self {
            Self::Uniform(low, high) => json!(rounded(low + share * (high - low))),
            Self::LogUniform(low, high) => json!(rounded((low.ln() + share * (high.ln() - low.ln())).exp())),
            Self::Integer(low, high) => json!(low + random.below((high - low) as usize + 1) as i64),
            Self::Choice(values) => values[random.below(values.len())].clone(),
        }
    }

    /// A value near `value`: a number times 0.8 or 1.2, within the bounds; the choice before or after, or any.
    pub fn change(&self, value: &Value, random: &mut Random) -> Value {
        let factor = CHANGES[random.below(2)];
        let number = value.as_f64();
        match (self, number) {
            (Self::Uniform(low, high) | Self::LogUniform(low, high), Some(number)) => {
                json!(rounded(number * factor).clamp(*low, *high))
            }
            (Self::Integer(low, high), Some(number)) => {
                let step = if factor < 1.0 { (number * factor).floor() } else { (number * factor).ceil() };
                json!((step as i64).clamp(*low, *high))
            }
            (Self::Choice(values), _) if random.uniform() >= ANEW => {
                let at = values.iter().position(|found| found == value).unwrap_or(0);
                let moved = if factor < 1.0 { at.saturating_sub(1) } else { (at + 1).min(values.len() - 1) };
                values[moved].clone()
            }
            _ => self.sample(random),
        }
    }
}

/// To six digits: more say nothing, and are hard to read.
fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_fill_the_domain_and_stay_within() {
        let mut random = Random::new(1, 0);
        let mut numbers = |domain: Domain| -> Vec<f64> {
            (0..1_000).map(|_| domain.sample(&mut random).as_f64().expect("a number")).collect()
        };
        let logs: Vec<f64> = numbers(Domain::LogUniform(1e-4, 1e-2)).iter().map(|value| value.log10()).collect();
        assert!(logs.iter().all(|log| (-4.001..=-1.999).contains(log)));
        assert!((logs.iter().sum::<f64>() / 1_000.0 + 3.0).abs() < 0.1, "the middle in logarithms");
        let uniform = numbers(Domain::Uniform(-1.0, 3.0));
        assert!((uniform.iter().sum::<f64>() / 1_000.0 - 1.0).abs() < 0.15);
        let mut integers = numbers(Domain::Integer(2, 4));
        integers.sort_by(f64::total_cmp);
        integers.dedup();
        assert_eq!(integers, [2.0, 3.0, 4.0]);
    }

    #[test]
    fn a_change_is_small_and_within_the_bounds() {
        let mut random = Random::new(1, 0);
        for _ in 0..100 {
            let changed = Domain::LogUniform(1e-4, 1e-2).change(&json!(1e-3), &mut random);
            assert!(changed == json!(8e-4) || changed == json!(1.2e-3), "{changed}");
            assert_eq!(
                Domain::Uniform(0.0, 1.0).change(&json!(1.0), &mut random).as_f64().map(|x| x <= 1.0),
                Some(true)
            );
            let changed = Domain::Integer(1, 9).change(&json!(5), &mut random);
            assert!(changed == json!(4) || changed == json!(6), "{changed}");
            assert!(
                ["a", "b"]
                    .map(Value::from)
                    .contains(&Domain::Choice(vec!["a".into(), "b".into()]).change(&"a".into(), &mut random))
            );
        }
    }

    #[test]
    fn senseless_domains_are_found() {
        let flawed = [
            Domain::Uniform(1.0, 1.0),
            Domain::Uniform(0.0, f64::INFINITY),
            Domain::LogUniform(0.0, 1.0),
            Domain::Integer(2, 1),
            Domain::Choice(vec![]),
        ];
        assert!(flawed.iter().all(|domain| domain.flaw().is_some()));
        assert_eq!(Domain::LogUniform(1e-4, 1.0).flaw(), None);
    }
}

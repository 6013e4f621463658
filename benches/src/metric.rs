//! One measured figure.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::{Duration, Instant};

/// A figure with its spread: the median of `n` repetitions, or of `n` single operations.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Metric {
    /// The suite.
    pub suite: String,
    /// The name within the suite.
    pub name: String,
    /// Unit of `value`, `min`, `max` and `p99`.
    pub unit: String,
    /// The median.
    pub value: f64,
    /// How many were measured.
    pub n: usize,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
    /// The 99th percentile, of latencies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
    /// What was set (integers, texts), and further figures of the same run (floating point).
    #[serde(default)]
    pub params: Map<String, Value>,
}

impl Metric {
    /// The median of repetitions.
    ///
    /// # Panics
    /// Without a value.
    pub fn of(name: &str, unit: &str, mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1).expect("at least one value");
        Self {
            suite: String::new(),
            name: name.to_owned(),
            unit: unit.to_owned(),
            value: values[last / 2],
            n: values.len(),
            min: values[0],
            max: values[last],
            p99: None,
            params: Map::new(),
        }
    }

    /// Median and 99th percentile of single operations, in microseconds.
    pub fn latency(name: &str, times: &[Duration]) -> Self {
        let mut values: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e6).collect();
        values.sort_by(f64::total_cmp);
        let p99 = values[(values.len() - 1) * 99 / 100];
        Self { p99: Some(p99), ..Self::of(name, "us", values) }
    }

    /// Whether a greater value is a better one: it is a rate, or a part of what a peer reaches.
    pub fn more_is_better(&self) -> bool {
        self.unit.ends_with("/s") || self.unit == "ratio"
    }

    /// Those of `params` that were set.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.params.iter().filter(|(_, value)| !value.is_f64()).map(|(name, value)| (name.as_str(), value))
    }

    /// The same, with a setting or a further figure.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.params.insert(name.to_owned(), value.into());
        self
    }
}

/// Runs `f` once to warm up, then `reps` times; the seconds of each.
pub fn seconds(reps: usize, mut f: impl FnMut()) -> Vec<f64> {
    f();
    let timed = (0..reps.max(1)).map(|_| {
        let begin = Instant::now();
        f();
        begin.elapsed().as_secs_f64()
    });
    timed.collect()
}

/// Operations a second, of repetitions of `operations` each.
pub fn rates(reps: usize, operations: usize, f: impl FnMut()) -> Vec<f64> {
    seconds(reps, f).into_iter().map(|seconds| operations as f64 / seconds).collect()
}

/// The times of `operations` single calls, after a tenth as many to warm up.
pub fn times(operations: usize, mut f: impl FnMut()) -> Vec<Duration> {
    (0..operations / 10).for_each(|_| f());
    let timed = (0..operations).map(|_| {
        let begin = Instant::now();
        f();
        begin.elapsed()
    });
    timed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_median_and_extremes() {
        let metric = Metric::of("a", "us", vec![5.0, 1.0, 3.0]);
        assert_eq!((metric.value, metric.min, metric.max, metric.n), (3.0, 1.0, 5.0, 3));
    }

    #[test]
    fn reports_the_99th_percentile_of_latencies() {
        let times: Vec<Duration> = (1..=1000).map(Duration::from_micros).collect();
        let metric = Metric::latency("a", &times);
        assert!((metric.value - 500.0).abs() < 1e-6 && metric.p99.is_some_and(|p99| (p99 - 990.0).abs() < 1e-6));
    }

    #[test]
    fn survives_json() {
        let metric = Metric::of("a", "us", vec![1.5]).with("refs", 10).with("beside_ms", 2.0);
        let text = serde_json::to_string(&metric).unwrap();
        let back: Metric = serde_json::from_str(&text).unwrap();
        assert_eq!((back.value, back.p99), (1.5, None));
        assert_eq!(back.settings().map(|(name, _)| name).collect::<Vec<_>>(), ["refs"]);
    }
}

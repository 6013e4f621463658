//! Two files of metrics side by side.

use crate::metric::Metric;
use anyhow::{Context, Result};
use std::fmt::Write;
use std::path::Path;

/// Reads a file of metrics, one JSON object a line.
///
/// # Errors
/// Where the file can't be read, or a line is no metric.
pub fn read(path: &Path) -> Result<Vec<Metric>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("{}:{}: no metric", path.display(), number + 1))
    };
    lines.map(parse).collect()
}

/// A table of the metrics in both, with how much better the second is; then what isn't in both.
pub fn table(first: &[Metric], second: &[Metric]) -> String {
    let mut table = format!("{:<26} {:>16} {:>16} {:<9} second is\n", "metric", "first", "second", "unit");
    for metric in first {
        if let Some(other) = find(second, metric) {
            table += &row(metric, other);
        }
    }
    for (which, these, those) in [("first", first, second), ("second", second, first)] {
        let alone: Vec<String> = these.iter().filter(|metric| find(those, metric).is_none()).map(full_name).collect();
        if !alone.is_empty() {
            table += &format!("only in the {which}: {}\n", alone.join(", "));
        }
    }
    table
}

fn find<'a>(metrics: &'a [Metric], like: &Metric) -> Option<&'a Metric> {
    metrics.iter().find(|metric| metric.suite == like.suite && metric.name == like.name)
}

fn full_name(metric: &Metric) -> String {
    format!("{}.{}", metric.suite, metric.name)
}

fn row(first: &Metric, second: &Metric) -> String {
    let (name, unit) = (full_name(first), &first.unit);
    let mut row = format!("{name:<26} {:>16.3} {:>16.3} {unit:<9} ", first.value, second.value);
    if first.unit != second.unit {
        return row + &format!("in {}, not in {unit}\n", second.unit);
    }
    let ratio = second.value / first.value;
    let gain = if first.more_is_better() { ratio } else { 1.0 / ratio };
    let verdict = if gain >= 1.0 { (gain, "better") } else { (1.0 / gain, "worse") };
    let _ = write!(row, "{:.2}x {}", verdict.0, verdict.1);
    for (setting, one, other) in differences(first, second) {
        let _ = write!(row, "; {setting} {one} against {other}");
    }
    row + "\n"
}

/// Settings that are in both and differ.
fn differences<'a>(first: &'a Metric, second: &'a Metric) -> Vec<(&'a str, String, String)> {
    let settings = first.settings().filter_map(|(name, one)| {
        let (_, other) = second.settings().find(|(other, _)| *other == name)?;
        (one != other).then(|| (name, one.to_string(), other.to_string()))
    });
    settings.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &str, unit: &str, value: f64) -> Metric {
        Metric { suite: "core".into(), ..Metric::of(name, unit, vec![value]) }
    }

    #[test]
    fn pairs_by_suite_and_name() {
        let first = [metric("a", "us", 2.0), metric("b", "us", 1.0)];
        let table = table(&first, &[metric("a", "us", 3.0), metric("c", "us", 1.0)]);
        assert!(table.contains("core.a") && table.contains("1.50x worse"), "{table}");
        assert!(table.contains("only in the first: core.b\nonly in the second: core.c\n"), "{table}");
    }

    #[test]
    fn more_operations_a_second_are_better() {
        let table = table(&[metric("a", "tasks/s", 2.0)], &[metric("a", "tasks/s", 3.0)]);
        assert!(table.contains("1.50x better"), "{table}");
    }

    #[test]
    fn says_where_settings_differ() {
        let of = |leaves: i64, ms: f64| metric("tree", "ms", 1.0).with("leaves", leaves).with("beside_ms", ms);
        let table = table(&[of(1000, 0.5)], &[of(10, 0.7)]);
        assert!(table.contains("; leaves 1000 against 10\n"), "a figure beside isn't a setting: {table}");
    }
}

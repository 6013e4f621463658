//! Two files of metrics side by side.

use crate::metric::Metric;
use anyhow::{Context, Result};
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

/// A table of the metrics in both, with their ratio.
pub fn table(first: &[Metric], second: &[Metric]) -> String {
    let mut table = format!("{:<28} {:>14} {:>14} {:>8}  unit\n", "metric", "first", "second", "ratio");
    for metric in first {
        let same = |other: &&Metric| other.suite == metric.suite && other.name == metric.name;
        let Some(other) = second.iter().find(same) else { continue };
        let name = format!("{}.{}", metric.suite, metric.name);
        let ratio = other.value / metric.value;
        table += &format!("{name:<28} {:>14.4} {:>14.4} {ratio:>7.2}x  {}\n", metric.value, other.value, metric.unit);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_by_suite_and_name() {
        let metric = |name: &str, value| Metric { suite: "core".into(), ..Metric::of(name, "us", vec![value]) };
        let table = table(&[metric("a", 2.0), metric("b", 1.0)], &[metric("a", 3.0)]);
        assert!(table.contains("core.a") && table.contains("1.50x") && !table.contains("core.b"), "{table}");
    }
}

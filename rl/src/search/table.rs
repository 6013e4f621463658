//! The table of a search.

use std::fmt::Write;

use serde_json::Value;

use super::Trial;

/// The rows as CSV, in their order: settings that are no numbers are written as JSON, in quotes.
pub fn to_csv(trials: &[Trial]) -> String {
    let keys = keys(trials);
    let mut text = ["trial", "round", "parent"].map(str::to_owned).to_vec();
    text.extend(keys.iter().map(|key| (*key).clone()));
    text.extend(["env_steps", "score", "error"].map(str::to_owned));
    let mut text = format!("{}\n", text.join(","));
    for trial in trials {
        let mut cells = vec![trial.trial.to_string(), trial.round.to_string(), told(trial.parent)];
        cells.extend(keys.iter().map(|key| quoted(&plain(&trial.settings[*key]))));
        cells.extend([trial.env_steps.to_string(), told(trial.score), quoted(trial.error.as_deref().unwrap_or(""))]);
        writeln!(text, "{}", cells.join(",")).expect("a string takes all that is written");
    }
    text
}

/// The rows for a terminal, the best first.
pub fn to_text(trials: &[Trial]) -> String {
    let keys = keys(trials);
    let mut rows = vec![["trial", "round", "from", "score"].map(str::to_owned).to_vec()];
    rows[0].extend(keys.iter().map(|key| (*key).clone()));
    let mut sorted: Vec<&Trial> = trials.iter().collect();
    sorted.sort_by(|a, b| a.order(b).then(a.round.cmp(&b.round)));
    for trial in sorted {
        let score = trial.score.map_or_else(|| "failed".to_owned(), |score| format!("{score:.2}"));
        let mut row = vec![trial.trial.to_string(), trial.round.to_string(), told(trial.parent), score];
        row.extend(keys.iter().map(|key| plain(&trial.settings[*key])));
        row.extend(trial.error.iter().map(|error| format!(" {error}")));
        rows.push(row);
    }
    let columns = rows[0].len();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().enumerate().map(|(at, cell)| match widths.get(at) {
            Some(width) => format!("{cell:>width$}"),
            None => cell.clone(),
        });
        writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ")).expect("a string takes all that is written");
    }
    text
}

/// Names of the settings, which are the same in all rows.
fn keys(trials: &[Trial]) -> Vec<&String> {
    trials.first().map(|trial| trial.settings.keys().collect()).unwrap_or_default()
}

fn told(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// In quotes where the format asks for them (RFC 4180).
fn quoted(cell: &str) -> String {
    let needs_quotes = cell.contains([',', '"', '\n', '\r']);
    if needs_quotes { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    fn trials() -> Vec<Trial> {
        let settings = |gamma: f64| Map::from_iter([("gamma".into(), json!(gamma)), ("hidden".into(), json!([8, 8]))]);
        let row = |trial, score, error: Option<&str>| Trial {
            trial,
            round: 0,
            parent: None,
            settings: settings(0.9),
            env_steps: 100,
            score,
            error: error.map(str::to_owned),
        };
        let last = Trial { round: 1, parent: Some(0), settings: settings(0.99), ..row(2, Some(3.0), None) };
        vec![row(0, Some(2.0), None), row(1, None, Some("it said \"no\"")), last]
    }

    #[test]
    fn csv_has_all_rows_in_their_order_and_quotes_what_needs_them() {
        let want = "trial,round,parent,gamma,hidden,env_steps,score,error\n\
                    0,0,,0.9,\"[8,8]\",100,2,\n\
                    1,0,,0.9,\"[8,8]\",100,,\"it said \"\"no\"\"\"\n\
                    2,1,0,0.99,\"[8,8]\",100,3,\n";
        assert_eq!(to_csv(&trials()), want);
    }

    #[test]
    fn text_has_the_best_first_and_the_failed_last() {
        let text = to_text(&trials());
        let firsts: Vec<_> = text.lines().map(|line| line.split_whitespace().next().unwrap_or_default()).collect();
        assert_eq!(firsts, ["trial", "2", "0", "1"]);
        assert!(text.lines().last().is_some_and(|line| line.contains("failed") && line.contains("said")), "{text}");
    }
}

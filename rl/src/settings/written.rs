//! Settings as a file that gives the same settings.

use std::fmt::Write;

use serde::Serialize;
use serde_json::{Map, Value};

use super::RunConfig;
use super::overlay::object;

/// All settings of a run in TOML, those of its algorithm in the table `name`. Read over any preset, they are the same.
pub fn to_toml<S: Serialize>(run: &RunConfig, name: &str, algorithm: &S) -> String {
    let mut text = String::new();
    lines(&mut text, &object(run));
    write!(text, "\n[{name}]\n").expect("a string takes all that is written");
    lines(&mut text, &object(algorithm));
    text
}

fn lines(text: &mut String, fields: &Map<String, Value>) {
    for (key, value) in fields {
        writeln!(text, "{key} = {}", inline(value)).expect("a string takes all that is written");
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::Null => "\"none\"".to_owned(),
        Value::Array(values) => format!("[{}]", values.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields: Vec<_> = fields.iter().map(|(key, value)| format!("{key} = {}", inline(value))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        // Numbers, truths and texts are written alike in JSON and in TOML.
        plain => plain.to_string(),
    }
}

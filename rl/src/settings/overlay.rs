//! Lays what somebody wrote over settings.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use toml::de::DeValue;

use super::SettingsError;
use crate::env::nearest;

/// How a setting that may be left out is left out.
const NONE: &str = "none";

/// One setting as somebody wrote it.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// Where: `file:line`, or `--set`.
    pub place: String,
    /// Which.
    pub key: String,
    /// To what.
    pub value: Value,
}

impl Assignment {
    /// What `key=value` says, with a value in TOML; one that is no TOML is a text.
    ///
    /// # Errors
    /// [`SettingsError::Syntax`] without `=`; [`SettingsError::Value`] for a number that is not finite.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let place = "--set".to_owned();
        let Some((key, value)) = text.split_once('=') else {
            let reason = format!("{text:?} has no `=`: write key=value");
            return Err(SettingsError::Syntax { place, reason });
        };
        let (key, text) = (key.trim().to_owned(), value.trim());
        let value = match DeValue::parse(text) {
            Ok(value) => to_json(value.get_ref()),
            Err(_) => Some(Value::from(text)),
        };
        match value {
            Some(value) => Ok(Self { place, key, value }),
            None => Err(no_value(place, &key, text)),
        }
    }

    /// Whether settings of this kind have such a key.
    pub fn is_for<S: Serialize>(&self, settings: &S) -> bool {
        object(settings).contains_key(&self.key)
    }

    /// The settings with this one changed.
    ///
    /// # Errors
    /// [`SettingsError::UnknownKey`] or [`SettingsError::Value`].
    pub fn apply<S: Serialize + DeserializeOwned>(&self, settings: &S) -> Result<S, SettingsError> {
        let mut fields = object(settings);
        let Some(before) = fields.get(&self.key).cloned() else {
            let nearest = nearest(&self.key, fields.keys().map(String::as_str)).unwrap_or_default().to_owned();
            return Err(SettingsError::UnknownKey { place: self.place.clone(), key: self.key.clone(), nearest });
        };
        let mut first_error = None;
        for meant in meanings(&before, &self.value) {
            fields.insert(self.key.clone(), meant);
            match serde_json::from_value(Value::Object(fields.clone())) {
                Ok(settings) => return Ok(settings),
                Err(error) => first_error.get_or_insert(error),
            };
        }
        let reason = first_error.map(|error| error.to_string()).unwrap_or_default();
        let (place, key, value) = (self.place.clone(), self.key.clone(), self.value.to_string());
        Err(SettingsError::Value { place, key, value, reason })
    }
}

/// What a written value may mean in the place of `before`, the most literal meaning first.
fn meanings(before: &Value, written: &Value) -> Vec<Value> {
    let mut meanings = if written == NONE { vec![Value::Null] } else { vec![] };
    meanings.push(written.clone());
    if let Some(number) = written.as_f64() {
        // 1e6 is a whole number, too.
        if number.fract() == 0.0 && number.abs() < 2f64.powi(53) {
            meanings.push(json!(number as i64));
        }
        match before.as_object().and_then(|kind| kind.keys().next()) {
            Some(kind) => meanings.extend(meanings.clone().into_iter().map(|number| json!({ kind: number }))),
            None => meanings.push(json!({ "constant": number })),
        }
    }
    meanings
}

/// The fields of settings, by name.
///
/// By way of text, so that numbers in single precision keep their short forms.
pub(super) fn object<S: Serialize>(settings: &S) -> Map<String, Value> {
    let text = serde_json::to_string(settings).expect("settings are plain data with string keys");
    serde_json::from_str(&text).expect("settings are structs of named fields")
}

/// `None` for a number that isn't finite or too large, or a date.
pub(super) fn to_json(value: &DeValue<'_>) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(number) => match u64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => json!(number),
            Err(_) => json!(i64::from_str_radix(number.as_str(), number.radix()).ok()?),
        },
        DeValue::Float(number) => json!(number.as_str().parse::<f64>().ok().filter(|number| number.is_finite())?),
        DeValue::Boolean(value) => json!(*value),
        DeValue::Datetime(_) => return None,
        DeValue::Array(values) => {
            Value::Array(values.iter().map(|value| to_json(value.get_ref())).collect::<Option<_>>()?)
        }
        DeValue::Table(table) => {
            let entries = table.iter().map(|(key, value)| Some((key.get_ref().to_string(), to_json(value.get_ref())?)));
            Value::Object(entries.collect::<Option<_>>()?)
        }
    })
}

/// An error about a value that no setting has.
pub(super) fn no_value(place: String, key: &str, text: &str) -> SettingsError {
    let reason = "settings are finite numbers, texts, truths, lists and tables".to_owned();
    SettingsError::Value { place, key: key.to_owned(), value: text.to_owned(), reason }
}

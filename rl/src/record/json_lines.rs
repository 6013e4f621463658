//! Lines of JSON, for programs.

use std::path::Path;

use serde_json::{Map, Value};

use super::text_log::TextLog;
use super::{RecordError, Scalars};

/// One object a line and step: `step`, and the numbers that are known and finite (JSON has no others) by name.
#[derive(Debug)]
pub struct JsonLines {
    log: TextLog,
}

impl JsonLines {
    /// A new file at `path`, in place of what was there.
    ///
    /// # Errors
    /// [`RecordError::Io`] if the system refuses.
    pub fn create(path: &Path) -> Result<Self, RecordError> {
        Ok(Self { log: TextLog::create(path)? })
    }

    /// The file at `path` without lines of steps after `step`, to be gone on with.
    ///
    /// # Errors
    /// As [`JsonLines::create`].
    pub fn resume(path: &Path, step: u64) -> Result<Self, RecordError> {
        let is_kept = |line: &str| {
            let line: Option<Value> = serde_json::from_str(line).ok();
            line.and_then(|line| line["step"].as_u64()).is_some_and(|found| found <= step)
        };
        Ok(Self { log: TextLog::resume(path, is_kept)? })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// [`RecordError::Io`] if the system refuses.
    pub fn record(&mut self, scalars: &Scalars) -> Result<(), RecordError> {
        let known = scalars.values.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
        let mut line = Map::from_iter([("step".to_owned(), scalars.step.into())]);
        line.extend(known.filter(|(_, value)| value.is_finite()).map(|(name, value)| (name.to_owned(), value.into())));
        self.log.line(&Value::Object(line).to_string())
    }

    /// Hands all lines to the system.
    ///
    /// # Errors
    /// [`RecordError::Io`] if the system refuses.
    pub fn flush(&mut self) -> Result<(), RecordError> {
        self.log.flush()
    }
}

//! A file of settings.

use std::fs;
use std::ops::Range;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

use super::overlay::{no_value, to_json};
use super::{Assignment, RunConfig, SettingsError};
use crate::env::nearest;

/// What a file of settings says: of the run, and of each algorithm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SettingsFile {
    run: Vec<Assignment>,
    /// Name of the table, and what it says.
    algorithms: Vec<(String, Vec<Assignment>)>,
}

/// The tables that a file may have: one for each algorithm, and the settings that a search tries.
const ALGORITHMS: [&str; 3] = ["ppo", "es", "search"];

impl SettingsFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`SettingsError::Read`] if the system refuses; as [`SettingsFile::parse`].
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let read = fs::read_to_string(path);
        let text = read.map_err(|source| SettingsError::Read { path: path.to_path_buf(), source })?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Reads `text`, which errors say is in the file `name`.
    ///
    /// # Errors
    /// [`SettingsError::Syntax`] if it is no TOML; [`SettingsError::UnknownKey`] for a table that doesn't exist;
    /// [`SettingsError::Value`] for a value that no setting has.
    pub fn parse(name: &str, text: &str) -> Result<Self, SettingsError> {
        let place = |span: Range<usize>| format!("{name}:{}", 1 + text[..span.start].matches('\n').count());
        let parsed = DeTable::parse(text).map_err(|error| {
            let place = error.span().map_or_else(|| name.to_owned(), place);
            SettingsError::Syntax { place, reason: error.message().to_owned() }
        })?;
        let assignment = |key: &str, span: Range<usize>, value: &DeValue<'_>| match to_json(value) {
            Some(value) => Ok(Assignment { place: place(span), key: key.to_owned(), value }),
            None => Err(no_value(place(span), key, "this")),
        };
        let mut file = Self::default();
        for (key, value) in parsed.get_ref() {
            let DeValue::Table(table) = value.get_ref() else {
                file.run.push(assignment(key.get_ref(), key.span(), value.get_ref())?);
                continue;
            };
            if !ALGORITHMS.contains(&key.get_ref().as_ref()) {
                let nearest = nearest(key.get_ref(), ALGORITHMS).unwrap_or_default().to_owned();
                let (place, key) = (place(key.span()), key.get_ref().to_string());
                return Err(SettingsError::UnknownKey { place, key, nearest });
            }
            let entries = table.iter().map(|(key, value)| assignment(key.get_ref(), key.span(), value.get_ref()));
            file.algorithms.push((key.get_ref().to_string(), entries.collect::<Result<_, _>>()?));
        }
        Ok(file)
    }

    /// The settings of the run, over `base`.
    ///
    /// # Errors
    /// [`SettingsError::UnknownKey`] and [`SettingsError::Value`], for the first that is wrong.
    pub fn run(&self, base: &RunConfig) -> Result<RunConfig, SettingsError> {
        self.run.iter().try_fold(base.clone(), |config, assignment| assignment.apply(&config))
    }

    /// What the file says in the table `name`.
    pub fn table(&self, name: &str) -> impl Iterator<Item = &Assignment> {
        self.algorithms.iter().filter(move |(found, _)| found == name).flat_map(|(_, table)| table)
    }

    /// The settings of the algorithm that is called `name`, over `base`.
    ///
    /// # Errors
    /// As [`SettingsFile::run`].
    pub fn algorithm<S>(&self, name: &str, base: &S) -> Result<S, SettingsError>
    where
        S: Serialize + DeserializeOwned + Clone,
    {
        self.table(name).try_fold(base.clone(), |config, assignment| assignment.apply(&config))
    }
}

//! A table that spreadsheets and data frames read.

use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::text_log::TextLog;
use super::{RecordError, Scalars};

/// A table with one row a step: the column `step`, then one for each name. A number that isn't known is an empty cell.
#[derive(Debug)]
pub struct CsvFile {
    log: TextLog,
    /// The first line, once it is written.
    header: Option<String>,
}

impl CsvFile {
    /// A new table at `path`, in place of what was there.
    ///
    /// # Errors
    /// [`RecordError::Io`] if the system refuses.
    pub fn create(path: &Path) -> Result<Self, RecordError> {
        Ok(Self { log: TextLog::create(path)?, header: None })
    }

    /// The table at `path` without rows of steps after `step`, to be gone on with.
    ///
    /// # Errors
    /// As [`CsvFile::create`].
    pub fn resume(path: &Path, step: u64) -> Result<Self, RecordError> {
        let header = std::fs::File::open(path).ok().and_then(|file| BufReader::new(file).lines().next()?.ok());
        let is_kept = |line: &str| match line.split(',').next().map(str::parse::<u64>) {
            Some(Ok(found)) => found <= step,
            _ => header.as_deref() == Some(line),
        };
        let log = TextLog::resume(path, is_kept)?;
        Ok(Self { log, header })
    }

    /// Adds a row; the first makes the columns.
    ///
    /// # Errors
    /// [`RecordError::Columns`] if the names are others than those of the table; [`RecordError::Io`] if the system
    /// refuses.
    pub fn record(&mut self, scalars: &Scalars) -> Result<(), RecordError> {
        self.check_header(scalars)?;
        let mut row = scalars.step.to_string();
        for (_, value) in &scalars.values {
            row.push(',');
            if let Some(value) = value {
                write!(row, "{value}").expect("a string takes all that is written");
            }
        }
        self.log.line(&row)
    }

    /// Hands all rows to the system.
    ///
    /// # Errors
    /// [`RecordError::Io`] if the system refuses.
    pub fn flush(&mut self) -> Result<(), RecordError> {
        self.log.flush()
    }

    fn check_header(&mut self, scalars: &Scalars) -> Result<(), RecordError> {
        let names = scalars.values.iter().map(|(name, _)| *name);
        let expected: Vec<&str> = std::iter::once("step").chain(names).collect();
        let expected = expected.join(",");
        match &self.header {
            Some(found) if *found == expected => Ok(()),
            Some(found) => {
                let (path, found) = (self.log.path().to_path_buf(), found.clone());
                Err(RecordError::Columns { path, expected, found })
            }
            None => {
                self.log.line(&expected)?;
                self.header = Some(expected);
                Ok(())
            }
        }
    }
}

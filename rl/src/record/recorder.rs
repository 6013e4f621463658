//! All records of a run.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{CsvFile, EventFile, JsonLines, RecordError, Scalars};

const CSV: &str = "progress.csv";
const JSON_LINES: &str = "progress.jsonl";
/// How old what is told may get before the system has it, so that a dashboard sees a run while it goes on.
const FLUSH_AFTER: Duration = Duration::from_secs(1);

/// Which records are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Formats {
    /// `events.out.tfevents.*`, for TensorBoard.
    pub tensorboard: bool,
    /// `progress.csv`.
    pub csv: bool,
    /// `progress.jsonl`.
    pub json_lines: bool,
}

/// Writes what a run tells to the files of one folder, and adds how fast it is.
///
/// What is told reaches the system within a second of the next call, at [`Recorder::flush`], and when the recorder is
/// dropped (where errors go unheard).
#[derive(Debug)]
pub struct Recorder {
    begin: Instant,
    first_step: u64,
    next_flush: Duration,
    events: Option<EventFile>,
    csv: Option<CsvFile>,
    json_lines: Option<JsonLines>,
}

impl Formats {
    /// All of them.
    pub const ALL: Self = Self { tensorboard: true, csv: true, json_lines: true };
}

impl Recorder {
    /// Records into `folder`, which is made if need be. Tables there are replaced.
    ///
    /// # Errors
    /// [`RecordError::Io`] if the system refuses.
    pub fn create(folder: &Path, formats: Formats) -> Result<Self, RecordError> {
        fs::create_dir_all(folder).map_err(RecordError::io(folder, "making the folder"))?;
        Ok(Self {
            begin: Instant::now(),
            first_step: 0,
            next_flush: FLUSH_AFTER,
            events: formats.tensorboard.then(|| EventFile::create(folder)).transpose()?,
            csv: formats.csv.then(|| CsvFile::create(&folder.join(CSV))).transpose()?,
            json_lines: formats.json_lines.then(|| JsonLines::create(&folder.join(JSON_LINES))).transpose()?,
        })
    }

    /// Goes on with the records in `folder` after `step`: what they have of later steps is dropped, as it will be told
    /// again.
    ///
    /// # Errors
    /// As [`Recorder::create`].
    pub fn resume(folder: &Path, formats: Formats, step: u64) -> Result<Self, RecordError> {
        fs::create_dir_all(folder).map_err(RecordError::io(folder, "making the folder"))?;
        Ok(Self {
            begin: Instant::now(),
            first_step: step,
            next_flush: FLUSH_AFTER,
            events: formats.tensorboard.then(|| EventFile::resume(folder, step)).transpose()?,
            csv: formats.csv.then(|| CsvFile::resume(&folder.join(CSV), step)).transpose()?,
            json_lines: formats.json_lines.then(|| JsonLines::resume(&folder.join(JSON_LINES), step)).transpose()?,
        })
    }

    /// Records what a run tells, with `charts/SPS` and `time/time_elapsed`.
    ///
    /// # Errors
    /// [`RecordError::Io`] if the system refuses; [`RecordError::Columns`] if the names are others than before.
    pub fn record(&mut self, mut scalars: Scalars) -> Result<(), RecordError> {
        let elapsed = self.begin.elapsed();
        let seconds = elapsed.as_secs_f64();
        let rate = scalars.step.saturating_sub(self.first_step) as f64 / seconds.max(1e-9);
        scalars.values.extend([("charts/SPS", Some(rate)), ("time/time_elapsed", Some(seconds))]);
        self.events.as_mut().map_or(Ok(()), |events| events.record(&scalars))?;
        self.csv.as_mut().map_or(Ok(()), |csv| csv.record(&scalars))?;
        self.json_lines.as_mut().map_or(Ok(()), |lines| lines.record(&scalars))?;
        if elapsed >= self.next_flush {
            self.next_flush = elapsed + FLUSH_AFTER;
            self.flush()?;
        }
        Ok(())
    }

    /// Hands all that was told to the system.
    ///
    /// # Errors
    /// [`RecordError::Io`] if the system refuses.
    pub fn flush(&mut self) -> Result<(), RecordError> {
        self.events.as_mut().map_or(Ok(()), EventFile::flush)?;
        self.csv.as_mut().map_or(Ok(()), CsvFile::flush)?;
        self.json_lines.as_mut().map_or(Ok(()), JsonLines::flush)
    }
}

//! A log that TensorBoard reads.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::proto::{Said, event};
use super::{RecordError, Scalars};

/// Files made by this process, so that two of one second have different names.
static FILES: AtomicU32 = AtomicU32::new(0);

/// A file of events in TensorBoard's format: records with a checksum each, of one `Event` message.
///
/// ```text
/// ┌──────────────┬─────────────────────┬────────────┬───────────────────┐
/// │ length (u64) │ its checksum (u32)  │ the event  │ checksum (u32)    │   little endian, one after the other
/// └──────────────┴─────────────────────┴────────────┴───────────────────┘
/// ```
///
/// Source: TensorFlow, `tensorflow/core/lib/io/record_writer.cc`.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    out: BufWriter<File>,
}

impl EventFile {
    /// A new file in `folder`, beside those of earlier runs: TensorBoard reads all of a folder as one run.
    ///
    /// # Errors
    /// [`RecordError::Io`] if the system refuses.
    pub fn create(folder: &Path) -> Result<Self, RecordError> {
        fs::create_dir_all(folder).map_err(RecordError::io(folder, "making the folder"))?;
        let (seconds, process) = (wall_time() as u64, std::process::id());
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        // TensorBoard takes files in the order of their names.
        let path = folder.join(format!("events.out.tfevents.{seconds:010}.{number:04}.{process}.rayline"));
        let file = File::create_new(&path).map_err(RecordError::io(&path, "making the file"))?;
        let mut file = Self { path, out: BufWriter::new(file) };
        file.write(0, &Said::Version)?;
        Ok(file)
    }

    /// As [`EventFile::create`], for a run that goes on after `step`: what earlier files have of later steps is void, as it
    /// will be told again.
    ///
    /// # Errors
    /// As [`EventFile::create`].
    pub fn resume(folder: &Path, step: u64) -> Result<Self, RecordError> {
        let mut file = Self::create(folder)?;
        file.write(step + 1, &Said::Restart)?;
        Ok(file)
    }

    /// Adds an event with the numbers that are known, in single precision.
    ///
    /// # Errors
    /// [`RecordError::Io`] if the system refuses.
    pub fn record(&mut self, scalars: &Scalars) -> Result<(), RecordError> {
        self.write(scalars.step, &Said::Scalars(&scalars.values))
    }

    /// Hands all events to the system.
    ///
    /// # Errors
    /// [`RecordError::Io`] if the system refuses.
    pub fn flush(&mut self) -> Result<(), RecordError> {
        self.out.flush().map_err(RecordError::io(&self.path, "writing"))
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(&mut self, step: u64, said: &Said<'_>) -> Result<(), RecordError> {
        let event = event(wall_time(), step, said);
        let length = (event.len() as u64).to_le_bytes();
        let parts = [&length[..], &masked(&length).to_le_bytes(), &event, &masked(&event).to_le_bytes()];
        self.out.write_all(&parts.concat()).map_err(RecordError::io(&self.path, "writing"))
    }
}

/// CRC-32C, rotated and shifted, as a checksum of data that holds checksums must be.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Seconds since 1970.
fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_format() {
        // The first record of every file that TensorFlow writes: a length of 24 with this checksum.
        assert_eq!(masked(&24u64.to_le_bytes()).to_le_bytes(), [0xa3, 0x7f, 0x4b, 0x22]);
    }
}

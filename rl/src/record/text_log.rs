//! A text file of one line a step, which can be taken up after a crash.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::RecordError;

/// Lines on their way to a file.
#[derive(Debug)]
pub(super) struct TextLog {
    path: PathBuf,
    out: BufWriter<File>,
}

impl TextLog {
    /// An empty file at `path`, in place of what was there.
    pub fn create(path: &Path) -> Result<Self, RecordError> {
        let file = File::create(path).map_err(RecordError::io(path, "making the file"))?;
        Ok(Self { path: path.to_path_buf(), out: BufWriter::new(file) })
    }

    /// The file at `path` with those of its whole lines that `keeps` wants, to be gone on with; a new one where there is
    /// none. The last line, if it is cut short, is dropped.
    pub fn resume(path: &Path, keeps: impl Fn(&str) -> bool) -> Result<Self, RecordError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Self::create(path),
            Err(error) => return Err(RecordError::io(path, "reading")(error)),
        };
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let kept: String = whole.filter(|line| keeps(line.trim_end())).collect();
        let mut log = Self::create(path)?;
        log.out.write_all(kept.as_bytes()).map_err(RecordError::io(path, "writing"))?;
        Ok(log)
    }

    pub fn line(&mut self, line: &str) -> Result<(), RecordError> {
        writeln!(self.out, "{line}").map_err(RecordError::io(&self.path, "writing"))
    }

    pub fn flush(&mut self) -> Result<(), RecordError> {
        self.out.flush().map_err(RecordError::io(&self.path, "writing"))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

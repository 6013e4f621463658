//! What can go wrong in recording.

use std::io;
use std::path::{Path, PathBuf};

/// A record can't be written, or not be taken up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The system refuses.
    #[error("record {}: {action} failed", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// A table has other columns than what is to be recorded, so that rows would not line up.
    #[error("record {}: has the columns {found}, and not {expected}: record into another folder", path.display())]
    Columns {
        /// The file.
        path: PathBuf,
        /// The columns of what is to be recorded, joined by commas.
        expected: String,
        /// The columns of the file.
        found: String,
    },
}

impl RecordError {
    /// An error of the system, said of `path`.
    pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, action, source }
    }
}

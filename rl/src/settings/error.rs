//! What can be wrong with settings as somebody wrote them.

use std::path::PathBuf;

/// Settings can't be read, or say what can't be. Places are `file:line`, or `--set`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The system refuses.
    #[error("can't read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// No TOML.
    #[error("{place}: {reason}")]
    Syntax {
        /// Where.
        place: String,
        /// What the parser says.
        reason: String,
    },
    /// A key that doesn't exist.
    #[error("{place}: there is no setting {key:?}: did you mean {nearest:?}?")]
    UnknownKey {
        /// Where.
        place: String,
        /// The key.
        key: String,
        /// The one whose name is nearest.
        nearest: String,
    },
    /// A value that the setting can't have.
    #[error("{place}: {key} can't be {value}: {reason}")]
    Value {
        /// Where.
        place: String,
        /// The key.
        key: String,
        /// The value, as JSON.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
}

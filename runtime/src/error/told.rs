//! Errors on their way between processes.
//!
//! What a task returned as its error stays behind as a type: here it has its words only, so
//! [`Error::downcast_ref`] finds nothing in an error that came from another process.

use super::{Error, ErrorKind, Inner, Source};
use crate::registry;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// An error as it is encoded.
#[derive(Serialize, Deserialize)]
struct Encoded {
    kind: ErrorKind,
    task: Option<String>,
    source: Option<EncodedSource>,
}

#[derive(Serialize, Deserialize)]
enum EncodedSource {
    /// What it and its own sources say.
    Words(String),
    Same(Error),
}

/// The words of an error that a task returned in another process.
#[derive(Debug)]
struct Told(String);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Told {}

impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let source = self.0.source.as_ref().map(|source| match source {
            Source::Boxed(error) => EncodedSource::Words(chain(&**error)),
            Source::Same(error) => EncodedSource::Same(error.clone()),
        });
        Encoded { kind: self.0.kind.clone(), task: self.0.task.map(str::to_owned), source }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Error {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Encoded { kind, task, source } = Encoded::deserialize(deserializer)?;
        let source = source.map(|source| match source {
            EncodedSource::Words(words) => Source::Boxed(Box::new(Told(words))),
            EncodedSource::Same(error) => Source::Same(error),
        });
        Ok(Self(Arc::new(Inner { kind, task: task.map(|task| registry::interned(&task)), source })))
    }
}

/// The error's words and those of its sources, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let said = source.to_string();
        // Many say their source themselves.
        if !words.contains(&said) {
            words = format!("{words}: {said}");
        }
        next = source.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayline_store::{decode, encode};

    fn sent(error: &Error) -> Error {
        decode(&encode(error).unwrap()).unwrap()
    }

    #[test]
    fn keeps_kind_task_and_words() {
        let io = std::io::Error::other("the disk is full");
        let error = Error::argument("train", Error::failed("load", 2, io));
        let told = sent(&error);
        assert_eq!(told.to_string(), error.to_string());
        assert_eq!(told.task(), Some("train"));
        assert_eq!(told.root().kind(), &ErrorKind::Failed { attempt: 2 });
        assert!(told.downcast_ref::<std::io::Error>().is_none());
    }

    #[test]
    fn names_from_other_processes_are_kept_once() {
        let error = Error::in_task(ErrorKind::Cancelled, "a name of some task");
        let (first, second) = (sent(&error), sent(&error));
        assert!(std::ptr::eq(first.task().unwrap(), second.task().unwrap()));
    }
}

//! What the head must not forget: in one file, written in batches, and acknowledged when it is committed.
//!
//! ```text
//!  kv.rs: keys and values of users \                          \  one thread takes what waits,
//!  record.rs: names, lives, jobs   ---> Ledger (file.rs: redb) > commits it together, and says so
//! ```
//! Only that is kept which nobody else knows once the head is gone. Nodes end their lives when they lose the head, and join
//! anew with what they have; with them end their leases, actors, bundles and owners. So neither members, actors nor groups
//! are kept: there would be nobody behind them. What stays is that a name was given before, which life of a machine was the
//! last, which jobs there were, and what users have put here.

mod file;
mod kv;
mod record;

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub use file::{LedgerFile, LedgerFileError};
pub use kv::{Kv, KvError};
pub use record::{Binary, Job, JobState, Record, job_key, job_number};

/// The head's durable state: tables of bytes by bytes. What is written is seen by whoever reads after its acknowledgement.
pub trait Ledger: Send + Sync {
    /// Queues a change, and returns. `done` hears of it when it is committed, or can't be: at once where too many wait.
    fn write(&self, change: Change, done: Done);

    /// The value of a key.
    ///
    /// # Errors
    /// `Failed`.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError>;

    /// Shows keys and values in order, those behind `after` that begin with `prefix`, until `show` has enough and says
    /// `false`.
    ///
    /// # Errors
    /// `Failed`.
    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        show: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), LedgerError>;
}

/// Hears whether the key had a value before.
pub type Done = Box<dyn FnOnce(Result<bool, LedgerError>) + Send>;

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// The cluster's id, and what counts on over the lives of the head.
    Meta,
    /// Machines, each with its last life.
    Machines,
    /// What users have put here.
    Kv,
    /// Jobs.
    Jobs,
    /// Executables of jobs.
    Binaries,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub table: Table,
    /// Of which key.
    pub key: Vec<u8>,
    /// To what.
    pub to: To,
}

/// What becomes of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// It has this value.
    Value(Vec<u8>),
    /// It has this value, unless it has one already.
    ValueIfAbsent(Vec<u8>),
    /// It is gone.
    Nothing,
}

/// Why a change is not made, or a key can't be read.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// More waits to be committed than may: ask again later.
    #[error("{waiting} changes wait to be committed, with {bytes} bytes: try again later")]
    Busy {
        /// How many.
        waiting: usize,
        /// How much that is.
        bytes: usize,
    },
    /// The disk is full or broken. Nothing of the same batch is written.
    #[error("can't {what} {path}: is its disk full, or broken?")]
    Failed {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What was said.
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The head ends.
    #[error("the head is ending")]
    Closed,
}

impl Change {
    /// Gives a key a value.
    pub fn put(table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Change {
        Change { table, key: key.into(), to: To::Value(value.into()) }
    }

    /// Takes a key away.
    pub fn delete(table: Table, key: impl Into<Vec<u8>>) -> Change {
        Change { table, key: key.into(), to: To::Nothing }
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> usize {
        let value = match &self.to {
            To::Value(value) | To::ValueIfAbsent(value) => value.len(),
            To::Nothing => 0,
        };
        self.key.len() + value
    }
}

impl fmt::Debug for dyn Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ledger")
    }
}

/// Writes, and waits until it is committed. The thread does nothing else meanwhile.
///
/// # Errors
/// As [`Ledger::write`] says.
pub fn write_now(ledger: &dyn Ledger, change: Change) -> Result<bool, LedgerError> {
    let (done, heard) = std::sync::mpsc::sync_channel(1);
    ledger.write(change, Box::new(move |result| drop(done.send(result))));
    heard.recv().unwrap_or(Err(LedgerError::Closed))
}

/// Writes, and is ready when that is committed.
///
/// # Errors
/// As [`Ledger::write`] says.
pub async fn write(ledger: &dyn Ledger, change: Change) -> Result<bool, LedgerError> {
    let (done, heard) = tokio::sync::oneshot::channel();
    ledger.write(change, Box::new(move |result| drop(done.send(result))));
    heard.await.unwrap_or(Err(LedgerError::Closed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    type Rows = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

    /// A ledger in memory that can break down.
    #[derive(Default)]
    pub struct Memory {
        rows: Mutex<Rows>,
        is_broken: AtomicBool,
    }

    impl Memory {
        pub fn break_down(&self, is_broken: bool) {
            self.is_broken.store(is_broken, Ordering::SeqCst);
        }
    }

    impl Ledger for Memory {
        fn write(&self, change: Change, done: Done) {
            if self.is_broken.load(Ordering::SeqCst) {
                return done(Err(LedgerError::Closed));
            }
            let key = (change.table, change.key);
            let mut rows = self.rows.lock().unwrap();
            let was = rows.contains_key(&key);
            match change.to {
                To::Nothing => drop(rows.remove(&key)),
                To::ValueIfAbsent(_) if was => {}
                To::Value(value) | To::ValueIfAbsent(value) => drop(rows.insert(key, value)),
            }
            drop(rows);
            done(Ok(was));
        }

        fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
            Ok(self.rows.lock().unwrap().get(&(table, key.to_vec())).cloned())
        }

        fn scan(
            &self,
            table: Table,
            prefix: &[u8],
            after: Option<&[u8]>,
            show: &mut dyn FnMut(&[u8], &[u8]) -> bool,
        ) -> Result<(), LedgerError> {
            let rows = self.rows.lock().unwrap();
            let fit = rows.iter().filter(|((of, key), _)| {
                *of == table && key.starts_with(prefix) && after.is_none_or(|after| &key[..] > after)
            });
            for ((_, key), value) in fit {
                if !show(key, value) {
                    break;
                }
            }
            Ok(())
        }
    }
}

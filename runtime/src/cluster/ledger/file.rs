//! The ledger in one file, by redb.

use super::{Change, Done, Ledger, LedgerError, Table, To, write_now};
use crate::cluster::secret::{SecretError, check_private};
use rayline_transport::tcp::ClusterId;
use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// What this release writes. A file that says more is of a later one.
const FORMAT: u32 = 1;
/// Changes that may wait to be committed.
const WAITING_MAX: usize = 4096;
/// Bytes that may wait, and bytes of a commit.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// redb's cache in bytes: the head holds little else, and what is asked often is small.
const CACHE_BYTES: usize = 8 << 20;
const TABLES: [Table; 5] = [Table::Meta, Table::Machines, Table::Kv, Table::Jobs, Table::Binaries];

/// A ledger in a file that only its owner may read.
///
/// One thread commits. Whatever comes while it does is committed together next, so that an idle ledger answers after one
/// write to disk, and a busy one makes fewer of them.
pub struct LedgerFile {
    path: PathBuf,
    database: Arc<Database>,
    orders: Option<SyncSender<Order>>,
    writer: Option<JoinHandle<()>>,
    waiting: Arc<Waiting>,
}

/// Why a file can't be used as ledger.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerFileError {
    /// Others may read it, or it can't be looked at.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It is broken.
    #[error(
        "{path} is damaged: put a copy of it in its place, or move it away and start again, which forgets keys and jobs; if \
         you move it, move the file `secret` beside it too, so that no name is given twice in one cluster"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        #[source]
        source: DatabaseError,
    },
    /// A later release has written it.
    #[error(
        "{path} has format {found}, and this release knows formats up to {known}: start the release that wrote it, or a later one"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// It is of another cluster.
    #[error(
        "{path} is of cluster {found:032x}, and the secret beside it of another: put together what belongs together"
    )]
    OtherCluster {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: u128,
    },
    /// It can't be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// A change, and who waits for it.
struct Order {
    change: Change,
    done: Done,
}

/// What waits, and what was done.
#[derive(Default)]
struct Waiting {
    changes: AtomicUsize,
    bytes: AtomicUsize,
    commits: AtomicU64,
}

impl LedgerFile {
    /// Opens the ledger of a cluster, and makes the file where it is missing. All of it is read, and checked.
    ///
    /// # Errors
    /// See [`LedgerFileError`].
    pub fn open(path: &Path, cluster: ClusterId) -> Result<LedgerFile, LedgerFileError> {
        let database = database(path, private_file(path)?)?;
        match stored(&database).map_err(|source| failed("read", path, source))? {
            None => {}
            Some((found, _)) if found > FORMAT => {
                return Err(LedgerFileError::Newer { path: path.into(), found, known: FORMAT });
            }
            Some((_, found)) if found != cluster.0 => {
                return Err(LedgerFileError::OtherCluster { path: path.into(), found });
            }
            Some(_) => {}
        }
        let (orders, queue) = sync_channel(WAITING_MAX);
        let (database, waiting) = (Arc::new(database), Arc::new(Waiting::default()));
        let (theirs, seen, of) = (database.clone(), waiting.clone(), path.to_owned());
        let writer = std::thread::Builder::new().name("rayline-ledger".into());
        let writer = writer.spawn(move || commit_all(&theirs, &queue, &seen, &of));
        let writer = writer.map_err(|source| failed("start the thread that writes", path, source))?;
        let ledger = LedgerFile { path: path.into(), database, orders: Some(orders), writer: Some(writer), waiting };
        write_now(&ledger, Change::put(Table::Meta, "format", FORMAT.to_le_bytes()))?;
        write_now(&ledger, Change::put(Table::Meta, "cluster", cluster.0.to_le_bytes()))?;
        Ok(ledger)
    }

    /// How many commits there were.
    pub fn commits(&self) -> u64 {
        self.waiting.commits.load(Ordering::Relaxed)
    }

    fn failed(&self, source: redb::Error) -> LedgerError {
        failed("read", &self.path, source)
    }

    fn table(&self, table: Table) -> Result<redb::ReadOnlyTable<&'static [u8], &'static [u8]>, LedgerError> {
        let read = self.database.begin_read().map_err(|error| self.failed(error.into()))?;
        read.open_table(definition(table)).map_err(|error| self.failed(error.into()))
    }
}

impl Ledger for LedgerFile {
    fn write(&self, change: Change, done: Done) {
        let bytes = change.bytes();
        let Waiting { changes, bytes: waiting, .. } = &*self.waiting;
        let busy = |waiting| LedgerError::Busy { waiting: changes.load(Ordering::Relaxed), bytes: waiting };
        let before = waiting.fetch_add(bytes, Ordering::Relaxed);
        changes.fetch_add(1, Ordering::Relaxed);
        let orders = self.orders.as_ref().expect("it is taken when the ledger is dropped");
        let refused = if before > 0 && before + bytes > WAITING_BYTES_MAX {
            Some((done, busy(before)))
        } else {
            match orders.try_send(Order { change, done }) {
                Ok(()) => None,
                Err(TrySendError::Full(order)) => Some((order.done, busy(before))),
                Err(TrySendError::Disconnected(order)) => Some((order.done, LedgerError::Closed)),
            }
        };
        if let Some((done, error)) = refused {
            self.waiting.less(1, bytes);
            done(Err(error));
        }
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        let found = self.table(table)?.get(key).map_err(|error| self.failed(error.into()))?;
        Ok(found.map(|value| value.value().to_vec()))
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        show: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), LedgerError> {
        let from = match after.filter(|after| *after >= prefix) {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(prefix),
        };
        let table = self.table(table)?;
        let rows = table.range::<&[u8]>((from, Bound::Unbounded)).map_err(|error| self.failed(error.into()))?;
        for row in rows {
            let (key, value) = row.map_err(|error| self.failed(error.into()))?;
            if !key.value().starts_with(prefix) || !show(key.value(), value.value()) {
                break;
            }
        }
        Ok(())
    }
}

impl Drop for LedgerFile {
    /// What waits is committed.
    fn drop(&mut self) {
        self.orders = None;
        // Where what it tells of held the last handle, it is the writer itself that drops this.
        let is_writer = |writer: &JoinHandle<()>| writer.thread().id() == std::thread::current().id();
        if let Some(writer) = self.writer.take().filter(|writer| !is_writer(writer)) {
            // It has no panic of ours to pass on.
            let _ = writer.join();
        }
    }
}

impl Waiting {
    fn less(&self, changes: usize, bytes: usize) {
        self.changes.fetch_sub(changes, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The thread that commits, until nobody can send it any more.
fn commit_all(database: &Database, orders: &Receiver<Order>, waiting: &Waiting, path: &Path) {
    while let Ok(first) = orders.recv() {
        let batch: Vec<Order> = std::iter::once(first).chain(orders.try_iter().take(WAITING_MAX - 1)).collect();
        let bytes = batch.iter().map(|order| order.change.bytes()).sum();
        let done = commit(database, &batch);
        waiting.commits.fetch_add(1, Ordering::Relaxed);
        waiting.less(batch.len(), bytes);
        match done {
            Ok(were) => batch.into_iter().zip(were).for_each(|(order, was)| (order.done)(Ok(was))),
            Err(source) => {
                let error = failed("write", path, source);
                batch.into_iter().for_each(|order| (order.done)(Err(error.clone())));
            }
        }
    }
}

/// Makes all of these changes, or none; of each, whether its key had a value.
fn commit(database: &Database, batch: &[Order]) -> Result<Vec<bool>, redb::Error> {
    let write = database.begin_write()?;
    let mut were = vec![false; batch.len()];
    for table in TABLES {
        // Opened also where nothing changes: who reads expects all tables.
        let mut rows = write.open_table(definition(table))?;
        for (order, was) in batch.iter().zip(&mut were).filter(|(order, _)| order.change.table == table) {
            let key = &order.change.key[..];
            *was = match &order.change.to {
                To::Value(value) => rows.insert(key, &value[..])?.is_some(),
                To::Nothing => rows.remove(key)?.is_some(),
                To::ValueIfAbsent(value) => {
                    let is_there = rows.get(key)?.is_some();
                    if !is_there {
                        rows.insert(key, &value[..])?;
                    }
                    is_there
                }
            };
        }
    }
    write.commit()?;
    Ok(were)
}

fn definition(table: Table) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(match table {
        Table::Meta => "meta",
        Table::Machines => "machines",
        Table::Kv => "kv",
        Table::Jobs => "jobs",
        Table::Binaries => "binaries",
    })
}

/// Opens the file, or makes it, where it is ours alone.
fn private_file(path: &Path) -> Result<File, SecretError> {
    let error = |what| move |source: io::Error| SecretError::Io { what, path: path.to_owned(), source };
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(|errno| error("open")(errno.into()))?;
    let file = File::from(file);
    let found = file.metadata().map_err(error("look at"))?;
    check_private(path, found.uid(), found.mode(), "600")?;
    Ok(file)
}

fn database(path: &Path, file: File) -> Result<Database, LedgerFileError> {
    let backend = FileBackend::new(file).map_err(|source| failed("open", path, source))?;
    let mut builder = Database::builder();
    let opened = builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true).create_with_backend(backend);
    opened.map_err(|source| match source {
        DatabaseError::Storage(StorageError::Io(source)) if source.kind() != io::ErrorKind::InvalidData => {
            failed("open", path, source).into()
        }
        source => LedgerFileError::Damaged { path: path.into(), source },
    })
}

/// The format and the cluster that a file says; `None` where it is new.
fn stored(database: &Database) -> Result<Option<(u32, u128)>, redb::Error> {
    let read = database.begin_read()?;
    let meta = match read.open_table(definition(Table::Meta)) {
        Ok(meta) => meta,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let format = meta.get(&b"format"[..])?.and_then(|value| value.value().try_into().ok());
    let cluster = meta.get(&b"cluster"[..])?.and_then(|value| value.value().try_into().ok());
    Ok(format.map(u32::from_le_bytes).zip(cluster.map(u128::from_le_bytes)))
}

fn failed(what: &'static str, path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> LedgerError {
    LedgerError::Failed { what, path: path.into(), source: Arc::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    use tokio::runtime::Builder;

    const CLUSTER: ClusterId = ClusterId(5);

    /// A file of its own, removed in the end.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            let path = std::env::temp_dir().join(format!("rayline-ledger-{}-{name}", std::process::id()));
            let _ = std::fs::remove_file(&path);
            Place(path)
        }

        fn open(&self) -> Result<LedgerFile, LedgerFileError> {
            LedgerFile::open(&self.0, CLUSTER)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn put(key: &str, value: &[u8]) -> Change {
        Change::put(Table::Kv, key, value)
    }

    #[test]
    fn what_was_acknowledged_is_there_again_and_only_for_us() {
        let place = Place::new("again");
        let ledger = place.open().unwrap();
        assert!(!write_now(&ledger, put("a", b"1")).unwrap());
        assert!(write_now(&ledger, put("a", b"2")).unwrap());
        let absent = |key: &str| Change { to: To::ValueIfAbsent(b"3".to_vec()), ..put(key, b"") };
        assert!(write_now(&ledger, absent("a")).unwrap() && !write_now(&ledger, absent("b")).unwrap());
        drop(ledger);
        assert_eq!(std::fs::metadata(&place.0).unwrap().permissions().mode() & 0o777, 0o600);
        let ledger = place.open().unwrap();
        assert_eq!(ledger.get(Table::Kv, b"a").unwrap(), Some(b"2".to_vec()));
        assert_eq!(ledger.get(Table::Jobs, b"a").unwrap(), None);
        assert!(write_now(&ledger, Change::delete(Table::Kv, "a")).unwrap());
        let mut keys = Vec::new();
        let mut show = |key: &[u8], _: &[u8]| {
            keys.push(key.to_vec());
            true
        };
        ledger.scan(Table::Kv, b"", Some(b"a"), &mut show).unwrap();
        assert_eq!(keys, [b"b"]);
    }

    #[test]
    fn what_is_acknowledged_can_be_read() {
        let place = Place::new("order");
        let ledger = Arc::new(place.open().unwrap());
        let (told, heard) = std::sync::mpsc::channel();
        for i in 0..50_u8 {
            let (told, reader, key) = (told.clone(), ledger.clone(), [i]);
            let done = move |_| told.send(reader.get(Table::Kv, &key).unwrap()).unwrap();
            ledger.write(Change::put(Table::Kv, key, [i; 9]), Box::new(done));
        }
        for i in 0..50_u8 {
            assert_eq!(heard.recv().unwrap(), Some(vec![i; 9]), "it is acknowledged before it is there");
        }
    }

    #[test]
    fn a_thousand_puts_at_once_take_few_commits() {
        let place = Place::new("batch");
        let ledger = place.open().unwrap();
        let before = ledger.commits();
        let (told, heard) = std::sync::mpsc::channel();
        for i in 0..1000 {
            let told = told.clone();
            ledger.write(put(&format!("k{i}"), &[7; 100]), Box::new(move |done| told.send(done).unwrap()));
        }
        for _ in 0..1000 {
            assert!(!heard.recv().unwrap().unwrap());
        }
        let commits = ledger.commits() - before;
        assert!((1..=100).contains(&commits), "{commits} commits for 1000 puts");
    }

    #[test]
    fn more_than_may_wait_is_refused() {
        let place = Place::new("busy");
        let ledger = place.open().unwrap();
        // The thread that commits is held up where it tells of the first.
        let (begun, is_held) = std::sync::mpsc::channel();
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        let hold = move |done: Result<bool, LedgerError>| {
            begun.send(done.is_ok()).unwrap();
            held.recv().unwrap();
        };
        ledger.write(put("first", b""), Box::new(hold));
        assert!(is_held.recv().unwrap());

        let (told, heard) = std::sync::mpsc::channel();
        let (fit, value) = (WAITING_BYTES_MAX >> 20, vec![0; (1 << 20) - 5]);
        for _ in 0..fit + 3 {
            let told = told.clone();
            ledger.write(put("large", &value), Box::new(move |done| told.send(done).unwrap()));
        }
        for _ in 0..3 {
            let refused = heard.recv().unwrap();
            assert!(matches!(refused, Err(LedgerError::Busy { waiting: 65, bytes: WAITING_BYTES_MAX })), "{refused:?}");
        }
        let_go.send(()).unwrap();
        assert!((0..fit).all(|_| heard.recv().unwrap().is_ok()));
        let write = super::super::write(&ledger, put("large", b"small"));
        assert!(Builder::new_current_thread().build().unwrap().block_on(write).unwrap());
    }

    #[test]
    fn what_can_not_be_read_is_refused_with_what_to_do() {
        let place = Place::new("broken");
        let error = |place: &Place| place.open().err().unwrap().to_string();
        write_now(&place.open().unwrap(), Change::put(Table::Meta, "format", 9_u32.to_le_bytes())).unwrap();
        assert!(error(&place).contains("format 9") && error(&place).contains("start the release"), "{}", error(&place));
        std::fs::remove_file(&place.0).unwrap();

        drop(place.open().unwrap());
        let other = LedgerFile::open(&place.0, ClusterId(6)).err().unwrap();
        assert!(matches!(other, LedgerFileError::OtherCluster { found: 5, .. }), "{other}");
        std::fs::set_permissions(&place.0, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(error(&place).contains("chmod 600"), "{}", error(&place));

        std::fs::remove_file(&place.0).unwrap();
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).mode(0o600);
        drop(options.open(&place.0).unwrap());
        std::fs::write(&place.0, "no database").unwrap();
        assert!(error(&place).contains("is damaged") && error(&place).contains("move it away"), "{}", error(&place));
    }

    #[test]
    fn a_flipped_bit_is_found() {
        let place = Place::new("flipped");
        let ledger = place.open().unwrap();
        write_now(&ledger, put("key", &[0xA7; 3000])).unwrap();
        drop(ledger);
        let mut bytes = std::fs::read(&place.0).unwrap();
        let found: Vec<usize> = (0..bytes.len() - 64).filter(|at| bytes[*at..*at + 64] == [0xA7; 64]).collect();
        assert!(!found.is_empty());
        // All that there is of the value, wherever earlier commits have left it.
        found.iter().for_each(|at| bytes[*at] ^= 1);
        std::fs::write(&place.0, &bytes).unwrap();
        assert!(matches!(place.open(), Err(LedgerFileError::Damaged { .. })));
    }
}

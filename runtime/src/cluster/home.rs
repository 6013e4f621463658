//! The folder of a daemon: its secret, where it is, its lives, its log.

use super::secret::{Invitation, Keys, SecretError, check_private, fill, read_private, write_private};
use rayline_core::members::Peer;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing::warn;

/// How often a lock is tried again.
const LOOKS_MAX: u32 = 10;

/// A folder that only its owner may enter.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
}

/// A daemon that runs: what is written down while it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Where the head listens.
    pub address: SocketAddr,
    /// Whether the head is in this daemon.
    pub is_head: bool,
    /// The daemon's process.
    pub pid: u32,
    /// The file of the cluster's secret.
    pub secret_file: PathBuf,
}

/// Where a cluster's control surface is, as the head tells each node that joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it speaks TLS, and expects certificates of its clients.
    pub is_encrypted: bool,
}

/// Why a folder can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// One of its files, or itself, is refused.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A daemon has it.
    #[error(
        "a daemon runs already in {path}{}: end it with `rayline stop`, or set RAYLINE_HOME to another folder",
        .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Busy {
        /// The folder.
        path: PathBuf,
        /// Its process, if it is known.
        pid: Option<u32>,
    },
}

/// The number of a life, kept over restarts.
#[derive(Serialize, Deserialize)]
struct Lives {
    machine: u64,
    boot: u64,
}

impl Home {
    /// `$RAYLINE_HOME`, else `$XDG_RUNTIME_DIR/rayline`, else `/tmp/rayline-UID`. It is made where it is missing.
    ///
    /// # Errors
    /// Where it can't be made, another owns it, or others may enter it.
    pub fn open() -> Result<Home, HomeError> {
        match std::env::var_os("RAYLINE_HOME").filter(|path| !path.is_empty()) {
            Some(path) => Self::at(Path::new(&path)),
            None => Self::at(&Self::usual()),
        }
    }

    /// The folder where the environment names none.
    pub fn usual() -> PathBuf {
        match std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty()) {
            Some(path) => Path::new(&path).join("rayline"),
            None => std::env::temp_dir().join(format!("rayline-{}", rustix::process::geteuid().as_raw())),
        }
    }

    /// A folder by its path.
    ///
    /// # Errors
    /// As [`Home::open`].
    pub fn at(path: &Path) -> Result<Home, HomeError> {
        let path = std::path::absolute(path).map_err(error(path, "find"))?;
        match std::fs::DirBuilder::new().mode(0o700).recursive(false).create(&path) {
            Err(failed) if failed.kind() != io::ErrorKind::AlreadyExists => return Err(error(&path, "create")(failed)),
            _ => {}
        }
        let found = std::fs::symlink_metadata(&path).map_err(error(&path, "look at"))?;
        if !found.is_dir() {
            let advice = "set RAYLINE_HOME to a folder".to_owned();
            return Err(SecretError::Unsafe { path, why: "is no folder".into(), advice }.into());
        }
        check_private(&path, found.uid(), found.mode(), "700")?;
        Ok(Home { path })
    }

    /// The file of the cluster's secret, where this folder has made it.
    pub fn secret_file(&self) -> PathBuf {
        self.path.join("secret")
    }

    /// The head's durable state.
    pub fn ledger_file(&self) -> PathBuf {
        self.path.join("ledger")
    }

    /// What those take along who join a head that others can reach.
    pub fn token_file(&self) -> PathBuf {
        self.path.join("token")
    }

    /// The certificate of the head's authority.
    pub fn ca_file(&self) -> PathBuf {
        self.path.join("ca.pem")
    }

    /// The daemon's log.
    pub fn log_file(&self) -> PathBuf {
        self.path.join("log")
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the folder for this process, as long as the file lives.
    ///
    /// # Errors
    /// `Busy` where another has it.
    pub fn lock(&self) -> Result<File, HomeError> {
        let file = self.lock_file()?;
        let try_lock = || rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        // Whoever just looks has it for a moment.
        let mut locked = try_lock();
        for _ in 0..LOOKS_MAX {
            if locked == Err(rustix::io::Errno::WOULDBLOCK) {
                std::thread::sleep(Duration::from_millis(10));
                locked = try_lock();
            }
        }
        match locked {
            Ok(()) => Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let pid = self.running_file().map(|running| running.pid);
                Err(HomeError::Busy { path: self.path.clone(), pid })
            }
            Err(errno) => Err(error(&self.path, "lock")(errno.into())),
        }
    }

    /// The daemon that has the folder.
    ///
    /// # Errors
    /// Where the folder can't be looked at.
    pub fn running(&self) -> Result<Option<Running>, HomeError> {
        let file = self.lock_file()?;
        // Shared, so that two that look don't take each other for a daemon.
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(self.running_file()),
            Ok(()) => Ok(None),
            Err(errno) => Err(error(&self.path, "lock")(errno.into())),
        }
    }

    /// Writes down what runs here. For who has the lock.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn note_running(&self, running: &Running) -> Result<(), HomeError> {
        self.replace("daemon", running)
    }

    /// Nothing runs here any more.
    pub fn note_stopped(&self) {
        // Without the lock they count for nothing, if they stay.
        for file in ["daemon", "control"] {
            let _ = std::fs::remove_file(self.path.join(file));
        }
    }

    /// Writes down where the control surface is, which each head says anew.
    pub(super) fn note_control(&self, control: Control) {
        if let Err(error) = self.replace("control", &control) {
            warn!(error = &error as &dyn std::error::Error, "commands in this folder won't find the head");
        }
    }

    /// Where the control surface is, as the daemon here was told.
    pub fn control(&self) -> Option<Control> {
        serde_json::from_str(&read_private(&self.path.join("control")).ok()?).ok()
    }

    /// Writes the file for those who join.
    pub(super) fn invite(&self, keys: &Keys, invitation: Invitation) -> Result<(), HomeError> {
        self.replace_text("token", &keys.inviting(invitation))
    }

    /// The cluster's keys of this folder, made where there are none.
    ///
    /// # Errors
    /// Where they can't be made, or their file is refused.
    pub fn keys(&self) -> Result<Keys, HomeError> {
        let path = self.secret_file();
        if std::fs::symlink_metadata(&path).is_ok() {
            return Ok(Keys::read(&path)?);
        }
        let keys = Keys::new().map_err(error(&path, "find randomness for"))?;
        keys.write_new(&path)?;
        Ok(keys)
    }

    /// The name of a new life. For who has the lock.
    ///
    /// # Errors
    /// Where it can't be written down.
    pub fn next_life(&self) -> Result<Peer, HomeError> {
        let known = read_private(&self.path.join("lives")).ok();
        let mut lives = match known.and_then(|text| serde_json::from_str::<Lives>(&text).ok()) {
            Some(lives) => lives,
            None => {
                let mut machine = [0; 8];
                fill(&mut machine).map_err(error(&self.path, "find randomness for"))?;
                Lives { machine: u64::from_le_bytes(machine), boot: 0 }
            }
        };
        lives.boot += 1;
        self.replace("lives", &lives)?;
        Ok(Peer { machine: lives.machine, boot: lives.boot })
    }

    fn lock_file(&self) -> Result<File, HomeError> {
        let path = self.path.join("lock");
        let flags = rustix::fs::OFlags::NOFOLLOW.bits();
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600).custom_flags(flags.cast_signed());
        options.open(&path).map_err(error(&path, "open"))
    }

    fn running_file(&self) -> Option<Running> {
        serde_json::from_str(&read_private(&self.path.join("daemon")).ok()?).ok()
    }

    /// Replaces a file as a whole, so that who reads it sees the old or the new one.
    fn replace(&self, name: &str, value: &impl Serialize) -> Result<(), HomeError> {
        self.replace_text(name, &serde_json::to_string(value).expect("numbers, texts and paths of ours"))
    }

    fn replace_text(&self, name: &str, text: &str) -> Result<(), HomeError> {
        let (path, new) = (self.path.join(name), self.path.join(format!("{name}.new")));
        let _ = std::fs::remove_file(&new);
        write_private(&new, text)?;
        std::fs::rename(&new, &path).map_err(error(&path, "replace"))
    }
}

fn error(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> HomeError {
    let path = path.to_owned();
    move |source| SecretError::Io { what, path, source }.into()
}

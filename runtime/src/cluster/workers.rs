//! The worker processes of a node: one for each driver that has hired it.
//!
//! ```text
//!  Hire --> a thread: reads the program, starts it, gives it its posting --> the worker calls its driver by itself
//!                |  hands on what it writes, waits for its end
//!                '--> Fate --> the daemon's loop --> letters to the driver
//! ```
//! A worker ends with its thread, and so with the daemon: the system sees to that.

use super::binary::Binaries;
use super::desk::Desk;
use super::letter::{Address, Hire, Letter};
use super::secret::Keys;
use crate::error::chain;
use crate::process::{LastLines, Posting, assign_worker, ended, forward};
use rayline_core::ids::{NodeId, OwnerId};
use rayline_store::encode;
use rayline_transport::PeerId;
use rayline_transport::tcp::{Secret, Tcp};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tracing::{info, warn};

/// Fate that wait for the daemon's loop; beyond it workers that write wait.
const FATES_MAX: usize = 1024;

/// What becomes of a worker.
pub(super) enum Fate {
    /// It runs.
    Started { owner: OwnerId, pid: u32, process: OwnedFd },
    /// It wrote a line.
    Wrote { owner: OwnerId, pid: u32, line: String },
    /// It is gone, or never was.
    Ended { owner: OwnerId, worker: u128, how: Result<String, String> },
}

/// All workers of a node.
pub(super) struct Workers {
    common: Arc<Common>,
    hired: BTreeMap<OwnerId, Hired>,
}

/// What the threads of all workers share.
struct Common {
    tcp: Arc<Tcp>,
    keys: Keys,
    listen: IpAddr,
    trusts_network: bool,
    cpus: u32,
    folder: PathBuf,
    binaries: Binaries,
    fates: Sender<Fate>,
}

/// One worker.
struct Hired {
    /// Once it runs.
    process: Option<OwnedFd>,
    /// Nobody wants it any more: it is killed as soon as it runs.
    is_unwanted: bool,
}

impl Workers {
    /// No workers yet, and what will come of them. Their full output goes to files in `folder`.
    pub(super) fn new(
        tcp: Arc<Tcp>,
        keys: Keys,
        (cpus, trusts_network): (u32, bool),
        folder: PathBuf,
    ) -> (Workers, Receiver<Fate>) {
        let (fates, receiver) = channel(FATES_MAX);
        let (listen, binaries) = (tcp.address().ip(), Binaries::default());
        let common = Arc::new(Common { tcp, keys, listen, trusts_network, cpus, folder, binaries, fates });
        (Workers { common, hired: BTreeMap::new() }, receiver)
    }

    /// Starts a worker for a driver, which has none here.
    pub(super) fn hire(&mut self, node: NodeId, job: Hire) {
        let driver = PeerId(job.driver.peer);
        self.common.tcp.introduce(driver, job.driver.address);
        if self.hired.contains_key(&job.owner) {
            return;
        }
        let worker = match super::post::fresh_peer() {
            Ok(peer) => peer.0,
            Err(error) => return warn!(%error, "no name for a worker"),
        };
        info!(owner = %job.owner, binary = %job.binary.id, "a driver hires a worker");
        self.hired.insert(job.owner, Hired { process: None, is_unwanted: false });
        let (common, owner) = (self.common.clone(), job.owner);
        let attend = move || {
            let how = common.employ(node, worker, &job);
            // The daemon is gone where nobody listens, and this process with it.
            let _ = common.fates.blocking_send(Fate::Ended { owner, worker, how });
        };
        if let Err(error) = std::thread::Builder::new().name("rayline-worker".into()).spawn(attend) {
            warn!(%error, "no thread for a worker");
            self.hired.remove(&owner);
        }
    }

    /// Tells a driver what has become of its worker.
    pub(super) fn hear(&mut self, desk: &mut Desk, node: Option<NodeId>, fates: Fate) {
        match fates {
            Fate::Started { owner, pid, process } => {
                let Some(hired) = self.hired.get_mut(&owner) else { return };
                info!(%owner, pid, "a worker runs");
                hired.process = Some(process);
                if hired.is_unwanted {
                    hired.kill();
                }
            }
            Fate::Wrote { owner, pid, line } => {
                if let Some(node) = node {
                    desk.send(Address::Owner(owner), Letter::Wrote { node, pid, line });
                }
            }
            Fate::Ended { owner, worker, how } => {
                info!(%owner, ?how, "a worker has ended");
                self.hired.remove(&owner);
                if let Some(node) = node {
                    desk.send(Address::Owner(owner), Letter::WorkerEnded { node, worker, how });
                }
            }
        }
    }

    /// A driver is dead: so is its worker.
    pub(super) fn dismiss(&mut self, owner: OwnerId) {
        if let Some(hired) = self.hired.get_mut(&owner) {
            hired.kill();
        }
    }

    /// The node's life is over, and that of all its workers.
    pub(super) fn dismiss_all(&mut self) {
        self.hired.values_mut().for_each(Hired::kill);
    }
}

impl Hired {
    fn kill(&mut self) {
        self.is_unwanted = true;
        if let Some(process) = &self.process {
            // It fails where it is gone.
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
    }
}

impl Common {
    /// Starts a worker, and attends it until it ends: how, or why it never ran.
    fn employ(&self, node: NodeId, worker: u128, job: &Hire) -> Result<String, String> {
        let program = self.binaries.get(&self.tcp, PeerId(job.driver.peer), &job.binary);
        let program = program.map_err(|error| chain(&error))?;
        let failed = |error: io::Error| format!("the program can't be started: {error}");
        let (reader, writer) = io::pipe().map_err(failed)?;
        let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
        command.arg0(&job.name).stdin(Stdio::piped());
        command.stdout(writer.try_clone().map_err(failed)?).stderr(writer);
        command.envs(job.variables.iter().map(|(name, value)| (name, value))).env_remove("RAYLINE_ADDRESS");
        assign_worker(&mut command);
        command.env(Posting::VARIABLE, "stdin");
        let mut child = command.spawn().map_err(failed)?;
        drop(command);
        self.give_posting(&mut child, node, worker, job).map_err(failed)?;
        let (pid, owner) = (child.id(), job.owner);
        let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).map_err(|errno| failed(errno.into()))?;
        let _ = self.fates.blocking_send(Fate::Started { owner, pid, process });
        let mut log = self.log(owner, pid);
        let last = LastLines::default();
        let keep = |line: &str| {
            if let Some(log) = &mut log {
                // A full disk costs lines of the log, and no work.
                let _ = writeln!(log, "{line}");
            }
        };
        forward(reader, &last, keep, |line| drop(self.fates.blocking_send(Fate::Wrote { owner, pid, line })));
        let status = child.wait().map_err(|error| format!("it is lost: {error}"))?;
        Ok(ended(&format!("{pid} on {node}"), status) + &last.told())
    }

    fn give_posting(&self, child: &mut Child, node: NodeId, worker: u128, job: &Hire) -> io::Result<()> {
        let Secret(secret) = self.keys.secret.clone();
        let posting = Posting {
            cluster: self.keys.cluster.0,
            secret,
            peer: worker,
            listen: self.listen,
            trusts_network: self.trusts_network,
            node,
            driver: job.driver.peer,
            driver_address: job.driver.address,
            cpus: self.cpus,
        };
        let posting = encode(&posting).map_err(io::Error::other)?;
        child.stdin.take().expect("it was asked for").write_all(&posting)
    }

    /// Where all goes that a worker writes.
    fn log(&self, owner: OwnerId, pid: u32) -> Option<File> {
        let path = self.folder.join(format!("worker-{owner}-{pid}.log"));
        let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        opened.inspect_err(|error| warn!(%error, path = %path.display(), "no log for a worker")).ok()
    }
}

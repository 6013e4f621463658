//! A cluster on loopback whose daemons are this program once more.

use anyhow::{Context, Result, anyhow, bail};
use rayline::cluster::{Daemon, Home, Keys, Setup};
use rayline::{Config, Runtime};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A head with its node, and other nodes.
pub struct Cluster {
    daemons: Vec<Child>,
    folder: PathBuf,
    address: SocketAddr,
}

impl Cluster {
    /// As many nodes as there are numbers of CPUs, the first with the head. It has joined when this returns.
    ///
    /// # Errors
    /// Where a daemon doesn't start.
    pub fn start(cpus: &[u32]) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("rayline-bench-{}", std::process::id()));
        // What an earlier run left.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder)?;
        let mut cluster = Self { daemons: Vec::new(), folder, address: ([127, 0, 0, 1], 0).into() };
        for (node, cpus) in cpus.iter().enumerate() {
            let address = cluster.add(node, *cpus)?;
            if node == 0 {
                cluster.address = address;
            }
        }
        Ok(cluster)
    }

    /// Makes this process a driver of the cluster.
    ///
    /// # Errors
    /// As [`rayline::init_with`].
    pub fn join(&self) -> Result<Runtime> {
        let config = Config::default().address(&self.address.to_string()).secret_file(self.folder.join("0/secret"));
        Ok(rayline::init_with(config)?)
    }

    /// Resident memory of the last node's daemon, in bytes.
    ///
    /// # Errors
    /// Without `/proc`.
    pub fn resident_bytes(&self) -> Result<u64> {
        let pid = self.daemons.last().context("no daemon")?.id();
        let text = std::fs::read_to_string(format!("/proc/{pid}/statm"))?;
        let pages: u64 = text.split(' ').nth(1).context("no second number")?.parse()?;
        Ok(pages * 4096)
    }

    /// Kills a node, counted from the first.
    ///
    /// # Errors
    /// What the system says.
    pub fn kill(&mut self, node: usize) -> Result<()> {
        let daemon = self.daemons.get_mut(node).context("no such daemon")?;
        daemon.kill()?;
        daemon.wait()?;
        Ok(())
    }

    fn add(&mut self, node: usize, cpus: u32) -> Result<SocketAddr> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("probe-daemon").arg(self.folder.join(node.to_string())).arg(cpus.to_string());
        if node > 0 {
            command.arg(self.address.to_string()).arg(self.folder.join("0/secret"));
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut said = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut said)?;
        self.daemons.push(child);
        said.trim().parse().map_err(|_| anyhow!("a daemon of the benchmark hasn't started: it said `{}`", said.trim()))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            // It may have ended; then nothing is to be done.
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The body of a daemon's process. It ends with its parent, by a signal.
///
/// # Errors
/// What ends it.
pub fn daemon(folder: &Path, cpus: u32, head: Option<(SocketAddr, PathBuf)>) -> Result<()> {
    let home = Home::at(folder)?;
    let keys = match &head {
        Some((_, secret)) => Keys::read(secret)?,
        None => home.keys()?,
    };
    let address = head.map(|(address, _)| address);
    let setup = Setup {
        home,
        keys,
        listen: ([127, 0, 0, 1], 0).into(),
        head: address,
        config: Config::default().cpus(cpus).threads_max(65_535),
        control: ([127, 0, 0, 1], 0).into(),
        trusts_network: false,
        encrypts: false,
        join_within: Duration::from_secs(10),
    };
    let daemon = Daemon::new(setup)?;
    let head = address.unwrap_or(daemon.address());
    std::thread::spawn(|| {
        // The parent never writes: the end says that it is gone.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let ended = daemon.run(head, |news| {
        // A parent that doesn't read is gone.
        let _ = writeln!(std::io::stdout(), "{}", news.head);
    });
    bail!("the daemon has ended: {ended}")
}

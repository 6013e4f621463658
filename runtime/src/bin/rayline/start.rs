//! `rayline start`: in the foreground, or as a daemon that is this program once more.
//!
//! ```text
//!  rayline start                         rayline start --detached
//!    | same arguments, stdout a pipe ------> | new session, lock, listen, join
//!    | <------------------- Outcome, as JSON |
//!    | prints, exits                         | goes on
//! ```

use crate::connect::{resolve, secret_file};
use crate::failure::Failure;
use clap::{ArgGroup, Args};
use rayline::Config;
use rayline::cluster::{Control, Daemon, Ended, Home, Keys, News, Running, Setup};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Where a head listens if nobody says otherwise.
const LISTEN: &str = "127.0.0.1:7741";

/// Starts the daemon of this machine.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("role").required(true).args(["head", "address", "token"])))]
pub struct Start {
    /// Start a cluster, with its head in this daemon.
    #[arg(long)]
    head: bool,
    /// Join the cluster whose head listens there.
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// Join the cluster whose head has written this file; it says where the head is, and by what it is known.
    #[arg(long, value_name = "PATH")]
    token: Option<PathBuf>,
    /// The cluster's secret file; by default that of this machine.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["head", "token"])]
    secret_file: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one. By default on loopback: a head at port 7741, a node at a free one.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Where a head's control surface listens; by default at the port after that of --listen.
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["address", "token"])]
    control: Option<String>,
    /// Encrypt the control surface also on loopback. Where others can reach it, it always is.
    #[arg(long, conflicts_with_all = ["address", "token"])]
    encrypt: bool,
    /// Allow --listen where others can reach it, although letters between daemons are not encrypted.
    #[arg(long)]
    trust_network: bool,
    /// CPUs to offer; by default those that this process may use.
    #[arg(long, value_name = "N")]
    cpus: Option<u32>,
    /// GPUs to offer.
    #[arg(long, value_name = "N")]
    gpus: Option<u32>,
    /// Host memory to offer: bytes, or a number with K, M, G or T (powers of 1024). By default what this process may use.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    memory: Option<u64>,
    /// Units of a resource of your own; may be repeated.
    #[arg(long, value_name = "NAME=UNITS", value_parser = resource)]
    resource: Vec<(String, f64)>,
    /// How long to try to join, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u64,
    /// Stay in the foreground, with the log on stderr.
    #[arg(long)]
    foreground: bool,
    /// For this program itself: the process that goes on.
    #[arg(long, hide = true)]
    detached: bool,
}

/// What a detached process tells the one that started it.
#[derive(Serialize, Deserialize)]
enum Outcome {
    Joined { node: String, head: SocketAddr },
    Failed { text: String, code: u8 },
}

impl Start {
    pub fn run(&self) -> Result<(), Failure> {
        if !self.foreground && !self.detached {
            return self.detach();
        }
        if self.detached {
            return self.run_detached();
        }
        self.daemon(|news, home| {
            // Whoever started it may not read this; the daemon runs all the same.
            let _ = crate::write(self.welcome(&news.node.to_string(), news.head, home).as_bytes());
        })
    }

    /// Starts this program once more, and waits until that has joined or failed.
    fn detach(&self) -> Result<(), Failure> {
        let home = Home::open()?;
        drop(home.lock()?);
        let failed = |error: io::Error| Failure::failed(&error);
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        let log = options.open(home.log_file()).map_err(failed)?;
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(std::env::args_os().skip(1)).arg("--detached").env("RAYLINE_HOME", home.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().map_err(failed)?;
        let mut said = String::new();
        child.stdout.take().expect("it was asked for").read_to_string(&mut said).map_err(failed)?;
        match serde_json::from_str(&said) {
            Ok(Outcome::Joined { node, head }) => crate::write(self.welcome(&node, head, &home).as_bytes()),
            Ok(Outcome::Failed { text, code }) => {
                child.wait().map_err(failed)?;
                Err(Failure::with_number(text, code))
            }
            Err(_) => {
                let status = child.wait().map_err(failed)?;
                Err(Failure::said(format!("the daemon has ended with {status}; look at {}", home.log_file().display())))
            }
        }
    }

    /// The process that goes on: of its own session, and silent but for its log.
    fn run_detached(&self) -> Result<(), Failure> {
        // It fails only where the process leads a group already, and then no terminal ends it either.
        let _ = rustix::process::setsid();
        let done = self.daemon(|news, _| tell(&Outcome::Joined { node: news.node.to_string(), head: news.head }));
        if let Err(failure) = &done {
            tell(&Outcome::Failed { text: failure.to_string(), code: failure.number() });
        }
        done
    }

    fn daemon(&self, joined: impl FnOnce(News, &Home)) -> Result<(), Failure> {
        let home = Home::open()?;
        let _lock = home.lock()?;
        tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).with_target(false).init();
        let setup = self.setup(&home)?;
        let secret_file = if self.head { home.secret_file() } else { self.secret_path(&home)? };
        if self.detached {
            // Paths are read by now; the folder in which it was started may go.
            std::env::set_current_dir("/").map_err(|error| Failure::failed(&error))?;
        }
        if !setup.listen.ip().is_loopback() {
            tracing::warn!(address = %setup.listen, "letters are not encrypted: everybody on this network can read along");
        }
        let head = setup.head;
        let daemon = Daemon::new(setup)?;
        let head = head.unwrap_or(daemon.address());
        let running = Running { address: head, is_head: self.head, pid: std::process::id(), secret_file };
        let mut noted = Ok(());
        let ended = daemon.run(head, |news| {
            noted = home.note_running(&running);
            if noted.is_ok() {
                joined(news, &home);
            }
        });
        home.note_stopped();
        noted?;
        match ended {
            Ended::Asked => Ok(()),
            ended => Err(ended.into()),
        }
    }

    fn setup(&self, home: &Home) -> Result<Setup, Failure> {
        let listen = resolve(self.listen.as_deref().unwrap_or(if self.head { LISTEN } else { "127.0.0.1:0" }))?;
        if !listen.ip().is_loopback() && !self.trust_network {
            return Err(Failure::usage(format!(
                "{listen} can be reached by others, and letters between daemons are not encrypted yet: listen on loopback, \
                 or say --trust-network if you trust everybody on that network"
            )));
        }
        let keys = if self.head { home.keys()? } else { Keys::read(&self.secret_path(home)?)? };
        let head = match (&self.address, keys.invitation) {
            _ if self.head => None,
            (Some(address), _) => Some(resolve(address)?),
            (None, Some(invitation)) => Some(invitation.head),
            (None, None) => return Err(Failure::usage("the file says nothing of where the head is: give --address")),
        };
        let control = self.control_address(listen)?;
        if self.head && (listen.ip().is_unspecified() || control.ip().is_unspecified()) {
            return Err(Failure::usage(
                "name the address at which others reach the head, not all that this machine has",
            ));
        }
        let join_within = Duration::from_secs(self.timeout.max(1));
        let (home, trusts_network, encrypts) = (home.clone(), self.trust_network, self.encrypt);
        Ok(Setup { home, keys, listen, head, control, encrypts, config: self.config(), trusts_network, join_within })
    }

    fn secret_path(&self, home: &Home) -> Result<PathBuf, Failure> {
        secret_file(self.token.as_deref().or(self.secret_file.as_deref()), home)
    }

    /// Beside where letters come, if nobody says otherwise.
    fn control_address(&self, listen: SocketAddr) -> Result<SocketAddr, Failure> {
        match &self.control {
            Some(control) => resolve(control),
            None if listen.port() == 0 => Ok(listen),
            None => Ok(SocketAddr::new(listen.ip(), listen.port().checked_add(1).unwrap_or(0))),
        }
    }

    fn config(&self) -> Config {
        let config = Config::default().gpus(self.gpus.unwrap_or(0));
        let config = match self.cpus {
            // A node's threads are its workers', not the daemon's.
            Some(cpus) => config.cpus(cpus).threads_max(65_535),
            None => config,
        };
        let config = match self.memory {
            Some(bytes) => config.memory(bytes),
            None => config,
        };
        self.resource.iter().fold(config, |config, (name, units)| config.resource(name, *units))
    }

    fn welcome(&self, node: &str, head: SocketAddr, home: &Home) -> String {
        if !self.head {
            return format!("{node} has joined the cluster at {head}\n\n  rayline status\n  rayline stop\n");
        }
        let control = home.control();
        let add = match control {
            Some(Control { is_encrypted: true, .. }) => format!("--token {}", home.token_file().display()),
            _ => format!("--address {head} --secret-file {}", home.secret_file().display()),
        };
        let control = control.map(|control| format!(" and, for control, at {}", control.address)).unwrap_or_default();
        format!(
            "the head listens at {head}{control}; this machine is {node}\n\n  \
             add a machine:   rayline start {add}\n  \
             look at it:      rayline status\n  \
             end it:          rayline stop\n"
        )
    }
}

/// Tells whoever started this process, once, and lets go of the pipe.
fn tell(outcome: &Outcome) {
    let mut text = serde_json::to_vec(outcome).expect("texts and numbers");
    text.push(b'\n');
    let mut out = io::stdout().lock();
    // Whoever started it may be gone.
    let _ = out.write_all(&text).and_then(|()| out.flush());
    if let Ok(null) = File::options().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(&null);
    }
}

/// `64G`, `512M`, `1073741824`.
fn bytes(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (&text[..at], 10),
        Some((at, 'M' | 'm')) => (&text[..at], 20),
        Some((at, 'G' | 'g')) => (&text[..at], 30),
        Some((at, 'T' | 't')) => (&text[..at], 40),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| "write bytes, or a number with K, M, G or T".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "that is more than any machine has".to_owned())
}

/// `license=2`.
fn resource(text: &str) -> Result<(String, f64), String> {
    let (name, units) = text.split_once('=').ok_or("write a name and units, such as license=2")?;
    let units = units.parse().map_err(|_| format!("`{units}` is no number"))?;
    if name.is_empty() {
        return Err("the resource has no name".to_owned());
    }
    Ok((name.to_owned(), units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_bytes_and_resources() {
        assert_eq!((bytes("64G"), bytes("12"), bytes("1k")), (Ok(64 << 30), Ok(12), Ok(1024)));
        assert!(bytes("").is_err() && bytes("G").is_err() && bytes("1.5G").is_err() && bytes("99999999T").is_err());
        assert_eq!(resource("license=0.5"), Ok(("license".to_owned(), 0.5)));
        assert!(resource("license").is_err() && resource("=1").is_err() && resource("a=b").is_err());
    }
}

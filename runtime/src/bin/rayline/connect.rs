//! Which cluster a command talks to.

use crate::failure::Failure;
use clap::Args;
use rayline::cluster::{Client, Control, Home, Keys};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the cluster is; by default that of the daemon of this folder.
#[derive(Debug, Args)]
pub struct Connect {
    /// Where the head's control surface listens; by default as the daemon of this folder, or the token, knows it.
    #[arg(long, value_name = "HOST:PORT", env = "RAYLINE_CONTROL")]
    control: Option<String>,
    /// The cluster's secret file, or its token; by default that of this machine.
    #[arg(long, value_name = "PATH")]
    secret_file: Option<PathBuf>,
    /// How long an answer may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    timeout: u64,
}

impl Connect {
    /// A client of the cluster's head.
    pub fn client(&self) -> Result<Client, Failure> {
        let home = Home::open()?;
        let nowhere = || {
            Failure::no_cluster(format!(
                "no daemon runs in {}: start one with `rayline start --head`, or give --control and --secret-file",
                home.path().display()
            ))
        };
        let running = home.running()?;
        let keys = match (&self.secret_file, &running) {
            (None, Some(running)) => Keys::read(&running.secret_file)?,
            (None, None) if self.control.is_none() => return Err(nowhere()),
            (given, _) => Keys::read(&secret_file(given.as_deref(), &home)?)?,
        };
        let ca_pem = std::fs::read_to_string(home.ca_file()).ok();
        let told = || home.control().filter(|_| running.is_some());
        let invited = keys.invitation.map(|invitation| Control { address: invitation.control, is_encrypted: true });
        let control = match &self.control {
            Some(control) => {
                let address = resolve(control)?;
                Control { address, is_encrypted: !address.ip().is_loopback() }
            }
            None => told().or(invited).ok_or_else(nowhere)?,
        };
        Ok(Client::connect(control, &keys, ca_pem, Duration::from_secs(self.timeout.max(1)))?)
    }
}

/// The file that was given, else that of this folder, else that of the usual folder.
pub fn secret_file(given: Option<&Path>, home: &Home) -> Result<PathBuf, Failure> {
    if let Some(given) = given {
        return std::path::absolute(given).map_err(|error| Failure::failed(&error));
    }
    let usual = Home::usual().join("secret");
    [home.secret_file(), usual].into_iter().find(|path| std::fs::symlink_metadata(path).is_ok()).ok_or_else(|| {
        Failure::usage(format!(
            "no cluster secret in {}: copy the head's file `secret` there, mode 600, or name it with --secret-file",
            home.path().display()
        ))
    })
}

/// The first address that a name has.
pub fn resolve(address: &str) -> Result<SocketAddr, Failure> {
    let wrong = |why: String| Failure::usage(format!("`{address}` is no address, such as 10.0.0.1:7741: {why}"));
    let mut found = std::net::ToSocketAddrs::to_socket_addrs(address).map_err(|error| wrong(error.to_string()))?;
    found.next().ok_or_else(|| wrong("the name has none".into()))
}

//! Which cluster a program belongs to, by its environment.

use crate::cluster::{Home, Keys};
use crate::error::{Error, ErrorKind, Result};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

/// Where a program is to run its tasks, by the name of the command's documentation.
pub(crate) const ADDRESS: &str = "RAYLINE_ADDRESS";
/// The file of the cluster's secret.
const SECRET_FILE: &str = "RAYLINE_SECRET_FILE";
/// Allows connections that others could read.
const TRUST_NETWORK: &str = "RAYLINE_TRUST_NETWORK";

/// A cluster, and how it may be reached.
pub(super) struct Cluster {
    pub(super) head: SocketAddr,
    pub(super) keys: Keys,
    pub(super) trusts_network: bool,
}

/// The cluster at `address`; `auto` is that of this machine's daemon.
///
/// # Errors
/// [`ErrorKind::Cluster`], with what to set.
pub(super) fn cluster(address: &str, secret_file: Option<&Path>) -> Result<Cluster> {
    let wrong = |why: String| Error::new(ErrorKind::Cluster(why));
    let home = Home::open().map_err(|error| wrong(error.to_string()))?;
    let running = home.running().map_err(|error| wrong(error.to_string()))?;
    let (head, file) = if address == "auto" {
        let none = || wrong(format!("{ADDRESS} is auto, but no daemon runs in {}", home.path().display()));
        let running = running.ok_or_else(none)?;
        (running.address, running.secret_file)
    } else {
        let known = running.map(|running| running.secret_file);
        (resolve(address)?, known.unwrap_or_else(|| home.secret_file()))
    };
    let named = secret_file.map(Path::to_owned).or_else(|| std::env::var_os(SECRET_FILE).map(PathBuf::from));
    let usual = Home::usual().join("secret");
    let file = named.unwrap_or_else(|| if file.exists() { file } else { usual });
    let keys = Keys::read(&file).map_err(|error| {
        wrong(format!("{error}; set {SECRET_FILE} to a copy of the file `secret` in the head's folder"))
    })?;
    let trusts_network = std::env::var(TRUST_NETWORK).is_ok_and(|value| value == "1");
    if !head.ip().is_loopback() && !trusts_network {
        return Err(wrong(format!(
            "{head} is not on this machine, and nothing that is sent there is encrypted; if the network between is yours \
             alone, set {TRUST_NETWORK}=1"
        )));
    }
    Ok(Cluster { head, keys, trusts_network })
}

fn resolve(address: &str) -> Result<SocketAddr> {
    let wrong = |why: &str| {
        let why = format!("{ADDRESS} is `{address}`, which is no address such as 10.0.0.1:7741, nor auto: {why}");
        Error::new(ErrorKind::Cluster(why))
    };
    let mut found = address.to_socket_addrs().map_err(|error| wrong(&error.to_string()))?;
    found.next().ok_or_else(|| wrong("the name has no address"))
}

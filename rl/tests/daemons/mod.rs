//! A cluster within the test's process.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use rayline::Config;
use rayline::cluster::{Daemon, Home, Keys, Setup};

/// What joins a cluster of two nodes of one CPU each, which is started in `folder`.
pub fn two_nodes(folder: &Path) -> Config {
    let (head, secret) = (folder.join("head"), folder.join("head/secret"));
    let address = daemon(&head, None);
    daemon(&folder.join("node"), Some((address, &secret)));
    Config::default().cpus(2).address(&address.to_string()).secret_file(&secret)
}

/// A daemon on a thread, which ends with the test's process. Where its head listens, once it has joined.
fn daemon(folder: &Path, head: Option<(SocketAddr, &Path)>) -> SocketAddr {
    let home = Home::at(folder).unwrap();
    let keys = head.map_or_else(|| home.keys().unwrap(), |(_, secret)| Keys::read(secret).unwrap());
    let setup = Setup {
        home,
        keys,
        listen: ([127, 0, 0, 1], 0).into(),
        head: head.map(|(address, _)| address),
        config: Config::default().cpus(1),
        control: ([127, 0, 0, 1], 0).into(),
        trusts_network: false,
        encrypts: false,
        join_within: Duration::from_secs(10),
    };
    let (tell, joined) = channel();
    std::thread::spawn(move || {
        let head = setup.head;
        let daemon = Daemon::new(setup).unwrap();
        let head = head.unwrap_or(daemon.address());
        panic!("a daemon has ended: {}", daemon.run(head, |news| tell.send(news.head).unwrap()));
    });
    joined.recv_timeout(Duration::from_secs(20)).unwrap()
}

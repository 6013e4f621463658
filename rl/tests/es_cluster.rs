//! Evolution strategies on a cluster of two nodes give what they give in one process.

#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use rayline::Config;
use rayline::cluster::{Daemon, Home, Keys, Setup};
use rayline_rl::es::{EsConfig, EsTrainer};

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

/// Parameters and evaluations of a whole run.
fn run() -> (Vec<f32>, Vec<Option<f64>>) {
    let config = EsConfig { seed: 5, total_steps: 60_000, pairs_per_call: 4, ..EsConfig::cartpole() };
    let mut trainer = EsTrainer::new("CartPole-v1", config, 2).unwrap();
    let mut curve = Vec::new();
    let noted = trainer.run(|progress| {
        assert_eq!(progress.stats.lost_pairs, 0, "a call has failed");
        curve.push(progress.evaluation.and_then(|evaluation| evaluation.mean_return()));
        ControlFlow::Continue(())
    });
    noted.unwrap();
    (trainer.learner().parameters().to_vec(), curve)
}

#[test]
fn the_same_seed_gives_the_same_run_on_a_cluster() {
    let embedded = {
        let _runtime = rayline::init_with(Config::default().cpus(2).embedded()).unwrap();
        run()
    };
    let folder = tempfile::tempdir().unwrap();
    let head = daemon(&folder.path().join("head"), None);
    let secret = folder.path().join("head/secret");
    daemon(&folder.path().join("node"), Some((head, &secret)));
    let cluster = Config::default().cpus(2).address(&head.to_string()).secret_file(&secret);
    let _runtime = rayline::init_with(cluster).unwrap();
    assert_eq!(run(), embedded);
}

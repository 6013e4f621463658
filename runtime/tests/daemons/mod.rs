//! Daemons on loopback, for tests.

// Each test uses a part of it.
#![allow(dead_code)]

pub mod cluster;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// No wait for what should happen soon is longer.
pub const SOON: Duration = Duration::from_secs(20);

/// The folder of a daemon. What runs in it ends with it.
pub struct Home {
    pub path: PathBuf,
}

impl Home {
    pub fn new(name: &str) -> Home {
        let path = std::env::temp_dir().join(format!("rayline-test-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Home { path }
    }

    /// A head on a free port.
    pub fn head(name: &str) -> Home {
        let home = Home::new(name);
        let output = home.run(&["start", "--head", "--listen", "127.0.0.1:0", "--cpus", "2"]);
        assert!(output.status.success(), "{}", text(&output));
        assert!(text(&output).contains(&format!("start --address {} ", home.address())), "{}", text(&output));
        home
    }

    /// A node that has joined `head`.
    pub fn node(name: &str, head: &Home) -> Home {
        let home = Home::new(name);
        let output = home.join(head, &head.file("secret"));
        assert!(output.status.success(), "{}", text(&output));
        home
    }

    pub fn join(&self, head: &Home, secret: &Path) -> Output {
        let (address, secret) = (head.address(), secret.display().to_string());
        self.run(&["start", "--address", &address, "--secret-file", &secret, "--cpus", "3", "--resource", "license=2"])
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rayline"));
        command.args(arguments).env("RAYLINE_HOME", &self.path).env_remove("RAYLINE_ADDRESS").output().unwrap()
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", text(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Each node with its state, as the daemon here is told.
    pub fn states(&self) -> Vec<(String, String)> {
        let status = self.json(&["status", "--json"]);
        let nodes = status["nodes"].as_array().unwrap();
        let word = |node: &Value, key: &str| node[key].as_str().unwrap().to_owned();
        nodes.iter().map(|node| (word(node, "node"), word(node, "state"))).collect()
    }

    /// Waits until a node has a state, and says for how long.
    pub fn wait_for(&self, node: &str, state: &str) -> Duration {
        let begin = Instant::now();
        loop {
            let states = self.states();
            if states.iter().any(|(name, is)| name == node && is == state) {
                return begin.elapsed();
            }
            assert!(begin.elapsed() < SOON, "{node} is not {state} for long: {states:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn running(&self) -> Option<Value> {
        serde_json::from_slice(&std::fs::read(self.file("daemon")).ok()?).ok()
    }

    pub fn address(&self) -> String {
        self.running().unwrap()["address"].as_str().unwrap().to_owned()
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.running().unwrap()["pid"].to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.running().is_some() {
            let _ = self.run(&["stop"]);
        }
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// All that a command has said.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

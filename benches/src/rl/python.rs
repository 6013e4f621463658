//! A Python process that measures something whenever it is asked, so that it takes turns with ours.

use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A script of `benches/peers/rl`.
pub struct Python {
    process: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Python {
    /// Starts a script, which says `ready`.
    pub fn start(script: &str, arguments: &[&str]) -> Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/rl").join(script);
        let mut command = Command::new("python3");
        // MuJoCo writes its warnings to a file where it is started.
        command.current_dir(std::env::temp_dir());
        command.arg(path).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().context("can't start python3")?;
        let asks = process.stdin.take().context("no pipe")?;
        let answers = BufReader::new(process.stdout.take().context("no pipe")?);
        let mut python = Self { process, asks, answers };
        ensure!(python.line()? == "ready", "{script} didn't start: pip install mujoco gymnasium");
        Ok(python)
    }

    /// Rates, measured now.
    pub fn measure(&mut self) -> Result<Vec<f64>> {
        self.asks.write_all(b"\n")?;
        let line = self.line()?;
        line.split(' ').map(|rate| rate.parse().with_context(|| format!("no rate: {line:?}"))).collect()
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

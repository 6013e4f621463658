//! `rayline stop`.

use crate::failure::Failure;
use clap::Args;
use rayline::cluster::Home;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::time::{Duration, Instant};

/// Ends the daemon of this folder.
#[derive(Debug, Args)]
pub struct Stop {
    /// How long it may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u64,
}

impl Stop {
    pub fn run(&self) -> Result<(), Failure> {
        let home = Home::open()?;
        let nothing = || Failure::no_cluster(format!("no daemon runs in {}", home.path().display()));
        let running = home.running()?.ok_or_else(nothing)?;
        let pid = i32::try_from(running.pid).ok().and_then(Pid::from_raw).ok_or_else(nothing)?;
        // The handle names this process, even if its number is given again.
        let process = pidfd_open(pid, PidfdFlags::empty()).map_err(|_| nothing())?;
        if home.running()?.as_ref() != Some(&running) {
            return Err(nothing());
        }
        // A process that is halted hears the first only after the second.
        for signal in [Signal::TERM, Signal::CONT] {
            pidfd_send_signal(&process, signal).map_err(|errno| Failure::failed(&std::io::Error::from(errno)))?;
        }
        let until = Instant::now() + Duration::from_secs(self.timeout);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let wait = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&wait)) {
                Ok(0) => break,
                Ok(_) => {
                    let what = if running.is_head { "the head and its node have" } else { "the node has" };
                    return crate::write(format!("{what} ended (process {})\n", running.pid).as_bytes());
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(Failure::failed(&std::io::Error::from(errno))),
            }
        }
        Err(Failure::said(format!(
            "process {} has not ended for {} s; look at {}, or end it with `kill -9 {}`",
            running.pid,
            self.timeout,
            home.log_file().display(),
            running.pid
        )))
    }
}

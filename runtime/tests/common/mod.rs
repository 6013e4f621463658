//! What several test programs use.
#![allow(dead_code)] // Each uses a part.

use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a slow machine that others use too.
pub const LONG: Duration = Duration::from_secs(30);

/// Runs `f`, which may hang, on a thread of its own.
///
/// # Panics
/// Where it isn't done within `LONG`, or panics.
#[track_caller]
pub fn within_time<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    let (send, receive) = channel();
    let thread = std::thread::spawn(move || send.send(f()));
    match receive.recv_timeout(LONG) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => panic!("it hangs: nothing within {LONG:?}"),
        Err(RecvTimeoutError::Disconnected) => match thread.join() {
            Err(payload) => std::panic::resume_unwind(payload),
            Ok(_) => unreachable!("a thread that ends well has sent its result"),
        },
    }
}

/// Waits until `done`.
///
/// # Panics
/// Where it isn't within `LONG`.
#[track_caller]
pub fn eventually(what: &str, done: impl Fn() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < LONG, "not within {LONG:?}: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A process has one runtime at a time: held, no other test of this program begins one.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills a process, which cannot end in order then.
pub fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
}

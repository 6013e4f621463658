//! Sleeping until a word changes, and waking those who sleep on it, across processes.

#[cfg(not(loom))]
use crate::sync::AtomicU32;
use std::time::Duration;

/// Sleeps while `word` is `expected`, at most for `timeout`. May return early for no reason.
#[cfg(not(loom))]
pub(crate) fn wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>) {
    use rustix::thread::futex;
    let timeout = timeout.map(|time| futex::Timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    });
    // Whatever it returns (woken, changed, interrupted, out of time), the caller looks at its condition again.
    let _ = futex::wait(word, futex::Flags::empty(), expected, timeout.as_ref());
}

/// Wakes everybody who sleeps on `word`, in any process.
#[cfg(not(loom))]
pub(crate) fn wake_all(word: &AtomicU32) {
    use rustix::thread::futex;
    // It fails for an address that isn't mapped only, and a reference is.
    let _ = futex::wake(word, futex::Flags::empty(), i32::MAX as u32);
}

/// A word with the kernel's promise: between the comparison and the sleep nobody's wake-up gets lost.
#[cfg(loom)]
#[derive(Debug, Default)]
pub(crate) struct Model {
    lock: loom::sync::Mutex<()>,
    woken: loom::sync::Condvar,
}

#[cfg(loom)]
impl Model {
    pub(crate) fn wait(&self, word: &crate::sync::AtomicU32, expected: u32, _timeout: Option<Duration>) {
        let guard = self.lock.lock().expect("no model panics under the lock");
        if word.load(crate::sync::Ordering::Relaxed) == expected {
            drop(self.woken.wait(guard).expect("no model panics under the lock"));
        }
    }

    pub(crate) fn wake_all(&self) {
        let _guard = self.lock.lock().expect("no model panics under the lock");
        self.woken.notify_all();
    }
}

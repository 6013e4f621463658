//! Who sleeps is woken, and who doesn't sleep costs its peer no system call.

use super::futex;
use crate::sync::{AtomicU32, Ordering, fence};
use std::time::{Duration, Instant};

const ARMED: u32 = 1;
const EPOCH: u32 = 2;

/// A word on which threads of either process sleep, in shared memory.
///
/// ```text
///            arm               arm
///  epoch N  ----->  N, armed  ----> (no change)
///                       |
///                       | ring: everybody who slept on "N, armed" wakes
///                       v
///                   epoch N+1
/// ```
///
/// Who wants to sleep first arms the bell, then looks at its condition; who changes the condition first changes it, then
/// looks whether the bell is armed. A full fence stands between on both sides, so at least one sees the other (RING-3).
/// A word that a hostile peer writes costs wake-ups or sleep, never more.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Bell {
    word: AtomicU32,
    /// Not 0 while somebody polls for what the bell tells of: then it needn't ring.
    attended: AtomicU32,
    #[cfg(loom)]
    futex: futex::Model,
}

/// The bell as it was armed: what [`Bell::wait`] sleeps on.
#[derive(Clone, Copy, Debug)]
struct Armed(u32);

impl Bell {
    /// Sleeps until `look` finds something, which it returns, or the deadline: `None`. Looks at least once.
    pub(crate) fn sleep_until<T>(&self, deadline: Option<Instant>, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        loop {
            let armed = self.arm();
            if let Some(found) = look() {
                return Some(found);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return None;
            }
            self.wait(armed, left);
        }
    }

    /// The condition has changed: wakes everybody who sleeps, unless somebody attends. Returns whether it rang.
    #[inline]
    pub(crate) fn ring(&self) -> bool {
        fence(Ordering::SeqCst);
        let word = self.word.load(Ordering::Relaxed);
        let is_awaited = word & ARMED != 0 && self.attended.load(Ordering::Relaxed) == 0;
        is_awaited && self.wake(word)
    }

    /// Wakes everybody who sleeps, attended or not.
    pub(crate) fn ring_regardless(&self) {
        fence(Ordering::SeqCst);
        let word = self.word.load(Ordering::Relaxed);
        if word & ARMED != 0 {
            self.wake(word);
        }
    }

    #[inline]
    pub(crate) fn is_armed(&self) -> bool {
        self.word.load(Ordering::Relaxed) & ARMED != 0
    }

    pub(crate) fn set_attended(&self, is_attended: bool) {
        self.attended.store(is_attended.into(), Ordering::SeqCst);
    }

    /// Asks for a ring. The caller looks at its condition after this and before [`Bell::wait`].
    fn arm(&self) -> Armed {
        let armed = Armed(self.word.fetch_or(ARMED, Ordering::SeqCst) | ARMED);
        fence(Ordering::SeqCst);
        armed
    }

    /// Sleeps until the bell rings after it was armed so, or the timeout; may return early for no reason.
    fn wait(&self, armed: Armed, timeout: Option<Duration>) {
        #[cfg(not(loom))]
        futex::wait(&self.word, armed.0, timeout);
        #[cfg(loom)]
        self.futex.wait(&self.word, armed.0, timeout);
    }

    /// Where another ring came first, it woke all who had armed; whoever arms after it sees the condition changed.
    #[cold]
    fn wake(&self, word: u32) -> bool {
        let next = (word & !ARMED).wrapping_add(EPOCH);
        let rang = self.word.compare_exchange(word, next, Ordering::SeqCst, Ordering::Relaxed).is_ok();
        if rang {
            #[cfg(not(loom))]
            futex::wake_all(&self.word);
            #[cfg(loom)]
            self.futex.wake_all();
        }
        rang
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_ring_costs_a_call_only_where_somebody_armed_and_once() {
        let bell = Bell::default();
        assert!(!bell.ring(), "nobody sleeps");
        bell.arm();
        bell.arm();
        assert!(bell.ring());
        assert!(!bell.ring(), "all were woken");
    }

    #[test]
    fn an_attended_bell_stays_silent_and_armed() {
        let bell = Bell::default();
        bell.arm();
        bell.set_attended(true);
        assert!(!bell.ring());
        assert!(bell.is_armed());
        bell.set_attended(false);
        assert!(bell.ring());
    }

    #[test]
    fn what_is_found_ends_the_sleep_and_so_does_the_deadline() {
        let bell = Bell::default();
        assert_eq!(bell.sleep_until(None, || Some(1)), Some(1));
        let (began, timeout) = (Instant::now(), Duration::from_millis(20));
        assert_eq!(bell.sleep_until(Some(began + timeout), || None::<()>), None);
        assert!(began.elapsed() >= timeout);
    }
}

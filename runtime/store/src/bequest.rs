//! Memory for readers that are no buffers.

use crate::Buf;
use crate::memory::{Heir, Memory};
use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;
use std::slice;
use std::sync::{Arc, Weak};

/// The bytes of some memory for whoever serves them to others. They stay where they are as long as this, but what hangs
/// on the memory ([`Buf::hang`]) goes with its last region or buffer all the same: it may have this, and be no circle.
///
/// ```text
///  buffers --> Memory --> owner (a vector, a mapping)      the last buffer is dropped: the owner is moved to the heir,
///                |  '--> what hangs on it --> Bequest      then what hangs on it is dropped, and with the last Bequest
///                '-----> heir <------------------'         the owner
/// ```
///
/// Invariant (MEM-2): until its owner is in the heir, the memory has a region or buffer; a bequeathed owner is given to
/// nobody else.
pub struct Bequest {
    start: NonNull<u8>,
    len: usize,
    heir: Arc<Heir>,
}

/// A buffer that is found again as long as another of its memory lives.
#[derive(Clone, Debug)]
pub struct WeakBuf {
    memory: Weak<Memory>,
    range: Range<usize>,
}

// SAFETY: by MEM-1 the bytes are never written while this lives, so threads may share them; the heir is `Send + Sync`.
unsafe impl Send for Bequest {}
// SAFETY: as above.
unsafe impl Sync for Bequest {}

impl Bequest {
    pub(crate) fn new(start: NonNull<u8>, len: usize, heir: Arc<Heir>) -> Self {
        Self { start, len, heir }
    }
}

impl AsRef<[u8]> for Bequest {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: MEM-1 and MEM-2: the memory has its owner, or the heir that this keeps does.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Buf<u8> {
    /// What hangs on the buffer's memory and `is_usable`, or what `make` makes to hang there, which goes with the last
    /// region or buffer of the memory; and where in the memory the buffer lies. `None` for a buffer without elements.
    ///
    /// What isn't usable any more makes room. Who asks meanwhile waits for `make`.
    pub fn hang<P: Any + Send + Sync>(
        &self,
        is_usable: impl Fn(&P) -> bool,
        make: impl FnOnce(Bequest) -> P,
    ) -> Option<(Arc<P>, Range<usize>)> {
        let memory = self.keep().as_ref().filter(|_| !self.is_empty())?;
        let range = memory.range_of(self);
        let mut hung = memory.hung();
        let mut of_kind = hung.iter().filter_map(|hung| hung.clone().downcast::<P>().ok());
        let found = of_kind.find(|hung| is_usable(hung));
        drop(of_kind);
        if let Some(found) = found {
            return Some((found, range));
        }
        let unusable: Vec<_> = hung.extract_if(.., |hung| hung.is::<P>()).collect();
        let made = Arc::new(make(memory.bequeath()));
        hung.push(made.clone());
        // Not while the lock is held.
        drop(hung);
        drop(unusable);
        Some((made, range))
    }

    /// The same buffer, which doesn't keep its memory. `None` for a buffer without elements.
    pub fn downgrade(&self) -> Option<WeakBuf> {
        let memory = self.keep().as_ref().filter(|_| !self.is_empty())?;
        Some(WeakBuf { memory: Arc::downgrade(memory), range: memory.range_of(self) })
    }
}

impl WeakBuf {
    /// The buffer, if its memory still has one.
    pub fn upgrade(&self) -> Option<Buf<u8>> {
        Some(Buf::part_of(self.memory.upgrade()?, self.range.clone()))
    }
}

impl fmt::Debug for Bequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bequest").field("len", &self.len).field("is_inherited", &self.heir.get().is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Served(Mutex<Option<Bequest>>, Arc<AtomicUsize>);

    impl Drop for Served {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_hangs_on_memory_goes_with_its_last_buffer_and_its_bytes_with_the_last_reader() {
        let ended = Arc::new(AtomicUsize::new(0));
        let buf = Buf::from(vec![7_u8; 1000]);
        let serve = |buf: &Buf<u8>| {
            let make = |bequest| Served(Mutex::new(Some(bequest)), ended.clone());
            buf.hang(|_: &Served| true, make).unwrap()
        };
        let (first, range) = serve(&buf);
        let (second, part) = serve(&buf.slice(10..20));
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!((range, part), (0..1000, 10..20));
        let reader = first.0.lock().unwrap().take().unwrap();
        drop((first, second));
        let copy = buf.clone();
        drop(buf);
        assert_eq!(ended.load(Ordering::Relaxed), 0);
        drop(copy);
        assert_eq!(ended.load(Ordering::Relaxed), 1);
        assert_eq!(reader.as_ref(), [7; 1000]);
    }

    #[test]
    fn a_vector_that_is_served_is_not_given_back() {
        let buf = Buf::from(vec![1_u8, 2, 3]);
        let (served, _) = buf.hang(|_: &Bequest| true, |bequest| bequest).unwrap();
        let vec = buf.into_vec();
        assert_eq!((served.as_ref().as_ref(), &vec[..]), (&[1, 2, 3][..], &[1, 2, 3][..]));
        assert_ne!(served.as_ref().as_ref().as_ptr(), vec.as_ptr());
    }

    #[test]
    fn what_is_not_usable_makes_room_for_another() {
        let buf = Buf::from(vec![1_u8, 2, 3]);
        let one = Arc::downgrade(&buf.hang(|_: &u32| true, |_| 1_u32).unwrap().0);
        assert_eq!(*buf.hang(|found: &u32| *found == 2, |_| 2_u32).unwrap().0, 2);
        assert!(one.upgrade().is_none());
        assert!(Buf::<u8>::default().hang(|_: &u32| true, |_| 1_u32).is_none());
    }

    #[test]
    fn a_weak_buffer_is_found_as_long_as_there_is_another() {
        let buf = Buf::from_iter(0..100_u8);
        let weak = buf.slice(5..10).downgrade().unwrap();
        assert_eq!(weak.upgrade().unwrap()[..], [5, 6, 7, 8, 9]);
        drop(buf);
        assert!(weak.upgrade().is_none());
    }
}

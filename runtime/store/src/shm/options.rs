//! What a store may have.

use std::path::PathBuf;
use std::time::Duration;

/// The limits of a [`Store`](super::Store).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoreOptions {
    /// Bytes of memory for objects. Rounded to whole chunks of 64 KiB or more, and at least 2 MiB.
    pub bytes: usize,
    /// Objects in memory and on disk; one more gives [`StoreError::TooManyObjects`](super::StoreError). Each costs 192
    /// bytes, at once.
    pub objects_max: usize,
    /// How long an allocation waits for memory, where there is none and nothing can be spilled, before it fails.
    pub patience: Duration,
    /// Bytes of unused memory that a thread touches ahead of need, for the first touch is slow. With 0 there is no
    /// such thread.
    pub warm_bytes: usize,
    /// Folders in which objects are spilled when memory is short, by turns; none means that nothing is.
    pub spill_dirs: Vec<PathBuf>,
    /// Bytes that spilling leaves free on a disk.
    pub spill_spare_bytes: u64,
}

impl StoreOptions {
    /// A store of `bytes`: an object for each 4 KiB (4096 at least, a million at most), half a second of patience, an
    /// eighth of it touched ahead, 256 MiB at most, and no spilling; where there is some, 256 MiB of a disk are spared.
    pub fn new(bytes: usize) -> Self {
        let objects_max = (bytes / 4096).clamp(4096, 1 << 20);
        Self {
            bytes,
            objects_max,
            patience: Duration::from_millis(500),
            warm_bytes: (bytes / 8).min(256 << 20),
            spill_dirs: vec![],
            spill_spare_bytes: 256 << 20,
        }
    }
}

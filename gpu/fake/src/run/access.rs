//! What a thread can reach: global memory, the memory of its block, the parameters of its kernel.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use crate::memory::{Allocation, Memory};
use crate::ptx::SHARED_WINDOW;

/// The memory in reach of a block.
pub struct Reach<'a> {
    memory: &'a Memory,
    device: usize,
    parameters: &'a [u8],
    shared: Vec<u8>,
    /// Where the last access was: the next is there, too, most of the time.
    last: Option<Arc<Allocation>>,
}

/// Why an access can't be.
#[derive(Debug, PartialEq, Eq)]
pub enum AccessError {
    /// Device memory that isn't allocated, and where it would be.
    Global { address: u64, bytes: usize, nearest: String },
    /// Memory of the block, of which there is less.
    Shared { at: usize, bytes: usize, shared_bytes: usize },
    /// Parameters, of which there are fewer.
    Parameter { at: usize },
    /// An address that is no multiple of the bytes accessed.
    Misaligned { address: u64, bytes: usize },
}

impl<'a> Reach<'a> {
    pub fn new(memory: &'a Memory, device: usize, parameters: &'a [u8], shared_bytes: usize) -> Self {
        Self { memory, device, parameters, shared: vec![0xCD; shared_bytes], last: None }
    }

    /// `bytes` of the parameters, as a number.
    pub fn parameter(&self, at: usize, bytes: usize) -> Result<u64, AccessError> {
        let found = self.parameters.get(at..).and_then(|rest| rest.get(..bytes));
        found.map(number).ok_or(AccessError::Parameter { at })
    }

    /// The number of `bytes` at an address.
    pub fn load(&mut self, address: u64, bytes: usize) -> Result<u64, AccessError> {
        if is_shared(address) {
            return Ok(number(self.shared(address, bytes)?));
        }
        Ok(Word::new(self.global(address, bytes)?, bytes).load())
    }

    /// Writes the lowest `bytes` of a number.
    pub fn store(&mut self, address: u64, bytes: usize, value: u64) -> Result<(), AccessError> {
        if is_shared(address) {
            self.shared(address, bytes)?.copy_from_slice(&value.to_le_bytes()[..bytes]);
        } else {
            Word::new(self.global(address, bytes)?, bytes).store(value);
        }
        Ok(())
    }

    /// Replaces the number at an address by a function of it, and returns it as it was.
    pub fn update(&mut self, address: u64, bytes: usize, f: impl Fn(u64) -> u64) -> Result<u64, AccessError> {
        if is_shared(address) {
            let before = self.load(address, bytes)?;
            self.store(address, bytes, f(before))?;
            return Ok(before);
        }
        Ok(Word::new(self.global(address, bytes)?, bytes).update(f))
    }

    fn shared(&mut self, address: u64, bytes: usize) -> Result<&mut [u8], AccessError> {
        let (at, shared_bytes) = ((address & !SHARED_WINDOW) as usize, self.shared.len());
        let found = self.shared.get_mut(at..).and_then(|rest| rest.get_mut(..bytes));
        found.ok_or(AccessError::Shared { at, bytes, shared_bytes })
    }

    fn global(&mut self, address: u64, bytes: usize) -> Result<*mut u8, AccessError> {
        if let Some(place) = self.last.as_ref().and_then(|last| last.place(address, bytes)) {
            return Ok(place);
        }
        self.last = self.memory.find_from(self.device, address);
        let place = self.last.as_ref().and_then(|last| last.place(address, bytes));
        place.ok_or_else(|| AccessError::Global { address, bytes, nearest: self.memory.nearest(address) })
    }
}

/// Checks that `address` is a multiple of `bytes`, a power of two.
pub fn check_alignment(address: u64, bytes: usize) -> Result<(), AccessError> {
    if address.is_multiple_of(bytes as u64) { Ok(()) } else { Err(AccessError::Misaligned { address, bytes }) }
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global { address, bytes, nearest } => {
                write!(f, "{bytes} bytes at {address:#x} are not within its reach: {nearest}")
            }
            Self::Shared { at, bytes, shared_bytes } => {
                write!(f, "{bytes} bytes at byte {at} of shared memory, which has {shared_bytes}")
            }
            Self::Parameter { at } => write!(f, "byte {at} of the parameters, which are fewer"),
            Self::Misaligned { address, bytes } => {
                write!(f, "{bytes} bytes at {address:#x}, which is no multiple of {bytes}")
            }
        }
    }
}

/// A number in global memory, read and written as one: other streams may be at it.
enum Word<'a> {
    One(&'a AtomicU8),
    Two(&'a AtomicU16),
    Four(&'a AtomicU32),
    Eight(&'a AtomicU64),
}

impl Word<'_> {
    /// `place` is what [`Reach::global`] found for so many bytes, aligned to them; it is used before the next call, while
    /// `Reach::last` keeps the mapping.
    fn new(place: *mut u8, bytes: usize) -> Self {
        assert!(place.addr().is_multiple_of(bytes), "aligned, as the program's address is");
        // SAFETY: the place lies in a mapping that is kept, is aligned (asserted; mappings begin at pages), and is
        // accessed by others as an atomic too, or in a race that the program itself has.
        unsafe {
            match bytes {
                1 => Self::One(AtomicU8::from_ptr(place)),
                2 => Self::Two(AtomicU16::from_ptr(place.cast())),
                4 => Self::Four(AtomicU32::from_ptr(place.cast())),
                _ => Self::Eight(AtomicU64::from_ptr(place.cast())),
            }
        }
    }

    fn load(&self) -> u64 {
        match self {
            Self::One(word) => word.load(Ordering::Relaxed).into(),
            Self::Two(word) => word.load(Ordering::Relaxed).into(),
            Self::Four(word) => word.load(Ordering::Relaxed).into(),
            Self::Eight(word) => word.load(Ordering::Relaxed),
        }
    }

    fn store(&self, value: u64) {
        match self {
            Self::One(word) => word.store(value as u8, Ordering::Relaxed),
            Self::Two(word) => word.store(value as u16, Ordering::Relaxed),
            Self::Four(word) => word.store(value as u32, Ordering::Relaxed),
            Self::Eight(word) => word.store(value, Ordering::Relaxed),
        }
    }

    /// Atomics have four or eight bytes.
    fn update(&self, f: impl Fn(u64) -> u64) -> u64 {
        let order = Ordering::AcqRel;
        match self {
            Self::Eight(word) => {
                word.fetch_update(order, Ordering::Acquire, |value| Some(f(value))).unwrap_or_default()
            }
            Self::Four(word) => {
                let changed = word.fetch_update(order, Ordering::Acquire, |value| Some(f(value.into()) as u32));
                changed.unwrap_or_default().into()
            }
            _ => {
                let before = self.load();
                self.store(f(before));
                before
            }
        }
    }
}

fn is_shared(address: u64) -> bool {
    address & SHARED_WINDOW != 0
}

fn number(bytes: impl AsRef<[u8]>) -> u64 {
    let mut all = [0; 8];
    let bytes = bytes.as_ref();
    all[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(all)
}

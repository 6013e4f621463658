//! Pinned memory of the host.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys;

use super::Element;
use super::lease::bytes_of;
use crate::context::Context;
use crate::driver::{check, ignore};
use crate::error::GpuError;

/// The least that a block has: a page.
const BLOCK_BYTES_MIN: usize = 4096;

/// A pool of pinned host memory, from which devices copy by themselves, at the full speed of the bus. To pin memory takes
/// long, so blocks are used again. Cloning it is cheap.
#[derive(Clone)]
pub struct PinnedPool(Arc<Inner>);

struct Inner {
    context: Context,
    limit_bytes: usize,
    blocks: Mutex<Blocks>,
}

/// Blocks have powers of two as sizes.
#[derive(Default)]
struct Blocks {
    /// By size, those that nobody has.
    idle: BTreeMap<usize, Vec<Block>>,
    /// Of all blocks.
    pinned_bytes: usize,
    /// Of those that somebody has.
    used_bytes: usize,
}

#[derive(Debug)]
struct Block {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a piece of memory that belongs to whoever has the block, on any thread.
unsafe impl Send for Block {}
// SAFETY: as above; it is reached through `&mut` alone, or read.
unsafe impl Sync for Block {}

/// Numbers in pinned host memory, which begin as whatever was there before. It goes back to its pool when dropped.
pub struct PinnedBuffer<T> {
    block: Option<Block>,
    pool: PinnedPool,
    len: usize,
    of: PhantomData<T>,
}

impl PinnedPool {
    /// A pool that pins `limit_bytes` at most, none to begin with.
    pub fn new(context: &Context, limit_bytes: usize) -> Self {
        Self(Arc::new(Inner { context: context.clone(), limit_bytes, blocks: Mutex::default() }))
    }

    /// A buffer of `len` elements.
    ///
    /// # Errors
    /// [`GpuError::PinnedLimit`] over the limit, where blocks that nobody has don't count; [`GpuError::Range`] for none;
    /// [`GpuError::Driver`] if the host has no more memory to pin.
    pub fn allocate<T: Element>(&self, len: usize) -> Result<PinnedBuffer<T>, GpuError> {
        let asked_bytes = bytes_of::<T>(len)?;
        let bytes = asked_bytes.checked_next_power_of_two().unwrap_or(usize::MAX).max(BLOCK_BYTES_MIN);
        let mut blocks = self.blocks();
        if bytes > self.0.limit_bytes.saturating_sub(blocks.used_bytes) {
            let (used, limit) = (blocks.used_bytes as u64, self.0.limit_bytes as u64);
            return Err(GpuError::PinnedLimit { asked_bytes: bytes as u64, used_bytes: used, limit_bytes: limit });
        }
        let block = match blocks.idle.get_mut(&bytes).and_then(Vec::pop) {
            Some(block) => block,
            None => {
                blocks.unpin_down_to(self.0.limit_bytes - bytes);
                let block = self.pin(bytes)?;
                blocks.pinned_bytes += bytes;
                block
            }
        };
        blocks.used_bytes += bytes;
        drop(blocks);
        Ok(PinnedBuffer { block: Some(block), pool: self.clone(), len, of: PhantomData })
    }

    /// Bytes that are pinned, in use or not.
    pub fn pinned_bytes(&self) -> usize {
        self.blocks().pinned_bytes
    }

    fn pin(&self, bytes: usize) -> Result<Block, GpuError> {
        self.0.context.make_current()?;
        let mut base = ptr::null_mut();
        // SAFETY: the driver writes one pointer.
        check("cuMemHostAlloc", unsafe { sys::cuMemHostAlloc(&raw mut base, bytes, sys::CU_MEMHOSTALLOC_PORTABLE) })?;
        let base = NonNull::new(base.cast::<u8>()).expect("the driver gives memory where it reports no error");
        // SAFETY: as many bytes, just made. They get a value, so that whoever sees them sees numbers.
        unsafe { base.as_ptr().write_bytes(0, bytes) };
        Ok(Block { base, bytes })
    }

    fn blocks(&self) -> MutexGuard<'_, Blocks> {
        self.0.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blocks {
    /// Unpins blocks that nobody has, the largest first, until no more than `bytes` are pinned, or none is left.
    fn unpin_down_to(&mut self, bytes: usize) {
        while self.pinned_bytes > bytes {
            let Some(mut largest) = self.idle.last_entry() else { return };
            match largest.get_mut().pop() {
                Some(block) => self.pinned_bytes -= block.unpin(),
                None => drop(largest.remove()),
            }
        }
    }
}

impl Block {
    /// Gives it back to the host, and tells how many bytes it had.
    fn unpin(self) -> usize {
        // SAFETY: made by the driver, and given back once: this takes the block. No copy uses it (see `Pending`).
        ignore("cuMemFreeHost", unsafe { sys::cuMemFreeHost(self.base.as_ptr().cast()) });
        self.bytes
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.context.make_current().is_ok() {
            self.blocks.get_mut().unwrap_or_else(PoisonError::into_inner).unpin_down_to(0);
        }
    }
}

impl<T: Element> Deref for PinnedBuffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the block has at least as many bytes, at a page; they have a value, and all bits are elements.
        unsafe { std::slice::from_raw_parts(self.base().as_ptr(), self.len) }
    }
}

impl<T: Element> DerefMut for PinnedBuffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above; nobody else has the block.
        unsafe { std::slice::from_raw_parts_mut(self.base().as_ptr(), self.len) }
    }
}

impl<T> PinnedBuffer<T> {
    fn base(&self) -> NonNull<T> {
        self.block.as_ref().expect("taken by `drop` alone").base.cast()
    }
}

impl<T> Drop for PinnedBuffer<T> {
    fn drop(&mut self) {
        let Some(block) = self.block.take() else { return };
        let mut blocks = self.pool.blocks();
        blocks.used_bytes -= block.bytes;
        blocks.idle.entry(block.bytes).or_default().push(block);
    }
}

impl<T> fmt::Debug for PinnedBuffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinnedBuffer").field("len", &self.len).finish_non_exhaustive()
    }
}

impl fmt::Debug for PinnedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinnedPool").field("limit_bytes", &self.0.limit_bytes).finish_non_exhaustive()
    }
}

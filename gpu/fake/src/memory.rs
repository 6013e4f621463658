//! The memory of the devices.

use std::collections::{BTreeMap, HashSet};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::MemfdFlags;
use rustix::mm::{MapFlags, ProtFlags};

use crate::fault::{Fault, Status};

/// What fresh memory is filled with, so that who reads it before it is written is found out: as `f32` about -3e8.
const FRESH: u8 = 0xCD;
const PAGE_BYTES: usize = 4096;

/// All allocations of all devices, by address.
#[derive(Debug, Default)]
pub struct Memory {
    by_address: Mutex<BTreeMap<u64, Arc<Allocation>>>,
    /// Which device's kernels may reach which other's memory.
    peers: Mutex<HashSet<[usize; 2]>>,
}

/// A piece of device memory, mapped twice: at the address that the program knows, where any access faults, as it does
/// with a real device's; and at one that only the fake driver knows.
#[derive(Debug)]
pub struct Allocation {
    /// What the program knows.
    address: NonNull<u8>,
    /// Where the bytes are.
    bytes: NonNull<u8>,
    len: usize,
    mapped_len: usize,
    file: OwnedFd,
    device: usize,
    /// Whether it counts against the device's memory; what another process made counts there.
    is_own: bool,
}

// SAFETY: the mappings belong to the value until it is dropped, and aren't bound to a thread.
unsafe impl Send for Allocation {}
// SAFETY: as above; what races there is the program's, as on a device: see `Span`.
unsafe impl Sync for Allocation {}

/// Bytes of an allocation, which they keep.
#[derive(Clone, Debug)]
pub struct Span {
    allocation: Arc<Allocation>,
    at: usize,
    len: usize,
}

impl Memory {
    /// Makes `len` bytes on `device`.
    ///
    /// # Errors
    /// `OutOfMemory` where this machine has none left.
    pub fn allocate(&self, device: usize, len: usize) -> Result<u64, Fault> {
        let file = rustix::fs::memfd_create("rayline-fake-cuda", MemfdFlags::CLOEXEC).map_err(no_memory)?;
        rustix::fs::ftruncate(&file, mapped_len(len) as u64).map_err(no_memory)?;
        let allocation = Allocation::map(file, len, device, true)?;
        allocation.whole().fill(FRESH);
        Ok(self.insert(allocation))
    }

    /// Maps what another process allocated.
    ///
    /// # Errors
    /// `OutOfMemory` where it can't be mapped.
    pub fn import(&self, file: OwnedFd, len: usize, device: usize) -> Result<u64, Fault> {
        Ok(self.insert(Allocation::map(file, len, device, false)?))
    }

    /// Forgets an allocation. Its mapping lasts as long as somebody uses it.
    ///
    /// # Errors
    /// `InvalidValue` if there is none that begins there.
    pub fn remove(&self, address: u64) -> Result<Arc<Allocation>, Fault> {
        let removed = self.lock().remove(&address);
        removed.ok_or_else(|| Fault::new(Status::InvalidValue, format!("{address:#x} is no allocation")))
    }

    /// The allocation that an address lies in.
    pub fn find(&self, address: u64) -> Option<Arc<Allocation>> {
        let map = self.lock();
        let (_, allocation) = map.range(..=address).next_back()?;
        (address - allocation.address() < allocation.len as u64).then(|| allocation.clone())
    }

    /// The same, if a kernel on `device` may access it.
    pub fn find_from(&self, device: usize, address: u64) -> Option<Arc<Allocation>> {
        self.find(address).filter(|found| found.device == device || self.has_access([device, found.device]))
    }

    /// Lets kernels of the first device reach the memory of the second; returns whether they could not before.
    pub fn add_access(&self, pair: [usize; 2]) -> bool {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).insert(pair)
    }

    /// `len` bytes from `address` on.
    ///
    /// # Errors
    /// `IllegalAddress` if they aren't all within one allocation; says where the nearest is.
    pub fn span(&self, address: u64, len: usize) -> Result<Span, Fault> {
        let found = self.find(address).and_then(|allocation| allocation.span(address, len));
        found.ok_or_else(|| {
            let reason = format!("{len} bytes at {address:#x} are not device memory: {}", self.nearest(address));
            Fault::new(Status::IllegalAddress, reason)
        })
    }

    /// Where an address lies that can't be accessed.
    pub fn nearest(&self, address: u64) -> String {
        let map = self.lock();
        match map.range(..=address).next_back() {
            Some((begin, allocation)) => {
                let at = address - begin;
                let Allocation { len, device, .. } = **allocation;
                format!("byte {at} from the begin of an allocation of {len} bytes of device {device}")
            }
            None => "no allocation lies before".into(),
        }
    }

    fn insert(&self, allocation: Allocation) -> u64 {
        let address = allocation.address();
        self.lock().insert(address, Arc::new(allocation));
        address
    }

    fn has_access(&self, pair: [usize; 2]) -> bool {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).contains(&pair)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Allocation>>> {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Allocation {
    pub fn address(&self) -> u64 {
        self.address.as_ptr() as u64
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn device(&self) -> usize {
        self.device
    }

    pub fn is_own(&self) -> bool {
        self.is_own
    }

    pub fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// The number of the file, as `/proc/PID/fd` has it.
    pub fn file_number(&self) -> i32 {
        self.file.as_raw_fd()
    }

    /// `len` bytes from `address` on, if they are all within.
    pub fn span(self: &Arc<Self>, address: u64, len: usize) -> Option<Span> {
        let at = usize::try_from(address.checked_sub(self.address())?).ok()?;
        let is_within = at.checked_add(len)? <= self.len;
        is_within.then(|| Span { allocation: self.clone(), at, len })
    }

    /// Where `len` bytes from `address` on are, if they are all within.
    pub fn place(&self, address: u64, len: usize) -> Option<*mut u8> {
        let at = usize::try_from(address.checked_sub(self.address())?).ok()?;
        let is_within = at.checked_add(len)? <= self.len;
        is_within.then(|| self.bytes.as_ptr().wrapping_add(at))
    }

    fn map(file: OwnedFd, len: usize, device: usize, is_own: bool) -> Result<Self, Fault> {
        let mapped_len = mapped_len(len);
        let readable = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory that is in use.
        let bytes =
            unsafe { rustix::mm::mmap(ptr::null_mut(), mapped_len, readable, MapFlags::SHARED, file.as_fd(), 0) };
        let bytes: NonNull<u8> = NonNull::new(bytes.map_err(no_memory)?.cast()).expect("a mapping is not at address 0");
        // SAFETY: as above.
        let address =
            unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), mapped_len, ProtFlags::empty(), MapFlags::PRIVATE) };
        let address = address.map_err(no_memory).inspect_err(|_| {
            // SAFETY: the mapping made above, which nobody knows.
            let _ = unsafe { rustix::mm::munmap(bytes.as_ptr().cast(), mapped_len) };
        })?;
        let address: NonNull<u8> = NonNull::new(address.cast()).expect("a mapping is not at address 0");
        Ok(Self { address, bytes, len, mapped_len, file, device, is_own })
    }

    fn whole(&self) -> RawSpan<'_> {
        RawSpan { allocation: self, at: 0, len: self.len }
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        for mapping in [self.address, self.bytes] {
            // SAFETY: the mappings are this value's own, and whoever points into them holds the value.
            let _ = unsafe { rustix::mm::munmap(mapping.as_ptr().cast(), self.mapped_len) };
        }
    }
}

impl Span {
    pub fn fill(&self, byte: u8) {
        self.raw().fill(byte);
    }

    /// Copies from host memory.
    pub fn write(&self, bytes: &[u8]) {
        assert_eq!(bytes.len(), self.len, "as many bytes as the span has");
        // SAFETY: the span has as many bytes, which belong to no Rust value.
        unsafe { self.copy_from(bytes.as_ptr()) };
    }

    /// Copies as many bytes as the span has from `source`.
    ///
    /// # Safety
    /// `source` must be readable for as many bytes.
    pub unsafe fn copy_from(&self, source: *const u8) {
        // SAFETY: the span lies within its mapping, which it keeps; the caller promises the rest. Where other streams
        // access the same bytes now, the program has a race, and gets torn bytes here as on a device.
        unsafe { ptr::copy(source, self.raw().pointer(), self.len) };
    }

    /// Copies all bytes of the span to `destination`.
    ///
    /// # Safety
    /// `destination` must be writable for as many bytes.
    pub unsafe fn copy_to(&self, destination: *mut u8) {
        // SAFETY: as in `copy_from`.
        unsafe { ptr::copy(self.raw().pointer(), destination, self.len) };
    }

    /// Copies from a span of the same length, which may overlap.
    pub fn copy_from_span(&self, source: &Self) {
        assert_eq!(self.len, source.len, "spans of one length");
        // SAFETY: the source is mapped for as many bytes.
        unsafe { self.copy_from(source.raw().pointer()) };
    }

    fn raw(&self) -> RawSpan<'_> {
        RawSpan { allocation: &self.allocation, at: self.at, len: self.len }
    }
}

/// A span that borrows its allocation.
struct RawSpan<'a> {
    allocation: &'a Allocation,
    at: usize,
    len: usize,
}

impl RawSpan<'_> {
    fn pointer(&self) -> *mut u8 {
        self.allocation.bytes.as_ptr().wrapping_add(self.at)
    }

    fn fill(&self, byte: u8) {
        // SAFETY: the span lies within the mapping of its allocation; see `Span::copy_from` for races.
        unsafe { ptr::write_bytes(self.pointer(), byte, self.len) };
    }
}

/// A whole number of pages, at least one.
fn mapped_len(len: usize) -> usize {
    len.max(1).next_multiple_of(PAGE_BYTES)
}

fn no_memory(error: rustix::io::Errno) -> Fault {
    Fault::new(Status::OutOfMemory, format!("the machine has no memory for it: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_outside_of_allocations_are_refused_with_their_place() {
        let memory = Memory::default();
        let address = memory.allocate(0, 100).unwrap();
        memory.span(address + 96, 4).unwrap().write(&[1, 2, 3, 4]);
        let fault = memory.span(address + 97, 4).unwrap_err();
        assert_eq!(fault.status, Status::IllegalAddress);
        assert!(fault.reason.contains("byte 97 from the begin of an allocation of 100 bytes of device 0"), "{fault}");
        assert!(memory.remove(address + 1).is_err());
        memory.remove(address).unwrap();
        assert!(memory.find(address).is_none());
    }

    /// In a process of its own, which it ends.
    #[test]
    fn the_host_cannot_touch_it() {
        use std::os::unix::process::ExitStatusExt;

        const NAME: &str = "memory::tests::the_host_cannot_touch_it";
        const SEGMENTATION_FAULT: i32 = 11;
        if std::env::var_os("RAYLINE_FAKE_CUDA_TOUCH").is_some() {
            let address = Memory::default().allocate(0, 4).unwrap() as *const u8;
            // SAFETY: mapped, but not readable: the read ends the process, as the test expects.
            std::process::exit(unsafe { address.read_volatile() }.into());
        }
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let child = child.args(["--exact", NAME]).env("RAYLINE_FAKE_CUDA_TOUCH", "1");
        assert_eq!(child.output().unwrap().status.signal(), Some(SEGMENTATION_FAULT));
    }

    #[test]
    fn fresh_memory_has_no_meaning() {
        let memory = Memory::default();
        let address = memory.allocate(0, 2).unwrap();
        let mut read = [0; 2];
        // SAFETY: two bytes of the array above.
        unsafe { memory.span(address, 2).unwrap().copy_to(read.as_mut_ptr()) };
        assert_eq!(read, [FRESH; 2]);
    }
}

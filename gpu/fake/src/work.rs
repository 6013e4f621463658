//! What streams do.

use std::sync::Arc;

use crate::driver::Driver;
use crate::event::Event;
use crate::fault::Fault;
use crate::run::Launch;

/// A piece of work of a stream. Addresses are looked up when it is done, as on a device.
#[derive(Clone, Debug)]
pub enum Work {
    /// From the host to a device.
    Upload { to: u64, from: HostBytes },
    /// From a device to the host.
    Download { to: HostPointer, from: u64, len: usize },
    /// Within a device, or between two.
    Copy { to: u64, from: u64, len: usize },
    /// Sets bytes.
    Fill { to: u64, byte: u8, len: usize },
    /// Runs a kernel.
    Launch(Launch),
    /// Reaches a recording of an event.
    Record { event: Arc<Event>, recording: u64 },
    /// Waits for a recording of an event.
    Wait { event: Arc<Event>, recording: u64 },
    /// Gives memory back.
    Free { address: u64 },
}

/// Bytes of the host.
#[derive(Clone, Debug)]
pub enum HostBytes {
    /// As they were when the work was asked for: those of pageable memory are taken then.
    Staged(Arc<[u8]>),
    /// As they are when the work is done.
    InPlace { at: HostPointer, len: usize },
}

/// Where bytes of the host are, which the program promised to keep until the work is done.
#[derive(Clone, Copy, Debug)]
pub struct HostPointer(pub usize);

impl Work {
    /// Whether it is done though the device has failed.
    pub fn outlives_failure(&self) -> bool {
        matches!(self, Self::Record { .. } | Self::Wait { .. } | Self::Free { .. })
    }

    /// Does it.
    ///
    /// # Errors
    /// What a device would fail by.
    pub fn run(&self, driver: &Driver) -> Result<(), Fault> {
        let memory = driver.memory();
        match self {
            Self::Upload { to, from: HostBytes::Staged(bytes) } => memory.span(*to, bytes.len())?.write(bytes),
            Self::Upload { to, from: HostBytes::InPlace { at, len } } => {
                let span = memory.span(*to, *len)?;
                // SAFETY: whoever asked for the copy promised the bytes until it is done; so does the interface of CUDA.
                unsafe { span.copy_from(at.0 as *const u8) };
            }
            Self::Download { to, from, len } => {
                let span = memory.span(*from, *len)?;
                // SAFETY: as above.
                unsafe { span.copy_to(to.0 as *mut u8) };
            }
            Self::Copy { to, from, len } => memory.span(*to, *len)?.copy_from_span(&memory.span(*from, *len)?),
            Self::Fill { to, byte, len } => memory.span(*to, *len)?.fill(*byte),
            Self::Launch(launch) => launch.run(memory)?,
            Self::Record { event, recording } => event.reach(*recording),
            Self::Wait { event, recording } => event.wait(*recording),
            Self::Free { address } => driver.free(*address)?,
        }
        Ok(())
    }
}

//! What a stream has in use.

use std::mem::ManuallyDrop;

use cudarc::driver::sys;

use crate::driver::check;
use crate::error::GpuError;
use crate::event::Event;
use crate::stream::Stream;

/// A value that a stream reads or writes until it has done so. Dropping it waits for that; a value that is forgotten is
/// never freed, and so harms nobody.
#[derive(Debug)]
pub struct Pending<T> {
    event: Event,
    stream: Stream,
    value: ManuallyDrop<T>,
}

impl<T> Pending<T> {
    /// Puts work that uses `value` into the queue.
    pub(super) fn begin(
        stream: &Stream,
        value: T,
        work: impl FnOnce(&mut T, sys::CUstream) -> Result<(), GpuError>,
    ) -> Result<Self, GpuError> {
        let event = Event::new(stream.context())?;
        let mut pending = Self { event, stream: stream.clone(), value: ManuallyDrop::new(value) };
        let Self { event, value, .. } = &mut pending;
        stream.submit_once(|stream| {
            work(value, stream)?;
            // SAFETY: both are kept by values that live through the call.
            check("cuEventRecord", unsafe { sys::cuEventRecord(event.raw(), stream) })
        })?;
        Ok(pending)
    }

    /// Whether [`Pending::wait`] would return at once.
    ///
    /// # Errors
    /// [`GpuError::Driver`] if the device has failed.
    pub fn is_done(&self) -> Result<bool, GpuError> {
        self.event.is_reached()
    }

    /// Waits until the work is done, and gives the value back.
    ///
    /// # Errors
    /// [`GpuError::Driver`] if the device has failed; the value is lost then, since nobody knows what still uses it.
    pub fn wait(self) -> Result<T, GpuError> {
        let mut this = ManuallyDrop::new(self);
        let waited = this.event.synchronize();
        // SAFETY: `this` isn't dropped, so each field is taken out once, and not used afterwards.
        let (value, event, stream) = unsafe {
            (
                ManuallyDrop::take(&mut this.value),
                std::ptr::read(&raw const this.event),
                std::ptr::read(&raw const this.stream),
            )
        };
        drop((event, stream));
        match waited {
            Ok(()) => Ok(value),
            Err(error) => {
                std::mem::forget(value);
                Err(error)
            }
        }
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        // The whole stream: where recording the event failed, the work may be under way without it.
        if self.stream.synchronize().is_ok() {
            // SAFETY: not taken before, since `wait` drops no `Pending`, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}

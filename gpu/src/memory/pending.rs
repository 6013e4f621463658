//! What a stream has in use.

use std::mem::ManuallyDrop;

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
    /// Takes what work will use that is put into the queue next.
    pub(super) fn new(stream: &Stream, value: T) -> Result<Self, GpuError> {
        Ok(Self { event: Event::new(stream.context())?, stream: stream.clone(), value: ManuallyDrop::new(value) })
    }

    /// The work is in the queue.
    pub(super) fn begun(self, stream: &Stream) -> Result<Self, GpuError> {
        stream.record(&self.event)?;
        Ok(self)
    }

    pub(super) fn value(&self) -> &T {
        &self.value
    }

    pub(super) fn value_mut(&mut self) -> &mut T {
        &mut self.value
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

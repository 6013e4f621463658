//! Buffers.

use std::marker::PhantomData;
use std::sync::Arc;

use super::{Allocation, Element};
use crate::error::GpuError;
use crate::stream::Stream;

/// Numbers in device memory. The host can't touch them: streams copy them.
///
/// Each buffer is of one stream, its *home*, which orders all that is done with it; so nothing races, and it can be
/// dropped while work with it is under way. To use it in another stream, [move](Self::move_to) it there. A graph that uses
/// it keeps its memory.
#[derive(Debug)]
pub struct DeviceBuffer<T> {
    allocation: Arc<Allocation>,
    len: usize,
    of: PhantomData<T>,
}

impl<T: Element> DeviceBuffer<T> {
    pub(super) fn new(allocation: Arc<Allocation>, len: usize) -> Self {
        Self { allocation, len, of: PhantomData }
    }

    /// How many elements it has; never 0.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// How many bytes it has.
    pub fn bytes(&self) -> usize {
        self.allocation.bytes()
    }

    /// The stream that orders all that is done with it.
    pub fn home(&self) -> Stream {
        self.allocation.home().clone()
    }

    /// Makes `stream` its home: what comes into that queue from now on waits for what is in the old one now.
    ///
    /// # Errors
    /// [`GpuError::OtherDevice`] for a stream of another device; [`GpuError::Capturing`]; [`GpuError::Driver`].
    pub fn move_to(&mut self, stream: &Stream) -> Result<(), GpuError> {
        let mut home = self.allocation.home();
        home.context().check_same(stream.context(), "the stream")?;
        if !home.is_same(stream) {
            home.order_before(stream)?;
            *home = stream.clone();
        }
        Ok(())
    }

    pub(crate) fn allocation(&self) -> &Arc<Allocation> {
        &self.allocation
    }

    /// Checks that `stream` orders what is done with it.
    pub(crate) fn check_home(&self, stream: &Stream) -> Result<(), GpuError> {
        if self.allocation.home().is_same(stream) { Ok(()) } else { Err(GpuError::OtherStream) }
    }

    /// Checks that it has `expected` elements.
    pub(crate) fn check_len(&self, what: &'static str, expected: usize) -> Result<(), GpuError> {
        check_len(what, expected, self.len)
    }
}

pub(crate) fn check_len(what: &'static str, expected: usize, found: usize) -> Result<(), GpuError> {
    if expected == found { Ok(()) } else { Err(GpuError::Length { what, expected, found }) }
}

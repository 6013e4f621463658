//! Streams.

use std::any::Any;
use std::fmt;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys::{self, CUresult};

use crate::context::Context;
use crate::driver::{Handle, check, ignore};
use crate::error::GpuError;
use crate::event::Event;
use crate::memory::Dropped;

/// A queue of work of a device, done in its order, later than it is asked for. Cloning it is cheap: all clones are one
/// queue.
///
/// Each [`DeviceBuffer`](crate::DeviceBuffer) is of one stream at a time, which orders all that is done with it.
#[derive(Clone)]
pub struct Stream(Arc<Inner>);

struct Inner {
    raw: Handle<sys::CUstream_st>,
    context: Context,
    mode: Mutex<Mode>,
}

/// ```text
///  Running --begin_capture--> Capturing --end_capture--> Running
/// ```
enum Mode {
    Running,
    /// Work goes into a graph.
    Capturing(Captured),
}

/// What a capture has gathered.
#[derive(Default)]
pub(crate) struct Captured {
    /// What the work in the graph uses.
    pub kept: Vec<Arc<dyn Any + Send + Sync>>,
    /// Memory that was given up meanwhile, and can be given back only afterwards.
    pub dropped: Vec<Dropped>,
}

impl Stream {
    /// A new, empty queue of the context's device.
    ///
    /// # Errors
    /// [`GpuError::Driver`] if the driver refuses.
    pub fn new(context: &Context) -> Result<Self, GpuError> {
        context.make_current()?;
        let mut raw = ptr::null_mut();
        let flags = sys::CUstream_flags_enum::CU_STREAM_NON_BLOCKING as u32;
        // SAFETY: the driver writes one handle.
        check("cuStreamCreate", unsafe { sys::cuStreamCreate(&raw mut raw, flags) })?;
        Ok(Self(Arc::new(Inner { raw: Handle(raw), context: context.clone(), mode: Mutex::new(Mode::Running) })))
    }

    /// Of which device it is.
    pub fn context(&self) -> &Context {
        &self.0.context
    }

    /// Waits until all of its work is done.
    ///
    /// # Errors
    /// [`GpuError::Driver`] if some of it failed; [`GpuError::Capturing`] while it is captured.
    pub fn synchronize(&self) -> Result<(), GpuError> {
        self.check_running()?;
        // SAFETY: a stream that this value keeps.
        check("cuStreamSynchronize", unsafe { sys::cuStreamSynchronize(self.raw()) })
    }

    /// Whether all of its work is done.
    ///
    /// # Errors
    /// As of [`Stream::synchronize`].
    pub fn is_idle(&self) -> Result<bool, GpuError> {
        self.check_running()?;
        // SAFETY: a stream that this value keeps.
        let result = unsafe { sys::cuStreamQuery(self.raw()) };
        match result {
            CUresult::CUDA_ERROR_NOT_READY => Ok(false),
            result => check("cuStreamQuery", result).map(|()| true),
        }
    }

    /// Sets an event behind all work that is in the queue now.
    ///
    /// # Errors
    /// [`GpuError::OtherDevice`] for an event of another device; [`GpuError::Capturing`]; [`GpuError::Driver`].
    pub fn record(&self, event: &Event) -> Result<(), GpuError> {
        self.context().check_same(event.context(), "the event")?;
        self.submit_once(|stream| {
            // SAFETY: both are kept by values that live through the call.
            check("cuEventRecord", unsafe { sys::cuEventRecord(event.raw(), stream) })
        })
    }

    /// Work that comes into the queue from now on waits for the event, which may be of another device.
    ///
    /// # Errors
    /// [`GpuError::Capturing`]; [`GpuError::Driver`].
    pub fn wait(&self, event: &Event) -> Result<(), GpuError> {
        self.submit_once(|stream| {
            // SAFETY: both are kept by values that live through the call.
            check("cuStreamWaitEvent", unsafe { sys::cuStreamWaitEvent(stream, event.raw(), 0) })
        })
    }

    /// What comes into `later` from now on waits for what is in this queue now.
    pub(crate) fn order_before(&self, later: &Self) -> Result<(), GpuError> {
        if self.is_same(later) {
            return Ok(());
        }
        let event = Event::new(self.context())?;
        self.record(&event)?;
        later.wait(&event)
    }

    /// Whether both are one queue.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.raw.0 == other.0.raw.0
    }

    pub(crate) fn raw(&self) -> sys::CUstream {
        self.0.raw.0
    }

    /// Checks that its work is done, and not captured.
    pub(crate) fn check_running(&self) -> Result<(), GpuError> {
        match *self.mode() {
            Mode::Running => self.context().make_current(),
            Mode::Capturing(_) => Err(GpuError::Capturing),
        }
    }

    /// Puts work into the queue. If it goes into a graph, where it may be done again, what it uses is kept with it; else
    /// the order of the queue is enough, since things are given back in it, too.
    pub(crate) fn submit(
        &self,
        used: impl IntoIterator<Item = Arc<dyn Any + Send + Sync>>,
        work: impl FnOnce(sys::CUstream) -> Result<(), GpuError>,
    ) -> Result<(), GpuError> {
        let mut mode = self.mode();
        self.context().make_current()?;
        work(self.raw())?;
        if let Mode::Capturing(captured) = &mut *mode {
            captured.kept.extend(used);
        }
        Ok(())
    }

    /// Puts work into the queue that must never be part of a graph: what it uses is there now, and not at each replay.
    /// Nobody can begin a capture meanwhile.
    pub(crate) fn submit_once(&self, work: impl FnOnce(sys::CUstream) -> Result<(), GpuError>) -> Result<(), GpuError> {
        let mode = self.mode();
        self.context().make_current()?;
        match *mode {
            Mode::Running => work(self.raw()),
            Mode::Capturing(_) => Err(GpuError::Capturing),
        }
    }

    /// Gives memory back behind all work that is in the queue now.
    pub(crate) fn give_back(&self, dropped: Dropped) {
        match &mut *self.mode() {
            Mode::Capturing(captured) => captured.dropped.push(dropped),
            Mode::Running => dropped.give_back(self),
        }
    }

    /// From here on work goes into a graph, if it comes from this thread.
    pub(crate) fn begin_capture(&self) -> Result<(), GpuError> {
        let mut mode = self.mode();
        if matches!(*mode, Mode::Capturing(_)) {
            return Err(GpuError::Capturing);
        }
        self.context().make_current()?;
        let how = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: a stream that this value keeps, not captured yet.
        check("cuStreamBeginCapture", unsafe { sys::cuStreamBeginCapture_v2(self.raw(), how) })?;
        *mode = Mode::Capturing(Captured::default());
        Ok(())
    }

    /// Ends the capture and returns what the driver gives, and what the graph needs.
    pub(crate) fn end_capture(&self) -> (Result<sys::CUgraph, GpuError>, Captured) {
        let mut graph = ptr::null_mut();
        let mut mode = self.mode();
        // SAFETY: a stream that this value keeps; the driver writes one handle.
        let result = unsafe { sys::cuStreamEndCapture(self.raw(), &raw mut graph) };
        let ended = check("cuStreamEndCapture", result).map(|()| graph);
        match std::mem::replace(&mut *mode, Mode::Running) {
            Mode::Capturing(captured) => (ended, captured),
            Mode::Running => (ended, Captured::default()),
        }
    }

    fn mode(&self) -> MutexGuard<'_, Mode> {
        self.0.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("raw", &self.0.raw.0).field("context", &self.0.context).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: this value's own; the driver ends it when its work is done.
        ignore("cuStreamDestroy", unsafe { sys::cuStreamDestroy_v2(self.raw.0) });
    }
}

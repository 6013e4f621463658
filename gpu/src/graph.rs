//! Graphs.

use std::any::Any;
use std::ptr;
use std::sync::Arc;

use cudarc::driver::sys;

use crate::driver::{Handle, check, ignore};
use crate::error::GpuError;
use crate::memory::Allocation;
use crate::stream::{Captured, Stream};

/// Work of a stream, noted once and then done as often as one likes by a single call.
///
/// It keeps the memory and the kernels that it uses. Values that were passed to kernels are those of the time of the
/// capture; what changes between replays must be in buffers.
#[derive(Debug)]
pub struct Graph {
    raw: Handle<sys::CUgraphExec_st>,
    stream: Stream,
    /// Memory that it uses, which must still be of its stream when it is replayed.
    memory: Vec<Arc<Allocation>>,
    _kept: Vec<Arc<dyn Any + Send + Sync>>,
}

/// Ends the capture of a stream, however the noting of work ends.
struct Capture<'a> {
    stream: &'a Stream,
    is_over: bool,
}

impl Graph {
    /// Notes what `work` puts into `stream`, which is not done. In it, nothing can be waited for and no memory be made.
    ///
    /// # Errors
    /// Whatever `work` fails by; [`GpuError::Capturing`] if the stream is being captured; [`GpuError::Driver`].
    pub fn capture(stream: &Stream, work: impl FnOnce(&Stream) -> Result<(), GpuError>) -> Result<Self, GpuError> {
        let capture = Capture::begin(stream)?;
        let worked = work(stream);
        let (graph, captured) = capture.end();
        let (graph, outcome) = (graph?, worked);
        let instantiated = outcome.and_then(|()| instantiate(graph));
        // SAFETY: made by the capture; what is instantiated doesn't need it any more.
        ignore("cuGraphDestroy", unsafe { sys::cuGraphDestroy(graph) });
        Ok(Self::of(instantiated?, stream, captured.kept))
    }

    /// Puts all of the work into its stream.
    ///
    /// # Errors
    /// [`GpuError::OtherStream`] if a buffer that it uses was moved; [`GpuError::Capturing`]; [`GpuError::Driver`].
    pub fn replay(&self) -> Result<(), GpuError> {
        if !self.memory.iter().all(|allocation| allocation.home().is_same(&self.stream)) {
            return Err(GpuError::OtherStream);
        }
        self.stream.submit_once(|stream| {
            // SAFETY: a graph of this value, which keeps all that the work uses; the stream orders it with all other uses.
            check("cuGraphLaunch", unsafe { sys::cuGraphLaunch(self.raw.0, stream) })
        })
    }

    /// The stream that it is replayed in.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    fn of(raw: sys::CUgraphExec, stream: &Stream, kept: Vec<Arc<dyn Any + Send + Sync>>) -> Self {
        let mut memory: Vec<_> = kept.iter().filter_map(|used| used.clone().downcast::<Allocation>().ok()).collect();
        memory.sort_by_key(|allocation| allocation.address());
        memory.dedup_by_key(|allocation| allocation.address());
        Self { raw: Handle(raw), stream: stream.clone(), memory, _kept: kept }
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // The memory is given back behind the last replay; kernels aren't, so it is waited for.
        if self.stream.check_running().is_ok() {
            // SAFETY: a stream that this value keeps.
            ignore("cuStreamSynchronize", unsafe { sys::cuStreamSynchronize(self.stream.raw()) });
        }
        // SAFETY: this value's own.
        ignore("cuGraphExecDestroy", unsafe { sys::cuGraphExecDestroy(self.raw.0) });
    }
}

impl<'a> Capture<'a> {
    fn begin(stream: &'a Stream) -> Result<Self, GpuError> {
        stream.begin_capture()?;
        Ok(Self { stream, is_over: false })
    }

    fn end(mut self) -> (Result<sys::CUgraph, GpuError>, Captured) {
        self.is_over = true;
        let (graph, mut captured) = self.stream.end_capture();
        captured.dropped.drain(..).for_each(|dropped| dropped.give_back(self.stream));
        (graph, captured)
    }
}

impl Drop for Capture<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let (graph, captured) = self.stream.end_capture();
        captured.dropped.iter().for_each(|dropped| dropped.give_back(self.stream));
        if let Ok(graph) = graph {
            // SAFETY: made by the capture, and used nowhere.
            ignore("cuGraphDestroy", unsafe { sys::cuGraphDestroy(graph) });
        }
    }
}

fn instantiate(graph: sys::CUgraph) -> Result<sys::CUgraphExec, GpuError> {
    let mut raw = ptr::null_mut();
    // SAFETY: a graph that lives through the call; the driver writes one handle.
    check("cuGraphInstantiate", unsafe { sys::cuGraphInstantiateWithFlags(&raw mut raw, graph, 0) })?;
    Ok(raw)
}

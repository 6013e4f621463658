//! What a run looks like in a terminal: a progress bar over a curve that grows, or plain lines where there is no
//! terminal.

mod curve;
mod progress;

pub use curve::curve;
pub use progress::{ProgressView, Verbosity, rate, short};

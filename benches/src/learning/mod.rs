//! Whether training reaches what others have published: presets, trained on several seeds, against their returns.
//!
//! `bench learn` trains and writes one line of JSON a run; `bench curves` judges such lines and draws them.

mod goal;
mod judge;
mod plot;
mod run;

pub use goal::{GOALS, Goal};
pub use judge::{Verdict, judge, table};
pub use plot::svg;
pub use run::{LearningRun, read, run};

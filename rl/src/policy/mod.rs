//! Trained policies: loaded from the checkpoint of either algorithm, played, and exported for other tools.

mod actor;
mod error;
mod export;
mod trained;

pub use actor::PolicyActor;
pub use error::PolicyError;
pub use export::{Exported, export};
pub use trained::{TrainedPolicy, evaluation_seed};

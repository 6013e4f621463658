//! What a run tells, kept on disk: scalars by step, for TensorBoard, as CSV and as lines of JSON.
//!
//! ```text
//! Progress, EsProgress ──> Scalars (step, name -> value) ──> Recorder ──> events.out.tfevents.*   EventFile
//!                                                                    ├──> progress.csv            CsvFile
//!                                                                    └──> progress.jsonl          JsonLines
//! ```
//!
//! Names are those that users of Stable-Baselines3 (`rollout/ep_rew_mean`, `eval/mean_reward`, `time/…`) and of CleanRL
//! (`charts/SPS`, `losses/…`) have in their dashboards; see [`Scalars`].
//!
//! ```
//! use rayline_rl::ppo::{PpoConfig, Trainer};
//! use rayline_rl::record::{Formats, Recorder, Scalars};
//!
//! # let folder = tempfile::tempdir().expect("a folder");
//! # let folder = folder.path();
//! let config = PpoConfig { total_steps: 2_000, ..PpoConfig::cartpole() };
//! let mut trainer = Trainer::new("CartPole-v1", config, 2)?;
//! let mut recorder = Recorder::create(folder, Formats::ALL)?;
//! trainer.run(|progress| match recorder.record(Scalars::of_ppo(&progress)) {
//!     Ok(()) => std::ops::ControlFlow::Continue(()),
//!     Err(_) => std::ops::ControlFlow::Break(()),
//! })?;
//! recorder.flush()?;
//! assert!(folder.join("progress.csv").exists());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod csv_file;
mod error;
mod event_file;
mod json_lines;
mod proto;
mod recorder;
mod scalars;
mod text_log;

pub use csv_file::CsvFile;
pub use error::RecordError;
pub use event_file::EventFile;
pub use json_lines::JsonLines;
pub use recorder::{Formats, Recorder};
pub use scalars::Scalars;

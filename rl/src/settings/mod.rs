//! Settings of a run from TOML and from the command line, over the settings that are known to work.
//!
//! ```text
//! env = "CartPole-v1"              # keys of RunConfig
//! target = 475
//!
//! [ppo]                            # keys of PpoConfig; [es] for those of EsConfig
//! learning_rate = 3e-4             # a bare number takes the place of the preset's: the start of its schedule
//! clip = { constant = 0.1 }        # or another schedule
//! target_kl = "none"               # leaves out what may be left out
//! ```
//!
//! What isn't said is as in the preset. A key that doesn't exist and a value of the wrong type are errors that name
//! file, line and key, and the nearest key that does exist.

mod error;
mod file;
mod overlay;
mod run_config;
mod written;

pub use error::SettingsError;
pub use file::SettingsFile;
pub use overlay::Assignment;
pub use run_config::RunConfig;
pub use written::to_toml;

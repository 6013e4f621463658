//! Any environment of Gymnasium, stepped by Python processes through shared memory.
//!
//! ```no_run
//! use rayline_rl::env::{ActionBuf, StepBuf, VecEnv};
//!
//! let mut envs = rayline_rl::gym("LunarLander-v3").envs(16).processes(2).build()?;
//! let mut out = StepBuf::new(&envs);
//! envs.reset(7, &mut out.obs)?;
//! envs.step(ActionBuf::new(envs.action_space(), 16).as_actions(), out.out())?;
//! # Ok::<(), rayline_rl::env::EnvError>(())
//! ```
//!
//! It needs a Python with Gymnasium, `pip install gymnasium`, and what the environment needs. A batch is shared out
//! over processes; each steps its environments one after the other. A step copies numbers into arrays that both sides
//! see, and sends a byte: nothing is pickled or encoded. An exception in Python is an error with its traceback; a
//! process that ends or doesn't answer is an error too.
//!
//! Spaces: `Discrete`, `MultiDiscrete`, `MultiBinary`, `Box`, `Dict` and `Tuple` of these. Choices count from 0
//! whatever their `start`. Numbers of every type become single precision; images are numbers up to 255.

mod error;
mod memory;
mod process;
mod spaces;
mod vec;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

pub use error::GymError;
pub use vec::GymVec;

use super::EnvError;

/// A batch of environments of Gymnasium that is still to be made.
#[derive(Clone, Debug)]
pub struct Gym {
    id: String,
    kwargs: Map<String, Value>,
    modules: Vec<String>,
    paths: Vec<PathBuf>,
    python: OsString,
    current_dir: Option<PathBuf>,
    envs: usize,
    processes: usize,
    timeout: Duration,
    spin: Duration,
}

/// An environment of Gymnasium, by what `gymnasium.make` takes: one of it in a process of `python3`, unless more is
/// said.
pub fn gym(id: &str) -> Gym {
    Gym {
        id: id.to_owned(),
        kwargs: Map::new(),
        modules: Vec::new(),
        paths: Vec::new(),
        python: "python3".into(),
        current_dir: None,
        envs: 1,
        processes: std::thread::available_parallelism().map_or(1, usize::from),
        timeout: Duration::from_secs(60),
        spin: Duration::ZERO,
    }
}

impl Gym {
    /// How many environments.
    pub fn envs(mut self, envs: usize) -> Self {
        self.envs = envs;
        self
    }

    /// How many processes share them, at most one an environment; else one a core.
    pub fn processes(mut self, processes: usize) -> Self {
        self.processes = processes;
        self
    }

    /// Another Python than `python3`: a name to look for in `PATH`, or a path.
    pub fn python(mut self, python: impl Into<OsString>) -> Self {
        self.python = python.into();
        self
    }

    /// The folder that the processes work in, where environments put their logs; else that of this process.
    pub fn current_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.current_dir = Some(folder.into());
        self
    }

    /// A keyword argument of `gymnasium.make`.
    pub fn kwarg(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.kwargs.insert(name.to_owned(), value.into());
        self
    }

    /// A folder in which Python looks for modules, before all others.
    pub fn path(mut self, folder: impl Into<PathBuf>) -> Self {
        self.paths.push(folder.into());
        self
    }

    /// A module to import first, which registers environments: `ale_py`, say.
    pub fn module(mut self, name: &str) -> Self {
        self.modules.push(name.to_owned());
        self
    }

    /// How long a process may take to start, or to step or reset its environments, before it counts as stuck and is
    /// killed; else a minute.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long either side looks for the other's answer before it sleeps; else not at all. Looking costs a core, and
    /// spares the tens of microseconds that waking takes: it may pay where more cores are idle than there are processes.
    /// Where other programs wanted them, it made batches of 64 `CartPole-v1` 6 % slower, and single ones 33 %.
    pub fn spin(mut self, spin: Duration) -> Self {
        self.spin = spin;
        self
    }

    /// Starts the processes and makes the environments.
    ///
    /// # Errors
    /// [`EnvError::Gym`] if there is no Python or no Gymnasium, or making an environment raises; [`EnvError::Empty`]
    /// for none; [`EnvError::MixedActions`] if actions are both choices and values.
    pub fn build(&self) -> Result<GymVec, EnvError> {
        GymVec::new(self)
    }
}

//! `rayline-rl train`.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use rayline_rl::policy::TrainedPolicy;
use rayline_rl::record::{Formats, Recorder};
use rayline_rl::settings::RunConfig;
use rayline_rl::view::{ProgressView, Verbosity, short};
use serde::Serialize;

use crate::Done;
use crate::folder::RunFolder;
use crate::output;
use crate::run::{Notes, Position, Run, Told};
use crate::run_es::EsRun;
use crate::run_ppo::PpoRun;
use crate::settings::SettingsArgs;

/// Train a policy.
///
/// Stops at the target, or after the steps of the settings. The folder of the run has settings.toml (all settings),
/// progress.csv, progress.jsonl and events for TensorBoard, checkpoint.safetensors, best.safetensors (of the best
/// evaluation), and summary.json. A run that was stopped goes on with --resume, as if it had not been.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Train {
    /// How to train; with --resume, as before
    #[arg(value_enum, required_unless_present = "resume")]
    algorithm: Option<Algorithm>,

    #[command(flatten)]
    settings: SettingsArgs,

    /// Folder for the run, which must not exist [default: runs/ENV-ALGORITHM-N]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,

    /// Folder of a run to go on with; settings change what it had
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["out", "config", "preset", "env", "algorithm"])]
    resume: Option<PathBuf>,

    /// Print the summary only
    #[arg(long, short)]
    quiet: bool,

    /// Print the summary as one line of JSON, and nothing else
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "Examples:
  rayline-rl train ppo                                       CartPole-v1, with the settings tuned for it
  rayline-rl train ppo --env Pendulum-v1 --target -200       another environment
  rayline-rl train es --config es.toml --set sigma=0.1       settings from a file, and one changed
  rayline-rl train --resume runs/CartPole-v1-ppo-1           go on where it stopped";

/// How to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Algorithm {
    /// Proximal policy optimisation
    Ppo,
    /// Evolution strategies
    Es,
}

/// A run with all that it is written to.
struct Training {
    run: Box<dyn Run>,
    notes: Notes,
    folder: RunFolder,
    recorder: Recorder,
    view: ProgressView,
    first_step: u64,
    begin: Instant,
}

/// How a run went.
#[derive(Serialize)]
struct Summary<'a> {
    env: &'a str,
    algorithm: &'a str,
    seed: u64,
    /// Of training, without the start of the process.
    seconds: f64,
    /// Environment steps, those before it was resumed included.
    steps: u64,
    mean_return: Option<f64>,
    target: Option<f64>,
    reached: bool,
    /// The mean return of the best evaluation.
    best: Option<f64>,
    folder: &'a Path,
}

impl Train {
    /// Does as it says.
    pub fn run(&self) -> Done {
        let mut training = match &self.resume {
            Some(path) => self.resume(&RunFolder::open(path))?,
            None => self.begin()?,
        };
        if !self.quiet && !self.json {
            let Position { env_steps, total_steps, .. } = training.run.position();
            let (env, name) = (&training.notes.run.env, training.run.name());
            let (workers, path) = (training.notes.run.workers, training.folder.path().display());
            output::line(&format!(
                "{name} on {env} with {workers} workers, from step {env_steps} to {total_steps}, seed {}, into {path}",
                training.run.seed()
            ))?;
        }
        let reached = training.train()?;
        self.conclude(training, reached)
    }

    fn begin(&self) -> Result<Training, Box<dyn Error>> {
        let config = self.settings.run(&RunConfig::default())?;
        let notes = Notes { run: config.clone(), ..Notes::default() };
        let run: Box<dyn Run> = match self.algorithm {
            Some(Algorithm::Es) => Box::new(EsRun::begin(&self.settings, config)?),
            _ => Box::new(PpoRun::begin(&self.settings, config)?),
        };
        let folder = match &self.out {
            Some(path) => RunFolder::create(path).map_err(|error| format!("can't make {}: {error}", path.display()))?,
            None => RunFolder::create_numbered(&notes.run.env, run.name())?,
        };
        let recorder = Recorder::create(folder.path(), Formats::ALL)?;
        self.training(run, notes, folder, recorder)
    }

    fn resume(&self, folder: &RunFolder) -> Result<Training, Box<dyn Error>> {
        let policy = TrainedPolicy::load(&folder.checkpoint())?;
        let mut notes: Notes = serde_json::from_value(policy.notes().clone())
            .map_err(|error| format!("{} is no checkpoint of this command: {error}", folder.checkpoint().display()))?;
        let run: Box<dyn Run> = match policy {
            TrainedPolicy::Ppo(checkpoint) => Box::new(PpoRun::resume(&self.settings, *checkpoint, &notes)?),
            TrainedPolicy::Es(checkpoint) => Box::new(EsRun::resume(&self.settings, *checkpoint, &notes)?),
            other => return Err(format!("can't go on with {other:?}").into()),
        };
        notes.run = self.settings.run(&notes.run)?;
        let recorder = Recorder::resume(folder.path(), Formats::ALL, run.position().env_steps)?;
        self.training(run, notes, folder.clone(), recorder)
    }

    fn training(
        &self,
        run: Box<dyn Run>,
        notes: Notes,
        folder: RunFolder,
        recorder: Recorder,
    ) -> Result<Training, Box<dyn Error>> {
        fs::write(folder.settings(), run.settings())?;
        let verbosity = if self.quiet || self.json { Verbosity::Silent } else { Verbosity::Live };
        let Position { env_steps, total_steps, .. } = run.position();
        let view = ProgressView::new(env_steps, total_steps, verbosity);
        Ok(Training { run, notes, folder, recorder, view, first_step: env_steps, begin: Instant::now() })
    }

    fn conclude(&self, training: Training, reached: bool) -> Done {
        let Training { run, notes, folder, view, first_step, begin, .. } = training;
        let summary = Summary {
            env: &notes.run.env,
            algorithm: run.name(),
            seed: run.seed(),
            seconds: begin.elapsed().as_secs_f64(),
            steps: run.position().env_steps,
            mean_return: notes.mean_return,
            target: notes.run.target,
            reached,
            best: notes.best,
            folder: folder.path(),
        };
        fs::write(folder.summary(), format!("{}\n", serde_json::to_string_pretty(&summary)?))?;
        let curve = view.finish();
        if self.json {
            return Ok(output::line(&serde_json::to_string(&summary)?)?);
        }
        if !self.quiet {
            output::line(&format!("mean return\n{curve}"))?;
        }
        Ok(output::line(&summary.text(first_step))?)
    }
}

impl Training {
    /// Trains until the target or the end of the steps; says whether the target was reached.
    fn train(&mut self) -> Result<bool, Box<dyn Error>> {
        let mut reached = false;
        while !reached && self.run.position().env_steps < self.run.position().total_steps {
            let before = self.run.position();
            let Told { scalars, mean_return, is_judged, evaluation, details } = self.step()?;
            let after = self.run.position();
            self.notes.mean_return = mean_return.or(self.notes.mean_return);
            self.recorder.record(scalars)?;
            self.view.update(after.env_steps, mean_return, || details);
            if let Some(ends) = evaluation {
                self.keep_best(output::Returns::of(&ends).mean_return)?;
            }
            let target = self.notes.run.target.filter(|_| is_judged);
            reached = mean_return.zip(target).is_some_and(|(mean, target)| mean >= target);
            let every = self.notes.run.checkpoint_steps;
            if every > 0 && before.env_steps / every < after.env_steps / every {
                self.save()?;
                self.run.pass_checkpoint();
            }
        }
        self.save()?;
        Ok(reached)
    }

    /// One update; where it fails on numbers, those are kept.
    fn step(&mut self) -> Result<Told, Box<dyn Error>> {
        let stepped = self.run.step();
        if stepped.is_err() && self.run.save_failure(&self.folder.failed())? {
            eprintln!("what the update failed on is in {}", self.folder.failed().display());
        }
        stepped
    }

    fn keep_best(&mut self, mean: f64) -> Done {
        if self.notes.best.is_none_or(|best| mean > best) {
            self.notes.best = Some(mean);
            self.notes.episodes = self.run.episodes();
            self.run.save(&self.folder.best(), &self.notes)?;
        }
        Ok(())
    }

    /// The record first, so that it has all that the checkpoint knows.
    fn save(&mut self) -> Done {
        self.recorder.flush()?;
        self.notes.episodes = self.run.episodes();
        self.run.save(&self.folder.checkpoint(), &self.notes)
    }
}

impl Summary<'_> {
    fn text(&self, first_step: u64) -> String {
        let mean =
            self.mean_return.map_or_else(|| "no return yet".to_owned(), |mean| format!("a mean return of {mean:.1}"));
        let verdict = match (self.reached, self.target) {
            (true, Some(target)) => format!("reached {target}: {mean}"),
            (false, Some(target)) => format!("did not reach {target}: {mean}"),
            (_, None) => format!("done: {mean}"),
        };
        let steps = self.steps - first_step;
        let rate = short(steps as f64 / self.seconds.max(1e-9));
        let best = self.best.map_or_else(String::new, |best| format!("; the best evaluation had {best:.1}"));
        let folder = self.folder.display();
        format!(
            "{verdict} after {} steps{best}\n{steps} steps in {:.3} s, {rate} steps/s\nplay it with `rayline-rl evaluate \
             {folder}`, learn on with `rayline-rl train --resume {folder} --steps N`",
            self.steps, self.seconds
        )
    }
}

//! `rayline-rl evaluate`.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use rayline_rl::env::make_vec;
use rayline_rl::policy::TrainedPolicy;
use rayline_rl::render::{GifFile, Scene, write_png};
use serde_json::json;

use crate::folder::checkpoint_at;
use crate::output::{self, Returns};
use crate::{Done, at_least_one};

/// Environments at the most that are stepped beside each other.
const ENVS_MAX: usize = 64;
/// Pictures of the one episode that is drawn at the most.
const FRAMES_MAX: usize = 2_000;
/// Hundredths of a second that a picture of a GIF is shown for.
const DELAY_CS: u16 = 3;

/// Play a trained policy without exploration: the same seed and episodes give the same returns.
#[derive(Args, Debug)]
pub struct Evaluate {
    /// The folder of a run (its best policy is played) or a checkpoint
    policy: PathBuf,

    /// Environment [default: the one that it was trained for]
    #[arg(long, value_name = "ID")]
    env: Option<String>,

    /// Episodes
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    episodes: usize,

    /// Seed of the episodes
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Draw one more episode into this GIF; classic control only
    #[arg(long, value_name = "FILE")]
    gif: Option<PathBuf>,

    /// Draw the pictures of one more episode into this folder as PNG; classic control only
    #[arg(long, value_name = "FOLDER")]
    png: Option<PathBuf>,

    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

impl Evaluate {
    /// Does as it says.
    pub fn run(&self) -> Done {
        let path = checkpoint_at(&self.policy);
        let policy = TrainedPolicy::load(&path)?;
        let env = match self.env.as_deref().or_else(|| policy.env()) {
            Some(env) => env,
            None => {
                return Err("the checkpoint doesn't say which environment it was trained for: say it with --env".into());
            }
        };
        // Before the episodes, so that a mistake is told at once.
        let scene = self.scene(env)?;
        let mut envs = make_vec(env, self.episodes.min(ENVS_MAX))?;
        let mut ends = policy.play(envs.as_mut(), self.episodes, self.seed, |_| {})?;
        ends.truncate(self.episodes);
        let pictures = scene.map_or(Ok(0), |scene| self.draw(&policy, env, scene))?;
        self.print(&path, env, &Returns::of(&ends), pictures)
    }

    fn scene(&self, env: &str) -> Result<Option<Scene>, Box<dyn Error>> {
        if self.gif.is_none() && self.png.is_none() {
            return Ok(None);
        }
        match Scene::of(env) {
            Some(scene) => Ok(Some(scene)),
            None => Err(format!("there are no pictures of {env}: classic control alone is drawn").into()),
        }
    }

    /// Draws one episode, and tells of how many pictures.
    fn draw(&self, policy: &TrainedPolicy, env: &str, scene: Scene) -> Result<usize, Box<dyn Error>> {
        let mut states = Vec::new();
        policy.play(make_vec(env, 1)?.as_mut(), 1, self.seed, |obs| states.push(obs.to_vec()))?;
        states.truncate(FRAMES_MAX);
        if let Some(path) = &self.gif {
            let picture = scene.draw(&states[0]);
            let mut file = GifFile::create(path, [picture.width(), picture.height()], DELAY_CS)?;
            states.iter().try_for_each(|obs| file.add(&scene.draw(obs)))?;
        }
        if let Some(folder) = &self.png {
            fs::create_dir_all(folder).map_err(|error| format!("can't make {}: {error}", folder.display()))?;
            let named = |at: usize| folder.join(format!("{at:05}.png"));
            states.iter().enumerate().try_for_each(|(at, obs)| write_png(&named(at), &scene.draw(obs)))?;
        }
        Ok(states.len())
    }

    fn print(&self, path: &Path, env: &str, returns: &Returns, pictures: usize) -> Done {
        if self.json {
            let mut told = serde_json::to_value(returns)?;
            told["env"] = json!(env);
            told["checkpoint"] = json!(path);
            return Ok(output::line(&told.to_string())?);
        }
        let Returns { episodes, mean_return, std, min, max, mean_length } = returns;
        output::line(&format!("{env}, {episodes} episodes without exploration with {}:", path.display()))?;
        output::line(&format!(
            "return {mean_return:.2} ± {std:.2} (from {min:.2} to {max:.2}), {mean_length:.1} steps"
        ))?;
        for path in [&self.gif, &self.png].into_iter().flatten() {
            output::line(&format!("one episode in {pictures} pictures in {}", path.display()))?;
        }
        Ok(())
    }
}

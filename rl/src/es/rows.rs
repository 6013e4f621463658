//! Episodes that run beside each other, one row of a batch of environments each.

use crate::env::{EnvError, Finished};
use crate::ppo::EpisodeEnd;

/// What each row has earned so far. A row is active until its episodes are played.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    /// Whether a row still plays, `[rows]`.
    pub active: Vec<bool>,
    /// The episodes that a row has played, with the row, in order of time.
    pub ends: Vec<(usize, EpisodeEnd)>,
    /// Episodes that a row has still to play, `[rows]`.
    left: Vec<u32>,
    /// Reward and steps of the episode under way, `[rows]`.
    current: Vec<EpisodeEnd>,
    active_count: usize,
}

impl Rows {
    /// Begins anew: the first of `rows` rows that `used` counts play `episodes` each, the others none.
    pub fn begin(&mut self, rows: usize, used: usize, episodes: u32) {
        self.active.clear();
        self.active.extend((0..rows).map(|row| row < used));
        self.left.clear();
        self.left.resize(rows, episodes);
        self.current.clear();
        self.current.resize(rows, EpisodeEnd { total_reward: 0.0, length: 0 });
        self.ends.clear();
        self.active_count = used;
    }

    /// Whether any row still plays.
    pub fn any_active(&self) -> bool {
        self.active_count > 0
    }

    /// Takes in a step: `rewards` (`[rows]`) and the episodes that ended in it.
    pub fn step(&mut self, rewards: &[f32], finished: &Finished) {
        for (current, reward) in self.current.iter_mut().zip(rewards) {
            current.total_reward += f64::from(*reward);
            current.length += 1;
        }
        for episode in finished.iter() {
            self.end(episode.env);
        }
    }

    /// Ends the episodes that have `steps_max` steps, of which the environment knows nothing: it is told by `restart`.
    pub fn cut(
        &mut self,
        steps_max: u32,
        mut restart: impl FnMut(usize) -> Result<(), EnvError>,
    ) -> Result<(), EnvError> {
        for row in 0..self.active.len() {
            if self.active[row] && self.current[row].length >= steps_max {
                self.end(row);
                restart(row)?;
            }
        }
        Ok(())
    }

    fn end(&mut self, row: usize) {
        let end = std::mem::replace(&mut self.current[row], EpisodeEnd { total_reward: 0.0, length: 0 });
        if !self.active[row] {
            return;
        }
        self.ends.push((row, end));
        self.left[row] -= 1;
        if self.left[row] == 0 {
            self.active[row] = false;
            self.active_count -= 1;
        }
    }
}

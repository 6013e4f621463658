//! What commands print.

use std::io::{self, Write};

use rayline_rl::ppo::EpisodeEnd;
use serde::Serialize;

/// Writes a line to standard output. That nobody reads on, as with `| head`, is no failure.
pub fn line(text: &str) -> io::Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// What episodes came to.
#[derive(Clone, Debug, Serialize)]
pub struct Returns {
    pub episodes: usize,
    pub mean_return: f64,
    /// Standard deviation of the returns.
    pub std: f64,
    pub min: f64,
    pub max: f64,
    pub mean_length: f64,
}

impl Returns {
    /// Of at least one episode.
    pub fn of(ends: &[EpisodeEnd]) -> Self {
        let count = ends.len() as f64;
        let returns = || ends.iter().map(|end| end.total_reward);
        let mean = returns().sum::<f64>() / count;
        Self {
            episodes: ends.len(),
            mean_return: mean,
            std: (returns().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt(),
            min: returns().fold(f64::INFINITY, f64::min),
            max: returns().fold(f64::NEG_INFINITY, f64::max),
            mean_length: ends.iter().map(|end| f64::from(end.length)).sum::<f64>() / count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_are_summed_up() {
        let ends = [(2.0, 10), (6.0, 20)].map(|(total_reward, length)| EpisodeEnd { total_reward, length });
        let told = Returns::of(&ends);
        assert_eq!((told.mean_return, told.std, told.min, told.max), (4.0, 2.0, 2.0, 6.0));
        assert_eq!((told.episodes, told.mean_length), (2, 15.0));
    }
}

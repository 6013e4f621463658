//! Settings that change over training.

use serde::{Deserialize, Serialize};

/// A setting as a function of the fraction of training done.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// The same throughout.
    Constant(f32),
    /// From this value to 0, linearly (Huang et al. 2022, core detail 4).
    LinearToZero(f32),
}

impl Schedule {
    /// The value when `progress` (0 at the start, 1 at the end) of training is done; held at the end value after it.
    pub fn at(self, progress: f64) -> f32 {
        match self {
            Self::Constant(value) => value,
            Self::LinearToZero(start) => (f64::from(start) * (1.0 - progress.clamp(0.0, 1.0))) as f32,
        }
    }

    /// The value at the start.
    pub fn start(self) -> f32 {
        self.at(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_schedule_falls_to_zero_and_stays() {
        let schedule = Schedule::LinearToZero(2.0);
        assert_eq!([0.0, 0.25, 1.0, 1.5].map(|p| schedule.at(p)), [2.0, 1.5, 0.0, 0.0]);
        assert_eq!(Schedule::Constant(2.0).at(0.9), 2.0);
    }
}

//! Environments by name.

use super::gym::gym;
use super::mujoco::{MujocoTask, MujocoVec};
use super::wrappers::Single;
use super::{Batch, Env, EnvError, TimeLimit, VecEnv, classic, fast};

/// What an id stands for.
struct Spec {
    id: &'static str,
    one: fn() -> Box<dyn Env>,
    batch: fn(usize) -> Result<Box<dyn VecEnv>, EnvError>,
}

/// In alphabetical order.
const SPECS: &[Spec] = &[
    Spec {
        id: "Acrobot-v1",
        one: || Box::new(TimeLimit::new(classic::Acrobot::new(), classic::Acrobot::LENGTH_MAX)),
        batch: |n| Ok(Box::new(Batch::new(fast::Acrobot, n)?)),
    },
    Spec {
        id: "CartPole-v1",
        one: || Box::new(TimeLimit::new(classic::CartPole::new(), classic::CartPole::LENGTH_MAX)),
        batch: |n| Ok(Box::new(Batch::new(fast::CartPole, n)?)),
    },
    Spec {
        id: "MountainCar-v0",
        one: || Box::new(TimeLimit::new(classic::MountainCar::new(), classic::MountainCar::LENGTH_MAX)),
        batch: |n| Ok(Box::new(Batch::new(fast::MountainCar, n)?)),
    },
    Spec {
        id: "MountainCarContinuous-v0",
        one: || {
            Box::new(TimeLimit::new(classic::MountainCarContinuous::new(), classic::MountainCarContinuous::LENGTH_MAX))
        },
        batch: |n| Ok(Box::new(Batch::new(fast::MountainCarContinuous, n)?)),
    },
    Spec {
        id: "Pendulum-v1",
        one: || Box::new(TimeLimit::new(classic::Pendulum::new(), classic::Pendulum::LENGTH_MAX)),
        batch: |n| Ok(Box::new(Batch::new(fast::Pendulum, n)?)),
    },
];

/// One environment in double precision, with the time limit that Gymnasium gives it; `gym:` before an id of Gymnasium
/// makes one that Python steps.
///
/// # Errors
/// [`EnvError::UnknownId`] if there is none of this id; [`EnvError::Mujoco`] or [`EnvError::Gym`] if it needs
/// MuJoCo or Python with Gymnasium, which isn't there.
pub fn make(id: &str) -> Result<Box<dyn Env>, EnvError> {
    if let Some(id) = id.strip_prefix("gym:") {
        return Ok(Box::new(Single::new(gym(id).build()?)));
    }
    match mujoco_task(id) {
        Some(task) => Ok(Box::new(Single::new(MujocoVec::new(task, 1)?))),
        None => Ok((spec(id)?.one)()),
    }
}

/// A batch of `env_count` environments, with the time limit that Gymnasium gives them: classic control in single
/// precision, MuJoCo's tasks simulated in double; `gym:` and an id of Gymnasium for one that Python steps.
///
/// # Errors
/// [`EnvError::UnknownId`] if there is none of this id, [`EnvError::Empty`] if `env_count` is 0, [`EnvError::Mujoco`]
/// or [`EnvError::Gym`] if it needs MuJoCo or Python with Gymnasium, which isn't there.
pub fn make_vec(id: &str, env_count: usize) -> Result<Box<dyn VecEnv>, EnvError> {
    if let Some(id) = id.strip_prefix("gym:") {
        return Ok(Box::new(gym(id).envs(env_count).build()?));
    }
    match mujoco_task(id) {
        Some(task) => Ok(Box::new(MujocoVec::new(task, env_count)?)),
        None => (spec(id)?.batch)(env_count),
    }
}

/// The ids of the environments that need nothing else, in alphabetical order. Those of MuJoCo's tasks are
/// [`MujocoTask::id`].
pub fn ids() -> impl ExactSizeIterator<Item = &'static str> {
    SPECS.iter().map(|spec| spec.id)
}

fn spec(id: &str) -> Result<&'static Spec, EnvError> {
    let found = SPECS.iter().find(|spec| spec.id == id);
    found.ok_or_else(|| {
        let mut known: Vec<_> = ids().chain(MujocoTask::ALL.map(MujocoTask::id)).collect();
        known.sort_unstable();
        let nearest = known.iter().min_by_key(|known| edits(id, known)).copied().unwrap_or_default();
        EnvError::UnknownId { id: id.to_owned(), nearest, known }
    })
}

fn mujoco_task(id: &str) -> Option<MujocoTask> {
    MujocoTask::ALL.into_iter().find(|task| task.id() == id)
}

/// How many letters must be added, removed or changed to make one word the other, whatever their case.
///
/// Source: Levenshtein 1966.
fn edits(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.chars().enumerate() {
            let changed = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[row.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("abc", ""), 3);
        assert_eq!(edits("Same", "same"), 0);
    }

    #[test]
    fn specs_are_in_order() {
        assert!(ids().is_sorted());
    }
}

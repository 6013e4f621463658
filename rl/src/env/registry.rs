//! Environments by name.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::gym::gym;
use super::mujoco::{MujocoTask, MujocoVec};
use super::wrappers::Single;
use super::{Batch, Env, EnvError, TimeLimit, VecEnv, classic, fast};

/// Before the id of an environment that Python steps.
const PYTHON: &str = "gym:";

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

/// Makes a batch of so many environments.
type Maker = dyn Fn(usize) -> Result<Box<dyn VecEnv>, EnvError> + Send + Sync;

/// What users have registered, for the life of the process.
static REGISTERED: RwLock<BTreeMap<&'static str, Arc<Maker>>> = RwLock::new(BTreeMap::new());

/// Gives a name to batches of one's own, or to wrapped ones, for [`make_vec`] and whoever makes environments by name,
/// such as [`Trainer`](crate::ppo::Trainer).
///
/// ```
/// use rayline_rl::env::wrappers::NormalizeObs;
/// use rayline_rl::env::{make_vec, register};
///
/// register("Pendulum-normalized", |n| Ok(Box::new(NormalizeObs::new(make_vec("Pendulum-v1", n)?)?)))?;
/// assert_eq!(make_vec("Pendulum-normalized", 4)?.env_count(), 4);
/// # Ok::<(), rayline_rl::env::EnvError>(())
/// ```
///
/// # Errors
/// [`EnvError::TakenId`] if there is an environment of this name.
pub fn register(
    id: &'static str,
    batch: impl Fn(usize) -> Result<Box<dyn VecEnv>, EnvError> + Send + Sync + 'static,
) -> Result<(), EnvError> {
    let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    let is_taken = known(&registered).contains(&id) || id.starts_with(PYTHON);
    if is_taken {
        return Err(EnvError::TakenId { id });
    }
    registered.insert(id, Arc::new(batch));
    Ok(())
}

/// One environment in double precision, with the time limit that Gymnasium gives it; `gym:` before an id of Gymnasium
/// makes one that Python steps.
///
/// # Errors
/// [`EnvError::UnknownId`] if there is none of this id; [`EnvError::Mujoco`] or [`EnvError::Gym`] if it needs
/// MuJoCo or Python with Gymnasium, which isn't there.
pub fn make(id: &str) -> Result<Box<dyn Env>, EnvError> {
    if let Some(batch) = registered(id) {
        return Ok(Box::new(Single::new(batch(1)?)));
    }
    if let Some(id) = id.strip_prefix(PYTHON) {
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
    if let Some(batch) = registered(id) {
        return batch(env_count);
    }
    if let Some(id) = id.strip_prefix(PYTHON) {
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
        let known = known(&REGISTERED.read().unwrap_or_else(PoisonError::into_inner));
        let nearest = nearest(id, known.iter().copied()).unwrap_or_default();
        EnvError::UnknownId { id: id.to_owned(), nearest, known }
    })
}

fn registered(id: &str) -> Option<Arc<Maker>> {
    REGISTERED.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
}

/// The ids of all environments, in alphabetical order.
fn known(registered: &BTreeMap<&'static str, Arc<Maker>>) -> Vec<&'static str> {
    let mut known: Vec<_> = ids().chain(MujocoTask::ALL.map(MujocoTask::id)).collect();
    known.extend(registered.keys());
    known.sort_unstable();
    known
}

fn mujoco_task(id: &str) -> Option<MujocoTask> {
    MujocoTask::ALL.into_iter().find(|task| task.id() == id)
}

/// The word that is made of `word` by the fewest edits; `None` without words.
pub(crate) fn nearest<'w>(word: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    words.into_iter().min_by_key(|known| edits(word, known))
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
    fn a_name_is_given_once() {
        let classic = |n| make_vec("CartPole-v1", n);
        register("Mine-v0", classic).expect("a new name");
        assert_eq!(make_vec("Mine-v0", 3).expect("a known name").env_count(), 3);
        assert!(make("Mine-v0").is_ok());
        for taken in ["Mine-v0", "CartPole-v1", "Ant-v5", "gym:x"] {
            assert!(matches!(register(taken, classic), Err(EnvError::TakenId { id }) if id == taken), "{taken}");
        }
        let unknown = make("Mine-v1").err().expect("an unknown name").to_string();
        assert!(unknown.contains(r#"did you mean "Mine-v0"?"#), "{unknown}");
    }

    #[test]
    fn specs_are_in_order() {
        assert!(ids().is_sorted());
    }
}

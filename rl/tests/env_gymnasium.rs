//! The classic control tasks against transitions that `gymnasium/record.py` recorded from Gymnasium.
//!
//! Double precision is held to the last bit where the C library rounds sines as the recording one did, else to 1e-12.
//! Two things may differ by a bit in any case, because NumPy squares them with `pow`, which is not exactly rounded: the
//! reward of Pendulum and the velocities of Acrobot. Single precision is held to about 1e-6 a step.

mod gymnasium;

use std::f64::consts::{PI, TAU};

use gymnasium::{Action, Episode, Record, Seen};
use rayline_rl::env::{
    ActionBuf, Batch, Dynamics, Env, Lane, Space, Step, StepBuf, Stream, TimeLimit, VecEnv, classic, fast,
};

/// What another C library may change in a step of double precision.
const CLOSE: f64 = 1e-12;

/// A task in double precision whose state can be set.
trait Task: Env + Clone + Default {
    const LENGTH_MAX: u32;

    fn put(&mut self, state: &[f64]);

    fn now(&self) -> Vec<f64>;
}

macro_rules! task {
    ($($name:ident),*) => {$(
        impl Task for classic::$name {
            const LENGTH_MAX: u32 = Self::LENGTH_MAX;

            fn put(&mut self, state: &[f64]) {
                self.set_state(state.try_into().expect("as many numbers as the state has"));
            }

            fn now(&self) -> Vec<f64> {
                self.state().to_vec()
            }
        }
    )*};
}

task!(Acrobot, CartPole, MountainCar, MountainCarContinuous, Pendulum);

/// Greatest errors of a replay in double precision, each relative to the number or to 1; 0 demands equality.
#[derive(Clone, Copy)]
struct Promise {
    /// Of the state and the observation, one step after a recorded state.
    step: f64,
    /// Of the same in an episode from its start, in its first `steps` steps.
    episode: f64,
    steps: usize,
    /// Of the reward, in addition to the other.
    reward: f64,
}

const EXACT: Promise = Promise { step: 0.0, episode: 0.0, steps: usize::MAX, reward: 0.0 };

impl Promise {
    /// What can be held whatever the C library.
    fn loosened(self) -> Self {
        Self { step: self.step.max(CLOSE), episode: self.episode.max(1e-9), steps: self.steps.min(20), ..self }
    }
}

#[test]
fn classic_cart_pole_is_gymnasiums() {
    replay::<classic::CartPole>("CartPole-v1", EXACT);
}

#[test]
fn classic_pendulum_is_gymnasiums() {
    replay::<classic::Pendulum>("Pendulum-v1", Promise { reward: f64::EPSILON, ..EXACT });
}

#[test]
fn classic_mountain_car_is_gymnasiums() {
    replay::<classic::MountainCar>("MountainCar-v0", EXACT);
}

/// Gymnasium rounds this state to single precision, but the first step after a state is set is taken in double.
#[test]
fn classic_mountain_car_continuous_is_gymnasiums() {
    replay::<classic::MountainCarContinuous>("MountainCarContinuous-v0", Promise { step: 2e-7, ..EXACT });
}

/// Chaotic: in time, the bit that a square differs by becomes any difference; in these episodes it takes 200 steps.
#[test]
fn classic_acrobot_is_gymnasiums() {
    replay::<classic::Acrobot>("Acrobot-v1", Promise { step: CLOSE, steps: 80, ..EXACT });
}

fn replay<T: Task>(id: &str, promise: Promise) {
    let record = Record::load(id);
    let promise = if record.is_same_libm() { promise } else { promise.loosened() };
    let compared: usize = record.episodes.iter().map(|episode| replay_episode::<T>(&record, episode, promise)).sum();
    let mut singles = 0;
    for single in record.singles() {
        let mut env = T::default();
        env.put(single.before);
        let mut obs = vec![0.0; single.after.obs.len()];
        let step = env.step(single.action.as_actions(), &mut obs).expect("a recorded action");
        let step = Step { truncated: single.after.truncated, ..step };
        check(&single.place, single.after, (&env.now(), &obs, step), (promise.step, promise.reward));
        singles += 1;
    }
    println!("{id}: same sines: {}; {compared} states in episodes, {singles} single steps", record.is_same_libm());
    assert!(compared >= 60 && singles >= 60, "{compared} states in episodes, {singles} single steps");
}

/// Plays an episode from its start and returns how many states were compared.
fn replay_episode<T: Task>(record: &Record, episode: &Episode, promise: Promise) -> usize {
    let mut env = T::default();
    env.put(&episode.start);
    let mut limited = TimeLimit::new(env.clone(), T::LENGTH_MAX);
    let mut obs = vec![0.0; env.observation_space().width()];
    let mut compared = 0;
    for (at, step) in episode.moves.iter().take(promise.steps).enumerate() {
        env.step(step.action.as_actions(), &mut obs).expect("a recorded action");
        let given = limited.step(step.action.as_actions(), &mut obs).expect("a recorded action");
        if let Some(seen) = &step.seen {
            let tolerances = (promise.episode, promise.reward);
            check(&record.place(episode, at), seen, (&env.now(), &obs, given), tolerances);
            compared += 1;
        } else {
            assert!(!given.is_last(), "{}", record.place(episode, at));
        }
    }
    compared
}

fn check(place: &str, seen: &Seen, (state, obs, step): (&[f64], &[f32], Step), (tolerance, reward): (f64, f64)) {
    for (&found, &expected) in state.iter().zip(&seen.state) {
        assert!(is_near(found, expected, tolerance), "{place}: state {state:?}, expected {:?}", seen.state);
    }
    // An observation is rounded to single precision: what is not equal before may differ by a unit after.
    let rounding = if tolerance == 0.0 { 0.0 } else { tolerance + f64::from(f32::EPSILON) };
    for (&found, &expected) in obs.iter().zip(&seen.obs) {
        assert!(is_near(found.into(), expected.into(), rounding), "{place}: obs {obs:?}, expected {:?}", seen.obs);
    }
    let Step { reward: found, terminated, truncated } = step;
    assert!(is_near(found, seen.reward, reward + tolerance), "{place}: reward {found}, expected {}", seen.reward);
    assert_eq!((terminated, truncated), (seen.terminated, seen.truncated), "{place}: terminated, truncated");
}

/// Within the tolerance, relative to the number or to 1.
fn is_near(found: f64, expected: f64, tolerance: f64) -> bool {
    (found - expected).abs() <= tolerance * expected.abs().max(1.0)
}

/// Greatest errors of a replay in single precision, relative to the number or to 1.
#[derive(Clone, Copy)]
struct FastPromise {
    /// Of one step from a recorded state.
    step: f64,
    /// Of the reward for it.
    reward: f64,
    /// Of an episode, in its first `steps` steps.
    drift: f64,
    steps: usize,
    /// How many of the first numbers of the state are angles, of which whole turns don't count.
    angles: usize,
}

#[test]
fn fast_cart_pole_is_near_gymnasiums() {
    // Unstable: errors grow by e in a quarter of a second, 12 steps.
    let promise = FastPromise { step: 1e-6, reward: 0.0, drift: 2e-6, steps: 40, angles: 0 };
    replay_fast("CartPole-v1", fast::CartPole, promise);
}

#[test]
fn fast_pendulum_is_near_gymnasiums() {
    let promise = FastPromise { step: 1e-6, reward: 1e-6, drift: 1e-4, steps: 200, angles: 1 };
    replay_fast("Pendulum-v1", fast::Pendulum, promise);
}

#[test]
fn fast_mountain_car_is_near_gymnasiums() {
    let promise = FastPromise { step: 1e-6, reward: 0.0, drift: 1e-6, steps: 200, angles: 0 };
    replay_fast("MountainCar-v0", fast::MountainCar, promise);
}

#[test]
fn fast_mountain_car_continuous_is_near_gymnasiums() {
    let promise = FastPromise { step: 1e-6, reward: 1e-6, drift: 3e-6, steps: 999, angles: 0 };
    replay_fast("MountainCarContinuous-v0", fast::MountainCarContinuous, promise);
}

#[test]
fn fast_acrobot_is_near_gymnasiums() {
    // A step is long: at the greatest speeds the links turn by 2.5 and 5.6 rad, and a rounding of the state grows.
    let promise = FastPromise { step: 4e-6, reward: 0.0, drift: 2e-5, steps: 40, angles: 2 };
    replay_fast("Acrobot-v1", fast::Acrobot, promise);
}

fn replay_fast<D: Dynamics<S, O> + Copy, const S: usize, const O: usize>(id: &str, dynamics: D, promise: FastPromise) {
    let record = Record::load(id);
    let (worst, worst_reward) = single_steps(&record, dynamics, promise.angles);
    let mut drift = 0.0f64;
    for episode in &record.episodes {
        drift = drift.max(drift_of(&record, episode, dynamics, promise));
    }
    println!("{id}: {worst:e} a step, reward {worst_reward:e}, drift {drift:e}");
    assert!(worst <= promise.step, "{id}: {worst:e} a step");
    assert!(worst_reward <= promise.reward, "{id}: {worst_reward:e} in a reward");
    assert!(drift <= promise.drift, "{id}: drift {drift:e}");
}

/// Takes all single steps as one batch and returns the greatest errors, of states and observations and of rewards.
fn single_steps<D: Dynamics<S, O> + Copy, const S: usize, const O: usize>(
    record: &Record,
    dynamics: D,
    angles: usize,
) -> (f64, f64) {
    let mut batch = Batch::new(dynamics, record.singles().count()).expect("some steps").with_length_max(u32::MAX);
    let (mut out, mut actions) = (StepBuf::new(&batch), ActionBuf::new(batch.action_space(), batch.env_count()));
    let mut moved = Vec::new();
    for (env, single) in record.singles().enumerate() {
        let state = rounded(single.before, angles);
        batch.set_state(env, state);
        put(&mut actions, env, single.action);
        let action = D::Action::all(single.action.as_actions(), batch.action_space()).expect("of this kind")[0];
        moved.push(dynamics.advance(state, action));
    }
    batch.step(actions.as_actions(), out.out()).expect("recorded actions");
    let (mut worst, mut worst_reward) = (0.0f64, 0.0f64);
    let mut ended = out.finished.iter();
    for (env, single) in record.singles().enumerate() {
        let Seen { state, obs, reward, terminated, .. } = single.after;
        assert_eq!(out.terminated[env], *terminated, "{}", single.place);
        // Vector instructions give the bits that single calls give.
        assert_eq!(out.rewards[env], moved[env].reward, "{}", single.place);
        let found = match *terminated {
            true => ended.next().expect("an episode that ended").final_obs,
            false => &out.obs[env * O..][..O],
        };
        assert_eq!(found, dynamics.observe(moved[env].state), "{}", single.place);
        worst = worst.max(distance(&moved[env].state, state, angles));
        let obs: Vec<f64> = obs.iter().copied().map(f64::from).collect();
        worst = worst.max(distance(found, &obs, 0));
        worst_reward = worst_reward.max(distance(&[moved[env].reward], &[*reward], 0));
    }
    (worst, worst_reward)
}

/// Plays an episode from its start and returns the greatest error of an observation.
fn drift_of<D: Dynamics<S, O> + Copy, const S: usize, const O: usize>(
    record: &Record,
    episode: &Episode,
    dynamics: D,
    promise: FastPromise,
) -> f64 {
    let mut batch = Batch::new(dynamics, 1).expect("one");
    batch.set_state(0, rounded(&episode.start, promise.angles));
    let mut out = StepBuf::new(&batch);
    let mut drift = 0.0f64;
    for (at, step) in episode.moves.iter().take(promise.steps).enumerate() {
        batch.step(step.action.as_actions(), out.out()).expect("recorded actions");
        let ends = (out.terminated[0], out.truncated[0]);
        let Some(seen) = &step.seen else {
            assert_eq!(ends, (false, false), "{}", record.place(episode, at));
            continue;
        };
        assert_eq!(ends, (seen.terminated, seen.truncated), "{}", record.place(episode, at));
        let obs: Vec<f64> = seen.obs.iter().copied().map(f64::from).collect();
        let is_last = ends != (false, false);
        let found = if is_last { out.finished.final_obs() } else { &out.obs };
        drift = drift.max(distance(found, &obs, 0));
        if is_last {
            assert_eq!(out.finished.episode(0).length as usize, at + 1);
            break;
        }
    }
    drift
}

/// Angles brought within half a turn in double precision, then all in single precision.
fn rounded<const S: usize>(state: &[f64], angles: usize) -> [f32; S] {
    let turned = |at: usize| if at < angles { less_turns(state[at]) } else { state[at] };
    std::array::from_fn(|at| turned(at) as f32)
}

fn less_turns(angle: f64) -> f64 {
    angle - TAU * (angle / TAU).round()
}

fn put(actions: &mut ActionBuf, env: usize, action: Action) {
    match (actions, action) {
        (ActionBuf::Discrete(choices), Action::Choice([choice])) => choices[env] = choice,
        (ActionBuf::Continuous(values), Action::Value([value])) => values[env] = value,
        _ => panic!("an action of another kind"),
    }
}

/// The greatest difference, relative to the number or to 1; of the first `angles` numbers without whole turns.
fn distance(found: &[f32], expected: &[f64], angles: usize) -> f64 {
    assert_eq!(found.len(), expected.len());
    let each = found.iter().zip(expected).enumerate().map(|(at, (&found, &expected))| {
        let difference = f64::from(found) - expected;
        let (difference, expected) = match at < angles {
            true => (less_turns(difference), 0.0),
            false => (difference, expected),
        };
        difference.abs() / expected.abs().max(1.0)
    });
    each.fold(0.0, |worst, error| if error.is_nan() { f64::INFINITY } else { worst.max(error) })
}

/// Errors are in units of what the task itself makes of one rounding of its state, and at least of one rounding.
#[test]
fn fast_is_near_classic_from_any_state() {
    let cart = [(-2.5, 2.5), (-4.0, 4.0), (-0.25, 0.25), (-4.0, 4.0)];
    anywhere::<classic::CartPole, _, 4, 4>(fast::CartPole, cart, (2.0, 0.0), 0);
    let pendulum = [(-PI, PI), (-8.0, 8.0)];
    anywhere::<classic::Pendulum, _, 2, 3>(fast::Pendulum, pendulum, (2.0, 4e-7), 1);
    let car = [(-1.2, 0.6), (-0.07, 0.07)];
    anywhere::<classic::MountainCar, _, 2, 2>(fast::MountainCar, car, (2.0, 0.0), 0);
    anywhere::<classic::MountainCarContinuous, _, 2, 2>(fast::MountainCarContinuous, car, (2.0, 2e-7), 0);
    let acrobot = [(-PI, PI), (-PI, PI), (-12.6, 12.6), (-28.3, 28.3)];
    anywhere::<classic::Acrobot, _, 4, 6>(fast::Acrobot, acrobot, (15.0, 0.0), 2);
}

/// Steps both from random states, with actions up to twice their bounds. They may disagree on termination only where
/// rounding decides, which is rare; there rewards may differ too.
fn anywhere<T: Task, D: Dynamics<S, O>, const S: usize, const O: usize>(
    dynamics: D,
    ranges: [(f64, f64); S],
    (units_max, reward_tolerance): (f64, f64),
    angles: usize,
) {
    const TRIED: usize = 100_000;
    let mut random = Stream::new(11, 0);
    let (mut worst, mut worst_reward, mut disputed, mut terminated) = (0.0f64, 0.0f64, 0, 0);
    let mut env = T::default();
    for _ in 0..TRIED {
        let state = ranges.map(|(low, high)| random.uniform(low, high) as f32);
        let action = match *env.action_space() {
            Space::Discrete { n } => Action::Choice([random.uniform(0.0, n.into()) as u32]),
            _ => Action::Value([random.uniform(-4.0, 4.0) as f32]),
        };
        let unit = unit::<T, S>(state, action, angles);
        env.put(&state.map(f64::from));
        let mut obs = [0.0; O];
        let step = env.step(action.as_actions(), &mut obs).expect("a valid action");
        let lane = D::Action::all(action.as_actions(), env.action_space()).expect("of this kind")[0];
        let moved = dynamics.advance(state, lane);
        worst = worst.max(distance(&moved.state, &env.now(), angles) / unit);
        worst = worst.max(distance(&dynamics.observe(moved.state), &obs.map(f64::from), 0) / unit);
        for seen in [obs, dynamics.observe(moved.state)] {
            assert!(env.observation_space().contains(&seen[..]), "{seen:?} in {}", env.observation_space());
        }
        terminated += usize::from(step.terminated);
        assert!(moved.state[..angles].iter().all(|angle| angle.abs() <= PI as f32 + 1e-6), "{:?}", moved.state);
        if moved.terminated == step.terminated {
            worst_reward = worst_reward.max(distance(&[moved.reward], &[step.reward], 0));
        } else {
            assert!(is_borderline::<T, S>(state, action), "{state:?}, {action:?}: terminated {}", moved.terminated);
            disputed += 1;
        }
    }
    let name = std::any::type_name::<D>();
    println!("{name}: {worst} units a step, reward {worst_reward:e}, {disputed} of {terminated} terminations disputed");
    assert!(worst <= units_max, "{name}: {worst} units a step");
    assert!(worst_reward <= reward_tolerance, "{name}: {worst_reward:e} in a reward");
    assert!(disputed <= 5, "{name}: {disputed} of {terminated} terminations disputed");
}

/// Whether some rounding of a number of the state decides if the step terminates.
fn is_borderline<T: Task, const S: usize>(state: [f32; S], action: Action) -> bool {
    let terminates = |at: usize, units: f32| {
        let mut env = T::default();
        let mut off = state.map(f64::from);
        off[at] += f64::from(units * f32::EPSILON * state[at].abs().max(1.0));
        env.put(&off);
        let mut obs = vec![0.0; env.observation_space().width()];
        env.step(action.as_actions(), &mut obs).expect("a valid action").terminated
    };
    (0..S).any(|at| terminates(at, -8.0) != terminates(at, 8.0))
}

/// How far a step goes apart if one number of the state is off by a rounding; at least a rounding.
fn unit<T: Task, const S: usize>(state: [f32; S], action: Action, angles: usize) -> f64 {
    let exact = state.map(f64::from);
    let after = |state: [f64; S]| {
        let mut env = T::default();
        env.put(&state);
        let mut obs = vec![0.0; env.observation_space().width()];
        env.step(action.as_actions(), &mut obs).expect("a valid action");
        env.now()
    };
    let expected = after(exact);
    let apart = (0..S).map(|at| {
        let mut off = exact;
        off[at] += f64::from(f32::EPSILON) * exact[at].abs().max(1.0);
        let found: Vec<f32> = after(off).iter().map(|&value| value as f32).collect();
        distance(&found, &expected, angles)
    });
    apart.fold(f64::from(f32::EPSILON), f64::max)
}

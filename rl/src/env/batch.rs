//! Batches in single precision, laid out for vector instructions.

use std::array;

use pulp::{Arch, NullaryFnOnce};

use super::philox::words_at;
use super::{Actions, EnvError, Episode, Space, StepOut, VecEnv};

/// Environments that are stepped together, one to a lane: a vector of AVX-512, two of AVX2, four of SSE2 or NEON.
const LANES: usize = 16;

/// What a batched environment does, said for one lane: `S` numbers of state, `O` of observation.
///
/// [`Batch`] runs `advance` and `observe` over many lanes with the widest vector instructions that the machine has.
/// For that they must be `#[inline(always)]`, free of branches, loops of unknown length and calls, and choose by
/// `if a { b } else { c }` on plain numbers. They need not be: all else only costs speed.
pub trait Dynamics<const S: usize, const O: usize>: Send + 'static {
    /// One action: `u32` for a choice, `f32` for a value.
    type Action: Lane;

    /// After how many steps an episode is truncated.
    const LENGTH_MAX: u32;

    /// What observations and actions look like, in this order; the widths are `O` and 1.
    fn spaces(&self) -> (Space, Space);

    /// The state that an episode begins with, drawn by means of 128 random bits.
    fn start(&self, words: [u32; 4]) -> [f32; S];

    /// The state after an action, which is valid for the action space.
    fn advance(&self, state: [f32; S], action: Self::Action) -> Moved<S>;

    /// What is seen of a state.
    fn observe(&self, state: [f32; S]) -> [f32; O];
}

/// What an action leads to.
#[derive(Clone, Copy, Debug)]
pub struct Moved<const S: usize> {
    /// The next state.
    pub state: [f32; S],
    /// The reward for the action.
    pub reward: f32,
    /// Whether the task ended.
    pub terminated: bool,
}

/// An action as it stands in a lane. Implemented by `u32` for choices and by `f32` for values.
pub trait Lane: Copy + Default + ToString + Send + Sync + 'static {
    /// The actions `[n]`, if they are of this kind.
    ///
    /// # Errors
    /// [`EnvError::ActionKind`] if they are of the other kind.
    fn all<'a>(actions: Actions<'a>, space: &Space) -> Result<&'a [Self], EnvError>;

    /// Whether an environment may be given this, where a choice is one of `choice_count`.
    fn is_valid(self, choice_count: u32) -> bool;
}

/// A [`VecEnv`] of `n` environments with the same [`Dynamics`]: autoreset, time limit and statistics included.
///
/// The state is kept in blocks of 16 environments, structure of arrays within a block. Rewards are summed in single
/// precision.
pub struct Batch<D: Dynamics<S, O>, const S: usize, const O: usize> {
    dynamics: D,
    observation_space: Space,
    action_space: Space,
    length_max: u32,
    env_count: usize,
    blocks: Vec<Block<S>>,
    /// How many episodes each environment has begun, `[n]`: the draw that its next start comes from.
    episodes: Vec<u64>,
    seed: u64,
    first_index: u64,
    arch: Arch,
}

/// Sixteen environments.
#[derive(Clone)]
#[repr(align(64))]
struct Block<const S: usize> {
    state: [[f32; LANES]; S],
    total_rewards: [f32; LANES],
    lengths: [u32; LANES],
    /// Whether an episode ended in the last step.
    has_ended: bool,
}

impl<D: Dynamics<S, O>, const S: usize, const O: usize> Batch<D, S, O> {
    /// A batch of `env_count` environments, as after `reset(0, ..)`.
    ///
    /// # Errors
    /// [`EnvError::Empty`] if `env_count` is 0.
    pub fn new(dynamics: D, env_count: usize) -> Result<Self, EnvError> {
        if env_count == 0 {
            return Err(EnvError::Empty);
        }
        let (observation_space, action_space) = dynamics.spaces();
        let mut batch = Self {
            dynamics,
            observation_space,
            action_space,
            length_max: D::LENGTH_MAX,
            env_count,
            blocks: vec![Block::new(); env_count.div_ceil(LANES)],
            episodes: vec![0; env_count],
            seed: 0,
            first_index: 0,
            arch: Arch::new(),
        };
        for env in 0..env_count {
            batch.begin(env);
        }
        Ok(batch)
    }

    /// The same batch, but episodes are truncated after `length_max` steps.
    ///
    /// # Panics
    /// If `length_max` is 0.
    pub fn with_length_max(mut self, length_max: u32) -> Self {
        assert!(length_max > 0, "an episode has at least one step");
        self.length_max = length_max;
        self
    }

    /// Puts an environment into a state; its episode goes on.
    ///
    /// # Panics
    /// If there is no environment `env`.
    pub fn set_state(&mut self, env: usize, state: [f32; S]) {
        assert!(env < self.env_count, "environment {env} of {}", self.env_count);
        self.blocks[env / LANES].set_state(env % LANES, state);
    }

    /// The state that an environment is in.
    ///
    /// # Panics
    /// If there is no environment `env`.
    pub fn state(&self, env: usize) -> [f32; S] {
        assert!(env < self.env_count, "environment {env} of {}", self.env_count);
        self.blocks[env / LANES].state(env % LANES)
    }

    /// Begins the next episode of an environment and returns its first observation.
    fn begin(&mut self, env: usize) -> [f32; O] {
        self.episodes[env] += 1;
        let words = words_at(self.seed, self.first_index.wrapping_add(env as u64), self.episodes[env]);
        let state = self.dynamics.start(words);
        self.blocks[env / LANES].begin(env % LANES, state);
        self.dynamics.observe(state)
    }

    /// Records and resets the environments whose episode ended: the rare path.
    fn settle(&mut self, out: &mut StepOut<'_>) {
        out.finished.clear(O);
        let (rows, _) = out.obs.as_chunks_mut::<O>();
        for at in 0..self.blocks.len() {
            if !self.blocks[at].has_ended {
                continue;
            }
            let end = self.env_count.min((at + 1) * LANES);
            for env in (at * LANES..end).filter(|&env| out.terminated[env] | out.truncated[env]) {
                let ends = (out.terminated[env], out.truncated[env]);
                out.finished.push(self.blocks[at].episode(env, ends, &rows[env]));
                rows[env] = self.begin(env);
            }
        }
    }

    /// The first action that is none.
    fn refusal(&self, actions: &[D::Action]) -> EnvError {
        let choice_count = self.action_space.flat_len() as u32;
        let env = actions.iter().position(|action| !action.is_valid(choice_count)).unwrap_or(0);
        EnvError::ActionOutside { env, action: actions[env].to_string(), space: self.action_space.to_string() }
    }
}

impl<D: Dynamics<S, O>, const S: usize, const O: usize> VecEnv for Batch<D, S, O> {
    fn env_count(&self) -> usize {
        self.env_count
    }

    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn reset_from(&mut self, seed: u64, first_index: u64, obs: &mut [f32]) -> Result<(), EnvError> {
        assert_eq!(obs.len(), self.env_count * O, "numbers in obs");
        (self.seed, self.first_index) = (seed, first_index);
        self.episodes.fill(0);
        let (rows, _) = obs.as_chunks_mut::<O>();
        for (env, row) in rows.iter_mut().enumerate() {
            *row = self.begin(env);
        }
        Ok(())
    }

    fn restart(&mut self, env: usize, obs: &mut [f32]) -> Result<(), EnvError> {
        assert!(env < self.env_count, "environment {env} of {}", self.env_count);
        obs.copy_from_slice(&self.begin(env));
        Ok(())
    }

    fn step(&mut self, actions: Actions<'_>, mut out: StepOut<'_>) -> Result<(), EnvError> {
        out.check(self.env_count, O);
        let actions = D::Action::all(actions, &self.action_space)?;
        if actions.len() != self.env_count {
            return Err(EnvError::ActionLen { expected: self.env_count, found: actions.len() });
        }
        let choice_count = self.action_space.flat_len() as u32;
        if !self.arch.dispatch(AllValid { actions, choice_count }) {
            return Err(self.refusal(actions));
        }
        let (dynamics, blocks, length_max) = (&self.dynamics, &mut self.blocks[..], self.length_max);
        self.arch.dispatch(Advance { dynamics, blocks, length_max, actions, out: &mut out });
        self.settle(&mut out);
        Ok(())
    }
}

impl<const S: usize> Block<S> {
    fn new() -> Self {
        Self { state: [[0.0; LANES]; S], total_rewards: [0.0; LANES], lengths: [0; LANES], has_ended: false }
    }

    fn set_state(&mut self, lane: usize, state: [f32; S]) {
        self.state.iter_mut().zip(state).for_each(|(lanes, value)| lanes[lane] = value);
    }

    fn begin(&mut self, lane: usize, state: [f32; S]) {
        self.set_state(lane, state);
        self.total_rewards[lane] = 0.0;
        self.lengths[lane] = 0;
    }

    #[inline(always)]
    fn state(&self, lane: usize) -> [f32; S] {
        array::from_fn(|at| self.state[at][lane])
    }

    fn episode<'a>(&self, env: usize, (terminated, truncated): (bool, bool), final_obs: &'a [f32]) -> Episode<'a> {
        let (total_reward, length) = (self.total_rewards[env % LANES].into(), self.lengths[env % LANES]);
        Episode { env, total_reward, length, terminated, truncated, final_obs }
    }
}

/// Whether all actions are valid, in the shape that the dispatch to vector instructions takes.
struct AllValid<'a, A> {
    actions: &'a [A],
    choice_count: u32,
}

impl<A: Lane> NullaryFnOnce for AllValid<'_, A> {
    type Output = bool;

    #[inline(always)]
    fn call(self) -> bool {
        self.actions.iter().fold(true, |all, action| all & action.is_valid(self.choice_count))
    }
}

/// One step of all blocks, in the shape that the dispatch to vector instructions takes.
struct Advance<'a, 'b, D: Dynamics<S, O>, const S: usize, const O: usize> {
    dynamics: &'a D,
    blocks: &'a mut [Block<S>],
    length_max: u32,
    actions: &'a [D::Action],
    out: &'a mut StepOut<'b>,
}

/// What a step of one block gives.
struct BlockOut<'a, const O: usize> {
    obs: &'a mut [[f32; O]; LANES],
    rewards: &'a mut [f32; LANES],
    terminated: &'a mut [bool; LANES],
    truncated: &'a mut [bool; LANES],
}

impl<D: Dynamics<S, O>, const S: usize, const O: usize> NullaryFnOnce for Advance<'_, '_, D, S, O> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { dynamics, blocks, length_max, actions, out } = self;
        let (actions, actions_rest) = actions.as_chunks::<LANES>();
        let (obs, obs_rest) = out.obs.as_chunks_mut::<O>().0.as_chunks_mut::<LANES>();
        let (rewards, rewards_rest) = out.rewards.as_chunks_mut::<LANES>();
        let (terminated, terminated_rest) = out.terminated.as_chunks_mut::<LANES>();
        let (truncated, truncated_rest) = out.truncated.as_chunks_mut::<LANES>();
        let (full, partial) = blocks.split_at_mut(actions.len());
        let flags = terminated.iter_mut().zip(truncated);
        let outs = obs.iter_mut().zip(rewards).zip(flags);
        for ((block, actions), ((obs, rewards), (terminated, truncated))) in full.iter_mut().zip(actions).zip(outs) {
            let out = BlockOut { obs, rewards, terminated, truncated };
            advance_block(dynamics, block, actions, length_max, out);
        }
        if let [block] = partial {
            let len = actions_rest.len();
            let (mut actions, mut obs) = ([D::Action::default(); LANES], [[0.0; O]; LANES]);
            let (mut rewards, mut terminated, mut truncated) = ([0.0; LANES], [false; LANES], [false; LANES]);
            actions[..len].copy_from_slice(actions_rest);
            let out = BlockOut {
                obs: &mut obs,
                rewards: &mut rewards,
                terminated: &mut terminated,
                truncated: &mut truncated,
            };
            advance_block(dynamics, block, &actions, length_max, out);
            // Lanes that only fill the block are never reset.
            block.has_ended = (0..len).any(|lane| terminated[lane] | truncated[lane]);
            obs_rest.copy_from_slice(&obs[..len]);
            rewards_rest.copy_from_slice(&rewards[..len]);
            terminated_rest.copy_from_slice(&terminated[..len]);
            truncated_rest.copy_from_slice(&truncated[..len]);
        }
    }
}

/// The first loop is over lanes of plain arrays, which the compiler makes vector instructions of; the second turns the
/// observations into rows.
#[inline(always)]
fn advance_block<D: Dynamics<S, O>, const S: usize, const O: usize>(
    dynamics: &D,
    block: &mut Block<S>,
    actions: &[D::Action; LANES],
    length_max: u32,
    out: BlockOut<'_, O>,
) {
    let mut seen = [[0.0; LANES]; O];
    let mut has_ended = false;
    for lane in 0..LANES {
        let moved = dynamics.advance(block.state(lane), actions[lane]);
        for at in 0..S {
            block.state[at][lane] = moved.state[at];
        }
        let obs = dynamics.observe(moved.state);
        for at in 0..O {
            seen[at][lane] = obs[at];
        }
        block.total_rewards[lane] += moved.reward;
        // Only a lane that fills the block, and is never reset, comes to wrap.
        block.lengths[lane] = block.lengths[lane].wrapping_add(1);
        let is_truncated = block.lengths[lane] >= length_max;
        out.rewards[lane] = moved.reward;
        out.terminated[lane] = moved.terminated;
        out.truncated[lane] = is_truncated;
        has_ended |= moved.terminated | is_truncated;
    }
    block.has_ended = has_ended;
    for (lane, row) in out.obs.iter_mut().enumerate() {
        *row = array::from_fn(|at| seen[at][lane]);
    }
}

impl Lane for u32 {
    fn all<'a>(actions: Actions<'a>, space: &Space) -> Result<&'a [Self], EnvError> {
        actions.choices(space)
    }

    #[inline(always)]
    fn is_valid(self, choice_count: u32) -> bool {
        self < choice_count
    }
}

impl Lane for f32 {
    fn all<'a>(actions: Actions<'a>, space: &Space) -> Result<&'a [Self], EnvError> {
        actions.values(space)
    }

    #[inline(always)]
    fn is_valid(self, _: u32) -> bool {
        self.is_finite()
    }
}

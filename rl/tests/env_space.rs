//! Spaces, random actions, single environments, and what is refused: with which words, and that nothing has moved.

#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use rayline_rl::env::{
    ActionBuf, ActionSampler, Actions, Batch, Env, EnvError, Space, Step, StepBuf, SyncVec, TimeLimit, VecEnv, fast,
    ids, make, make_vec,
};

#[test]
fn spaces_contain_what_lies_within_their_bounds() {
    let discrete = Space::Discrete { n: 3 };
    assert!(discrete.contains(&[2u32][..]) && discrete.contains(&[0u32][..]));
    assert!(!discrete.contains(&[3u32][..]) && !discrete.contains(&[0u32, 0][..]) && !discrete.contains(&[0.0f32][..]));
    assert!(!discrete.contains(&[0u32; 0][..]));

    let several = Space::MultiDiscrete { nvec: vec![3, 2] };
    assert!(several.contains(&[2u32, 1][..]));
    assert!(
        !several.contains(&[1u32, 2][..]) && !several.contains(&[2u32][..]) && !several.contains(&[2u32, 1, 0][..])
    );

    let ranges = Space::bounded(vec![-1.0, f32::NEG_INFINITY], vec![0.5, 2.0], vec![2]).unwrap();
    assert!(ranges.contains(&[0.5f32, -1e30][..]) && ranges.contains(&[-1.0f32, 2.0][..]));
    for outside in [[0.6, 0.0], [-1.1, 0.0], [0.0, 2.1], [f32::NAN, 0.0], [0.0, f32::NAN]] {
        assert!(!ranges.contains(&outside[..]), "{outside:?}");
    }
    assert!(!ranges.contains(&[0.0f32][..]) && !ranges.contains(&[0u32, 0][..]));
}

#[test]
fn spaces_know_their_widths() {
    let several = Space::MultiDiscrete { nvec: vec![3, 2] };
    let image = Space::bounded(vec![0.0; 12], vec![1.0; 12], vec![3, 4]).unwrap();
    let widths = |space: &Space| (space.width(), space.flat_len(), space.is_discrete());
    assert_eq!(widths(&Space::Discrete { n: 4 }), (1, 4, true));
    assert_eq!(widths(&several), (2, 5, true));
    assert_eq!(widths(&image), (12, 12, false));
}

#[test]
fn spaces_are_written_as_gymnasium_writes_them() {
    let shown = |id: &str| {
        let env = make(id).unwrap();
        format!("{} {}", env.observation_space(), env.action_space())
    };
    // Gymnasium says the same numbers, but aligns them in columns and writes `1.` for 1.
    let cart = "Box([-4.8 -inf -0.41887903 -inf], [4.8 inf 0.41887903 inf], (4,), float32) Discrete(2)";
    assert_eq!(shown("CartPole-v1"), cart);
    assert_eq!(
        shown("Pendulum-v1"),
        "Box([-1.0 -1.0 -8.0], [1.0 1.0 8.0], (3,), float32) Box(-2.0, 2.0, (1,), float32)"
    );
    assert_eq!(shown("MountainCar-v0"), "Box([-1.2 -0.07], [0.6 0.07], (2,), float32) Discrete(3)");
    let continuous = "Box([-1.2 -0.07], [0.6 0.07], (2,), float32) Box(-1.0, 1.0, (1,), float32)";
    assert_eq!(shown("MountainCarContinuous-v0"), continuous);
    let acrobot =
        "Box([-1.0 -1.0 -1.0 -1.0 -12.566371 -28.274334], [1.0 1.0 1.0 1.0 12.566371 28.274334], (6,), float32)";
    assert_eq!(shown("Acrobot-v1"), format!("{acrobot} Discrete(3)"));
    assert_eq!(Space::MultiDiscrete { nvec: vec![3, 2] }.to_string(), "MultiDiscrete([3 2])");
    let image = Space::bounded(vec![0.0; 12], vec![1.0; 12], vec![3, 4]).unwrap();
    assert_eq!(image.to_string(), "Box(0.0, 1.0, (3, 4), float32)");
    for id in ids() {
        let (one, batch) = (make(id).unwrap(), make_vec(id, 2).unwrap());
        assert_eq!(one.observation_space(), batch.observation_space(), "{id}");
        assert_eq!(one.action_space(), batch.action_space(), "{id}");
    }
}

#[test]
fn boxes_whose_bounds_do_not_fit_are_refused() {
    let refused = |low: Vec<f32>, high: Vec<f32>, shape| Space::bounded(low, high, shape).unwrap_err().to_string();
    assert_eq!(refused(vec![0.0], vec![1.0, 1.0], vec![2]), "not a box: 1 low and 2 high for a shape of 2 elements");
    assert_eq!(refused(vec![0.0, 2.0], vec![1.0, 1.5], vec![2]), "not a box: element 1 from 2.0 to 1.5");
    assert_eq!(refused(vec![f32::NAN], vec![1.0], vec![1]), "not a box: element 0 from NaN to 1.0");
    assert!(said(|| Space::uniform(1.0, 0.0, 2)).contains("a box from 1 to 0"));
    assert!(said(|| Space::symmetric(&[1.0, -1.0])).contains("a box between"));
}

#[test]
fn random_choices_are_uniform() {
    const N: usize = 30_000;
    let space = Space::MultiDiscrete { nvec: vec![3, 5] };
    let mut sampler = ActionSampler::new(&space, N, 1).unwrap();
    let mut actions = ActionBuf::new(&space, N);
    let mut counts = [[0u32; 5]; 2];
    for _ in 0..2 {
        sampler.fill(&mut actions);
        let ActionBuf::Discrete(choices) = &actions else { panic!("choices") };
        for row in choices.chunks(2) {
            assert!(space.contains(row), "{row:?}");
            counts[0][row[0] as usize] += 1;
            counts[1][row[1] as usize] += 1;
        }
    }
    for (counts, n) in counts.iter().zip([3, 5]) {
        let expected = 2 * N / n;
        let chi_square: f64 =
            counts[..n].iter().map(|&count| (f64::from(count) - expected as f64).powi(2) / expected as f64).sum();
        assert!(chi_square < 20.0, "{counts:?}: {chi_square}");
    }
}

#[test]
fn random_values_are_uniform_within_the_bounds() {
    const N: usize = 30_000;
    let space = Space::bounded(vec![-2.0, 1.0], vec![2.0, 1.5], vec![2]).unwrap();
    let mut sampler = ActionSampler::new(&space, N, 1).unwrap();
    let mut actions = ActionBuf::new(&space, N);
    sampler.fill(&mut actions);
    let ActionBuf::Continuous(values) = &actions else { panic!("values") };
    assert!(values.chunks(2).all(|row| space.contains(row)));
    let mut product = 0.0;
    for (at, (low, high)) in [(-2.0, 2.0), (1.0, 1.5)].into_iter().enumerate() {
        let scaled = || values.iter().skip(at).step_by(2).map(|&value| (f64::from(value) - low) / (high - low) - 0.5);
        let mean = scaled().sum::<f64>() / N as f64;
        let variance = scaled().map(|x| x * x).sum::<f64>() / N as f64;
        assert!(mean.abs() < 0.01, "mean {mean}");
        assert!((12.0 * variance - 1.0).abs() < 0.03, "variance {variance}");
        let tails = scaled().filter(|x| x.abs() > 0.495).count() as f64 / N as f64;
        assert!((tails - 0.01).abs() < 0.003, "tails {tails}");
        product = scaled().zip(values.iter().skip(1 - at).step_by(2)).map(|(x, &y)| x * f64::from(y)).sum::<f64>();
    }
    assert!((product / N as f64).abs() < 0.02, "the components go together: {product}");
}

#[test]
fn random_actions_follow_from_seed_and_index() {
    for space in [Space::Discrete { n: 7 }, Space::MultiDiscrete { nvec: vec![9, 4] }, Space::uniform(-1.0, 1.0, 3)] {
        let drawn = |env_count: usize, seed: u64, first_index: u64| {
            let mut sampler = ActionSampler::new_from(&space, env_count, seed, first_index).unwrap();
            let mut actions = ActionBuf::new(&space, env_count);
            let mut rows = vec![Vec::new(); env_count];
            for _ in 0..20 {
                sampler.fill(&mut actions);
                for (env, row) in rows.iter_mut().enumerate() {
                    row.push(format!("{:?}", actions.as_actions().row(env, space.width())));
                }
            }
            rows
        };
        let whole = drawn(37, 5, 0);
        assert_eq!(whole, drawn(37, 5, 0), "{space}");
        assert_eq!(whole[..20], drawn(20, 5, 0)[..], "{space}");
        assert_eq!(whole[20..], drawn(17, 5, 20)[..], "{space}");
        let mut others = drawn(37, 6, 0);
        others.extend(whole);
        others.sort();
        others.dedup();
        assert_eq!(others.len(), 2 * 37, "{space}: all environments and seeds differ");
        assert!(others.iter().all(|row| row.iter().any(|action| *action != row[0])), "{space}: actions differ");
    }
}

#[test]
fn what_can_not_be_drawn_is_refused() {
    let unbounded = Space::uniform(0.0, f32::INFINITY, 1);
    let error = ActionSampler::new(&unbounded, 1, 0).err().unwrap();
    assert!(matches!(error, EnvError::Unbounded { .. }));
    assert_eq!(error.to_string(), "the space Box(0.0, inf, (1,), float32) has no bounds to draw from");
    let mut sampler = ActionSampler::new(&Space::Discrete { n: 2 }, 3, 0).unwrap();
    let said_of = |sampler: &mut ActionSampler, mut actions: ActionBuf| said(|| sampler.fill(&mut actions));
    assert!(said_of(&mut sampler, ActionBuf::Continuous(vec![0.0; 3])).contains("actions of another kind"));
    assert!(said_of(&mut sampler, ActionBuf::Discrete(vec![0; 4])).contains("choices in actions"));
}

#[test]
fn time_limits_truncate_and_begin_anew_with_each_reset() {
    let mut env = TimeLimit::new(make("Pendulum-v1").unwrap(), 3);
    let mut obs = [0.0; 3];
    let mut lasts = Vec::new();
    for resets in [3, 3, 2] {
        env.reset(None, &mut obs).unwrap();
        lasts.extend((0..resets).map(|_| env.step(Actions::Continuous(&[0.0]), &mut obs).unwrap().truncated));
    }
    assert_eq!(lasts, [false, false, true, false, false, true, false, false]);
    assert!(env.step(Actions::Continuous(&[f32::NAN]), &mut obs).is_err(), "a refused action is no step");
    assert!(env.reset(Some(1), &mut obs).is_ok());
    assert!(said(|| TimeLimit::new(make("Pendulum-v1").unwrap(), 0)).contains("at least one step"));
    assert!(said(|| Batch::new(fast::Pendulum, 1).unwrap().with_length_max(0)).contains("at least one step"));
}

#[test]
fn a_seed_repeats_a_single_environment() {
    for id in ids() {
        let mut env = make(id).unwrap();
        let mut obs = vec![0.0; env.observation_space().width()];
        let mut starts = |seed: Option<u64>| {
            env.reset(seed, &mut obs).unwrap();
            obs.clone()
        };
        let first = [starts(Some(1)), starts(None), starts(None)];
        assert_eq!(first, [starts(Some(1)), starts(None), starts(None)], "{id}");
        assert!(first[0] != first[1] && first[1] != first[2], "{id}");
        assert_ne!(first[0], starts(Some(2)), "{id}");
    }
}

#[test]
fn wrong_actions_are_refused_and_nothing_moves() {
    let synchronous = |id: &str| SyncVec::from_fn(3, |_| make(id).unwrap()).unwrap();
    for sync in [false, true] {
        let made =
            |id: &str| -> Box<dyn VecEnv> { if sync { Box::new(synchronous(id)) } else { make_vec(id, 3).unwrap() } };
        let refused = |id: &str, wrong: Actions<'_>, right: Actions<'_>| {
            let (mut envs, mut undisturbed) = (made(id), made(id));
            let (mut out, mut expected) = (StepBuf::new(envs.as_ref()), StepBuf::new(envs.as_ref()));
            envs.reset(1, &mut out.obs).unwrap();
            undisturbed.reset(1, &mut expected.obs).unwrap();
            let before = out.obs.clone();
            let error = envs.step(wrong, out.out()).unwrap_err();
            assert_eq!(out.obs, before, "{error}");
            envs.step(right, out.out()).unwrap();
            undisturbed.step(right, expected.out()).unwrap();
            assert_eq!(out.obs, expected.obs, "{error}");
            error
        };
        let (choices, values) = (Actions::Discrete(&[0, 1, 1]), Actions::Continuous(&[0.0, 5.0, -1.0]));
        let error = refused("CartPole-v1", values, choices);
        assert_eq!(error.to_string(), "the action space Discrete(2) takes discrete actions");
        let error = refused("Pendulum-v1", choices, values);
        assert_eq!(error.to_string(), "the action space Box(-2.0, 2.0, (1,), float32) takes continuous actions");
        let error = refused("CartPole-v1", Actions::Discrete(&[0, 1]), choices);
        assert_eq!(error.to_string(), "expected 3 action values, found 2");
        let error = refused("Pendulum-v1", Actions::Continuous(&[0.0; 4]), values);
        assert_eq!(error.to_string(), "expected 3 action values, found 4");
        let error = refused("CartPole-v1", Actions::Discrete(&[0, 1, 2]), choices);
        assert!(matches!(error, EnvError::ActionOutside { env: 2, .. }), "{error}");
        assert!(error.to_string().contains("of environment 2 is outside Discrete(2)"), "{error}");
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = refused("MountainCarContinuous-v0", Actions::Continuous(&[0.0, bad, 0.0]), values);
            assert!(matches!(error, EnvError::ActionOutside { env: 1, .. }), "{error}");
        }
    }
}

#[test]
fn single_environments_refuse_wrong_actions() {
    let mut env = make("Acrobot-v1").unwrap();
    let mut refused = |action: Actions<'_>| env.step(action, &mut [0.0; 6]).unwrap_err().to_string();
    assert_eq!(refused(Actions::Discrete(&[3])), "the action 3 of environment 0 is outside Discrete(3)");
    assert_eq!(refused(Actions::Discrete(&[])), "expected 1 action values, found 0");
    assert_eq!(refused(Actions::Continuous(&[0.0])), "the action space Discrete(3) takes discrete actions");
    let mut env = make("Pendulum-v1").unwrap();
    let mut refused = |action: Actions<'_>| env.step(action, &mut [0.0; 3]).unwrap_err().to_string();
    let space = "Box(-2.0, 2.0, (1,), float32)";
    assert_eq!(
        refused(Actions::Continuous(&[f32::NAN])),
        format!("the action NaN of environment 0 is outside {space}")
    );
    assert_eq!(refused(Actions::Continuous(&[0.0, 0.0])), "expected 1 action values, found 2");
    assert_eq!(refused(Actions::Discrete(&[0])), format!("the action space {space} takes continuous actions"));
}

/// What a panic says.
fn said<T>(call: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(call)).map(drop).expect_err("a panic");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap()
}

#[test]
fn slices_of_a_wrong_length_are_named() {
    let synchronous =
        || -> Box<dyn VecEnv> { Box::new(SyncVec::from_fn(3, |_| make("CartPole-v1").unwrap()).unwrap()) };
    for mut envs in [make_vec("CartPole-v1", 3).unwrap(), synchronous()] {
        assert!(said(|| envs.reset(0, &mut [0.0; 11])).contains("numbers in obs"));
        type Spoil = fn(&mut StepBuf);
        let cases: [(Spoil, &str); 4] = [
            (|out| out.obs.truncate(11), "numbers in obs"),
            (|out| out.rewards.push(0.0), "numbers in rewards"),
            (|out| out.terminated.truncate(2), "flags in terminated"),
            (|out| out.truncated.push(false), "flags in truncated"),
        ];
        for (spoil, expected) in cases {
            let mut out = StepBuf::new(envs.as_ref());
            spoil(&mut out);
            let said = said(|| envs.step(Actions::Discrete(&[0; 3]), out.out()));
            assert!(said.contains(expected), "{said}");
        }
    }
    let mut env = make("CartPole-v1").unwrap();
    assert!(!said(|| env.reset(None, &mut [0.0; 3])).is_empty());
    assert!(!said(|| env.step(Actions::Discrete(&[0]), &mut [0.0; 5])).is_empty());
    let batch = Batch::new(fast::CartPole, 17).unwrap();
    assert!(said(|| batch.state(17)).contains("environment 17 of 17"));
}

#[test]
fn unknown_names_are_refused_with_the_nearest() {
    for (asked, nearest) in [
        ("CartPole", "CartPole-v1"),
        ("cartpole-v1", "CartPole-v1"),
        ("CartPole-v0", "CartPole-v1"),
        ("MountainCarContinous-v0", "MountainCarContinuous-v0"),
        ("Pendulum-v0", "Pendulum-v1"),
        ("Acrobat", "Acrobot-v1"),
    ] {
        let errors = [make(asked).err(), make_vec(asked, 2).err()];
        for error in errors.map(Option::unwrap) {
            let start =
                format!("no environment is named {asked:?}: did you mean {nearest:?}? known: Acrobot-v1, Ant-v5, ");
            assert!(error.to_string().starts_with(&start), "{error}");
            assert!(matches!(&error, EnvError::UnknownId { known, .. } if known.len() == ids().len() + 7));
        }
    }
    assert!(matches!(make_vec("CartPole-v1", 0), Err(EnvError::Empty)));
    assert_eq!(SyncVec::new(Vec::new()).err().unwrap().to_string(), "a batch needs at least one environment");
}

#[test]
fn a_batch_of_different_spaces_is_refused() {
    let error = SyncVec::new(vec![make("MountainCar-v0").unwrap(), make("MountainCarContinuous-v0").unwrap()]).err();
    let expected =
        "environment 1 of the batch has the space Box(-1.0, 1.0, (1,), float32), but environment 0 has Discrete(3)";
    assert_eq!(error.unwrap().to_string(), expected);
}

/// Fails in its second step.
struct Broken {
    space: Space,
    steps: u32,
}

impl Env for Broken {
    fn observation_space(&self) -> &Space {
        &self.space
    }

    fn action_space(&self) -> &Space {
        &self.space
    }

    fn reset(&mut self, _: Option<u64>, _: &mut [f32]) -> Result<(), EnvError> {
        Ok(())
    }

    fn step(&mut self, _: Actions<'_>, _: &mut [f32]) -> Result<Step, EnvError> {
        self.steps += 1;
        match self.steps {
            2 => Err(EnvError::Failed { env: 0, source: "the simulator is gone".into() }),
            _ => Ok(Step { reward: 1.0, terminated: false, truncated: false }),
        }
    }
}

#[test]
fn a_failure_names_its_environment_and_cause() {
    let space = Space::uniform(0.0, 1.0, 1);
    let mut envs =
        SyncVec::from_fn(4, |env| Box::new(Broken { space: space.clone(), steps: u32::from(env == 2) })).unwrap();
    let mut out = StepBuf::new(&envs);
    let error = envs.step(Actions::Continuous(&[0.0; 4]), out.out()).unwrap_err();
    assert_eq!(error.to_string(), "environment 2 failed");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "the simulator is gone");
}

//! Searches: the same seed gives the same table, failures are rows, populations take over from their best.

#![cfg(feature = "settings")]
#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

use rayline_rl::env::{Actions, EnvError, Space, StepOut, VecEnv, make_vec, register};
use rayline_rl::ppo::PpoConfig;
use rayline_rl::search::{Method, SearchError, SearchPlan, SearchSpace, Trial, search};
use rayline_rl::settings::SettingsFile;

fn space(text: &str) -> Result<SearchSpace, SearchError> {
    let file = SettingsFile::parse("search.toml", &format!("[search]\n{text}")).unwrap();
    SearchSpace::new(&PpoConfig::cartpole(), file.table("search"))
}

fn plan(text: &str, method: Method, trials: usize) -> SearchPlan {
    SearchPlan {
        env: "CartPole-v1".into(),
        base: PpoConfig { total_steps: 6_000, ..PpoConfig::cartpole() },
        space: space(text).unwrap(),
        method,
        trials,
        seed: 5,
        episodes: 5,
    }
}

const RATES: &str = "learning_rate = { log_uniform = [1e-5, 1e-2] }\nepochs = { integer = [1, 4] }";

#[test]
fn the_same_seed_gives_the_same_table_with_trials_beside_each_other() {
    let plan = plan(RATES, Method::Random, 6);
    let mut seen = Vec::new();
    let found = search(&plan, |trial| seen.push(trial.trial)).unwrap();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
    assert_eq!(search(&plan, |_| {}).unwrap(), found);
    assert!(found.trials.iter().all(|trial| trial.error.is_none() && trial.env_steps >= 6_000), "{:?}", found.trials);
    let (best, checkpoint) = found.best.as_ref().unwrap();
    assert!(found.trials.iter().all(|trial| trial.score <= best.score));
    let rate = best.settings["learning_rate"].as_f64().unwrap();
    assert_eq!(checkpoint.config().learning_rate.start(), rate as f32);
    let other = search(&SearchPlan { seed: 6, ..plan }, |_| {}).unwrap();
    assert_ne!(other.trials[0].settings, found.trials[0].settings);
}

#[test]
fn a_population_goes_on_from_its_best_and_tells_from_whom() {
    let plan = plan(RATES, Method::Population { rounds: 3 }, 5);
    let found = search(&plan, |_| {}).unwrap();
    assert_eq!(found.trials.len(), 15);
    let steps =
        |round: usize| found.trials.iter().filter(move |trial| trial.round == round).map(|trial| trial.env_steps);
    assert!(steps(0).all(|steps| (2_000..2_300).contains(&steps)) && steps(2).all(|steps| steps >= 6_000));
    let taken: Vec<&Trial> = found.trials.iter().filter(|trial| trial.parent.is_some()).collect();
    assert_eq!(taken.len(), 2, "one of five between each two rounds: {taken:?}");
    for child in taken {
        let parent = &found.trials[(child.round - 1) * 5 + child.parent.unwrap()];
        let rates = [child, parent].map(|trial| trial.settings["learning_rate"].as_f64().unwrap());
        let change = rates[0] / rates[1];
        assert!((change - 0.8).abs() < 1e-4 || (change - 1.2).abs() < 1e-4, "{change}");
        let rivals = found.trials.iter().filter(|trial| trial.round == parent.round);
        assert!(rivals.into_iter().all(|rival| rival.score <= parent.score), "{parent:?} was the best");
    }
    assert_eq!(search(&plan, |_| {}).unwrap(), found);
}

/// CartPole that panics or fails once it is stepped, where there are many of it.
struct Fragile(Box<dyn VecEnv>);

impl VecEnv for Fragile {
    fn env_count(&self) -> usize {
        self.0.env_count()
    }

    fn observation_space(&self) -> &Space {
        self.0.observation_space()
    }

    fn action_space(&self) -> &Space {
        self.0.action_space()
    }

    fn reset_from(&mut self, seed: u64, first: u64, obs: &mut [f32]) -> Result<(), EnvError> {
        self.0.reset_from(seed, first, obs)
    }

    fn restart(&mut self, env: usize, obs: &mut [f32]) -> Result<(), EnvError> {
        self.0.restart(env, obs)
    }

    fn step(&mut self, actions: Actions<'_>, out: StepOut<'_>) -> Result<(), EnvError> {
        assert_ne!(self.env_count(), 6, "six are too many");
        if self.env_count() == 7 {
            return Err(EnvError::Failed { env: 0, source: "seven are far too many".into() });
        }
        self.0.step(actions, out)
    }
}

#[test]
fn a_trial_that_fails_is_a_row_with_its_error_and_not_the_end() {
    register("Fragile-v0", |envs| Ok(Box::new(Fragile(make_vec("CartPole-v1", envs)?)))).unwrap();
    let choice = "n_envs = { choice = [5, 6, 7, 9] }";
    for method in [Method::Random, Method::Population { rounds: 2 }] {
        let plan = SearchPlan { env: "Fragile-v0".into(), ..plan(choice, method, 12) };
        let found = search(&plan, |_| {}).unwrap();
        let with = |envs: u64| found.trials.iter().filter(move |trial| trial.settings["n_envs"] == envs);
        for envs in [5, 9] {
            assert!(with(envs).count() > 0 && with(envs).all(|trial| trial.score.is_some()), "{envs}");
        }
        for (envs, why) in [(6, "six are too many"), (7, "seven are far too many")] {
            assert!(with(envs).count() > 0, "{envs} were drawn");
            for trial in with(envs) {
                let error = trial.error.as_deref().unwrap_or_default();
                assert!(trial.score.is_none() && error.contains(why), "{trial:?}");
            }
        }
        assert!(found.best.is_some());
    }
}

#[test]
fn settings_that_make_no_sense_together_are_a_row_too() {
    // 8 environments of 2 steps are 16 rows, of which no 32 can be taken.
    let plan = plan("n_steps = { choice = [2, 32] }", Method::Random, 8);
    let found = search(&plan, |_| {}).unwrap();
    let failed: Vec<_> = found.trials.iter().filter(|trial| trial.error.is_some()).collect();
    assert!(!failed.is_empty() && failed.len() < 8);
    assert!(failed.iter().all(|trial| trial.error.as_ref().unwrap().contains("minibatches is 32")), "{failed:?}");
}

#[test]
fn spaces_and_plans_that_make_no_sense_are_refused_before_anything_is_tried() {
    let said = |text: &str| space(text).unwrap_err().to_string();
    assert!(said("gama = { uniform = [0, 1] }").starts_with("search.toml:2: there is no setting \"gama\""));
    assert!(said("gamma = { uniform = [1, 0] }").contains("the first bound must be below the second"));
    assert!(said("gamma = { between = [0, 1] }").contains("unknown variant `between`"));
    assert!(said("gamma = { choice = [\"high\"] }").contains("gamma can't be \"high\""));
    assert!(said("n_envs = { uniform = [0.5, 1.5] }").contains("n_envs can't be 0.5"));
    let refused = |plan: SearchPlan| search(&plan, |_| panic!("nothing is tried")).unwrap_err().to_string();
    let population = Method::Population { rounds: 2 };
    assert!(refused(plan("hidden = { choice = [[8], [16]] }", population, 4)).contains("search for it at random"));
    assert!(refused(plan(RATES, population, 1)).starts_with("trials is 1"));
    assert!(refused(plan(RATES, Method::Population { rounds: 1 }, 4)).starts_with("rounds is 1"));
    assert!(refused(plan(RATES, Method::Random, 0)).starts_with("trials is 0"));
    let unknown = SearchPlan { env: "CartPol-v1".into(), ..plan(RATES, Method::Random, 1) };
    assert!(refused(unknown).contains("did you mean \"CartPole-v1\"?"));
}

//! Steps a second of the batches, actions drawn and autoreset included: on one thread, and on two with a batch each.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rayline_rl::env::{ActionBuf, ActionSampler, StepBuf, VecEnv, ids, make_vec};

const ENV_COUNT: usize = 1024;

/// A batch with random actions.
struct Player {
    envs: Box<dyn VecEnv>,
    sampler: ActionSampler,
    actions: ActionBuf,
    out: StepBuf,
}

impl Player {
    fn new(id: &str, first_index: u64) -> Self {
        let mut envs = make_vec(id, ENV_COUNT).expect("a known id");
        let sampler = ActionSampler::new_from(envs.action_space(), ENV_COUNT, 7, first_index).expect("bounded actions");
        let actions = ActionBuf::new(envs.action_space(), ENV_COUNT);
        let mut out = StepBuf::new(envs.as_ref());
        envs.reset_from(7, first_index, &mut out.obs).expect("a task that can't fail");
        Self { envs, sampler, actions, out }
    }

    fn step(&mut self) {
        self.sampler.fill(&mut self.actions);
        self.envs.step(self.actions.as_actions(), self.out.out()).expect("valid actions");
        black_box(&self.out);
    }
}

fn one_thread(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one_thread");
    group.throughput(Throughput::Elements(ENV_COUNT as u64));
    for id in ids() {
        let mut player = Player::new(id, 0);
        group.bench_function(id, |bencher| bencher.iter(|| player.step()));
    }
    group.finish();
}

fn two_threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("two_threads");
    group.throughput(Throughput::Elements(2 * ENV_COUNT as u64));
    for id in ids() {
        let mut players = [0, ENV_COUNT as u64].map(|first_index| Player::new(id, first_index));
        group.bench_function(id, |bencher| bencher.iter_custom(|rounds| play(&mut players, rounds)));
    }
    group.finish();
}

/// Each player takes so many steps on a thread of its own; the threads' start counts.
fn play(players: &mut [Player], rounds: u64) -> Duration {
    let begin = Instant::now();
    thread::scope(|scope| {
        for player in players {
            scope.spawn(move || (0..rounds).for_each(|_| player.step()));
        }
    });
    begin.elapsed()
}

fn actions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("actions");
    group.throughput(Throughput::Elements(ENV_COUNT as u64));
    for id in ["CartPole-v1", "Pendulum-v1"] {
        let mut player = Player::new(id, 0);
        group.bench_function(id, |bencher| bencher.iter(|| player.sampler.fill(black_box(&mut player.actions))));
    }
    group.finish();
}

criterion_group!(benches, one_thread, two_threads, actions);
criterion_main!(benches);

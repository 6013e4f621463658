//! Tasks: values, references, failures, cancellation, retries, resources, streams, as a user writes them.
// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

use rayline::prelude::*;
use rayline::{ErrorKind, block_on};
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

#[task]
fn square(x: i64) -> i64 {
    x * x
}

#[task]
fn add(a: i64, b: &i64) -> i64 {
    a + b
}

#[task]
fn total(values: &Vec<i64>) -> i64 {
    values.iter().sum()
}

#[derive(Debug)]
struct Diverged {
    norm: f64,
}

impl fmt::Display for Diverged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "norm {} diverged", self.norm)
    }
}

impl std::error::Error for Diverged {}

#[task]
fn gradient(norm: f64) -> Result<f64, Diverged> {
    if norm > 1.0 { Err(Diverged { norm }) } else { Ok(norm) }
}

#[task]
fn explode(message: String) -> i64 {
    panic!("{message}")
}

#[task]
fn fib(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let (a, b) = (fib::remote(n - 1), fib::remote(n - 2));
    b.get().unwrap() + a.get().unwrap()
}

#[task]
async fn sleepy(ms: u64, then: i64) -> i64 {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    then
}

#[task]
async fn gather(n: i64) -> Result<i64, Error> {
    let refs: Vec<_> = (0..n).map(square::remote).collect();
    let mut sum = 0;
    for object in &refs {
        sum += object.await?;
    }
    Ok(sum)
}

#[test]
fn values_and_references() {
    let nine = square::remote(3);
    assert_eq!(add::remote(&nine, square::remote(4)).get().unwrap(), 25);
    assert_eq!(nine.get().unwrap(), 9);
    let data = put(vec![1, 2, 3]);
    assert_eq!(total::remote(&data).get().unwrap(), 6);
    assert_eq!(total::remote(vec![4, 5]).get().unwrap(), 9);
    assert_eq!(square(5), 25, "a task stays a function");
}

#[test]
fn an_error_fails_what_depends_on_it() {
    let bad = gradient::remote(7.0);
    let error = bad.get().unwrap_err();
    assert_eq!(error.downcast_ref::<Diverged>().unwrap().norm, 7.0);
    assert_eq!(error.to_string(), "tasks::gradient failed: norm 7 diverged");
    let next = gradient::remote(bad).get().unwrap_err();
    assert!(matches!(next.kind(), ErrorKind::Argument));
    assert!(next.downcast_ref::<Diverged>().is_some());
    assert_eq!(
        next.to_string(),
        "tasks::gradient didn't run, as an argument failed: tasks::gradient failed: norm 7 diverged"
    );
}

#[test]
fn a_panic_is_an_error_with_its_message() {
    let error = explode::remote("seven".to_owned()).get().unwrap_err();
    assert!(error.is_panic());
    assert_eq!(error.to_string(), "tasks::explode panicked: seven");
}

#[test]
fn nested_tasks_do_not_deadlock() {
    assert_eq!(fib::remote(20).get().unwrap(), 6765);
}

#[test]
fn asynchronous_tasks() {
    let begin = Instant::now();
    let refs: Vec<_> = (0..100).map(|i| sleepy::remote(30, i)).collect();
    assert_eq!(get_all(&refs).unwrap(), (0..100).collect::<Vec<_>>());
    assert!(begin.elapsed() < Duration::from_secs(1), "they overlap");
    assert_eq!(gather::remote(10).get().unwrap(), 285);
    assert_eq!(block_on(async { square::remote(6).await }).unwrap(), 36);
}

#[test]
fn an_asynchronous_task_is_cancelled_at_its_await_point() {
    let slow = sleepy::remote(60_000, 1);
    std::thread::sleep(Duration::from_millis(5));
    slow.clone().cancel();
    assert!(slow.get().unwrap_err().is_cancelled());
}

#[task]
fn spin_until_cancelled() -> bool {
    let begin = Instant::now();
    while !context().cancelled() && begin.elapsed() < Duration::from_secs(20) {
        std::hint::spin_loop();
    }
    context().cancelled()
}

#[test]
fn a_running_task_is_told_that_it_was_cancelled() {
    let task = spin_until_cancelled::remote();
    std::thread::sleep(Duration::from_millis(10));
    task.clone().cancel();
    assert!(task.get().unwrap());
}

#[test]
fn waiting_with_a_deadline() {
    let slow = sleepy::remote(10_000, 1);
    let error = slow.get_timeout(Duration::from_millis(20)).unwrap_err();
    assert!(error.is_timeout());
    let fast = square::remote(2);
    let (ready, late) = wait(vec![slow.clone(), fast], 1, Some(Duration::from_secs(5)));
    assert_eq!((ready.len(), late.len()), (1, 1));
    assert_eq!(ready[0].get().unwrap(), 4);
    late.into_iter().for_each(ObjectRef::cancel);
}

#[test]
fn as_completed_gives_each_once() {
    let refs: Vec<_> = (0..1000).map(square::remote).collect();
    let mut values: Vec<i64> = as_completed(refs).map(|object| object.get().unwrap()).collect();
    values.sort();
    assert_eq!(values, (0..1000).map(|i| i * i).collect::<Vec<_>>());
}

#[task(returns = 2)]
fn split(values: Vec<i64>) -> (Vec<i64>, usize) {
    let n = values.len();
    (values.into_iter().rev().collect(), n)
}

#[test]
fn parts_of_a_tuple_are_objects_of_their_own() {
    let (values, count) = split::remote(vec![1, 2, 3]);
    assert_eq!(total::remote(values).get().unwrap(), 6);
    assert_eq!(count.get().unwrap(), 3);
}

#[task(buffer = 4)]
fn count_to(n: u64) -> impl Iterator<Item = u64> + Send {
    (0..n).inspect(|_| _ = MADE.fetch_add(1, Ordering::SeqCst))
}

static MADE: AtomicU32 = AtomicU32::new(0);

#[test]
fn a_stream_is_consumed_while_it_runs_and_holds_back() {
    let mut stream = count_to::remote(1000);
    assert_eq!(stream.next().unwrap().get().unwrap(), 0);
    std::thread::sleep(Duration::from_millis(30));
    assert!(MADE.load(Ordering::SeqCst) <= 10, "made {} ahead of the consumer", MADE.load(Ordering::SeqCst));
    let rest: Vec<u64> = stream.values().collect::<Result<_, _>>().unwrap();
    assert_eq!(rest, (1..1000).collect::<Vec<_>>());
}

static TRIES: AtomicU32 = AtomicU32::new(0);

#[task(retries = 3, retry_on(Diverged))]
fn flaky(good_try: u32) -> Result<u32, Diverged> {
    let attempt = context().attempt();
    TRIES.fetch_add(1, Ordering::SeqCst);
    if attempt < good_try { Err(Diverged { norm: f64::from(attempt) }) } else { Ok(attempt) }
}

#[test]
fn errors_are_retried_where_declared() {
    assert_eq!(flaky::remote(3).get().unwrap(), 3);
    let error = flaky::remote(9).get().unwrap_err();
    assert_eq!(error.to_string(), "tasks::flaky failed in attempt 4: norm 4 diverged");
}

#[task(cpu = 0.5)]
fn light(x: i64) -> i64 {
    x + 1
}

#[test]
fn leased_tasks_run() {
    let begin = Instant::now();
    let refs: Vec<_> = (0..10_000).map(light::remote).collect();
    let sum: i64 = refs.into_iter().map(|object| object.take().unwrap()).sum();
    assert_eq!(sum, (1..=10_000).sum::<i64>());
    println!("10,000 leased tasks in {:?}", begin.elapsed());
    let error = square::call(1).cpu(4096).remote().get().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Infeasible(_)), "{error}");
    println!("{error}");
    let error = square::call(1).gpu(1.5).remote().get().unwrap_err();
    println!("{error}");
    let error = square::call(1).cpu(-1).remote().get().unwrap_err();
    println!("{error}");
}

#[test]
fn a_group_holds_resources() {
    let group = PlacementGroup::reserve(Strategy::Pack, [Bundle::cpu(1)]).unwrap();
    assert!(group.ready(Some(Duration::from_secs(5))).unwrap());
    assert_eq!(square::call(3).place(group.bundle(0)).remote().get().unwrap(), 9);
    let error = PlacementGroup::reserve(Strategy::StrictSpread, [Bundle::cpu(1), Bundle::cpu(1)]).unwrap_err();
    println!("{error}");
    group.remove();
}

#[task(returns = 2, cpu = 4096)]
fn impossible_pair() -> (i64, i64) {
    (1, 2)
}

#[task(returns = 2, cpu = 0.5)]
fn leased_pair(x: i64) -> (i64, i64) {
    (x, context().cpu_slots().len() as i64)
}

#[test]
fn parts_of_a_leased_task_get_its_resources() {
    let (first, second) = impossible_pair::remote();
    assert!(matches!(first.get().unwrap_err().kind(), ErrorKind::Infeasible(_)));
    assert!(matches!(second.get().unwrap_err().kind(), ErrorKind::Infeasible(_)));
    let (value, slots) = leased_pair::remote(7);
    assert_eq!((value.get().unwrap(), slots.get().unwrap()), (7, 0), "half a CPU is no slot");
}

static ALIVE: AtomicU32 = AtomicU32::new(0);

/// Lives as long as the future that holds it.
struct Alive;

impl Drop for Alive {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

#[task]
async fn hold(ms: u64) -> u64 {
    ALIVE.fetch_add(1, Ordering::SeqCst);
    let _alive = Alive;
    tokio::time::sleep(Duration::from_millis(ms)).await;
    ms
}

#[test]
fn prepared_and_leased_asynchronous_tasks_are_dropped_when_cancelled() {
    let submits: [fn() -> ObjectRef<u64>; 2] =
        [|| hold::call(60_000).remote(), || hold::call(60_000).cpu(0.5).remote()];
    for submit in submits {
        let task = submit();
        while ALIVE.load(Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        task.clone().cancel();
        assert!(task.get_timeout(Duration::from_secs(20)).unwrap_err().is_cancelled());
        let begin = Instant::now();
        while ALIVE.load(Ordering::SeqCst) > 0 {
            assert!(begin.elapsed() < Duration::from_secs(20), "the future lives on");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let begin = Instant::now();
    let many: Vec<_> = (0..100).map(|_| hold::call(100).remote()).collect();
    assert!(many.iter().all(|task| task.get().unwrap() == 100));
    assert!(begin.elapsed() < Duration::from_secs(3), "prepared calls overlap, too");
}

//! The pool under real threads: results, dependencies, waiting, cancellation, panics, shutdown.
// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

use rayline_exec::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug, PartialEq, Clone)]
enum Out {
    Value(i64),
    Panicked(String),
    Shutdown,
    Closed,
    Dropped,
}

impl Outcome for Out {
    fn from_fault(_: &'static str, fault: Fault) -> Self {
        match fault {
            Fault::Panicked(payload) => Out::Panicked(payload.downcast_ref::<&str>().unwrap_or(&"?").to_string()),
            Fault::Shutdown => Out::Shutdown,
            Fault::Closed(_) => Out::Closed,
            Fault::Dropped => Out::Dropped,
        }
    }
}

/// A task made of a closure.
struct Run<F>(F);

impl<F: FnOnce() -> i64 + Send + 'static> Function<()> for Run<F> {
    type Outcome = Out;
    const NAME: &'static str = "run";

    fn call(self, (): ()) -> Out {
        Out::Value((self.0)())
    }
}

/// Adds one to what it waits for.
struct Next;

impl Function<(Awaited<Out>, ())> for Next {
    type Outcome = Out;
    const NAME: &'static str = "next";

    fn call(self, (awaited, ()): (Awaited<Out>, ())) -> Out {
        match awaited.into_handle().outcome() {
            Some(Ok(Out::Value(value))) => Out::Value(value + 1),
            Some(Ok(other)) => other.clone(),
            _ => Out::Dropped,
        }
    }
}

fn pool(workers: usize) -> Pool {
    Pool::new(PoolOptions { workers, ..PoolOptions::default() })
}

fn value(handle: &Handle<Out>) -> i64 {
    handle.wait().unwrap();
    match handle.outcome() {
        Some(Ok(Out::Value(value))) => *value,
        other => panic!("no value: {other:?}"),
    }
}

fn fib(pool: Pool, n: u64) -> i64 {
    if n < 2 {
        return n as i64;
    }
    let a = pool.submit((), Run(move || fib(pool, n - 1)));
    let b = pool.submit((), Run(move || fib(pool, n - 2)));
    let b = value(&b);
    value(&a) + b
}

#[test]
fn a_million_tasks() {
    let pool = pool(2);
    for _ in 0..3 {
        let begin = Instant::now();
        let handles: Vec<_> = (0..1_000_000i64).map(|i| pool.submit((), Run(move || i))).collect();
        let sum: i64 = handles.iter().map(value).sum();
        assert_eq!(sum, 1_000_000 * 999_999 / 2);
        println!("{:?}", begin.elapsed());
    }
    pool.shutdown();
}

#[test]
fn a_window_of_tasks() {
    let pool = pool(2);
    for _ in 0..5 {
        let begin = Instant::now();
        let mut window = std::collections::VecDeque::new();
        let mut sum = 0;
        for i in 0..1_000_000i64 {
            window.push_back(pool.submit((), Run(move || i)));
            if window.len() > 1000 {
                sum += value(&window.pop_front().unwrap());
            }
        }
        sum += window.iter().map(value).sum::<i64>();
        assert_eq!(sum, 1_000_000 * 999_999 / 2);
        println!("window {:?}", begin.elapsed());
    }
    pool.shutdown();
}

#[test]
fn nested_waits_do_not_deadlock() {
    let pool = pool(2);
    let begin = Instant::now();
    assert_eq!(value(&pool.submit((), Run(move || fib(pool, 25)))), 75_025);
    println!("fib {:?}, {} threads", begin.elapsed(), pool.threads());
    pool.shutdown();
}

#[test]
fn a_chain_of_dependencies() {
    let pool = pool(2);
    let begin = Instant::now();
    let mut last = pool.submit((), Run(|| 0));
    for _ in 0..100_000 {
        last = pool.submit((Awaited::new(last), ()), Next);
    }
    assert_eq!(value(&last), 100_000);
    println!("chain {:?}", begin.elapsed());
    pool.shutdown();
}

#[test]
fn a_round_trip() {
    let pool = pool(2);
    let mut times: Vec<_> = (0..20_000)
        .map(|i| {
            let begin = Instant::now();
            assert_eq!(value(&pool.submit((), Run(move || i))), i);
            begin.elapsed()
        })
        .collect();
    times.sort();
    println!("round trip p50 {:?} p99 {:?}", times[10_000], times[19_800]);
    pool.shutdown();
}

#[test]
fn one_worker_blocks_and_another_takes_its_place() {
    let pool = pool(1);
    let (promise, gate) = promise::<Gate, Out>();
    let waits = pool.submit((), Run(move || value(&gate)));
    let opens = pool.submit(
        (),
        Run(move || {
            promise.complete(Out::Value(7));
            1
        }),
    );
    assert_eq!((value(&waits), value(&opens)), (7, 1));
    pool.shutdown();
}

struct Gate;

impl Named for Gate {
    const NAME: &'static str = "gate";
}

#[test]
fn a_cancelled_task_never_starts_and_is_done_at_once() {
    let pool = pool(1);
    let ran = Arc::new(AtomicUsize::new(0));
    let (promise, gate) = promise::<Gate, Out>();
    let (busy, begun) = (gate.clone(), Arc::new(AtomicUsize::new(0)));
    let flag = begun.clone();
    // Holds the one worker without giving up its place.
    let hog = pool.submit(
        (),
        Run(move || {
            flag.store(1, Ordering::SeqCst);
            while !busy.is_done() {
                std::hint::spin_loop();
            }
            0
        }),
    );
    while begun.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    let count = ran.clone();
    let queued = pool.submit((), Run(move || count.fetch_add(1, Ordering::SeqCst) as i64));
    let dependent = pool.submit((Awaited::new(gate.clone()), ()), Next);
    queued.cancel();
    dependent.cancel();
    queued.wait().unwrap();
    dependent.wait().unwrap();
    assert_eq!(queued.outcome(), Some(Err(Cancelled)));
    assert_eq!(dependent.outcome(), Some(Err(Cancelled)));
    drop((queued, dependent));
    promise.complete(Out::Value(0));
    value(&hog);
    pool.shutdown();
    assert_eq!(ran.load(Ordering::SeqCst), 0);
}

#[test]
fn a_panic_becomes_an_outcome() {
    let pool = pool(1);
    let handle = pool.submit((), Run(|| panic!("seven")));
    handle.wait().unwrap();
    assert_eq!(handle.outcome(), Some(Ok(&Out::Panicked("seven".into()))));
    assert_eq!(value(&pool.submit((), Run(|| 1))), 1);
    pool.shutdown();
}

#[test]
fn shutdown_ends_what_waits() {
    let pool = pool(1);
    let (promise, gate) = promise::<Gate, Out>();
    let inner = pool.submit((Awaited::new(gate), ()), Next);
    let watched = inner.clone();
    let waits = pool.submit(
        (),
        Run(move || {
            let queued = pool.submit((), Run(|| 5));
            std::thread::sleep(Duration::from_millis(5));
            drop(queued);
            5
        }),
    );
    value(&waits);
    pool.shutdown();
    drop(promise);
    watched.wait().unwrap();
    assert_eq!(watched.outcome(), Some(Ok(&Out::Shutdown)));
    let late = pool.submit((), Run(|| 1));
    late.wait().unwrap();
    assert_eq!(late.outcome(), Some(Ok(&Out::Shutdown)));
}

#[test]
fn deadlines_and_completion_order() {
    let pool = pool(2);
    let (promise, gate) = promise::<Gate, Out>();
    assert!(!gate.wait_until(Instant::now() + Duration::from_millis(20)));
    let fast = pool.submit((), Run(|| 1));
    assert_eq!(wait_some(&[&gate, &fast], 1, None), Ok(1));
    assert_eq!(wait_some(&[&gate, &fast], 2, Some(Instant::now() + Duration::from_millis(10))), Ok(1));
    let mut queue = CompletionQueue::new(vec![gate, fast]);
    assert_eq!(queue.next_until(None).unwrap().0, 1);
    assert!(queue.next_until(Some(Instant::now() + Duration::from_millis(5))).is_none());
    promise.complete(Out::Value(3));
    let (index, handle) = queue.next_until(None).unwrap();
    assert_eq!((index, value(&handle)), (0, 3));
    assert!(queue.next_until(None).is_none());
    pool.shutdown();
}

#[test]
fn more_jobs_may_wait_than_there_are_threads() {
    let pool = Pool::new(PoolOptions { workers: 2, threads_max: 4, ..PoolOptions::default() });
    let (promise, gate) = promise::<Gate, Out>();
    let waiting: Vec<_> = (0..100)
        .map(|i| {
            let gate = gate.clone();
            pool.submit((), Run(move || value(&gate) + i))
        })
        .collect();
    std::thread::sleep(Duration::from_millis(20));
    // All threads wait by now; what opens the gate must still run.
    let opens = pool.submit(
        (),
        Run(move || {
            promise.complete(Out::Value(7));
            1
        }),
    );
    assert!(opens.wait_until(Instant::now() + Duration::from_secs(20)), "nobody runs what all wait for");
    assert_eq!(waiting.iter().map(value).sum::<i64>(), 700 + 99 * 50);
    assert_eq!(pool.threads(), 4);
    pool.shutdown();
}

/// A job at one worker submits a child that waits for it, then calls `wait` with the child and what comes after 50 ms.
fn waits_beside_a_child_that_waits_for_it(wait: fn(&Handle<Out>, &Handle<Out>)) {
    let pool = pool(1);
    let own = Arc::new(std::sync::OnceLock::<Handle<Out>>::new());
    let known = own.clone();
    let job = pool.submit(
        (),
        Run(move || {
            while known.get().is_none() {
                std::thread::yield_now();
            }
            let child = pool.submit((), Run(move || value(known.get().unwrap()) + 1));
            let (promise, later) = promise::<Gate, Out>();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(50));
                promise.complete(Out::Value(0));
            });
            wait(&child, &later);
            3
        }),
    );
    own.set(job.clone()).unwrap();
    assert!(job.wait_until(Instant::now() + Duration::from_secs(20)), "it runs on its own stack what waits for it");
    assert_eq!(value(&job), 3);
    pool.shutdown();
}

#[test]
fn waiting_for_some_runs_none_of_them() {
    waits_beside_a_child_that_waits_for_it(|child, later| {
        assert!(wait_some(&[child, later], 1, None).is_ok());
    });
}

#[test]
fn waiting_until_a_deadline_runs_nothing() {
    waits_beside_a_child_that_waits_for_it(|child, _| {
        child.wait_until(Instant::now() + Duration::from_millis(30));
    });
}

#[test]
fn a_second_shutdown_waits_for_the_first() {
    let pool = pool(2);
    let ended = Arc::new(AtomicUsize::new(0));
    let begun = Arc::new(std::sync::Barrier::new(2));
    let (sets, begins) = (ended.clone(), begun.clone());
    drop(pool.submit(
        (),
        Run(move || {
            begins.wait();
            std::thread::sleep(Duration::from_millis(100));
            sets.store(1, Ordering::SeqCst);
            0
        }),
    ));
    begun.wait();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                pool.shutdown();
                assert_eq!(ended.load(Ordering::SeqCst), 1, "it returned while a job runs");
            });
        }
    });
}

/// Ends the pool again when dropped, as a user's value may.
struct Ends(Pool);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}

#[test]
fn a_shutdown_inside_a_shutdown_returns() {
    let pool = pool(1);
    let (promise, gate) = promise::<Gate, Out>();
    let busy = pool.submit((), Run(move || value(&gate)));
    pool.set_workers(0);
    let ends = Ends(pool);
    let queued = pool.submit(
        (),
        Run(move || {
            let _ends = &ends;
            1
        }),
    );
    let opens = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        promise.complete(Out::Value(0));
    });
    pool.shutdown();
    opens.join().unwrap();
    assert!(busy.is_done() && queued.is_done());
}

thread_local! {
    static IN_JOB: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Counts itself when it is dropped inside the job that sets `IN_JOB`.
struct Counts(Arc<AtomicUsize>);

impl Drop for Counts {
    fn drop(&mut self) {
        self.0.fetch_add(usize::from(IN_JOB.get()), Ordering::SeqCst);
        std::thread::sleep(Duration::from_micros(20));
    }
}

#[test]
fn whoever_submits_to_a_closed_pool_ends_its_own_jobs_only() {
    let pool = pool(1);
    let inside = Arc::new(AtomicUsize::new(0));
    let begun = Arc::new(std::sync::Barrier::new(2));
    let begins = begun.clone();
    let job = pool.submit(
        (),
        Run(move || {
            IN_JOB.set(true);
            begins.wait();
            let begin = Instant::now();
            let mut refused = 0;
            // Until the pool is closed, and a while more.
            while begin.elapsed() < Duration::from_millis(100) {
                let child = pool.submit((), Run(|| 0));
                child.wait().unwrap();
                refused += i64::from(matches!(child.outcome(), Some(Ok(Out::Shutdown))));
            }
            IN_JOB.set(false);
            refused
        }),
    );
    let others: Vec<_> = (0..if cfg!(miri) { 10 } else { 2000 })
        .map(|_| {
            let counts = Counts(inside.clone());
            let run = move || {
                let _counts = &counts;
                1
            };
            pool.submit((), Run(run))
        })
        .collect();
    begun.wait();
    pool.shutdown();
    assert!(value(&job) > 0);
    assert!(others.iter().all(Handle::is_done));
    assert_eq!(inside.load(Ordering::SeqCst), 0, "ended on the stack of a job that submits");
}

/// What `wait` says.
fn threads_max(waited: Result<(), Exhausted>) -> i64 {
    waited.map_or_else(|exhausted| exhausted.threads_max as i64, |()| 0)
}

#[test]
fn a_job_on_top_of_the_one_that_it_waits_for_is_told_so() {
    let pool = Pool::new(PoolOptions { workers: 1, threads_max: 1, ..PoolOptions::default() });
    let (promise, gate) = promise::<Gate, Out>();
    let below = pool.submit((), Run(move || value(&gate)));
    std::thread::sleep(Duration::from_millis(10));
    let awaited = below.clone();
    let on_top = pool.submit((), Run(move || threads_max(awaited.wait())));
    assert!(on_top.wait_until(Instant::now() + Duration::from_secs(20)), "it hangs");
    assert_eq!(value(&on_top), 1);
    let awaited = below.clone();
    let some = pool.submit((), Run(move || wait_some(&[&awaited], 1, None).unwrap_err().threads_max as i64 + 5));
    assert_eq!(value(&some), 6);
    let awaited = below.clone();
    let in_time =
        pool.submit((), Run(move || i64::from(awaited.wait_until(Instant::now() + Duration::from_millis(10)))));
    assert_eq!(value(&in_time), 0);
    promise.complete(Out::Value(3));
    assert_eq!(value(&below), 3);
    pool.shutdown();
}

#[test]
fn jobs_on_two_stacks_that_wait_for_what_lies_below_are_told_so() {
    let pool = Pool::new(PoolOptions { workers: 2, threads_max: 2, ..PoolOptions::default() });
    let (promise, gate) = promise::<Gate, Out>();
    // Each waits for the other one's, once both have begun.
    let tops = Arc::new(std::sync::Barrier::new(2));
    let known: Arc<std::sync::OnceLock<[Handle<Out>; 2]>> = Arc::default();
    let told = Arc::new(AtomicUsize::new(0));
    let below: Vec<_> = (0..2)
        .map(|own: usize| {
            let (gate, tops, known, told) = (gate.clone(), tops.clone(), known.clone(), told.clone());
            pool.submit(
                (),
                Run(move || {
                    drop(pool.submit(
                        (),
                        Run(move || {
                            tops.wait();
                            let waited = known.get().unwrap()[1 - own].wait();
                            told.fetch_add(usize::from(waited.is_err()), Ordering::SeqCst);
                            0
                        }),
                    ));
                    value(&gate)
                }),
            )
        })
        .collect();
    known.set([below[0].clone(), below[1].clone()]).unwrap();
    std::thread::sleep(Duration::from_millis(30));
    promise.complete(Out::Value(7));
    for job in &below {
        assert!(job.wait_until(Instant::now() + Duration::from_secs(20)), "both hang");
        assert_eq!(value(job), 7);
    }
    pool.shutdown();
    assert_eq!(told.load(Ordering::SeqCst), 1);
}

#[test]
fn the_last_thread_runs_what_a_set_of_handles_waits_for() {
    let pool = Pool::new(PoolOptions { workers: 1, threads_max: 1, ..PoolOptions::default() });
    let job = pool.submit(
        (),
        Run(move || {
            let mut set = CompletionQueue::new((0..20).map(|i| pool.submit((), Run(move || i))).collect());
            let mut sum = 0;
            while let Some((_, handle)) = set.next_until(None) {
                sum += value(&handle);
            }
            sum
        }),
    );
    assert!(job.wait_until(Instant::now() + Duration::from_secs(20)), "nobody runs them");
    assert_eq!(value(&job), 190);
    pool.shutdown();
}

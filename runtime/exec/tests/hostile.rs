//! Code of the user in awkward places: a `drop` of a future, of a panic's payload, of an actor; questions from within an
//! outcome's `drop`; mailboxes that are dropped, or used when all is over. Nobody hangs, nothing is left.
// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

use rayline_exec::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

const MANY: usize = if cfg!(miri) { 20 } else { 3000 };

/// The tests take turns, as they count the cells of the process.
static TURN: Mutex<()> = Mutex::new(());

/// Checks, at the end of a test, that no cell is left.
struct Clean(#[allow(dead_code)] MutexGuard<'static, ()>);

fn clean() -> Clean {
    std::panic::set_hook(Box::new(|info| {
        if !info.to_string().contains("on purpose") {
            eprintln!("{info}\n{}", std::backtrace::Backtrace::force_capture());
        }
    }));
    Clean(TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
}

impl Drop for Clean {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(live_cells().unwrap_or(0), 0, "cells are left");
        }
    }
}

/// Panics when it is dropped, wherever that is.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("on purpose, in drop");
        }
    }
}

/// Asks, when it is dropped, who runs it.
struct Asks(Arc<AtomicUsize>);

impl Drop for Asks {
    fn drop(&mut self) {
        let asked = Current::job().map_or(1, |job| 1 + job.name.len() + usize::from(job.cancelled));
        current_id();
        self.0.fetch_add(asked.min(1), Ordering::SeqCst);
    }
}

enum Out {
    Value(usize),
    Asks(#[allow(dead_code)] Asks),
    Panicked,
    Shutdown,
    Closed,
    Dropped,
}

impl Outcome for Out {
    fn from_fault(_: &'static str, fault: Fault) -> Self {
        match fault {
            Fault::Panicked(_) => Out::Panicked,
            Fault::Shutdown => Out::Shutdown,
            Fault::Closed(_) => Out::Closed,
            Fault::Dropped => Out::Dropped,
        }
    }
}

struct Run<F>(F);

impl<F: FnOnce() -> Out + Send + 'static> Function<()> for Run<F> {
    type Outcome = Out;
    const NAME: &'static str = "run";

    fn call(self, (): ()) -> Out {
        (self.0)()
    }
}

struct Name;

impl Named for Name {
    const NAME: &'static str = "name";
}

struct Ask<F>(F);

impl<S, F: FnOnce(&mut S) -> usize + Send + 'static> Method<S, ()> for Ask<F> {
    type Receiver = ByMut;
    type Outcome = Out;
    const NAME: &'static str = "ask";

    fn call(self, actor: &mut S, (): ()) -> Out {
        Out::Value((self.0)(actor))
    }
}

struct Hooks;

impl ActorHooks for Hooks {
    fn crashed(&self, _: &'static str, _: &str) {
        panic!("on purpose, in a hook");
    }

    fn stopped(&self) {
        panic!("on purpose, in a hook");
    }
}

/// A future that holds a bomb, and ends after a number of polls, or never.
struct Bombed(Option<usize>, #[allow(dead_code)] Bomb);

impl Future for Bombed {
    type Output = Out;

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Out> {
        match &mut self.0 {
            Some(0) => Poll::Ready(Out::Value(1)),
            Some(left) => {
                *left -= 1;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            None => {
                KEPT.lock().unwrap().push(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Wakers that nobody wakes.
static KEPT: Mutex<Vec<Waker>> = Mutex::new(Vec::new());

fn pool(workers: usize) -> Pool {
    Pool::new(PoolOptions { workers, threads_max: 16, ..PoolOptions::default() })
}

fn end(handle: &Handle<Out>) -> Result<&Out, Cancelled> {
    assert!(handle.wait_until(Instant::now() + Duration::from_secs(60)), "it never ends");
    handle.outcome().unwrap()
}

#[test]
fn a_future_may_panic_when_it_is_dropped() {
    let _clean = clean();
    let pool = pool(2);
    for polls in 0..3 {
        let handle = spawn::<Name, Out>(pool, Bombed(Some(polls), Bomb));
        assert!(matches!(end(&handle), Ok(Out::Value(1))));
    }
    let cancelled = spawn::<Name, Out>(pool, Bombed(None, Bomb));
    std::thread::sleep(Duration::from_millis(1));
    cancelled.cancel();
    assert!(end(&cancelled).is_err());
    let waits = spawn::<Name, Out>(pool, Bombed(None, Bomb));
    drop(spawn::<Name, Out>(pool, Bombed(None, Bomb)));
    std::thread::sleep(Duration::from_millis(1));
    pool.shutdown();
    assert!(end(&waits).is_err(), "a shutdown cancels it");
    let late = spawn::<Name, Out>(pool, Bombed(None, Bomb));
    assert!(matches!(end(&late), Ok(Out::Dropped)));
    KEPT.lock().unwrap().clear();
}

#[test]
fn what_a_job_panics_with_may_panic_when_it_is_dropped() {
    let _clean = clean();
    let pool = pool(1);
    let handle = pool.submit((), Run(|| std::panic::panic_any(Bomb)));
    assert!(matches!(end(&handle), Ok(Out::Panicked)));
    let handle = spawn::<Name, Out>(pool, async { std::panic::panic_any(Bomb) });
    assert!(matches!(end(&handle), Ok(Out::Panicked)));
    let handle = pool.submit((), Run(|| Out::Value(7)));
    assert!(matches!(end(&handle), Ok(Out::Value(7))));
    assert_eq!(pool.threads(), 1);
    pool.shutdown();
}

#[test]
fn an_outcome_may_ask_who_drops_it() {
    let _clean = clean();
    let pool = pool(2);
    let asked = Arc::new(AtomicUsize::new(0));
    for _ in 0..MANY {
        let asks = Asks(asked.clone());
        drop(pool.submit((), Run(move || Out::Asks(asks))));
    }
    let begin = Instant::now();
    while asked.load(Ordering::SeqCst) < MANY && begin.elapsed() < Duration::from_secs(60) {
        std::thread::yield_now();
    }
    pool.shutdown();
    assert_eq!(asked.load(Ordering::SeqCst), MANY);
}

#[test]
fn a_cancellation_may_meet_the_start() {
    let _clean = clean();
    let pool = pool(2);
    let mut ran = 0;
    for round in 0..MANY {
        let handle = pool.submit((), Run(|| Out::Value(1)));
        for _ in 0..round % 64 {
            std::hint::spin_loop();
        }
        handle.cancel();
        ran += usize::from(end(&handle).is_ok());
    }
    pool.shutdown();
    assert!(ran <= MANY);
}

#[test]
fn a_promise_outlives_the_handles_of_its_future() {
    let _clean = clean();
    let pool = pool(2);
    for _ in 0..MANY.min(500) {
        let (promise, handle) = promise::<Name, Out>();
        drop(handle);
        fulfil::<Name, Out>(pool, promise, async { Out::Value(1) });
    }
    pool.shutdown();
}

#[test]
fn a_mailbox_survives_its_actor_and_its_hooks() {
    let _clean = clean();
    let pool = pool(2);
    let mailbox = Mailbox::<Bomb>::new(pool, 1, Box::new(Hooks));
    mailbox.open(Bomb);
    assert!(matches!(end(&mailbox.send((), Ask(|_: &mut Bomb| 1))), Ok(Out::Value(1))));
    mailbox.stop();
    mailbox.open(Bomb);
    assert!(matches!(end(&mailbox.send((), Ask(|_: &mut Bomb| panic!("on purpose")))), Ok(Out::Panicked)));
    mailbox.open(Bomb);
    assert!(matches!(end(&mailbox.send((), Ask(|_: &mut Bomb| 2))), Ok(Out::Value(2))));
    mailbox.close(Arc::new(()));
    mailbox.open(Bomb);
    assert!(matches!(end(&mailbox.send((), Ask(|_: &mut Bomb| 3))), Ok(Out::Closed)));
    let second = Mailbox::<Bomb>::new(pool, 1, Box::new(Hooks));
    second.open(Bomb);
    drop(second);
    pool.shutdown();
}

#[test]
fn messages_of_a_mailbox_that_goes_end() {
    let _clean = clean();
    let pool = pool(2);
    let paused = Mailbox::<()>::new(pool, 1, Box::new(Hooks));
    let left: Vec<_> = (0..3).map(|_| paused.send((), Ask(|(): &mut ()| 1))).collect();
    std::thread::sleep(Duration::from_millis(1));
    drop(paused);
    assert!(left.iter().all(|message| matches!(end(message), Ok(Out::Dropped))));
    let open = Mailbox::<()>::new(pool, 1, Box::new(Hooks));
    open.open(());
    assert!(matches!(end(&open.send((), Ask(|(): &mut ()| 1))), Ok(Out::Value(1))));
    pool.shutdown();
    for _ in 0..3 {
        assert!(matches!(end(&open.send((), Ask(|(): &mut ()| 1))), Ok(Out::Shutdown)), "all is over");
    }
}

/// Says when it is dropped.
struct Tells(Arc<AtomicUsize>);

impl Drop for Tells {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn an_order_after_the_shutdown_is_carried_out() {
    let _clean = clean();
    let (pool, dropped) = (pool(2), Arc::new(AtomicUsize::new(0)));
    let [closed, stopped, paused] = [(); 3].map(|()| Mailbox::<Tells>::new(pool, 2, Box::new(Hooks)));
    for mailbox in [&closed, &stopped] {
        mailbox.open(Tells(dropped.clone()));
        assert!(matches!(end(&mailbox.send((), Ask(|_: &mut Tells| 1))), Ok(Out::Value(1))));
    }
    pool.shutdown();
    closed.close(Arc::new(()));
    stopped.stop();
    paused.open(Tells(dropped.clone()));
    paused.close(Arc::new(()));
    assert_eq!(dropped.load(Ordering::SeqCst), 3);
    assert!(matches!(end(&closed.send((), Ask(|_: &mut Tells| 1))), Ok(Out::Closed)));
}

#[test]
fn a_pool_without_workers_may_be_shut_down() {
    let _clean = clean();
    for _ in 0..3 {
        let pool = pool(4);
        let handles: Vec<_> = (0..4).map(|_| pool.submit((), Run(|| Out::Value(1)))).collect();
        assert!(handles.iter().all(|handle| end(handle).is_ok()));
        pool.set_workers(0);
        let queued = pool.submit((), Run(|| Out::Value(1)));
        std::thread::sleep(Duration::from_millis(2));
        pool.shutdown();
        assert!(matches!(end(&queued), Ok(Out::Shutdown | Out::Value(1))));
        pool.set_workers(usize::MAX);
        assert!(matches!(end(&pool.submit((), Run(|| Out::Value(1)))), Ok(Out::Shutdown)), "it stays closed");
    }
}

#[test]
fn threads_submit_while_the_pool_shuts_down() {
    let _clean = clean();
    for _ in 0..if cfg!(miri) { 2 } else { 100 } {
        let pool = pool(2);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(move || {
                    let handles: Vec<_> = (0..MANY / 10).map(|_| pool.submit((), Run(|| Out::Value(1)))).collect();
                    let all = handles.iter().all(|handle| matches!(end(handle), Ok(Out::Value(1) | Out::Shutdown)));
                    assert!(all);
                });
            }
            scope.spawn(move || {
                std::thread::yield_now();
                pool.shutdown();
            });
        });
        assert_eq!(pool.threads(), 0);
    }
}

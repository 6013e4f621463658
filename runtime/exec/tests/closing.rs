//! Methods that wait for messages of their own mailbox, when that is closed or its pool shut down: they go on.
// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

use rayline_exec::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A test that takes longer hangs.
const LONG: Duration = Duration::from_secs(10);

#[derive(Debug, PartialEq, Clone)]
enum Out {
    Got(Box<Out>),
    Value(usize),
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

struct Name;

impl Named for Name {
    const NAME: &'static str = "name";
}

struct Quiet;

impl ActorHooks for Quiet {
    fn crashed(&self, _: &'static str, _: &str) {}

    fn stopped(&self) {}
}

/// An actor without a state.
struct Actor;

struct Write<F>(F);

impl<A: Args, F: FnOnce() -> Out + Send + 'static> Method<Actor, A> for Write<F> {
    type Receiver = ByMut;
    type Outcome = Out;
    const NAME: &'static str = "write";

    fn call(self, _: &mut Actor, _: A) -> Out {
        (self.0)()
    }
}

struct Read<F>(F);

impl<F: FnOnce() -> Out + Send + 'static> Method<Actor, ()> for Read<F> {
    type Receiver = ByRef;
    type Outcome = Out;
    const NAME: &'static str = "read";

    fn call(self, _: &Actor, (): ()) -> Out {
        (self.0)()
    }
}

/// By `&mut`: sends a message to its own mailbox and awaits it.
struct Later(Mailbox<Actor>, Arc<AtomicUsize>);

impl AsyncMethod<Actor, ()> for Later {
    type Receiver = ByMut;
    type Outcome = Out;
    const NAME: &'static str = "later";

    fn call<'a>(self, _: <ByMut as Receiver>::Of<'a, Actor>, (): ()) -> BoxFuture<'a, Out> {
        Box::pin(async move {
            let message = write(&self.0);
            self.1.store(1, Ordering::SeqCst);
            message.done().await;
            got(&message)
        })
    }
}

fn pool() -> Pool {
    Pool::new(PoolOptions { workers: 2, threads_max: 8, ..PoolOptions::default() })
}

fn opened(pool: Pool, concurrency: usize) -> Mailbox<Actor> {
    let mailbox = Mailbox::new(pool, concurrency, Box::new(Quiet));
    mailbox.open(Actor);
    mailbox
}

fn write(mailbox: &Mailbox<Actor>) -> Handle<Out> {
    mailbox.send((), Write(|| Out::Value(1)))
}

fn got(message: &Handle<Out>) -> Out {
    Out::Got(Box::new(message.outcome().unwrap().unwrap().clone()))
}

/// Sends a message to the method's own mailbox, says so, and waits for it.
fn waits_for_own(mailbox: &Mailbox<Actor>, begun: &AtomicUsize) -> Out {
    let message = write(mailbox);
    begun.store(1, Ordering::SeqCst);
    message.wait();
    got(&message)
}

fn until(mark: &AtomicUsize) {
    let begin = Instant::now();
    while mark.load(Ordering::SeqCst) == 0 {
        assert!(begin.elapsed() < LONG, "it doesn't begin");
        std::thread::yield_now();
    }
    // What it says first, it waits for soon after.
    std::thread::sleep(Duration::from_millis(5));
}

fn end(handle: &Handle<Out>) -> Out {
    assert!(handle.wait_until(Instant::now() + LONG), "it never ends");
    handle.outcome().unwrap().unwrap().clone()
}

/// Shuts a pool down on another thread, and fails where that hangs.
fn shut_down(pool: Pool) {
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        pool.shutdown();
        let _ = done.send(());
    });
    is_done.recv_timeout(LONG).expect("the shutdown hangs");
}

type Begins = Arc<AtomicUsize>;

/// Every kind of method that waits for its own mailbox.
fn start_all_kinds(pool: Pool) -> Vec<(Mailbox<Actor>, Handle<Out>)> {
    let start = |concurrency, send: fn(&Mailbox<Actor>, Begins) -> Handle<Out>| {
        let (mailbox, begun) = (opened(pool, concurrency), Begins::default());
        let waits = send(&mailbox, begun.clone());
        until(&begun);
        (mailbox, waits)
    };
    vec![
        start(1, |mailbox, begun| {
            let own = mailbox.clone();
            mailbox.send((), Write(move || waits_for_own(&own, &begun)))
        }),
        start(2, |mailbox, begun| {
            let own = mailbox.clone();
            mailbox.send((), Read(move || waits_for_own(&own, &begun)))
        }),
        start(1, |mailbox, begun| mailbox.send_async((), Later(mailbox.clone(), begun))),
    ]
}

#[test]
fn a_method_that_waits_for_its_own_mailbox_goes_on_when_that_is_closed() {
    let pool = pool();
    let all = start_all_kinds(pool);
    for (mailbox, waits) in &all {
        mailbox.close(Arc::new(()));
        assert_eq!(end(waits), Out::Got(Box::new(Out::Closed)));
        assert_eq!(end(&write(mailbox)), Out::Closed);
    }
    shut_down(pool);
}

#[test]
fn a_method_that_waits_for_its_own_mailbox_does_not_hang_a_shutdown() {
    let pool = pool();
    let all = start_all_kinds(pool);
    shut_down(pool);
    for (mailbox, waits) in &all[..2] {
        assert_eq!(end(waits), Out::Got(Box::new(Out::Shutdown)));
        assert_eq!(end(&write(mailbox)), Out::Shutdown);
    }
    // The future was cancelled.
    assert_eq!(all[2].1.outcome(), Some(Err(Cancelled)));
}

#[test]
fn a_method_may_send_to_its_own_mailbox_after_that_was_closed() {
    let pool = pool();
    for by_pool in [false, true] {
        let (mailbox, begun, closed) = (opened(pool, 1), Begins::default(), Begins::default());
        let (own, says, hears) = (mailbox.clone(), begun.clone(), closed.clone());
        let waits = mailbox.send(
            (),
            Write(move || {
                says.store(1, Ordering::SeqCst);
                until(&hears);
                let (promise, later) = promise::<Name, Out>();
                let behind = own.send((Awaited::new(later), ()), Write(|| Out::Value(2)));
                let message = write(&own);
                message.wait();
                let refused = got(&message);
                promise.complete(Out::Value(0));
                behind.wait();
                assert_eq!(got(&behind), refused);
                refused
            }),
        );
        until(&begun);
        if by_pool {
            let opens = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(20));
                closed.store(1, Ordering::SeqCst);
            });
            shut_down(pool);
            opens.join().unwrap();
            assert_eq!(end(&waits), Out::Got(Box::new(Out::Shutdown)));
        } else {
            mailbox.close(Arc::new(()));
            closed.store(1, Ordering::SeqCst);
            assert_eq!(end(&waits), Out::Got(Box::new(Out::Closed)));
        }
    }
}

#[test]
fn a_paused_mailbox_keeps_no_message_through_a_shutdown() {
    let pool = pool();
    let paused = Mailbox::<Actor>::new(pool, 2, Box::new(Quiet));
    let left: Vec<_> = (0..3).map(|_| write(&paused)).collect();
    std::thread::sleep(Duration::from_millis(5));
    shut_down(pool);
    let late = Mailbox::<Actor>::new(pool, 2, Box::new(Quiet));
    for message in left.iter().chain([&write(&paused), &write(&late)]) {
        assert_eq!(end(message), Out::Shutdown);
    }
    paused.close(Arc::new(()));
    assert_eq!(end(&write(&paused)), Out::Closed);
}

#[test]
fn what_a_crash_left_waiting_ends_with_the_pool() {
    let pool = pool();
    let (mailbox, begun, leave) = (opened(pool, 2), Begins::default(), Begins::default());
    let (says, hears) = (begun.clone(), leave.clone());
    let crash = mailbox.send(
        (),
        Read(move || {
            says.store(1, Ordering::SeqCst);
            until(&hears);
            std::panic::resume_unwind(Box::new("on purpose"))
        }),
    );
    until(&begun);
    // The runner has put it aside, as it needs the actor alone.
    let aside = write(&mailbox);
    let behind = write(&mailbox);
    std::thread::sleep(Duration::from_millis(5));
    leave.store(1, Ordering::SeqCst);
    assert_eq!(end(&crash), Out::Panicked);
    std::thread::sleep(Duration::from_millis(5));
    assert!(!aside.is_done(), "the crash paused the mailbox");
    shut_down(pool);
    assert_eq!((end(&aside), end(&behind)), (Out::Shutdown, Out::Shutdown));
}

/// Closes while two callers send: of each caller, what runs is what it sent first.
#[test]
fn a_close_refuses_the_rest_of_what_each_caller_sent() {
    let rounds = if cfg!(miri) { 3 } else { 300 };
    let pool = pool();
    for round in 0..rounds {
        let mailbox = opened(pool, 1 + round % 2);
        let all: Vec<Vec<_>> = std::thread::scope(|scope| {
            let senders: Vec<_> =
                (0..2).map(|_| scope.spawn(|| (0..50).map(|_| write(&mailbox)).collect::<Vec<_>>())).collect();
            (0..round % 64).for_each(|_| std::thread::yield_now());
            mailbox.close(Arc::new(()));
            senders.into_iter().map(|sender| sender.join().unwrap()).collect()
        });
        for sent in all {
            let ends: Vec<_> = sent.iter().map(end).collect();
            let ran = ends.iter().take_while(|end| **end == Out::Value(1)).count();
            assert!(ends[ran..].iter().all(|end| *end == Out::Closed), "refused before one that ran: {ends:?}");
        }
    }
    shut_down(pool);
}

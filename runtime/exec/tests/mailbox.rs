//! Mailboxes at the level of the executor: order, exclusion, overlap, orders, ends, and methods that await.
// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

use rayline_exec::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// How much of everything; Miri is some hundred times slower.
const MANY: usize = if cfg!(miri) { 6 } else { 2000 };

#[derive(Debug, PartialEq, Clone)]
enum Out {
    Value(usize),
    Panicked,
    Shutdown,
    Closed(&'static str),
    Dropped,
}

impl Outcome for Out {
    fn from_fault(_: &'static str, fault: Fault) -> Self {
        match fault {
            Fault::Panicked(_) => Out::Panicked,
            Fault::Shutdown => Out::Shutdown,
            Fault::Closed(reason) => Out::Closed(reason.downcast_ref().copied().unwrap_or("another reason")),
            Fault::Dropped => Out::Dropped,
        }
    }
}

/// An actor that notices overlapping uses, and counts how often it lives.
#[derive(Default)]
struct Log {
    lines: Vec<usize>,
    lives: Option<Arc<AtomicUsize>>,
    inside: Arc<AtomicUsize>,
    most_inside: AtomicUsize,
}

impl Log {
    fn living(lives: &Arc<AtomicUsize>) -> Self {
        lives.fetch_add(1, Ordering::SeqCst);
        let mut log = Self::default();
        log.lives = Some(lives.clone());
        log
    }

    fn enter(&self) -> Inside {
        let now = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_inside.fetch_max(now, Ordering::SeqCst);
        Inside(self.inside.clone(), now)
    }
}

/// A method that is inside the actor; `1` is how many were with it.
struct Inside(Arc<AtomicUsize>, usize);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        assert_eq!(self.inside.load(Ordering::SeqCst), 0, "dropped while a method runs");
        if let Some(lives) = &self.lives {
            lives.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// A method by `&mut`.
struct Write<F>(F);

impl<A: Args, F: FnOnce(&mut Log, A) -> usize + Send + 'static> Method<Log, A> for Write<F> {
    type Receiver = ByMut;
    type Outcome = Out;
    const NAME: &'static str = "write";

    fn call(self, log: &mut Log, args: A) -> Out {
        let inside = log.enter();
        assert_eq!(inside.1, 1, "a method by `&mut` isn't alone");
        Out::Value((self.0)(log, args))
    }
}

/// A method by `&`.
struct Read<F>(F);

impl<F: FnOnce(&Log) -> usize + Send + 'static> Method<Log, ()> for Read<F> {
    type Receiver = ByRef;
    type Outcome = Out;
    const NAME: &'static str = "read";

    fn call(self, log: &Log, (): ()) -> Out {
        let _inside = log.enter();
        Out::Value((self.0)(log))
    }
}

/// Gives way to other jobs `times` times.
struct GiveWay(usize);

impl Future for GiveWay {
    type Output = ();

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// An asynchronous method by `&mut` that logs `1` before and `2` after its await points.
struct Later(usize);

impl AsyncMethod<Log, ()> for Later {
    type Receiver = ByMut;
    type Outcome = Out;
    const NAME: &'static str = "later";

    fn call<'a>(self, log: <ByMut as Receiver>::Of<'a, Log>, (): ()) -> BoxFuture<'a, Out> {
        Box::pin(async move {
            log.lines.push(1);
            GiveWay(self.0).await;
            log.lines.push(2);
            Out::Value(log.lines.len())
        })
    }
}

/// An asynchronous method by `&` that is inside the actor while it waits for `gate`.
struct Peek(Handle<Out>);

impl AsyncMethod<Log, ()> for Peek {
    type Receiver = ByRef;
    type Outcome = Out;
    const NAME: &'static str = "peek";

    fn call<'a>(self, log: <ByRef as Receiver>::Of<'a, Log>, (): ()) -> BoxFuture<'a, Out> {
        Box::pin(async move {
            let inside = log.enter();
            self.0.done().await;
            Out::Value(inside.1)
        })
    }
}

struct AsyncPanic;

impl AsyncMethod<Log, ()> for AsyncPanic {
    type Receiver = ByMut;
    type Outcome = Out;
    const NAME: &'static str = "async_panic";

    fn call<'a>(self, _: <ByMut as Receiver>::Of<'a, Log>, (): ()) -> BoxFuture<'a, Out> {
        Box::pin(async {
            GiveWay(1).await;
            panic!("on purpose")
        })
    }
}

/// What the mailbox told of its actor.
#[derive(Default)]
struct Told {
    crashed: AtomicUsize,
    stopped: AtomicUsize,
}

struct Hooks(Arc<Told>);

impl ActorHooks for Hooks {
    fn crashed(&self, _: &'static str, _: &str) {
        self.0.crashed.fetch_add(1, Ordering::SeqCst);
    }

    fn stopped(&self) {
        self.0.stopped.fetch_add(1, Ordering::SeqCst);
    }
}

struct Gate;

impl Named for Gate {
    const NAME: &'static str = "gate";
}

fn pool(workers: usize) -> Pool {
    Pool::new(PoolOptions { workers, threads_max: 64, ..PoolOptions::default() })
}

fn mailbox(pool: Pool, concurrency: usize) -> (Mailbox<Log>, Arc<Told>) {
    let told = Arc::new(Told::default());
    (Mailbox::new(pool, concurrency, Box::new(Hooks(told.clone()))), told)
}

fn opened(pool: Pool, concurrency: usize) -> Mailbox<Log> {
    let (mailbox, _) = mailbox(pool, concurrency);
    mailbox.open(Log::default());
    mailbox
}

fn ended(handle: &Handle<Out>) -> Out {
    assert!(handle.wait_until(Instant::now() + Duration::from_secs(60)), "it never ends");
    handle.outcome().unwrap().unwrap().clone()
}

fn push(mailbox: &Mailbox<Log>, line: usize) -> Handle<Out> {
    mailbox.send(
        (),
        Write(move |log: &mut Log, ()| {
            log.lines.push(line);
            log.lines.len()
        }),
    )
}

fn lines(mailbox: &Mailbox<Log>) -> Vec<usize> {
    let copy = Arc::new(std::sync::Mutex::new(Vec::new()));
    let into = copy.clone();
    let read = mailbox.send(
        (),
        Read(move |log: &Log| {
            into.lock().unwrap().clone_from(&log.lines);
            0
        }),
    );
    assert_eq!(ended(&read), Out::Value(0));
    std::mem::take(&mut *copy.lock().unwrap())
}

#[test]
fn messages_of_each_caller_stay_in_order() {
    let pool = pool(2);
    let mailbox = opened(pool, 1);
    std::thread::scope(|scope| {
        for caller in 0..3 {
            let mailbox = &mailbox;
            scope.spawn(move || {
                for n in 0..MANY {
                    if n % 50 == 3 {
                        // Its argument comes later: what this caller sends next stays behind it.
                        let (promise, gate) = promise::<Gate, Out>();
                        let line = move |log: &mut Log, _| {
                            log.lines.push(caller * MANY + n);
                            0
                        };
                        drop(mailbox.send((Awaited::new(gate), ()), Write(line)));
                        drop(push(mailbox, caller * MANY + n));
                        promise.complete(Out::Value(0));
                    } else {
                        drop(push(mailbox, caller * MANY + n));
                    }
                }
            });
        }
    });
    let lines = lines(&mailbox);
    for caller in 0..3 {
        let own: Vec<_> = lines.iter().filter(|line| **line / MANY == caller).collect();
        assert!(own.is_sorted(), "messages of caller {caller} changed places");
        assert_eq!(own.len(), MANY + (0..MANY).filter(|n| n % 50 == 3).count());
    }
    pool.shutdown();
}

#[test]
fn methods_by_reference_overlap_up_to_the_bound() {
    let pool = pool(4);
    let mailbox = opened(pool, 3);
    // Each stays until three have been inside at once.
    let read = |log: &Log| {
        let begin = Instant::now();
        while log.most_inside.load(Ordering::SeqCst) < 3 && begin.elapsed() < Duration::from_secs(20) {
            std::thread::yield_now();
        }
        log.lines.len()
    };
    let reads: Vec<_> = (0..12).map(|_| mailbox.send((), Read(read))).collect();
    let write = push(&mailbox, 1);
    assert!(reads.iter().all(|read| ended(read) == Out::Value(0)), "what came before the write doesn't see it");
    assert_eq!(ended(&write), Out::Value(1));
    let most = mailbox.send((), Write(|log: &mut Log, ()| *log.most_inside.get_mut()));
    assert_eq!(ended(&most), Out::Value(3));
    pool.shutdown();
}

#[test]
fn asynchronous_methods_are_alone_or_overlap() {
    let pool = pool(2);
    let mailbox = opened(pool, 3);
    let later = mailbox.send_async((), Later(5));
    let (promise, gate) = promise::<Gate, Out>();
    let peeks: Vec<_> = (0..5).map(|_| mailbox.send_async((), Peek(gate.clone()))).collect();
    let last = push(&mailbox, 3);
    assert_eq!(ended(&later), Out::Value(2));
    std::thread::sleep(Duration::from_millis(5));
    assert!(!last.is_done(), "a method by `&mut` waits for those by `&`");
    promise.complete(Out::Value(0));
    assert!(peeks.iter().all(|peek| matches!(ended(peek), Out::Value(1..=3))));
    ended(&last);
    assert_eq!(lines(&mailbox), [1, 2, 3]);
    pool.shutdown();
}

#[test]
fn nobody_need_wait_for_an_asynchronous_method() {
    let pool = pool(2);
    let mailbox = opened(pool, 2);
    for _ in 0..MANY {
        drop(mailbox.send_async((), Later(1)));
    }
    assert_eq!(lines(&mailbox).len(), 2 * MANY);
    pool.shutdown();
    drop(mailbox);
}

#[test]
fn a_crash_pauses_until_the_mailbox_is_opened_anew() {
    let pool = pool(2);
    let (mailbox, told) = mailbox(pool, 2);
    let lives = Arc::new(AtomicUsize::new(0));
    let live = || Log::living(&lives);
    let before = push(&mailbox, 1);
    mailbox.open(live());
    assert_eq!(ended(&before), Out::Value(1));
    let crash = mailbox.send((), Write(|_: &mut Log, ()| panic!("on purpose")));
    let after = push(&mailbox, 2);
    assert_eq!(ended(&crash), Out::Panicked);
    std::thread::sleep(Duration::from_millis(2));
    assert!(!after.is_done() && told.crashed.load(Ordering::SeqCst) == 1);
    mailbox.open(live());
    assert_eq!(ended(&after), Out::Value(1), "a new actor");
    let crash = mailbox.send_async((), AsyncPanic);
    let after = push(&mailbox, 3);
    assert_eq!(ended(&crash), Out::Panicked);
    std::thread::sleep(Duration::from_millis(2));
    assert!(!after.is_done() && told.crashed.load(Ordering::SeqCst) == 2);
    mailbox.stop();
    mailbox.close(Arc::new("over"));
    mailbox.close(Arc::new("a second reason"));
    assert_eq!(ended(&after), Out::Closed("over"));
    assert_eq!(ended(&push(&mailbox, 4)), Out::Closed("over"));
    mailbox.open(live());
    assert_eq!(ended(&push(&mailbox, 5)), Out::Closed("over"));
    pool.shutdown();
    drop(mailbox);
    assert_eq!((lives.load(Ordering::SeqCst), told.stopped.load(Ordering::SeqCst)), (0, 1));
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below
    }
}

/// Sends messages of every kind, some of which are dropped, cancelled, or wait for others.
fn send_some(mailbox: &Mailbox<Log>, mut random: Random, messages: usize) -> Vec<Handle<Out>> {
    let (promise, gate) = promise::<Gate, Out>();
    let mut sent: Vec<Handle<Out>> = vec![gate.clone()];
    for n in 0..messages {
        let handle = match random.next(7) {
            0 => mailbox.send_async((), Later(random.next(3) as usize)),
            1 => mailbox.send_async((), Peek(sent[random.next(sent.len() as u64) as usize].clone())),
            2 => mailbox.send((), Read(|log: &Log| log.lines.len())),
            3 => {
                let earlier = sent[random.next(sent.len() as u64) as usize].clone();
                mailbox.send((Awaited::new(earlier), ()), Write(move |_: &mut Log, _| n))
            }
            4 if random.next(20) == 0 => mailbox.send((), Write(|_: &mut Log, ()| panic!("on purpose"))),
            5 if random.next(20) == 0 => mailbox.send_async((), AsyncPanic),
            _ => push(mailbox, n),
        };
        match random.next(8) {
            0 => handle.cancel(),
            1 => continue,
            _ => {}
        }
        sent.push(handle);
    }
    promise.complete(Out::Value(0));
    sent
}

fn random_life(seed: u64) {
    let mut random = Random(seed);
    let pool = pool(1 + random.next(3) as usize);
    let (mailbox, _) = mailbox(pool, 1 + random.next(3) as usize);
    let lives = Arc::new(AtomicUsize::new(0));
    let messages = if cfg!(miri) { 10 } else { 200 };
    let sent: Vec<_> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let (mailbox, random) = (&mailbox, Random(random.next(u64::MAX)));
                scope.spawn(move || send_some(mailbox, random, messages))
            })
            .collect();
        for _ in 0..5 {
            std::thread::sleep(Duration::from_micros(random.next(300)));
            mailbox.open(Log::living(&lives));
            if random.next(4) == 0 {
                mailbox.stop();
            }
        }
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    if random.next(2) == 0 {
        mailbox.open(Log::living(&lives));
    }
    mailbox.close(Arc::new("over"));
    for handle in &sent {
        assert!(handle.wait_until(Instant::now() + Duration::from_secs(60)), "a message never ends: seed {seed}");
    }
    pool.shutdown();
    drop((sent, mailbox));
    assert_eq!(lives.load(Ordering::SeqCst), 0, "actors are left: seed {seed}");
}

#[test]
fn random_lives_end_and_leave_nothing() {
    std::panic::set_hook(Box::new(|info| {
        if !info.to_string().contains("on purpose") {
            eprintln!("{info}");
        }
    }));
    (1..=if cfg!(miri) { 3 } else { 200 }).for_each(random_life);
}

/// A method that sends another message to its own actor, then waits for it; says so through `begun` in between.
fn send_to_self(own: &Mailbox<Log>, begun: &Arc<AtomicUsize>, late: bool) -> impl FnOnce() -> usize + Send + 'static {
    let (own, begun) = (own.clone(), begun.clone());
    move || {
        let early = (!late).then(|| push(&own, 9));
        begun.store(1, Ordering::SeqCst);
        if late {
            // Not before the mailbox is closed.
            std::thread::sleep(Duration::from_millis(30));
        }
        let message = early.unwrap_or_else(|| push(&own, 9));
        message.wait().unwrap();
        match message.outcome().unwrap().unwrap() {
            Out::Closed("over") => 1,
            Out::Shutdown => 2,
            other => panic!("unexpected: {other:?}"),
        }
    }
}

fn begun(begun: &AtomicUsize) {
    while begun.swap(0, Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
}

#[test]
fn a_method_that_waits_for_its_own_mailbox_is_told_of_the_close() {
    for (late, by_ref) in [(false, false), (true, false), (false, true), (true, true)] {
        let (pool, flag) = (pool(2), Arc::new(AtomicUsize::new(0)));
        let mailbox = opened(pool, 2);
        let method = send_to_self(&mailbox, &flag, late);
        let waits = if by_ref {
            mailbox.send((), Read(move |_: &Log| method()))
        } else {
            mailbox.send((), Write(move |_: &mut Log, ()| method()))
        };
        begun(&flag);
        mailbox.close(Arc::new("over"));
        assert_eq!(ended(&waits), Out::Value(1), "late: {late}, by reference: {by_ref}");
        pool.shutdown();
    }
}

#[test]
fn a_method_that_waits_for_its_own_mailbox_is_told_of_the_shutdown() {
    for late in [false, true] {
        let (pool, flag) = (pool(2), Arc::new(AtomicUsize::new(0)));
        let mailbox = opened(pool, 1);
        let method = send_to_self(&mailbox, &flag, late);
        let waits = mailbox.send((), Write(move |_: &mut Log, ()| method()));
        begun(&flag);
        let ends = std::thread::spawn(move || pool.shutdown());
        assert_eq!(ended(&waits), Out::Value(2), "late: {late}");
        ends.join().unwrap();
    }
}

#[test]
fn a_message_behind_one_without_its_argument_is_refused_at_once() {
    let pool = pool(2);
    let mailbox = opened(pool, 1);
    let (promise, gate) = promise::<Gate, Out>();
    let first = mailbox.send((Awaited::new(gate), ()), Write(|_: &mut Log, _| 1));
    let second = push(&mailbox, 2);
    mailbox.close(Arc::new("over"));
    assert_eq!(ended(&second), Out::Closed("over"));
    assert_eq!(ended(&push(&mailbox, 3)), Out::Closed("over"));
    assert!(!first.is_done());
    promise.complete(Out::Value(0));
    assert_eq!(ended(&first), Out::Closed("over"));
    pool.shutdown();
}

#[test]
fn a_shutdown_refuses_what_waits_in_paused_mailboxes() {
    let pool = pool(2);
    let (paused, _) = mailbox(pool, 1);
    let left: Vec<_> = (0..3).map(|line| push(&paused, line)).collect();
    // Its runner blocks.
    std::thread::sleep(Duration::from_millis(5));
    pool.shutdown();
    assert!(left.iter().all(|message| ended(message) == Out::Shutdown));
    let (late, _) = mailbox(pool, 1);
    assert_eq!(ended(&push(&paused, 4)), Out::Shutdown);
    assert_eq!(ended(&push(&late, 5)), Out::Shutdown);
}

#[test]
fn a_busy_mailbox_gives_way_to_what_is_queued() {
    let pool = pool(1);
    let mailbox = opened(pool, 1);
    assert_eq!(ended(&push(&mailbox, 0)), Out::Value(1));
    let ran = Arc::new(AtomicUsize::new(0));
    let (own, counter) = (mailbox.clone(), ran.clone());
    let start = pool.submit(
        (),
        Job(move || {
            // Below the mailbox's runner on this worker's deque.
            let other = pool.submit(
                (),
                Job({
                    let counter = counter.clone();
                    move || counter.load(Ordering::SeqCst)
                }),
            );
            for _ in 0..MANY {
                let counter = counter.clone();
                let count = move |_: &mut Log, ()| counter.fetch_add(1, Ordering::SeqCst);
                drop(own.send((), Write(count)));
            }
            KEPT.lock().unwrap().push(other);
            0
        }),
    );
    assert_eq!(ended(&start), Out::Value(0));
    let other = KEPT.lock().unwrap().pop().unwrap();
    let Out::Value(before) = ended(&other) else { panic!("it runs") };
    assert!(before <= 128, "{before} messages ran before it");
    lines(&mailbox);
    assert_eq!(ran.load(Ordering::SeqCst), MANY);
    pool.shutdown();
}

static KEPT: std::sync::Mutex<Vec<Handle<Out>>> = std::sync::Mutex::new(Vec::new());

/// A task.
struct Job<F>(F);

impl<F: FnOnce() -> usize + Send + 'static> Function<()> for Job<F> {
    type Outcome = Out;
    const NAME: &'static str = "job";

    fn call(self, (): ()) -> Out {
        Out::Value((self.0)())
    }
}

#[test]
fn what_waits_on_top_of_a_method_for_its_mailbox_is_told_so() {
    let pool = Pool::new(PoolOptions { workers: 1, threads_max: 1, ..PoolOptions::default() });
    let mailbox = opened(pool, 1);
    let (promise, gate) = promise::<Gate, Out>();
    let method = mailbox.send(
        (),
        Write(move |_: &mut Log, ()| {
            gate.wait().unwrap();
            1
        }),
    );
    std::thread::sleep(Duration::from_millis(5));
    let own = mailbox.clone();
    let on_top = pool.submit((), Job(move || push(&own, 1).wait().unwrap_err().threads_max));
    assert_eq!(ended(&on_top), Out::Value(1));
    promise.complete(Out::Value(0));
    assert_eq!(ended(&method), Out::Value(1));
    assert_eq!(lines(&mailbox), [1], "its message is there, and runs later");
    pool.shutdown();
}

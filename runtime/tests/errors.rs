//! What errors say, and what can be found in them.
// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

mod common;

use common::{LONG, eventually};
use rayline::prelude::*;
use rayline::{Config, ErrorKind, init};
use std::error::Error as _;
use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

#[derive(Debug, PartialEq)]
struct Diverged(u32);

impl fmt::Display for Diverged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "diverged at step {}", self.0)
    }
}

impl std::error::Error for Diverged {}

#[task]
fn train(steps: u32) -> Result<u32, Diverged> {
    if steps > 10 { Err(Diverged(steps)) } else { Ok(steps) }
}

/// Hands on what another task failed with.
#[task(name = "outer loop")]
fn train_within(steps: u32) -> Result<u32, Error> {
    Ok(train::remote(steps).get_timeout(LONG)? + 1)
}

#[task]
fn plus(a: u32, b: &u32) -> u32 {
    a + b
}

#[task]
fn text(x: u32) -> Result<u32, String> {
    Err(format!("no luck with {x}"))
}

#[task]
fn boxed(x: u32) -> Result<u32, Box<dyn std::error::Error + Send + Sync>> {
    Err(Box::new(Diverged(x)))
}

#[task]
fn odd_panic() {
    std::panic::panic_any(7)
}

#[task]
fn index(values: &Vec<u32>, index: usize) -> u32 {
    values[index]
}

#[task]
async fn panics_later(ms: u64) -> u64 {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    panic!("after {ms} ms")
}

#[task]
async fn never() -> u32 {
    tokio::time::sleep(Duration::from_secs(3600)).await;
    0
}

#[task(retries = 2, retry_on(panic))]
fn always_panics() -> u32 {
    panic!("attempt {}", context().attempt())
}

#[task(returns = 2)]
fn halves(x: u32) -> Result<(u32, u32), Diverged> {
    if x > 10 { Err(Diverged(x)) } else { Ok((x / 2, x - x / 2)) }
}

fn error<T: Clone + Send + Sync + 'static>(object: &ObjectRef<T>) -> Error {
    start();
    object.get_timeout(LONG).err().expect("it fails")
}

fn start() {
    static RUNTIME: LazyLock<rayline::Runtime> =
        LazyLock::new(|| rayline::init_with(Config::default().cpus(2)).unwrap());
    LazyLock::force(&RUNTIME);
}

/// The texts of an error and its sources, from the outermost.
fn chain(error: &Error) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        texts.push(error.to_string());
        source = error.source();
    }
    texts
}

#[test]
fn an_error_keeps_its_sources() {
    start();
    let failed = error(&train::remote(11));
    assert_eq!(chain(&failed), ["errors::train failed: diverged at step 11", "diverged at step 11"]);
    assert_eq!(failed.task(), Some("errors::train"));
    assert_eq!(failed.kind(), &ErrorKind::Failed { attempt: 1 });
    assert_eq!(format!("{failed:?}"), failed.to_string(), "`main` prints it so");

    let dependent = error(&plus::remote(plus::remote(1, train::remote(12)), 3));
    assert_eq!(dependent.downcast_ref::<Diverged>(), Some(&Diverged(12)));
    assert_eq!(dependent.root().to_string(), "errors::train failed: diverged at step 12");
    assert_eq!(chain(&dependent).len(), 4, "two that depend, one that failed, its error: {:?}", chain(&dependent));
    assert_eq!(dependent.kind(), &ErrorKind::Argument);
    assert!(dependent.downcast_ref::<std::num::ParseIntError>().is_none());
}

#[test]
fn an_error_that_is_handed_on_is_still_found() {
    start();
    let outer = error(&plus::remote(1, train_within::remote(13)));
    assert_eq!(outer.downcast_ref::<Diverged>(), Some(&Diverged(13)));
    assert_eq!(outer.root().task(), Some("errors::train"));
    assert_eq!(
        outer.to_string(),
        "errors::plus didn't run, as an argument failed: outer loop failed: errors::train failed: diverged at step 13"
    );
}

#[test]
fn errors_of_any_type_are_kept() {
    start();
    assert_eq!(error(&text::remote(3)).to_string(), "errors::text failed: no luck with 3");
    assert_eq!(error(&boxed::remote(3)).downcast_ref::<Diverged>(), Some(&Diverged(3)));
    let (a, b) = halves::remote(20);
    assert_eq!(error(&a).downcast_ref::<Diverged>(), error(&b).downcast_ref::<Diverged>());
    let (a, b) = halves::remote(7);
    assert_eq!((a.get_timeout(LONG).unwrap(), b.get_timeout(LONG).unwrap()), (3, 4));
}

#[test]
fn panics_are_errors_with_their_message() {
    start();
    assert_eq!(error(&odd_panic::remote()).to_string(), "errors::odd_panic panicked: a panic without a message");
    let out_of_bounds = error(&index::remote(vec![1, 2], 5));
    assert!(out_of_bounds.to_string().contains("index out of bounds: the len is 2"), "{out_of_bounds}");
    let later = error(&panics_later::remote(2));
    assert!(later.is_panic());
    assert_eq!(later.to_string(), "errors::panics_later panicked: after 2 ms");
    let tries = error(&always_panics::remote());
    assert_eq!(tries.kind(), &ErrorKind::Panicked { message: "attempt 3".into(), attempt: 3 });
    assert_eq!(tries.to_string(), "errors::always_panics panicked in attempt 3: attempt 3");
    assert!(error(&plus::remote(always_panics::remote(), 1)).is_panic());
}

#[test]
fn what_was_cancelled_or_late_says_so() {
    start();
    let pending = never::remote();
    let late = pending.get_timeout(Duration::from_millis(3)).unwrap_err();
    assert!(late.is_timeout() && !late.is_cancelled());
    assert_eq!(late.to_string(), "errors::never isn't done after 3ms");
    let dependent = plus::remote(&pending, 1);
    pending.cancel();
    let cancelled = error(&dependent);
    assert!(cancelled.is_cancelled());
    assert_eq!(cancelled.to_string(), "errors::plus didn't run, as an argument failed: errors::never was cancelled");
}

#[test]
fn the_longest_wait_has_no_end() {
    start();
    assert_eq!(train::remote(1).get_timeout(Duration::MAX).unwrap(), 1);
    let (ready, late) = wait(vec![train::remote(1), train::remote(2)], 2, Some(Duration::MAX));
    assert_eq!((ready.len(), late.len()), (2, 0));
    assert!(as_completed(ready).next_timeout(Duration::MAX).is_some());
    let group = PlacementGroup::reserve(Strategy::Pack, [Bundle::cpu(1)]).unwrap();
    assert!(group.ready(Some(Duration::MAX)).unwrap());
}

#[derive(Actor)]
struct Fragile {
    steps: u32,
}

#[methods]
impl Fragile {
    pub fn new(steps: u32) -> Result<Self, Diverged> {
        if steps > 10 { Err(Diverged(steps)) } else { Ok(Self { steps }) }
    }

    pub fn steps(&self) -> u32 {
        self.steps
    }

    pub fn step(&mut self) -> Result<u32, Diverged> {
        self.steps += 1;
        if self.steps > 10 { Err(Diverged(self.steps)) } else { Ok(self.steps) }
    }

    pub fn crash(&mut self) {
        panic!("crashed after {} steps", self.steps)
    }
}

#[derive(Actor)]
struct Other;

#[methods]
impl Other {
    pub fn new() -> Self {
        Self
    }
}

#[test]
fn an_actor_that_cannot_be_says_why() {
    start();
    let stillborn = error(&Fragile::remote(11).steps());
    assert!(matches!(stillborn.kind(), ErrorKind::ActorDied { .. }));
    assert_eq!(stillborn.downcast_ref::<Diverged>(), Some(&Diverged(11)));
    assert_eq!(
        stillborn.to_string(),
        "errors::Fragile::steps can't run, as its actor is dead: its constructor failed: errors::Fragile failed: \
         diverged at step 11"
    );
    let dependent = error(&Fragile::remote(train::remote(12)).steps());
    assert_eq!(dependent.downcast_ref::<Diverged>(), Some(&Diverged(12)));
    let infeasible = error(&Fragile::create(1).gpu(4).remote().steps());
    assert!(infeasible.to_string().contains("gpu: 4"), "{infeasible}");
}

#[test]
fn an_actor_that_died_says_how() {
    start();
    let fragile = Fragile::remote(10);
    let failed = error(&fragile.step());
    assert_eq!(failed.to_string(), "errors::Fragile::step failed: diverged at step 11");
    assert_eq!(fragile.steps().get_timeout(LONG).unwrap(), 11, "an `Err` isn't a crash");
    assert!(error(&fragile.crash()).is_panic());
    let dead = error(&fragile.steps());
    assert!(matches!(dead.kind(), ErrorKind::ActorDied { .. }) && dead.is_panic(), "{dead}");
    assert!(dead.to_string().contains("crashed after 11 steps"), "{dead}");

    let killed = Fragile::remote(1);
    assert_eq!(killed.steps().get_timeout(LONG).unwrap(), 1);
    killed.kill();
    eventually("it is dead", || killed.steps().get_timeout(LONG).is_err());
    let dead = error(&killed.steps());
    assert_eq!(dead.to_string(), "errors::Fragile::steps can't run, as its actor is dead: it was killed");
    assert!(dead.source().is_none());
}

#[test]
fn names_that_are_wrong_are_explained() {
    start();
    let nobody = Fragile::named("nobody").unwrap_err().to_string();
    assert_eq!(nobody, "there is no live actor named \"nobody\"; create it with `.name(\"nobody\")` first");
    let _fragile = Fragile::create(1).name("fragile").get_or_create().unwrap();
    let other = Other::named("fragile").unwrap_err().to_string();
    assert_eq!(other, "the actor named \"fragile\" is a errors::Fragile, not a errors::Other");
    assert!(matches!(Other::create().name("fragile").get_or_create(), Err(error) if error.to_string() == other));
    let unnamed = Other::create().get_or_create().unwrap_err();
    assert!(matches!(unnamed.kind(), ErrorKind::Config(_)) && unnamed.to_string().contains(".name("), "{unnamed}");
    let infeasible = Other::create().name("large").cpu(4096).get_or_create().unwrap_err();
    assert!(matches!(infeasible.kind(), ErrorKind::Infeasible(_)), "{infeasible}");
    assert!(Other::named("large").is_err(), "and there is none of that name");
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    start();
    let running = init().unwrap_err();
    assert_eq!(running.to_string(), "a runtime is running already; shut it down before starting another");
    let negative = error(&train::call(1).cpu(-1).remote());
    assert!(matches!(negative.kind(), ErrorKind::Infeasible(_)) && negative.to_string().contains("cpu = -1"));
    let nan = error(&train::call(1).resource("license", f64::NAN).remote());
    assert!(matches!(nan.kind(), ErrorKind::Infeasible(_)) && nan.to_string().contains("license"), "{nan}");
}

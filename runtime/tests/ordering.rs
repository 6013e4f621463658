//! The order of an actor's calls: each caller's as it sent them, whatever they wait for, and nobody waits for a stranger.
// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

mod common;

use common::LONG;
use rayline::prelude::*;
use std::time::Duration;

/// Keeps what came, as (caller, number).
#[derive(Actor)]
struct Log {
    entries: Vec<(u64, u64)>,
}

#[methods]
impl Log {
    pub fn new() -> Self {
        Self { entries: Vec::new() }
    }

    pub fn push(&mut self, caller: u64, number: u64) -> u64 {
        self.entries.push((caller, number));
        number
    }

    pub async fn push_later(&mut self, caller: u64, number: u64) -> u64 {
        tokio::time::sleep(Duration::from_micros(200)).await;
        self.entries.push((caller, number));
        number
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn entries(&self) -> Vec<(u64, u64)> {
        self.entries.clone()
    }
}

#[task]
async fn delayed(micros: u64, then: u64) -> u64 {
    tokio::time::sleep(Duration::from_micros(micros)).await;
    then
}

#[task]
fn fails(x: u64) -> u64 {
    panic!("{x} on purpose")
}

/// Sends `calls` calls: some with a value, some with a value that comes later, some by an asynchronous method.
fn send(log: &LogRef, caller: u64, calls: u64) -> Vec<ObjectRef<u64>> {
    let send = |number: u64| match (number * 7 + caller) % 5 {
        0 => log.push(caller, delayed::remote((number * 37 + caller * 11) % 900, number)),
        1 => log.push_later(caller, number),
        2 => log.push_later(caller, delayed::remote(number % 300, number)),
        _ => log.push(caller, number),
    };
    (0..calls).map(send).collect()
}

#[task]
fn call_many(log: LogRef, caller: u64, calls: u64) -> Result<u64, Error> {
    let sent = send(&log, caller, calls);
    sent.iter().enumerate().try_fold(0, |sum, (number, object)| {
        assert_eq!(object.get_timeout(LONG)?, number as u64);
        Ok(sum + 1)
    })
}

#[test]
fn the_calls_of_each_caller_keep_their_order() {
    let log = Log::remote();
    let callers: Vec<_> = (1..=8).map(|caller| call_many::remote(log.clone(), caller, 100)).collect();
    let threads: Vec<_> = (9..=11)
        .map(|caller| {
            let log = log.clone();
            std::thread::spawn(move || send(&log, caller, 100).iter().for_each(|sent| sent.wait()))
        })
        .collect();
    assert!(callers.iter().all(|caller| caller.get_timeout(LONG).unwrap() == 100));
    common::within_time(move || threads.into_iter().for_each(|thread| thread.join().unwrap()));
    let entries = log.entries().get_timeout(LONG).unwrap();
    for caller in 1..=11 {
        let numbers: Vec<u64> = entries.iter().filter(|(of, _)| *of == caller).map(|(_, number)| *number).collect();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>(), "caller {caller}");
    }
}

/// Calls the actor that waits for this.
#[task]
fn ask(log: LogRef) -> Result<u64, Error> {
    Ok(log.len().get_timeout(LONG)? as u64 + log.push(1, 1).get_timeout(LONG)?)
}

#[test]
fn a_call_may_wait_for_what_calls_the_same_actor() {
    let log = Log::remote();
    let first = log.push(0, ask::remote(log.clone()));
    let second = log.push(0, 7);
    assert_eq!(first.get_timeout(LONG).unwrap(), 1);
    assert_eq!(second.get_timeout(LONG).unwrap(), 7);
    assert_eq!(log.entries().get_timeout(LONG).unwrap(), [(1, 1), (0, 1), (0, 7)]);
}

#[test]
fn reads_see_the_writes_before_them() {
    let log = Log::remote();
    for number in 0..200 {
        let write = if number % 3 == 0 { log.push(0, delayed::remote(100, number)) } else { log.push_later(0, number) };
        assert_eq!(log.len().get_timeout(LONG).unwrap(), number as usize + 1);
        assert_eq!(write.get_timeout(LONG).unwrap(), number);
    }
}

#[test]
fn a_failed_argument_takes_no_other_call_with_it() {
    let log = Log::remote();
    log.push(0, 1);
    let failed = log.push(0, fails::remote(2));
    let after = log.push(0, 3);
    assert_eq!(after.get_timeout(LONG).unwrap(), 3);
    let error = failed.get_timeout(LONG).unwrap_err();
    assert!(error.is_panic() && error.to_string().contains("as an argument failed"), "{error}");
    assert_eq!(log.entries().get_timeout(LONG).unwrap(), [(0, 1), (0, 3)]);
}

#[test]
fn a_cancelled_call_lets_the_next_go_on() {
    let log = Log::remote();
    let never = delayed::remote(3_600_000_000, 0);
    let cancelled = log.push(0, &never);
    let after = log.push(0, 5);
    assert!(!after.wait_timeout(Duration::from_millis(20)), "it stays behind the call before it");
    cancelled.clone().cancel();
    assert!(cancelled.get_timeout(LONG).unwrap_err().is_cancelled());
    never.cancel();
    assert_eq!(after.get_timeout(LONG).unwrap(), 5);
    assert_eq!(log.entries().get_timeout(LONG).unwrap(), [(0, 5)]);
}

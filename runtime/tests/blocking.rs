//! Tasks that wait for tasks on one CPU: whoever blocks lends what it holds.
// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

use rayline::prelude::*;
use rayline::{Config, ErrorKind, init_with};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);

#[task]
fn plain(x: i64) -> i64 {
    x + 1
}

#[task(retries = 1, retry_on(any))]
fn leased(x: i64) -> i64 {
    x + 1
}

#[task(retries = 1, retry_on(any))]
fn leased_on_leased(depth: i64) -> Result<i64, Error> {
    if depth == 0 { Ok(0) } else { Ok(leased_on_leased::remote(depth - 1).get_timeout(LONG)? + 1) }
}

#[task(retries = 1, retry_on(any))]
fn leased_on_plain(x: i64) -> Result<i64, Error> {
    plain::remote(x).get_timeout(LONG)
}

#[task]
fn plain_on_leased(x: i64) -> Result<i64, Error> {
    leased::remote(x).get_timeout(LONG)
}

#[derive(Actor)]
#[actor(cpu = 1)]
struct Heavy {
    total: i64,
}

#[methods]
impl Heavy {
    pub fn new() -> Self {
        Self { total: 0 }
    }

    pub fn add(&mut self, x: i64) -> Result<i64, Error> {
        self.total += leased::remote(x).get_timeout(LONG)? + plain::remote(x).get_timeout(LONG)?;
        Ok(self.total)
    }
}

#[test]
fn whoever_blocks_lends_its_cpu() {
    let _runtime = init_with(Config::default().cpus(1)).unwrap();
    assert_eq!(leased_on_leased::remote(5).get_timeout(LONG).unwrap(), 5);
    assert_eq!(leased_on_plain::remote(1).get_timeout(LONG).unwrap(), 2);
    assert_eq!(plain_on_leased::remote(1).get_timeout(LONG).unwrap(), 2);
    let heavy = Heavy::remote();
    assert_eq!(heavy.add(1).get_timeout(LONG).unwrap(), 4);
    assert_eq!(plain::remote(1).get_timeout(LONG).unwrap(), 2, "an actor that holds the only CPU stops nobody");
    let error = leased::call(1).cpu(2).remote().get_timeout(LONG).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Infeasible(_)), "{error}");
}

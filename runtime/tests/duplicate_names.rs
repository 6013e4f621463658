//! Two tasks of one name: the runtime says so, and doesn't start.
// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

use rayline::prelude::*;
use rayline::{Config, ErrorKind, init, init_with, is_running};

/// Functions within functions have the module's path, so these two are both `duplicate_names::same`.
fn first() -> u64 {
    #[task]
    fn same(x: u64) -> u64 {
        x
    }
    same(1)
}

fn second() -> u64 {
    #[task]
    fn same(x: u64) -> u64 {
        x + 1
    }
    same(1)
}

#[test]
fn two_tasks_of_one_name_are_complained_of() {
    assert_eq!((first(), second()), (1, 2), "as functions they are two");
    for error in [init().unwrap_err(), init_with(Config::default().cpus(1)).unwrap_err()] {
        let ErrorKind::Config(complaint) = error.kind() else { panic!("another error: {error}") };
        assert!(complaint.starts_with("two tasks are called duplicate_names::same: at "), "{complaint}");
        let places: Vec<_> = complaint.match_indices("duplicate_names.rs:").collect();
        assert_eq!(places.len(), 2, "both places are named: {complaint}");
    }
    assert!(!is_running());
}

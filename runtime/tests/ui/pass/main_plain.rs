//! A `main` without a result, which returns early, in a crate that forbids much.
#![deny(warnings, missing_docs, unsafe_code)]

use rayline::prelude::*;

#[task]
fn negate(x: bool) -> bool {
    !x
}

#[rayline::main]
fn main() {
    if negate::remote(false).get().unwrap_or(false) {
        return;
    }
    panic!("not reached");
}

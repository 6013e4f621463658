//! Seeds hold, runs are functions of their seeds, and known faults are caught.

use rayline_sim::{Mutation, Options, run_caught};

#[test]
fn seeds_hold_and_run_alike_twice() {
    for seed in 0..40 {
        let first =
            run_caught(seed, Options::default()).unwrap_or_else(|broken| panic!("{broken}: cargo sim --seed {seed}"));
        let second = run_caught(seed, Options::default()).expect("it held before");
        assert_eq!(first, second, "two runs of seed {seed} differ");
    }
}

#[test]
fn seeds_differ() {
    let hash = |seed| run_caught(seed, Options::default()).expect("it holds").hash;
    assert_ne!(hash(1), hash(2));
}

#[test]
fn every_mutant_is_caught() {
    let survivors: Vec<Mutation> = Mutation::ALL.into_iter().filter(|mutation| !is_caught(*mutation)).collect();
    assert!(survivors.is_empty(), "these known faults pass all seeds: {survivors:?}");
}

/// Whether one of some hundred seeds catches it.
fn is_caught(mutation: Mutation) -> bool {
    let options = Options { mutation: Some(mutation), ..Options::default() };
    let caught = (0..400).find_map(|seed| run_caught(seed, options).err());
    if let Some(broken) = &caught {
        println!("{mutation:?}: {broken}");
    }
    caught.is_some()
}

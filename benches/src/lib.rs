//! The benchmark suites.

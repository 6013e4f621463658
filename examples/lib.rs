//! Examples: one file, one idea.

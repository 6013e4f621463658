//! The macros of Rayline.

//! Rayline.

//! The work-stealing executor of Rayline.

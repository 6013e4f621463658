//! Proximal policy optimisation.

//! The pure state machines of Rayline.

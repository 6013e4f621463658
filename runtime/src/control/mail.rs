//! Messages between the machines of one process.

use rayline_core::{controller, node, owner};

/// A message on its way; they arrive in the order in which they were sent.
pub(super) enum Mail {
    Owner(owner::Event),
    Node(node::Event),
    Controller(controller::Event),
}

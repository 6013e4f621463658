//! What the node answers: to the owner, or to the controller.

use super::Driver;
use crate::runtime;
use rayline_core::ids::OwnerId;
use rayline_core::{controller, node, owner};

impl Driver {
    pub(super) fn act_for_node(&mut self, action: node::Action) {
        match action {
            node::Action::Granted { request, lease, grant } => {
                if request.owner == OwnerId::CONTROLLER {
                    self.tell_controller(controller::Event::LeaseGranted { request, lease, grant });
                } else {
                    self.tell_owner(owner::Event::LeaseGranted { request, lease, grant });
                }
            }
            node::Action::Refused { request, refusal } => {
                if request.owner == OwnerId::CONTROLLER {
                    self.tell_controller(controller::Event::LeaseRefused { request, refusal });
                } else {
                    self.tell_owner(owner::Event::LeaseRefused { request, refusal });
                }
            }
            node::Action::Reclaim { request, lease } => {
                if request.owner != OwnerId::CONTROLLER {
                    self.tell_owner(owner::Event::LeaseReclaim { request, lease });
                }
            }
            // The holder went on meanwhile: for that moment the node had lent more than it has.
            node::Action::CpusBack { .. } => {}
            node::Action::Prepared { bundle, attempt } => {
                self.tell_controller(controller::Event::Prepared { bundle, attempt });
            }
            node::Action::PrepareRefused { bundle, attempt, refusal } => {
                self.tell_controller(controller::Event::PrepareRefused { bundle, attempt, refusal });
            }
            node::Action::Committed { bundle, attempt } => {
                self.tell_controller(controller::Event::Committed { bundle, attempt });
            }
            node::Action::BundleReturned { bundle, attempt } => {
                self.tell_controller(controller::Event::BundleReturned { node: runtime::node(), bundle, attempt });
            }
        }
    }
}

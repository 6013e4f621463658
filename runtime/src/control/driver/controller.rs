//! What the controller wants done: its requests to the node, the lives of actors, the states of groups.

use super::{Driver, Timer};
use crate::control::failure;
use crate::group::Progress;
use rayline_core::controller::{self, DeathCause};
use rayline_core::ids::{ActorId, GroupId};
use rayline_core::{node, owner};
use std::cmp::Reverse;

impl Driver {
    pub(super) fn act_for_controller(&mut self, action: controller::Action) {
        match action {
            controller::Action::RequestLease { node, request, demand, bundle } => {
                self.tell_node(node, node::Event::RequestLease { request, demand, bundle, revocable: false });
            }
            controller::Action::CancelRequest { node, request } => {
                self.tell_node(node, node::Event::CancelRequest { request });
            }
            controller::Action::ReturnLease { lease } => {
                self.threads.actor_ended(lease);
                self.tell_node(lease.node, node::Event::ReturnLease { lease });
            }
            controller::Action::PrepareBundle { node, bundle, attempt, demand } => {
                self.tell_node(node, node::Event::PrepareBundle { bundle, attempt, demand });
            }
            controller::Action::CommitBundle { node, bundle, attempt } => {
                self.tell_node(node, node::Event::CommitBundle { bundle, attempt });
            }
            controller::Action::ReturnBundle { node, bundle, attempt } => {
                self.tell_node(node, node::Event::ReturnBundle { bundle, attempt });
            }
            controller::Action::SetTimer { at, token } => self.timers.push(Reverse((at, Timer::Controller(token)))),
            action => self.act_on_actors_and_groups(action),
        }
    }

    pub(super) fn act_on_actors_and_groups(&mut self, action: controller::Action) {
        match action {
            controller::Action::StartActor { actor, incarnation, lease, grant, .. } => {
                if let Some(host) = self.actors.get(&actor).cloned() {
                    self.start_actor(host, incarnation, lease, grant);
                }
            }
            controller::Action::StopActor { actor, incarnation, .. } => {
                if let Some(host) = self.actors.get(&actor) {
                    host.stop(incarnation);
                }
            }
            controller::Action::ActorCreated { actor } => self.answer(actor, actor),
            controller::Action::ActorExists { asked, actor } => {
                self.answer(asked, actor);
                self.bury(asked, "another actor of its name was taken".into(), false);
            }
            controller::Action::ActorRefused { actor, refusal } => {
                let refused = failure::of_actor(refusal);
                self.bury(actor, refused.to_string(), false);
                if let Some(reply) = self.asking.remove(&actor) {
                    let _ = reply.send(Err(refused));
                }
            }
            controller::Action::ActorFound { request, actor } => {
                if let Some(reply) = self.lookups.remove(&request) {
                    let _ = reply.send(actor.and_then(|actor| self.actors.get(&actor).cloned()));
                }
            }
            controller::Action::ActorDead { actor, cause } => {
                let failed = matches!(cause, DeathCause::ConstructorFailed | DeathCause::RestartsUsed { .. });
                self.bury(actor, cause.to_string(), failed);
            }
            controller::Action::ActorRestarting { actor, ended } => {
                tracing::info!(actor_id = %actor, incarnation = ended.0, "actor restarts");
            }
            controller::Action::GroupReady { group, nodes } => {
                self.with_group(group, Progress::ready);
                self.tell_owner(owner::Event::GroupReady { group, nodes });
            }
            controller::Action::GroupBroken { group } => {
                self.with_group(group, Progress::broken);
                self.tell_owner(owner::Event::GroupBroken { group });
            }
            controller::Action::GroupRefused { group, refusal } => self.end_group(group, refusal.to_string()),
            controller::Action::GroupRemoved { group } => self.end_group(group, "it was removed".into()),
            _ => {}
        }
    }

    fn answer(&mut self, asked: ActorId, actor: ActorId) {
        if let (Some(reply), Some(host)) = (self.asking.remove(&asked), self.actors.get(&actor)) {
            let _ = reply.send(Ok(host.clone()));
        }
    }

    /// The actor is dead for good.
    pub(super) fn bury(&mut self, actor: ActorId, cause: String, failed: bool) {
        self.placed.remove(&actor);
        if let Some(host) = self.actors.remove(&actor) {
            host.close(cause, failed);
        }
    }

    fn with_group(&self, group: GroupId, f: impl FnOnce(&Progress)) {
        if let Some(progress) = self.groups.get(&group) {
            f(progress);
        }
    }

    pub(super) fn end_group(&mut self, group: GroupId, why: String) {
        if let Some(progress) = self.groups.remove(&group) {
            progress.failed(why);
        }
        self.classes.retain(|(_, bundle), _| bundle.is_none_or(|bundle| bundle.group != group));
        self.tell_owner(owner::Event::GroupGone { group });
    }
}

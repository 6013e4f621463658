//! Scripts for the three machines: events in, actions out, in `testdata/*.txt`.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Command, bundle, class, demand, node, object, run_script, task};
use rayline_core::ids::{Attempt, NodeId, OwnerId};
use rayline_core::node::Refusal;
use rayline_core::resources::{Amount, Capacity, Demand, Grant, Infeasible, Ledger};
use rayline_core::{Limits, Out, Time, controller, members, node as nodes, owner};

/// Limits that a script can reach.
fn limits(command: &Command) -> Limits {
    let defaults = Limits::default();
    Limits {
        node_waiting_max: command.number("waiting_max", defaults.node_waiting_max),
        overtakes_max: command.number("overtakes_max", defaults.overtakes_max),
        tasks_max: command.number("tasks_max", defaults.tasks_max),
        lineage_max: command.number("lineage_max", defaults.lineage_max),
        rebuild_depth_max: command.number("depth_max", defaults.rebuild_depth_max),
        class_requests_max: command.number("requests_max", defaults.class_requests_max),
        nodes_max: command.number("nodes_max", defaults.nodes_max),
        machines_max: command.number("machines_max", defaults.machines_max),
        actors_max: command.number("actors_max", defaults.actors_max),
        ..defaults
    }
}

fn shown<A: std::fmt::Debug>(out: &mut Out<A>) -> Vec<String> {
    out.drain().map(|action| format!("{action:?}")).collect()
}

fn grant(demand: &Demand) -> Grant {
    let everything = Capacity::cpus(Amount::from_units(8)).with_memory(1 << 30).with_gpu(0, 0).with_gpu(1, 0);
    Ledger::new(everything).take(demand).unwrap()
}

fn infeasible(demand: &Demand) -> Infeasible {
    Capacity::default().feasible_ever(demand).unwrap_err()
}

fn refusal(command: &Command, at: usize) -> Refusal {
    match command.word(at) {
        "infeasible" => Refusal::Infeasible(infeasible(&command.demand(at + 1))),
        "queue-full" => Refusal::QueueFull,
        "bundle-gone" => Refusal::BundleGone(command.bundle(at + 1)),
        "stale" => Refusal::Stale,
        "owner-dead" => Refusal::OwnerDead(OwnerId(1)),
        other => panic!("no such refusal: {other}"),
    }
}

fn run_node(name: &str) {
    let mut machine = nodes::Node::new(NodeId(1), Capacity::default(), Limits::default());
    run_script(name, |command| {
        use nodes::Event::*;
        let event = match command.verb.as_str() {
            "new" => {
                machine = nodes::Node::new(command.node(0), command.capacity(1), limits(&command));
                return Vec::new();
            }
            "free" => return vec![format!("{:?}", (machine.ledger().free_cpu(), machine.ledger().free_gpus()))],
            "counters" => return vec![format!("{:?}", machine.counters())],
            "request" => RequestLease {
                request: command.request(0),
                demand: command.demand(1),
                bundle: command.named("bundle").map(bundle),
                revocable: command.has("revocable"),
            },
            "cancel" => CancelRequest { request: command.request(0) },
            "return" => ReturnLease { lease: command.lease(0) },
            "lend" => LendCpus { lease: command.lease(0) },
            "retake" => RetakeCpus { lease: command.lease(0) },
            "owner-died" => OwnerDied { owner: command.owner(0) },
            "prepare" => {
                PrepareBundle { bundle: command.bundle(0), attempt: command.attempt(1), demand: command.demand(2) }
            }
            "commit" => CommitBundle { bundle: command.bundle(0), attempt: command.attempt(1) },
            "return-bundle" => ReturnBundle { bundle: command.bundle(0), attempt: command.attempt(1) },
            other => panic!("no such command: {other}"),
        };
        let mut out = Out::new();
        machine.handle(Time::ZERO, event, &mut out);
        machine.check();
        shown(&mut out)
    });
}

fn owner_event(command: &Command) -> owner::Event {
    use owner::Event::*;
    use owner::{Affinity, FailureKind};
    match command.verb.as_str() {
        "class" => {
            let affinity = match command.named("on") {
                None => Affinity::Any,
                Some("spread") => Affinity::Spread,
                Some(place) if place.starts_with('b') => Affinity::Bundle(bundle(place)),
                Some(place) => match place.strip_prefix('~') {
                    Some(preferred) => Affinity::Prefer(node(preferred)),
                    None => Affinity::Only(node(place)),
                },
            };
            DefineClass { class: command.class(0), demand: command.demand(1), affinity }
        }
        "submit" | "adopt" => submission(command),
        "expect" => Expect { object: command.object(0) },
        "put" => Put { object: command.object(0), node: command.node(1) },
        "put-failed" => PutFailed { object: command.object(0) },
        "copied" => Copied { object: command.object(0), node: command.node(1) },
        "lost" => {
            let attempt = Attempt(command.number("attempt", u32::MAX));
            ObjectLost { object: command.object(0), node: command.node(1), attempt }
        }
        "add-ref" => AddRef { object: command.object(0) },
        "drop-ref" => DropRef { object: command.object(0) },
        "borrow" => Borrow { object: command.object(0), borrower: command.owner(1) },
        "unborrow" => Unborrow { object: command.object(0), borrower: command.owner(1) },
        "owner-died" => OwnerDied { owner: command.owner(0) },
        "cancel" => Cancel { task: command.task(0) },
        "granted" => LeaseGranted {
            request: command.request(0),
            lease: command.lease(1),
            grant: grant(&command.named("grant").map_or(demand("{cpu: 1}"), demand)),
        },
        "refused" => LeaseRefused { request: command.request(0), refusal: refusal(command, 1) },
        "reclaim" => LeaseReclaim { request: command.request(0), lease: command.lease(1) },
        "done" => TaskDone { task: command.task(0), attempt: command.attempt(1), lease: command.lease(2) },
        "failed" => TaskFailed {
            task: command.task(0),
            attempt: command.attempt(1),
            lease: command.lease(2),
            kind: match command.word(3) {
                "system" => FailureKind::System,
                "error" => FailureKind::Application { retryable: false },
                "retryable" => FailureKind::Application { retryable: true },
                other => panic!("no such failure: {other}"),
            },
        },
        "node-up" => NodeUp { node: command.node(0) },
        "node-died" => NodeDied { node: command.node(0) },
        "group-ready" => {
            GroupReady { group: command.group(0), nodes: command.list("nodes").iter().map(|text| node(text)).collect() }
        }
        "group-broken" => GroupBroken { group: command.group(0) },
        "group-gone" => GroupGone { group: command.group(0) },
        "executors" => SetExecutors { node: NodeId(1), count: command.word(0).parse().unwrap() },
        "closed" => ExecutorClosed { lease: command.lease(0) },
        "timer" => Timer { token: command.token(0) },
        other => panic!("no such command: {other}"),
    }
}

/// A task that is to run, or that has run.
fn submission(command: &Command) -> owner::Event {
    let (task, class) = (command.task(0), class(command.named("class").unwrap_or("c0")));
    let args = command.list("args").iter().map(|arg| object(arg)).collect();
    let (returns, retries) = (command.number("returns", 1), command.number("retries", 0));
    match command.verb.as_str() {
        "submit" => owner::Event::Submit { task, class, args, returns, retries },
        _ => owner::Event::Adopt { task, class, args, returns, retries, node: command.node(1) },
    }
}

fn run_owner(name: &str) {
    let mut machine = owner::Owner::new(OwnerId(1), NodeId(1), Limits::default());
    let mut now = Time::ZERO;
    run_script(name, |command| {
        match command.verb.as_str() {
            "new" => {
                machine = owner::Owner::new(command.owner(0), command.node(1), limits(&command));
                now = Time::ZERO;
                return Vec::new();
            }
            "wait" => {
                now = now + command.millis(0);
                return Vec::new();
            }
            "held" => {
                let (live, records, leases) = (machine.live_tasks(), machine.records(), machine.leases());
                return vec![format!("{live} live tasks, {records} records, {leases} leases")];
            }
            "copies" => return vec![format!("{:?}", machine.copies(command.object(0)))],
            "counters" => return vec![format!("{:?}", machine.counters())],
            _ => {}
        }
        let mut out = Out::new();
        machine.handle(now, owner_event(&command), &mut out);
        machine.check();
        shown(&mut out)
    });
}

fn controller_event(command: &Command) -> controller::Event {
    use controller::Event::*;
    use controller::{ActorEnd, ActorSpec, Strategy};
    match command.verb.as_str() {
        "node-up" => NodeUp { node: command.node(0), capacity: command.capacity(1) },
        "node-died" => NodeDied { node: command.node(0) },
        "owner-died" => OwnerDied { owner: command.owner(0) },
        "create" => {
            let spec = ActorSpec {
                demand: command.demand(1),
                bundle: command.named("bundle").map(bundle),
                name: command.named("name").map(str::to_owned),
                get_or_create: command.has("get-or-create"),
                detached: command.has("detached"),
                restarts: command.number("restarts", 0),
            };
            CreateActor { actor: command.actor(0), spec }
        }
        "lookup" => LookupActor { request: command.request(0), name: command.word(1).to_owned() },
        "kill" => KillActor { actor: command.actor(0), restart: command.has("restart") },
        "started" => ActorStarted { actor: command.actor(0), incarnation: command.incarnation(1) },
        "ended" => ActorEnded {
            actor: command.actor(0),
            incarnation: command.incarnation(1),
            end: match command.word(2) {
                "crashed" => ActorEnd::Crashed,
                "stopped" => ActorEnd::Stopped,
                "constructor-failed" => ActorEnd::ConstructorFailed,
                other => panic!("no such end: {other}"),
            },
        },
        "granted" => LeaseGranted {
            request: command.request(0),
            lease: command.lease(1),
            grant: grant(&command.named("grant").map_or(demand("{cpu: 1}"), demand)),
        },
        "refused" => LeaseRefused { request: command.request(0), refusal: refusal(command, 1) },
        "reserve" => ReserveGroup {
            group: command.group(0),
            strategy: match command.word(1) {
                "pack" => Strategy::Pack,
                "spread" => Strategy::Spread,
                "strict-pack" => Strategy::StrictPack,
                "strict-spread" => Strategy::StrictSpread,
                other => panic!("no such strategy: {other}"),
            },
            bundles: (2..command.words()).map(|at| command.demand(at)).collect(),
        },
        "remove" => RemoveGroup { group: command.group(0) },
        "prepared" => Prepared { bundle: command.bundle(0), attempt: command.attempt(1) },
        "prepare-refused" => {
            PrepareRefused { bundle: command.bundle(0), attempt: command.attempt(1), refusal: refusal(command, 2) }
        }
        "committed" => Committed { bundle: command.bundle(0), attempt: command.attempt(1) },
        "returned" => BundleReturned { node: command.node(0), bundle: command.bundle(1), attempt: command.attempt(2) },
        "timer" => Timer { token: command.token(0) },
        other => panic!("no such command: {other}"),
    }
}

fn run_controller(name: &str) {
    let mut machine = controller::Controller::new(Limits::default());
    let mut now = Time::ZERO;
    run_script(name, |command| {
        match command.verb.as_str() {
            "new" => {
                machine = controller::Controller::new(limits(&command));
                now = Time::ZERO;
                return Vec::new();
            }
            "wait" => {
                now = now + command.millis(0);
                return Vec::new();
            }
            "actor" => return vec![format!("{:?}", machine.actor(command.actor(0)))],
            "counters" => return vec![format!("{:?}", machine.counters())],
            "free" => {
                return machine.nodes().map(|(node, ledger)| format!("{node} cpu: {}", ledger.free_cpu())).collect();
            }
            _ => {}
        }
        let mut out = Out::new();
        machine.handle(now, controller_event(&command), &mut out);
        machine.check();
        shown(&mut out)
    });
}

fn peer(text: &str) -> members::Peer {
    let (machine, boot) = text.strip_prefix('p').and_then(|text| text.split_once('.')).unwrap();
    members::Peer { machine: machine.parse().unwrap(), boot: boot.parse().unwrap() }
}

fn run_members(name: &str) {
    let mut machine = members::Members::new(Limits::default());
    let mut now = Time::ZERO;
    run_script(name, |command| {
        use members::Event::*;
        let event = match command.verb.as_str() {
            "new" => {
                machine = members::Members::new(limits(&command));
                now = Time::ZERO;
                return Vec::new();
            }
            "after" => {
                machine = members::Members::after(limits(&command), command.node(0), [peer(command.word(1))]);
                now = Time::ZERO;
                return Vec::new();
            }
            "wait" => {
                now = now + command.millis(0);
                return Vec::new();
            }
            "up" => return vec![format!("{:?}", machine.nodes().map(|(node, _)| node).collect::<Vec<_>>())],
            "join" => Join { peer: peer(command.word(0)), capacity: command.capacity(1) },
            "heartbeat" => Heartbeat { node: command.node(0), beat: command.number("beat", 1) },
            "owner-join" => OwnerJoin { owner: command.owner(0), node: command.node(1) },
            "owner-closed" => OwnerClosed { owner: command.owner(0) },
            "leave" => Leave { node: command.node(0) },
            "closed" => Closed { node: command.node(0) },
            "timer" => Timer { token: command.token(0) },
            other => panic!("no such command: {other}"),
        };
        let mut out = Out::new();
        machine.handle(now, event, &mut out);
        machine.check();
        shown(&mut out)
    });
}

fn run_member(name: &str) {
    let new = |command: &Command| members::Member::new(peer("p1.1"), Capacity::default(), limits(command));
    let mut machine = members::Member::new(peer("p1.1"), Capacity::default(), Limits::default());
    let mut now = Time::ZERO;
    run_script(name, |command| {
        use members::MemberEvent::*;
        let event = match command.verb.as_str() {
            "new" => {
                machine = new(&command);
                now = Time::ZERO;
                return Vec::new();
            }
            "wait" => {
                now = now + command.millis(0);
                return Vec::new();
            }
            "may-act" => return vec![machine.may_act(now).to_string()],
            "start" => Start,
            "welcome" => Welcome { node: command.node(0) },
            "refused" => Refused { why: members::JoinRefusal::LifeOver },
            "ack" => Ack { beat: command.number("beat", 1) },
            "fenced" => Fenced,
            "disconnected" => Disconnected,
            "timer" => Timer { token: command.token(0) },
            other => panic!("no such command: {other}"),
        };
        let mut out = Out::new();
        machine.handle(now, event, &mut out);
        shown(&mut out)
    });
}

#[test]
fn members() {
    run_members("members");
}

#[test]
fn member() {
    run_member("member");
}

#[test]
fn node_leases() {
    run_node("node_leases");
}

#[test]
fn node_revocable() {
    run_node("node_revocable");
}

#[test]
fn node_bundles() {
    run_node("node_bundles");
}

#[test]
fn owner_tasks() {
    run_owner("owner_tasks");
}

#[test]
fn owner_failures() {
    run_owner("owner_failures");
}

#[test]
fn owner_adopted() {
    run_owner("owner_adopted");
}

#[test]
fn owner_lineage() {
    run_owner("owner_lineage");
}

#[test]
fn owner_executors() {
    run_owner("owner_executors");
}

#[test]
fn controller_actors() {
    run_controller("controller_actors");
}

#[test]
fn controller_groups() {
    run_controller("controller_groups");
}

/// Keeps the helper used where no script needs it.
#[test]
fn ids_read_as_they_are_written() {
    assert_eq!(task("t1.7").to_string(), "t1.7");
    assert_eq!(object("o1.7.0").to_string(), "o1.7.0");
}

//! Clusters of real daemons on loopback: they join, are killed, stopped, restarted and refused.
#![allow(clippy::unwrap_used)]
#![cfg(feature = "command")]

mod common;
mod daemons;

use daemons::{Home, SOON, text};
use rayline::cluster::{Address, BinaryId, Envelope, HEAD, Keys, Letter, Place, Post, PostError};
use rayline_core::controller::{self, ActorEnd, ActorSpec, Strategy};
use rayline_core::ids::{ActorId, GroupId, NodeId, OwnerId, RequestId};
use rayline_core::members;
use rayline_core::resources::{Amount, Demand};
use rayline_core::{node, owner};
use rayline_transport::tcp::{Options, Tcp};
use rayline_transport::{Event, PeerId, Regions};
use serde_json::Value;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// An owner's process, as the cluster sees it: letters that it sends, and that come.
struct Owner {
    post: Post,
    events: tokio::sync::mpsc::Receiver<Event>,
    name: OwnerId,
}

const OWNER: OwnerId = OwnerId(9);

impl Owner {
    /// An owner that has joined on node 1, which is the head's.
    fn join(head: &Home) -> Owner {
        let mut owner = Owner::enlist(head, OWNER);
        let Letter::OwnerWelcome { nodes, dead, owner: OWNER, home: NodeId(1) } = owner.next() else {
            panic!("no welcome")
        };
        assert_eq!((nodes[0].0, nodes[0].1.address.to_string(), dead), (NodeId(1), head.address(), vec![]));
        owner
    }

    /// One that asks for a name.
    fn enlist(head: &Home, name: OwnerId) -> Owner {
        Owner::enlist_at(head, head.address().parse().unwrap(), name)
    }

    /// One that reaches the head at another address.
    fn enlist_at(head: &Home, address: SocketAddr, name: OwnerId) -> Owner {
        let keys = Keys::read(&head.file("secret")).unwrap();
        let options = Options::loopback(PeerId(90 + u128::from(name.0)), keys.cluster, keys.secret);
        let (tcp, events) = Tcp::bind(options, Regions::new()).unwrap();
        tcp.introduce(HEAD, address);
        let mut owner = Owner { post: Post::new(tcp), events, name };
        owner.call();
        owner
    }

    /// Asks for its name, again where it has it.
    fn call(&mut self) {
        let (peer, address) = (90 + u128::from(self.name.0), ([127, 0, 0, 1], 1).into());
        let place = Place { peer, address, host: "elsewhere".into(), pid: 1 };
        let letter = Letter::Enlist { place, known: Some(self.name), binary: BinaryId::of(b"a program") };
        // It may be lost: then the end of the connection is heard of.
        let _ = self.post.send_by(HEAD, Envelope { to: Address::Head, letter });
    }

    fn send(&mut self, to: Address, letter: Letter) {
        self.post.send_by(HEAD, Envelope { to, letter }).unwrap();
    }

    fn control(&mut self, event: controller::Event) {
        self.send(Address::Head, Letter::Controller(event));
    }

    fn request(&mut self, seq: u64, cpus: u32) {
        let request = RequestId { owner: OWNER, seq };
        let event = node::Event::RequestLease { request, demand: cpu(cpus), bundle: None, revocable: false };
        self.send(Address::Node(NodeId(1)), Letter::Node(event));
    }

    /// The next letter to the owner.
    fn next(&mut self) -> Letter {
        let begin = Instant::now();
        while begin.elapsed() < SOON {
            match self.events.try_recv() {
                Ok(Event::Up { peer, incarnation }) => self.post.connected(peer, incarnation),
                Ok(Event::Frame { peer, bytes }) => {
                    let Some(envelope) = self.post.receive(peer, &bytes).unwrap() else { continue };
                    assert_eq!(envelope.to, Address::Owner(OWNER));
                    return envelope.letter;
                }
                Ok(Event::Down { peer, .. }) => {
                    // As a driver does: the head doesn't call.
                    let _ = self.post.disconnected(peer);
                    std::thread::sleep(Duration::from_millis(20));
                    self.call();
                }
                _ => std::thread::sleep(Duration::from_millis(2)),
            }
        }
        panic!("no letter comes")
    }
}

/// A wire that can be cut: whoever connects to `address` is connected with another, until then.
struct Wire {
    address: SocketAddr,
    ends: Arc<Mutex<Vec<TcpStream>>>,
    is_down: Arc<AtomicBool>,
}

impl Wire {
    /// Its threads end with the test's process.
    fn to(address: SocketAddr) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wire = Wire {
            address: listener.local_addr().unwrap(),
            ends: Arc::default(),
            is_down: Arc::new(AtomicBool::new(false)),
        };
        let (ends, is_down) = (wire.ends.clone(), wire.is_down.clone());
        std::thread::spawn(move || {
            for here in listener.incoming() {
                let here = here.unwrap();
                if is_down.load(Ordering::SeqCst) {
                    continue;
                }
                let there = TcpStream::connect(address).unwrap();
                for (mut from, mut to) in
                    [(&here, &there), (&there, &here)].map(|(a, b)| (a.try_clone().unwrap(), b.try_clone().unwrap()))
                {
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                ends.lock().unwrap().extend([here, there]);
            }
        });
        wire
    }

    fn cut(&self) {
        self.ends.lock().unwrap().drain(..).for_each(|end| drop(end.shutdown(Shutdown::Both)));
    }
}

fn cpu(cpus: u32) -> Demand {
    Demand::cpus(Amount::from_units(cpus))
}

fn refused(output: &Output, code: i32, says: &[&str]) {
    let text = text(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for words in says {
        assert!(text.contains(words), "no `{words}` in: {text}");
    }
}

fn state<'a>(states: &'a [(String, String)], node: &str) -> Option<&'a str> {
    states.iter().find(|(name, _)| name == node).map(|(_, state)| &**state)
}

#[test]
fn nodes_join_die_leave_and_come_again() {
    let head = Home::head("life");
    let (one, two) = (Home::node("life-1", &head), Home::node("life-2", &head));
    let status = head.json(&["status", "--json"]);
    assert_eq!(head.states().len(), 3);
    assert!(head.states().iter().all(|(_, state)| state == "alive"), "{status}");
    assert_eq!((status["total"]["cpu"].as_f64(), status["used"]["cpu"].as_f64()), (Some(8.0), Some(0.0)));
    assert_eq!(status["total"]["named"]["license"].as_f64(), Some(4.0));
    assert_eq!(two.states(), head.states(), "every daemon's folder leads to the head");

    one.signal("-KILL");
    let took = head.wait_for("n2", "dead");
    assert!(took < Duration::from_secs(1), "a killed node is dead after {took:?}");
    assert_eq!(state(&head.states(), "n3"), Some("alive"));

    // Its machine begins another life, under a new name.
    assert!(one.join(&head, &head.file("secret")).status.success());
    assert_eq!(state(&head.states(), "n4"), Some("alive"));

    let stopped = two.run(&["stop"]);
    assert!(stopped.status.success() && text(&stopped).contains("the node has ended"), "{}", text(&stopped));
    assert_eq!(state(&head.states(), "n3"), Some("left"), "a node that is stopped is not dead");
    refused(&two.run(&["stop"]), 3, &["no daemon runs in"]);
    refused(&two.run(&["status"]), 3, &["no daemon runs in", "rayline start --head"]);
}

#[test]
fn a_node_that_is_stopped_is_dead_and_wakes_to_another_life() {
    let head = Home::head("stall");
    let node = Home::node("stall-1", &head);
    head.wait_for("n2", "alive");
    node.signal("-STOP");
    let took = head.wait_for("n2", "dead");
    node.signal("-CONT");
    assert!(took > Duration::from_secs(3), "heartbeats are waited for, not {took:?}");
    head.wait_for("n3", "alive");
    assert_eq!(state(&head.states(), "n2"), Some("dead"), "death is final");
}

#[test]
fn nodes_wait_for_a_head_that_is_gone() {
    let head = Home::head("gone");
    let node = Home::node("gone-1", &head);
    let address = head.address();
    head.signal("-KILL");
    let begin = Instant::now();
    while !std::fs::read_to_string(node.file("log")).unwrap().contains("the head is gone") {
        assert!(begin.elapsed() < SOON, "the node says nothing");
        std::thread::sleep(Duration::from_millis(20));
    }
    refused(&node.run(&["status", "--timeout", "2"]), 3, &["no head answers at 127.0.0.1"]);
    let again = head.run(&["start", "--head", "--listen", &address, "--control", "127.0.0.1:0", "--cpus", "2"]);
    assert!(again.status.success(), "{}", text(&again));
    // Names go on behind all that the killed head may have given.
    head.wait_for("n66", "alive");
    assert_eq!(head.states(), ["n65", "n66"].map(|node| (node.to_owned(), "alive".to_owned())));
    assert_eq!(node.states(), head.states(), "the node's folder leads to the new head");
    assert!(head.run(&["stop"]).status.success());
    let again = head.run(&["start", "--head", "--listen", &address, "--control", "127.0.0.1:0", "--cpus", "2"]);
    assert!(again.status.success(), "{}", text(&again));
    head.wait_for("n68", "alive");
    assert_eq!(state(&head.states(), "n67"), Some("alive"), "after a clean end there is no gap");
}

#[test]
fn who_does_not_know_the_secret_is_refused() {
    let head = Home::head("secret");
    let (other, node) = (Home::head("secret-other"), Home::new("secret-node"));
    refused(&node.join(&head, &other.file("secret")), 1, &["another cluster"]);
    // The right cluster, and a wrong secret.
    let lines = |home: &Home| std::fs::read_to_string(home.file("secret")).unwrap();
    let (ours, theirs) = (lines(&head), lines(&other));
    let mixed: Vec<&str> = ours.lines().take(2).chain(theirs.lines().skip(2)).collect();
    let wrong = node.file("wrong");
    std::fs::write(&wrong, mixed.join("\n")).unwrap();
    std::fs::set_permissions(&wrong, PermissionsExt::from_mode(0o600)).unwrap();
    refused(&node.join(&head, &wrong), 1, &["refuses this node", "secret"]);
    assert_eq!(head.states().len(), 1);

    std::fs::set_permissions(&wrong, PermissionsExt::from_mode(0o644)).unwrap();
    refused(&node.join(&head, &wrong), 1, &["mode 644", "chmod 600"]);
    let link = node.file("link");
    std::os::unix::fs::symlink(head.file("secret"), &link).unwrap();
    refused(&node.join(&head, &link), 1, &["is a link"]);
    refused(&node.join(&head, &node.file("nowhere")), 1, &["can't open"]);

    // No process shows it, and no log.
    let secret = ours.lines().nth(2).unwrap().trim_start_matches("secret ").to_owned();
    let pid = head.running().unwrap()["pid"].to_string();
    for file in [format!("/proc/{pid}/cmdline"), format!("/proc/{pid}/environ")] {
        assert!(!String::from_utf8_lossy(&std::fs::read(file).unwrap()).contains(&secret));
    }
    assert!(!std::fs::read_to_string(head.file("log")).unwrap().contains(&secret));
}

#[test]
fn what_makes_no_sense_is_refused_with_what_to_do() {
    let head = Home::head("sense");
    refused(&head.run(&["start", "--head", "--listen", "127.0.0.1:0"]), 1, &["runs already", "rayline stop"]);
    let other = Home::new("sense-other");
    refused(&other.run(&["start", "--head", "--listen", &head.address()]), 1, &["can't listen at", "--listen"]);
    refused(&other.run(&["start", "--head", "--listen", "0.0.0.0:0"]), 2, &["--trust-network"]);
    refused(&other.run(&["start", "--head", "--address", "127.0.0.1:1"]), 2, &["cannot be used with"]);
    refused(&other.run(&["start"]), 2, &["--head"]);
    refused(&other.run(&["start", "--head", "--cpus", "0"]), 2, &["cpus"]);
    let secret = head.file("secret").display().to_string();
    let nobody = ["start", "--address", "127.0.0.1:1", "--timeout", "1", "--secret-file", &secret];
    refused(&other.run(&nobody), 3, &["no head has answered at 127.0.0.1:1", "refused"]);
    std::fs::set_permissions(&other.path, PermissionsExt::from_mode(0o755)).unwrap();
    refused(&other.run(&["status"]), 1, &["mode 755", "chmod 700"]);
}

#[test]
fn lists_and_the_doctor_speak_json() {
    let head = Home::head("json");
    assert_eq!(head.json(&["list", "nodes", "--json"])[0]["state"], "alive");
    assert_eq!(head.json(&["list", "actors", "--json"]), Value::Array(vec![]));
    assert_eq!(head.json(&["list", "groups", "--json"]), Value::Array(vec![]));
    let found = head.json(&["doctor", "--json"]);
    assert!(found.as_array().unwrap().iter().any(|found| found["what"] == "shared memory" && found["state"] == "good"));
    let script = head.run(&["completions", "bash"]);
    assert!(text(&script).contains("_rayline"));
}

#[test]
fn what_owners_ask_for_is_given_and_shown() {
    let head = Home::head("owner");
    let mut owner = Owner::join(&head);
    let group = GroupId { owner: OWNER, seq: 1 };
    owner.control(controller::Event::ReserveGroup { group, bundles: vec![cpu(1)], strategy: Strategy::Pack });
    assert_eq!(owner.next(), Letter::Owner(owner::Event::GroupReady { group, nodes: vec![NodeId(1)] }));
    let groups = head.json(&["list", "groups", "--json"]);
    assert_eq!((&groups[0]["is_ready"], &groups[0]["nodes"][0]), (&Value::Bool(true), &Value::from("n1")));

    owner.request(1, 1);
    let Letter::Owner(owner::Event::LeaseGranted { lease, .. }) = owner.next() else { panic!("no lease") };
    owner.request(2, 2);
    let begin = Instant::now();
    let waiting = loop {
        let status = head.json(&["status", "--json"]);
        if let Some(row) = status["waiting"].get(0) {
            assert_eq!((status["used"]["cpu"].as_f64(), status["nodes"][0]["leases"].as_u64()), (Some(2.0), Some(1)));
            break row.clone();
        }
        assert!(begin.elapsed() < SOON, "nothing waits: {status}");
    };
    assert_eq!((&waiting["who"], &waiting["demand"]["cpu"]), (&Value::from("leases on n1"), &Value::from(2.0)));
    let cancelled = node::Event::CancelRequest { request: RequestId { owner: OWNER, seq: 2 } };
    owner.send(Address::Node(NodeId(1)), Letter::Node(cancelled));
    owner.send(Address::Node(NodeId(1)), Letter::Node(node::Event::ReturnLease { lease }));

    // Its owner has it started, and hears of its end.
    let actor = ActorId { owner: OWNER, seq: 1 };
    let spec = ActorSpec { demand: cpu(1), name: Some("learner".into()), ..ActorSpec::default() };
    owner.control(controller::Event::CreateActor { actor, spec });
    assert_eq!(owner.next(), Letter::Wanted(controller::Action::ActorCreated { actor }));
    let Letter::Wanted(controller::Action::StartActor { incarnation, .. }) = owner.next() else { panic!("no start") };
    owner.control(controller::Event::ActorEnded { actor, incarnation, end: ActorEnd::Crashed });
    assert!(matches!(owner.next(), Letter::Wanted(controller::Action::ActorDead { .. })));
    let actors = head.json(&["list", "actors", "--json"]);
    assert_eq!((&actors[0]["name"], &actors[0]["state"]), (&Value::from("learner"), &Value::from("dead")));

    let name = "x".repeat(1 << 20);
    let lookup = controller::Event::LookupActor { request: RequestId { owner: OWNER, seq: 3 }, name };
    let envelope = Envelope { to: Address::Head, letter: Letter::Controller(lookup) };
    assert!(matches!(owner.post.send_by(HEAD, envelope), Err(PostError::TooLarge { .. })));

    owner.send(Address::Head, Letter::Members(members::Event::OwnerClosed { owner: OWNER }));
    let begin = Instant::now();
    while head.json(&["list", "groups", "--json"]) != Value::Array(vec![]) {
        assert!(begin.elapsed() < SOON, "the group of a dead owner stays");
    }
}

#[test]
fn letters_that_a_broken_connection_has_lost_come_again() {
    let head = Home::head("letters");
    let wire = Wire::to(head.address().parse().unwrap());
    let mut owner = Owner::enlist_at(&head, wire.address, OWNER);
    assert!(matches!(owner.next(), Letter::OwnerWelcome { .. }));
    let mut granted = Vec::new();
    for seq in 0..60 {
        owner.request(seq, 1);
        // Now before the letter has left, now before the answer has come.
        if seq % 3 == 0 {
            std::thread::sleep(Duration::from_micros(seq * 40));
            wire.cut();
        }
        let lease = loop {
            match owner.next() {
                Letter::Owner(owner::Event::LeaseGranted { request, lease, .. }) => {
                    assert_eq!(request.seq, seq, "each comes once, in its turn");
                    break lease;
                }
                Letter::OwnerWelcome { .. } => {}
                other => panic!("{other:?}"),
            }
        };
        granted.push(lease);
        owner.send(Address::Node(NodeId(1)), Letter::Node(node::Event::ReturnLease { lease }));
    }
    granted.dedup();
    assert_eq!(granted.len(), 60);
    let status = head.json(&["status", "--json"]);
    assert_eq!(status["nodes"][0]["state"], "alive");
}

#[test]
fn jobs_are_known_stopped_and_lost() {
    let head = Home::head("jobs");
    // What is noted is shown when it is on the disk.
    let jobs_are = |wanted: &[&str]| {
        let begin = Instant::now();
        loop {
            let jobs = head.json(&["jobs", "list", "--json"]);
            let shown = |job: &Value| format!("{} {} {}", job["job"], job["owner"], job["state"]).replace('"', "");
            let jobs: Vec<String> = jobs.as_array().unwrap().iter().map(shown).collect();
            if jobs == wanted {
                return;
            }
            assert!(begin.elapsed() < SOON, "{jobs:?} are not {wanted:?}");
        }
    };
    jobs_are(&[]);
    let mut owner = Owner::join(&head);
    let group = GroupId { owner: OWNER, seq: 1 };
    owner.control(controller::Event::ReserveGroup { group, bundles: vec![cpu(1)], strategy: Strategy::Pack });
    assert!(matches!(owner.next(), Letter::Owner(owner::Event::GroupReady { .. })));
    jobs_are(&["j1 w9 running"]);

    refused(&head.run(&["jobs", "stop", "j7"]), 1, &["no job j7"]);
    let stopped = head.run(&["jobs", "stop", "j1"]);
    assert!(stopped.status.success() && text(&stopped).contains("j1 is stopped"), "{}", text(&stopped));
    assert_eq!(head.json(&["list", "groups", "--json"]), Value::Array(vec![]), "it holds nothing any more");
    assert!(head.run(&["jobs", "stop", "j1"]).status.success(), "twice is once");

    let mut ends = Owner::enlist(&head, OwnerId(10));
    jobs_are(&["j1 w9 stopped", "j2 w10 running"]);
    let _stays = Owner::enlist(&head, OwnerId(11));
    ends.send(Address::Head, Letter::Members(members::Event::OwnerClosed { owner: OwnerId(10) }));
    jobs_are(&["j1 w9 stopped", "j2 w10 ended", "j3 w11 running"]);
    head.signal("-KILL");
    let begin = Instant::now();
    while !head.run(&["start", "--head", "--listen", "127.0.0.1:0"]).status.success() {
        assert!(begin.elapsed() < SOON, "the killed head keeps its folder");
    }
    jobs_are(&["j1 w9 stopped", "j2 w10 ended", "j3 w11 lost"]);
}

#[test]
fn a_node_outlives_its_connection_if_it_comes_back_soon() {
    let head = Home::head("wire");
    let wire = Wire::to(head.address().parse().unwrap());
    let node = Home::new("wire-1");
    let (address, secret) = (wire.address.to_string(), head.file("secret").display().to_string());
    let joined = node.run(&["start", "--address", &address, "--secret-file", &secret, "--cpus", "1"]);
    assert!(joined.status.success(), "{}", text(&joined));
    for _ in 0..3 {
        wire.cut();
        std::thread::sleep(Duration::from_millis(700));
        let alive = |node: &str| (node.to_owned(), "alive".to_owned());
        assert_eq!(head.states(), [alive("n1"), alive("n2")]);
    }
    let log = |home: &Home| std::fs::read_to_string(home.file("log")).unwrap();
    assert_eq!(log(&head).matches("a node's connection has ended").count(), 3, "{}", log(&head));

    wire.is_down.store(true, Ordering::SeqCst);
    wire.cut();
    let took = head.wait_for("n2", "dead");
    assert!(took < Duration::from_secs(1), "a node that does not come back is dead after {took:?}");
    assert!(log(&node).contains("this life of the node is over"), "it has ended itself before: {}", log(&node));
    wire.is_down.store(false, Ordering::SeqCst);
    head.wait_for("n3", "alive");
}

//! Faults, one after the other while the time for them lasts.

use std::time::Duration;

use rayline_core::Time;
use rayline_core::owner;

use crate::message::{Addr, Message};
use crate::network::Place;
use crate::world::{Local, World};

impl World {
    /// Injects one fault, and sets the time of the next.
    pub(crate) fn fault(&mut self) {
        if self.is_settling {
            return;
        }
        let gap = self.rng.wait(self.plan.faults.gap);
        self.later(gap, Local::Fault);
        let f = &self.plan.faults;
        let weights = [
            f.crash,
            f.stall,
            f.controller_stall,
            f.cut_controller,
            f.cut_pair,
            f.isolate,
            f.kill_owner,
            f.lose_object,
            f.fill_store,
            f.wall_jump,
        ];
        let total: u64 = weights.iter().sum();
        if total == 0 {
            return;
        }
        let mut draw = self.rng.below(total);
        let mut which = 0;
        while draw >= weights[which] {
            draw -= weights[which];
            which += 1;
        }
        let host = usize::try_from(self.rng.below(self.hosts.len() as u64)).expect("a host's index");
        let time = self.rng.wait(self.plan.limits.dead_after * 3);
        let until = self.now + time;
        self.say(format_args!("fault {which} at machine {host} for {time:?}"));
        match which {
            0 => self.crash(host),
            1 => self.stall(host, until),
            2 => self.controller_stalled = self.controller_stalled.max(until),
            3 => self.cut(host, Place::Controller, until),
            4 => {
                let other = usize::try_from(self.rng.below(self.hosts.len() as u64)).expect("a host's index");
                self.cut(host, Place::Host(other), until);
            }
            5 => self.isolate(host, until),
            6 => self.kill_some_owner(),
            7 => self.lose_object(host),
            8 => self.hosts[host].store_full_until = until,
            _ => self.wall_offset = Duration::from_secs(self.rng.below(2_000_000)),
        }
    }

    fn harm(&mut self, host: usize, until: Time) {
        // Silence shows up to the whole time after it began to be heard again.
        let until = until + self.plan.limits.dead_after * 2;
        if let Some(life) = &self.hosts[host].life {
            self.oracle.harm(life.peer, until);
        }
    }

    fn crash(&mut self, host: usize) {
        if let Some(life) = &self.hosts[host].life {
            self.oracle.harm(life.peer, Time::from_nanos(u64::MAX));
        }
        self.end_life(host);
    }

    fn stall(&mut self, host: usize, until: Time) {
        self.harm(host, until);
        let stalled = &mut self.hosts[host].stalled_until;
        *stalled = (*stalled).max(until);
    }

    fn cut(&mut self, host: usize, other: Place, until: Time) {
        if other == Place::Controller {
            self.harm(host, until);
        }
        let way = self.rng.below(3);
        if way != 0 {
            self.net.cut(Place::Host(host), other, until);
        }
        if way != 1 {
            self.net.cut(other, Place::Host(host), until);
        }
    }

    fn isolate(&mut self, host: usize, until: Time) {
        self.harm(host, until);
        let others = (0..self.hosts.len()).map(Place::Host).chain([Place::Controller]);
        for other in others.filter(|other| *other != Place::Host(host)) {
            self.net.cut(Place::Host(host), other, until);
            self.net.cut(other, Place::Host(host), until);
        }
    }

    fn kill_some_owner(&mut self) {
        let owners: Vec<_> = self.owners.keys().copied().collect();
        if let Some(owner) = self.rng.pick(&owners).copied() {
            self.kill_owner(owner);
        }
    }

    /// A store loses a value and says so.
    fn lose_object(&mut self, host: usize) {
        let Some(life) = &mut self.hosts[host].life else { return };
        let Some(node) = life.member.node() else { return };
        let objects: Vec<_> = life.store.keys().copied().collect();
        let Some(object) = self.rng.pick(&objects).copied() else { return };
        let attempt = life.store.remove(&object).expect("it is there");
        let lost = Message::Owner(owner::Event::ObjectLost { object, node, attempt });
        self.send(Addr::Node(node), Addr::Owner(object.task.owner), lost);
    }

    /// No fault goes on.
    pub(crate) fn heal(&mut self) {
        self.is_settling = true;
        self.net.heal();
        self.controller_stalled = self.now;
        for host in &mut self.hosts {
            host.stalled_until = host.stalled_until.min(self.now);
            host.store_full_until = Time::ZERO;
        }
    }
}

//! What two processes have said to each other: letters that must arrive are kept until they have, and sent again when a
//! connection has broken.
//!
//! ```text
//!  sender                                          receiver
//!   1 2 3 -- connection breaks --x                  1 came
//!   the next one: 4, and then all that nobody has acknowledged: 2 3 4      4 is too early, 2 3 4 come
//! ```
//! Numbers are of one life of the other process: to another one nothing is sent again, as it was not meant.

use super::letter::{Envelope, Letter};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;

/// Letters that wait for their acknowledgement; beyond it a letter is refused.
const KEPT_MAX: usize = 4096;
/// After so many letters without an answer their receiver says that they have come.
const UNSAID_MAX: u32 = 16;
/// How soon a broken connection is made again, and how often after that.
const SOON: Duration = Duration::from_millis(20);
const AGAIN: Duration = Duration::from_millis(500);
/// After so many tries what is left is given up: the head will say that the process is dead.
const TRIES_MAX: u32 = 20;

/// What a frame holds.
#[derive(Serialize, Deserialize)]
pub(super) struct Parcel {
    /// Which of the letters that must arrive it is, from 1; 0 for one that may be lost.
    number: u64,
    /// How many have come from the other side.
    came: u64,
    /// Nothing, where it only says that.
    envelope: Option<Envelope>,
}

impl Parcel {
    /// Whether it is kept until it has.
    pub(super) fn must_arrive(&self) -> bool {
        self.number > 0
    }
}

/// The letters to and from one process.
#[derive(Default)]
pub(super) struct Line {
    /// Which life of the other process it is, once there was a connection.
    life: Option<u64>,
    sent: u64,
    kept: VecDeque<(u64, Envelope)>,
    came: u64,
    /// How many have come since the other side was told.
    unsaid: u32,
    tries: u32,
}

impl Line {
    /// What to send for a letter; `None` where too many wait already.
    pub(super) fn pack(&mut self, envelope: Envelope) -> Option<Parcel> {
        if may_be_lost(&envelope.letter) {
            return Some(self.parcel(0, Some(envelope)));
        }
        if self.kept.len() >= KEPT_MAX {
            return None;
        }
        self.sent += 1;
        self.kept.push_back((self.sent, envelope.clone()));
        Some(self.parcel(self.sent, Some(envelope)))
    }

    /// What a parcel brings; `None` where that came before, or is still to come, or where there is nothing in it.
    pub(super) fn unpack(&mut self, parcel: Parcel) -> Option<Envelope> {
        let Parcel { number, came, envelope } = parcel;
        while self.kept.front().is_some_and(|(kept, _)| *kept <= came) {
            self.kept.pop_front();
        }
        if number == 0 {
            return envelope;
        }
        self.unsaid += 1;
        if number != self.came + 1 {
            return None;
        }
        self.came = number;
        envelope
    }

    /// What to say where much has come and nothing was said.
    pub(super) fn acknowledge(&mut self) -> Option<Parcel> {
        (self.unsaid >= UNSAID_MAX).then(|| self.parcel(0, None))
    }

    /// There is a connection: what is to be sent again.
    pub(super) fn connected(&mut self, life: u64) -> Vec<Parcel> {
        self.tries = 0;
        if self.life.replace(life).is_some_and(|known| known != life) {
            *self = Line { life: Some(life), ..Line::default() };
            return Vec::new();
        }
        let kept: Vec<_> = self.kept.iter().cloned().collect();
        let parcels = kept.into_iter().map(|(number, envelope)| self.parcel(number, Some(envelope)));
        parcels.collect()
    }

    /// There is none any more: when to make another, where something is left to be said.
    pub(super) fn broken(&mut self) -> Option<Duration> {
        self.tries += 1;
        if self.kept.is_empty() || self.tries > TRIES_MAX {
            self.kept.clear();
            return None;
        }
        Some(if self.tries == 1 { SOON } else { AGAIN })
    }

    /// What makes a connection, where something is left to be said.
    pub(super) fn call(&mut self) -> Option<Parcel> {
        (!self.kept.is_empty()).then(|| self.parcel(0, None))
    }

    fn parcel(&mut self, number: u64, envelope: Option<Envelope>) -> Parcel {
        self.unsaid = 0;
        Parcel { number, came: self.came, envelope }
    }
}

/// What is said again by itself, or tells of a moment.
fn may_be_lost(letter: &Letter) -> bool {
    matches!(
        letter,
        Letter::Join { .. }
            | Letter::Members(_)
            | Letter::Member(_)
            | Letter::Report { .. }
            | Letter::Enlist { .. }
            | Letter::OwnerRefused { .. }
            | Letter::Wrote { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::super::letter::Address;
    use super::*;
    use rayline_core::ids::NodeId;

    fn letter(number: u32) -> Envelope {
        Envelope { to: Address::Head, letter: Letter::NodeDied(NodeId(number)) }
    }

    fn numbers(received: &[Envelope]) -> Vec<u32> {
        let number = |envelope: &Envelope| match envelope.letter {
            Letter::NodeDied(NodeId(number)) => number,
            _ => panic!("no letter of this test"),
        };
        received.iter().map(number).collect()
    }

    #[test]
    fn what_a_broken_connection_has_lost_comes_once_and_in_order() {
        let (mut here, mut there, mut received) = (Line::default(), Line::default(), Vec::new());
        assert!(here.connected(7).is_empty());
        received.extend(there.unpack(here.pack(letter(1)).unwrap()));
        // Two are lost; the next goes to the connection that is being made, before anybody knows of the loss.
        drop((here.pack(letter(2)), here.pack(letter(3))));
        assert_eq!(here.broken(), Some(SOON));
        received.extend(here.pack(letter(4)).and_then(|early| there.unpack(early)));
        for parcel in here.connected(7) {
            received.extend(there.unpack(parcel));
        }
        assert_eq!(numbers(&received), [1, 2, 3, 4]);
        here.unpack(there.parcel(0, None));
        assert_eq!(here.broken(), None, "all was acknowledged");
    }

    #[test]
    fn another_life_hears_nothing_that_was_not_meant_for_it() {
        let (mut here, mut there) = (Line::default(), Line::default());
        here.connected(7);
        drop(here.pack(letter(1)));
        let early = here.pack(letter(2)).unwrap();
        assert!(here.connected(8).is_empty());
        assert_eq!(there.unpack(early), None);
        assert_eq!(there.unpack(here.pack(letter(3)).unwrap()), Some(letter(3)));
    }

    #[test]
    fn who_only_listens_says_so_now_and_then() {
        let (mut here, mut there) = (Line::default(), Line::default());
        for number in 0..100 {
            there.unpack(here.pack(letter(number)).unwrap()).unwrap();
            if let Some(word) = there.acknowledge() {
                here.unpack(word);
            }
            assert!(here.kept.len() <= UNSAID_MAX as usize);
        }
    }

    #[test]
    fn what_nobody_takes_is_bounded_and_given_up() {
        let mut here = Line::default();
        let packed = (0..KEPT_MAX as u32 + 10).filter(|number| here.pack(letter(*number)).is_some()).count();
        assert_eq!(packed, KEPT_MAX);
        assert_eq!((1..=TRIES_MAX).filter(|_| here.broken().is_some()).count(), TRIES_MAX as usize);
        assert_eq!(here.broken(), None);
        assert!(here.connected(1).is_empty());
    }
}

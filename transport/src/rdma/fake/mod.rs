//! Cards that aren't there: a table of functions that moves bytes within the process, refuses what a card refuses, and
//! fails as it is told. The tests of [`super::card`] run on it and, in the virtual machine, on cards: that holds it to
//! the truth.

mod calls;
mod objects;

pub use self::calls::verbs;

use super::verbs::Verbs;
use super::verbs::abi::ibv_wc;
use objects::{Memory, QueuePair};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

thread_local! {
    /// The fabric whose cards are listed for this thread.
    static CURRENT: RefCell<Option<Arc<Fabric>>> = const { RefCell::new(None) };
}

/// Cards that reach each other.
pub struct Fabric {
    pub cards: Vec<Card>,
    state: Mutex<State>,
}

/// What a card says of itself.
#[derive(Clone)]
pub struct Card {
    pub name: String,
    pub is_active: bool,
    pub is_infiniband: bool,
    pub address: [u8; 16],
    pub message_bytes_max: u32,
}

#[derive(Default)]
struct State {
    next: u32,
    memories: HashMap<u32, Memory>,
    pairs: HashMap<u32, QueuePair>,
    /// Memory of devices, by the descriptor of its dmabuf.
    devices: HashMap<i32, Vec<u8>>,
    /// Objects that have not ended, by kind.
    live: HashMap<&'static str, usize>,
    /// Calls that fail, with which error, and how often.
    failing: HashMap<&'static str, (i32, usize)>,
    /// Cards whose packets get lost.
    cut: HashSet<usize>,
    /// Bytes that each card has sent or asked for.
    moved: HashMap<usize, u64>,
    /// Requests aren't carried out while this is set, but kept.
    is_frozen: bool,
    frozen: Vec<objects::Kept>,
    /// Writes that wait for a receive of the peer.
    unready: Vec<objects::Kept>,
    /// Each completion comes twice, as with a broken provider.
    is_stuttering: bool,
}

impl Fabric {
    /// `count` cards of Ethernet, which this thread sees from now on.
    pub fn new(count: usize) -> Arc<Self> {
        let card = |index: usize| Card {
            name: format!("fake{index}"),
            is_active: true,
            is_infiniband: false,
            address: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, index as u8 + 1],
            message_bytes_max: 1 << 30,
        };
        Self::of((0..count).map(card).collect())
    }

    pub fn of(cards: Vec<Card>) -> Arc<Self> {
        let fabric = Arc::new(Self { cards, state: Mutex::default() });
        CURRENT.with(|current| *current.borrow_mut() = Some(fabric.clone()));
        fabric
    }

    /// The next `times` calls of a function fail.
    pub fn fail(&self, call: &'static str, code: i32, times: usize) {
        self.state().failing.insert(call, (code, times));
    }

    /// From now on packets of a card get lost, or no longer.
    pub fn cut(&self, card: usize, is_cut: bool) {
        let mut state = self.state();
        if is_cut {
            state.cut.insert(card)
        } else {
            state.cut.remove(&card)
        };
    }

    pub fn freeze(&self) {
        self.state().is_frozen = true;
    }

    /// Carries out what was kept, but for what is of queue pairs that have ended.
    pub fn thaw(&self) {
        let mut state = self.state();
        state.is_frozen = false;
        for kept in std::mem::take(&mut state.frozen) {
            kept.carry_out(&mut state);
        }
    }

    pub fn kept(&self) -> usize {
        self.state().frozen.len()
    }

    pub fn stutter(&self) {
        self.state().is_stuttering = true;
    }

    pub fn moved(&self, card: usize) -> u64 {
        self.state().moved.get(&card).copied().unwrap_or(0)
    }

    /// Objects that have not ended; none are left when all is well.
    pub fn live(&self, kind: &'static str) -> usize {
        self.state().live.get(kind).copied().unwrap_or(0)
    }

    pub fn assert_nothing_is_left(&self) {
        let left: Vec<_> = self.state().live.iter().filter(|(_, count)| **count > 0).map(|(a, b)| (*a, *b)).collect();
        assert_eq!(left, [], "objects of cards are left");
    }

    /// Memory of a device that the process doesn't see, under the descriptor of its dmabuf.
    pub fn add_device_memory(&self, descriptor: i32, bytes: Vec<u8>) {
        self.state().devices.insert(descriptor, bytes);
    }

    pub fn device_memory(&self, descriptor: i32) -> Vec<u8> {
        self.state().devices[&descriptor].clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The error of a call that is to fail now.
    fn failure(&mut self, call: &'static str) -> Option<i32> {
        let (code, times) = self.failing.get_mut(call)?;
        let code = *code;
        *times -= 1;
        if *times == 0 {
            self.failing.remove(call);
        }
        Some(code)
    }

    fn fresh(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn count(&mut self, kind: &'static str) {
        *self.live.entry(kind).or_default() += 1;
    }

    fn uncount(&mut self, kind: &'static str) {
        *self.live.get_mut(kind).expect("counted before") -= 1;
    }

    fn complete(&self, queue: *mut super::verbs::abi::ibv_cq, completion: ibv_wc) {
        let times = if self.is_stuttering { 2 } else { 1 };
        (0..times).for_each(|_| objects::push(queue, completion));
    }
}

/// The functions of the cards to test on: this machine's where `RAYLINE_CARDS` is `real`, as in the virtual machine.
pub fn cards_to_test() -> (Verbs, Vec<String>) {
    if std::env::var("RAYLINE_CARDS").is_ok_and(|cards| cards == "real") {
        let names = ["rxe0", "rxe1"].map(String::from).into();
        return (*Verbs::load().expect("it is asked for"), names);
    }
    let fabric = Fabric::new(2);
    (verbs(), fabric.cards.iter().map(|card| card.name.clone()).collect())
}

//! The machine under a world that loses, refuses and forgets.

use super::*;
use crate::region::CHUNK_BYTES;
use proptest::prelude::*;

fn settings() -> Settings {
    Settings {
        lanes_max: 2,
        work_per_lane_max: 4,
        leases_per_peer_max: 3,
        lane_quantum: Duration::from_millis(5),
        lane_idle: Duration::from_secs(1),
        stall_timeout: Duration::from_millis(200),
        lane_timeout: Duration::from_millis(300),
        is_patient: false,
        answer_timeout: Duration::from_millis(500),
        pause_min: Duration::from_millis(10),
        pause_max: Duration::from_millis(80),
    }
}

/// A machine, its clock, and what it wants done.
struct World {
    machine: Machine,
    now: Instant,
    wanted: Vec<Action>,
    ended: BTreeMap<TransferId, Ended>,
    parted: Vec<LaneId>,
}

impl World {
    fn new(settings: Settings) -> Self {
        let (wanted, ended, parted) = (vec![], BTreeMap::new(), vec![]);
        Self { machine: Machine::new(settings), now: Instant::now(), wanted, ended, parted }
    }

    fn tell(&mut self, event: Event) {
        self.machine.handle(self.now, event);
        self.collect();
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.machine.tick(self.now);
        self.collect();
    }

    fn collect(&mut self) {
        self.machine.check();
        let mut actions = vec![];
        self.machine.take_actions(&mut actions);
        for action in actions {
            match action {
                Action::End { transfer, ended } => {
                    assert_eq!(self.ended.insert(transfer, ended), None, "{transfer:?} has ended twice");
                }
                Action::Part { lane, .. } => self.parted.push(lane),
                Action::Post { lane, .. } => {
                    assert!(!self.parted.contains(&lane), "work for a lane that is no more");
                    self.wanted.push(action);
                }
                other => self.wanted.push(other),
            }
        }
    }

    /// Does one thing that is wanted, well or as `luck` has it.
    fn serve(&mut self, index: usize, luck: u8) {
        if self.wanted.is_empty() {
            return;
        }
        let action = self.wanted.remove(index % self.wanted.len());
        let cut = Cut { piece_bytes: 1 << 20, border: 3 << 19, extent_bytes: 2 << 20 };
        let event = match (action, luck) {
            // A dial has a deadline of its own.
            (Action::Dial { peer }, 0 | 1) => Event::Unlinked { peer },
            // Nobody answers.
            (_, 0) => return,
            (Action::Dial { peer }, _) => Event::Linked { peer, pairs: vec![(0, 0), (1, 1)] },
            (Action::Join { lane, .. }, 1 | 2) => Event::NotJoined { lane },
            (Action::Join { lane, .. }, _) => Event::Joined { lane },
            (Action::Ask { transfer }, 1) => Event::Denied { transfer, denied: Denied::NotYet },
            (Action::Ask { transfer }, 2) => Event::Declined { transfer },
            (Action::Ask { transfer }, _) => Event::Granted { transfer, cut },
            (Action::Post { work, .. }, 1) => Event::Completed { work, outcome: Outcome::Refused },
            (Action::Post { work, .. }, 2) => Event::Completed { work, outcome: Outcome::Failed },
            (Action::Post { work, .. }, _) => Event::Completed { work, outcome: Outcome::Done },
            (Action::Release { transfer, .. }, 1) => Event::Denied { transfer, denied: Denied::Revoked },
            (Action::Release { transfer, .. }, 2) => Event::Declined { transfer },
            (Action::Release { transfer, .. }, _) => Event::Released { transfer },
            (Action::HangUp { .. } | Action::Part { .. } | Action::End { .. }, _) => return,
        };
        self.tell(event);
    }

    fn start(&mut self, id: u64, peer: u128, chunks: u64) {
        self.tell(Event::Start { transfer: TransferId(id), peer: PeerId(peer), len: chunks * CHUNK_BYTES / 2 });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_transfer_ends_once_whatever_happens(
        starts in proptest::collection::vec((1..5_u128, 0..9_u64), 1..20),
        steps in proptest::collection::vec((any::<usize>(), 0..30_u8, 0..20_u64), 0..300),
        is_patient: bool,
    ) {
        let mut world = World::new(Settings { is_patient, ..settings() });
        let count = starts.len();
        let mut starts = starts.into_iter().zip(1..);
        for (index, luck, millis) in steps {
            if let Some(((peer, chunks), id)) = starts.next() {
                world.start(id, peer, chunks);
            }
            world.serve(index, luck);
            world.pass(Duration::from_millis(millis));
        }
        for ((peer, chunks), id) in starts {
            world.start(id, peer, chunks);
        }
        // From now on nobody answers: all that waits has a deadline. A link that is being made has its own.
        for _ in 0..400 {
            world.pass(Duration::from_millis(50));
            world.wanted.retain(|action| matches!(action, Action::Dial { .. }));
            if let Some(Action::Dial { peer }) = world.wanted.pop() {
                world.tell(Event::Unlinked { peer });
            }
        }
        prop_assert_eq!(world.ended.len(), count);
        prop_assert!(world.machine.works.is_empty() && world.machine.lanes.is_empty());
    }

    #[test]
    fn where_all_goes_well_all_arrives(
        starts in proptest::collection::vec((1..6_u128, 0..9_u64), 1..30),
        order in proptest::collection::vec(any::<usize>(), 1..50),
    ) {
        // No deadline passes, however long the order lets something wait.
        let ever = Duration::from_secs(60);
        let mut world = World::new(Settings {
            lane_timeout: ever,
            stall_timeout: ever,
            answer_timeout: ever,
            ..settings()
        });
        for ((peer, chunks), id) in starts.iter().zip(1..) {
            world.start(id, *peer, *chunks);
        }
        for index in order.iter().cycle().take(5000) {
            world.serve(*index, 9);
            world.pass(Duration::from_micros(100));
        }
        prop_assert_eq!(world.ended.len(), starts.len());
        prop_assert!(world.ended.values().all(|ended| *ended == Ended::Whole), "{:?}", world.ended);
    }
}

/// One transfer of four chunks with its four pieces posted, two on each lane.
fn moving() -> World {
    let mut world = World::new(settings());
    world.start(1, 1, 8);
    for _ in 0..100 {
        if world.wanted.iter().any(|action| !matches!(action, Action::Post { .. })) {
            let index = world.wanted.iter().position(|action| !matches!(action, Action::Post { .. })).unwrap();
            world.serve(index, 9);
        }
    }
    world
}

fn posted(world: &World) -> Vec<(WorkId, LaneId, Piece)> {
    let post = |action: &Action| match action {
        Action::Post { work, lane, piece, .. } => Some((*work, *lane, *piece)),
        _ => None,
    };
    world.wanted.iter().filter_map(post).collect()
}

#[test]
fn what_was_on_a_lane_that_died_is_moved_by_another() {
    let mut world = moving();
    let first = posted(&world);
    let (work, dead, _) = first[0];
    world.tell(Event::Completed { work, outcome: Outcome::Failed });
    // What the dead lane still says is heard by nobody.
    for (work, _, _) in first.iter().filter(|(_, lane, _)| *lane == dead) {
        assert!(!world.machine.is_outstanding(*work));
        world.tell(Event::Completed { work: *work, outcome: Outcome::Done });
    }
    world.wanted.retain(|action| !matches!(action, Action::Post { lane, .. } if *lane == dead));
    let mut moved = vec![];
    while !world.wanted.is_empty() {
        moved.extend(posted(&world).into_iter().map(|(_, _, piece)| piece.at));
        world.serve(0, 9);
    }
    assert!(first.iter().all(|(_, _, piece)| moved.contains(&piece.at)), "{first:?} {moved:?}");
    assert_eq!(world.ended[&TransferId(1)], Ended::Whole);
}

#[test]
fn a_key_that_is_refused_is_no_fault_of_the_rail() {
    let mut world = moving();
    let (work, _, _) = posted(&world)[0];
    world.tell(Event::Completed { work, outcome: Outcome::Refused });
    let peer = &world.machine.peers[&PeerId(1)];
    assert!(peer.pairs().iter().all(|pair| pair.pause.is_over(world.now)));
    world.tell(Event::Completed { work, outcome: Outcome::Failed });
    assert!(world.machine.peers[&PeerId(1)].pairs().iter().all(|pair| pair.pause.is_over(world.now)));
}

#[test]
fn pauses_double_up_to_the_longest() {
    let (mut pause, now, settings) = (pause::Pause::default(), Instant::now(), settings());
    for millis in [10, 20, 40, 80, 80] {
        pause.handle_failure(now, &settings);
        assert!(!pause.is_over(now + Duration::from_millis(millis - 1)));
        assert!(pause.is_over(now + Duration::from_millis(millis)));
    }
    pause.handle_success();
    assert!(pause.is_over(now));
}

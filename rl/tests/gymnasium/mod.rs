//! Reads the transitions that `record.py` wrote; the format is described there.

use std::path::Path;
use std::str::FromStr;
use std::{fmt, fs};

use rayline_rl::env::Actions;

/// One file.
pub struct Record {
    pub id: String,
    pub episodes: Vec<Episode>,
    /// Digest of the sines of all recorded states, as the recording C library rounds them.
    libm: u64,
}

/// An episode from its start to its end, or to where the recording stops.
pub struct Episode {
    pub name: String,
    pub start: Vec<f64>,
    pub moves: Vec<Move>,
}

pub struct Move {
    pub action: Action,
    /// Not all are recorded.
    pub seen: Option<Seen>,
}

#[derive(Clone, Copy, Debug)]
pub enum Action {
    Choice([u32; 1]),
    Value([f32; 1]),
}

/// What Gymnasium gave for an action.
pub struct Seen {
    pub state: Vec<f64>,
    pub obs: Vec<f32>,
    pub reward: f64,
    pub terminated: bool,
    pub truncated: bool,
}

/// One step whose state before is recorded too.
pub struct Single<'a> {
    pub place: String,
    pub before: &'a [f64],
    pub action: Action,
    pub after: &'a Seen,
}

impl Record {
    /// The record of the environment `id`.
    pub fn load(id: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/gymnasium/{id}.txt"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut record = Self { id: id.to_owned(), episodes: Vec::new(), libm: 0 };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            record.read(line);
        }
        record
    }

    fn read(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').expect("a word and what belongs to it");
        match word {
            "id" => assert_eq!(rest, self.id),
            "libm" => self.libm = u64::from_str_radix(rest, 16).expect("a digest"),
            "episode" => {
                self.episodes.push(Episode { name: rest.to_owned(), start: Vec::new(), moves: Vec::new() });
            }
            "start" => self.episode().start = numbers(rest),
            "acts" => {
                let moves = rest.split(' ').map(|action| Move { action: Action::read(action), seen: None });
                self.episode().moves.extend(moves);
            }
            "step" => {
                let (action, seen) = rest.split_once(" | ").expect("an action");
                self.episode().moves.push(Move { action: Action::read(action), seen: Some(Seen::read(seen)) });
            }
            _ => panic!("{line}"),
        }
    }

    fn episode(&mut self) -> &mut Episode {
        self.episodes.last_mut().expect("an episode line comes first")
    }

    /// Whether the C library here rounds the sines of all recorded states as the recording one did.
    pub fn is_same_libm(&self) -> bool {
        let mut digest: u64 = 0xCBF2_9CE4_8422_2325;
        let seen = self.episodes.iter().flat_map(|episode| &episode.moves).filter_map(|step| step.seen.as_ref());
        for &x in seen.flat_map(|seen| &seen.state) {
            for value in [x.sin(), x.cos(), (3.0 * x).cos()] {
                digest = (digest ^ value.to_bits()).wrapping_mul(0x100_0000_01B3);
            }
        }
        digest == self.libm
    }

    /// All steps from a recorded state to another, up to the end of each episode.
    pub fn singles(&self) -> impl Iterator<Item = Single<'_>> {
        self.episodes.iter().flat_map(move |episode| {
            let mut before = Some(&episode.start[..]);
            episode.moves.iter().enumerate().filter_map(move |(at, step)| {
                let is_over = step.seen.as_ref().is_none_or(|seen| seen.terminated || seen.truncated);
                let next = step.seen.as_ref().filter(|_| !is_over).map(|seen| &seen.state[..]);
                let (before, after) = (std::mem::replace(&mut before, next)?, step.seen.as_ref()?);
                Some(Single { place: self.place(episode, at), before, action: step.action, after })
            })
        })
    }

    /// For messages: which step this is.
    pub fn place(&self, episode: &Episode, at: usize) -> String {
        format!("{}, {}, step {}", self.id, episode.name, at + 1)
    }
}

impl Action {
    fn read(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Value([text.parse().expect("an action")]), |choice| Self::Choice([choice]))
    }

    pub fn as_actions(&self) -> Actions<'_> {
        match self {
            Self::Choice(choice) => Actions::Discrete(choice),
            Self::Value(value) => Actions::Continuous(value),
        }
    }
}

impl Seen {
    fn read(text: &str) -> Self {
        let fields: Vec<&str> = text.split(" | ").collect();
        let [state, obs, reward, flags] = fields[..] else { panic!("{text}") };
        let flags: Vec<u8> = numbers(flags);
        let reward = reward.parse().expect("a reward");
        Self { state: numbers(state), obs: numbers(obs), reward, terminated: flags[0] == 1, truncated: flags[1] == 1 }
    }
}

fn numbers<T: FromStr<Err: fmt::Debug>>(text: &str) -> Vec<T> {
    text.split(' ').map(|number| number.parse().expect("a number")).collect()
}

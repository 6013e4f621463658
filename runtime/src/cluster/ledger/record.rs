//! The head's own part of the ledger: names of nodes, lives of machines, jobs and their executables.

use super::{Change, Done, Ledger, LedgerError, Table, write_now};
use rayline_core::ids::{NodeId, OwnerId};
use rayline_core::members::Peer;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::error;

/// Names of nodes that are written down at a time, before the first of them is given. After a head that was killed the
/// names of as many at most are passed over.
const NAMES: u32 = 64;
/// Jobs that are kept, the oldest that has ended forgotten first.
const JOBS_MAX: usize = 10_000;
/// Lives of machines that are kept when a head starts, those with the oldest names forgotten first.
const MACHINES_MAX: usize = 20_000;

/// What the head writes down of the cluster, and what it finds of its earlier lives.
///
/// No name of a node is given that isn't below the bound in the file. Lives of machines and jobs are written behind the
/// head's back: a life that is lost with a killed head was of a node that had not heard of its welcome, or has ended since.
#[derive(Debug)]
pub struct Record {
    ledger: Arc<dyn Ledger>,
    term: u64,
    /// Names from this one on were never given.
    next_node: u32,
    /// The bound in the file.
    names_below: u32,
    running: BTreeMap<OwnerId, (u64, Job)>,
    ended: VecDeque<u64>,
    next_job: u64,
}

/// A program that has joined the cluster, by the number in its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Whether it runs.
    pub state: JobState,
    /// The owner that its driver is.
    pub owner: OwnerId,
    /// The hash of its executable, in hexadecimal digits, where its driver has said it.
    pub binary: Option<String>,
    /// When it joined, in milliseconds since 1970.
    pub started_ms: u64,
    /// When it was over.
    pub ended_ms: Option<u64>,
    /// How its process ended, where that is known.
    pub exit_code: Option<i32>,
}

/// Whether a job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// It does.
    Running,
    /// Its driver is gone.
    Ended,
    /// It was stopped.
    Stopped,
    /// The head that knew it has ended before it.
    Lost,
}

/// An executable of jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binary {
    /// Its length.
    pub bytes: u64,
    /// The nodes that have it.
    pub nodes: Vec<NodeId>,
}

/// The last life of a machine, and its name.
#[derive(Serialize, Deserialize)]
struct Life {
    boot: u64,
    node: NodeId,
}

impl Record {
    /// Reads what earlier lives of the head have written, and begins another: its term is written down, and jobs that were
    /// running are lost. Also the last lives of machines.
    ///
    /// # Errors
    /// Where the ledger can't be read or written.
    pub fn open(ledger: Arc<dyn Ledger>) -> Result<(Record, Vec<Peer>), LedgerError> {
        let number = |key: &str| -> Result<Option<u64>, LedgerError> {
            let found = ledger.get(Table::Meta, key.as_bytes())?;
            Ok(found.and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes))
        };
        let term = number("term")?.unwrap_or(0) + 1;
        let next_node = number("names").map(|names| names.and_then(|names| u32::try_from(names).ok()).unwrap_or(1))?;
        write_now(&*ledger, Change::put(Table::Meta, "term", term.to_le_bytes()))?;
        let lives = lives(&*ledger)?;
        let mut record = Record {
            ledger,
            term,
            next_node,
            names_below: next_node,
            running: BTreeMap::new(),
            ended: VecDeque::new(),
            next_job: 1,
        };
        record.lose_jobs()?;
        Ok((record, lives))
    }

    /// How often the cluster's head was started.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The first name that may be given.
    pub fn next_node(&self) -> NodeId {
        NodeId(self.next_node)
    }

    /// Where the names of drivers go on: each has a job of its own.
    pub fn next_owner(&self) -> u32 {
        u32::try_from(self.next_job).unwrap_or(1)
    }

    /// Writes down that a machine's life has a name, before that is said; `false` where that can't be, and nothing may be
    /// said. Now and then this waits for the disk.
    #[must_use]
    pub fn welcome(&mut self, peer: Peer, node: NodeId) -> bool {
        if node.0 >= self.names_below {
            let below = node.0.saturating_add(NAMES);
            if let Err(error) = self.write_bound(below) {
                error!(error = &error as &dyn std::error::Error, "no node can be welcomed");
                return false;
            }
            self.names_below = below;
        }
        self.next_node = self.next_node.max(node.0 + 1);
        let life = Life { boot: peer.boot, node };
        self.put(Table::Machines, peer.machine.to_be_bytes(), &life, said("a life of a machine"));
        true
    }

    /// A driver has joined: a job begins, unless it is known.
    pub fn job_begins(&mut self, owner: OwnerId, binary: Option<String>) {
        if self.running.contains_key(&owner) {
            return;
        }
        let (number, state) = (self.next_job, JobState::Running);
        let job = Job { state, owner, binary, started_ms: now_ms(), ended_ms: None, exit_code: None };
        self.next_job += 1;
        self.put(Table::Jobs, job_key(number), &job, said("a job's begin"));
        self.running.insert(owner, (number, job));
        while self.running.len() + self.ended.len() > JOBS_MAX
            && let Some(oldest) = self.ended.pop_front()
        {
            self.ledger.write(Change::delete(Table::Jobs, job_key(oldest)), said("that a job is forgotten"));
        }
    }

    /// A driver is gone: its job has ended, if it hasn't yet.
    pub fn job_ends(&mut self, owner: OwnerId) {
        self.finish(owner, JobState::Ended, said("a job's end"));
    }

    /// Notes that a job is stopped, which `done` hears; its owner, where it runs.
    pub fn job_stops(&mut self, number: u64, done: Done) -> Option<OwnerId> {
        let owner = self.running.iter().find(|(_, (known, _))| *known == number).map(|(owner, _)| *owner)?;
        self.finish(owner, JobState::Stopped, done);
        Some(owner)
    }

    /// Notes where an executable is, by its hash.
    pub fn binary_is(&self, hash: &[u8; 32], binary: &Binary) {
        self.put(Table::Binaries, *hash, binary, said("where an executable is"));
    }

    /// Where an executable is, by its hash.
    ///
    /// # Errors
    /// Where the ledger can't be read.
    pub fn binary(&self, hash: &[u8; 32]) -> Result<Option<Binary>, LedgerError> {
        Ok(self.ledger.get(Table::Binaries, hash)?.and_then(|bytes| read(&bytes)))
    }

    fn finish(&mut self, owner: OwnerId, state: JobState, done: Done) {
        let Some((number, job)) = self.running.remove(&owner) else { return };
        self.put(Table::Jobs, job_key(number), &Job { state, ended_ms: Some(now_ms()), ..job }, done);
        self.ended.push_back(number);
    }

    /// Jobs of an earlier head are over: their owners' nodes have ended their lives.
    fn lose_jobs(&mut self) -> Result<(), LedgerError> {
        let mut lost = Vec::new();
        self.ledger.scan(Table::Jobs, &[], None, &mut |key, value| {
            if let (Ok(number), Some(job)) = (key.try_into().map(u64::from_be_bytes), read::<Job>(value)) {
                self.next_job = number + 1;
                self.ended.push_back(number);
                lost.extend((job.state == JobState::Running).then_some((number, job)));
            }
            true
        })?;
        for (number, job) in lost {
            let job = Job { state: JobState::Lost, ended_ms: Some(now_ms()), ..job };
            self.put(Table::Jobs, job_key(number), &job, said("that a job is lost"));
        }
        Ok(())
    }

    fn write_bound(&self, below: u32) -> Result<bool, LedgerError> {
        write_now(&*self.ledger, Change::put(Table::Meta, "names", u64::from(below).to_le_bytes()))
    }

    fn put(&self, table: Table, key: impl Into<Vec<u8>>, value: &impl Serialize, done: Done) {
        let value = serde_json::to_vec(value).expect("numbers and texts of ours");
        self.ledger.write(Change::put(table, key, value), done);
    }
}

impl Drop for Record {
    /// Names go on without a gap after a head that ends in peace.
    fn drop(&mut self) {
        if self.names_below != self.next_node
            && let Err(error) = self.write_bound(self.next_node)
        {
            error!(error = &error as &dyn std::error::Error, "some names of nodes will be passed over");
        }
    }
}

impl JobState {
    /// As it is shown.
    pub fn word(self) -> &'static str {
        match self {
            JobState::Running => "running",
            JobState::Ended => "ended",
            JobState::Stopped => "stopped",
            JobState::Lost => "lost",
        }
    }
}

/// The key of a job: in the order of numbers.
pub fn job_key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// The number in `j12`.
pub fn job_number(id: &str) -> Option<u64> {
    id.strip_prefix('j')?.parse().ok()
}

/// The last lives of machines, without those that are too many.
fn lives(ledger: &dyn Ledger) -> Result<Vec<Peer>, LedgerError> {
    let mut lives: Vec<(NodeId, Peer)> = Vec::new();
    ledger.scan(Table::Machines, &[], None, &mut |key, value| {
        if let (Ok(machine), Some(life)) = (key.try_into().map(u64::from_be_bytes), read::<Life>(value)) {
            lives.push((life.node, Peer { machine, boot: life.boot }));
        }
        true
    })?;
    lives.sort_unstable_by_key(|(node, _)| std::cmp::Reverse(*node));
    for (_, peer) in lives.drain(MACHINES_MAX.min(lives.len())..) {
        ledger.write(Change::delete(Table::Machines, peer.machine.to_be_bytes()), said("that a machine is forgotten"));
    }
    Ok(lives.into_iter().map(|(_, peer)| peer).collect())
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

/// Says in the log what could not be written.
fn said(what: &'static str) -> Done {
    Box::new(move |result| {
        if let Err(error) = result {
            error!(error = &error as &dyn std::error::Error, "{what} is not written down");
        }
    })
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ledger::tests::Memory;

    fn open(memory: &Arc<Memory>) -> (Record, Vec<Peer>) {
        Record::open(memory.clone()).unwrap()
    }

    #[test]
    fn no_name_is_given_twice_and_names_go_on_after_a_clean_end() {
        let memory = Arc::new(Memory::default());
        let (mut record, lives) = open(&memory);
        assert_eq!((record.term(), record.next_node(), lives), (1, NodeId(1), vec![]));
        let peer = Peer { machine: 7, boot: 3 };
        for node in 1..=70 {
            assert!(record.welcome(peer, NodeId(node)));
        }
        drop(record);
        let (mut record, lives) = open(&memory);
        assert_eq!((record.term(), record.next_node(), lives), (2, NodeId(71), vec![peer]));
        assert!(record.welcome(peer, NodeId(71)));
        // It is killed.
        std::mem::forget(record);
        assert_eq!(open(&memory).0.next_node(), NodeId(71 + NAMES));
    }

    #[test]
    fn no_node_is_welcomed_whose_name_can_not_be_written_down() {
        let memory = Arc::new(Memory::default());
        let (mut record, _) = open(&memory);
        memory.break_down(true);
        assert!(!record.welcome(Peer { machine: 7, boot: 3 }, NodeId(1)));
        memory.break_down(false);
        assert!(record.welcome(Peer { machine: 7, boot: 3 }, NodeId(1)));
    }

    #[test]
    fn jobs_end_are_stopped_and_get_lost() {
        let memory = Arc::new(Memory::default());
        let state =
            |number| memory.get(Table::Jobs, &job_key(number)).unwrap().map(|bytes| read::<Job>(&bytes).unwrap().state);
        let (mut record, _) = open(&memory);
        for owner in [3, 4, 5, 3] {
            record.job_begins(OwnerId(owner), None);
        }
        record.job_ends(OwnerId(3));
        assert_eq!(record.job_stops(2, said("it")), Some(OwnerId(4)));
        record.job_ends(OwnerId(4));
        assert_eq!(record.job_stops(2, said("it")), None);
        use JobState::*;
        assert_eq!([1, 2, 3, 4].map(state), [Some(Ended), Some(Stopped), Some(Running), None]);
        let (mut record, _) = open(&memory);
        assert_eq!(state(3), Some(Lost));
        for owner in 0..u32::try_from(JOBS_MAX).unwrap() {
            record.job_begins(OwnerId(owner), None);
        }
        assert_eq!([1, 3, 4].map(state), [None, None, Some(Running)], "the oldest are forgotten");
    }

    #[test]
    fn executables_are_found_by_their_hash() {
        let (record, _) = open(&Arc::new(Memory::default()));
        let binary = Binary { bytes: 9, nodes: vec![NodeId(2)] };
        record.binary_is(&[1; 32], &binary);
        assert_eq!((record.binary(&[1; 32]).unwrap(), record.binary(&[2; 32]).unwrap()), (Some(binary), None));
    }
}

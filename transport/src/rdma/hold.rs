//! The connection by which a peer talks with us about cards: the holder's end.

use super::card::{CardError, QueuePair, RailAddress, Registered};
use super::conduit::{self, MESSAGES_MAX};
use super::driver::{Command, ConduitId, Landed, Landing};
use super::lease::{Lease, Leases};
use super::machine::{Cut, LaneId, TransferId};
use super::shared::Shared;
use super::verbs::abi::{IBV_ACCESS_LOCAL_WRITE, IBV_ACCESS_REMOTE_WRITE};
use super::wire::{Direction, Grant, Message, Verdict};
use crate::error::TransportError;
use crate::face::PeerId;
use crate::region::{Claim, Denied, RemoteSpan, Span};
use std::sync::{Arc, PoisonError};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tracing::debug;

/// Pieces that the word of a WRITE can tell apart.
const PIECES_MAX: u64 = 1 << 20;

/// Serves whoever dials, until the endpoint ends.
pub async fn accept_all(shared: Arc<Shared>, mut dialled: mpsc::Receiver<(PeerId, TcpStream)>) {
    while let Some((peer, socket)) = dialled.recv().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            let conduit = ConduitId(shared.control.regions().fresh());
            if let Err(error) = serve(&shared, conduit, peer, socket).await {
                debug!(%error, "a peer's cards are served no more");
            }
        });
    }
}

/// One peer's connection.
struct Holder {
    shared: Arc<Shared>,
    conduit: ConduitId,
    peer: PeerId,
    rails: Vec<RailAddress>,
    answers: mpsc::Sender<Message>,
    leases: Leases,
}

async fn serve(
    shared: &Arc<Shared>,
    conduit: ConduitId,
    peer: PeerId,
    mut socket: TcpStream,
) -> Result<(), TransportError> {
    let limit = shared.control.limits().connect_timeout;
    let introduced = timeout(limit, conduit::introduce(&mut socket, peer, &shared.addresses())).await;
    let rails = introduced.map_err(|_| TransportError::gone(peer, "it doesn't tell its cards"))??;
    let (reader, writer) = socket.into_split();
    let (answers, rest) = mpsc::channel(MESSAGES_MAX);
    let leases = Leases::new();
    let holder = Arc::new(Holder { shared: shared.clone(), conduit, peer, rails, answers, leases });
    let ended = tokio::select! {
        error = holder.clone().listen(reader) => Err(error),
        ended = conduit::talk(peer, writer, rest) => ended,
    };
    // CARD-2: the peer's queue pairs end before what it reads is given to others.
    let (done, forgotten) = oneshot::channel();
    conduit::tell(shared, Command::Forget { conduit, done }).await;
    // A driver that has ended has no queue pairs.
    let _ = forgotten.await;
    holder.leases.end();
    ended
}

impl Holder {
    async fn listen(self: Arc<Self>, mut reader: OwnedReadHalf) -> TransportError {
        let mut tasks = JoinSet::new();
        loop {
            let message = match Message::receive(&mut reader).await {
                Ok(message) => message,
                Err(error) => return TransportError::of_io(self.peer, "what is said about cards", 0, error),
            };
            while tasks.try_join_next().is_some() {}
            match message {
                Message::Join { lane, rail, remote, end } => self.join(lane, (rail, remote), end).await,
                Message::Part { lane } => {
                    conduit::tell(&self.shared, Command::Unhold { conduit: self.conduit, lane }).await;
                }
                Message::Ask { transfer, span, direction } => {
                    if !self.leases.reserve(transfer) {
                        self.say(declined(transfer)).await;
                        continue;
                    }
                    let holder = self.clone();
                    tasks.spawn(async move { holder.answer(transfer, span, direction).await });
                }
                Message::Release { transfer, is_whole } => {
                    let holder = self.clone();
                    tasks.spawn(async move { holder.release(transfer, is_whole).await });
                }
                _ => return TransportError::Protocol { peer: self.peer, what: "it answers what it wasn't asked" },
            }
        }
    }

    async fn say(&self, message: Message) {
        // Nobody sends it where the connection is ending.
        let _ = self.answers.send(message).await;
    }

    /// Makes our end of a lane; the peer is told only when it can receive.
    async fn join(&self, lane: LaneId, (theirs, ours): (u8, u8), end: super::card::End) {
        let made = match self.shared.served.clone().try_acquire_owned() {
            Ok(place) => self.connect(theirs, ours, end).await.map(|pair| (pair, place)),
            Err(_) => None,
        };
        let Some((pair, place)) = made else { return self.say(Message::NotJoined { lane }).await };
        let end = pair.end();
        let (done, held) = oneshot::channel();
        conduit::tell(&self.shared, Command::Hold { conduit: self.conduit, lane, pair, place, done }).await;
        // Where the driver has ended, so have the queue pair and soon this connection.
        let _ = held.await;
        self.say(Message::Joined { lane, end }).await;
    }

    async fn connect(&self, theirs: u8, ours: u8, end: super::card::End) -> Option<QueuePair> {
        let address = *self.rails.get(usize::from(theirs))?;
        let rail = self.shared.cards.rails.get(usize::from(ours))?.clone();
        let completions = self.shared.completions[usize::from(ours)].clone();
        let work = self.shared.work_per_lane_max;
        let made = spawn_blocking(move || {
            let pair = QueuePair::new(&rail, &completions, work)?;
            pair.connect(&address, end)?;
            Ok::<_, CardError>(pair)
        });
        let made = made.await.expect("it doesn't panic");
        made.inspect_err(|error| debug!(%error, "a queue pair for a peer can't be made")).ok()
    }

    /// Finds and pins a span, and says how cards find it.
    async fn answer(&self, transfer: TransferId, wanted: RemoteSpan, direction: Direction) {
        let granted = match (self.shared.control.regions().find(wanted), direction) {
            (Err(denied), _) => Err(Verdict::Denied(denied)),
            (Ok(span), Direction::Read) => self.grant_read(transfer, span, wanted).await,
            (Ok(span), Direction::Push) => self.grant_push(transfer, span, wanted).await,
        };
        match granted {
            Ok(grant) => self.say(Message::Granted { transfer, grant }).await,
            Err(verdict) => {
                self.leases.take(transfer);
                self.say(Message::Released { transfer, verdict, checksums: vec![] }).await;
            }
        }
    }

    async fn grant_read(&self, id: TransferId, span: Arc<Span>, wanted: RemoteSpan) -> Result<Grant, Verdict> {
        let limit = self.shared.control.limits().chunk_wait;
        span.present(wanted.offset, wanted.len, limit).await.map_err(Verdict::Denied)?;
        let memory = self.shared.cards.memory(&span).ok_or(Verdict::Denied(Denied::Revoked))?;
        let bytes = wanted.offset..wanted.offset + wanted.len;
        if memory.extent_count(&bytes) * self.shared.cards.rails.len() > super::wire::WORDS_MAX {
            return Err(Verdict::Declined);
        }
        if !memory.is_registered(&bytes) {
            let (memory, bytes, span) = (memory.clone(), bytes.clone(), span.clone());
            let registered = spawn_blocking(move || {
                let registered = memory.register(&bytes);
                // In this order: the memory is there as long as it is referred to (CARD-1).
                drop((memory, span));
                registered
            });
            let registered = registered.await.expect("it doesn't panic");
            registered.map_err(|error| {
                debug!(%error, "memory can't be registered, so that cards can't read it");
                Verdict::Declined
            })?;
        }
        let cut = Cut {
            piece_bytes: self.shared.piece_bytes(&self.rails),
            border: memory.border_after(wanted.offset) - wanted.offset,
            extent_bytes: self.shared.cards.extent_bytes,
        };
        let grant = Grant { address: memory.address(wanted.offset), cut, keys: memory.keys(&bytes), slot: 0 };
        drop(memory);
        self.leases.put(id, Lease::Read { span, wanted });
        Ok(grant)
    }

    /// The peer may write this span alone, by keys that end with the push.
    async fn grant_push(&self, id: TransferId, span: Arc<Span>, wanted: RemoteSpan) -> Result<Grant, Verdict> {
        let piece_bytes = self.shared.piece_bytes(&self.rails);
        let pieces = wanted.len.div_ceil(piece_bytes.into());
        let is_whole = wanted == span.remote();
        if !is_whole || wanted.len == 0 || pieces > PIECES_MAX {
            return Err(Verdict::Declined);
        }
        let all = 0..crate::region::chunk_count(wanted.len);
        let claim = Claim::new(&span, all).ok_or(Verdict::Denied(Denied::NotYet))?;
        let shared = self.shared.clone();
        let (registered, claim) =
            spawn_blocking(move || (register_landing(&shared, &claim), claim)).await.expect("it doesn't panic");
        let registered = registered.map_err(|error| {
            debug!(%error, "memory can't be registered, so that cards can't write it");
            Verdict::Declined
        })?;
        let slot = self.shared.slots.lock().unwrap_or_else(PoisonError::into_inner).take();
        let slot = slot.ok_or(Verdict::Declined)?;
        let keys = registered.iter().map(Registered::remote_key).collect();
        let memory = self.shared.cards.memory(&span).ok_or(Verdict::Denied(Denied::Revoked))?;
        let grant = Grant { address: memory.address(wanted.offset), cut: Cut::at_chunks(piece_bytes), keys, slot };
        drop(memory);
        let come = vec![false; usize::try_from(pieces).expect("at most 2^20")];
        let landing = Landing { slot, conduit: self.conduit, _registered: registered, claim, piece_bytes, come };
        conduit::tell(&self.shared, Command::Land(Box::new(landing))).await;
        self.leases.put(id, Lease::Push { span, slot });
        Ok(grant)
    }

    /// Lets a span go, and says whether it was valid to the end.
    async fn release(&self, transfer: TransferId, is_whole: bool) {
        let (verdict, checksums) = match self.leases.take(transfer) {
            Some(Lease::Read { span, wanted }) => self.check(span, wanted, is_whole).await,
            Some(Lease::Push { span, slot }) => {
                let (done, came) = oneshot::channel();
                let landed = Landed { slot, conduit: self.conduit, is_whole, done };
                conduit::tell(&self.shared, Command::Landed(landed)).await;
                let verdict = match came.await {
                    Ok(true) if span.is_live() => Verdict::Whole,
                    Ok(false) if span.is_live() => Verdict::Declined,
                    _ => Verdict::Denied(Denied::Revoked),
                };
                (verdict, vec![])
            }
            Some(Lease::Reserved) | None => return,
        };
        self.say(Message::Released { transfer, verdict, checksums }).await;
    }

    async fn check(&self, span: Arc<Span>, wanted: RemoteSpan, is_whole: bool) -> (Verdict, Vec<u32>) {
        let is_checked = is_whole && self.shared.control.limits().has_checksums && span.is_on_host();
        let checked = spawn_blocking(move || {
            let checksums = if is_checked { checksums(&span, wanted) } else { vec![] };
            // After the checksums: they are of what is valid now.
            let verdict = if span.is_live() { Verdict::Whole } else { Verdict::Denied(Denied::Revoked) };
            (verdict, checksums)
        });
        checked.await.expect("it doesn't panic")
    }
}

/// Of each chunk; none once the span is revoked, or where they don't fit into a message.
fn checksums(span: &Span, wanted: RemoteSpan) -> Vec<u32> {
    let step = crate::region::CHUNK_BYTES;
    if wanted.len / step >= super::wire::WORDS_MAX as u64 {
        return vec![];
    }
    let begin = wanted.offset - span.remote().offset;
    let starts = (0..wanted.len).step_by(usize::try_from(step).expect("1 MiB"));
    let checksum = |at: u64| span.checksum(begin + at, usize::try_from((wanted.len - at).min(step)).expect("a chunk"));
    starts.map(checksum).collect::<Option<Vec<u32>>>().unwrap_or_default()
}

fn register_landing(shared: &Shared, claim: &Claim) -> Result<Vec<Registered>, CardError> {
    let remote = claim.span().remote();
    let range = remote.offset..remote.offset + remote.len;
    let backing = claim.span().region().backing();
    let access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE;
    let registered = shared.cards.rails.iter().map(|rail| {
        // SAFETY: the claim keeps the memory and lets nobody else write it, and outlives this: see `Landing`.
        unsafe { Registered::new(rail, backing, range.clone(), access) }
    });
    registered.collect()
}

fn declined(transfer: TransferId) -> Message {
    Message::Released { transfer, verdict: Verdict::Declined, checksums: vec![] }
}

//! The connection by which we talk with a peer about its cards: our end.

use super::Route;
use super::card::RailAddress;
use super::driver::{Command, Link};
use super::machine::Event;
use super::shared::Shared;
use super::wire::Message;
use crate::error::TransportError;
use crate::face::PeerId;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::debug;

/// Messages that wait for a peer; one that lets more wait is lost.
pub const MESSAGES_MAX: usize = 4096;

/// Dials a peer, and talks with it until one of both has had enough.
pub fn dial(shared: Arc<Shared>, peer: PeerId) {
    let runtime = shared.control.runtime().clone();
    runtime.spawn(async move {
        if let Err(error) = run(&shared, peer).await {
            debug!(%error, "no way between the cards of ours and of a peer");
            shared.set_route(peer, Route::Tcp { error: Some(error) });
        }
        tell(&shared, Command::Event(Event::Unlinked { peer })).await;
    });
}

async fn run(shared: &Arc<Shared>, peer: PeerId) -> Result<(), TransportError> {
    let mut socket = shared.control.dial_cards(peer).await?;
    let limit = shared.control.limits().connect_timeout;
    let late = TransportError::TimedOut {
        peer,
        what: "the addresses of its cards",
        waited_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
    };
    let rails = timeout(limit, introduce(&mut socket, peer, &shared.addresses())).await.map_err(|_| late)??;
    let pairs = pairs(&shared.addresses(), &rails);
    if pairs.is_empty() {
        return Err(TransportError::gone(peer, "none of our cards reaches one of its"));
    }
    shared.set_route(peer, Route::Rdma { rails: pairs.len() });
    let (reader, writer) = socket.into_split();
    let (messages, rest) = mpsc::channel(MESSAGES_MAX);
    tell(shared, Command::Linked { peer, pairs, link: Link { messages, rails } }).await;
    tokio::select! {
        error = listen(shared, peer, reader) => Err(error),
        // Nobody has anything to say any more: the driver has let go of the peer.
        ended = talk(peer, writer, rest) => ended,
    }
}

/// Tells a peer our rails, and learns its.
///
/// # Errors
/// `PeerGone`, `Protocol`.
pub async fn introduce(
    socket: &mut TcpStream,
    peer: PeerId,
    ours: &[RailAddress],
) -> Result<Vec<RailAddress>, TransportError> {
    let gone = |error| TransportError::of_io(peer, "what its cards are", 0, error);
    socket.write_all(&Message::Rails(ours.to_vec()).encode()).await.map_err(gone)?;
    match Message::receive(socket).await.map_err(gone)? {
        Message::Rails(rails) => Ok(rails),
        _ => Err(TransportError::Protocol { peer, what: "it doesn't begin with its cards" }),
    }
}

/// Sends what there is to say, until there is nothing any more.
pub async fn talk(
    peer: PeerId,
    mut writer: OwnedWriteHalf,
    mut rest: mpsc::Receiver<Message>,
) -> Result<(), TransportError> {
    while let Some(message) = rest.recv().await {
        let mut bytes = message.encode();
        while bytes.len() < 16 << 10 {
            let Ok(message) = rest.try_recv() else { break };
            bytes.extend(message.encode());
        }
        let written = writer.write_all(&bytes).await;
        written.map_err(|error| TransportError::of_io(peer, "what is said about cards", 0, error))?;
    }
    Ok(())
}

async fn listen(shared: &Arc<Shared>, peer: PeerId, mut reader: OwnedReadHalf) -> TransportError {
    loop {
        let message = match Message::receive(&mut reader).await {
            Ok(message) => message,
            Err(error) => return TransportError::of_io(peer, "what is said about cards", 0, error),
        };
        let command = match message {
            Message::Joined { lane, end } => Command::Answered { lane, end },
            Message::NotJoined { lane } => Command::Event(Event::NotJoined { lane }),
            Message::Granted { transfer, grant } => Command::Granted { transfer, grant },
            Message::Released { transfer, verdict, checksums } => Command::Released { transfer, verdict, checksums },
            _ => return TransportError::Protocol { peer, what: "it asks where it is asked" },
        };
        tell(shared, command).await;
    }
}

/// Tells the driver, when it has room.
pub async fn tell(shared: &Arc<Shared>, command: Command) {
    use std::sync::mpsc::TrySendError;
    let mut command = command;
    loop {
        match shared.try_tell(command) {
            // A driver that has ended wants to hear of nothing.
            Ok(()) | Err(TrySendError::Disconnected(_)) => return,
            Err(TrySendError::Full(kept)) => command = kept,
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

/// Which rail of ours goes with which of the peer's: each of ours with one that it reaches, in turn. Where both
/// machines number their cards alike, these are the same.
fn pairs(ours: &[RailAddress], theirs: &[RailAddress]) -> Vec<(usize, usize)> {
    let pair = |(at, our): (usize, &RailAddress)| {
        let reached: Vec<usize> = (0..theirs.len()).filter(|index| our.reaches(&theirs[*index])).collect();
        (!reached.is_empty()).then(|| (at, reached[at % reached.len()]))
    };
    ours.iter().enumerate().filter_map(pair).collect()
}

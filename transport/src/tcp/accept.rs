//! Whoever dials us.

use super::handshake::{self, Met, Purpose};
use super::{Shared, cards, control, message_stream, serve, stream};
use crate::error::TransportError;
use crate::face::PeerId;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{debug, warn};

const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Accepts for ever. Without descriptors it pauses, longer each time: the socket stays readable, so that it would spin.
pub async fn run(shared: Arc<Shared>, listener: TcpListener) {
    let handshakes = Arc::new(Semaphore::new(shared.limits.handshakes_max));
    let mut pause = PAUSE_MIN;
    loop {
        let permit = handshakes.clone().acquire_owned().await.expect("nobody closes it");
        match listener.accept().await {
            Ok((socket, _)) => {
                pause = PAUSE_MIN;
                let shared = shared.clone();
                tokio::spawn(async move {
                    greet(shared, socket).await;
                    drop(permit);
                });
            }
            Err(error) => {
                warn!(%error, pause_ms = pause.as_millis(), "can't accept a connection");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

async fn greet(shared: Arc<Shared>, mut socket: TcpStream) {
    let limit = shared.limits.connect_timeout;
    let greeted = timeout(limit, async {
        tune(&shared, &socket)?;
        handshake::accept(&mut socket, &shared.me).await
    });
    let met = greeted.await.unwrap_or_else(|_| Err(late(PeerId(0), limit)));
    let taken = match met {
        Ok(met) => take(&shared, socket, met).await,
        Err(error) => Err(error),
    };
    if let Err(error) = taken {
        debug!(%error, "refused a connection");
    }
}

async fn take(shared: &Arc<Shared>, socket: TcpStream, met: Met) -> Result<(), TransportError> {
    match met.purpose {
        Purpose::Control => control::accept(shared, socket, met).await,
        Purpose::Lane => serve::accept(shared, socket, met.peer).await,
        Purpose::Stream => message_stream::accept(shared, socket, met.peer).await,
        Purpose::Cards => cards::accept(shared, socket, met.peer).await,
    }
}

/// Dials a peer and shakes hands.
///
/// # Errors
/// `PeerGone`, `TimedOut`, `Refused`, `Protocol`.
pub async fn dial(
    shared: &Shared,
    peer: PeerId,
    address: std::net::SocketAddr,
    purpose: Purpose,
) -> Result<(TcpStream, Met), TransportError> {
    let limit = shared.limits.connect_timeout;
    let dialled = timeout(limit, async {
        let connected = TcpStream::connect(address).await;
        let mut socket =
            connected.map_err(|error| TransportError::of_io(peer, "it can't be reached", limit_ms(limit), error))?;
        tune(shared, &socket)?;
        let met = handshake::dial(&mut socket, &shared.me, peer, purpose).await?;
        Ok((socket, met))
    });
    dialled.await.unwrap_or_else(|_| Err(late(peer, limit)))
}

fn tune(shared: &Shared, socket: &TcpStream) -> Result<(), TransportError> {
    let tuned: io::Result<()> = stream::tune(socket, shared.limits.peer_timeout);
    tuned.map_err(|error| TransportError::local("set a socket's options", error))
}

fn late(peer: PeerId, limit: Duration) -> TransportError {
    TransportError::TimedOut { peer, what: "the handshake", waited_ms: limit_ms(limit) }
}

/// A duration in whole milliseconds.
pub fn limit_ms(limit: Duration) -> u64 {
    u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)
}

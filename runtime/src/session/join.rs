//! Becoming an owner of a cluster.

use super::address::{Cluster, cluster};
use crate::cluster::{Address, BinaryId, Envelope, HEAD, Letter, Place, Post, Published, fresh_peer};
use crate::error::{Error, ErrorKind, Result};
use rayline_core::ids::{NodeId, OwnerId};
use rayline_transport::tcp::{Options, Tcp};
use rayline_transport::{Event, Regions, TransportError};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;

/// How long a head may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is asked meanwhile.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How often the answer is looked for. To wait for it needs a runtime of tokio, which isn't worth its start.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// What a process has that belongs to a cluster.
pub(crate) struct Membership {
    pub(crate) tcp: Arc<Tcp>,
    pub(crate) post: Post,
    pub(crate) events: Receiver<Event>,
    pub(crate) place: Place,
    pub(crate) owner: OwnerId,
    /// The node that it belongs to.
    pub(crate) home: NodeId,
    /// The nodes that are up.
    pub(crate) nodes: Vec<(NodeId, Place)>,
    pub(crate) dead_owners: Vec<OwnerId>,
    /// Which life of the head it is.
    pub(crate) head_life: u64,
    /// This program, for nodes to read.
    pub(crate) program: Published,
}

/// Joins the cluster whose head listens at `address`. Blocks for some milliseconds, at most for ten seconds.
///
/// # Errors
/// [`ErrorKind::Cluster`], with what to do.
pub(crate) fn join(address: &str, secret_file: Option<&Path>) -> Result<Membership> {
    let Cluster { head, keys, trusts_network } = cluster(address, secret_file)?;
    let failed = |why: String| Error::new(ErrorKind::Cluster(why));
    let peer = fresh_peer().map_err(|error| failed(format!("the system has no randomness: {error}")))?;
    let listen = local_address(head).map_err(|error| failed(format!("no way to {head}: {error}")))?;
    let options = Options::loopback(peer, keys.cluster, keys.secret);
    let options = Options { address: SocketAddr::new(listen, 0), allows_plain_text: trusts_network, ..options };
    let (tcp, mut events) = Tcp::bind(options, Regions::new()).map_err(|error| failed(error.to_string()))?;
    tcp.introduce(HEAD, head);
    let program = Published::own(&tcp);
    let program = program.map_err(|error| failed(format!("this program can't be read for its workers: {error}")))?;
    let place = Place::here(peer, tcp.address());
    let tcp = Arc::new(tcp);
    let mut post = Post::new(tcp.clone());
    post.note(Address::Head, HEAD);
    let (welcome, head_life) = enlist((&mut post, &mut events), &place, program.binary().id, head)?;
    let Letter::OwnerWelcome { owner, home, nodes, dead } = welcome else {
        unreachable!("nothing else is taken for a welcome")
    };
    Ok(Membership { tcp, post, events, place, owner, home, nodes, dead_owners: dead, head_life, program })
}

/// Asks until the head answers: its answer, and which of its lives it is.
fn enlist(
    (post, events): (&mut Post, &mut Receiver<Event>),
    place: &Place,
    binary: BinaryId,
    head: SocketAddr,
) -> Result<(Letter, u64)> {
    let failed = |why: String| Error::new(ErrorKind::Cluster(why));
    let begin = Instant::now();
    let (mut ask_at, mut last, mut life) = (begin, None, 0);
    while begin.elapsed() < PATIENCE {
        if Instant::now() >= ask_at {
            let letter = Letter::Enlist { place: place.clone(), known: None, binary };
            let sent = post.send_by(HEAD, Envelope { to: Address::Head, letter });
            sent.map_err(|error| failed(error.to_string()))?;
            ask_at = Instant::now() + ASK_AGAIN;
        }
        match events.try_recv() {
            Ok(Event::Frame { peer, bytes }) => match post.receive(peer, &bytes) {
                Ok(Some(Envelope { letter: welcome @ Letter::OwnerWelcome { .. }, .. })) => return Ok((welcome, life)),
                Ok(Some(Envelope { letter: Letter::OwnerRefused { why }, .. })) => last = Some(why),
                _ => {}
            },
            Ok(Event::Up { peer, incarnation }) => {
                post.connected(peer, incarnation);
                life = incarnation;
            }
            Ok(Event::Down { error: refused @ TransportError::Refused { .. }, .. }) => {
                return Err(failed(format!("the head at {head} refuses this program: {refused}")));
            }
            Ok(Event::Down { error, .. }) => last = Some(error.to_string()),
            Ok(_) => {}
            Err(TryRecvError::Empty) => std::thread::sleep(LOOK_AGAIN),
            Err(TryRecvError::Disconnected) => break,
        }
    }
    let last = last.map(|last| format!(" ({last})")).unwrap_or_default();
    Err(failed(format!(
        "no head has taken this program in at {head} for {} s{last}: check the address, and `rayline status` there",
        PATIENCE.as_secs()
    )))
}

/// The address of this machine that the head can reach.
fn local_address(head: SocketAddr) -> io::Result<IpAddr> {
    let any: SocketAddr = if head.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    // Sends nothing: it finds the route.
    socket.connect(head)?;
    Ok(socket.local_addr()?.ip())
}

//! A worker on a node: it calls its driver, and runs what that sends.

use super::lent::Upstream;
use super::socket::Socket;
use super::spans::Spans;
use super::wire::{Haste, Header, Kind, Outlet};
use super::worker::{Told, Worker, share_out};
use crate::runtime;
use rayline_core::ids::NodeId;
use rayline_store::{decode_copied, encode};
use rayline_transport::tcp::{ClusterId, Options, Secret, Tcp};
use rayline_transport::{PeerId, Regions};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io::{Read, stdin};
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::process::exit;
use std::sync::Arc;

/// What a node gives a worker that it starts, on its standard input.
#[derive(Serialize, Deserialize)]
pub(crate) struct Posting {
    pub(crate) cluster: u128,
    pub(crate) secret: [u8; 32],
    /// The worker's name as a peer.
    pub(crate) peer: u128,
    /// Where the node's processes listen.
    pub(crate) listen: IpAddr,
    pub(crate) trusts_network: bool,
    pub(crate) node: NodeId,
    /// The driver, and where it listens.
    pub(crate) driver: u128,
    pub(crate) driver_address: SocketAddr,
    /// CPUs of the node.
    pub(crate) cpus: u32,
}

/// What a worker tells its driver first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Joined {
    pub(crate) node: NodeId,
    pub(crate) peer: u128,
    pub(crate) pid: u32,
    pub(crate) cpus: u32,
    /// Where it listens, for its driver to read values.
    pub(crate) address: SocketAddr,
}

/// Runs calls until the driver dismisses the process, or is gone.
///
/// # Errors
/// Why the driver can't be reached or understood, in words.
pub(super) fn serve() -> Result<(), String> {
    let mut posting = Vec::new();
    stdin().read_to_end(&mut posting).map_err(|error| format!("its posting can't be read: {error}"))?;
    let posting: Posting = decode_copied(&posting).map_err(|error| format!("its posting can't be read: {error}"))?;
    runtime::name_node(posting.node);
    let tcp = posting.listen()?;
    let stream = tcp.open_stream(PeerId(posting.driver)).map_err(|error| error.to_string())?;
    let socket = Socket::start(stream).map_err(|error| error.to_string())?;
    let outlet = Outlet::Socket(socket.clone());
    let joined = encode(&posting.joined(tcp.address())).expect("numbers can be encoded");
    let gone = |_| "its driver is gone".to_owned();
    outlet.send(Header::new(Kind::Joined, 0), [&joined, &[]], Haste::Now).map_err(gone)?;
    let worker = Worker::new(outlet);
    worker.upstream.get_or_init(|| Upstream::Spans(Spans::of_worker(&tcp)));
    if !run(&worker, &socket)? {
        // Nobody waits for what still runs.
        exit(0);
    }
    Ok(())
}

/// Whether the driver has dismissed the process: where not, it is gone.
fn run(worker: &Arc<Worker>, socket: &Socket) -> Result<bool, String> {
    let calls = std::cell::RefCell::new(VecDeque::new());
    let mut end = Ok(false);
    let each = |header, body| {
        match worker.take(header, body) {
            Ok(Told::Done) => {}
            // What comes after the dismissal ends with the process.
            Ok(Told::Run(_)) if matches!(end, Ok(true)) => {}
            Ok(Told::Run(call)) => calls.borrow_mut().push_back(call),
            Ok(Told::End) => {
                share_out(calls.take());
                worker.end();
                socket.drain();
                end = Ok(true);
            }
            Err(why) => {
                end = Err(why);
                return ControlFlow::Break(());
            }
        }
        // A driver that has dismissed the process may still read its last values.
        let is_over = matches!(end, Ok(true)) && worker.held.is_empty();
        if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let read = socket.read(each, || share_out(calls.take()));
    read.map_err(|_| "the driver sent what can't be read")?;
    end
}

impl Posting {
    /// The variable that tells a worker that it has one.
    pub(crate) const VARIABLE: &str = "RAYLINE_POSTING";

    fn joined(&self, address: SocketAddr) -> Joined {
        Joined { node: self.node, peer: self.peer, pid: std::process::id(), cpus: self.cpus, address }
    }

    /// The worker's own end of the cluster's network; it knows the driver.
    fn listen(&self) -> Result<Arc<Tcp>, String> {
        let options = Options::loopback(PeerId(self.peer), ClusterId(self.cluster), Secret(self.secret));
        let address = SocketAddr::new(self.listen, 0);
        let options = Options { address, allows_plain_text: self.trusts_network, ..options };
        let (tcp, _) = Tcp::bind(options, Regions::new()).map_err(|error| error.to_string())?;
        tcp.introduce(PeerId(self.driver), self.driver_address);
        Ok(Arc::new(tcp))
    }
}

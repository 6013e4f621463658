//! A worker of a node calls its driver.

use super::Hello;
use super::lane::{End, Lane};
use super::node_reader::Joined;
use super::socket::Socket;
use super::values::Values;
use super::wire::{Kind, Outlet};
use crate::refs::ProcessId;
use rayline_store::decode;
use rayline_transport::tcp::Stream;
use std::sync::Arc;

/// Who welcomes workers.
#[derive(Clone)]
pub(crate) struct Greeter {
    pub(crate) hello: Hello,
    /// What they read of this process, and this of them.
    pub(crate) values: Arc<Values>,
}

impl Greeter {
    /// Hears who calls, sets it up, and gives the lane to it. `None` where that is no worker.
    pub(crate) fn welcome(&self, stream: Stream) -> Option<(Joined, Arc<Lane>)> {
        let socket = Socket::start(stream).ok()?;
        let joined = socket.read_first().filter(|(header, _)| header.kind == Kind::Joined);
        let Some(joined) = joined.and_then(|(_, body)| decode::<Joined>(&body).ok()) else {
            socket.close();
            return None;
        };
        self.values.introduce(joined.peer, joined.address);
        let process = ProcessId(joined.peer);
        let ends = (Outlet::Socket(socket.clone()), End::Socket(socket));
        let lane = Lane::new((process, joined.node, 0), ends, self.values.clone());
        // No memory is shared with another node.
        lane.greet(&Hello { cpus: joined.cpus, object_store_bytes: 0, process, ..self.hello.clone() });
        Some((joined, lane))
    }
}

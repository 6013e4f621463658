//! A worker of a node calls its driver.

use super::Hello;
use super::lane::{End, Lane};
use super::node_reader::Joined;
use super::socket::Socket;
use super::values::Values;
use super::wire::{Kind, Outlet};
use rayline_store::decode;
use rayline_transport::tcp::Stream;
use std::sync::Arc;

/// Hears who calls, sets it up, and gives the lane to it. `None` where that is no worker.
pub(crate) fn welcome(stream: Stream, hello: &Hello) -> Option<(Joined, Arc<Lane>)> {
    let socket = Socket::start(stream).ok()?;
    let joined = socket.read_first().filter(|(header, _)| header.kind == Kind::Joined);
    let Some(joined) = joined.and_then(|(_, body)| decode::<Joined>(&body).ok()) else {
        socket.close();
        return None;
    };
    // Their bytes are sent: no memory is shared with another node.
    let values = Values::new(0);
    let lane = Lane::new(Outlet::Socket(socket.clone()), End::Socket(socket), 0, values);
    lane.greet(&Hello { cpus: joined.cpus, object_store_bytes: 0, ..hello.clone() });
    Some((joined, lane))
}

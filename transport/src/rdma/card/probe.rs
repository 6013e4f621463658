//! What cards this machine has, and whether they can be used: for people to read.

use super::super::verbs::{Verbs, abi::*};
use super::context::{Context, link_layer};
use super::error::CardError;
use super::gid::{GidChoice, LinkLayer, choose};
use std::fmt;

/// What was found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The cards, or why there is no RDMA at all.
    pub cards: Result<Vec<CardReport>, String>,
    /// Whether memory of other devices (GPUDirect) can be registered.
    pub has_dmabuf: bool,
    /// Bytes that this process may pin; none where there is no bound.
    pub locked_bytes_max: Option<u64>,
}

/// One card.
#[derive(Clone, Debug)]
pub struct CardReport {
    /// Its name.
    pub name: String,
    /// Its ports, or why it can't be asked.
    pub ports: Result<Vec<PortReport>, String>,
}

/// One port of a card.
#[derive(Clone, Debug)]
pub struct PortReport {
    /// Its number, from 1.
    pub number: u8,
    /// Whether its link is up.
    pub is_active: bool,
    /// The wire; none for one that isn't used.
    pub link: Option<LinkLayer>,
    /// Bytes of a packet.
    pub packet_bytes: u32,
    /// Bytes of the largest message: chunks are cut to it.
    pub message_bytes_max: u32,
    /// READs of ours under way on one connection.
    pub reads_max: u32,
    /// By which address it is used, and why; or why by none.
    pub gid: Result<GidChoice, &'static str>,
}

/// Looks at the machine's cards. It opens each, and leaves nothing behind.
pub fn probe() -> Report {
    match Verbs::load() {
        Ok(verbs) => probe_with(*verbs),
        Err(why) => Report { cards: Err(why.into()), has_dmabuf: false, locked_bytes_max: locked_bytes_max() },
    }
}

/// The same with given functions.
pub fn probe_with(verbs: Verbs) -> Report {
    let cards = match Context::open_all(verbs) {
        Ok(opened) if opened.is_empty() => Err("no card: libibverbs is here, but the kernel shows none".into()),
        Ok(opened) => Ok(opened.into_iter().map(card).collect()),
        Err(error) => Err(said(&error)),
    };
    Report { cards, has_dmabuf: verbs.reg_dmabuf_mr.is_some(), locked_bytes_max: locked_bytes_max() }
}

fn card(opened: Result<Context, CardError>) -> CardReport {
    match opened {
        Ok(context) => CardReport { name: context.name().into(), ports: ports(&context).map_err(|error| said(&error)) },
        Err(error) => CardReport { ports: Err(said(&error)), name: error.card },
    }
}

fn ports(context: &Context) -> Result<Vec<PortReport>, CardError> {
    let card = context.query()?;
    let gids = context.gids()?;
    let port = |number: u8| {
        let state = context.query_port(number)?;
        let link = link_layer(&state);
        let unused = "its link layer is neither InfiniBand nor Ethernet";
        Ok(PortReport {
            number,
            is_active: state.state == IBV_PORT_ACTIVE,
            link,
            packet_bytes: 128_u32.checked_shl(state.active_mtu).unwrap_or(0),
            message_bytes_max: state.max_msg_sz,
            reads_max: u32::try_from(card.max_qp_init_rd_atom).unwrap_or(0),
            gid: link.ok_or(unused).and_then(|link| choose(link, number, &gids, None)),
        })
    };
    (1..=card.phys_port_cnt).map(port).collect()
}

fn said(error: &CardError) -> String {
    format!("{error}: {}", error.source)
}

fn locked_bytes_max() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Memlock).current
}

impl Report {
    /// Whether some port can be used.
    pub fn is_usable(&self) -> bool {
        let is_usable = |port: &PortReport| port.is_active && port.gid.is_ok();
        let cards = self.cards.iter().flatten().filter_map(|card| card.ports.as_ref().ok());
        cards.flatten().any(is_usable)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cards {
            Ok(cards) => cards.iter().try_for_each(|card| write!(f, "{card}"))?,
            Err(why) => writeln!(f, "no RDMA: {why}")?,
        }
        let dmabuf = if self.has_dmabuf { "can" } else { "can't" };
        writeln!(f, "memory of GPUs {dmabuf} be registered (dmabuf)")?;
        match self.locked_bytes_max {
            None => writeln!(f, "locked memory: no bound"),
            Some(bytes) => writeln!(f, "locked memory: {bytes} bytes; raise it (ulimit -l) above what is to be shared"),
        }
    }
}

impl fmt::Display for CardReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ports {
            Ok(ports) => ports.iter().try_for_each(|port| writeln!(f, "{} {port}", self.name)),
            Err(why) => writeln!(f, "{}: {why}", self.name),
        }
    }
}

impl fmt::Display for PortReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {}: ", self.number)?;
        if let Some(link) = self.link {
            write!(f, "{link}, ")?;
        }
        let state = if self.is_active { "active" } else { "not active: look at cable, switch and subnet manager" };
        write!(f, "{state}, packets of {} bytes, messages up to {}, ", self.packet_bytes, self.message_bytes_max)?;
        match &self.gid {
            Ok(gid) => write!(f, "{gid}"),
            Err(why) => write!(f, "no address: {why}"),
        }
    }
}

//! One active port of a card, and what is bought for it once.

use super::super::verbs::{Verbs, abi::*};
use super::context::{Context, link_layer};
use super::error::{CardError, made};
use super::gid::{GidChoice, LinkLayer, choose};
use std::ptr::NonNull;
use tracing::debug;

/// READs under way on one queue pair that we ask a card for; it may give less.
const READS_MAX: u8 = 16;

/// Which rails are to be used.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Names of cards; all where there are none.
    pub cards: Vec<String>,
    /// The index of the address to use of each port, where the choice is not ours.
    pub gid_index: Option<u8>,
}

/// A card's port that is up, with a protection domain. Rails are numbered as their cards' names are sorted.
pub struct Rail {
    context: Context,
    domain: NonNull<ibv_pd>,
    port: u8,
    address: RailAddress,
    gid: GidChoice,
    /// Entries of the largest completion queue.
    entries_max: u32,
    /// READs of ours under way on one queue pair.
    reads_max: u8,
}

/// What a peer must know of a rail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RailAddress {
    /// The wire.
    pub link: LinkLayer,
    /// The port's address within an InfiniBand subnet.
    pub lid: u16,
    /// Its address.
    pub gid: [u8; 16],
    /// Bytes of a packet, as the verbs count them: 1 is 256, each step doubles.
    pub mtu: u8,
    /// READs of a peer under way on one queue pair.
    pub reads_served_max: u8,
    /// Bytes of one message.
    pub message_bytes_max: u32,
}

// SAFETY: libibverbs lets any thread use a protection domain, several at a time.
unsafe impl Send for Rail {}
// SAFETY: as for `Send`.
unsafe impl Sync for Rail {}

impl Rail {
    /// All rails of the machine that are wanted and can be used. What can't is said in the log.
    ///
    /// # Errors
    /// Where the machine's cards can't be listed.
    pub fn open_all(verbs: Verbs, wanted: &Wanted) -> Result<Vec<Self>, CardError> {
        let mut rails = vec![];
        let names: Vec<Result<Context, CardError>> = Context::open_all(verbs)?;
        let is_wanted = |name: &str| wanted.cards.is_empty() || wanted.cards.iter().any(|card| card == name);
        for opened in names {
            let context = match opened {
                Ok(context) if is_wanted(context.name()) => context,
                Ok(_) => continue,
                Err(error) => {
                    debug!(%error, "a card isn't used");
                    continue;
                }
            };
            match Self::open(context, wanted.gid_index) {
                Ok(rail) => rails.push(rail),
                Err(why) => debug!(%why, "a card isn't used"),
            }
        }
        Ok(rails)
    }

    /// The first port of a card that is up and has an address.
    fn open(context: Context, gid_index: Option<u8>) -> Result<Self, String> {
        let said = |error: CardError| format!("{error}: {}", error.source);
        let card = context.query().map_err(said)?;
        let gids = context.gids().map_err(said)?;
        let mut why = format!("{} has no port", context.name());
        for port in 1..=card.phys_port_cnt {
            let state = context.query_port(port).map_err(said)?;
            match usable(&state).and_then(|link| Ok((link, choose(link, port, &gids, gid_index)?))) {
                Ok((link, gid)) => return Self::with_port(context, port, &card, &state, (link, gid)).map_err(said),
                Err(reason) => why = format!("port {port} of {}: {reason}", context.name()),
            }
        }
        Err(why)
    }

    fn with_port(
        context: Context,
        port: u8,
        card: &ibv_device_attr,
        state: &ibv_port_attr,
        (link, gid): (LinkLayer, GidChoice),
    ) -> Result<Self, CardError> {
        // SAFETY: the card is open.
        let domain = made(unsafe { (context.verbs().alloc_pd)(context.raw()) }, "ibv_alloc_pd", context.name())?;
        let reads = |of_card: i32| u8::try_from(of_card.clamp(1, READS_MAX.into())).unwrap_or(READS_MAX);
        let address = RailAddress {
            link,
            lid: state.lid,
            gid: gid.gid,
            mtu: u8::try_from(state.active_mtu).unwrap_or(1),
            reads_served_max: reads(card.max_qp_rd_atom),
            message_bytes_max: state.max_msg_sz,
        };
        let entries_max = u32::try_from(card.max_cqe).unwrap_or(0);
        Ok(Self { context, domain, port, address, gid, entries_max, reads_max: reads(card.max_qp_init_rd_atom) })
    }

    /// The card's name.
    pub fn name(&self) -> &str {
        self.context.name()
    }

    /// What a peer must know.
    pub fn address(&self) -> RailAddress {
        self.address
    }

    /// The number of the port.
    pub fn port(&self) -> u8 {
        self.port
    }

    /// By which address it is used.
    pub fn gid(&self) -> &GidChoice {
        &self.gid
    }

    /// READs of ours under way on one queue pair.
    pub fn reads_max(&self) -> u8 {
        self.reads_max
    }

    /// Entries of the largest completion queue.
    pub fn entries_max(&self) -> u32 {
        self.entries_max
    }

    /// What a completion's status is called.
    pub fn status_name(&self, status: u32) -> String {
        self.verbs().status_name(status)
    }

    pub(super) fn verbs(&self) -> &Verbs {
        self.context.verbs()
    }

    pub(super) fn context(&self) -> *mut ibv_context {
        self.context.raw()
    }

    pub(super) fn domain(&self) -> *mut ibv_pd {
        self.domain.as_ptr()
    }
}

impl RailAddress {
    /// Whether a packet may get from one to the other.
    pub fn reaches(&self, other: &Self) -> bool {
        let is_ipv4 = |gid: &[u8; 16]| gid[..12] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
        match (self.link, other.link) {
            (LinkLayer::InfiniBand, LinkLayer::InfiniBand) => self.gid[..8] == other.gid[..8],
            (LinkLayer::Ethernet, LinkLayer::Ethernet) => is_ipv4(&self.gid) == is_ipv4(&other.gid),
            _ => false,
        }
    }
}

impl Drop for Rail {
    fn drop(&mut self) {
        // SAFETY: allocated by `with_port`; whatever is of it has ended, as it keeps the rail.
        unsafe { (self.verbs().dealloc_pd)(self.domain.as_ptr()) };
    }
}

/// The wire of a port that is up.
fn usable(port: &ibv_port_attr) -> Result<LinkLayer, &'static str> {
    if port.state != IBV_PORT_ACTIVE {
        return Err("it is not active: look at the cable, the switch and the subnet manager");
    }
    link_layer(port).ok_or("its link layer is neither InfiniBand nor Ethernet")
}

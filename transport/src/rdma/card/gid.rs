//! Which of its addresses a port is used by.

use super::super::verbs::abi::*;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// What a port's wire is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkLayer {
    /// InfiniBand: packets are routed by LID within a subnet.
    InfiniBand,
    /// Ethernet: RoCE v2, packets are UDP.
    Ethernet,
}

/// The address (GID) by which a port is used, and why that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GidChoice {
    /// Its place in the port's table.
    pub index: u8,
    /// The address.
    pub gid: [u8; 16],
    /// Why it was taken, in words.
    pub reason: &'static str,
}

/// Takes the best address of a port's table.
///
/// On InfiniBand that is the first, which the subnet manager gives. On Ethernet it is one of RoCE v2, which can be
/// routed: IPv4 before global IPv6 before link-local IPv6; RoCE v1 is not used.
///
/// # Errors
/// Why there is none, in words.
pub fn choose(
    link: LinkLayer,
    port: u8,
    table: &[ibv_gid_entry],
    wanted: Option<u8>,
) -> Result<GidChoice, &'static str> {
    let of_port: Vec<&ibv_gid_entry> = table.iter().filter(|entry| entry.port_num == u32::from(port)).collect();
    if let Some(index) = wanted {
        let found = of_port.iter().find(|entry| entry.gid_index == u32::from(index));
        let found = found.ok_or("the port has no address at the index that was asked for")?;
        return choice(found, "it was asked for by its index");
    }
    let best = of_port.into_iter().filter_map(|entry| Some((rank(link, entry)?, entry)));
    let ((_, reason), entry) = best.min_by_key(|((rank, _), entry)| (*rank, entry.gid_index)).ok_or(match link {
        LinkLayer::InfiniBand => "the port has no address: is a subnet manager running?",
        LinkLayer::Ethernet => {
            "the port has no address of RoCE v2: give its network device an IP address, and its mode RoCE v2"
        }
    })?;
    choice(entry, reason)
}

fn choice(entry: &ibv_gid_entry, reason: &'static str) -> Result<GidChoice, &'static str> {
    let index = u8::try_from(entry.gid_index).map_err(|_| "the address has an index above 255")?;
    Ok(GidChoice { index, gid: entry.gid.raw, reason })
}

/// The lower the better; none for an address that isn't used.
fn rank(link: LinkLayer, entry: &ibv_gid_entry) -> Option<(u8, &'static str)> {
    if entry.gid.raw == [0; 16] {
        return None;
    }
    let address = Ipv6Addr::from(entry.gid.raw);
    match (link, entry.gid_type) {
        (LinkLayer::InfiniBand, IBV_GID_TYPE_IB) => Some((0, "the first of an InfiniBand port")),
        (LinkLayer::Ethernet, IBV_GID_TYPE_ROCE_V2) if address.to_ipv4_mapped().is_some() => {
            Some((0, "RoCE v2 over IPv4: it can be routed, and names the interface's own address"))
        }
        (LinkLayer::Ethernet, IBV_GID_TYPE_ROCE_V2) if !address.is_unicast_link_local() => {
            Some((1, "RoCE v2 over IPv6: it can be routed; the interface has no IPv4 address"))
        }
        (LinkLayer::Ethernet, IBV_GID_TYPE_ROCE_V2) => {
            Some((2, "RoCE v2, link-local: it reaches one network only; the interface has no other address"))
        }
        _ => None,
    }
}

impl GidChoice {
    /// The IPv4 address in it, where it is one.
    pub fn ipv4(&self) -> Option<Ipv4Addr> {
        Ipv6Addr::from(self.gid).to_ipv4_mapped()
    }
}

impl fmt::Display for GidChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ipv4() {
            Some(address) => write!(f, "GID {} ({address}): {}", self.index, self.reason),
            None => write!(f, "GID {} ({}): {}", self.index, Ipv6Addr::from(self.gid), self.reason),
        }
    }
}

impl fmt::Display for LinkLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InfiniBand => "InfiniBand",
            Self::Ethernet => "Ethernet (RoCE v2)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u32, kind: u32, address: &str) -> ibv_gid_entry {
        let raw = address.parse::<Ipv6Addr>().unwrap().octets();
        ibv_gid_entry { gid: ibv_gid { raw }, gid_index: index, port_num: 1, gid_type: kind, ndev_ifindex: 0 }
    }

    #[test]
    fn an_ethernet_port_is_used_by_what_can_be_routed() {
        let (v1, v2) = (IBV_GID_TYPE_ROCE_V1, IBV_GID_TYPE_ROCE_V2);
        let table = [
            entry(0, v1, "fe80::1"),
            entry(1, v2, "fe80::1"),
            entry(2, v1, "::ffff:10.0.0.1"),
            entry(3, v2, "::ffff:10.0.0.1"),
            entry(4, v2, "2001:db8::1"),
        ];
        let index = |table: &[ibv_gid_entry]| choose(LinkLayer::Ethernet, 1, table, None).unwrap().index;
        assert_eq!(index(&table), 3);
        assert_eq!(index(&[table[0], table[1], table[4]]), 4);
        assert_eq!(index(&table[..2]), 1);
        let chosen = choose(LinkLayer::Ethernet, 1, &table, None).unwrap();
        assert!(chosen.to_string().starts_with("GID 3 (10.0.0.1): RoCE v2 over IPv4"), "{chosen}");
    }

    #[test]
    fn without_a_usable_address_it_says_what_to_do() {
        let why = choose(LinkLayer::Ethernet, 1, &[entry(0, IBV_GID_TYPE_ROCE_V1, "fe80::1")], None).unwrap_err();
        assert!(why.contains("RoCE v2"), "{why}");
        let of_another_port = [entry(0, IBV_GID_TYPE_IB, "fe80::1")];
        let why = choose(LinkLayer::InfiniBand, 2, &of_another_port, None).unwrap_err();
        assert!(why.contains("subnet manager"), "{why}");
        assert!(choose(LinkLayer::InfiniBand, 1, &of_another_port, None).is_ok());
    }

    #[test]
    fn an_index_that_was_asked_for_is_taken_or_missed() {
        let table = [entry(0, IBV_GID_TYPE_ROCE_V2, "fe80::1"), entry(1, IBV_GID_TYPE_ROCE_V2, "::ffff:10.0.0.1")];
        assert_eq!(choose(LinkLayer::Ethernet, 1, &table, Some(0)).unwrap().index, 0);
        assert!(choose(LinkLayer::Ethernet, 1, &table, Some(7)).is_err());
    }
}

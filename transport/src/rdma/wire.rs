//! What two endpoints say about their cards, each message behind its length.
//!
//! ```text
//!  reader                                holder
//!    rails         ---------------------->
//!                  <----------------------  rails
//!    join          ---------------------->  makes a queue pair, connects it
//!    connects its  <----------------------  joined
//!    ask           ---------------------->  finds the span, pins it
//!                  <----------------------  granted: address and keys; or denied
//!    READ ... READ, by the cards
//!    release       ---------------------->  looks at the generation again
//!                  <----------------------  released: whether it was valid, and checksums
//!    part          ---------------------->  ends its queue pair
//! ```
//!
//! A push is the same with WRITE: the holder is then the receiver, and the span one that is landing.

use super::card::{End, LinkLayer, RailAddress};
use super::machine::{Cut, LaneId, TransferId};
use crate::region::{Denied, RemoteSpan};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of the longest message; a longer one is not from a peer of ours.
pub const MESSAGE_BYTES_MAX: usize = 256 << 10;
/// Checksums and keys in one message.
pub const WORDS_MAX: usize = 32 << 10;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the holder to whoever asks.
    Read,
    /// To the holder, whose span is landing.
    Push,
}

/// What a holder says of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Whole,
    Denied(Denied),
    /// It can't be reached by cards, or too much is pinned: another transport may do.
    Declined,
}

/// By what a peer's card finds the bytes of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Of the first byte, as the card sees it.
    pub address: u64,
    pub cut: Cut,
    /// For each extent, the key by each rail of the holder.
    pub keys: Vec<u32>,
    /// What WRITEs tell besides their piece.
    pub slot: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Rails(Vec<RailAddress>),
    /// `rail` is the sender's, `remote` the receiver's.
    Join {
        lane: LaneId,
        rail: u8,
        remote: u8,
        end: End,
    },
    Joined {
        lane: LaneId,
        end: End,
    },
    NotJoined {
        lane: LaneId,
    },
    Part {
        lane: LaneId,
    },
    Ask {
        transfer: TransferId,
        span: RemoteSpan,
        direction: Direction,
    },
    Granted {
        transfer: TransferId,
        grant: Grant,
    },
    Release {
        transfer: TransferId,
        is_whole: bool,
    },
    /// Also the answer where nothing is granted.
    Released {
        transfer: TransferId,
        verdict: Verdict,
        checksums: Vec<u32>,
    },
}

impl Message {
    /// The message as it is sent, its length first.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Writer(vec![0; 4]);
        self.write(&mut to);
        let len = u32::try_from(to.0.len() - 4).expect("within the limit of a message");
        to.0[..4].copy_from_slice(&len.to_le_bytes());
        to.0
    }

    fn write(&self, to: &mut Writer) {
        match self {
            Self::Rails(rails) => {
                to.u8(0).u8(u8::try_from(rails.len()).unwrap_or(u8::MAX));
                rails.iter().take(u8::MAX.into()).for_each(|rail| to.rail(rail));
            }
            Self::Join { lane, rail, remote, end } => to.u8(1).u64(lane.0).u8(*rail).u8(*remote).end(*end),
            Self::Joined { lane, end } => to.u8(2).u64(lane.0).end(*end),
            Self::NotJoined { lane } => drop(to.u8(3).u64(lane.0)),
            Self::Part { lane } => drop(to.u8(4).u64(lane.0)),
            Self::Ask { transfer, span, direction } => {
                to.u8(5).u64(transfer.0).u8(u8::from(*direction == Direction::Push));
                to.u64(span.key).u64(span.generation).u64(span.offset).u64(span.len);
            }
            Self::Granted { transfer, grant } => {
                to.u8(6).u64(transfer.0).u64(grant.address).u32(grant.slot.into());
                to.u32(grant.cut.piece_bytes).u64(grant.cut.border).u64(grant.cut.extent_bytes).words(&grant.keys);
            }
            Self::Release { transfer, is_whole } => drop(to.u8(7).u64(transfer.0).u8((*is_whole).into())),
            Self::Released { transfer, verdict, checksums } => {
                to.u8(8).u64(transfer.0).u8(verdict.code()).words(checksums);
            }
        }
    }

    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut from = Reader(bytes);
        let message = match from.u8()? {
            0 => {
                let count = from.u8()?;
                Self::Rails((0..count).map(|_| from.rail()).collect::<Result<_, _>>()?)
            }
            1 => Self::Join { lane: LaneId(from.u64()?), rail: from.u8()?, remote: from.u8()?, end: from.end()? },
            2 => Self::Joined { lane: LaneId(from.u64()?), end: from.end()? },
            3 => Self::NotJoined { lane: LaneId(from.u64()?) },
            4 => Self::Part { lane: LaneId(from.u64()?) },
            5 => {
                let transfer = TransferId(from.u64()?);
                let direction = if from.bool()? { Direction::Push } else { Direction::Read };
                Self::Ask { transfer, span: from.span()?, direction }
            }
            6 => Self::Granted { transfer: TransferId(from.u64()?), grant: from.grant()? },
            7 => Self::Release { transfer: TransferId(from.u64()?), is_whole: from.bool()? },
            8 => {
                let transfer = TransferId(from.u64()?);
                let verdict = Verdict::decode(from.u8()?)?;
                Self::Released { transfer, verdict, checksums: from.words()? }
            }
            _ => return Err("a message about cards of an unknown kind"),
        };
        if from.0.is_empty() { Ok(message) } else { Err("a message about cards with bytes behind it") }
    }

    /// The next message of a connection.
    ///
    /// # Errors
    /// Where it ends, or isn't one of ours: `InvalidData`.
    pub async fn receive(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let len = from.read_u32_le().await? as usize;
        if len > MESSAGE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message about cards over the limit"));
        }
        let mut bytes = vec![0; len];
        from.read_exact(&mut bytes).await?;
        Self::decode(&bytes).map_err(|what| io::Error::new(io::ErrorKind::InvalidData, what))
    }
}

impl Verdict {
    fn code(self) -> u8 {
        match self {
            Self::Whole => 0,
            Self::Denied(Denied::Revoked) => 1,
            Self::Denied(Denied::OutOfBounds) => 2,
            Self::Denied(Denied::NotYet) => 3,
            Self::Denied(Denied::OffHost) => 4,
            Self::Declined => 5,
        }
    }

    fn decode(code: u8) -> Result<Self, &'static str> {
        let denied = [Denied::Revoked, Denied::OutOfBounds, Denied::NotYet, Denied::OffHost];
        match code {
            0 => Ok(Self::Whole),
            1..=4 => Ok(Self::Denied(denied[usize::from(code) - 1])),
            5 => Ok(Self::Declined),
            _ => Err("an unknown verdict"),
        }
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn end(&mut self, end: End) {
        self.u32(end.number).u32(end.sequence);
    }

    fn words(&mut self, words: &[u32]) {
        self.u32(u32::try_from(words.len()).expect("within the limit of a message"));
        for word in words {
            self.u32(*word);
        }
    }

    fn rail(&mut self, rail: &RailAddress) {
        self.u8(u8::from(rail.link == LinkLayer::Ethernet)).u32(rail.lid.into());
        self.0.extend(rail.gid);
        self.u8(rail.mtu).u8(rail.reads_served_max).u32(rail.message_bytes_max);
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (taken, rest) = self.0.split_first_chunk().ok_or("a message about cards that is too short")?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, &'static str> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn bool(&mut self) -> Result<bool, &'static str> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err("a yes or no that is neither"),
        }
    }

    fn u32(&mut self) -> Result<u32, &'static str> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, &'static str> {
        self.take().map(u64::from_le_bytes)
    }

    fn u16_in_32(&mut self) -> Result<u16, &'static str> {
        u16::try_from(self.u32()?).map_err(|_| "a number over its limit")
    }

    fn end(&mut self) -> Result<End, &'static str> {
        Ok(End { number: self.u32()?, sequence: self.u32()? })
    }

    fn words(&mut self) -> Result<Vec<u32>, &'static str> {
        let count = self.u32()? as usize;
        if count > WORDS_MAX {
            return Err("more words than a message may have");
        }
        (0..count).map(|_| self.u32()).collect()
    }

    fn span(&mut self) -> Result<RemoteSpan, &'static str> {
        Ok(RemoteSpan { key: self.u64()?, generation: self.u64()?, offset: self.u64()?, len: self.u64()? })
    }

    fn grant(&mut self) -> Result<Grant, &'static str> {
        let (address, slot) = (self.u64()?, self.u16_in_32()?);
        let cut = Cut { piece_bytes: self.u32()?, border: self.u64()?, extent_bytes: self.u64()? };
        if cut.piece_bytes == 0 || cut.border == 0 || cut.extent_bytes == 0 {
            return Err("a grant that gives nothing");
        }
        Ok(Grant { address, cut, keys: self.words()?, slot })
    }

    fn rail(&mut self) -> Result<RailAddress, &'static str> {
        let link = if self.bool()? { LinkLayer::Ethernet } else { LinkLayer::InfiniBand };
        Ok(RailAddress {
            link,
            lid: self.u16_in_32()?,
            gid: self.take()?,
            mtu: self.u8()?,
            reads_served_max: self.u8()?,
            message_bytes_max: self.u32()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same(
            mut bytes in proptest::collection::vec(any::<u8>(), 1..120),
            kind in 0..10_u8,
        ) {
            bytes[0] = kind;
            if let Ok(message) = Message::decode(&bytes) {
                prop_assert_eq!(&message.encode()[4..], &bytes[..]);
            }
        }
    }

    #[test]
    fn each_message_comes_as_it_was_sent() {
        let (lane, transfer) = (LaneId(7), TransferId(9));
        let end = End { number: 1, sequence: 2 };
        let rail = RailAddress {
            link: LinkLayer::Ethernet,
            lid: 0,
            gid: [5; 16],
            mtu: 5,
            reads_served_max: 16,
            message_bytes_max: 1 << 23,
        };
        let span = RemoteSpan { key: 1, generation: 2, offset: 3, len: 4 };
        let cut = Cut { piece_bytes: 1 << 20, border: 5, extent_bytes: 6 };
        let denied = Verdict::Denied(Denied::NotYet);
        let all = [
            Message::Rails(vec![rail, RailAddress { link: LinkLayer::InfiniBand, lid: 3, ..rail }]),
            Message::Join { lane, rail: 1, remote: 2, end },
            Message::Joined { lane, end },
            Message::NotJoined { lane },
            Message::Part { lane },
            Message::Ask { transfer, span, direction: Direction::Push },
            Message::Granted { transfer, grant: Grant { address: 8, cut, keys: vec![1, 2, 3], slot: 4095 } },
            Message::Release { transfer, is_whole: true },
            Message::Released { transfer, verdict: denied, checksums: vec![9, 8] },
        ];
        for message in all {
            assert_eq!(Message::decode(&message.encode()[4..]).as_ref(), Ok(&message));
        }
    }

    #[test]
    fn counts_over_the_limit_are_refused_before_anything_is_made() {
        let mut bytes =
            Message::Released { transfer: TransferId(1), verdict: Verdict::Whole, checksums: vec![] }.encode();
        bytes.truncate(bytes.len() - 4);
        bytes.extend(u32::MAX.to_le_bytes());
        assert_eq!(Message::decode(&bytes[4..]), Err("more words than a message may have"));
    }
}

//! Both sides prove that they know the cluster's secret, without sending it.
//!
//! ```text
//!  dialler                                             acceptor
//!     | hello: version, purpose, cluster, ids, nonce       |
//!     |--------------------------------------------------->|  other version or cluster: refuse
//!     |        challenge: the same of its own, and a proof |
//!     |<---------------------------------------------------|
//!     | proof                                              |
//!     |--------------------------------------------------->|  wrong: refuse
//!     |                                  welcome or refuse |
//!     |<---------------------------------------------------|
//! ```
//!
//! A proof is HMAC-SHA256 under the secret, over the prover's side and both introductions, nonces included: it can be
//! neither replayed nor reflected. It runs over any stream, so that one with encryption may take TCP's place.

use super::{ClusterId, Identity, Secret};
use crate::error::{Refusal, TransportError};
use crate::face::PeerId;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::io;
use subtle::ConstantTimeEq;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What this code speaks.
pub const WIRE_VERSION: u16 = 1;

const MAGIC: [u8; 4] = *b"RAYL";
const HEAD_BYTES: usize = 8;
const BODY_BYTES: usize = 88;
const PROOF_BYTES: usize = 32;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Control frames, both ways.
    Control,
    /// Object bytes, to the dialler.
    Lane,
    /// Bytes of a protocol that isn't ours, both ways.
    Stream,
    /// What cards must know of each other, both ways.
    Cards,
}

/// Who the other one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Met {
    pub peer: PeerId,
    pub incarnation: u64,
    pub purpose: Purpose,
}

/// The first bytes of each message: magic, version, kind, code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    version: u16,
    kind: u8,
    code: u8,
}

const HELLO: u8 = 1;
const CHALLENGE: u8 = 2;
const PROOF: u8 = 3;
const WELCOME: u8 = 4;
const REFUSE: u8 = 5;

/// How one introduces oneself: cluster, id, the id that one wants to meet (0 for any), incarnation, nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Introduction {
    cluster: ClusterId,
    peer: u128,
    wanted: u128,
    incarnation: u64,
    nonce: [u8; 32],
}

/// Calls `wanted` over a fresh stream.
///
/// # Errors
/// `Refused` by either side, `PeerGone`, `Protocol`.
pub async fn dial<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    me: &Identity,
    wanted: PeerId,
    purpose: Purpose,
) -> Result<Met, TransportError> {
    let hello = Introduction::new(me, wanted.0);
    let mut sent = Head::ours(HELLO, purpose as u8).encode().to_vec();
    sent.extend(hello.encode());
    write(stream, wanted, &sent).await?;
    expect(stream, wanted, CHALLENGE).await?;
    let mut body = [0; BODY_BYTES + PROOF_BYTES];
    read(stream, wanted, &mut body).await?;
    let (introduction, proof) = body.split_at(BODY_BYTES);
    let challenge = Introduction::decode(introduction.try_into().expect("its length"));
    let transcript = [&sent, introduction].concat();
    let refused = |refusal| Err(TransportError::Refused { peer: wanted, refusal });
    if !is_equal(&prove(&me.secret, b"acceptor", &transcript), proof) {
        return refused(Refusal::Secret);
    }
    if challenge.peer != wanted.0 {
        return refused(Refusal::Identity);
    }
    let mut answer = Head::ours(PROOF, 0).encode().to_vec();
    answer.extend(prove(&me.secret, b"dialler", &transcript));
    write(stream, wanted, &answer).await?;
    expect(stream, wanted, WELCOME).await?;
    Ok(Met { peer: wanted, incarnation: challenge.incarnation, purpose })
}

/// Answers whoever dialled, as far as it has proved who it is. `welcome` or `refuse` must follow.
///
/// # Errors
/// `Refused`, `PeerGone`, `Protocol`; the peer is 0 until it has told its name.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, me: &Identity) -> Result<Met, TransportError> {
    let nobody = PeerId(0);
    let head = receive_head(stream, nobody).await?;
    if head.version != WIRE_VERSION {
        let refusal = Refusal::Version { ours: WIRE_VERSION, theirs: head.version };
        return Err(refuse(stream, nobody, refusal).await);
    }
    let purpose = match (head.kind, head.code) {
        (HELLO, 0) => Purpose::Control,
        (HELLO, 1) => Purpose::Lane,
        (HELLO, 2) => Purpose::Stream,
        (HELLO, 3) => Purpose::Cards,
        _ => return Err(TransportError::Protocol { peer: nobody, what: "it began without a hello" }),
    };
    let mut body = [0; BODY_BYTES];
    read(stream, nobody, &mut body).await?;
    let hello = Introduction::decode(&body);
    let peer = PeerId(hello.peer);
    if hello.cluster != me.cluster {
        return Err(refuse(stream, peer, Refusal::Cluster).await);
    }
    if hello.wanted != me.peer.0 {
        return Err(refuse(stream, peer, Refusal::Identity).await);
    }
    let introduction = Introduction::new(me, peer.0).encode();
    let transcript = [&head.encode()[..], &body, &introduction].concat();
    let mut challenge = Head::ours(CHALLENGE, 0).encode().to_vec();
    challenge.extend(introduction);
    challenge.extend(prove(&me.secret, b"acceptor", &transcript));
    write(stream, peer, &challenge).await?;
    expect(stream, peer, PROOF).await?;
    let mut proof = [0; PROOF_BYTES];
    read(stream, peer, &mut proof).await?;
    if !is_equal(&prove(&me.secret, b"dialler", &transcript), &proof) {
        return Err(refuse(stream, peer, Refusal::Secret).await);
    }
    Ok(Met { peer, incarnation: hello.incarnation, purpose })
}

/// The last word of a handshake that succeeded.
///
/// # Errors
/// `PeerGone`.
pub async fn welcome<S: AsyncWrite + Unpin>(stream: &mut S, peer: PeerId) -> Result<(), TransportError> {
    write(stream, peer, &Head::ours(WELCOME, 0).encode()).await
}

/// The last word of one that failed; the error to go on with.
pub async fn refuse<S: AsyncWrite + Unpin>(stream: &mut S, peer: PeerId, refusal: Refusal) -> TransportError {
    // Whoever is refused may be gone already; the refusal stands.
    let _ = write(stream, peer, &Head::ours(REFUSE, refusal.code()).encode()).await;
    TransportError::Refused { peer, refusal }
}

async fn receive_head<S: AsyncRead + Unpin>(stream: &mut S, peer: PeerId) -> Result<Head, TransportError> {
    let mut head = [0; HEAD_BYTES];
    read(stream, peer, &mut head).await?;
    Head::decode(head).ok_or(TransportError::Protocol { peer, what: "it speaks something other than Rayline" })
}

async fn expect<S: AsyncRead + Unpin>(stream: &mut S, peer: PeerId, kind: u8) -> Result<(), TransportError> {
    let head = receive_head(stream, peer).await?;
    if head.kind == REFUSE {
        let refusal = Refusal::decode(head.code, head.version);
        return Err(refusal.map_or_else(
            || TransportError::Protocol { peer, what: "it refuses for no known reason" },
            |refusal| TransportError::Refused { peer, refusal },
        ));
    }
    let is_expected = head == Head::ours(kind, 0);
    is_expected.then_some(()).ok_or(TransportError::Protocol { peer, what: "a message of the handshake out of turn" })
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S, peer: PeerId, to: &mut [u8]) -> Result<(), TransportError> {
    stream.read_exact(to).await.map(drop).map_err(|error| gone(peer, error))
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, peer: PeerId, bytes: &[u8]) -> Result<(), TransportError> {
    stream.write_all(bytes).await.map_err(|error| gone(peer, error))
}

fn gone(peer: PeerId, error: io::Error) -> TransportError {
    TransportError::of_io(peer, "it ended the handshake", 0, error)
}

fn prove(secret: &Secret, side: &[u8], transcript: &[u8]) -> [u8; PROOF_BYTES] {
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret.0).expect("HMAC takes keys of any length");
    mac.update(side);
    mac.update(transcript);
    mac.finalize().into_bytes().into()
}

fn is_equal(ours: &[u8], theirs: &[u8]) -> bool {
    ours.ct_eq(theirs).into()
}

impl Head {
    fn ours(kind: u8, code: u8) -> Self {
        Self { version: WIRE_VERSION, kind, code }
    }

    fn encode(self) -> [u8; HEAD_BYTES] {
        let [low, high] = self.version.to_le_bytes();
        let [a, b, c, d] = MAGIC;
        [a, b, c, d, low, high, self.kind, self.code]
    }

    fn decode(bytes: [u8; HEAD_BYTES]) -> Option<Self> {
        let [a, b, c, d, low, high, kind, code] = bytes;
        ([a, b, c, d] == MAGIC).then_some(Self { version: u16::from_le_bytes([low, high]), kind, code })
    }
}

impl Introduction {
    fn new(me: &Identity, wanted: u128) -> Self {
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).expect("the system has randomness");
        Self { cluster: me.cluster, peer: me.peer.0, wanted, incarnation: me.incarnation, nonce }
    }

    fn encode(&self) -> [u8; BODY_BYTES] {
        let mut bytes = [0; BODY_BYTES];
        bytes[0..16].copy_from_slice(&self.cluster.0.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.peer.to_le_bytes());
        bytes[32..48].copy_from_slice(&self.wanted.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.incarnation.to_le_bytes());
        bytes[56..88].copy_from_slice(&self.nonce);
        bytes
    }

    fn decode(bytes: &[u8; BODY_BYTES]) -> Self {
        let id = |at: usize| u128::from_le_bytes(bytes[at..at + 16].try_into().expect("sixteen bytes"));
        Self {
            cluster: ClusterId(id(0)),
            peer: id(16),
            wanted: id(32),
            incarnation: u64::from_le_bytes(bytes[48..56].try_into().expect("eight bytes")),
            nonce: bytes[56..88].try_into().expect("32 bytes"),
        }
    }
}

impl Refusal {
    fn code(self) -> u8 {
        match self {
            Self::Version { .. } => 0,
            Self::Cluster => 1,
            Self::Secret => 2,
            Self::Identity => 3,
            Self::Duplicate => 4,
            Self::Busy => 5,
            Self::NoCards => 6,
        }
    }

    fn decode(code: u8, theirs: u16) -> Option<Self> {
        let version = Self::Version { ours: WIRE_VERSION, theirs };
        let all = [version, Self::Cluster, Self::Secret, Self::Identity, Self::Duplicate, Self::Busy, Self::NoCards];
        all.get(usize::from(code)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn identity(peer: u128, secret: u8) -> Identity {
        Identity { peer: PeerId(peer), cluster: ClusterId(7), secret: Secret([secret; 32]), incarnation: 3 }
    }

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn meet(dialler: &Identity, acceptor: &Identity) -> (Result<Met, TransportError>, Result<Met, TransportError>) {
        let (mut a, mut b) = tokio::io::duplex(256);
        // Each owns its stream, so that the other sees the end of one that gives up.
        let dialled = async move { dial(&mut a, dialler, PeerId(2), Purpose::Lane).await };
        let accepted = async move {
            let met = accept(&mut b, acceptor).await?;
            welcome(&mut b, met.peer).await.map(|()| met)
        };
        block_on(async { tokio::join!(dialled, accepted) })
    }

    #[test]
    fn those_who_know_the_secret_meet() {
        let (there, here) = meet(&identity(1, 5), &identity(2, 5));
        assert_eq!(there.unwrap().peer, PeerId(2));
        assert_eq!(here.unwrap(), Met { peer: PeerId(1), incarnation: 3, purpose: Purpose::Lane });
    }

    #[test]
    fn a_mismatch_is_refused_in_words() {
        let refusal = |result: Result<Met, TransportError>| match result.unwrap_err() {
            TransportError::Refused { refusal, .. } => refusal,
            other => panic!("{other}"),
        };
        assert_eq!(refusal(meet(&identity(1, 5), &identity(2, 6)).0), Refusal::Secret);
        let elsewhere = Identity { cluster: ClusterId(8), ..identity(2, 5) };
        let (there, here) = meet(&identity(1, 5), &elsewhere);
        assert_eq!((refusal(there), refusal(here)), (Refusal::Cluster, Refusal::Cluster));
        assert_eq!(refusal(meet(&identity(1, 5), &identity(3, 5)).0), Refusal::Identity);
        let text = TransportError::Refused { peer: PeerId(1), refusal: Refusal::Secret }.to_string();
        assert!(text.contains("copy the secret file"), "{text}");
    }

    #[test]
    fn another_version_is_refused_with_both_numbers() {
        let (mut a, mut b) = tokio::io::duplex(256);
        let head = Head { version: 9, kind: HELLO, code: 0 };
        let (answer, accepted) = block_on(async {
            a.write_all(&head.encode()).await.unwrap();
            let accepted = accept(&mut b, &identity(2, 5)).await;
            (expect(&mut a, PeerId(2), CHALLENGE).await, accepted)
        });
        assert!(accepted.unwrap_err().to_string().contains("wire version 9, we speak 1"));
        assert!(matches!(answer, Err(TransportError::Refused { refusal: Refusal::Version { .. }, .. })));
    }

    proptest! {
        #[test]
        fn no_bytes_get_in_or_break_it(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), is_likely: bool) {
            if is_likely && bytes.len() >= HEAD_BYTES + 48 {
                let head = Head::ours(HELLO, bytes[7] % 4).encode();
                bytes[..HEAD_BYTES].copy_from_slice(&head);
                bytes[8..24].copy_from_slice(&7u128.to_le_bytes());
                bytes[40..56].copy_from_slice(&2u128.to_le_bytes());
            }
            let outcomes = block_on(async {
                let (mut a, mut b) = tokio::io::duplex(1024);
                a.write_all(&bytes).await.unwrap();
                a.shutdown().await.unwrap();
                let accepted = accept(&mut b, &identity(2, 5)).await;
                let (mut a, mut b) = tokio::io::duplex(1024);
                b.write_all(&bytes).await.unwrap();
                b.shutdown().await.unwrap();
                (accepted, dial(&mut a, &identity(1, 5), PeerId(2), Purpose::Control).await)
            });
            prop_assert!(outcomes.0.is_err() && outcomes.1.is_err());
        }
    }
}

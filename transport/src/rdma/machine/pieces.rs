//! The bytes of one transfer, cut into what one request moves.

use crate::region::{CHUNK_BYTES, chunk_count};

/// What one request moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins, in bytes from the start of the transfer.
    pub at: u64,
    /// Its length in bytes.
    pub len: u32,
}

/// Where pieces are cut: at chunks, at what a message may hold, and where the peer's memory goes by another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of a piece.
    pub piece_bytes: u32,
    /// Where the second key begins, in bytes from the start of the transfer.
    pub border: u64,
    /// Bytes for each further key.
    pub extent_bytes: u64,
}

/// Which bytes of a transfer are yet to be moved, and which have been.
#[derive(Clone, Debug)]
pub struct Pieces {
    len: u64,
    cut: Cut,
    next: u64,
    again: Vec<Piece>,
    in_flight: usize,
    /// Bytes that each chunk lacks.
    lacks: Vec<u32>,
    incomplete: usize,
}

impl Cut {
    /// Whole chunks, as one key does for all.
    pub fn at_chunks(piece_bytes: u32) -> Self {
        Self { piece_bytes, border: u64::MAX, extent_bytes: u64::MAX }
    }

    /// Which key the byte goes by.
    pub fn extent(&self, at: u64) -> usize {
        match at.checked_sub(self.border) {
            None => 0,
            Some(beyond) => 1 + usize::try_from(beyond / self.extent_bytes).expect("a span lies in memory"),
        }
    }

    fn end(&self, at: u64) -> u64 {
        let chunk = (at / CHUNK_BYTES + 1) * CHUNK_BYTES;
        let message = at + u64::from(self.piece_bytes);
        let key = match at.checked_sub(self.border) {
            None => self.border,
            Some(beyond) => self.border + (beyond / self.extent_bytes + 1) * self.extent_bytes,
        };
        chunk.min(message).min(key)
    }
}

impl Pieces {
    /// All of a transfer of `len` bytes.
    pub fn new(len: u64, cut: Cut) -> Self {
        let count = chunk_count(len);
        let chunk = |index: usize| (len - index as u64 * CHUNK_BYTES).min(CHUNK_BYTES);
        let lacks = (0..count).map(|index| u32::try_from(chunk(index)).expect("a chunk")).collect();
        Self { len, cut, next: 0, again: vec![], in_flight: 0, lacks, incomplete: count }
    }

    /// The next piece to move; it is under way from now on.
    pub fn poll_next(&mut self) -> Option<Piece> {
        let piece = self.again.pop().or_else(|| self.fresh())?;
        self.in_flight += 1;
        Some(piece)
    }

    fn fresh(&mut self) -> Option<Piece> {
        let at = self.next;
        if at >= self.len {
            return None;
        }
        self.next = self.cut.end(at).min(self.len);
        Some(Piece { at, len: u32::try_from(self.next - at).expect("at most a chunk") })
    }

    /// A piece has been moved.
    pub fn handle_done(&mut self, piece: Piece) {
        self.in_flight -= 1;
        let lacks = &mut self.lacks[usize::try_from(piece.at / CHUNK_BYTES).expect("a chunk of this transfer")];
        *lacks -= piece.len;
        if *lacks == 0 {
            self.incomplete -= 1;
        }
    }

    /// A piece was not moved, or nobody knows: it is moved again.
    pub fn handle_lost(&mut self, piece: Piece) {
        self.in_flight -= 1;
        self.again.push(piece);
    }

    /// Whether there is something to move that isn't under way.
    pub fn is_wanting(&self) -> bool {
        !self.again.is_empty() || self.next < self.len
    }

    /// Whether all has been moved.
    pub fn is_complete(&self) -> bool {
        self.incomplete == 0
    }

    /// Pieces under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The chunks that have been moved as a whole.
    pub fn arrived(&self) -> Vec<usize> {
        self.lacks.iter().enumerate().filter(|(_, lacks)| **lacks == 0).map(|(index, _)| index).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn all_bytes_are_moved_once_whatever_is_lost(
            len in 0..6 * CHUNK_BYTES,
            piece_bits in 18..21_u32,
            border in 1..3 * CHUNK_BYTES,
            extent_bytes in CHUNK_BYTES / 2..2 * CHUNK_BYTES,
            lost in proptest::collection::vec(any::<bool>(), 200),
        ) {
            let cut = Cut { piece_bytes: 1 << piece_bits, border, extent_bytes };
            let (mut pieces, mut lost) = (Pieces::new(len, cut), lost.into_iter());
            let mut moved = vec![];
            while let Some(piece) = pieces.poll_next() {
                let last = piece.at + u64::from(piece.len) - 1;
                prop_assert!(piece.len <= cut.piece_bytes && piece.at / CHUNK_BYTES == last / CHUNK_BYTES);
                prop_assert_eq!(cut.extent(piece.at), cut.extent(last));
                if lost.next() == Some(true) {
                    pieces.handle_lost(piece);
                } else {
                    pieces.handle_done(piece);
                    moved.push(piece);
                }
            }
            moved.sort_by_key(|piece| piece.at);
            let mut at = 0;
            for piece in moved {
                prop_assert_eq!(piece.at, at);
                at += u64::from(piece.len);
            }
            prop_assert_eq!(at, len);
            prop_assert!(pieces.is_complete() && !pieces.is_wanting() && pieces.in_flight() == 0);
            prop_assert_eq!(pieces.arrived().len(), chunk_count(len));
        }
    }
}

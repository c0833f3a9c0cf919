//! The second region of a receive buffer: what compressed messages become.

use alloc::vec::Vec;
use core::mem;

use bytes::{Buf, BytesMut};

use super::{Payload, RecvBuffer, Region};

/// The inflated part of the message under way, then the whole message until it was taken.
///
/// It grows piece by piece, as output comes, and nothing is copied to grow it: with a limit on the
/// message the memory is at most that limit and the first piece. The pieces are put together when
/// the message is complete, which may be done step by step.
#[derive(Default)]
pub(crate) struct Inflated {
    /// Full ones.
    pieces: Vec<BytesMut>,
    /// The sum of their lengths.
    in_pieces: usize,
    /// The piece being filled, initialised throughout.
    piece: BytesMut,
    filled: usize,
    /// What has been put together of them: it comes before the pieces.
    joined: BytesMut,
    /// A complete message, or the memory of the last one.
    whole: Region,
}

impl Inflated {
    /// Returns the number of bytes in it.
    pub(crate) fn len(&self) -> usize {
        self.joined.len() + self.in_pieces + self.filled
    }

    /// Space for more output, at most `most` bytes; empty only if that is 0.
    pub(crate) fn space(&mut self, most: usize) -> &mut [u8] {
        if self.filled == self.piece.len() {
            self.next_piece(most);
        }
        let end = self.piece.len().min(self.filled.saturating_add(most));
        &mut self.piece[self.filled..end]
    }

    #[cold]
    fn next_piece(&mut self, most: usize) {
        if self.filled > 0 {
            self.in_pieces += self.filled;
            self.filled = 0;
            self.pieces.push(mem::take(&mut self.piece));
        } else if let Some(piece) = self.take_kept() {
            self.piece = piece;
            return;
        }
        // as much again as there is, so that the number of pieces stays small
        let len = self.len().clamp(FIRST_PIECE, LARGEST_PIECE).min(most);
        self.piece = BytesMut::zeroed(len);
    }

    /// Takes the first `n` bytes of the [`space`](Self::space) as written.
    pub(crate) fn commit(&mut self, n: usize) {
        self.filled = (self.filled + n).min(self.piece.len());
    }

    /// Returns what has been written from position `from` on.
    pub(crate) fn since(&self, from: usize) -> impl Iterator<Item = &[u8]> {
        let last = &self.piece[..self.filled];
        let all = self.pieces.iter().map(|piece| &piece[..]).chain([last]);
        all.scan(from, |skip, piece| {
            let part = piece.get(*skip..).unwrap_or_default();
            *skip = skip.saturating_sub(piece.len());
            Some(part)
        })
    }

    /// Puts the pieces of a message together that has come to its end, so many bytes of them;
    /// whether that was all.
    pub(crate) fn join(&mut self, mut most: usize) -> bool {
        if self.joined.is_empty() {
            if self.pieces.is_empty() {
                return true;
            }
            let mut last = mem::take(&mut self.piece);
            last.truncate(self.filled);
            self.in_pieces += mem::take(&mut self.filled);
            self.pieces.push(last);
            self.joined = BytesMut::with_capacity(self.in_pieces);
        }
        while let Some(piece) = self.pieces.first_mut() {
            let n = piece.len().min(most);
            self.joined.extend_from_slice(&piece[..n]);
            piece.advance(n);
            self.in_pieces -= n;
            most -= n;
            if !piece.is_empty() {
                return false;
            }
            self.pieces.remove(0); // of a few dozen
        }
        true
    }

    /// Ends the message (or chunk): it can be taken.
    fn complete(&mut self) {
        let len = self.len();
        self.join(usize::MAX);
        let mut storage = mem::take(&mut self.piece);
        if !self.joined.is_empty() {
            storage = mem::take(&mut self.joined);
        } else if storage.is_empty() {
            // nothing came out: what is kept stays where it is
            storage = self.take_kept().unwrap_or_default();
        }
        (self.in_pieces, self.filled) = (0, 0);
        self.whole = Region::with_assembled(storage.into(), len);
    }

    /// Returns the memory of the last message, which was taken, unless that is large.
    fn take_kept(&mut self) -> Option<BytesMut> {
        let memory = mem::take(&mut self.whole).memory.into_bytes_mut();
        (!memory.is_empty() && memory.capacity() <= MAX_KEPT).then_some(memory)
    }

    fn is_idle(&self) -> bool {
        self.len() == 0 && self.whole.is_idle()
    }

    fn capacity(&self) -> usize {
        let pieces: usize = self.pieces.iter().map(BytesMut::capacity).sum();
        pieces + self.piece.capacity() + self.joined.capacity() + self.whole.memory.capacity()
    }
}

/// Output is made in steps of this size at least: a chunk.
pub(crate) const FIRST_PIECE: usize = 16 * 1024;

/// Beyond this more at once gains nothing, and takes the system its time.
const LARGEST_PIECE: usize = 512 * 1024;

/// The memory of a message that was not handed over serves the next one up to this size.
const MAX_KEPT: usize = 64 * 1024;

impl RecvBuffer {
    /// Returns the compressed bytes that were assembled and not yet
    /// [`consumed`](Self::consume_assembled), and where to inflate them to.
    pub(crate) fn inflation(&mut self) -> (&[u8], &mut Inflated) {
        let compressed = self.region.assembled();
        (compressed, self.inflated.get_or_insert_default())
    }

    /// What has been inflated is complete.
    pub(crate) fn complete_inflated(&mut self) {
        self.inflated.get_or_insert_default().complete();
    }

    /// Lends the complete inflated payload and counts it as consumed.
    pub(crate) fn take_inflated(&mut self) -> Payload<'_> {
        self.inflated.get_or_insert_default().whole.take_assembled()
    }

    /// Returns the complete inflated payload, as far as it was not consumed.
    pub(crate) fn inflated(&self) -> &[u8] {
        self.inflated.as_ref().map_or(&[], |inflated| inflated.whole.assembled())
    }

    /// Drops the first `n` bytes of the complete inflated payload: somebody has them.
    pub(crate) fn consume_inflated(&mut self, n: usize) {
        self.inflated.get_or_insert_default().whole.consume_assembled(n);
    }

    /// Returns whether the second region holds nothing.
    pub(super) fn is_inflated_idle(&self) -> bool {
        self.inflated.as_ref().is_none_or(|inflated| inflated.is_idle())
    }

    /// Returns the memory of the second region.
    pub(super) fn inflated_capacity(&self) -> usize {
        self.inflated.as_ref().map_or(0, |inflated| inflated.capacity())
    }

    /// Gives back the memory of a large message that was not handed over.
    #[cold]
    pub(super) fn shrink_inflated(&mut self) {
        self.inflated.take_if(|it| it.is_idle() && it.capacity() > MAX_KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(rx: &mut RecvBuffer, mut len: usize, limit: usize) {
        while len > 0 {
            let (_, inflated) = rx.inflation();
            let at = inflated.len();
            let space = inflated.space(limit - at);
            let n = space.len().min(len);
            space[..n].iter_mut().enumerate().for_each(|(i, byte)| *byte = (at + i) as u8);
            inflated.commit(n);
            len -= n;
        }
    }

    fn is_right(payload: &[u8]) -> bool {
        payload.iter().enumerate().all(|(i, byte)| *byte == i as u8)
    }

    #[test]
    fn messages_of_all_sizes() {
        let mut rx = RecvBuffer::new();
        for len in [0, 1, 5, FIRST_PIECE, 0, FIRST_PIECE + 1, 100_000, 3, 5_000_000, 0, 7] {
            for own in [true, false] {
                write(&mut rx, len, usize::MAX);
                assert_eq!(rx.is_idle(), len == 0);
                if own {
                    // step by step, or the rest of it at the end
                    let (_, inflated) = rx.inflation();
                    let steps = (0..100).take_while(|_| !inflated.join(30_000)).count();
                    assert_eq!(
                        steps,
                        if len > FIRST_PIECE { 100.min((len - 1) / 30_000) } else { 0 }
                    );
                    assert_eq!(inflated.len(), len);
                    assert_eq!(rx.is_idle(), len == 0);
                }
                rx.complete_inflated();
                assert_eq!(rx.is_idle(), len == 0);
                let payload = rx.take_inflated();
                assert_eq!(payload.as_slice().len(), len);
                assert!(is_right(payload.as_slice()));
                if own {
                    assert!(is_right(&payload.into_bytes()));
                }
                assert!(rx.is_idle());
                rx.space();
                assert!(rx.capacity() <= MAX_KEPT + RecvBuffer::DEFAULT_READ_AHEAD, "{len}");
            }
        }
    }

    /// The memory of a message that was not handed over serves the next one if it is small, and
    /// goes back as soon as more is read if it is large.
    #[test]
    fn memory_is_kept_for_the_next_message() {
        for len in [5, MAX_KEPT, MAX_KEPT + 1] {
            let (mut rx, is_small) = (RecvBuffer::new(), len <= MAX_KEPT);
            write(&mut rx, len, usize::MAX);
            rx.complete_inflated();
            let place = rx.take_inflated().as_slice().as_ptr();
            let own = rx.space().len();
            assert_eq!(rx.capacity(), own + if is_small { len.max(FIRST_PIECE) } else { 0 });
            write(&mut rx, 7, usize::MAX);
            rx.complete_inflated();
            let payload = rx.take_inflated();
            assert_eq!(payload.as_slice().len(), 7);
            assert!(!is_small || payload.as_slice().as_ptr() == place, "{len}");
        }
        // also if nothing is read in between
        let mut rx = RecvBuffer::new();
        write(&mut rx, MAX_KEPT + 1, usize::MAX);
        rx.complete_inflated();
        rx.take_inflated();
        write(&mut rx, 7, usize::MAX);
        assert_eq!(rx.capacity(), FIRST_PIECE);
    }

    /// All of its memory counts, and reading takes nothing of a message under way.
    #[test]
    fn memory_of_a_message_under_way() {
        let mut rx = RecvBuffer::new();
        write(&mut rx, 100_000, usize::MAX);
        assert_eq!(rx.capacity(), 2 * MAX_KEPT);
        rx.inflation().1.join(30_000);
        assert!((200_000..230_000).contains(&rx.capacity()), "{}", rx.capacity());
        let own = rx.space().len();
        assert!((own + 200_000..own + 230_000).contains(&rx.capacity()));
        rx.complete_inflated();
        assert!(is_right(rx.take_inflated().as_slice()));
    }

    /// Somebody takes a part of a message at a time.
    #[cfg(feature = "std")]
    #[test]
    fn a_message_in_parts() {
        let mut rx = RecvBuffer::new();
        assert!(rx.inflated().is_empty());
        write(&mut rx, 7, usize::MAX);
        rx.complete_inflated();
        for left in [0, 3, 6] {
            assert_eq!(rx.inflated(), (left..7).collect::<Vec<u8>>());
            rx.consume_inflated(3);
        }
        assert!(rx.inflated().is_empty() && rx.is_idle());
    }

    #[test]
    fn what_has_been_written_since() {
        let mut rx = RecvBuffer::new();
        write(&mut rx, 100_000, usize::MAX);
        let (_, inflated) = rx.inflation();
        for from in [0, 1, FIRST_PIECE - 1, FIRST_PIECE, FIRST_PIECE + 1, 99_999, 100_000] {
            let since = inflated.since(from).collect::<Vec<_>>().concat();
            assert_eq!(since.len(), 100_000 - from);
            assert!(since.iter().enumerate().all(|(i, byte)| *byte == (from + i) as u8));
        }
    }

    /// With a limit there is never more memory than that.
    #[test]
    fn the_limit_is_never_exceeded() {
        for limit in [1, 100, FIRST_PIECE, 100_000, 3_000_000] {
            let mut rx = RecvBuffer::new();
            write(&mut rx, limit, limit);
            assert!(rx.capacity() <= limit, "{} for {limit}", rx.capacity());
            let (_, inflated) = rx.inflation();
            assert!(inflated.space(0).is_empty());
        }
    }
}

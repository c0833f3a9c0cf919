//! What is unsent as owned pieces, for IO that needs to own what it reads from.

use alloc::vec::Vec;

use bytes::Bytes;

use super::SendBuffer;

impl SendBuffer {
    /// Returns the next piece to send, owned, for IO that needs to own what it reads from; `None`
    /// when all has been taken.
    ///
    /// What is taken counts as sent. A payload queued by reference comes out as it went in. All
    /// else is copied, up to 64 KiB at a time, into memory that serves again once the pieces in it
    /// have been dropped: a loop that writes one piece after the other allocates nothing.
    ///
    /// A header and a payload by reference are two pieces. Written one after the other they meet
    /// Nagle's algorithm and the peer's delayed acknowledgement, 40 ms: turn on `TCP_NODELAY`, or
    /// write them together ([`take_chunks`](Self::take_chunks)).
    ///
    /// While a write is under way, obey what [`Connection::transport`] or
    /// [`Step`](crate::endpoint::Step) say about shutting down and closing only when it has
    /// completed. Tell `note_written` of the connection then.
    ///
    /// [`Connection::transport`]: crate::proto::Connection::transport
    #[must_use = "what is taken counts as sent: bytes that are dropped never reach the peer"]
    pub fn take_chunk(&mut self) -> Option<Bytes> {
        if self.is_empty() {
            return None;
        }
        let end = match self.segments.front() {
            None => self.flat.len(),
            Some(segment) if segment.at > self.head => segment.at,
            Some(_) => {
                let segment = self.segments.pop_front()?;
                self.referenced -= segment.bytes.len();
                self.sent(segment.bytes.len());
                return Some(segment.bytes);
            }
        };
        let piece = &self.flat[self.head..end];
        let piece = &piece[..piece.len().min(Self::LARGEST_TAKEN)];
        let taken = self.taken.get_or_insert_default();
        if taken.capacity() < piece.len() {
            taken.reserve(piece.len().max(Self::SMALLEST_TAKEN));
        }
        taken.extend_from_slice(piece);
        let chunk = taken.split().freeze();
        self.head += chunk.len();
        self.sent(chunk.len());
        Some(chunk)
    }

    /// Takes up to `max` pieces, as [`take_chunk`](Self::take_chunk) does, and appends them to
    /// `into`: for one vectored write (`writev`), which takes 1 024 on most systems. Returns how
    /// many there were.
    ///
    /// Up to 64 KiB for each of the `max` are held a second time.
    pub fn take_chunks(&mut self, into: &mut Vec<Bytes>, max: usize) -> usize {
        // at once, so that all of it comes back together
        let copied = (self.flat.len() - self.head).min(max.saturating_mul(Self::LARGEST_TAKEN));
        if copied > 0 {
            let taken = self.taken.get_or_insert_default();
            if taken.capacity() < copied {
                taken.reserve(copied.max(Self::SMALLEST_TAKEN));
            }
        }
        let before = into.len();
        into.extend(core::iter::from_fn(|| self.take_chunk()).take(max));
        into.len() - before
    }

    /// Gives a piece back that was written, for its memory.
    ///
    /// To drop it is enough where a write has completed before the next piece is taken. With
    /// several writes under way at a time, this is what keeps their memory in use.
    pub fn recycle(&mut self, chunk: Bytes) {
        // of a payload by reference somebody may wait for the memory: it goes back to them
        let Some(taken) = self.taken.as_deref_mut() else { return };
        let Ok(mut memory) = chunk.try_into_mut() else { return };
        memory.clear();
        let _ = memory.try_reclaim(Self::SMALLEST_TAKEN); // of the pieces before it, too
        if (taken.capacity() + 1..=Self::LARGEST_TAKEN).contains(&memory.capacity()) {
            *taken = memory;
        }
    }

    /// As much as one write takes at once. It bounds what is held a second time.
    const LARGEST_TAKEN: usize = 64 * 1024;

    /// The memory for owned pieces: many small ones lie in it one behind the other.
    const SMALLEST_TAKEN: usize = 4 * 1024;
}

#[cfg(test)]
mod tests {
    use bytes::Buf;

    use super::super::tests::{mixed, owned};
    use super::*;

    #[test]
    fn owned_chunks_are_the_same_bytes() {
        let (_, expected) = mixed(2);
        for first in 0..expected.len() {
            let (mut tx, _) = mixed(2);
            tx.advance(first);
            let mut taken = Vec::new();
            while let Some(chunk) = tx.take_chunk() {
                assert!(!chunk.is_empty());
                taken.extend_from_slice(&chunk);
                assert_eq!(tx.len(), expected.len() - first - taken.len());
            }
            assert_eq!(taken, expected[first..], "after {first}");
        }
    }

    /// However many at a time, and whatever comes back.
    #[test]
    fn several_owned_chunks_are_the_same_bytes() {
        let (_, expected) = mixed(2);
        for max in 1..6 {
            let (mut tx, _) = mixed(2);
            let (mut taken, mut pieces) = (Vec::new(), Vec::new());
            loop {
                let count = tx.take_chunks(&mut pieces, max);
                assert!(count == pieces.len() && count <= max);
                if count < max {
                    assert!(tx.is_empty());
                }
                for piece in pieces.drain(..) {
                    taken.extend_from_slice(&piece);
                    tx.recycle(piece);
                }
                if tx.is_empty() {
                    break;
                }
            }
            assert_eq!(taken, expected, "{max} at a time");
            assert_eq!(tx.take_chunks(&mut pieces, max), 0);
        }
    }

    /// Two writes under way at a time use the same two pieces of memory for ever.
    #[test]
    fn memory_that_comes_back_is_used_again() {
        let mut tx = SendBuffer::new();
        let (mut under_way, mut places) = (Vec::<Bytes>::new(), Vec::new());
        for round in 0..20 {
            tx.put_slice(&[round; 4096]);
            let piece = tx.take_chunk().unwrap();
            assert_eq!(piece, [round; 4096][..]);
            if !places.contains(&piece.as_ptr()) {
                places.push(piece.as_ptr());
            }
            under_way.push(piece);
            if under_way.len() == 2 {
                let before = tx.capacity();
                tx.recycle(under_way.remove(0));
                assert_eq!(tx.capacity(), before + 4096);
            }
        }
        assert_eq!(places.len(), 2);
        // somebody else's, and that of which a part is still in use, stay what they are
        let other = owned(5000, 1);
        tx.recycle(other.clone());
        tx.recycle(under_way[0].clone());
        assert_eq!(other, [1; 5000][..]);
        assert_eq!(under_way[0], [19; 4096][..]);
    }

    /// Pieces that are taken lie one behind the other in memory of just what they need.
    #[test]
    fn memory_of_owned_chunks() {
        let mut tx = SendBuffer::new();
        let (mut pieces, mut end) = (Vec::new(), None);
        for len in [1000, 1000, 2096] {
            tx.put_slice(&[0; 3000][..len]);
            // they stay, so that no other memory comes in their place
            assert_eq!(tx.take_chunks(&mut pieces, 1), 1);
            let range = pieces.last().unwrap().as_ptr_range();
            assert_eq!(range.start, end.unwrap_or(range.start));
            end = Some(range.end);
        }
        // several at once come of one piece of memory, of which nothing is left
        let mut tx = SendBuffer::new();
        tx.put_slice(&[1; 3100]);
        tx.put_owned(owned(5000, 2));
        tx.put_slice(&[3; 3000]);
        tx.advance(100);
        let before = tx.capacity();
        pieces.truncate(1);
        assert_eq!(tx.take_chunks(&mut pieces, 10), 3);
        assert_eq!(pieces[3].as_ptr(), pieces[1].as_ptr_range().end);
        assert_eq!(tx.capacity(), before);
    }
}

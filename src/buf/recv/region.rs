//! The memory of a payload and the cursors into it.

use bytes::Bytes;

use crate::buf::memory::Memory;

/// Memory that holds the payload of one message, and behind it what is yet to be parsed.
///
/// All cursors are positions in `memory`, with
/// `start <= assembled <= parsed <= filled <= memory.len()`:
///
/// ```text
///      start     assembled     parsed      filled     memory.len()
///        |           |           |           |             |
/// -------+-----------+-----------+-----------+-------------+
///  done  |  payload  |   done    | unparsed  |    space    |
/// -------+-----------+-----------+-----------+-------------+
/// ```
///
/// What is inflated is never parsed: there `assembled`, `parsed` and `filled` are equal.
#[derive(Default)]
pub(super) struct Region {
    pub(super) memory: Memory,
    /// The message under way: its payload so far, unmasked and contiguous, is `start..assembled`.
    pub(super) start: usize,
    pub(super) assembled: usize,
    /// What the peer sent and nobody parsed yet is `parsed..filled`. Between `assembled` and
    /// `parsed` lie headers and control frames that are done with.
    pub(super) parsed: usize,
    pub(super) filled: usize,
}

impl Region {
    /// Memory that begins with an assembled payload of `len` bytes.
    #[cfg(any(feature = "deflate", test))]
    pub(super) fn with_assembled(memory: Memory, len: usize) -> Self {
        Self { memory, start: 0, assembled: len, parsed: len, filled: len }
    }

    /// Memory that is full of what nobody has parsed yet.
    pub(super) fn received(memory: Memory) -> Self {
        let filled = memory.len();
        Self { memory, start: 0, assembled: 0, parsed: 0, filled }
    }

    /// Moves what is held to the beginning of other memory, which is long enough. Returns the old
    /// memory.
    pub(super) fn move_to(&mut self, mut memory: Memory) -> Memory {
        let held = self.filled - self.start;
        memory[..held].copy_from_slice(&self.memory[self.start..self.filled]);
        self.moved_to_the_beginning();
        core::mem::replace(&mut self.memory, memory)
    }

    /// Counts what is held from the beginning, where it has been moved.
    pub(super) fn moved_to_the_beginning(&mut self) {
        self.assembled -= self.start;
        self.parsed -= self.start;
        self.filled -= self.start;
        self.start = 0;
    }

    /// Returns the assembled payload.
    pub(super) fn assembled(&self) -> &[u8] {
        &self.memory[self.start..self.assembled]
    }

    /// Drops the first `n` bytes of the assembled payload: somebody has them.
    #[cfg(feature = "std")]
    pub(super) fn consume_assembled(&mut self, n: usize) {
        self.start = self.start.saturating_add(n).min(self.assembled);
        if self.start == self.assembled {
            self.release();
        }
    }

    /// Returns whether nothing is in it that anybody needs.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.start == self.filled
    }

    /// Returns whether the cursors are as the drawing has them.
    pub(super) fn is_in_order(&self) -> bool {
        [self.start, self.assembled, self.parsed, self.filled, self.memory.len()].is_sorted()
    }

    /// Drops the assembled payload: it has been delivered.
    #[inline]
    pub(super) fn release(&mut self) {
        self.start = self.parsed;
        self.assembled = self.parsed;
    }

    /// Lends the assembled payload and counts it as consumed.
    #[inline]
    pub(super) fn take_assembled(&mut self) -> Payload<'_> {
        let (start, end) = (self.start, self.assembled);
        self.release();
        Payload { region: self, start, end }
    }

    /// Returns whether `len` bytes are handed over: a small payload must not keep a large buffer
    /// alive.
    #[inline]
    fn hands_over(&self, len: usize) -> bool {
        len >= Self::HAND_OVER_MIN && len >= self.memory.capacity() / 2
    }

    /// Moves `start..end`, which must lie before everything still held, out of the buffer.
    fn detach(&mut self, start: usize, end: usize) -> Bytes {
        if !self.hands_over(end - start) {
            return Bytes::copy_from_slice(&self.memory[start..end]);
        }
        self.start -= end;
        self.assembled -= end;
        self.parsed -= end;
        self.filled -= end;
        self.memory.hand_over(start, end)
    }

    /// Below this a copy costs less than the reference count and the fresh buffer that follow from
    /// giving the memory away.
    const HAND_OVER_MIN: usize = 4096;
}

/// A message in a receive buffer: already consumed, still readable.
pub(crate) struct Payload<'b> {
    region: &'b mut Region,
    start: usize,
    end: usize,
}

impl<'b> Payload<'b> {
    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.region.memory[self.start..self.end]
    }

    #[inline]
    pub(crate) fn into_slice(self) -> &'b [u8] {
        &self.region.memory[self.start..self.end]
    }

    /// Copies a small payload, hands a large one over.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.region.detach(self.start, self.end)
    }

    /// Hands a payload of `min` bytes or more over, if that keeps little else alive; otherwise
    /// lends it.
    #[inline]
    pub(crate) fn into_bytes_or_slice(self, min: usize) -> Result<Bytes, &'b [u8]> {
        let len = self.end - self.start;
        if len >= min && self.region.hands_over(len) {
            return Ok(self.into_bytes());
        }
        Err(self.into_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory of 8 KiB, the first `len` bytes of it a payload.
    fn with_payload(len: usize) -> Region {
        Region::with_assembled(Memory::zeroed(8192), len)
    }

    #[test]
    fn cursors_out_of_order_are_seen() {
        assert!(with_payload(8192).is_in_order());
        assert!(!with_payload(8193).is_in_order());
        assert!(!Region { start: 1, ..with_payload(0) }.is_in_order());
    }

    /// A payload of 4 KiB and half the memory goes without a copy, and nothing smaller.
    #[test]
    fn what_is_handed_over() {
        for (memory, len, is_handed_over) in [
            (8192, 4096, true),
            (8192, 4095, false),
            (8000, 4095, false),
            (8000, 4096, true),
            (20_000, 10_000, true),
            (20_000, 9_999, false),
        ] {
            let mut region = Region::with_assembled(Memory::zeroed(memory), len);
            let at = region.memory.as_ptr();
            let payload = region.take_assembled().into_bytes();
            assert_eq!(payload.as_ptr() == at, is_handed_over, "{len} of {memory}");
            assert_eq!(payload.len(), len);
        }
    }

    /// The same, and lent if it is shorter than who asks would have it.
    #[test]
    fn what_is_lent_instead() {
        for (start, len, min, is_handed_over) in [
            (0, 6000, 0, true),
            (0, 6000, 6000, true),
            (0, 6000, 6001, false),
            (0, 4000, 0, false),
            (4000, 4000, 0, false),
            (100, 6000, 6001, false),
        ] {
            let mut region = with_payload(start + len);
            region.start = start;
            let payload = region.take_assembled().into_bytes_or_slice(min);
            assert_eq!(payload.is_ok(), is_handed_over, "{len} at {start}, {min}");
            assert_eq!(payload.map_or_else(<[u8]>::len, |bytes| bytes.len()), len);
        }
    }
}

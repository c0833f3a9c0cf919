//! The memory of a receive buffer: a part of it can be handed over, and comes back by itself.
//!
//! The one place where a buffer gets a length without a pass over its bytes. Filling the memory
//! with zeros each time it comes back costs 18 % of an echo of 1 MiB over loopback, and 4 % of one
//! of 64 KiB (`benches/peers`, scenarios `c1-1M` and `c100-64K`).
#![allow(unsafe_code)]

use core::ops::{Deref, DerefMut};

use bytes::{Buf, Bytes, BytesMut};

/// Initialised bytes, up to the length.
pub(super) struct Memory {
    bytes: BytesMut,
    /// The size of the allocation that `bytes` lies in, of which a part may have been handed over.
    allocated: usize,
    /// Length of the part that was lent, in bytes; 0 if none was, or if it cannot be used again.
    lent: u32,
    /// All of the allocation has been initialised, and nobody else could write to it since.
    pristine: bool,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { bytes: BytesMut::new(), allocated: 0, lent: 0, pristine: false }
    }

    pub(super) fn zeroed(len: usize) -> Self {
        let bytes = BytesMut::zeroed(len);
        let allocated = bytes.capacity();
        Self { bytes, allocated, lent: 0, pristine: allocated == len }
    }

    #[cfg(feature = "deflate")]
    pub(super) fn into_bytes_mut(self) -> BytesMut {
        self.bytes
    }

    /// Returns the size of the allocation.
    pub(super) fn capacity(&self) -> usize {
        self.allocated
    }

    /// Takes `start..end` out; what comes behind that stays, and now begins at 0.
    pub(super) fn hand_over(&mut self, start: usize, end: usize) -> Bytes {
        let mut taken = self.bytes.split_to(end);
        taken.advance(start);
        taken.freeze()
    }

    /// Makes all of the allocation available again, if nobody holds what was handed over. What is
    /// in `self` is lost.
    #[inline]
    pub(super) fn reclaim(&mut self) {
        if self.pristine && self.bytes.len() < self.allocated {
            self.reclaim_handed_over();
        }
    }

    #[cold]
    fn reclaim_handed_over(&mut self) {
        let len = self.bytes.len();
        self.bytes.clear();
        let len = if self.bytes.try_reclaim(self.allocated) { self.allocated } else { len };
        // SAFETY: without success, nothing has changed but the length. With success, the capacity
        // is at least `allocated`, which is the whole allocation: `bytes` begins where that begins.
        // It was made of zeros. What was handed over cannot be written to as long as `bytes` refers
        // to the same allocation. What was lent could: only if all of it is back and initialised
        // again, as the length of a `BytesMut` says, is this `pristine`.
        unsafe { self.bytes.set_len(len) };
    }

    /// Lends everything from `at` on, to be written to.
    pub(super) fn lend(&mut self, at: usize) -> BytesMut {
        let tail = self.bytes.split_off(at);
        // the borrower might make it uninitialised, in ways that nothing shows
        let pristine = core::mem::take(&mut self.pristine);
        self.lent = if pristine { tail.len().try_into().unwrap_or(0) } else { 0 };
        tail
    }

    /// Takes back what [`lend`](Self::lend) lent, or a beginning of it; any other memory is
    /// returned.
    ///
    /// `tail` is not empty. `bytes` refers to the allocation as long as it is there, so nothing
    /// else can begin where it ends.
    pub(super) fn take_back(&mut self, tail: BytesMut) -> Result<(), BytesMut> {
        if tail.is_empty() || self.bytes.as_ptr_range().end != tail.as_ptr() {
            return Err(tail);
        }
        // not of a length of 0, as `tail` has none
        self.pristine = tail.len() == core::mem::take(&mut self.lent) as usize;
        self.bytes.unsplit(tail);
        Ok(())
    }
}

/// Of which nothing is known but the bytes up to the length.
impl From<BytesMut> for Memory {
    fn from(bytes: BytesMut) -> Self {
        Self { allocated: bytes.capacity(), lent: 0, pristine: false, bytes }
    }
}

impl Deref for Memory {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Memory {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way to cut the memory in two and to hold or drop what was taken, against a copy.
    #[test]
    fn what_was_handed_over_comes_back_when_it_is_dropped() {
        const LEN: usize = if cfg!(miri) { 10 } else { 24 }; // Miri takes its time
        for start in 0..=LEN {
            for end in start..=LEN {
                let mut memory = Memory::zeroed(LEN);
                for (i, byte) in memory.iter_mut().enumerate() {
                    *byte = i as u8;
                }
                let place = memory.as_ptr();
                let taken = memory.hand_over(start, end);
                assert!(taken.iter().copied().eq(start as u8..end as u8));
                assert!(memory.iter().copied().eq(end as u8..LEN as u8));
                assert_eq!(memory.capacity(), LEN);

                memory.reclaim();
                if !taken.is_empty() {
                    assert_eq!(memory.len(), LEN - end, "it is held by someone else");
                    assert!(memory.iter().copied().eq(end as u8..LEN as u8));
                }
                let clone = taken.clone();
                drop(taken);
                memory.reclaim();
                if !clone.is_empty() {
                    assert_eq!(memory.len(), LEN - end, "it is held by someone else");
                }
                drop(clone);
                memory.reclaim();
                assert_eq!((memory.len(), memory.as_ptr()), (LEN, place), "{start}..{end}");
                memory.fill(0xff);
                assert_eq!(*memory.hand_over(0, LEN), [0xff; LEN]);
            }
        }
    }

    /// Several pieces of one allocation have to come back, in any order.
    #[test]
    fn all_pieces_must_come_back() {
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let mut memory = Memory::zeroed(30);
            let mut pieces = [0, 1, 2].map(|_| Some(memory.hand_over(2, 8)));
            for (dropped, i) in order.into_iter().enumerate() {
                memory.reclaim();
                assert_eq!(memory.len(), 6, "{dropped} of 3 are back");
                pieces[i] = None;
            }
            memory.reclaim();
            assert_eq!(memory.len(), 30);
        }
    }

    /// Memory that somebody else could write to is never taken for initialised.
    #[test]
    fn lent_memory_is_not_reclaimed() {
        let mut memory = Memory::zeroed(16);
        let tail = memory.lend(8);
        memory.reclaim();
        assert_eq!(memory.len(), 8);
        drop(tail);
        memory.reclaim();
        assert_eq!(memory.len(), 8);

        // a part of it came back, and the rest may be anywhere
        for at in [0, 8] {
            let mut memory = Memory::zeroed(16);
            let mut tail = memory.lend(at);
            tail.truncate(4);
            assert_eq!(memory.take_back(tail), Ok(()));
            drop(memory.hand_over(0, at + 4));
            memory.reclaim();
            assert_eq!(memory.len(), 0);
        }
    }

    /// Once all of it is back, it is reclaimed as if it had never been away.
    #[test]
    fn lent_memory_is_reclaimed_when_all_of_it_is_back() {
        for at in [0, 1, 8, 15] {
            let mut memory = Memory::zeroed(16);
            let place = memory.as_ptr();
            for _ in 0..3 {
                let tail = memory.lend(at);
                assert_eq!(memory.take_back(tail), Ok(()));
                assert_eq!((memory.len(), memory.as_ptr()), (16, place));
                let taken = memory.hand_over(0, 10);
                // while a message is still out
                let tail = memory.lend(3);
                assert_eq!(memory.take_back(tail), Ok(()));
                memory.reclaim();
                assert_eq!(memory.len(), 6);
                drop(taken);
                memory.reclaim();
                assert_eq!((memory.len(), memory.as_ptr()), (16, place));
            }
        }
    }

    /// A buffer from elsewhere does not come in the place of the one that was lent.
    #[test]
    fn another_buffer_is_not_taken_back() {
        for at in [0, 8] {
            let mut memory = Memory::zeroed(16);
            let own = memory.lend(at);
            let other = BytesMut::from(&b"other"[..]);
            assert_eq!(memory.take_back(other), Err(BytesMut::from(&b"other"[..])));
            assert_eq!(memory.take_back(BytesMut::new()), Err(BytesMut::new()));
            assert_eq!(memory.take_back(own), Ok(()));
            assert_eq!(memory.len(), 16);
        }
    }
}

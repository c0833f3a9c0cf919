//! Where the space comes from that a receive buffer offers to readers.

use core::mem;

use super::RecvBuffer;
use crate::buf::memory::Memory;
use crate::wire::FrameHeader;

impl RecvBuffer {
    /// Makes space for `n` bytes, or for a read if that is 0. Memory for exactly the rest of a
    /// message has room for a `header` behind it.
    #[inline]
    pub(super) fn make_space(&mut self, n: usize, header: usize) {
        #[cfg(feature = "deflate")]
        if self.inflated.is_some() {
            self.shrink_inflated();
        }
        let region = &mut self.region;
        debug_assert!(region.is_in_order());
        if region.is_idle() {
            (region.start, region.assembled, region.parsed, region.filled) = (0, 0, 0, 0);
            region.memory.reclaim();
        }
        // An eighth of the buffer is a read large enough to go on with.
        let enough = if n > 0 { n } else { region.memory.len().max(self.read_ahead) / 8 };
        if region.memory.len() - region.filled < enough || self.cut {
            self.make_more_space(enough, n, header);
        }
    }

    #[inline(never)]
    fn make_more_space(&mut self, enough: usize, n: usize, header: usize) {
        if mem::take(&mut self.adopted) {
            return self.return_to_own_memory(n);
        }
        // Where one read does not take what is there, larger ones save system calls.
        let largest = Self::BUSY_FACTOR * self.read_ahead;
        let larger = (2 * self.region.memory.len()).min(largest);
        let grow = mem::take(&mut self.cut) && self.region.memory.len() < largest;
        self.close_gap();
        let region = &mut self.region;
        let tail = region.memory.len() - region.filled;
        if tail >= enough && !grow {
            return;
        }
        let held = region.filled - region.start;
        // Only a payload that reaches to the end of what has arrived says how much is missing.
        let missing = if region.parsed == region.filled { self.expected } else { usize::MAX };
        let expected = missing.max(n);
        let room = region.memory.len() - held;
        if !grow && region.start > held && room >= enough {
            // No more bytes move than were consumed since the last move: linear over all.
            region.memory.copy_within(region.start..region.filled, 0);
        } else if expected > 0 && tail >= expected {
            return;
        } else if !grow && missing > 0 && room >= expected {
            // Once for each message, of which no more than the part before its rest moves. Memory
            // of exactly its length needs it, in front of which the header of the next one stands.
            region.memory.copy_within(region.start..region.filled, 0);
        } else {
            // Twice what is held, so that copying is linear over all, but no more than the message
            // can still need.
            let ahead = held.min(expected).max(self.read_ahead).max(n);
            let len = if grow { (held + ahead).max(larger) } else { held + ahead };
            // Exactly the rest of the message leaves all of the memory to it: a read ends with it.
            let len = if ahead == missing { len + header } else { off_the_page(len) };
            region.move_to(Memory::zeroed(len));
            return;
        }
        region.moved_to_the_beginning();
    }

    /// Returns where a read ends: with the message under way, if the memory was made for that.
    #[inline]
    pub(super) fn end_of_space(&self) -> usize {
        let region = &self.region;
        let rest = region.filled.saturating_add(self.expected);
        let is_made_for_it = rest.saturating_add(FrameHeader::MAX_LEN) == region.memory.len();
        if is_made_for_it && self.expected > 0 && region.parsed == region.filled {
            rest
        } else {
            region.memory.len()
        }
    }

    /// Leaves memory that was put, with what is held. What is behind that is space.
    fn return_to_own_memory(&mut self, n: usize) {
        self.cut = false;
        let mut own = self.aside.as_deref_mut().map(mem::take).unwrap_or_default();
        own.reclaim();
        let held = self.region.filled - self.region.start;
        let ahead = self.read_ahead.max(n);
        if own.len() < held + ahead {
            // twice what is held, as above
            own = Memory::zeroed(off_the_page(held + ahead.max(held)));
        }
        self.region.move_to(own);
    }

    /// Moves what is still needed down over the headers and control frames that are done with.
    ///
    /// A message in fragments stays under way as long as the peer likes, and any number of control
    /// frames may come meanwhile: they must not pile up.
    fn close_gap(&mut self) {
        let region = &mut self.region;
        let needed = region.parsed - self.control;
        if needed > region.assembled {
            region.memory.copy_within(needed..region.filled, region.assembled);
            let gap = needed - region.assembled;
            region.parsed -= gap;
            region.filled -= gap;
        }
    }

    /// A buffer that one read fills grows up to so many times the space reserved ahead of data:
    /// with the default to 64 KiB, which takes a burst of 32 messages of 1 KiB at once.
    const BUSY_FACTOR: usize = 4;
}

/// Returns a size that is not close to a multiple of a page.
///
/// Behind an allocation of 16 KiB glibc puts the next one, as a rule the send buffer, 16 bytes on
/// modulo 4 096. Some processors (EPYC) copy 12 000 bytes between such addresses in 6.9 µs, and in
/// 0.2 µs where the distance is 32 or more: they take each load for one of what was just stored.
const fn off_the_page(len: usize) -> usize {
    const PAGE: usize = 4096;
    const OFF: usize = 512;
    match len % PAGE {
        _ if len < PAGE => len,
        over if over < OFF => len - over + OFF,
        over if over >= PAGE - 64 => len - over + PAGE + OFF,
        _ => len,
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// Growth is geometric in what has arrived, also when nobody parses it meanwhile.
    #[test]
    fn unparsed_bytes_grow_the_buffer_geometrically() {
        let mut rx = RecvBuffer::with_read_ahead(1024);
        // a whole message before them must not make the buffer expect nothing more
        rx.extend_from_slice(b"m");
        rx.assemble(1, true, None, 0);
        let mut growths = 0;
        let mut capacity = rx.capacity();
        for _ in 0..8 * 1024 {
            rx.extend_from_slice(&[0; 1024]);
            growths += u32::from(capacity != rx.capacity());
            capacity = rx.capacity();
        }
        assert!(growths <= 16, "{growths} growths to 8 MiB");
        assert!(capacity <= 2 * (rx.unparsed().len() + 1024), "{rx:?}");
    }

    /// The small rest of a buffer whose message was handed over is not worth reading into.
    #[test]
    fn a_small_rest_does_not_make_small_reads() {
        let mut rx = RecvBuffer::new();
        let len = RecvBuffer::DEFAULT_READ_AHEAD - 400;
        rx.space().fill(0);
        rx.commit(len + 300);
        rx.assemble(len as u64, true, None, 0);
        let _message = rx.take_message().into_bytes();
        for _ in 0..20 {
            // consume all but a few bytes, as a stream of small messages does
            let n = rx.unparsed().len() - 10;
            rx.skip(n);
            let space = rx.space().len();
            assert!(space >= RecvBuffer::DEFAULT_READ_AHEAD / 8, "reads of {space} bytes");
            rx.commit(space);
        }
    }

    /// What is held moves only if that makes enough space, and into other memory only if that does
    /// not: a kibibyte, of which some was `consumed` when so much of a message `arrived`.
    #[test]
    fn what_is_held_stays_or_moves_or_leaves() {
        for (consumed, arrived, missing, moves, leaves) in [
            (300, 660, 40, false, false),
            (480, 480, 40, false, false),
            (300, 660, 64, false, false),
            (500, 460, 40, true, false),
            (300, 660, 65, true, false),
            (300, 660, 364, true, false),
            (300, 660, 365, true, true),
        ] {
            let mut rx = RecvBuffer::with_read_ahead(1024);
            let place = rx.space().as_ptr();
            rx.commit(consumed + arrived);
            rx.skip(consumed);
            rx.assemble((arrived + missing) as u64, true, None, 0);
            assert!(rx.space().len() >= missing);
            let at = rx.assembled_tail(arrived).as_ptr();
            let case = (consumed, arrived, missing);
            assert_eq!(at != place.wrapping_add(consumed), moves, "{case:?}");
            assert_eq!(rx.capacity() != 1024, leaves, "{case:?}");
        }
        // just enough at the front
        let mut rx = RecvBuffer::with_read_ahead(1024);
        rx.space();
        rx.commit(600);
        rx.skip(500);
        rx.extend_from_slice(&[1; 924]);
        assert_eq!((rx.capacity(), rx.unparsed().len()), (1024, 1024));
    }

    /// A control frame that is done with leaves room for just as much.
    #[test]
    fn the_room_of_a_control_frame_is_used_again() {
        let mut rx = RecvBuffer::with_read_ahead(256);
        rx.extend_from_slice(b"m");
        rx.assemble(1, false, None, 0);
        for _ in 0..10 {
            rx.extend_from_slice(&[0; 100]);
            rx.take_control(2, 98, None);
            rx.release_control(98);
            rx.extend_from_slice(&[7; 155]);
            rx.extend_from_slice(&[8; 100]);
            assert_eq!(rx.capacity(), 256);
            assert_eq!(rx.unparsed(), [[7; 155].as_slice(), &[8; 100]].concat());
            rx.take_control(2, 253, None);
            rx.release_control(253);
        }
    }

    /// Reads end with a message, but not with one of its fragments.
    #[test]
    fn space_for_the_rest_of_a_fragment() {
        for fin in [true, false] {
            let mut rx = RecvBuffer::with_read_ahead(256);
            rx.extend_from_slice(&[0; 1100]);
            rx.assemble(2000, fin, None, 0);
            assert_eq!(rx.space().len(), if fin { 900 } else { 1100 });
        }
    }

    /// The reads of a message end with it, however much is behind it, and the next one of that
    /// length takes a single one.
    #[test]
    fn reads_end_with_a_message() {
        const LEN: usize = 100_000;
        let mut rx = RecvBuffer::new();
        let reads = [(); 3].map(|()| {
            let (mut reads, mut offset) = (0, 0);
            while offset < LEN {
                let space = rx.space().len();
                rx.commit(space);
                if reads == 0 {
                    rx.skip(FrameHeader::MAX_LEN);
                }
                offset += rx.assemble((LEN - offset) as u64, true, None, offset);
                reads += 1;
            }
            assert!(rx.unparsed().is_empty());
            let message = rx.take_message().into_bytes();
            assert_eq!((message.len(), rx.is_idle()), (LEN, true));
            reads
        });
        assert_eq!(reads[1..], [1, 1], "{reads:?}");
    }

    /// Whatever grows, no memory is close to a multiple of a page, in front of or behind it.
    #[test]
    fn sizes_are_off_the_page() {
        for read_ahead in [4096, RecvBuffer::DEFAULT_READ_AHEAD, 64 * 1024] {
            for step in [100, 5000, usize::MAX] {
                let mut rx = RecvBuffer::with_read_ahead(read_ahead);
                for _ in 0..200 {
                    let n = rx.space().len().min(step);
                    rx.commit(n);
                    let over = rx.capacity() % 4096;
                    assert!((512..4096 - 32).contains(&over), "{} of {read_ahead}", rx.capacity());
                    if step == usize::MAX {
                        rx.skip(n);
                    }
                }
            }
        }
        for (len, expected) in [
            (256, 256),
            (4095, 4095),
            (4096, 4608),
            (4607, 4608),
            (4608, 4608),
            (8100, 8100),
            (8127, 8127),
            (8128, 8704),
            (8191, 8704),
        ] {
            assert_eq!(off_the_page(len), expected);
        }
    }

    /// A read that fills the buffer makes the next one larger, up to a point.
    #[test]
    fn full_reads_grow_the_buffer() {
        let mut rx = RecvBuffer::with_read_ahead(1024);
        let mut lens = Vec::new();
        for _ in 0..5 {
            let n = rx.space().len();
            lens.push(n);
            rx.commit(n);
            rx.skip(n);
        }
        assert_eq!(lens, [1024, 2048, 4608, 4608, 4608]);
        // what nobody parsed yet is kept
        let n = rx.space().len();
        rx.space().fill(7);
        rx.commit(n);
        rx.skip(n - 10);
        assert_eq!(rx.space().len(), 4608 - 10);
        assert_eq!(rx.unparsed(), [7; 10]);
        // at the largest it stays where it is
        let mut rx = RecvBuffer::with_read_ahead(512);
        let spaces = [(); 5].map(|()| {
            let space = rx.space().as_ptr_range();
            rx.commit(usize::MAX);
            rx.skip(usize::MAX);
            space
        });
        assert_eq!(spaces[2].end.addr() - spaces[2].start.addr(), 2048);
        assert_eq!(spaces[3..], [spaces[2].clone(), spaces[2].clone()]);
    }
}

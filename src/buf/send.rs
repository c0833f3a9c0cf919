#![forbid(unsafe_code)]

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;

use bytes::{Buf, Bytes, BytesMut};

use crate::wire::{FrameHeader, apply_mask};

#[cfg(feature = "deflate")]
mod in_place;
mod owned;

/// Frames on their way out, in the order in which they leave.
///
/// Headers, small payloads and everything masked stand in one flat piece of memory; large owned
/// payloads are queued by reference between them. Read it through [`Buf`] (`chunk` and `advance`
/// for `write`, `chunks_vectored` for `writev`), or take owned pieces with
/// [`take_chunk`](Self::take_chunk) for completion IO. Whatever part was written, the rest stays in
/// order: a frame is never torn.
///
/// The buffer itself has no limit. The connection refuses new messages once
/// [`Config::max_unsent`](crate::Config::max_unsent) bytes wait; replies to the peer are
/// bounded by [`Config::max_pending_pongs`](crate::Config::max_pending_pongs).
#[derive(Default)]
pub struct SendBuffer {
    /// `flat[head..]` is unsent, except that before `flat[segment.at]` goes `segment.bytes`.
    flat: Vec<u8>,
    head: usize,
    segments: VecDeque<Segment>,
    /// The sum of the lengths of `segments`.
    referenced: usize,
    pongs: Pongs,
    /// Where flat pieces that are taken as owned ones lie. There once one was taken.
    taken: Option<Box<BytesMut>>,
}

/// A payload queued by reference.
struct Segment {
    /// The length of `flat` when it was queued: what lies before that goes first.
    at: usize,
    bytes: Bytes,
}

/// The pongs that wait in a buffer, for the bound on them.
#[derive(Default)]
struct Pongs {
    /// Pongs queued since the buffer last ran empty of them.
    waiting: usize,
    /// Unsent bytes up to and including the last of them.
    unsent: usize,
    /// The pong that replaces all that came after those, with the place kept for it: behind
    /// everything else.
    newest: Option<Vec<u8>>,
}

impl SendBuffer {
    /// Makes an empty buffer. Allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the number of unsent bytes.
    #[inline]
    pub fn len(&self) -> usize {
        let newest = self.pongs.newest.as_ref().map_or(0, Vec::len);
        self.flat.len() - self.head + self.referenced + newest
    }

    /// Returns whether everything has been sent.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head == self.flat.len() && self.segments.is_empty()
    }

    /// Gives back the memory of an empty buffer; does nothing while something is unsent.
    pub fn shrink(&mut self) {
        if self.is_empty() {
            self.flat = Vec::new();
            self.head = 0;
            self.segments = VecDeque::new();
            self.taken = None;
        }
    }

    /// Returns the bytes of memory held, without payloads queued by reference and pieces that were
    /// taken.
    pub fn capacity(&self) -> usize {
        self.flat.capacity() + self.taken.as_ref().map_or(0, |taken| taken.capacity())
    }

    /// Appends a copy of `bytes`.
    #[inline]
    pub(crate) fn put_slice(&mut self, bytes: &[u8]) {
        self.settle();
        self.flat.extend_from_slice(bytes);
    }

    /// Appends a frame, its payload copied and, where the header has a key, masked.
    #[inline]
    pub(crate) fn put_frame(&mut self, header: &FrameHeader, payload: &[u8]) {
        self.settle();
        self.flat.reserve(FrameHeader::MAX_LEN + payload.len());
        self.put_header(header);
        let Some(key) = header.mask else {
            self.flat.extend_from_slice(payload);
            return;
        };
        // Masked block by block, each while it is still in the first-level cache.
        for block in payload.chunks(Self::MASK_BLOCK) {
            let at = self.flat.len();
            self.flat.extend_from_slice(block);
            apply_mask(&mut self.flat[at..], key, 0);
        }
    }

    /// Appends a frame whose payload, masked if it has to be, is queued by reference.
    pub(crate) fn put_frame_owned(&mut self, header: &FrameHeader, payload: Bytes) {
        self.settle();
        self.put_header(header);
        self.put_owned(payload);
    }

    #[inline]
    fn put_header(&mut self, header: &FrameHeader) {
        let encoded = header.encode();
        let end = self.flat.len() + encoded.len();
        // a copy whose length is known costs less than one that is no longer than it must be
        self.flat.extend_from_slice(encoded.padded());
        self.flat.truncate(end);
    }

    /// Appends bytes by reference.
    pub(crate) fn put_owned(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.settle();
            self.referenced += bytes.len();
            self.segments.push_back(Segment { at: self.flat.len(), bytes });
        }
    }

    /// Appends a pong. When `max` of them wait already, it takes the place of the last one that
    /// came after those.
    pub(crate) fn put_pong(&mut self, header: &FrameHeader, payload: &[u8], max: usize) {
        // RFC 6455 §5.5.3: "If an endpoint receives a Ping frame and has not yet sent Pong frame(s)
        // in response to previous Ping frame(s), the endpoint MAY elect to send a Pong frame for
        // only the most recently processed Ping frame."
        if self.pongs.waiting < max.max(1) {
            self.put_frame(header, payload);
            self.pongs.waiting += 1;
            self.pongs.unsent = self.len();
            return;
        }
        let mut frame = self.pongs.newest.take().unwrap_or_default();
        frame.clear();
        frame.extend_from_slice(&header.encode());
        let payload_at = frame.len();
        frame.extend_from_slice(payload);
        if let Some(key) = header.mask {
            apply_mask(&mut frame[payload_at..], key, 0);
        }
        self.pongs.newest = Some(frame);
    }

    /// Puts the newest pong in line before something else is appended behind it.
    #[inline]
    pub(crate) fn settle(&mut self) {
        if self.pongs.newest.is_some() {
            self.settle_newest_pong();
        } else if self.head > 0 {
            self.compact();
        }
    }

    #[cold]
    fn settle_newest_pong(&mut self) {
        if let Some(frame) = self.pongs.newest.take() {
            self.flat.extend_from_slice(&frame);
            self.pongs.unsent = self.len();
        }
    }

    /// Reuses the memory before `head`, once that moves no more bytes than have been sent.
    #[inline]
    fn compact(&mut self) {
        if self.head >= self.flat.len() - self.head {
            self.flat.copy_within(self.head.., 0);
            self.flat.truncate(self.flat.len() - self.head);
            for segment in &mut self.segments {
                segment.at -= self.head;
            }
            self.head = 0;
        }
    }

    /// Keeps the account of pongs after `n` bytes were sent.
    #[inline]
    fn sent(&mut self, n: usize) {
        if self.pongs.waiting != 0 {
            self.pongs.unsent = self.pongs.unsent.saturating_sub(n);
            if self.pongs.unsent == 0 {
                self.pongs.waiting = 0;
                if self.pongs.newest.is_some() {
                    self.settle_newest_pong();
                    // it may have left with the others
                    self.pongs.waiting = usize::from(self.pongs.unsent > 0);
                }
            }
        }
        if self.is_empty() {
            self.flat.clear();
            self.head = 0;
        }
    }

    /// A quarter of the usual first-level data cache.
    const MASK_BLOCK: usize = 8 * 1024;
}

impl Buf for SendBuffer {
    #[inline]
    fn remaining(&self) -> usize {
        self.len()
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        match self.segments.front() {
            None => &self.flat[self.head..],
            Some(segment) if segment.at > self.head => &self.flat[self.head..segment.at],
            Some(segment) => &segment.bytes,
        }
    }

    #[inline]
    fn advance(&mut self, n: usize) {
        assert!(n <= self.len(), "advanced past the end of a SendBuffer");
        let mut left = n;
        while let Some(segment) = self.segments.front_mut() {
            let flat = (segment.at - self.head).min(left);
            self.head += flat;
            left -= flat;
            let owned = segment.bytes.len().min(left);
            if owned < segment.bytes.len() {
                // left is used up, or the flat part before this segment is not
                segment.bytes.advance(owned);
                self.referenced -= owned;
                left -= owned;
                break;
            }
            self.referenced -= owned;
            left -= owned;
            self.segments.pop_front();
        }
        // what goes beyond `flat` is of the newest pong, which comes there now
        self.head += left;
        self.sent(n);
    }

    #[cfg(feature = "std")]
    fn chunks_vectored<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        let mut count = 0;
        let mut push = |bytes: &'a [u8]| {
            let Some(slot) = slices.get_mut(count) else { return false };
            if !bytes.is_empty() {
                *slot = std::io::IoSlice::new(bytes);
                count += 1;
            }
            true
        };
        let mut from = self.head;
        let mut room = true;
        for segment in &self.segments {
            room = push(&self.flat[from..segment.at]) && push(&segment.bytes);
            from = segment.at;
            if !room {
                break;
            }
        }
        if room && push(&self.flat[from..]) {
            push(self.pongs.newest.as_deref().unwrap_or_default());
        }
        count
    }
}

impl fmt::Debug for SendBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendBuffer")
            .field("unsent", &self.len())
            .field("by_reference", &self.referenced)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::wire::Opcode;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn pong(tx: &mut SendBuffer, payload: &[u8], max: usize) {
        tx.put_pong(&FrameHeader::new(Opcode::Pong, payload.len() as u64, None), payload, max);
    }

    pub(super) fn owned(len: usize, fill: u8) -> Bytes {
        Bytes::from(vec![fill; len])
    }

    /// Everything in the buffer, without taking it, as far as `chunk` shows it.
    fn drain(tx: &mut SendBuffer, mut step: impl FnMut() -> usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while tx.has_remaining() {
            let n = step().clamp(1, tx.chunk().len());
            bytes.extend_from_slice(&tx.chunk()[..n]);
            tx.advance(n);
        }
        assert!(tx.is_empty() && tx.chunk().is_empty());
        bytes
    }

    /// Once it is settled, the newest pong stays as it is: a part of it may have been sent.
    #[test]
    fn a_settled_pong_is_not_replaced() {
        let mut tx = SendBuffer::new();
        pong(&mut tx, b"1", 1);
        pong(&mut tx, b"2", 1);
        tx.settle();
        pong(&mut tx, b"another", 1);
        let sent = drain(&mut tx, || 3);
        assert_eq!(sent, *b"\x8a\x011\x8a\x012\x8a\x07another");
    }

    /// Returns a buffer in which every kind of entry waits, and what it must send.
    pub(super) fn mixed(pongs_allowed: usize) -> (SendBuffer, Vec<u8>) {
        let mut tx = SendBuffer::new();
        let mut expected = Vec::new();
        tx.put_slice(b"flat ");
        expected.extend_from_slice(b"flat ");
        tx.put_owned(owned(20, b'a'));
        tx.put_owned(owned(7, b'b'));
        expected.extend_from_slice(&[b'a'; 20]);
        expected.extend_from_slice(&[b'b'; 7]);
        for _ in 0..pongs_allowed {
            pong(&mut tx, b"p", pongs_allowed);
            expected.extend_from_slice(b"\x8a\x01p");
        }
        pong(&mut tx, b"skipped", pongs_allowed);
        pong(&mut tx, b"newest", pongs_allowed);
        expected.extend_from_slice(b"\x8a\x06newest");
        (tx, expected)
    }

    /// K-3: the newest pong leaves last, in whatever steps the rest is written.
    #[test]
    fn partial_writes_at_every_offset_keep_the_order() {
        for allowed in [1, 2, 16] {
            let (_, expected) = mixed(allowed);
            for first in 1..=expected.len() {
                let (mut tx, _) = mixed(allowed);
                assert_eq!(tx.remaining(), expected.len());
                tx.advance(first);
                assert_eq!(tx.remaining(), expected.len() - first);
                assert_eq!(tx.is_empty(), first == expected.len());
                assert_eq!(drain(&mut tx, || usize::MAX), expected[first..], "after {first}");
            }
            for step in 1..8 {
                let (mut tx, _) = mixed(allowed);
                assert_eq!(drain(&mut tx, || step), expected, "by {step}");
            }
        }
    }

    /// What is unsent moves to the front when as much has been sent, and not before.
    #[test]
    fn bytes_move_when_as_many_were_sent() {
        let mut tx = SendBuffer::new();
        tx.put_slice(&[0; 2000]);
        tx.advance(2000);
        tx.put_slice(&[1; 1000]);
        let place = tx.chunk().as_ptr();
        for (sent, head) in [(400, 400), (100, 500), (1, 0)] {
            tx.advance(sent);
            tx.put_slice(&[1]);
            assert_eq!(tx.chunk().as_ptr(), place.wrapping_add(head), "{sent} more");
        }
        // a frame takes no more memory than it needs
        let mut tx = SendBuffer::new();
        tx.put_frame(&FrameHeader::new(Opcode::Binary, 10_000, None), &[0; 10_000]);
        assert!(tx.capacity() < 11_000, "{}", tx.capacity());
    }

    /// The newest pong is replaced until its turn comes, and then the next ones count from it.
    #[test]
    fn the_newest_pong_is_replaced_until_a_part_of_it_was_sent() {
        for (sent, rest) in [
            (1, &b"\x011\x8a\x012\x8a\x015"[..]),
            (6, b"\x8a\x013\x8a\x014\x8a\x015"),
            (7, b"\x013\x8a\x014\x8a\x015"),
        ] {
            let mut tx = SendBuffer::new();
            for payload in [b"1", b"2", b"3"] {
                pong(&mut tx, payload, 2);
            }
            tx.advance(sent);
            pong(&mut tx, b"4", 2);
            pong(&mut tx, b"5", 2);
            assert_eq!(drain(&mut tx, || usize::MAX), rest, "{sent} bytes sent");
        }
    }

    /// What is queued by reference comes out as it went in.
    #[test]
    fn large_payloads_are_not_copied() {
        let payload = owned(20_000, b'x');
        let mut tx = SendBuffer::new();
        tx.put_frame_owned(&FrameHeader::new(Opcode::Binary, 20_000, None), payload.clone());
        assert_eq!(*tx.take_chunk().unwrap(), [0x82, 0x7e, 0x4e, 0x20]);
        assert_eq!(tx.take_chunk().unwrap().as_ptr(), payload.as_ptr());
        assert_eq!(tx.take_chunk(), None);
    }

    #[test]
    fn frames_appended_between_partial_writes_stay_in_order() {
        for step in 1..40 {
            let mut tx = SendBuffer::new();
            let mut expected = Vec::new();
            let mut sent = Vec::new();
            for i in 0..60_u8 {
                if i % 3 == 0 {
                    tx.put_owned(owned(5, i));
                    expected.extend_from_slice(&[i; 5]);
                } else {
                    tx.put_slice(&[i; 9]);
                    expected.extend_from_slice(&[i; 9]);
                }
                let n = step.min(tx.chunk().len());
                sent.extend_from_slice(&tx.chunk()[..n]);
                tx.advance(n);
                if i % 17 == 0
                    && let Some(chunk) = tx.take_chunk()
                {
                    sent.extend_from_slice(&chunk);
                }
            }
            sent.extend(drain(&mut tx, || usize::MAX));
            assert_eq!(sent, expected, "by {step}");
        }
    }

    /// The memory before what is unsent is used again: a buffer that never runs empty is bounded.
    #[test]
    fn a_buffer_that_never_runs_empty_does_not_grow() {
        let mut tx = SendBuffer::new();
        tx.put_slice(&[0; 1000]);
        for _ in 0..100_000 {
            tx.put_slice(&[0; 100]);
            tx.advance(100);
        }
        assert_eq!(tx.len(), 1000);
        assert!(tx.capacity() <= 8 * 1024, "{} bytes for 1000 unsent", tx.capacity());
    }

    /// F-8: a payload that is masked block by block.
    #[test]
    fn blocks_are_masked_as_one_payload() {
        for len in [0, 1, 8191, 8192, 8193, 20_001] {
            let payload: Vec<u8> = (0..len).map(|i: usize| i as u8).collect();
            let mut tx = SendBuffer::new();
            let header = FrameHeader::new(Opcode::Binary, len as u64, Some(KEY));
            tx.put_frame(&header, &payload);
            let sent = drain(&mut tx, || usize::MAX);
            let body = &sent[header.encode().len()..];
            assert_eq!(body.len(), len);
            assert!(body.iter().enumerate().all(|(i, byte)| *byte == payload[i] ^ KEY[i % 4]));
        }
    }

    #[test]
    fn shrinking_gives_memory_back_only_when_nothing_waits() {
        let mut tx = SendBuffer::new();
        tx.put_slice(&[0; 5000]);
        tx.shrink();
        assert_eq!(tx.len(), 5000);
        tx.advance(5000);
        assert!(tx.capacity() >= 5000);
        tx.shrink();
        assert_eq!(tx.capacity(), 0);
    }

    #[test]
    #[should_panic = "advanced past the end"]
    fn advancing_past_the_end_panics() {
        let (mut tx, expected) = mixed(1);
        tx.advance(expected.len() + 1);
    }

    /// The law of `chunks_vectored`: slices that are left unused mean that there is no more.
    #[cfg(feature = "std")]
    #[test]
    fn vectored_chunks_are_everything_that_fits() {
        for allowed in [1, 3] {
            let (_, expected) = mixed(allowed);
            for first in 0..expected.len() {
                let (mut tx, _) = mixed(allowed);
                tx.advance(first);
                for slots in 0..8 {
                    let mut slices = vec![std::io::IoSlice::new(b"unused"); slots];
                    let count = tx.chunks_vectored(&mut slices);
                    let bytes: Vec<u8> =
                        slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
                    assert!(slices[..count].iter().all(|slice| !slice.is_empty()));
                    assert!(expected[first..].starts_with(&bytes), "{first} {slots}");
                    assert!(count == slots || bytes == expected[first..], "{first} {slots}");
                }
            }
        }
    }
}

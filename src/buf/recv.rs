use core::{fmt, mem};

use bytes::{Bytes, BytesMut};

use super::memory::Memory;
use crate::wire::apply_mask;

#[cfg(feature = "deflate")]
mod inflated;
mod pieces;

#[cfg(feature = "deflate")]
pub(crate) use inflated::FIRST_PIECE;
#[cfg(feature = "deflate")]
use inflated::Inflated;

/// Bytes received and not yet consumed, in one contiguous piece.
///
/// Fill it in one of three ways, then let the connection work on it:
///
/// - readiness IO (`read`, `recv`): read into [`space`](Self::space), then
///   [`commit`](Self::commit);
/// - completion IO (io_uring, IOCP): [`take_space`](Self::take_space) lends the spare tail as an
///   owned buffer, [`put_space`](Self::put_space) gives it back;
/// - [`extend_from_slice`](Self::extend_from_slice) copies, for tests and for bytes that came from
///   elsewhere.
///
/// A message that arrived in one frame is unmasked where it lies. The payloads of further fragments
/// are moved down over the headers between them, so a fragmented message is contiguous as well.
///
/// Memory: nothing before the first byte, then [`DEFAULT_READ_AHEAD`](Self::DEFAULT_READ_AHEAD)
/// bytes (or what [`with_read_ahead`](Self::with_read_ahead) says; up to four times that once a
/// read fills it), then at most twice what has arrived of the message under way. What a header
/// announces reserves nothing. Compressed messages are inflated into memory besides, as much as has
/// come out of them; a complete one is then copied if it is longer than 16 KiB.
pub struct RecvBuffer {
    storage: Memory,
    /// The message under way: its payload so far, unmasked and contiguous, is `start..assembled`.
    start: usize,
    assembled: usize,
    /// What the peer sent and nobody parsed yet is `parsed..filled`. Between `assembled` and
    /// `parsed` lie headers and control frames that are done with.
    parsed: usize,
    filled: usize,
    /// The last bytes before `parsed` are the payload, this long, of a control frame that nobody
    /// took yet.
    control: usize,
    /// Payload bytes of the message under way that have not arrived, if that is known: there is no
    /// point in reserving more than that. `usize::MAX` when further fragments follow.
    expected: usize,
    read_ahead: usize,
    /// The last read filled the buffer: more may be waiting than there was room for.
    cut: bool,
    /// What compressed messages are inflated to; there while it holds something, or has a little
    /// memory for the next one.
    #[cfg(feature = "deflate")]
    inflated: Option<alloc::boxed::Box<Inflated>>,
}

impl RecvBuffer {
    /// The space offered to a reader when nothing is buffered, in bytes.
    ///
    /// 16 KiB is one TLS record, and what uWebSockets and nginx hand to a read at least. Half a KiB
    /// is added where a size is a multiple of 4 KiB: some processors are slow to copy between
    /// buffers that lie like that.
    pub const DEFAULT_READ_AHEAD: usize = 16 * 1024;

    /// An empty buffer. Allocates nothing.
    pub fn new() -> Self {
        Self::with_read_ahead(Self::DEFAULT_READ_AHEAD)
    }

    /// An empty buffer that reserves `read_ahead` bytes (256 to 64 MiB) ahead of the data.
    /// Allocates nothing yet.
    pub fn with_read_ahead(read_ahead: usize) -> Self {
        Self {
            storage: Memory::new(),
            start: 0,
            assembled: 0,
            parsed: 0,
            filled: 0,
            control: 0,
            expected: 0,
            cut: false,
            read_ahead: read_ahead.clamp(Self::MIN_READ_AHEAD, Self::MAX_READ_AHEAD),
            #[cfg(feature = "deflate")]
            inflated: None,
        }
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn read_ahead(&self) -> usize {
        self.read_ahead
    }

    /// Changes what [`with_read_ahead`](Self::with_read_ahead) said.
    #[cfg(feature = "tokio")]
    pub(crate) fn set_read_ahead(&mut self, read_ahead: usize) {
        self.read_ahead = read_ahead.clamp(Self::MIN_READ_AHEAD, Self::MAX_READ_AHEAD);
    }

    /// Room for the longest header and a control frame, so that parsing always advances.
    const MIN_READ_AHEAD: usize = 256;

    /// More than any socket hands out at once.
    pub(crate) const MAX_READ_AHEAD: usize = 64 * 1024 * 1024;

    /// Space to read into. Never empty; its contents are arbitrary.
    ///
    /// Say with [`commit`](Self::commit) how much of it was filled. Moves or reallocates what is
    /// buffered when the space at the end has become small; over the life of the buffer the cost is
    /// linear in the bytes received.
    pub fn space(&mut self) -> &mut [u8] {
        self.make_space();
        &mut self.storage[self.filled..]
    }

    /// Takes the first `n` bytes of the [`space`](Self::space) as received.
    ///
    /// A reader that claims to have filled more than it was given is not believed: `n` is cut to
    /// the space there is.
    #[inline]
    pub fn commit(&mut self, n: usize) {
        self.filled = self.filled.saturating_add(n).min(self.storage.len());
        self.cut = self.filled == self.storage.len();
    }

    /// The [`space`](Self::space) as an owned buffer, for IO that needs to own what it writes to.
    ///
    /// Its length is the number of bytes that may be written. Give it back with
    /// [`put_space`](Self::put_space); until then the connection can go on parsing what is there.
    #[must_use = "the space is lost until it is given back with `put_space`"]
    pub fn take_space(&mut self) -> BytesMut {
        self.make_space();
        self.storage.lend(self.filled)
    }

    /// Gives back what [`take_space`](Self::take_space) lent, `n` bytes of it received.
    ///
    /// O(1) if this is the memory that was lent, at its full length, and this buffer has not moved
    /// to other memory meanwhile. Of any other memory the `n` bytes are copied, and the rest is
    /// dropped: what comes here never makes this buffer larger than what was received does.
    pub fn put_space(&mut self, mut space: BytesMut, n: usize) {
        let n = n.min(space.len());
        if self.storage.len() == self.filled {
            match self.storage.take_back(space) {
                Ok(()) => return self.commit(n),
                Err(other) => space = other,
            }
        }
        self.extend_from_slice(&space[..n]);
    }

    /// Appends a copy of `bytes`.
    pub fn extend_from_slice(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.space();
            let n = space.len().min(bytes.len());
            let (now, later) = bytes.split_at(n);
            space[..n].copy_from_slice(now);
            self.commit(n);
            bytes = later;
        }
    }

    /// Whether nothing is held: no unparsed byte, no part of a message.
    ///
    /// An idle buffer carries no state: it may serve another connection.
    #[inline]
    pub fn is_idle(&self) -> bool {
        #[cfg(feature = "deflate")]
        if !self.is_inflated_idle() {
            return false;
        }
        self.start == self.filled
    }

    /// The bytes of memory held, all of what a payload that was handed over shares with this
    /// buffer.
    pub fn capacity(&self) -> usize {
        #[cfg(feature = "deflate")]
        return self.storage.capacity() + self.inflated_capacity();
        #[cfg(not(feature = "deflate"))]
        self.storage.capacity()
    }

    /// The bytes that are in it: of a message that is not complete, and not parsed yet.
    #[cfg(feature = "server")]
    pub(crate) fn held(&self) -> usize {
        let held = self.filled - self.start;
        #[cfg(feature = "deflate")]
        return held + self.inflated.as_ref().map_or(0, |inflated| inflated.len());
        #[cfg(not(feature = "deflate"))]
        held
    }

    /// Received and not yet parsed. Not a part of the interface: the fuzzers look whether a
    /// handshake takes exactly its head.
    #[doc(hidden)]
    #[inline]
    pub fn unparsed(&self) -> &[u8] {
        &self.storage[self.parsed..self.filled]
    }

    /// Drops `n` unparsed bytes: a header, or something that nobody needs to see.
    #[inline]
    pub(crate) fn skip(&mut self, n: usize) {
        self.parsed = self.parsed.saturating_add(n).min(self.filled);
        if self.assembled == self.start {
            self.release();
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        self.parsed = self.filled;
        self.control = 0;
        self.release();
        self.expected = 0;
        #[cfg(feature = "deflate")]
        {
            self.inflated = None;
        }
    }

    /// Drops the assembled payload: it has been delivered.
    #[inline]
    fn release(&mut self) {
        self.start = self.parsed;
        self.assembled = self.parsed;
    }

    /// Unmasks up to `len` unparsed bytes of a data frame and appends them to the message under
    /// way. `offset` is their position in the frame's payload; `fin` says that the message ends
    /// with them. Returns how many there were.
    #[inline]
    pub(crate) fn assemble(
        &mut self,
        len: u64,
        fin: bool,
        mask: Option<[u8; 4]>,
        offset: usize,
    ) -> usize {
        let there = self.filled - self.parsed;
        let n = usize::try_from(len).map_or(there, |len| len.min(there));
        let end = self.parsed + n;
        if let Some(key) = mask {
            apply_mask(&mut self.storage[self.parsed..end], key, offset);
        }
        if self.assembled == self.start {
            // the first payload of a message stays where it is
            self.start = self.parsed;
            self.assembled = end;
        } else {
            if self.assembled != self.parsed {
                self.storage.copy_within(self.parsed..end, self.assembled);
            }
            self.assembled += n;
        }
        self.parsed = end;
        self.expected = match usize::try_from(len - n as u64) {
            Ok(missing) if fin => missing,
            _ => usize::MAX,
        };
        n
    }

    /// Unmasks a whole message that lies unparsed behind `header_len` bytes of header, between
    /// messages. All of it must be there.
    #[inline]
    pub(crate) fn take_whole(
        &mut self,
        header_len: usize,
        len: usize,
        mask: Option<[u8; 4]>,
    ) -> &[u8] {
        self.start = self.parsed + header_len;
        self.assembled = self.start + len;
        self.parsed = self.assembled;
        self.expected = 0;
        let payload = &mut self.storage[self.start..self.assembled];
        if let Some(key) = mask {
            apply_mask(payload, key, 0);
        }
        payload
    }

    /// Takes [`take_whole`](Self::take_whole) back.
    #[cold]
    pub(crate) fn put_back_whole(&mut self, header_len: usize, len: usize, mask: Option<[u8; 4]>) {
        if let Some(key) = mask {
            apply_mask(&mut self.storage[self.start..self.assembled], key, 0);
        }
        self.parsed -= header_len + len;
        self.release();
    }

    /// The last `n` bytes of the assembled payload.
    #[inline]
    pub(crate) fn assembled_tail(&self, n: usize) -> &[u8] {
        &self.storage[self.assembled - n..self.assembled]
    }

    /// Unmasks a control frame's payload: the `len` unparsed bytes behind `header_len` of header,
    /// all of which must be there. It stays until [`release_control`](Self::release_control).
    #[inline]
    pub(crate) fn take_control(
        &mut self,
        header_len: usize,
        len: usize,
        mask: Option<[u8; 4]>,
    ) -> &[u8] {
        self.skip(header_len);
        let payload = self.parsed;
        self.parsed = (payload + len).min(self.filled);
        self.control = self.parsed - payload;
        if let Some(key) = mask {
            apply_mask(&mut self.storage[payload..self.parsed], key, 0);
        }
        &self.storage[payload..self.parsed]
    }

    /// The payload of the control frame just taken, `len` bytes.
    #[inline]
    pub(crate) fn control(&self, len: usize) -> &[u8] {
        &self.storage[self.parsed.saturating_sub(len)..self.parsed]
    }

    /// Lends the payload of the control frame just taken, `len` bytes, and counts it as consumed.
    #[inline]
    pub(crate) fn release_control(&mut self, len: usize) -> &[u8] {
        self.control = 0;
        self.skip(0);
        self.control(len)
    }

    /// Lends the assembled payload and counts it as consumed.
    #[inline]
    pub(crate) fn take_message(&mut self) -> Payload<'_> {
        let (start, end) = (self.start, self.assembled);
        self.release();
        Payload { rx: self, start, end }
    }

    #[inline]
    fn make_space(&mut self) {
        #[cfg(feature = "deflate")]
        if self.inflated.is_some() {
            self.shrink_inflated();
        }
        if self.start == self.filled {
            (self.start, self.assembled, self.parsed, self.filled) = (0, 0, 0, 0);
            self.storage.reclaim();
        }
        // An eighth of the buffer is a read large enough to go on with.
        let enough = self.storage.len().max(self.read_ahead) / 8;
        if self.storage.len() - self.filled < enough || self.cut {
            self.make_more_space(enough);
        }
    }

    #[inline(never)]
    fn make_more_space(&mut self, enough: usize) {
        // Where one read does not take what is there, larger ones save system calls.
        let largest = Self::BUSY_FACTOR * self.read_ahead;
        let larger = (2 * self.storage.len()).min(largest);
        let grow = mem::take(&mut self.cut) && self.storage.len() < largest;
        self.close_gap();
        let tail = self.storage.len() - self.filled;
        if tail >= enough && !grow {
            return;
        }
        let held = self.filled - self.start;
        // Only a payload that reaches to the end of what has arrived says how much is missing.
        let expected = if self.parsed == self.filled { self.expected } else { usize::MAX };
        if !grow && self.start > held && self.storage.len() - held >= enough {
            // No more bytes move than were consumed since the last move: linear over all.
            self.storage.copy_within(self.start..self.filled, 0);
        } else if expected > 0 && tail >= expected {
            return;
        } else {
            // Twice what is held, so that copying is linear over all, but no more than the message
            // can still need.
            let ahead = held.min(expected).max(self.read_ahead);
            let len = if grow { (held + ahead).max(larger) } else { held + ahead };
            // Exactly the rest of the message leaves all of the memory to it.
            let len = if ahead == expected { len } else { off_the_page(len) };
            let mut storage = Memory::zeroed(len);
            storage[..held].copy_from_slice(&self.storage[self.start..self.filled]);
            self.storage = storage;
        }
        self.assembled -= self.start;
        self.parsed -= self.start;
        self.filled = held;
        self.start = 0;
    }

    /// Moves what is still needed down over the headers and control frames that are done with.
    ///
    /// A message in fragments stays under way as long as the peer likes, and any number of control
    /// frames may come meanwhile: they must not pile up.
    fn close_gap(&mut self) {
        let needed = self.parsed - self.control;
        if needed > self.assembled {
            self.storage.copy_within(needed..self.filled, self.assembled);
            let gap = needed - self.assembled;
            self.parsed -= gap;
            self.filled -= gap;
        }
    }

    /// Whether `len` bytes are handed over: a small payload must not keep a large buffer alive.
    #[inline]
    fn hands_over(&self, len: usize) -> bool {
        len >= Self::HAND_OVER_MIN && len >= self.storage.capacity() / 2
    }

    /// Moves `start..end`, which must lie before everything still held, out of the buffer.
    fn detach(&mut self, start: usize, end: usize) -> Bytes {
        if !self.hands_over(end - start) {
            return Bytes::copy_from_slice(&self.storage[start..end]);
        }
        self.start -= end;
        self.assembled -= end;
        self.parsed -= end;
        self.filled -= end;
        self.storage.hand_over(start, end)
    }

    /// Below this a copy costs less than the reference count and the fresh buffer that follow from
    /// giving the memory away.
    const HAND_OVER_MIN: usize = 4096;

    /// A buffer that one read fills grows up to so many times the space reserved ahead of data:
    /// with the default to 64 KiB, which takes a burst of 32 messages of 1 KiB at once.
    const BUSY_FACTOR: usize = 4;
}

/// A size that is not close to a multiple of a page.
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

impl Default for RecvBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RecvBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvBuffer")
            .field("assembled", &(self.assembled - self.start))
            .field("unparsed", &(self.filled - self.parsed))
            .field("capacity", &self.capacity())
            .finish()
    }
}

/// A message in a receive buffer: already consumed, still readable.
pub(crate) struct Payload<'b> {
    rx: &'b mut RecvBuffer,
    start: usize,
    end: usize,
}

impl<'b> Payload<'b> {
    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.rx.storage[self.start..self.end]
    }

    #[inline]
    pub(crate) fn into_slice(self) -> &'b [u8] {
        &self.rx.storage[self.start..self.end]
    }

    /// Copies a small payload, hands a large one over.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.rx.detach(self.start, self.end)
    }

    /// Hands a payload of `min` bytes or more over, if that keeps little else alive; otherwise
    /// lends it.
    #[inline]
    pub(crate) fn into_bytes_or_slice(self, min: usize) -> Result<Bytes, &'b [u8]> {
        let len = self.end - self.start;
        if len >= min && self.rx.hands_over(len) {
            return Ok(self.into_bytes());
        }
        Err(self.into_slice())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    /// A buffer with the first byte of a message that goes on.
    fn with_message_under_way(read_ahead: usize) -> RecvBuffer {
        let mut rx = RecvBuffer::with_read_ahead(read_ahead);
        rx.extend_from_slice(b"m");
        assert_eq!(rx.assemble(1, false, None, 0), 1);
        rx
    }

    /// What is done with between the fragments of one message takes no memory: a peer may send
    /// control frames there for ever.
    #[test]
    fn control_frames_inside_a_message_do_not_pile_up() {
        let mut rx = with_message_under_way(1024);
        for _ in 0..100_000 {
            rx.extend_from_slice(b"HHping");
            assert_eq!(rx.take_control(2, 4, None), b"ping");
            assert_eq!(rx.release_control(4), b"ping");
        }
        assert!(rx.capacity() <= 2 * 1024, "{rx:?}");
        rx.extend_from_slice(b"n");
        rx.assemble(1, true, None, 0);
        assert_eq!(rx.take_message().as_slice(), b"mn");
    }

    /// A control frame that was found but not taken survives whatever reading moves.
    #[test]
    fn a_pending_control_payload_stays_while_more_is_read() {
        for more in [0, 1, 300, 1000, 5000] {
            let mut rx = with_message_under_way(256);
            for _ in 0..50 {
                rx.extend_from_slice(b"HHdone");
                rx.take_control(2, 4, None);
                rx.release_control(4);
            }
            rx.extend_from_slice(b"HH");
            let mut ping = *b"ping";
            apply_mask(&mut ping, KEY, 0);
            rx.extend_from_slice(&ping);
            assert_eq!(rx.take_control(2, 4, Some(KEY)), b"ping");
            for i in 0..more {
                rx.extend_from_slice(&[i as u8]);
            }
            assert_eq!(rx.control(4), b"ping", "after {more} more bytes");
            assert_eq!(rx.release_control(4), b"ping");
            assert_eq!(rx.unparsed().len(), more);
            assert!(rx.unparsed().iter().enumerate().all(|(i, byte)| *byte == i as u8));
            rx.assemble(more as u64, true, None, 0);
            assert_eq!(rx.take_message().as_slice().len(), 1 + more);
            assert!(rx.is_idle());
        }
    }
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
    /// What is handed over keeps at most twice its size alive: not a large buffer that an earlier
    /// message came in.
    #[test]
    fn only_the_message_that_fills_a_buffer_takes_it_along() {
        const KIB: usize = 1024;
        let mut rx = RecvBuffer::with_read_ahead(KIB * KIB);
        let memory = rx.space().as_ptr_range();
        let capacity = rx.capacity();
        rx.commit(KIB * KIB);
        for (len, handed_over) in [(600, true), (300, false), (100, false), (10, false)] {
            rx.assemble((len * KIB) as u64, true, None, 0);
            let at = rx.assembled_tail(len * KIB).as_ptr();
            let payload = rx.take_message().into_bytes();
            assert_eq!(payload.as_ptr() == at, handed_over, "{len} KiB");
            assert_eq!(memory.contains(&payload.as_ptr()), handed_over, "{len} KiB");
            assert_eq!(rx.capacity(), capacity, "the rest lies in the same memory");
        }
    }

    /// Memory that was handed over is read into again once the message is dropped, and not before.
    #[test]
    fn memory_that_was_handed_over_comes_back() {
        let message_in = |rx: &mut RecvBuffer| {
            rx.extend_from_slice(&[b'm'; 9000]);
            rx.assemble(9000, true, None, 0);
            rx.take_message().into_bytes()
        };
        let mut rx = RecvBuffer::new();
        let place = rx.space().as_ptr();
        for _ in 0..3 {
            let message = message_in(&mut rx);
            assert_eq!(message.as_ptr(), place);
            drop(message);
            let space = rx.space();
            let len = RecvBuffer::DEFAULT_READ_AHEAD + 512;
            assert_eq!((space.as_ptr(), space.len()), (place, len));
        }
        let held = message_in(&mut rx);
        assert!(rx.is_idle());
        for _ in 0..100 {
            rx.extend_from_slice(&[b'n'; 1000]);
            let n = rx.unparsed().len();
            rx.skip(n);
        }
        assert_eq!(held, [b'm'; 9000][..]);
        rx.extend_from_slice(b"next");
        assert_eq!(rx.unparsed(), b"next");
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
    }
}

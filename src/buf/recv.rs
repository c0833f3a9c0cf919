#![forbid(unsafe_code)]

use alloc::boxed::Box;
use core::{fmt, mem};

use bytes::BytesMut;

use super::memory::Memory;
use crate::wire::{FrameHeader, apply_mask};

#[cfg(feature = "deflate")]
mod inflated;
mod pieces;
mod region;
mod space;

#[cfg(feature = "deflate")]
pub(crate) use inflated::FIRST_PIECE;
#[cfg(feature = "deflate")]
use inflated::Inflated;
pub(crate) use region::Payload;
use region::Region;

/// Bytes received and not yet consumed, in one contiguous piece.
///
/// Fill it in one of four ways, then let the connection work on it:
///
/// - readiness IO (`read`, `recv`): read into [`space`](Self::space), then
///   [`commit`](Self::commit); over [`Read`](std::io::Read), `read_from` (feature `std`) does both;
/// - completion IO (io_uring, IOCP): [`take_space`](Self::take_space) lends the spare tail as an
///   owned buffer, [`put_space`](Self::put_space) gives it back;
/// - [`put`](Self::put) takes a buffer that was filled elsewhere: one that io_uring provides, DATA
///   of HTTP/2, a chunk of a QUIC stream;
/// - [`extend_from_slice`](Self::extend_from_slice) copies.
///
/// It is no [`BufMut`](bytes::BufMut): what is behind [`space`](Self::space) is initialised, so
/// that would save nothing. `io.read(rx.space()).await` is what `read_buf` is elsewhere.
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
    /// What was received: of the message under way, and unparsed.
    region: Region,
    /// The last bytes before `parsed` are the payload, this long, of a control frame that nobody
    /// took yet.
    control: usize,
    /// Payload bytes of the message under way that have not arrived, if that is known: there is no
    /// point in reserving more than that. `usize::MAX` when further fragments follow.
    expected: usize,
    read_ahead: usize,
    /// The last read filled the buffer: more may be waiting than there was room for.
    cut: bool,
    /// The region lies in memory that was put, and this buffer's own is aside. `cut` is set then,
    /// so that whoever asks for space finds out without looking.
    adopted: bool,
    /// Own memory that is aside. There once a buffer was adopted.
    aside: Option<Box<Memory>>,
    /// What compressed messages are inflated to; there while it holds something, or has a little
    /// memory for the next one.
    #[cfg(feature = "deflate")]
    inflated: Option<Box<Inflated>>,
}

impl RecvBuffer {
    /// The space offered to a reader when nothing is buffered, in bytes.
    ///
    /// 16 KiB is one TLS record, and what uWebSockets and nginx hand to a read at least. Half a KiB
    /// is added where a size is a multiple of 4 KiB: some processors are slow to copy between
    /// buffers that lie like that.
    pub const DEFAULT_READ_AHEAD: usize = 16 * 1024;

    /// Makes an empty buffer. Allocates nothing.
    pub fn new() -> Self {
        Self::with_read_ahead(Self::DEFAULT_READ_AHEAD)
    }

    /// Makes an empty buffer that reserves `read_ahead` bytes (256 to 64 MiB) ahead of the data.
    /// Allocates nothing yet.
    pub fn with_read_ahead(read_ahead: usize) -> Self {
        Self {
            region: Region::default(),
            control: 0,
            expected: 0,
            cut: false,
            adopted: false,
            aside: None,
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
        // Behind the message under way, a header: the next one of that length takes a single read.
        self.make_space(0, FrameHeader::MAX_LEN);
        let end = self.end_of_space();
        &mut self.region.memory[self.region.filled..end]
    }

    /// Takes the first `n` bytes of the [`space`](Self::space) as received.
    ///
    /// A reader that claims to have filled more than there is memory is not believed: `n` is cut.
    #[inline]
    pub fn commit(&mut self, n: usize) {
        self.region.filled = self.region.filled.saturating_add(n).min(self.region.memory.len());
        self.cut = self.region.filled == self.region.memory.len();
    }

    /// Returns the [`space`](Self::space) as an owned buffer, for IO that needs to own what it
    /// writes to.
    ///
    /// Its length is the number of bytes that may be written: fill it from its beginning and behind
    /// nothing (tokio's `read_buf` would append). Give it back with [`put_space`](Self::put_space);
    /// until then the connection can go on parsing what is there.
    ///
    /// If the read is dropped before it has completed, what it may have received is lost with the
    /// space: cancel it and wait for that, or do not read from the transport again. The buffer goes
    /// on with other memory.
    #[must_use = "the space is lost until it is given back with `put_space`"]
    pub fn take_space(&mut self) -> BytesMut {
        self.make_space(0, 0); // all of what is lent may be read into
        self.region.memory.lend(self.region.filled)
    }

    /// Gives back what [`take_space`](Self::take_space) lent, `n` bytes of it received.
    ///
    /// O(1) if this is the memory that was lent, and this buffer has not moved to other memory
    /// meanwhile. Give it back at its full length, as compio and monoio do: memory that a runtime
    /// has cut to `n` bytes serves for those, and other memory is allocated for the next. Of
    /// memory that was not lent the `n` bytes are copied, and the rest is dropped: what comes here
    /// never makes this buffer larger than what was received does.
    pub fn put_space(&mut self, mut space: BytesMut, n: usize) {
        let n = n.min(space.len());
        if self.region.memory.len() == self.region.filled && !self.adopted {
            match self.region.memory.take_back(space) {
                Ok(()) => return self.commit(n),
                Err(other) => space = other,
            }
        }
        self.extend_from_slice(&space[..n]);
    }

    /// Appends a buffer that was filled elsewhere: all of it was received.
    ///
    /// 4 KiB or more are adopted while this buffer is [idle](Self::is_idle): a message that lies in
    /// them is not copied, and one that fills half of them leaves in this memory
    /// ([`Event::into_message`](crate::Event::into_message)). Else they are copied, and the memory
    /// goes back to where it came from. What was adopted goes back when the next bytes or a reader
    /// come and nobody holds a part of it; a buffer that waits for long gives it back by being
    /// dropped.
    ///
    /// A message that leaves in this memory keeps all of the allocation alive: put whole buffers,
    /// not parts of a larger one.
    ///
    /// Of `Bytes` that nobody else holds, `try_into_mut` makes what comes here without a copy; of
    /// others, take [`extend_from_slice`](Self::extend_from_slice).
    pub fn put(&mut self, received: BytesMut) {
        if received.len() < Self::ADOPT_MIN || !self.region.is_idle() {
            return self.extend_from_slice(&received);
        }
        let aside = self.aside.get_or_insert_default();
        if !mem::replace(&mut self.adopted, true) {
            mem::swap(&mut self.region.memory, aside);
        }
        self.region = Region::received(received.into());
        self.cut = true;
    }

    /// From here on what adopting costs, an exchange of memories, is less than a copy.
    const ADOPT_MIN: usize = 4096;

    /// Appends a copy of `bytes`.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.make_space(bytes.len(), 0);
        let region = &mut self.region;
        let end = region.filled + bytes.len();
        region.memory[region.filled..end].copy_from_slice(bytes);
        region.filled = end;
    }

    /// Returns whether nothing is held: no unparsed byte, no part of a message.
    ///
    /// An idle buffer carries no state: it may serve another connection.
    #[inline]
    pub fn is_idle(&self) -> bool {
        #[cfg(feature = "deflate")]
        if !self.is_inflated_idle() {
            return false;
        }
        self.region.is_idle()
    }

    /// Returns the bytes of memory held, all of what a payload that was handed over shares with
    /// this buffer.
    pub fn capacity(&self) -> usize {
        let aside = self.aside.as_ref().map_or(0, |memory| memory.capacity());
        let held = self.region.memory.capacity() + aside;
        #[cfg(feature = "deflate")]
        return held + self.inflated_capacity();
        #[cfg(not(feature = "deflate"))]
        held
    }

    /// Returns the bytes that are in it: of a message that is not complete, and not parsed yet.
    #[cfg(feature = "server")]
    pub(crate) fn held(&self) -> usize {
        let held = self.region.filled - self.region.start;
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
        &self.region.memory[self.region.parsed..self.region.filled]
    }

    /// Drops `n` unparsed bytes: a header, or something that nobody needs to see.
    #[inline]
    pub(crate) fn skip(&mut self, n: usize) {
        let region = &mut self.region;
        region.parsed = region.parsed.saturating_add(n).min(region.filled);
        if region.assembled == region.start {
            region.release();
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        self.region.parsed = self.region.filled;
        self.control = 0;
        self.region.release();
        self.expected = 0;
        #[cfg(feature = "deflate")]
        {
            self.inflated = None;
        }
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
        let region = &mut self.region;
        let there = region.filled - region.parsed;
        let n = usize::try_from(len).map_or(there, |len| len.min(there));
        let end = region.parsed + n;
        if let Some(key) = mask {
            apply_mask(&mut region.memory[region.parsed..end], key, offset);
        }
        if region.assembled == region.start {
            // the first payload of a message stays where it is
            region.start = region.parsed;
            region.assembled = end;
        } else {
            if region.assembled != region.parsed {
                region.memory.copy_within(region.parsed..end, region.assembled);
            }
            region.assembled += n;
        }
        region.parsed = end;
        self.expected = match usize::try_from(len - n as u64) {
            Ok(missing) if fin => missing,
            _ => usize::MAX,
        };
        n
    }

    /// Unmasks a whole message that lies unparsed behind `header_len` bytes of header, between
    /// messages. All of it must be there.
    #[inline]
    pub(crate) fn take_frame(
        &mut self,
        header_len: usize,
        len: usize,
        mask: Option<[u8; 4]>,
    ) -> &[u8] {
        let region = &mut self.region;
        region.start = region.parsed + header_len;
        region.assembled = region.start + len;
        region.parsed = region.assembled;
        self.expected = 0;
        let payload = &mut region.memory[region.start..region.assembled];
        if let Some(key) = mask {
            apply_mask(payload, key, 0);
        }
        payload
    }

    /// Takes [`take_frame`](Self::take_frame) back.
    #[cold]
    pub(crate) fn put_frame_back(&mut self, header_len: usize, len: usize, mask: Option<[u8; 4]>) {
        let region = &mut self.region;
        if let Some(key) = mask {
            apply_mask(&mut region.memory[region.start..region.assembled], key, 0);
        }
        region.parsed -= header_len + len;
        region.release();
    }

    /// Returns the last `n` bytes of the assembled payload.
    #[inline]
    pub(crate) fn assembled_tail(&self, n: usize) -> &[u8] {
        &self.region.memory[self.region.assembled - n..self.region.assembled]
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
        let region = &mut self.region;
        let payload = region.parsed;
        region.parsed = (payload + len).min(region.filled);
        self.control = region.parsed - payload;
        if let Some(key) = mask {
            apply_mask(&mut region.memory[payload..region.parsed], key, 0);
        }
        &region.memory[payload..region.parsed]
    }

    /// Returns the payload of the control frame just taken, `len` bytes.
    #[inline]
    pub(crate) fn control(&self, len: usize) -> &[u8] {
        &self.region.memory[self.region.parsed.saturating_sub(len)..self.region.parsed]
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
        self.region.take_assembled()
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
            .field("assembled", &(self.region.assembled - self.region.start))
            .field("unparsed", &(self.region.filled - self.region.parsed))
            .field("capacity", &self.capacity())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    /// Returns a buffer with the first byte of a message that goes on.
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

    /// A message leaves in the memory that it came in, which goes back then.
    #[test]
    fn what_is_put_is_adopted_while_nothing_is_held() {
        let mut rx = RecvBuffer::new();
        let place = rx.space().as_ptr();
        for _ in 0..3 {
            let received = BytesMut::from(&[b'm'; 9000][..]);
            let at = received.as_ptr();
            let own = rx.capacity();
            rx.put(received);
            assert_eq!(rx.capacity(), own + 9000);
            rx.assemble(9000, true, None, 0);
            let message = rx.take_message().into_bytes();
            assert_eq!((message.as_ptr(), &message[..]), (at, &[b'm'; 9000][..]));
            // its own memory is there as before
            assert_eq!(rx.space().as_ptr(), place);
            assert!(message.is_unique(), "the memory is the message's alone");
        }
        // what is left of it moves there
        rx.put(BytesMut::from(&[b'm'; 9000][..]));
        rx.skip(8999);
        rx.extend_from_slice(b"n");
        assert_eq!((rx.unparsed().as_ptr(), rx.unparsed()), (place, &b"mn"[..]));
        rx.clear();
        // from 4 KiB on; less, or what comes behind something, is copied
        for (len, is_adopted) in [(4095, false), (4096, true)] {
            let received = BytesMut::from(&[b'm'; 4096][..len]);
            let at = received.as_ptr();
            rx.put(received);
            assert_eq!(rx.unparsed().as_ptr() == at, is_adopted, "{len}");
            rx.clear();
        }
        rx.put(BytesMut::from(&b"ab"[..]));
        rx.put(BytesMut::from(&[b'c'; 5000][..]));
        assert_eq!(rx.unparsed().as_ptr(), place);
        assert_eq!((rx.unparsed().len(), &rx.unparsed()[..3]), (5002, &b"abc"[..]));
    }

    /// The first own memory, or again what is just as large as a read.
    #[test]
    fn own_memory_behind_what_was_adopted() {
        let mut rx = RecvBuffer::with_read_ahead(1024);
        let mut place = None;
        for _ in 0..3 {
            rx.put(BytesMut::from(&[b'm'; 5000][..]));
            rx.skip(5000);
            let space = rx.space();
            assert_eq!(space.len(), 1024);
            assert_eq!(*place.get_or_insert(space.as_ptr()), space.as_ptr());
        }
    }

    /// What was lent comes back late: other bytes stand in front of it by then.
    #[test]
    fn what_was_lent_comes_back_behind_others() {
        let mut rx = RecvBuffer::new();
        rx.extend_from_slice(b"abc");
        let mut space = rx.take_space();
        space[..2].copy_from_slice(b"yz");
        rx.skip(3);
        rx.extend_from_slice(b"de");
        rx.put_space(space, 2);
        assert_eq!(rx.unparsed(), b"deyz");
    }

    /// Somebody takes a part of a message at a time.
    #[cfg(feature = "std")]
    #[test]
    fn a_message_in_parts() {
        let mut rx = RecvBuffer::new();
        rx.extend_from_slice(b"message");
        rx.assemble(7, true, None, 0);
        for left in ["message", "sage", "e"] {
            assert_eq!(rx.assembled(), left.as_bytes());
            rx.consume_assembled(3);
        }
        assert!(rx.assembled().is_empty() && rx.is_idle());
    }

    /// What is adopted does not fit any more: what is held moves to own memory, in any state.
    #[test]
    fn bytes_behind_what_was_adopted() {
        for (consumed, more) in [(0, 10), (1, 4096), (4000, 100_000), (8999, 1)] {
            let mut rx = RecvBuffer::new();
            rx.put(BytesMut::from(&[b'm'; 9000][..]));
            rx.skip(consumed);
            rx.assemble(500, false, None, 0);
            rx.put(BytesMut::from(&vec![b'n'; more][..]));
            let left = 9000 - consumed;
            rx.assemble((left + more - left.min(500)) as u64, true, None, 500);
            let message = rx.take_message();
            assert_eq!(message.as_slice().len(), left + more);
            assert!(message.as_slice()[..left].iter().all(|byte| *byte == b'm'));
            assert!(message.as_slice()[left..].iter().all(|byte| *byte == b'n'));
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
}

use alloc::vec::Vec;
use core::fmt;

use zlib_rs::{Deflate as Engine, DeflateConfig, DeflateFlush, Status};

use super::Deflate;

/// Parameters in which compressors differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CompressorKind {
    level: u8,
    mem_level: u8,
    window_bits: u8,
}

impl CompressorKind {
    pub(crate) fn new(settings: &Deflate, window_bits: u8) -> Self {
        let settings = settings.clamped();
        // A window of 256 bytes is legal, and no engine of this family makes one. It does not need
        // to: with a window of 512 it leaves room for its look-ahead, so that no match is farther
        // away than 250 bytes. `tests/core/rfc7692/windows.rs` holds it to that.
        let window_bits = window_bits.clamp(MIN_ENGINE_BITS, 15);
        Self { level: settings.level, mem_level: settings.mem_level, window_bits }
    }
}

/// Compresses messages for RFC 7692 §7.2.1.
pub(crate) struct Compressor {
    engine: Engine,
    pub(super) kind: CompressorKind,
    failed: bool,
}

impl Compressor {
    pub(super) fn new(kind: CompressorKind) -> Self {
        let config = DeflateConfig {
            window_bits: -i32::from(kind.window_bits), // negative: no header, no checksum
            mem_level: kind.mem_level.into(),
            ..DeflateConfig::new(kind.level.into())
        };
        Self { engine: Engine::new_with_config(config), kind, failed: false }
    }

    /// Forgets what it has compressed.
    pub(crate) fn reset(&mut self) {
        // The engine's own reset wants all of its output to have been taken (version 0.6.8: it
        // keeps the place in its buffer, and panics when that runs over). `flush` sees to that.
        if self.failed {
            *self = Self::new(self.kind);
        } else {
            self.engine.reset();
        }
    }

    /// Appends `payload` to `out` as one whole message, unless that would be no gain. Without one
    /// `out` is as it was, and the compressor has to be [`reset`](Self::reset).
    pub(crate) fn message(&mut self, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let at = out.len();
        let complete = self.compress(payload, out, DeflateFlush::SyncFlush) && strip_tail(out, at);
        if complete && out.len() - at < payload.len() {
            return true;
        }
        out.truncate(at);
        false
    }

    /// Appends to `out`, which has the message so far and nothing else, what comes of the next part
    /// of its payload; `false` if the engine fails. Between two parts the compressor is in the
    /// middle of something, and cannot be [`reset`](Self::reset).
    pub(crate) fn part(&mut self, part: &[u8], last: bool, out: &mut Vec<u8>) -> bool {
        match last {
            true => self.compress(part, out, DeflateFlush::SyncFlush) && strip_tail(out, 0),
            false => self.compress(part, out, DeflateFlush::NoFlush),
        }
    }

    /// Appends one fragment of a message to `out`: the whole of `payload`, so that the peer can
    /// inflate all of it when the fragment arrives.
    pub(crate) fn fragment(&mut self, payload: &[u8], fin: bool, out: &mut Vec<u8>) {
        let at = out.len();
        if payload.is_empty() {
            // RFC 7692 §7.2.3.6: the header of an empty block, whose rest is not sent. The fragment
            // before it ended on a byte.
            out.push(0x00);
            return;
        }
        if self.compress(payload, out, DeflateFlush::SyncFlush) {
            // RFC 7692 §7.2.1: "for non-final fragments, the removal of 0x00 0x00 0xff 0xff MUST
            // NOT be done."
            if !fin || strip_tail(out, at) {
                return;
            }
        }
        // The engine has never failed; if it does, the message goes out all the same.
        out.truncate(at);
        self.reset();
        put_stored(payload, fin, out);
    }

    /// RFC 7692 §7.2.1: "1. Compress all the octets of the payload of the message using DEFLATE. 2.
    /// If the resulting data does not end with an empty DEFLATE block with no compression [...]
    /// append [one]". That is what a flush does. `false` if the engine fails.
    fn compress(&mut self, mut payload: &[u8], out: &mut Vec<u8>, flush: DeflateFlush) -> bool {
        // At once if it is little; most of what is worth compressing becomes less than half.
        let mut room = payload.len() / if payload.len() < SMALL { 1 } else { 2 } + FLUSH_ROOM;
        loop {
            let at = out.len();
            out.resize(at + room, 0);
            let (total_in, total_out) = (self.engine.total_in(), self.engine.total_out());
            let status = self.engine.compress(payload, &mut out[at..], flush);
            // no more than a slice can be long
            let consumed = (self.engine.total_in() - total_in) as usize;
            let produced = (self.engine.total_out() - total_out) as usize;
            out.truncate(at + produced);
            payload = &payload[consumed..];
            match status {
                // "full" means that there may be more
                Ok(Status::Ok) if payload.is_empty() && produced < room => return true,
                Ok(Status::Ok) if produced > 0 => {}
                _ => {
                    self.failed = true;
                    return false;
                }
            }
            room = (payload.len() / 2).max(SMALL);
        }
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Appends a fragment in blocks without compression.
fn put_stored(payload: &[u8], fin: bool, out: &mut Vec<u8>) {
    for block in payload.chunks(usize::from(u16::MAX)) {
        let len = block.len() as u16;
        out.push(0x00);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&(!len).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.push(0x00);
    if !fin {
        out.extend_from_slice(&TAIL);
    }
}

/// RFC 7692 §7.2.1: "3. Remove 4 octets (that are 0x00 0x00 0xff 0xff) from the tail end."
fn strip_tail(out: &mut Vec<u8>, start: usize) -> bool {
    let complete = out[start..].ends_with(&TAIL);
    if complete {
        out.truncate(out.len() - TAIL.len());
    }
    complete
}

const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// For the blocks around an incompressible payload, and then some: the engine repeats the end of a
/// flush when it had little room for it.
const FLUSH_ROOM: usize = 64;

/// Below this the output gets all the room it may need at once.
const SMALL: usize = 4096;

/// The smallest window the engine makes.
const MIN_ENGINE_BITS: u8 = 9;

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::deflate::decompressor::Decompressor;

    fn compressor() -> Compressor {
        Compressor::new(CompressorKind::new(&Deflate::new(), 15))
    }

    /// So many bytes of which each has so many bits that nothing is known about.
    fn noise(len: usize, bits: u32) -> Vec<u8> {
        let mut state = 1_u32;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> (32 - bits)) as u8
        };
        (0..len).map(next).collect()
    }

    fn inflate(message: &[u8], len: usize) -> Vec<u8> {
        let mut it = Decompressor::new();
        it.reset(15);
        let mut output = vec![0; len + 1];
        let progress = it.inflate(message, &mut output);
        assert_eq!(progress.consumed, message.len());
        output.truncate(progress.produced);
        assert!(it.finish(false));
        output
    }

    #[test]
    fn blocks_without_compression() {
        for len in [1, 65_535, 65_536, 200_000] {
            let payload = noise(len, 8);
            let (first, last) = payload.split_at(len / 3);
            let mut out = Vec::new();
            put_stored(first, false, &mut out);
            put_stored(last, true, &mut out);
            assert_eq!(inflate(&out, len), payload);
        }
    }

    /// The room for the output is made as it is needed.
    #[test]
    fn what_becomes_little_shorter() {
        for len in [4000, 8192, 100_000, 300_000] {
            for bits in 4..8 {
                let (payload, mut out) = (noise(len, bits), Vec::new());
                assert!(compressor().message(&payload, &mut out), "{len} {bits}");
                assert_eq!(inflate(&out, len), payload);
            }
        }
    }

    /// A message that is not shorter by a byte at least goes as it is.
    #[test]
    fn the_same_length_is_no_gain() {
        let gains = (0..100).map(|zeros| {
            let payload = [noise(60, 8), vec![0; zeros]].concat();
            let mut out = Vec::new();
            assert!(compressor().part(&payload, true, &mut out));
            let gain = payload.len() as isize - out.len() as isize;
            let mut message = b"before".to_vec();
            assert_eq!(compressor().message(&payload, &mut message), gain > 0, "{gain}");
            let appended = if gain > 0 { &out[..] } else { &[] };
            assert_eq!(message, [b"before", appended].concat());
            gain
        });
        assert_eq!(gains.filter(|gain| *gain == 0).count(), 1);
    }
}

use core::fmt;

use zlib_rs::{Inflate, InflateError, InflateFlush, Status};

use super::history::History;
use super::settings::MAX_WINDOW_BITS;

/// Inflates the messages of one direction, one after the other (RFC 7692 §7.2.2).
///
/// The engine is an ordinary inflater, which believes that a stream ends with its last block, the
/// one with BFINAL set. For RFC 7692 §7.2.1 it does not: "An endpoint MAY use both DEFLATE blocks
/// with the "BFINAL" bit set to 0 and DEFLATE blocks with the "BFINAL" bit set to 1", and the
/// window lives on behind one. So after such a block the engine begins a new stream, and is given
/// as a dictionary what the old one had in its window. For that the last output is kept here a
/// second time.
pub(crate) struct Decompressor {
    engine: Inflate,
    history: History,
}

/// Progress of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    pub(crate) consumed: usize,
    pub(crate) produced: usize,
    pub(crate) stop: Stop,
}

/// Why it came no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The input is used up, and what it says has been written.
    Input,
    /// The output is full; there may be more.
    Output,
    /// Behind a block with BFINAL set: [`remember`](Decompressor::remember) the output so far, then
    /// [`restart`](Decompressor::restart).
    FinalBlock,
    /// This is no deflate stream. What was written before that is valid.
    Corrupt,
}

impl Decompressor {
    pub(crate) fn new() -> Self {
        // Whatever window was agreed on: the engine needs the same memory for all of them, and may
        // know more than the peer uses.
        Self { engine: Inflate::new(false, MAX_WINDOW_BITS), history: History::new(0) }
    }

    /// Makes it as new, for a peer whose window is at most 2 to the power of `window_bits`.
    pub(crate) fn reset(&mut self, window_bits: u8) {
        self.engine.reset(false);
        self.history.clear(1 << window_bits);
    }

    /// Inflates from `input` into `output`, neither of which has to be there whole.
    pub(crate) fn inflate(&mut self, input: &[u8], output: &mut [u8]) -> Progress {
        self.step(input, output, InflateFlush::NoFlush)
    }

    fn step(&mut self, input: &[u8], output: &mut [u8], flush: InflateFlush) -> Progress {
        let (total_in, total_out) = (self.engine.total_in(), self.engine.total_out());
        let result: Result<Status, InflateError> = self.engine.decompress(input, output, flush);
        // no more than a slice can be long
        let consumed = (self.engine.total_in() - total_in) as usize;
        let produced = (self.engine.total_out() - total_out) as usize;
        let stop = match result {
            Ok(Status::StreamEnd) => Stop::FinalBlock,
            Err(_) => Stop::Corrupt,
            Ok(_) if produced == output.len() => Stop::Output,
            Ok(_) => Stop::Input,
        };
        Progress { consumed, produced, stop }
    }

    /// Ends a message, all of which has been inflated. Returns whether it could end there.
    ///
    /// The last octets of its payload say which end it is: see [`ends_with_tail`]. A message that
    /// ends with a block with BFINAL set, and nothing behind it, does not come here.
    ///
    /// RFC 7692 §7.2.2: "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the payload of
    /// the message." They must be the rest of an empty stored block: a message that was cut off
    /// takes them for something else, or for part of something. So the engine is told to stop at
    /// the next end of a block, which has to be where these four end. Another empty block then
    /// shows that it is at the border of a byte. The empty block may have BFINAL set as well: that
    /// is how a compressor ends which is closed and not flushed (Go's does).
    ///
    /// A peer that left the four on, against §7.2.1, has sent all of its data as well. Two empty
    /// blocks then show that a block ends there, and at the border of a byte.
    pub(crate) fn finish(&mut self, tail_is_there: bool) -> bool {
        const BLOCKS: [u8; 10] = [0x00, 0x00, 0x00, 0xff, 0xff, 0x00, 0x00, 0x00, 0xff, 0xff];
        let from = if tail_is_there { 0 } else { 1 };
        let mut blocks = |begin: usize| {
            let progress = self.step(&BLOCKS[begin..], &mut [0; 16], InflateFlush::Block);
            (progress.stop, progress.consumed, progress.produced)
        };
        if blocks(from) != (Stop::Input, 5 - from, 0) {
            return false;
        }
        match blocks(5) {
            (Stop::Input, 5, 0) => true,
            // it says so only when it is asked to go on
            (Stop::FinalBlock, 0, 0) if !tail_is_there => {
                self.restart();
                true
            }
            _ => false,
        }
    }

    /// Takes note of the output for a [`restart`](Self::restart). What is not noted before one is
    /// forgotten by it, and what is noted must be all of it, in order.
    pub(crate) fn remember(&mut self, output: &[u8]) {
        self.history.push(output);
    }

    /// Goes on behind a block with BFINAL set. Costs a copy of the window.
    pub(crate) fn restart(&mut self) {
        self.engine.reset(false);
        for part in self.history.parts() {
            // it takes any dictionary at the beginning of a raw stream
            let _ = self.engine.set_dictionary(part);
        }
    }
}

/// Returns whether a payload that ends with these octets, the last one lowest, still has the four
/// at its end that a sender takes off (RFC 7692 §7.2.1).
///
/// One without them never ends like this: its last octet has a bit at least of the header of the
/// empty block, and these are 0.
pub(crate) const fn ends_with_tail(last_octets: u32) -> bool {
    last_octets == 0x0000_FFFF
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    /// Returns the messages one after the other; `None` for one that is not valid.
    fn inflate(messages: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
        let mut it = Decompressor::new();
        it.reset(15);
        let one = |message: &&[u8]| {
            let (mut input, mut all) = (*message, Vec::new());
            let tail_is_there = message.ends_with(&[0x00, 0x00, 0xff, 0xff]);
            loop {
                let mut output = vec![0; 4];
                let progress = it.inflate(input, &mut output);
                input = &input[progress.consumed..];
                all.extend_from_slice(&output[..progress.produced]);
                it.remember(&output[..progress.produced]);
                match progress.stop {
                    Stop::Input => break,
                    Stop::Output => {}
                    Stop::FinalBlock => it.restart(),
                    Stop::Corrupt => return None,
                }
            }
            it.finish(tail_is_there).then_some(all)
        };
        messages.iter().map(one).collect()
    }

    const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    const AGAIN: [u8; 5] = [0xf2, 0x00, 0x11, 0x00, 0x00];
    const FINAL: [u8; 8] = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];

    #[test]
    fn examples_of_the_rfc() {
        let hello = || Some(b"Hello".to_vec());
        let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
        let two = [0xf2, 0x48, 0x05, 0, 0, 0, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(inflate(&[&HELLO, &AGAIN]), [hello(), hello()]);
        assert_eq!(inflate(&[&FINAL, &AGAIN, &FINAL, &HELLO]), vec![hello(); 4]);
        assert_eq!(inflate(&[&stored, &two, &AGAIN]), vec![hello(); 3]);
        assert_eq!(inflate(&[&[0], &HELLO]), [Some(vec![]), hello()]);
        let tail = [&HELLO[..], &[0x00, 0x00, 0xff, 0xff]].concat();
        assert_eq!(inflate(&[&tail, &AGAIN, &tail, &tail, &FINAL]), vec![hello(); 5]);
    }

    /// RFC 7692 §7.2.1: "an empty DEFLATE block with no compression" is at the end, whatever its
    /// BFINAL is.
    #[test]
    fn the_empty_block_may_be_the_last_one() {
        let hello = || Some(b"Hello".to_vec());
        let closed = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x04];
        assert_eq!(inflate(&[&closed, &AGAIN, &closed, &AGAIN, &HELLO]), vec![hello(); 5]);
        assert_eq!(inflate(&[&HELLO, &[1], &AGAIN]), [hello(), Some(vec![]), hello()]);
        assert_eq!(inflate(&[&closed[..6]]), [None]);
    }

    #[test]
    fn what_is_cut_off_is_not_valid() {
        for message in [&HELLO[..], &AGAIN, &FINAL] {
            for len in 0..message.len() {
                assert_eq!(inflate(&[&message[..len]]), [None], "{:02x?}", &message[..len]);
            }
        }
    }
    /// The last octets are those of an empty block, by chance: they are the end of a block, all of
    /// whose 15 bits are set, and the first bit of the next one.
    #[test]
    fn what_is_cut_off_behind_octets_like_the_tail() {
        let mut bits = Vec::new();
        let mut number = |value: u32, len: u32| bits.extend((0..len).map(|i| value >> i & 1));
        number(0b100, 3); // not the last block, with codes of its own
        number(0, 5 + 5); // 257 for literals and 1 for distances
        number(15, 4); // 19 for lengths of codes, in the order of RFC 1951 §3.2.7
        for symbol in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15] {
            number(if symbol < 15 { 4 } else { 5 * u32::from(matches!(symbol, 15 | 18)) }, 3);
        }
        let length = |symbol: u32| match symbol {
            15 => (0b01111, 5), // the first bit of a code comes first
            _ => (symbol.reverse_bits() >> 28, 4),
        };
        for symbol in 1..=15 {
            number(length(symbol).0, length(symbol).1); // of the octets from 0 on
        }
        for zeros in [138, 103] {
            number(0b11111, 5);
            number(zeros - 11, 7);
        }
        number(length(15).0, length(15).1); // of the end of the block
        number(length(0).0, length(0).1); // of distances
        let octets = 16 + (8 - bits.len() % 8) % 8;
        bits.extend(core::iter::repeat_n(0, octets));
        bits.extend([1; 16]);
        let octet = |bits: &[u32]| bits.iter().rev().fold(0, |all, bit| all << 1 | *bit as u8);
        let message: Vec<u8> = bits.chunks(8).map(octet).collect();
        assert!(message.ends_with(&[0x00, 0x00, 0xff, 0xff]));

        let (mut it, mut output) = (Decompressor::new(), [1; 100]);
        it.reset(15);
        let progress = it.inflate(&message, &mut output);
        assert_eq!((progress.produced, progress.stop), (octets, Stop::Input));
        assert_eq!(output[..octets], [0; 100][..octets]);
        assert!(!it.finish(true));
    }
}

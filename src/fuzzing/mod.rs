//! The entry functions of the fuzzers, and what they hold the crate to.
//!
//! They live here, and not beside the fuzzers, so that they are compiled and run with every
//! `cargo test`: a change that breaks them breaks the build. Each takes any bytes and panics when
//! the crate does something it must not do.
//!
//! The first bytes of an input say how the rest is used:
//!
//! ```text
//! [switches] [length of the plan, 0 to 15] [plan] [what the peer sends]
//! ```

#[cfg(feature = "deflate")]
mod deflate;
mod frames;
mod request;
mod response;
mod second_opinion;
mod utf8;

use alloc::vec::Vec;

#[cfg(feature = "deflate")]
pub use deflate::compressed_messages;
pub use frames::{frame_stream_client, frame_stream_server};
pub use request::handshake_request;
pub use response::handshake_response;
pub use utf8::utf8;

use crate::buf::RecvBuffer;

/// An input, taken apart.
#[derive(Clone, Copy, Debug)]
struct Input<'a> {
    switches: u8,
    plan: &'a [u8],
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    fn new(data: &'a [u8]) -> Self {
        let (&switches, rest) = data.split_first().unwrap_or((&0, &[]));
        let (&plan_len, rest) = rest.split_first().unwrap_or((&0, &[]));
        let (plan, bytes) = rest.split_at(usize::from(plan_len % 16).min(rest.len()));
        Self { switches, plan, bytes }
    }

    fn is_set(&self, switch: u32) -> bool {
        self.switches >> switch & 1 != 0
    }

    /// What the peer sends, in the pieces of the plan, over and over; byte by byte without a plan.
    fn pieces(&self) -> Vec<Piece<'a>> {
        let mut left = self.bytes;
        let mut pieces = Vec::new();
        let mut steps = self.plan.iter().cycle();
        while !left.is_empty() {
            let step = steps.next().copied().unwrap_or(0);
            let len = match usize::from(step & 0x3F) {
                small @ 0..48 => small + 1,
                large => (large - 47) * 256,
            };
            let (bytes, rest) = left.split_at(len.min(left.len()));
            left = rest;
            pieces.push(Piece { bytes, way: step >> 6 });
        }
        pieces
    }
}

/// Bytes that arrive together.
#[derive(Clone, Copy, Debug)]
struct Piece<'a> {
    bytes: &'a [u8],
    /// How they get into the receive buffer.
    way: u8,
}

impl Piece<'_> {
    /// Puts the piece into the buffer in one of the ways there are, which must all be the same.
    fn feed(self, rx: &mut RecvBuffer) {
        let mut left = self.bytes;
        match self.way {
            2 => {
                while !left.is_empty() {
                    let space = rx.space();
                    let n = space.len().min(left.len());
                    space[..n].copy_from_slice(&left[..n]);
                    rx.commit(n);
                    left = &left[n..];
                }
            }
            3 => {
                while !left.is_empty() {
                    let mut space = rx.take_space();
                    let n = space.len().min(left.len());
                    space[..n].copy_from_slice(&left[..n]);
                    rx.put_space(space, n);
                    left = &left[n..];
                }
            }
            _ => rx.feed(left),
        }
    }
}

/// What a peer sends decides how much memory is taken, byte by byte: never what it announces.
fn check_memory(rx: &RecvBuffer, received: usize, read_ahead: usize) {
    let bound = 2 * received + 2 * read_ahead.max(RecvBuffer::DEFAULT_READ_AHEAD);
    assert!(rx.capacity() <= bound, "{} bytes held for {received} received", rx.capacity());
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::fs;
    use std::path::Path;
    use std::println;

    use super::*;

    type Entry = fn(&[u8]);

    const TARGETS: &[(&str, Entry)] = &[
        #[cfg(feature = "deflate")]
        ("compressed_messages", compressed_messages),
        ("frame_stream_server", frame_stream_server),
        ("frame_stream_client", frame_stream_client),
        ("handshake_request", handshake_request),
        ("handshake_response", handshake_response),
        ("utf8", utf8),
    ];

    fn seeds(target: &str) -> Vec<Vec<u8>> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        if !root.exists() {
            println!("the published package comes without the seeds");
            return Vec::new();
        }
        let files = fs::read_dir(root.join("corpus").join(target)).unwrap();
        let seeds: Vec<_> = files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
        assert!(seeds.len() >= 10, "{target} has {} seeds", seeds.len());
        seeds
    }

    /// A small generator that gives the same numbers everywhere (xorshift64).
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            ((self.0 >> 32) as usize) % bound.max(1)
        }

        fn byte(&mut self) -> u8 {
            self.below(256) as u8
        }
    }

    /// A-6: the seeds, and each of them changed in ways in which a fuzzer would.
    #[test]
    fn seeds_and_what_is_near_them() {
        for &(target, run) in TARGETS {
            let seeds = seeds(target);
            let mut random = Random(0x9E37_79B9_7F4A_7C15);
            for seed in &seeds {
                run(seed);
            }
            for round in 0..if seeds.is_empty() { 0 } else { 3000 } {
                let mut input = seeds[round % seeds.len()].clone();
                for _ in 0..=random.below(3) {
                    let at = random.below(input.len());
                    match random.below(5) {
                        0 => input.truncate(at),
                        1 => input.insert(at.min(input.len()), random.byte()),
                        2 if !input.is_empty() => drop(input.remove(at)),
                        3 => {
                            let other = &seeds[random.below(seeds.len())];
                            input.extend_from_slice(&other[random.below(other.len())..]);
                        }
                        _ => {
                            if let Some(byte) = input.get_mut(at) {
                                *byte = random.byte();
                            }
                        }
                    }
                }
                run(&input);
            }
        }
    }

    /// A-6: bytes without any sense.
    #[test]
    fn noise() {
        for (_, run) in TARGETS {
            let mut random = Random(0xD1B5_4A32_D192_ED03);
            for _ in 0..3000 {
                let len = random.below(120);
                let input: Vec<u8> = (0..len).map(|_| random.byte()).collect();
                run(&input);
            }
        }
    }

    /// The seeds are few and small.
    #[test]
    fn seeds_are_small() {
        let total: usize = TARGETS.iter().flat_map(|(it, _)| seeds(it)).map(|it| it.len()).sum();
        assert!(total < 200 * 1024, "{total} bytes of seeds");
    }
}

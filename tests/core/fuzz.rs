//! The entry functions of the fuzzers, on their seeds, on what is near them, and on noise.

use std::fs;
use std::path::Path;

use self::entries::*;

#[path = "../../fuzz/src/lib.rs"] // the fuzzers are a crate that only nightly compilers build
pub(crate) mod entries;

type Entry = fn(&[u8]);

const TARGETS: &[(&str, Entry)] = &[
    #[cfg(feature = "server")]
    ("backplane_envelope", backplane_envelope),
    #[cfg(feature = "std")]
    ("byte_stream", byte_stream),
    ("client_url", client_url),
    #[cfg(feature = "deflate")]
    ("compressed_messages", compressed_messages),
    #[cfg(feature = "deflate")]
    ("deflate_streams", deflate_streams),
    ("endpoint_client", endpoint_client),
    ("endpoint_server", endpoint_server),
    #[cfg(feature = "server")]
    ("forwarded_headers", forwarded_headers),
    ("frame_stream_client", frame_stream_client),
    ("frame_stream_server", frame_stream_server),
    ("handshake_request", handshake_request),
    ("handshake_response", handshake_response),
    ("operations", operations),
    ("refusal_body", refusal_body),
    ("request_parts", request_parts),
    #[cfg(feature = "server")]
    ("server_routes", server_routes),
    ("utf8", utf8),
];

/// How many inputs a target gets here: those that do much with each get fewer.
fn rounds(target: &str) -> usize {
    if matches!(target, "deflate_streams" | "operations") { 300 } else { 3000 }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
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

/// the seeds, and each of them changed in ways in which a fuzzer would.
#[test]
fn seeds_and_what_is_near_them() {
    for &(target, run) in TARGETS {
        let seeds = seeds(target);
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        for seed in &seeds {
            run(seed);
        }
        for round in 0..rounds(target) {
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

/// bytes without any sense.
#[test]
fn noise() {
    for (target, run) in TARGETS {
        let mut random = Random(0xD1B5_4A32_D192_ED03);
        for _ in 0..rounds(target) {
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

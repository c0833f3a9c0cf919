//! F-6: the masking keys of a client.

use std::collections::HashMap;

use sansws::Config;
use sansws::proto::Role;

use crate::properties::reference::read_frames;
use sansws_test::pair::*;

const FRAMES: usize = 100_000;

fn keys() -> Vec<[u8; 4]> {
    let mut client = End::new(Role::Client, &Config::new().max_unsent(usize::MAX));
    for _ in 0..FRAMES {
        client.conn.feed(&mut client.tx, "").unwrap();
    }
    read_frames(&client.sent(), true).into_iter().map(|frame| frame.mask.unwrap()).collect()
}

/// 10^5 keys of 32 bits: about one pair is expected to be equal, a dozen is not; each byte of a key
/// takes each value about equally often; and no key is the one before with something added.
#[test]
fn keys_look_random() {
    let keys = keys();
    assert_eq!(keys.len(), FRAMES);

    let mut counts = HashMap::new();
    for key in &keys {
        *counts.entry(*key).or_insert(0_u32) += 1;
    }
    assert!(FRAMES - counts.len() <= 12, "{} keys are not new", FRAMES - counts.len());

    for position in 0..4 {
        let mut seen = [0_f64; 256];
        for key in &keys {
            seen[usize::from(key[position])] += 1.0;
        }
        let mean = FRAMES as f64 / 256.0;
        let chi_square: f64 = seen.iter().map(|n| (n - mean) * (n - mean) / mean).sum();
        // 255 degrees of freedom: mean 255, standard deviation 22.6; six of them either way
        assert!((120.0..390.0).contains(&chi_square), "byte {position}: {chi_square}");
    }

    let numbers: Vec<u32> = keys.iter().map(|key| u32::from_be_bytes(*key)).collect();
    let relations: [fn(u32, u32) -> u32; 2] = [|a, b| b.wrapping_sub(a), |a, b| a ^ b];
    for relation in relations {
        let mut steps = HashMap::new();
        for pair in numbers.windows(2) {
            *steps.entry(relation(pair[0], pair[1])).or_insert(0_u32) += 1;
        }
        let most = steps.values().max().copied();
        assert!(most <= Some(4), "one step from key to key occurs {most:?} times");
    }
}

//! What is compressed can be inflated with exactly the window that was agreed on, at every level.

use sansws::Config;
use sansws::deflate::Deflate;
use sansws::proto::Role;

use crate::rfc7692::support::*;
use sansws_test::inflate::{Fault, Inflater};

/// Payloads that make a compressor with such a window look far back, and such that do not let it.
fn payloads(window: usize) -> Vec<Vec<u8>> {
    // found by an engine that keeps room for its look-ahead
    let within = noise(if window > 512 { window - 262 } else { 250 }).repeat(2);
    let beyond = noise(window + 1).repeat(2);
    let mut near = Vec::new();
    for distance in [1, 3, 200, 249, 250, 251, 255, 256, 257, 258, 500, 511, 512, 513, 1024] {
        let pattern = noise(distance);
        (0..3).for_each(|_| near.extend_from_slice(&pattern));
    }
    vec![
        prose(300).into_bytes(),
        prose(window).into_bytes(),
        within,
        beyond,
        near,
        vec![0; 2 * window],
        noise(600),
        noise(300).repeat(3),
        prose(2000).into_bytes(),
        (0..=255).cycle().take(1000).collect(),
    ]
}

fn check(role: Role, no_context_takeover: bool, window_bits: u8, settings: &Deflate) -> usize {
    let agreed = agreed(no_context_takeover, window_bits);
    let mut end = end_with(role, &Config::new().max_unsent(usize::MAX), agreed, settings);
    let mut inflater = Inflater::new(window_bits, no_context_takeover);
    let mut any = false;
    let payloads = payloads(1 << window_bits);
    for payload in payloads.iter().chain(&payloads[..2]) {
        end.conn.feed(&mut end.tx, payload).unwrap();
        let messages = read_messages(&end.sent_frames(), &mut inflater);
        let [(compressed, received)] = &messages[..] else { panic!("{} messages", messages.len()) };
        assert!(received == payload, "{role:?} {window_bits} {settings:?}");
        any |= compressed;
    }
    // The same in fragments, which are compressed whether they become smaller or not.
    for payload in payloads.into_iter().skip(2) {
        let mut writer = end.conn.start_message(sansws::proto::MessageKind::Binary).unwrap();
        let (first, rest) = payload.split_at(payload.len() / 3);
        writer.write(&mut end.tx, first).unwrap();
        writer.write(&mut end.tx, &rest[..100]).unwrap();
        writer.finish(&mut end.tx, &rest[100..]).unwrap();
        let messages = read_messages(&end.sent_frames(), &mut inflater);
        assert!(messages == [(true, payload)], "{role:?} {window_bits} {settings:?}");
    }
    assert_eq!(any, settings.clone().level(0) != *settings, "{settings:?}");
    inflater.farthest
}

/// D-22, D-24, D-25: every level, window and kind of takeover.
#[test]
fn every_level_and_window() {
    for level in 0..=9 {
        for window_bits in 8..=15 {
            for no_context_takeover in [false, true] {
                let role = if window_bits % 2 == 0 { Role::Server } else { Role::Client };
                check(role, no_context_takeover, window_bits, &eager().level(level));
            }
        }
    }
}

/// D-24: memory makes no difference to what may be referred to.
#[test]
fn every_memory_level() {
    for mem_level in 1..=9 {
        check(Role::Server, false, 15, &eager().mem_level(mem_level));
        check(Role::Client, false, 8, &eager().mem_level(mem_level).level(6));
    }
}

/// D-4: a window of 256 bytes, which the engine does not have. It compresses with 512 instead,
/// and refers no farther back than 250: the margin is what this holds on to.
#[test]
fn the_smallest_window() {
    for level in 1..=9 {
        let farthest = check(Role::Server, false, 8, &eager().level(level));
        assert!((200..=250).contains(&farthest), "level {level}: {farthest}");
    }
}

/// D-24: large windows are used.
#[test]
fn the_largest_window() {
    let farthest = check(Role::Client, false, 15, &eager().level(6));
    assert_eq!(farthest, 32_768 - 262);
}

/// What all of this rests on.
#[test]
fn the_reference_inflates_the_examples_and_refuses_the_rest() {
    let mut it = Inflater::new(8, false);
    assert_eq!(it.message(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]).unwrap(), b"Hello");
    assert_eq!(it.message(&[0xf2, 0x00, 0x11, 0x00, 0x00]).unwrap(), b"Hello");
    assert_eq!(it.farthest, 5);
    assert_eq!(it.message(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]).unwrap(), b"Hello");
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    assert_eq!(it.message(&stored).unwrap(), b"Hello");
    let mut it = Inflater::new(8, true);
    assert_eq!(it.message(&[0xf2, 0x00, 0x11, 0x00, 0x00]), Err(Fault::Invalid));
    assert_eq!(it.message(&[0xf2, 0x48, 0xcd]), Err(Fault::CutOff));
    assert_eq!(it.message(&[0xff]), Err(Fault::Invalid));
    assert_eq!(it.message(&[0x00, 0x05]), Err(Fault::Invalid));
    // three bytes from 257 before
    let history = [&[0x00, 0x2c, 0x01, 0xd3, 0xfe][..], &[7; 300], &[0x00]].concat();
    for (window_bits, expected) in [(8, Err(Fault::Distance)), (9, Ok(vec![7; 3]))] {
        let mut it = Inflater::new(window_bits, false);
        assert_eq!(it.message(&history).unwrap(), [7; 300]);
        assert_eq!(it.message(&[0x02, 0x06, 0x00, 0x00]), expected);
    }
}

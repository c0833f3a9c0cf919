//! What a compressed message may cost: RFC 6455 §10.4 for what comes out, and for what goes in.

use core::time::Duration;
use std::time::Instant;

use sansws::proto::Role;
use sansws::wire::Opcode;
use sansws::{Config, ProtocolError};

use crate::rfc7692::support::*;
use sansws_test::pair::*;

fn too_big(limit: u64) -> ProtocolError {
    ProtocolError::MessageTooBig { announced: limit + 1, limit }
}

/// A message that inflates to so many zeros.
fn zeros(len: usize) -> Vec<u8> {
    let mut sender = end_with(Role::Server, &Config::new(), agreed(true, 15), &eager().level(9));
    sender.conn.feed(&mut sender.tx, vec![0; len]).unwrap();
    let frame = sender.sent_frames().remove(0);
    assert!(frame.rsv1);
    frame.payload
}

/// D-31: the limit is on what comes out, and exact.
#[test]
fn the_limit_is_on_what_comes_out() {
    for delivery in [Delivery::Messages, Delivery::Chunks] {
        let config = Config::new().max_message_len(100_000).delivery(delivery);
        each_role(|role| {
            for takeover in [true, false] {
                let mut end = end_with(role, &config, agreed(!takeover, 15), &eager());
                for _ in 0..2 {
                    let bytes = compressed(end.peer(), Opcode::Binary, &zeros(100_000));
                    assert!(!end.events(&bytes).is_empty());
                }
                let bytes = compressed(end.peer(), Opcode::Binary, &zeros(100_001));
                end.assert_fails(&bytes, too_big(100_000));
            }
        });
    }
}

/// D-31: a bomb fails long before all of it has arrived, in one frame and in fragments.
#[test]
fn bombs() {
    let bomb = zeros(64 * 1024 * 1024);
    assert!(bomb.len() < 70_000, "{}", bomb.len());
    let limit = 16 * 1024 * 1024;
    both_ends(|mut end| {
        let bytes = compressed(end.peer(), Opcode::Binary, &bomb);
        // a quarter of it is as much as is allowed
        let near = bytes.len() / 4;
        assert_eq!(end.events(&bytes[..near - 200]), []);
        let events = end.assert_fails(&bytes[near - 200..near + 200], too_big(limit as u64));
        assert_eq!(events, []);
        assert_eq!(end.rx.capacity(), end.rx.capacity().min(64 * 1024), "nothing is kept");
    });
    both_ends(|mut end| {
        let peer = end.peer();
        let mut failed = false;
        for (i, piece) in bomb.chunks(100).enumerate() {
            let opcode = if i == 0 { Opcode::Binary } else { Opcode::Continuation };
            let bits = if i == 0 { 0x40 } else { 0 };
            let bytes = reserved(peer, false, opcode, bits, piece);
            let (events, result) = end.receive(&bytes);
            assert_eq!(events, []);
            failed = result == Err(too_big(limit as u64));
            if failed {
                assert!((160..180).contains(&i), "fragment {i} of {}", bomb.len() / 100);
                break;
            }
            assert_eq!(result, Ok(()));
        }
        assert!(failed);
    });
}

/// D-31: text is checked up to the limit first, then the limit.
#[test]
fn text_up_to_the_limit() {
    let config = Config::new().max_message_len(4);
    each_role(|role| {
        for (text, error) in [
            (*b"abc\xffe", ProtocolError::InvalidUtf8),
            (*b"abcd\xff", too_big(4)),
            (*b"abcde", too_big(4)),
        ] {
            let mut end = end_with(role, &config, agreed(false, 15), &eager());
            let payload = [&[0x00, 5, 0, !5, 0xff][..], &text, &[0x00]].concat();
            end.assert_fails(&compressed(other(role), Opcode::Text, &payload), error);
        }
    });
}

/// D-32: a header that announces more than any compressor makes of an allowed message fails at
/// once.
#[test]
fn the_limit_on_what_goes_in() {
    let config = Config::new().max_message_len(8000);
    each_role(|role| {
        let limit = 8000 + 8000 / 8 + 1024;
        let header = |len: u16| {
            let mut bytes = raw_header(other(role), 0x82 | 0x40, &[126, 0, 0]);
            bytes[2..4].copy_from_slice(&len.to_be_bytes());
            bytes
        };
        let mut end = end_with(role, &config, agreed(false, 15), &eager());
        assert_eq!(end.events(&header(limit)), []);
        let mut end = end_with(role, &config, agreed(false, 15), &eager());
        let error = ProtocolError::MessageTooBig { announced: u64::from(limit) + 1, limit: 8000 };
        end.assert_fails(&header(limit + 1), error);
        // plain messages have the limit they always had
        let mut end = end_with(role, &config, agreed(false, 15), &eager());
        let mut bytes = header(8001);
        bytes[0] &= !0x40;
        let error = ProtocolError::MessageTooBig { announced: 8001, limit: 8000 };
        end.assert_fails(&bytes, error);
    });
}

/// A message at the limit may be compressed badly: byte by byte, every byte in a fragment.
#[test]
fn a_message_at_the_limit_in_the_longest_form() {
    let config = Config::new().max_message_len(3000);
    each_role(|role| {
        let mut sender = end(other(role));
        let mut receiver = end_with(role, &config, agreed(false, 15), &eager());
        let payload = noise(3000);
        let mut writer = sender.conn.start_message(sansws::proto::MessageKind::Binary).unwrap();
        for byte in &payload[..2999] {
            writer.write(&mut sender.tx, &[*byte]).unwrap();
        }
        writer.finish(&mut sender.tx, &payload[2999..]).unwrap();
        assert!(receiver.events(&sender.sent()) == [Got::Binary(payload)]);
    });
}

/// D-32: blocks that say nothing cost no more than their bytes.
#[test]
fn a_flood_of_empty_blocks() {
    let stored = [0x00, 0x00, 0x00, 0xff, 0xff];
    let flood = stored.repeat(16 * 1024 * 1024 / stored.len() - 1);
    for delivery in [Delivery::Messages, Delivery::Chunks] {
        let config = Config::new().delivery(delivery);
        let mut end = end_with(Role::Client, &config, agreed(false, 15), &eager());
        let begin = Instant::now();
        let bytes = compressed(Role::Server, Opcode::Binary, &[&flood[..], &[0x00]].concat());
        let (head, rest) = bytes.split_at(10);
        assert_eq!(end.events(head), []);
        let mut events = Vec::new();
        for piece in rest.chunks(4096) {
            events.extend(end.events(piece));
        }
        assert_eq!(events.len(), 1);
        assert!(end.rx.capacity() <= 64 * 1024);
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    }
}

/// Fragments are counted as they are of plain messages.
#[test]
fn fragments_are_counted() {
    let config = Config::new().max_fragments(3).max_empty_fragments(2);
    each_role(|role| {
        let peer = other(role);
        let first = reserved(peer, false, Opcode::Binary, 0x40, &[0x00]);
        let next = |payload: &[u8]| fragment(peer, false, Opcode::Continuation, payload);
        let mut end = end_with(role, &config, agreed(false, 15), &eager());
        let bytes = [first.clone(), next(&[]), next(&[0]), next(&[0])].concat();
        end.assert_fails(&bytes, ProtocolError::TooManyFragments { limit: 3 });
        let config = config.clone().max_fragments(100);
        let mut end = end_with(role, &config, agreed(false, 15), &eager());
        let bytes = [first, next(&[]), next(&[]), next(&[])].concat();
        end.assert_fails(&bytes, ProtocolError::TooManyEmptyFragments { limit: 2 });
    });
}

//! Blocks with BFINAL set, behind which a zlib stream ends and a message does not: RFC 7692 §7.2.1,
//! §7.2.3.4.

use sansws::deflate::Agreement;
use sansws::proto::{Config, Delivery};
use sansws::wire::{Opcode, ProtocolError};

use crate::pair::*;
use crate::support::*;

/// "Hello" in a block with BFINAL set.
const FINAL: [u8; 7] = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
/// An empty block with BFINAL set.
const EMPTY_FINAL: [u8; 2] = [0x03, 0x00];
const AGAIN: [u8; 5] = [0xf2, 0x00, 0x11, 0x00, 0x00];

fn hello() -> Vec<Got> {
    vec![Got::Text("Hello".into())]
}

fn final_hello() -> Vec<u8> {
    [&FINAL[..], &[0x00]].concat()
}

/// D-23, T-12: the next message is not lost, and may refer to the one before.
#[test]
fn messages_after_a_final_block() {
    both_ends(|mut end| {
        let peer = end.peer();
        for _ in 0..5 {
            assert_eq!(end.events(&compressed(peer, Opcode::Text, &final_hello())), hello());
            assert_eq!(end.events(&compressed(peer, Opcode::Text, &AGAIN)), hello());
            assert_eq!(end.events(&frame(peer, Opcode::Text, b"x")), [Got::Text("x".into())]);
            assert_eq!(end.events(&compressed(peer, Opcode::Text, &AGAIN)), hello());
        }
    });
    each_role(|role| {
        let mut end = end_with(role, &Config::new(), agreed(true, 15), &eager());
        for _ in 0..5 {
            let bytes = compressed(end.peer(), Opcode::Text, &final_hello());
            assert_eq!(end.events(&bytes), hello());
        }
    });
}

/// D-23: several in one message, which refer to each other, in fragments of any size.
#[test]
fn several_final_blocks_in_a_message() {
    let payload = [
        &FINAL[..],
        &AGAIN[..4], // "Hello", then the header of a stored block, whose rest follows
        &[0x00, 0x00, 0x00, 0xff, 0xff],
        &EMPTY_FINAL,
        &FINAL,
        &EMPTY_FINAL,
        &[0x00],
    ]
    .concat();
    both_ends(|mut end| {
        let peer = end.peer();
        let expected = [Got::Text("HelloHelloHello".into())];
        for size in 1..=payload.len() {
            for (i, piece) in payload.chunks(size).enumerate() {
                let opcode = if i == 0 { Opcode::Text } else { Opcode::Continuation };
                let bits = if i == 0 { 0x40 } else { 0 };
                let fin = (i + 1) * size >= payload.len();
                let events = end.events(&reserved(peer, fin, opcode, bits, piece));
                assert_eq!(events, if fin { &expected[..] } else { &[] });
            }
        }
    });
}

/// D-30: without a block behind it a message does not end.
#[test]
fn nothing_behind_a_final_block() {
    both_ends(|mut end| {
        let bytes = compressed(end.peer(), Opcode::Text, &FINAL);
        end.assert_fails(&bytes, ProtocolError::InvalidDeflate);
    });
}

/// D-23: what the window holds after a final block is all that it held before, message by message
/// and chunk by chunk, also when that is far more than the window.
#[test]
fn a_final_block_keeps_the_whole_window() {
    for delivery in [Delivery::Messages, Delivery::Chunks] {
        for len in [10, 32_000, 32_768, 40_000, 100_000] {
            each_role(|role| {
                let config = Config::new().delivery(delivery);
                let mut end = end_with(role, &config, Agreement::new(), &eager());
                // compresses against a window that never ends
                let mut sender = crate::support::end(other(role));
                let text = prose(len);
                let ending = reserved(other(role), true, Opcode::Binary, 0x40, &[0x03, 0x00, 0x00]);
                for _ in 0..3 {
                    sender.conn.send(&mut sender.tx, &text).unwrap();
                    let mut received = Vec::new();
                    for event in end.events(&sender.sent()) {
                        match event {
                            Got::Text(text) => received.extend_from_slice(text.as_bytes()),
                            Got::Chunk { payload, .. } => received.extend(payload),
                            other => panic!("{other:?}"),
                        }
                    }
                    assert!(received == text.as_bytes(), "{delivery:?} {len}");
                    // nothing but a final block
                    assert_eq!(end.events(&ending).len(), 1);
                }
            });
        }
    }
}

/// D-32: each costs a copy of the window, so there may not be many more than any compressor makes.
#[test]
fn a_flood_of_final_blocks() {
    both_ends(|mut end| {
        let bytes = compressed(end.peer(), Opcode::Binary, &EMPTY_FINAL.repeat(1000));
        end.assert_fails(&bytes, ProtocolError::TooManyFinalBlocks { limit: 16 });
    });
    // one for every 64 bytes is fine: 59 bytes stored, and a final block
    let block = [&[0x00, 57, 0x00, !57, 0xff][..], &[b'a'; 57], &EMPTY_FINAL].concat();
    assert_eq!(block.len(), 64);
    let payload = [&block.repeat(2000)[..], &[0x00]].concat();
    both_ends(|mut end| {
        let events = end.events(&compressed(end.peer(), Opcode::Binary, &payload));
        assert_eq!(events, [Got::Binary(vec![b'a'; 57 * 2000])]);
    });
}

//! Blocks with BFINAL set, behind which a zlib stream ends and a message does not: RFC 7692 §7.2.1,
//! §7.2.3.4. And what else a message may end with.

use sansws::deflate::Agreement;
use sansws::wire::Opcode;
use sansws::{Config, ProtocolError};

use crate::rfc7692::support::*;
use sansws_test::pair::*;

/// "Hello" in a block with BFINAL set.
const FINAL: [u8; 7] = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
/// An empty block with BFINAL set.
const EMPTY_FINAL: [u8; 2] = [0x03, 0x00];
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
const AGAIN: [u8; 5] = [0xf2, 0x00, 0x11, 0x00, 0x00];

fn hello() -> Vec<Got> {
    vec![Got::Text("Hello".into())]
}

fn final_hello() -> Vec<u8> {
    [&FINAL[..], &[0x00]].concat()
}

/// D-23: the next message is not lost, and may refer to the one before.
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

/// D-23: the empty block at the end, the rest of which is not sent, may be one of them.
#[test]
fn the_empty_block_at_the_end_is_a_final_one() {
    let closed = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x04];
    both_ends(|mut end| {
        let peer = end.peer();
        for payload in [&closed[..], &AGAIN, &closed, &closed, &AGAIN, &HELLO] {
            assert_eq!(end.events(&compressed(peer, Opcode::Text, payload)), hello());
        }
        assert_eq!(end.events(&compressed(peer, Opcode::Text, &[1])), [Got::Text("".into())]);
        assert_eq!(end.events(&compressed(peer, Opcode::Text, &AGAIN)), hello());
    });
    each_role(|role| {
        let mut end = end_with(role, &Config::new(), agreed(true, 15), &eager());
        for payload in [&closed[..], &closed, &HELLO, &closed] {
            let bytes = compressed(end.peer(), Opcode::Text, payload);
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

/// What is delivered of a text, whole or in chunks, or of a binary message.
fn delivered(events: Vec<Got>) -> Vec<u8> {
    let mut all = Vec::new();
    for event in events {
        match event {
            Got::Text(text) => all.extend(text.into_bytes()),
            Got::Binary(payload) | Got::Chunk { payload, .. } => all.extend(payload),
            other => panic!("{other:?}"),
        }
    }
    all
}

/// In both roles, deliveries and kinds of messages, with and without context takeover, whole, in
/// fragments of all sizes with and without an empty one at the end: `payload` is a message that
/// says `expected`, and the one behind it arrives as well.
fn is_a_message(payload: &[u8], expected: &[u8]) {
    for delivery in [Delivery::Messages, Delivery::Chunks] {
        for no_context_takeover in [false, true] {
            each_role(|role| {
                let config = Config::new().delivery(delivery);
                let mut end = end_with(role, &config, agreed(no_context_takeover, 15), &eager());
                let peer = end.peer();
                for size in 1..=payload.len() {
                    for (opcode, empty_end) in
                        [(Opcode::Text, false), (Opcode::Binary, false), (Opcode::Binary, true)]
                    {
                        let mut bytes = Vec::new();
                        for (i, piece) in payload.chunks(size).enumerate() {
                            let fin = (i + 1) * size >= payload.len() && !empty_end;
                            let opcode = if i == 0 { opcode } else { Opcode::Continuation };
                            let bits = if i == 0 { 0x40 } else { 0 };
                            bytes.extend(reserved(peer, fin, opcode, bits, piece));
                        }
                        if empty_end {
                            bytes.extend(frame(peer, Opcode::Continuation, b""));
                        }
                        assert_eq!(delivered(end.events(&bytes)), expected, "{payload:02x?}");
                        let next = if no_context_takeover { &HELLO[..] } else { &AGAIN };
                        if expected.ends_with(b"Hello") || no_context_takeover {
                            let events = end.events(&compressed(peer, Opcode::Text, next));
                            assert_eq!(delivered(events), b"Hello");
                        }
                    }
                }
            });
        }
    }
}

/// D-23: what a library writes that compresses data from beginning to end, sent as it is: the last
/// block is final, and nothing is behind it.
#[test]
fn a_final_block_is_an_end() {
    is_a_message(&FINAL, b"Hello");
    is_a_message(&EMPTY_FINAL, b"");
    is_a_message(&[&HELLO[..], &[0x00, 0x00, 0xff, 0xff], &EMPTY_FINAL].concat(), b"Hello");
    is_a_message(&[&FINAL[..], &FINAL].concat(), b"HelloHello");
    // stored, so that the four octets that others take off are data, or the block itself
    is_a_message(&[0x01, 0x04, 0x00, 0xfb, 0xff, 0x00, 0x00, 0x7f, 0x7f], b"\0\0\x7f\x7f");
    is_a_message(
        &[&HELLO[..], &[0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff]].concat(),
        b"Hello",
    );
}

/// D-21: the four octets that a sender has to take off were left on.
#[test]
fn the_tail_was_left_on() {
    const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
    is_a_message(&[&HELLO[..], &TAIL].concat(), b"Hello");
    is_a_message(&[&FINAL[..], &[0x00], &TAIL].concat(), b"Hello");
    is_a_message(&[&[0x00][..], &TAIL].concat(), b"");
    is_a_message(&[&HELLO[..], &TAIL, &[0x00], &TAIL].concat(), b"Hello");
}

/// D-30: what looks like one of these ends and is none.
#[test]
fn no_end_at_all() {
    for payload in [
        &FINAL[..6],                                                   // cut off
        &[0x01, 0x08, 0x00, 0xf7, 0xff, 0x00, 0x00, 0xff, 0xff],       // in the data of a block
        &[0xf2, 0x48, 0x00, 0x00, 0xff, 0xff],                         // in a symbol
        &[0x00, 0x00, 0xff, 0xff],                                     // in a length
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xf2],             // behind a final block
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0, 0, 0xff, 0xff], // behind it, in a length
    ] {
        for size in 1..=payload.len() {
            both_ends(|mut end| {
                let peer = end.peer();
                let mut bytes = Vec::new();
                for (i, piece) in payload.chunks(size).enumerate() {
                    let fin = (i + 1) * size >= payload.len();
                    let opcode = if i == 0 { Opcode::Binary } else { Opcode::Continuation };
                    bytes.extend(reserved(peer, fin, opcode, if i == 0 { 0x40 } else { 0 }, piece));
                }
                end.assert_fails(&bytes, ProtocolError::InvalidDeflate);
            });
        }
    }
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
                let mut sender = crate::rfc7692::support::end(other(role));
                let text = prose(len);
                let ending = reserved(other(role), true, Opcode::Binary, 0x40, &[0x03, 0x00, 0x00]);
                for _ in 0..3 {
                    sender.conn.feed(&mut sender.tx, &text).unwrap();
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
    both_ends(|mut end| {
        let bytes = compressed(end.peer(), Opcode::Binary, &EMPTY_FINAL.repeat(16));
        assert_eq!(end.events(&bytes), [Got::Binary(vec![])]);
        let bytes = compressed(end.peer(), Opcode::Binary, &EMPTY_FINAL.repeat(17));
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

//! Compressed messages as they arrive: RFC 7692 §6, §7.2.2 and the examples of §7.2.3.

use sansws::deflate::{Agreement, Deflate};
use sansws::proto::{MessageKind, Role};
use sansws::wire::Opcode;
use sansws::{Config, ProtocolError};

use crate::rfc7692::support::*;
use sansws_test::pair::*;

const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
/// With context takeover.
const AGAIN: [u8; 5] = [0xf2, 0x00, 0x11, 0x00, 0x00];
const STORED: [u8; 11] = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
const TWO_BLOCKS: [u8; 13] =
    [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];

fn hello() -> Vec<Got> {
    vec![Got::Text("Hello".into())]
}

/// D-17, D-21: one frame, and the same message in two.
#[test]
fn examples_of_one_message() {
    both_ends(|mut end| {
        let peer = end.peer();
        for payload in [&HELLO[..], &STORED, &TWO_BLOCKS] {
            assert_eq!(end.events(&compressed(peer, Opcode::Text, payload)), hello());
            for cut in 0..=payload.len() {
                let (first, rest) = payload.split_at(cut);
                assert_eq!(end.events(&reserved(peer, false, Opcode::Text, 0x40, first)), []);
                let rest = fragment(peer, true, Opcode::Continuation, rest);
                assert_eq!(end.events(&rest), hello(), "cut at {cut}");
            }
        }
        assert!(end.rx.is_idle());
        let binary = end.events(&compressed(peer, Opcode::Binary, &HELLO));
        assert_eq!(binary, [Got::Binary(b"Hello".to_vec())]);
    });
}

/// D-26: the window lives on between messages, of either kind.
#[test]
fn context_takeover() {
    both_ends(|mut end| {
        let peer = end.peer();
        assert_eq!(end.events(&compressed(peer, Opcode::Text, &HELLO)), hello());
        for _ in 0..3 {
            assert_eq!(end.events(&compressed(peer, Opcode::Text, &AGAIN)), hello());
        }
        let binary = end.events(&compressed(peer, Opcode::Binary, &AGAIN));
        assert_eq!(binary, [Got::Binary(b"Hello".to_vec())]);
    });
}

/// D-25: without takeover there is nothing to refer to.
#[test]
fn no_context_takeover() {
    each_role(|role| {
        let mut end = end_with(role, &Config::new(), agreed(true, 15), &eager());
        let peer = end.peer();
        for _ in 0..3 {
            assert_eq!(end.events(&compressed(peer, Opcode::Text, &HELLO)), hello());
        }
        end.assert_fails(&compressed(peer, Opcode::Text, &AGAIN), ProtocolError::InvalidDeflate);
    });
}

/// D-20: a plain message between compressed ones is not in the window.
#[test]
fn plain_messages_leave_the_window_alone() {
    both_ends(|mut end| {
        let peer = end.peer();
        assert_eq!(end.events(&compressed(peer, Opcode::Text, &HELLO)), hello());
        assert_eq!(end.events(&frame(peer, Opcode::Text, b"x")), [Got::Text("x".into())]);
        assert_eq!(end.events(&compressed(peer, Opcode::Text, &AGAIN)), hello());
        let mut plain = fragment(peer, false, Opcode::Text, b"y");
        plain.extend(fragment(peer, true, Opcode::Continuation, b"z"));
        assert_eq!(end.events(&plain), [Got::Text("yz".into())]);
        assert_eq!(end.events(&compressed(peer, Opcode::Text, &AGAIN)), hello());
    });
}

/// D-18: the bit on a control frame, or on a continuation of a compressed or a plain message.
#[test]
fn the_bit_where_it_must_not_be() {
    both_ends_fail(&[(Opcode::Ping, 0x40, true)]);
    both_ends_fail(&[(Opcode::Pong, 0x40, true)]);
    both_ends_fail(&[(Opcode::Close, 0x40, true)]);
    both_ends_fail(&[(Opcode::Text, 0x40, false), (Opcode::Continuation, 0x40, true)]);
    both_ends_fail(&[(Opcode::Text, 0x00, false), (Opcode::Continuation, 0x40, true)]);
}

/// D-19: the other two bits mean nothing, with the first or without.
#[test]
fn the_other_bits() {
    for bits in [0x10, 0x20, 0x30, 0x50, 0x60, 0x70] {
        both_ends_fail(&[(Opcode::Text, bits, true)]);
        both_ends_fail(&[(Opcode::Ping, bits, true)]);
        both_ends_fail(&[(Opcode::Text, 0x40, false), (Opcode::Continuation, bits, true)]);
    }
}

/// The last of these frames is a violation.
fn both_ends_fail(frames: &[(Opcode, u8, bool)]) {
    both_ends(|mut end| {
        let (last, before) = frames.split_last().unwrap();
        for (opcode, bits, fin) in before {
            assert_eq!(end.events(&reserved(end.peer(), *fin, *opcode, *bits, b"")), []);
        }
        let (opcode, bits, fin) = *last;
        let bytes = reserved(end.peer(), fin, opcode, bits, b"");
        // the first byte is enough
        end.assert_fails(&bytes[..1], ProtocolError::ReservedBits);
    });
}

/// D-19: without an agreement the first bit means nothing either.
#[test]
fn nothing_was_agreed() {
    both_roles(|mut end| {
        let bytes = compressed(end.peer(), Opcode::Text, &HELLO);
        assert_eq!(end.conn.deflate(), None);
        end.assert_fails(&bytes, ProtocolError::ReservedBits);
    });
    // settings alone are no agreement
    both_roles_with(&Config::new().deflate(Deflate::new()), |mut end| {
        let bytes = compressed(end.peer(), Opcode::Text, &HELLO);
        end.assert_fails(&bytes, ProtocolError::ReservedBits);
    });
}

/// D-33: an empty message, in the form a compressor makes and in the one it does not.
#[test]
fn empty_messages() {
    let empty = || vec![Got::Text(String::new())];
    both_ends(|mut end| {
        let peer = end.peer();
        for _ in 0..2 {
            assert_eq!(end.events(&compressed(peer, Opcode::Text, &[0x00])), empty());
            assert_eq!(end.events(&compressed(peer, Opcode::Text, &[])), empty());
            let mut pieces = reserved(peer, false, Opcode::Text, 0x40, &[]);
            pieces.extend(fragment(peer, false, Opcode::Continuation, &[]));
            pieces.extend(fragment(peer, true, Opcode::Continuation, &[]));
            assert_eq!(end.events(&pieces), empty());
            assert_eq!(end.events(&compressed(peer, Opcode::Text, &HELLO)), hello());
            assert_eq!(end.events(&compressed(peer, Opcode::Text, &AGAIN)), hello());
        }
        assert!(end.rx.is_idle());
    });
}

/// D-33: an empty last fragment behind data.
#[test]
fn an_empty_last_fragment() {
    both_ends(|mut end| {
        let peer = end.peer();
        let mut pieces = reserved(peer, false, Opcode::Text, 0x40, &HELLO);
        pieces.extend(frame(peer, Opcode::Ping, b"p"));
        pieces.extend(fragment(peer, false, Opcode::Continuation, &[]));
        pieces.extend(fragment(peer, true, Opcode::Continuation, &[]));
        let expected = [Got::Ping(b"p".to_vec()), hello().remove(0)];
        assert_eq!(end.events(&pieces), expected);
        assert_eq!(end.events(&compressed(peer, Opcode::Text, &AGAIN)), hello());
    });
}

/// D-29: what is no deflate stream fails at the byte that shows it.
#[test]
fn corrupt_data() {
    for (good, bad) in [
        (&[][..], 0xff),                      // block type 3
        (&[0x00, 0x05, 0x00, 0xfa], 0xfe),    // lengths that do not agree
        (&[0xf2, 0x00], 0x11),                // farther back than there is
        (&[0xfc, 0x00], 0x00),                // 288 codes for lengths
        (&[0x00, 0x00, 0x00, 0xff, 0xff], 7), // block type 3 behind another block
    ] {
        both_ends(|mut end| {
            let bytes = compressed(end.peer(), Opcode::Binary, &[good, &[bad], &[0; 50]].concat());
            let (good, rest) = bytes.split_at(bytes.len() - 51);
            assert_eq!(end.events(good), []);
            end.assert_fails(&rest[..1], ProtocolError::InvalidDeflate);
        });
    }
}

/// D-30: every beginning of a compressed message that is not one itself.
#[test]
fn truncated_messages() {
    let long = {
        let mut sender =
            end_with(Role::Server, &Config::new(), Agreement::new(), &eager().level(6));
        sender.conn.feed(&mut sender.tx, prose(700)).unwrap();
        sender.sent_frames().remove(0).payload
    };
    for message in
        [&HELLO[..], &STORED, &TWO_BLOCKS, &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], &long]
    {
        for len in 1..message.len() {
            // `00` is an empty message; a stored block begins with it, and two blocks can be cut
            // into one, also behind its four octets; a final block is an end by itself
            let whole = message[..len] == [0x00]
                || message[..len] == TWO_BLOCKS[..4]
                || message[..len] == TWO_BLOCKS[..8]
                || message[..len] == [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
            both_ends(|mut end| {
                let bytes = compressed(end.peer(), Opcode::Binary, &message[..len]);
                if whole {
                    assert_eq!(end.events(&bytes).len(), 1);
                } else {
                    end.assert_fails(&bytes, ProtocolError::InvalidDeflate);
                }
            });
        }
    }
}

/// D-36: text is judged by what comes out, at the first impossible byte of it.
#[test]
fn text_is_judged_after_inflating() {
    both_ends(|mut end| {
        let peer = end.peer();
        // a stored block with the first byte of a code point, and one with the second
        let cut = [0x00, 0x01, 0x00, 0xfe, 0xff, 0xc3, 0x00, 0x01, 0x00, 0xfe, 0xff, 0xa9, 0x00];
        assert_eq!(end.events(&compressed(peer, Opcode::Text, &cut)), [Got::Text("é".into())]);
        assert_eq!(
            end.events(&compressed(peer, Opcode::Binary, &cut[..7])),
            [Got::Binary(vec![0xc3])]
        );
        let bytes = compressed(peer, Opcode::Text, &cut[..7]);
        end.assert_fails(&bytes, ProtocolError::InvalidUtf8);
    });
    both_ends(|mut end| {
        let bytes =
            compressed(end.peer(), Opcode::Text, &[0x00, 0x09, 0x00, 0xf6, 0xff, b'a', 0xff]);
        let (head, last) = bytes.split_at(bytes.len() - 1);
        // more was announced than has come
        let mut head = head.to_vec();
        head[1] += 20;
        assert_eq!(end.events(&head), []);
        end.assert_fails(last, ProtocolError::InvalidUtf8);
    });
}

/// D-27: without an agreement on less, the window is the largest.
#[test]
fn the_longest_distance() {
    let payload = noise(32_768);
    let mut message = Vec::new();
    message.extend([0x00, 0x00, 0x80, 0xff, 0x7f]);
    message.extend(&payload);
    // fixed block: length 3 at distance 32 768 (code 29, extra 8191), end of block, empty block
    let mut bits = Bits::default();
    bits.put(0b010, 3);
    bits.code(0b000_0001, 7);
    bits.code(29, 5);
    bits.put(8191, 13);
    bits.code(0, 7);
    bits.put(0, 3);
    message.extend(bits.bytes);
    both_ends(|mut end| {
        let events = end.events(&compressed(end.peer(), Opcode::Binary, &message));
        assert_eq!(events, [Got::Binary([&payload[..], &payload[..3]].concat())]);
    });
    // D-28: a peer that agreed on less is understood all the same, as it may be
    each_role(|role| {
        let mut end = end_with(role, &Config::new(), agreed(false, 8), &eager());
        let events = end.events(&compressed(end.peer(), Opcode::Binary, &message));
        assert_eq!(events, [Got::Binary([&payload[..], &payload[..3]].concat())]);
    });
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: usize,
}

impl Bits {
    /// The least significant bit first.
    fn put(&mut self, value: usize, count: usize) {
        for i in 0..count {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= ((value >> i & 1) as u8) << (self.used % 8);
            self.used += 1;
        }
    }

    /// The most significant bit first.
    fn code(&mut self, value: usize, count: usize) {
        (0..count).rev().for_each(|i| self.put(value >> i & 1, 1));
    }
}

/// Inflated messages can be owned, like all others.
#[test]
fn owned_messages() {
    for len in [0, 5, 5000, 16 * 1024, 100_000, 3_000_000] {
        let text = prose(len);
        let mut pair = pair(&Config::new(), Agreement::new(), &eager());
        for _ in 0..2 {
            pair.client.conn.feed(&mut pair.client.tx, &text).unwrap();
            pair.server.rx.extend_from_slice(&pair.client.sent());
            let (rx, tx) = (&mut pair.server.rx, &mut pair.server.tx);
            let event = pair.server.conn.poll_event(rx, tx).unwrap().unwrap();
            let message = event.into_message().unwrap();
            assert!(message.as_text() == Some(&text));
            assert!(rx.is_idle());
        }
    }
}

/// A chunk comes with the byte that makes something of those before it.
#[test]
fn chunks_byte_by_byte() {
    let config = Config::new().delivery(Delivery::Chunks);
    each_role(|role| {
        let mut receiver = end_with(role, &config, Agreement::new(), &eager());
        let mut all = Vec::new();
        for byte in compressed(other(role), Opcode::Text, &HELLO) {
            for event in receiver.events(&[byte]) {
                let Got::Chunk { first, last, payload, .. } = event else { panic!("{event:?}") };
                assert_eq!(first, all.is_empty());
                assert!(last || !payload.is_empty(), "an empty chunk");
                all.extend(payload);
            }
        }
        assert_eq!(all, b"Hello");
    });
}

/// Inflated chunks are of bounded size, and together the message.
#[test]
fn chunks() {
    let config = Config::new().delivery(Delivery::Chunks);
    each_role(|role| {
        let mut sender = end(other(role));
        let mut receiver = end_with(role, &config, Agreement::new(), &eager());
        for text in [prose(300_000), prose(5), prose(16 * 1024), String::new(), prose(40_000)] {
            sender.conn.feed(&mut sender.tx, &text).unwrap();
            let mut received = Vec::new();
            let events = receiver.events(&sender.sent());
            for (i, event) in events.iter().enumerate() {
                let Got::Chunk { kind: MessageKind::Text, first, last, payload } = event else {
                    panic!("{event:?}")
                };
                assert_eq!((*first, *last), (i == 0, i + 1 == events.len()));
                assert!(payload.len() <= 16 * 1024 && (*last || !payload.is_empty()));
                received.extend_from_slice(payload);
            }
            assert!(received == text.as_bytes());
            assert!(receiver.rx.is_idle());
            assert!(receiver.rx.capacity() <= 1024 * 1024, "{:?}", receiver.rx);
        }
    });
}

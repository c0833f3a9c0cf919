//! Connections that compress, and frames for them.

use sansws::Config;
use sansws::deflate::{Agreement, Deflate};
use sansws::proto::{Connection, Role};
use sansws::wire::Opcode;

use sansws_test::inflate::Inflater;
use sansws_test::pair::{End, Frame, Pair, fragment};

/// `permessage-deflate` with these parameters, the same in both directions.
pub fn agreed(no_context_takeover: bool, window_bits: u8) -> Agreement {
    let mut agreed = Agreement::new();
    agreed.server_no_context_takeover = no_context_takeover;
    agreed.client_no_context_takeover = no_context_takeover;
    agreed.server_max_window_bits = window_bits;
    agreed.client_max_window_bits = window_bits;
    agreed
}

/// An end that compresses everything it can.
pub fn eager() -> Deflate {
    Deflate::new().threshold(0)
}

pub fn end_with(
    role: Role,
    setting: impl Into<sansws_test::pair::Setting>,
    agreed: Agreement,
    settings: &Deflate,
) -> End {
    let End { conn, delivery, rx, tx } = End::new(role, setting);
    let conn: Connection = conn.with_deflate(agreed, settings);
    assert_eq!(conn.deflate(), Some(agreed));
    End { conn, delivery, rx, tx }
}

/// With context takeover and the largest window.
pub fn end(role: Role) -> End {
    end_with(role, &Config::new(), Agreement::new(), &eager())
}

/// Runs a test in both roles: `test` gets the end under test, with context takeover.
pub fn both_ends(test: impl Fn(End)) {
    test(end(Role::Server));
    test(end(Role::Client));
}

/// Two ends that have agreed.
pub fn pair(config: &Config, agreed: Agreement, settings: &Deflate) -> Pair {
    let end = |role| end_with(role, config, agreed, settings);
    Pair { client: end(Role::Client), server: end(Role::Server) }
}

/// A whole compressed message as `from` sends it.
pub fn compressed(from: Role, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    reserved(from, true, opcode, 0x40, payload)
}

/// A frame with these reserved bits.
pub fn reserved(from: Role, fin: bool, opcode: Opcode, bits: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = fragment(from, fin, opcode, payload);
    bytes[0] |= bits;
    bytes
}

/// The payloads of the data messages in these frames, inflated where they are compressed, by rules
/// that every sender has to keep.
pub fn read_messages(frames: &[Frame], inflater: &mut Inflater) -> Vec<(bool, Vec<u8>)> {
    let mut messages = Vec::new();
    let mut under_way: Option<(bool, Vec<u8>)> = None;
    for frame in frames {
        if frame.kind().is_control() {
            assert!(!frame.rsv1 && frame.fin);
            continue;
        }
        match (&mut under_way, frame.kind()) {
            (Some((_, all)), Opcode::Continuation) => {
                assert!(!frame.rsv1, "the bit stands on the first frame only");
                all.extend_from_slice(&frame.payload);
            }
            (None, Opcode::Text | Opcode::Binary) => {
                under_way = Some((frame.rsv1, frame.payload.clone()));
            }
            (_, opcode) => panic!("{opcode:?} out of place"),
        }
        if frame.fin {
            let (compressed, payload) = under_way.take().unwrap();
            let payload = match compressed {
                true => inflater.message(&payload).unwrap(),
                false => payload,
            };
            messages.push((compressed, payload));
        }
    }
    assert!(under_way.is_none(), "an unfinished message");
    messages
}

/// Text that compresses like text.
pub fn prose(len: usize) -> String {
    const WORDS: [&str; 12] = [
        "the",
        "frame",
        "of",
        "a",
        "compressed",
        "message",
        "and",
        "window",
        "its",
        "server",
        "client",
        "which",
    ];
    let mut state = 7_u32;
    let mut text = String::new();
    while text.len() < len {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12345);
        text.push_str(WORDS[(state >> 16) as usize % WORDS.len()]);
        text.push(' ');
    }
    text.truncate(len);
    text
}

/// Bytes that do not compress.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

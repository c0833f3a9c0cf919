//! F-30: it does not matter how the bytes are cut.

use proptest::prelude::*;
use sansws::proto::{MessageKind, Role};
use sansws::wire::Opcode;
use sansws::{Config, ProtocolError};

use sansws_test::pair::*;

/// A frame as a peer might send it, right or wrong.
fn any_frame(from: Role) -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![
        4 => Just(Opcode::Continuation),
        3 => Just(Opcode::Text),
        3 => Just(Opcode::Binary),
        1 => Just(Opcode::Ping),
        1 => Just(Opcode::Pong)
    ];
    let payload = prop_oneof![
        4 => "[a-zé€𐍈]{0,20}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..140)
    ];
    prop_oneof![
        30 => (any::<bool>(), opcode, payload).prop_map(move |(fin, opcode, mut payload)| {
            if opcode.is_control() {
                payload.truncate(125);
            }
            fragment(from, fin || opcode.is_control(), opcode, &payload)
        }),
        1 => (1000..1012_u16, "[a-zé]{0,10}").prop_map(move |(code, reason)| {
            close_frame(from, code, &reason)
        }),
    ]
}

/// Whole messages in fragments with control frames between: always valid.
fn valid_stream(from: Role) -> impl Strategy<Value = Vec<u8>> {
    let message = (any::<bool>(), prop::collection::vec("[a-zé€𐍈]{0,30}", 1..4), any::<bool>());
    prop::collection::vec(message, 1..6).prop_map(move |messages| {
        let mut bytes = Vec::new();
        for (text, parts, ping) in messages {
            let last = parts.len() - 1;
            for (i, part) in parts.iter().enumerate() {
                let opcode = match (i, text) {
                    (0, true) => Opcode::Text,
                    (0, false) => Opcode::Binary,
                    _ => Opcode::Continuation,
                };
                bytes.extend(fragment(from, i == last, opcode, part.as_bytes()));
                if ping {
                    bytes.extend(frame(from, Opcode::Ping, part.as_bytes()));
                }
            }
        }
        bytes
    })
}

/// Streams that go wrong in all sorts of ways, or not at all.
pub(super) fn stream(from: Role) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let frames = prop::collection::vec(any_frame(from), 0..6).prop_map(|frames| frames.concat());
    let mutated = (valid_stream(from), prop::collection::vec(change, 0..3)).prop_map(
        |(mut bytes, changes)| {
            for (index, byte) in changes {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        },
    );
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..60),
        3 => (valid_stream(from), frames).prop_map(|(valid, rest)| [valid, rest].concat()),
        4 => mutated,
    ]
}

/// Everything that can be seen of a connection that got some bytes.
#[derive(Debug, PartialEq)]
struct Seen {
    events: Vec<Got>,
    result: Result<(), ProtocolError>,
    replies: Vec<u8>,
    idle: bool,
    info: String,
}

/// Feeds the bytes in pieces of these lengths, over and over. `look` polls with `advance` first.
fn observe(role: Role, config: &Setting, bytes: &[u8], pieces: &[usize], look: bool) -> Seen {
    let mut end = End::new(role, config);
    let (mut events, mut result) = (Vec::new(), Ok(()));
    let mut left = bytes;
    let mut lengths = pieces.iter().cycle();
    while !left.is_empty() && result.is_ok() {
        let (piece, rest) = left.split_at((*lengths.next().unwrap()).min(left.len()));
        left = rest;
        if look {
            end.rx.extend_from_slice(piece);
            let found = end.conn.advance(&mut end.rx, &mut end.tx);
            assert_eq!(end.conn.advance(&mut end.rx, &mut end.tx), found);
            let (more, now) = end.receive(b"");
            assert!(found != Ok(true) || !more.is_empty());
            events.extend(more);
            result = now;
        } else {
            let (more, now) = end.receive(piece);
            events.extend(more);
            result = now;
        }
    }
    // a part of a message lies there, or was taken
    let is_mixed = matches!(end.delivery, Delivery::Mixed(_));
    let idle = is_mixed || end.rx.is_idle();
    let replies = end.sent();
    // after a failure nothing comes and nothing goes
    if result.is_err() {
        assert_eq!(end.receive(left), (vec![], result));
        assert_eq!(end.receive(b"\x89\x80\0\0\0\0"), (vec![], result));
        assert_eq!(end.sent(), b"");
    }
    let info = format!("{:?} {:?}", end.conn.state(), end.conn.close_info());
    Seen { events: joined(events), result, replies, idle, info }
}

/// Chunks that follow each other are one message: where it was cut means nothing. One that has no
/// end is left out, as it is where messages are delivered whole.
fn joined(events: Vec<Got>) -> Vec<Got> {
    let mut messages: Vec<(MessageKind, Vec<u8>)> = Vec::new();
    let mut rest = Vec::new();
    let mut open = false;
    for event in events {
        match event {
            Got::Chunk { kind, first, last, payload } => {
                assert_eq!(first, !open, "a message begins where the one before ended");
                assert!(last || !payload.is_empty());
                if first {
                    messages.push((kind, Vec::new()));
                }
                let message = messages.last_mut().unwrap();
                assert_eq!(message.0, kind);
                message.1.extend(payload);
                open = !last;
                if last {
                    let (kind, payload) = messages.pop().unwrap();
                    rest.push(match kind {
                        MessageKind::Text => Got::Text(String::from_utf8(payload).unwrap()),
                        MessageKind::Binary => Got::Binary(payload),
                    });
                }
            }
            other => rest.push(other),
        }
    }
    rest
}

fn check(role: Role, bytes: &[u8], pieces: &[usize]) {
    let config = Config::new().max_message_len(60).max_fragments(5).max_empty_fragments(1);
    let config = config.max_pending_pongs(1000);
    let mut verdicts = Vec::new();
    let seed = bytes.len() as u32;
    for delivery in [Delivery::Messages, Delivery::Chunks, Delivery::Mixed(seed)] {
        let config = config.clone().delivery(delivery);
        let whole = observe(role, &config, bytes, &[usize::MAX], false);
        assert_eq!(whole, observe(role, &config, bytes, &[1], false));
        assert_eq!(whole, observe(role, &config, bytes, pieces, false));
        assert_eq!(whole, observe(role, &config, bytes, pieces, true));
        verdicts.push((whole.events, whole.result, whole.replies, whole.info));
    }
    assert_eq!(verdicts[0], verdicts[1], "chunks make the same messages, verdict and replies");
    assert_eq!(verdicts[0], verdicts[2], "and so does now the one, now the other");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn server_sees_the_same_however_bytes_are_cut(
        bytes in stream(Role::Client),
        pieces in prop::collection::vec(1..40_usize, 1..6),
    ) {
        check(Role::Server, &bytes, &pieces);
    }

    #[test]
    fn client_sees_the_same_however_bytes_are_cut(
        bytes in stream(Role::Server),
        pieces in prop::collection::vec(1..40_usize, 1..6),
    ) {
        check(Role::Client, &bytes, &pieces);
    }
}

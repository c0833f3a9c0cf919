//! It does not matter how the bytes of compressed messages are cut, whole or broken.

use proptest::prelude::*;
use sansws::deflate::Agreement;
use sansws::proto::{MessageKind, MessageRef, Role};
use sansws::wire::Opcode;
use sansws::{Config, ProtocolError};

use crate::rfc7692::support::*;
use sansws_test::pair::*;

/// What a peer sends next.
#[derive(Clone, Debug)]
enum Step {
    /// By our own sender: in so many fragments, plain or compressed.
    Message {
        text: bool,
        payload: Vec<u8>,
        fragments: usize,
        plain: bool,
    },
    /// By hand: a compressed message with this payload, which need not be one.
    Raw {
        text: bool,
        payload: Vec<u8>,
    },
    Ping,
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => "[a-cé€]{0,60}".prop_map(String::into_bytes),
        2 => (0..3000_usize).prop_map(|len| prose(len).into_bytes()),
        1 => (0..50_000_usize).prop_map(|len| vec![b'z'; len]),
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let pieces = prop_oneof![
        Just(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..]),
        Just(&[0x03, 0x00][..]),
        Just(&[0x00, 0x00, 0x00, 0xff, 0xff][..]),
        Just(&[0x00, 0x02, 0x00, 0xfd, 0xff, 0xc3, 0xa9][..]),
        Just(&[0x02, 0x11, 0x00, 0x00, 0x00, 0xff, 0xff][..]),
        Just(&[0xff][..]),
    ];
    let raw = prop_oneof![
        4 => prop::collection::vec(pieces, 0..6).prop_map(|it| [&it.concat()[..], &[0]].concat()),
        1 => prop::collection::vec(any::<u8>(), 0..60),
    ];
    prop_oneof![
        6 => (any::<bool>(), payload(), 1..5_usize, any::<bool>()).prop_map(
            |(text, payload, fragments, plain)| {
                let text = text && str::from_utf8(&payload).is_ok();
                Step::Message { text, payload, fragments, plain }
            }
        ),
        2 => (any::<bool>(), raw).prop_map(|(text, payload)| Step::Raw { text, payload }),
        1 => Just(Step::Ping),
    ]
}

/// The bytes of these steps.
fn encode(from: Role, agreed: Agreement, steps: &[Step]) -> Vec<u8> {
    let mut sender = end_with(from, &Config::new(), agreed, &eager());
    let mut bytes = Vec::new();
    for step in steps {
        match step {
            Step::Message { text, payload, fragments: 1, plain } => {
                let message = match text {
                    true => MessageRef::text(str::from_utf8(payload).unwrap()),
                    false => MessageRef::binary(payload),
                };
                let message = if *plain { message.uncompressed() } else { message };
                sender.conn.feed(&mut sender.tx, message).unwrap();
            }
            Step::Message { text, payload, fragments, plain } => {
                let kind = if *text { MessageKind::Text } else { MessageKind::Binary };
                let mut writer = sender.conn.start_message(kind).unwrap();
                if *plain {
                    writer = writer.uncompressed();
                }
                for part in payload.chunks(payload.len() / fragments + 1) {
                    writer.write(&mut sender.tx, part).unwrap();
                }
                writer.finish(&mut sender.tx, b"").unwrap();
            }
            Step::Raw { text, payload } => {
                let opcode = if *text { Opcode::Text } else { Opcode::Binary };
                bytes.extend(compressed(from, opcode, payload));
            }
            Step::Ping => bytes.extend(frame(from, Opcode::Ping, b"ping")),
        }
        bytes.extend(sender.sent());
    }
    bytes
}

/// Everything that can be seen of a connection that got some bytes.
#[derive(Debug, PartialEq)]
struct Seen {
    events: Vec<Got>,
    result: Result<(), ProtocolError>,
    replies: Vec<u8>,
    idle: bool,
}

/// Feeds the bytes in pieces of these lengths, over and over. `look` polls with `advance` first.
fn observe(role: Role, config: &Setting, agreed: Agreement, bytes: &[u8], cut: &Cut<'_>) -> Seen {
    let mut end = end_with(role, config, agreed, &eager());
    let (mut events, mut result) = (Vec::new(), Ok(()));
    let mut left = bytes;
    let mut lengths = cut.pieces.iter().cycle();
    while !left.is_empty() && result.is_ok() {
        let (mut piece, rest) = left.split_at((*lengths.next().unwrap()).min(left.len()));
        left = rest;
        if cut.look {
            end.rx.extend_from_slice(piece);
            piece = &[];
            let found = end.conn.advance(&mut end.rx, &mut end.tx);
            assert_eq!(end.conn.advance(&mut end.rx, &mut end.tx), found);
        }
        let (more, now) = end.receive(piece);
        events.extend(more);
        result = now;
    }
    let idle = end.rx.is_idle();
    let replies = end.sent();
    if result.is_err() {
        assert_eq!(end.receive(left), (vec![], result));
        assert_eq!(end.sent(), b"");
        assert!(end.rx.is_idle());
    }
    Seen { events: whole_messages(events), result, replies, idle }
}

struct Cut<'a> {
    pieces: &'a [usize],
    look: bool,
}

/// With the chunks of a message put together, so that the deliveries can be compared, and without
/// those of a message that never ends: how much of it comes before an error depends on the cuts.
fn whole_messages(events: Vec<Got>) -> Vec<Got> {
    let mut under_way: Option<Vec<u8>> = None;
    let mut whole = Vec::new();
    for event in events {
        let Got::Chunk { kind, first, last, payload } = event else {
            whole.push(event);
            continue;
        };
        assert_eq!(first, under_way.is_none(), "a message begins where the one before ended");
        assert!(last || !payload.is_empty());
        let message = under_way.get_or_insert_default();
        message.extend(payload);
        if last {
            let message = under_way.take().unwrap();
            whole.push(match kind {
                MessageKind::Text => Got::Text(String::from_utf8(message).unwrap()),
                MessageKind::Binary => Got::Binary(message),
            });
        }
    }
    whole
}

fn check(role: Role, agreed: Agreement, bytes: &[u8], pieces: &[usize]) {
    let config = Config::new().max_message_len(20_000).max_pending_pongs(1000);
    let plain = Setting::from(&config);
    let first = observe(role, &plain, agreed, bytes, &Cut { pieces: &[usize::MAX], look: false });
    let seed = bytes.len() as u32;
    for delivery in [Delivery::Messages, Delivery::Chunks, Delivery::Mixed(seed)] {
        let config = config.clone().delivery(delivery);
        for pieces in [&[usize::MAX], &[1], pieces] {
            for look in [false, true] {
                let seen = observe(role, &config, agreed, bytes, &Cut { pieces, look });
                assert_eq!(seen.result, first.result, "{delivery:?} {pieces:?}");
                assert_eq!(seen.events, first.events, "{delivery:?} {pieces:?}");
                assert_eq!(seen.replies, first.replies, "{delivery:?} {pieces:?}");
                if delivery == Delivery::Messages {
                    assert_eq!(seen.idle, first.idle);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// D-21, D-29, D-30: the same events, the same verdict and the same replies.
    #[test]
    fn the_same_however_bytes_are_cut(
        server in any::<bool>(),
        no_context_takeover in any::<bool>(),
        steps in prop::collection::vec(step(), 0..6),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..2),
        pieces in prop::collection::vec(1..400_usize, 1..6),
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let agreed = agreed(no_context_takeover, 15);
        let mut bytes = encode(other(role), agreed, &steps);
        for (index, byte) in changes {
            if !bytes.is_empty() {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
        }
        check(role, agreed, &bytes, &pieces);
    }

    /// What our sender sends, our receiver gets: in both deliveries, with any takeover and window.
    #[test]
    fn what_is_sent_is_received(
        server in any::<bool>(),
        no_context_takeover in any::<bool>(),
        window_bits in 8..=15_u8,
        steps in prop::collection::vec(step(), 0..8),
        pieces in prop::collection::vec(1..4000_usize, 1..6),
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let agreed = agreed(no_context_takeover, window_bits);
        let steps: Vec<Step> =
            steps.into_iter().filter(|step| !matches!(step, Step::Raw { .. })).collect();
        let bytes = encode(other(role), agreed, &steps);
        let expected: Vec<Got> = steps
            .into_iter()
            .map(|step| match step {
                Step::Message { text: true, payload, .. } => {
                    Got::Text(String::from_utf8(payload).unwrap())
                }
                Step::Message { payload, .. } => Got::Binary(payload),
                _ => Got::Ping(b"ping".to_vec()),
            })
            .collect();
        for delivery in [Delivery::Messages, Delivery::Chunks] {
            let config = Config::new().delivery(delivery);
            let cut = Cut { pieces: &pieces, look: false };
            let seen = observe(role, &config, agreed, &bytes, &cut);
            assert_eq!(seen.result, Ok(()));
            assert!(seen.events == expected);
            assert!(seen.idle);
        }
    }
}

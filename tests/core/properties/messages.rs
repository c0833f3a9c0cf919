//! Messages, whatever way they travel.

use proptest::prelude::*;
use sansws::bytes::Bytes;
use sansws::proto::{MessageKind, MessageRef, Role};
use sansws::wire::Opcode;
use sansws::{Config, PreparedMessage, ProtocolError};

use sansws_test::pair::*;

/// How a message is sent.
#[derive(Clone, Debug)]
enum Plan {
    Borrowed,
    Owned,
    Prepared,
    /// In fragments of these lengths, over and over; a ping after each if so wanted.
    Fragments(Vec<usize>, bool),
}

fn plan() -> impl Strategy<Value = Plan> {
    prop_oneof![
        Just(Plan::Borrowed),
        Just(Plan::Owned),
        Just(Plan::Prepared),
        (prop::collection::vec(1..2000_usize, 1..4), any::<bool>())
            .prop_map(|(lengths, ping)| Plan::Fragments(lengths, ping)),
    ]
}

fn message() -> impl Strategy<Value = Got> {
    prop_oneof![
        4 => "\\PC{0,40}".prop_map(Got::Text),
        4 => prop::collection::vec(any::<u8>(), 0..200).prop_map(Got::Binary),
        1 => (16_000..17_000_usize, any::<u8>())
            .prop_map(|(len, byte)| Got::Binary(vec![byte; len])),
        1 => (65_500..65_600_usize).prop_map(|len| Got::Text("t".repeat(len))),
    ]
}

fn send(end: &mut End, message: &Got, plan: &Plan) {
    let (kind, payload) = match message {
        Got::Text(text) => (MessageKind::Text, text.as_bytes()),
        Got::Binary(bytes) => (MessageKind::Binary, &bytes[..]),
        other => panic!("{other:?}"),
    };
    let borrowed = match message {
        Got::Text(text) => MessageRef::text(text),
        _ => MessageRef::binary(payload),
    };
    let (conn, tx) = (&mut end.conn, &mut end.tx);
    match (plan, message) {
        (Plan::Borrowed, _) => conn.feed(tx, borrowed).unwrap(),
        (Plan::Owned, Got::Text(text)) => conn.feed(tx, text.clone()).unwrap(),
        (Plan::Owned, _) => conn.feed(tx, Bytes::copy_from_slice(payload)).unwrap(),
        (Plan::Prepared, _) => {
            conn.feed(tx, &PreparedMessage::new(borrowed).unwrap()).unwrap();
        }
        (Plan::Fragments(lengths, ping), _) => {
            conn.start_message(kind).unwrap();
            let mut left = payload;
            for len in lengths.iter().cycle() {
                let (part, rest) = left.split_at((*len).min(left.len()));
                left = rest;
                let mut writer = conn.resume_message().unwrap();
                if left.is_empty() {
                    writer.finish(tx, part).unwrap();
                    break;
                }
                writer.write(tx, part).unwrap();
                if *ping {
                    conn.feed(tx, MessageRef::ping(b"between")).unwrap();
                }
            }
        }
    }
}

/// Cuts a payload into fragments of these lengths and a last one with the rest.
fn fragments(from: Role, payload: &[u8], lengths: &[usize]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut left = payload;
    for len in lengths {
        let (part, rest) = left.split_at((*len).min(left.len()));
        left = rest;
        let opcode = if frames.is_empty() { Opcode::Binary } else { Opcode::Continuation };
        frames.push(fragment(from, false, opcode, part));
    }
    let opcode = if frames.is_empty() { Opcode::Binary } else { Opcode::Continuation };
    frames.push(fragment(from, true, opcode, left));
    frames
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// F-24, F-25, F-28: any list of messages, sent in any way, arrives as it was.
    #[test]
    fn messages_round_trip(list in prop::collection::vec((message(), plan()), 0..6)) {
        let mut pair = Pair::with_config(&Config::new().max_unsent(usize::MAX));
        for (message, plan) in &list {
            send(&mut pair.client, message, plan);
            send(&mut pair.server, message, plan);
        }
        let (client, server) = pair.drive();
        let expected: Vec<_> = list.into_iter().map(|(message, _)| message).collect();
        for events in [client, server] {
            let messages: Vec<_> = events
                .into_iter()
                .filter(|got| !matches!(got, Got::Ping(_) | Got::Pong(_)))
                .collect();
            prop_assert_eq!(&messages, &expected);
        }
    }

    /// F-21, K-7: control frames between fragments change no message, and each ping is answered.
    #[test]
    fn control_frames_change_no_message(
        payload in prop::collection::vec(any::<u8>(), 0..300),
        lengths in prop::collection::vec(0..100_usize, 0..6),
        control in prop::collection::vec((0..7_usize, any::<bool>(), 0..=125_usize), 0..6),
    ) {
        for role in [Role::Server, Role::Client] {
            let peer = other(role);
            let mut frames = fragments(peer, &payload, &lengths);
            let mut pings = 0;
            for (at, ping, len) in &control {
                let opcode = if *ping { Opcode::Ping } else { Opcode::Pong };
                pings += usize::from(*ping);
                frames.insert(at % (frames.len() + 1), frame(peer, opcode, &vec![0xff; *len]));
            }
            let mut end = End::new(role, &Config::new());
            let events = end.events(&frames.concat());
            prop_assert_eq!(events.len(), 1 + control.len());
            prop_assert!(events.contains(&Got::Binary(payload.clone())));
            prop_assert_eq!(end.sent_frames().len(), pings);
        }
    }

    /// F-16, F-17: exactly the limit passes, one byte more is 1009, in one frame and in many.
    #[test]
    fn the_limit_is_exact(
        limit in 0..400_usize,
        lengths in prop::collection::vec(0..100_usize, 0..8),
    ) {
        let config = Config::new().max_message_len(limit);
        for role in [Role::Server, Role::Client] {
            let peer = other(role);
            for lengths in [&[][..], &lengths] {
                let mut end = End::new(role, &config);
                let exact = fragments(peer, &vec![1; limit], lengths).concat();
                prop_assert_eq!(end.events(&exact), [Got::Binary(vec![1; limit])]);
                let over = fragments(peer, &vec![1; limit + 1], lengths).concat();
                let (events, result) = end.receive(&over);
                prop_assert_eq!(events, []);
                let limit = limit as u64;
                let error = ProtocolError::MessageTooBig { announced: limit + 1, limit };
                prop_assert_eq!(result, Err(error));
                prop_assert_eq!(&end.sent_frames()[0].payload, &1009_u16.to_be_bytes());
            }
        }
    }

    /// F-16, F-27: under any settings, even those that `Config::check` refuses, what becomes of a
    /// message does not depend on the control frames and messages before it, nor on how it is cut.
    #[test]
    fn a_verdict_does_not_depend_on_what_came_before(
        limits in (0..40_usize, 0..3_u32, 0..3_u32),
        in_chunks in any::<bool>(),
        text in any::<bool>(),
        payload in prop::collection::vec(0..0x80_u8, 0..40),
        lengths in prop::collection::vec(0..20_usize, 0..3),
        before in prop::collection::vec((any::<bool>(), 0..=125_usize), 0..4),
        cut in 1..60_usize,
    ) {
        let (max_message_len, max_fragments, max_empty_fragments) = limits;
        let config = Config::new()
            .max_message_len(max_message_len)
            .max_fragments(max_fragments)
            .max_empty_fragments(max_empty_fragments)
            .delivery(if in_chunks { Delivery::Chunks } else { Delivery::Messages });
        for role in [Role::Server, Role::Client] {
            let peer = other(role);
            let mut message = fragments(peer, &payload, &lengths).concat();
            if text {
                message[0] = message[0] & 0xf0 | 1;
            }
            let verdict = End::new(role, &config).receive(&message);
            if max_fragments == 0 {
                prop_assert!(verdict.1.is_err(), "no fragment is allowed: {:?}", verdict);
            }
            let mut end = End::new(role, &config);
            for (ping, len) in &before {
                let opcode = if *ping { Opcode::Ping } else { Opcode::Pong };
                prop_assert_eq!(end.events(&frame(peer, opcode, &vec![1; *len])).len(), 1);
            }
            prop_assert_eq!(&end.receive(&message), &verdict);
            if verdict.1.is_ok() {
                prop_assert_eq!(&end.receive(&message), &verdict, "the second message");
            }
            if !in_chunks {
                let mut end = End::new(role, &config);
                let mut got = (Vec::new(), Ok(()));
                for piece in message.chunks(cut) {
                    let (events, result) = end.receive(piece);
                    got.0.extend(events);
                    got.1 = result;
                }
                prop_assert_eq!(&got, &verdict, "in pieces of {} bytes", cut);
            }
        }
    }
}

//! §5.4, fragmentation, as received. What we send in fragments is in `message_writer`.

use sansws::proto::{Role, State};
use sansws::wire::Opcode;
use sansws::{Config, ProtocolError};

use sansws_test::pair::*;

/// A message in fragments, one for each part.
fn fragments(from: Role, opcode: Opcode, parts: &[&[u8]]) -> Vec<Vec<u8>> {
    let last = parts.len() - 1;
    parts
        .iter()
        .enumerate()
        .map(|(i, part)| {
            fragment(from, i == last, if i == 0 { opcode } else { Opcode::Continuation }, part)
        })
        .collect()
}

/// F-18, F-24, F-25: any fragmentation is the same message, of the type of its first fragment.
#[test]
fn fragments_are_one_message() {
    let payload = b"0123456789abcdef";
    each_role(|role| {
        for size in 1..=payload.len() {
            let parts: Vec<_> = payload.chunks(size).collect();
            let mut end = End::new(role, &Config::new());
            let text = fragments(other(role), Opcode::Text, &parts).concat();
            let binary = fragments(other(role), Opcode::Binary, &parts).concat();
            assert_eq!(
                end.events(&[text, binary].concat()),
                [Got::Text(str::from_utf8(payload).unwrap().into()), Got::Binary(payload.to_vec())]
            );
            assert_eq!(end.sent(), b"");
        }
    });
}

/// F-26: messages and fragments without payload.
#[test]
fn empty_messages_and_fragments() {
    let cases: [(&[&[u8]], &[u8]); 5] = [
        (&[b""], b""),
        (&[b"", b""], b""),
        (&[b"", b"", b""], b""),
        (&[b"", b"middle", b""], b"middle"),
        (&[b"a", b"", b"b", b"", b""], b"ab"),
    ];
    each_role(|role| {
        for (parts, payload) in cases {
            let mut end = End::new(role, &Config::new());
            let bytes = fragments(other(role), Opcode::Text, parts).concat();
            let text = String::from_utf8(payload.to_vec()).unwrap();
            assert_eq!(end.events(&bytes), [Got::Text(text)]);
            let bytes = fragments(other(role), Opcode::Binary, parts).concat();
            assert_eq!(end.events(&bytes), [Got::Binary(payload.to_vec())]);
        }
    });
}

/// F-19: with FIN and without, first thing or after a whole message.
#[test]
fn a_continuation_without_a_message_fails() {
    each_role(|role| {
        for fin in [false, true] {
            let bytes = fragment(other(role), fin, Opcode::Continuation, b"stray");
            let error = ProtocolError::UnexpectedContinuation;
            End::new(role, &Config::new()).assert_fails(&bytes, error);
            End::new(role, &Config::new()).assert_fails(&bytes[..1], error);

            let mut end = End::new(role, &Config::new());
            let mut all = frame(other(role), Opcode::Text, b"whole");
            all.extend(&bytes);
            assert_eq!(end.assert_fails(&all, error), [Got::Text("whole".into())]);

            let mut end = End::new(role, &Config::new());
            end.events(&fragments(other(role), Opcode::Text, &[b"a", b"b"]).concat());
            end.assert_fails(&bytes, error);
        }
    });
}

/// F-20: fragments of two messages do not mix.
#[test]
fn a_new_message_inside_a_message_fails() {
    each_role(|role| {
        for opcode in [Opcode::Text, Opcode::Binary] {
            for fin in [false, true] {
                let mut end = End::new(role, &Config::new());
                let mut bytes = fragment(other(role), false, Opcode::Text, b"a");
                bytes.extend(fragment(other(role), fin, opcode, b"b"));
                let events = end.assert_fails(&bytes, ProtocolError::UnfinishedMessage);
                assert_eq!(events, [], "the partial message is dropped");
            }
        }
    });
}

/// F-21, K-1: a ping between fragments is answered and seen before the message ends.
#[test]
fn control_frames_between_fragments_come_first() {
    each_role(|role| {
        let peer = other(role);
        let mut end = End::new(role, &Config::new());
        assert_eq!(end.events(&fragment(peer, false, Opcode::Text, b"a")), []);
        assert_eq!(end.events(&frame(peer, Opcode::Ping, b"1")), [Got::Ping(b"1".into())]);
        let pong = end.sent_frames();
        assert_eq!((pong[0].kind(), &pong[0].payload[..]), (Opcode::Pong, &b"1"[..]));
        assert_eq!(end.events(&fragment(peer, false, Opcode::Continuation, b"b")), []);
        assert_eq!(end.events(&frame(peer, Opcode::Pong, b"2")), [Got::Pong(b"2".into())]);
        assert_eq!(
            end.events(&fragment(peer, true, Opcode::Continuation, b"c")),
            [Got::Text("abc".into())]
        );
    });
}

/// F-21, F-30: the same in one read.
#[test]
fn control_frames_between_fragments_in_one_read() {
    each_role(|role| {
        let peer = other(role);
        let mut end = End::new(role, &Config::new());
        let mut bytes = Vec::new();
        for (i, part) in
            fragments(peer, Opcode::Binary, &[b"a", b"", b"b", b"c"]).iter().enumerate()
        {
            bytes.extend(part);
            bytes.extend(frame(peer, Opcode::Ping, &[i as u8; 125]));
            bytes.extend(frame(peer, Opcode::Pong, b""));
        }
        let (ping, pong) = (|i| Got::Ping(vec![i; 125]), Got::Pong(vec![]));
        assert_eq!(
            end.events(&bytes),
            [
                ping(0),
                pong.clone(),
                ping(1),
                pong.clone(),
                ping(2),
                pong.clone(),
                Got::Binary(b"abc".into()),
                ping(3),
                pong
            ]
        );
        assert_eq!(end.sent_frames().len(), 4);
    });
}

/// a Close in the middle of a message is honoured; what there is of the message is dropped.
#[test]
fn a_close_inside_a_message() {
    each_role(|role| {
        let peer = other(role);
        let mut end = End::new(role, &Config::new());
        let mut bytes = fragment(peer, false, Opcode::Text, b"a");
        bytes.extend(close_frame(peer, 1000, ""));
        bytes.extend(fragment(peer, true, Opcode::Continuation, b"b"));
        assert_eq!(end.events(&bytes), [Got::Close(Some((1000, String::new())))]);
        assert_eq!(end.conn.state(), State::Closing);
        let frames = end.sent_frames();
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].payload, 1000_u16.to_be_bytes());
        assert!(end.rx.is_idle(), "nothing of the message is kept");
    });
}

/// F-21 and a violation: the events come first, in order, then the error.
#[test]
fn a_violation_after_fragments_and_a_ping() {
    each_role(|role| {
        let peer = other(role);
        let mut bytes = frame(peer, Opcode::Text, b"whole");
        bytes.extend(fragment(peer, false, Opcode::Text, b"part"));
        bytes.extend(frame(peer, Opcode::Ping, b"ping"));
        bytes.extend(frame(peer, Opcode::Text, b"wrong"));
        let mut end = End::new(role, &Config::new());
        let (events, result) = end.receive(&bytes);
        assert_eq!(events, [Got::Text("whole".into()), Got::Ping(b"ping".into())]);
        assert_eq!(result, Err(ProtocolError::UnfinishedMessage));
        let opcodes: Vec<_> = end.sent_frames().iter().map(|frame| frame.kind()).collect();
        assert_eq!(opcodes, [Opcode::Pong, Opcode::Close]);
    });
}

/// Fragments in every relation to the edges of the receive buffer.
#[test]
fn large_fragments_are_assembled_in_order() {
    each_role(|role| {
        for size in [1000, 4095, 16_384, 40_000] {
            let parts: Vec<Vec<u8>> = (0..10).map(|i| vec![i; size + usize::from(i)]).collect();
            let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let bytes = fragments(other(role), Opcode::Binary, &slices).concat();
            for step in [977, 4096, 16_384, bytes.len()] {
                let mut end = End::new(role, &Config::new());
                let events: Vec<_> =
                    bytes.chunks(step).flat_map(|piece| end.events(piece)).collect();
                assert_eq!(events, [Got::Binary(parts.concat())], "{size} by {step}");
            }
        }
    });
}

/// F-27: the cost is in bytes, not in fragments: 1 MiB in single bytes, with control frames between
/// them, needs about 1 MiB, and time in proportion.
#[test]
fn many_fragments_cost_no_more_than_their_bytes() {
    const LEN: usize = 100_000;
    each_role(|role| {
        let peer = other(role);
        let mut end = End::new(role, &Config::new());
        assert_eq!(end.events(&fragment(peer, false, Opcode::Binary, b"")), []);
        let piece = fragment(peer, false, Opcode::Continuation, b"x").repeat(100);
        let ping = frame(peer, Opcode::Pong, &[0; 125]);
        for _ in 0..LEN / 100 {
            assert_eq!(end.events(&piece), []);
            assert_eq!(end.events(&ping).len(), 1);
        }
        assert!(end.rx.capacity() <= 2 * LEN + 2 * 16_384, "{:?}", end.rx);
        let events = end.events(&fragment(peer, true, Opcode::Continuation, b"x"));
        assert_eq!(events, [Got::Binary(vec![b'x'; LEN + 1])]);
    });
}

/// Assembling 16 MiB out of 64-byte fragments is linear: it would take minutes otherwise.
#[test]
fn server_assembles_a_large_message_of_small_fragments() {
    const PIECES: usize = 256 * 1024;
    let mut server = End::new(Role::Server, &Config::new().max_fragments(u32::MAX));
    server.events(&fragment(Role::Client, false, Opcode::Binary, b""));
    let piece = fragment(Role::Client, false, Opcode::Continuation, &[5; 64]).repeat(256);
    for _ in 0..PIECES / 256 {
        assert_eq!(server.events(&piece), []);
    }
    let events = server.events(&fragment(Role::Client, true, Opcode::Continuation, b""));
    let [Got::Binary(message)] = &events[..] else { panic!("{} events", events.len()) };
    assert_eq!(message.len(), PIECES * 64);
    assert!(message.iter().all(|byte| *byte == 5));
}

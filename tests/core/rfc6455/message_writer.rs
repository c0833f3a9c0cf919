//! §5.4 and §6.1: messages that we send in fragments.

use sansws::proto::{MessageKind, MessageRef, SendError};
use sansws::wire::Opcode;
use sansws::{CloseCode, Config, PreparedMessage};

use sansws_test::pair::*;

/// What matters of a frame: opcode, FIN, payload.
fn shapes(end: &mut End) -> Vec<(Opcode, bool, Vec<u8>)> {
    let frames = end.sent_frames();
    assert!(frames.iter().all(|f| !f.rsv1));
    frames.into_iter().map(|f| (f.kind(), f.fin, f.payload)).collect()
}

/// F-28: the opcode on the first frame, FIN on the last.
#[test]
fn opcode_first_and_fin_last() {
    each_role(|role| {
        for (kind, opcode) in
            [(MessageKind::Text, Opcode::Text), (MessageKind::Binary, Opcode::Binary)]
        {
            let mut end = End::new(role, &Config::new());
            let mut writer = end.conn.start_message(kind).unwrap();
            writer.write(&mut end.tx, b"a").unwrap();
            writer.write(&mut end.tx, b"bc").unwrap();
            writer.finish(&mut end.tx, b"d").unwrap();
            assert_eq!(
                shapes(&mut end),
                [
                    (opcode, false, b"a".to_vec()),
                    (Opcode::Continuation, false, b"bc".to_vec()),
                    (Opcode::Continuation, true, b"d".to_vec())
                ]
            );
        }
    });
}

/// A message that turns out to have one fragment, or nothing in it, is one frame.
#[test]
fn one_fragment_is_a_whole_message() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        for payload in [&b""[..], b"all"] {
            let mut writer = end.conn.start_message(MessageKind::Text).unwrap();
            writer.write(&mut end.tx, b"").unwrap();
            writer.finish(&mut end.tx, payload).unwrap();
            assert_eq!(shapes(&mut end), [(Opcode::Text, true, payload.to_vec())]);
        }
    });
}

/// Nothing is written until there is something to say.
#[test]
fn starting_writes_nothing() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        end.conn.start_message(MessageKind::Text).unwrap();
        assert!(end.tx.is_empty());
        end.conn.resume_message().unwrap().write(&mut end.tx, b"").unwrap();
        assert!(end.tx.is_empty());
    });
}

/// F-20: our own messages do not mix; control frames may come between.
#[test]
fn only_control_frames_pass_an_unfinished_message() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        let (conn, tx) = (&mut end.conn, &mut end.tx);
        assert_eq!(conn.resume_message().unwrap_err(), SendError::NoMessage);
        conn.start_message(MessageKind::Text).unwrap().write(tx, b"a").unwrap();
        let unsent = tx.len();
        let refused = Err(SendError::MessageUnfinished);
        assert_eq!(conn.feed(tx, "text"), refused);
        assert_eq!(conn.feed(tx, b"binary"), refused);
        assert_eq!(conn.feed(tx, &PreparedMessage::new("text").unwrap()), refused);
        assert_eq!(conn.start_message(MessageKind::Text).map(|_| ()), refused);
        assert_eq!(tx.len(), unsent);

        conn.feed(tx, MessageRef::ping(b"1")).unwrap();
        let ping = PreparedMessage::new(MessageRef::ping(b"2")).unwrap();
        conn.feed(tx, &ping).unwrap();
        conn.feed(tx, MessageRef::pong(b"3")).unwrap();
        conn.resume_message().unwrap().finish(tx, b"b").unwrap();
        assert_eq!(conn.resume_message().unwrap_err(), SendError::NoMessage);
        conn.feed(tx, "text").unwrap();
        let opcodes: Vec<_> = shapes(&mut end).into_iter().map(|(opcode, ..)| opcode).collect();
        assert_eq!(
            opcodes,
            [
                Opcode::Text,
                Opcode::Ping,
                Opcode::Ping,
                Opcode::Pong,
                Opcode::Continuation,
                Opcode::Text
            ]
        );
    });
}

/// U-1, U-11: a fragment may end inside a code point, the message may not.
#[test]
fn text_in_fragments_is_utf8() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        let mut writer = end.conn.start_message(MessageKind::Text).unwrap();
        writer.write(&mut end.tx, b"\xce").unwrap();
        assert_eq!(writer.write(&mut end.tx, b"\xce"), Err(SendError::InvalidUtf8));
        assert_eq!(writer.write(&mut end.tx, b"\xffmore"), Err(SendError::InvalidUtf8));
        assert_eq!(writer.finish(&mut end.tx, b""), Err(SendError::InvalidUtf8));
        // the message can go on as if nothing had been tried
        end.conn.resume_message().unwrap().finish(&mut end.tx, b"\xba").unwrap();
        assert_eq!(
            shapes(&mut end),
            [(Opcode::Text, false, vec![0xce]), (Opcode::Continuation, true, vec![0xba])]
        );
        // U-12: and the next one starts from nothing
        let writer = end.conn.start_message(MessageKind::Text).unwrap();
        assert_eq!(writer.finish(&mut end.tx, b"\xba"), Err(SendError::InvalidUtf8));
    });
}

/// U-10
#[test]
fn binary_in_fragments_is_anything() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        let mut writer = end.conn.start_message(MessageKind::Binary).unwrap();
        writer.write(&mut end.tx, b"\xff").unwrap();
        writer.finish(&mut end.tx, b"\xce").unwrap();
        assert_eq!(shapes(&mut end).len(), 2);
    });
}

/// Each fragment is taken or refused as a message is.
#[test]
fn a_full_buffer_stops_the_writer_between_fragments() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new().max_unsent(10));
        let mut writer = end.conn.start_message(MessageKind::Binary).unwrap();
        writer.write(&mut end.tx, &[1; 20]).unwrap();
        assert!(matches!(writer.write(&mut end.tx, b"x"), Err(SendError::BufferFull { .. })));
        assert!(matches!(writer.finish(&mut end.tx, b"x"), Err(SendError::BufferFull { .. })));
        assert_eq!(shapes(&mut end), [(Opcode::Binary, false, vec![1; 20])]);
        end.conn.resume_message().unwrap().finish(&mut end.tx, b"x").unwrap();
        assert_eq!(shapes(&mut end), [(Opcode::Continuation, true, b"x".to_vec())]);
    });
}

/// a Close may come between fragments; then the message is never finished, and each
/// frame on the wire is whole.
#[test]
fn a_close_ends_an_unfinished_message() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        let mut writer = end.conn.start_message(MessageKind::Text).unwrap();
        writer.write(&mut end.tx, b"a").unwrap();
        end.conn.close(&mut end.tx, Some(CloseCode::GOING_AWAY.into())).unwrap();
        assert_eq!(end.conn.resume_message().unwrap_err(), SendError::NotOpen);
        let shapes = shapes(&mut end);
        assert_eq!(shapes.len(), 2);
        assert_eq!(shapes[1], (Opcode::Close, true, 1001_u16.to_be_bytes().to_vec()));

        // and the peer makes sense of it
        let mut peer = End::new(other(role), &Config::new());
        let mut bytes = fragment(role, false, Opcode::Text, b"a");
        bytes.extend(close_frame(role, 1001, ""));
        assert_eq!(peer.events(&bytes), [Got::Close(Some((1001, String::new())))]);
    });
}

/// the peer's Close while our message is unfinished is answered, and the message is over.
#[test]
fn the_peers_close_ends_an_unfinished_message() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        let mut writer = end.conn.start_message(MessageKind::Text).unwrap();
        writer.write(&mut end.tx, b"a").unwrap();
        end.events(&close_frame(other(role), 1000, ""));
        assert_eq!(end.conn.resume_message().unwrap_err(), SendError::NotOpen);
        let opcodes: Vec<_> = shapes(&mut end).into_iter().map(|(opcode, ..)| opcode).collect();
        assert_eq!(opcodes, [Opcode::Text, Opcode::Close]);
    });
}

/// F-18: what the writer sends, the other end assembles.
#[test]
fn fragments_arrive_as_one_message() {
    let mut pair = Pair::new();
    let text = "κόσμε".as_bytes();
    for end in [&mut pair.client, &mut pair.server] {
        let mut writer = end.conn.start_message(MessageKind::Text).unwrap();
        for byte in text {
            writer.write(&mut end.tx, &[*byte]).unwrap();
        }
        writer.finish(&mut end.tx, b"").unwrap();
    }
    let expected = vec![Got::Text("κόσμε".into())];
    assert_eq!(pair.drive(), (expected.clone(), expected));
}

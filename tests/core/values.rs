//! Messages and events as values: however they are looked at, it is the same payload.

use std::borrow::Cow;

use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::bytes::Bytes;
use sansws::proto::{Connection, Initiator, MessageRef, Role};
use sansws::wire::{FrameHeader, Opcode};
use sansws::{CloseCode, CloseFrame, Config, Event, Message, PreparedMessage, Utf8Bytes};

use sansws_test::pair::{End, each_role, frame, other};

/// What an end receives of one frame.
fn received(role: Role, opcode: Opcode, payload: &[u8], look: impl FnOnce(Event<'_>)) {
    let mut end = End::new(role, &Config::new());
    end.rx.extend_from_slice(&frame(other(role), opcode, payload));
    look(end.poll().unwrap().unwrap());
}

#[test]
fn texts() {
    each_role(|role| {
        received(role, Opcode::Text, "h\u{e9}".as_bytes(), |event| {
            let Event::Text(text) = event else { panic!("{event:?}") };
            assert!(text == *"h\u{e9}" && text == "h\u{e9}" && text != *"h" && text != "h");
            assert_eq!(AsRef::<str>::as_ref(&text), "h\u{e9}");
            assert_eq!(AsRef::<[u8]>::as_ref(&text), "h\u{e9}".as_bytes());
            assert_eq!(format!("{text} {text:?}"), "h\u{e9} \"h\u{e9}\"");
            assert_eq!(text.as_str(), "h\u{e9}");
            assert_eq!(text.into_str(), "h\u{e9}");
        });
    });
}

#[test]
fn binaries() {
    each_role(|role| {
        received(role, Opcode::Binary, b"\x01\xff", |event| {
            let Event::Binary(binary) = event else { panic!("{event:?}") };
            assert!(binary == *b"\x01\xff".as_slice() && binary == b"\x01\xff".as_slice());
            assert!(binary != *b"".as_slice() && binary != b"".as_slice());
            assert_eq!(AsRef::<[u8]>::as_ref(&binary), b"\x01\xff");
            assert_eq!(format!("{binary:?}"), "[1, 255]");
            assert_eq!(binary.as_slice(), b"\x01\xff");
            assert_eq!(binary.into_slice(), b"\x01\xff");
        });
    });
}

#[test]
fn messages() {
    let fixed = Utf8Bytes::from_static("h\u{e9}");
    assert_eq!(Utf8Bytes::from(Cow::Owned::<str>("h\u{e9}".into())), fixed);
    assert!(fixed == "h\u{e9}" && fixed != "h" && fixed != *"h");
    assert_eq!(AsRef::<str>::as_ref(&fixed), "h\u{e9}");
    assert_eq!(AsRef::<[u8]>::as_ref(&fixed), "h\u{e9}".as_bytes());
    assert_eq!(format!("{fixed:?}"), "\"h\u{e9}\"");
    let text = Message::from(fixed);
    assert_eq!((text.len(), text.is_empty(), text.as_text()), (3, false, Some("h\u{e9}")));
    assert_eq!(text.as_ref(), text.as_bytes());
    let binary = Message::from(Bytes::new());
    assert_eq!((binary.len(), binary.is_empty(), binary.as_text()), (0, true, None));
}

/// What is to be sent says what it is, whoever owns it.
#[test]
fn messages_to_be_sent() {
    let prepared = PreparedMessage::new("h\u{e9}").unwrap();
    let owned = Message::from("h\u{e9}");
    let messages: [(MessageRef<'_>, Opcode, &[u8]); 5] = [
        ((&prepared).into(), Opcode::Text, "h\u{e9}".as_bytes()),
        ((&owned).into(), Opcode::Text, "h\u{e9}".as_bytes()),
        (Bytes::from_static(b"\x01").into(), Opcode::Binary, b"\x01"),
        (MessageRef::ping(b"1"), Opcode::Ping, b"1"),
        (MessageRef::pong(b"2"), Opcode::Pong, b"2"),
    ];
    for (message, opcode, payload) in messages {
        assert_eq!((message.opcode(), message.payload()), (opcode, payload));
    }
}

/// §5.2: a header is the bytes that it becomes.
#[test]
fn headers() {
    let header = FrameHeader::new(Opcode::Text, 5, None).encode();
    assert_eq!(header.as_ref(), [0x81, 5]);
}

/// How it closed can be kept longer than the connection.
#[test]
fn close_info() {
    each_role(|role| {
        let config = Config::new();
        let mut connection = match role {
            Role::Server => Connection::server(&config),
            Role::Client => Connection::client(&config, [7; 32]),
        };
        let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
        rx.extend_from_slice(&frame(other(role), Opcode::Close, b"\x03\xe9bye"));
        let close = CloseFrame { code: CloseCode::GOING_AWAY, reason: "bye" };
        let event = connection.poll_event(&mut rx, &mut tx);
        assert!(matches!(event, Ok(Some(Event::Close(Some(it)))) if it == close));
        let info = connection.close_info().unwrap().into_owned();
        assert_eq!(Some(info.clone()), connection.close_info());
        drop(connection);
        assert_eq!((info.code, &*info.reason, info.initiator), (1001, "bye", Initiator::Peer));
        assert!(info.clean && info.sent_code == Some(CloseCode::GOING_AWAY));
    });
}

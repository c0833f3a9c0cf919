//! §6, sending and receiving data.

use sansws::bytes::{Buf, Bytes};
use sansws::proto::{MessageKind, MessageRef, Role, SendError};
use sansws::wire::Opcode;
use sansws::{Config, Event, Message, ProtocolError, Utf8Bytes};

use sansws_test::pair::*;

/// F-24, F-28: each message one frame with FIN, and the same message at the other end.
#[test]
fn messages_arrive_as_they_were_sent() {
    let texts = ["", "Hello", "κόσμε 𐍈", &"long ".repeat(20_000)];
    let binaries: [&[u8]; 4] = [b"", &[0xff, 0xfe, 0], &[1; 126], &[2; 70_000]];
    let mut pair = Pair::new();
    for text in texts {
        pair.client.conn.feed(&mut pair.client.tx, text).unwrap();
        pair.server.conn.feed(&mut pair.server.tx, text).unwrap();
    }
    for binary in binaries {
        pair.client.conn.feed(&mut pair.client.tx, binary).unwrap();
        pair.server.conn.feed(&mut pair.server.tx, binary).unwrap();
    }
    let expected: Vec<_> = texts
        .iter()
        .map(|text| Got::Text(text.to_string()))
        .chain(binaries.iter().map(|binary| Got::Binary(binary.to_vec())))
        .collect();
    assert_eq!(pair.drive(), (expected.clone(), expected));
}

/// Whatever a message is made of, and whether it is borrowed or owned, the frame is the same.
#[test]
fn every_kind_of_argument() {
    each_role(|role| {
        let sent = |message: MessageRef<'_>| {
            let mut end = End::new(role, &Config::new());
            end.conn.feed(&mut end.tx, message).unwrap();
            let frame = end.sent_frames().remove(0);
            assert!(frame.fin);
            (frame.kind(), frame.payload)
        };
        for len in [0, 1, 125, 126, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 70_000] {
            let text = "x".repeat(len);
            let expected = (Opcode::Text, text.clone().into_bytes());
            assert_eq!(sent(text.as_str().into()), expected);
            assert_eq!(sent((&text).into()), expected);
            assert_eq!(sent(text.clone().into()), expected);
            assert_eq!(sent(Utf8Bytes::from(text.as_str()).into()), expected);
            assert_eq!(sent(Message::from(text.clone()).into()), expected);
            assert_eq!(sent((&Message::from(text.as_str())).into()), expected);

            let binary = vec![7; len];
            let expected = (Opcode::Binary, binary.clone());
            assert_eq!(sent(binary.as_slice().into()), expected);
            assert_eq!(sent((&binary).into()), expected);
            assert_eq!(sent(binary.clone().into()), expected);
            assert_eq!(sent(Bytes::from(binary.clone()).into()), expected);
            assert_eq!(sent(Message::from(binary.as_slice()).into()), expected);
            assert_eq!(sent((&Message::from(binary.clone())).into()), expected);
        }
        assert_eq!(sent(b"array".into()), (Opcode::Binary, b"array".to_vec()));
    });
}

/// An echo: the event borrows the receive buffer only.
#[test]
fn an_event_can_be_answered_while_it_is_held() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        end.rx.extend_from_slice(&frame(other(role), Opcode::Text, b"text"));
        end.rx.extend_from_slice(&frame(other(role), Opcode::Binary, b"binary"));
        while let Some(event) = end.conn.poll_event(&mut end.rx, &mut end.tx).unwrap() {
            end.conn.feed(&mut end.tx, event.as_message_ref().unwrap()).unwrap();
            match event {
                Event::Text(text) => end.conn.feed(&mut end.tx, &text).unwrap(),
                Event::Binary(binary) => end.conn.feed(&mut end.tx, &binary).unwrap(),
                other => panic!("{other:?}"),
            }
        }
        let frames = end.sent_frames();
        let payloads: Vec<_> = frames.iter().map(|frame| &frame.payload[..]).collect();
        assert_eq!(payloads, [&b"text"[..], b"text", b"binary", b"binary"]);
    });
}

/// Events made owned: equal to what was borrowed, and independent of the buffer.
#[test]
fn events_can_be_owned() {
    each_role(|role| {
        for len in [0, 10, 4095, 4096, 20_000, 100_000] {
            let mut end = End::new(role, &Config::new());
            let text = "t".repeat(len);
            end.rx.extend_from_slice(&frame(other(role), Opcode::Text, text.as_bytes()));
            end.rx.extend_from_slice(&frame(other(role), Opcode::Binary, text.as_bytes()));
            end.rx.extend_from_slice(&frame(other(role), Opcode::Ping, b"behind"));
            let first = end.conn.poll_event(&mut end.rx, &mut end.tx).unwrap().unwrap();
            let first = first.into_message().unwrap();
            let second = end.conn.poll_event(&mut end.rx, &mut end.tx).unwrap().unwrap();
            let second = second.into_message().unwrap();
            assert_eq!(end.events(b""), [Got::Ping(b"behind".into())]);
            end.rx.extend_from_slice(&[0xee; 1000]);
            assert_eq!(first, Message::Text(text.as_str().into()));
            assert_eq!(second, Message::Binary(text.into_bytes().into()));
        }
    });
}

/// A large message is handed over where it lies; a small one is copied out.
#[test]
fn large_messages_are_not_copied() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        for (len, copied) in [(100, true), (4000, true), (50_000, false), (2_000_000, false)] {
            end.rx.extend_from_slice(&frame(other(role), Opcode::Text, &vec![b't'; len]));
            let event = end.conn.poll_event(&mut end.rx, &mut end.tx).unwrap();
            let Some(Event::Text(text)) = event else { panic!("no text") };
            let at = text.as_ptr();
            let owned = text.into_owned();
            assert_eq!(owned.len(), len);
            assert_eq!(owned.as_ptr() != at, copied, "{len} bytes");
        }
    });
}

/// A message is taken while fewer bytes than the limit wait, then none is; nothing is written
/// for a refused one, and there is room again when the buffer has been sent.
#[test]
fn a_full_send_buffer_refuses_messages() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new().max_unsent(1000));
        let mut accepted = 0;
        let error = loop {
            match end.conn.feed(&mut end.tx, &[0; 100]) {
                Ok(()) => accepted += 1,
                Err(error) => break error,
            }
        };
        let unsent = end.tx.len();
        assert_eq!(error, SendError::BufferFull { unsent, limit: 1000 });
        assert!((1000..1200).contains(&unsent));
        assert_eq!(end.conn.feed(&mut end.tx, MessageRef::ping(b"")), Err(error));
        assert_eq!(end.conn.feed(&mut end.tx, Bytes::from(vec![0; 50_000])), Err(error));
        assert_eq!(end.tx.len(), unsent);

        end.tx.advance(unsent - 999);
        end.conn.feed(&mut end.tx, "one more").unwrap();
        assert!(end.conn.feed(&mut end.tx, "too many").is_err());
        end.tx.advance(end.tx.remaining());
        end.conn.feed(&mut end.tx, "again").unwrap();
        assert_eq!(end.sent_frames().len(), 1);
        assert_eq!(accepted, unsent.div_ceil(100 + if role == Role::Client { 6 } else { 2 }));
    });
}

/// The limit itself is full, one byte less is not.
#[test]
fn the_limit_on_unsent_bytes_is_exact() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        end.conn.feed(&mut end.tx, "12345").unwrap();
        let limit = end.tx.len();
        for (limit, taken) in [(limit, false), (limit + 1, true)] {
            let mut end = End::new(role, &Config::new().max_unsent(limit));
            end.conn.feed(&mut end.tx, "12345").unwrap();
            assert_eq!(end.conn.feed(&mut end.tx, "x").is_ok(), taken);
        }
    });
}

/// From 16 KiB on a server refers to an owned payload; below, and on a client always, it is copied.
#[test]
fn large_owned_payloads_are_queued_by_reference() {
    for (len, referenced) in [(16 * 1024 - 1, false), (16 * 1024, true)] {
        each_role(|role| {
            let payload = Bytes::from(vec![1; len]);
            let mut end = End::new(role, &Config::new());
            end.conn.feed(&mut end.tx, payload.clone()).unwrap();
            let mut chunks = Vec::new();
            while let Some(chunk) = end.tx.take_chunk() {
                chunks.push(chunk);
            }
            let found = chunks.iter().any(|chunk| chunk.as_ptr() == payload.as_ptr());
            assert_eq!(found, referenced && role == Role::Server);
        });
    }
}

/// Any one message can be sent, however large, if the buffer is empty.
#[test]
fn one_large_message_is_always_taken() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new().max_unsent(1));
        end.conn.feed(&mut end.tx, vec![0; 5_000_000].as_slice()).unwrap();
        let unsent = end.tx.len();
        let error = SendError::BufferFull { unsent, limit: 1 };
        assert_eq!(end.conn.feed(&mut end.tx, "x"), Err(error));
    });
}

/// An echo to a peer that never reads is bounded.
#[test]
fn an_echo_to_a_peer_that_never_reads_is_bounded() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        let message = frame(other(role), Opcode::Text, &[b'x'; 1000]);
        let mut refused = 0;
        for _ in 0..10_000 {
            end.rx.extend_from_slice(&message);
            while let Some(event) = end.conn.poll_event(&mut end.rx, &mut end.tx).unwrap() {
                refused += usize::from(
                    end.conn.feed(&mut end.tx, event.as_message_ref().unwrap()).is_err(),
                );
            }
        }
        assert!(refused > 8000);
        assert!(end.tx.len() < 1024 * 1024 + 1100, "{} bytes wait", end.tx.len());
        assert!(end.tx.capacity() <= 4 * 1024 * 1024);
    });
}

/// U-11: text that is sent is a string; owned bytes become one only through a check.
#[test]
fn text_is_checked_before_it_is_sent() {
    assert!(Utf8Bytes::try_from(Bytes::from_static(b"\xff")).is_err());
    let text = Utf8Bytes::try_from(Bytes::from_static("κ".as_bytes())).unwrap();
    assert_eq!(text, "κ");
    assert_eq!(text.into_bytes(), "κ".as_bytes());
}

/// nothing is taken when the connection is closing, and that comes before any other reason.
#[test]
fn nothing_is_sent_on_a_closing_connection() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new().max_unsent(1));
        end.conn.feed(&mut end.tx, "fills the buffer").unwrap();
        end.conn.close(&mut end.tx, None).unwrap();
        let unsent = end.tx.len();
        let too_long = [0; 126];
        assert_eq!(end.conn.feed(&mut end.tx, "x"), Err(SendError::NotOpen));
        assert_eq!(
            end.conn.feed(&mut end.tx, MessageRef::ping(&too_long)),
            Err(SendError::NotOpen)
        );
        assert_eq!(end.conn.start_message(MessageKind::Text).unwrap_err(), SendError::NotOpen);
        assert_eq!(end.conn.resume_message().unwrap_err(), SendError::NotOpen);
        assert_eq!(end.tx.len(), unsent);
    });
}

/// errors are of a kind that can be told, with a text that says what to do.
#[test]
fn errors_say_what_to_do() {
    let full = SendError::BufferFull { unsent: 2000, limit: 1000 }.to_string();
    assert!(full.contains("2000") && full.contains("1000") && full.contains("max_unsent"));
    assert!(SendError::ControlTooLong { len: 126 }.to_string().contains("126"));
    assert!(SendError::ReasonTooLong { len: 124 }.to_string().contains("123"));
    let too_big = ProtocolError::MessageTooBig { announced: 11, limit: 10 }.to_string();
    assert!(too_big.contains("11") && too_big.contains("10"));
}

/// §6.2: a reader that claims more than it was given is not believed.
#[test]
fn reading_into_the_buffer() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        let bytes = frame(other(role), Opcode::Text, b"Hello");
        let space = end.rx.space();
        assert!(space.len() >= 2048);
        let len = space.len();
        space[..bytes.len()].copy_from_slice(&bytes);
        space[bytes.len()..].fill(0x83);
        end.rx.commit(usize::MAX);
        let (events, result) = end.receive(b"");
        assert_eq!(events, [Got::Text("Hello".into())]);
        assert_eq!(result, Err(ProtocolError::ReservedOpcode(3)), "what is behind was read too");
        assert!(len <= end.rx.capacity());
    });
}

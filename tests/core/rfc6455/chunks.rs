//! `poll_chunk`: messages delivered as they arrive.

use sansws::proto::MessageKind;
use sansws::wire::Opcode;
use sansws::{Config, ProtocolError};

use sansws_test::pair::*;

fn config() -> Setting {
    Config::new().delivery(Delivery::Chunks)
}

fn chunk(kind: MessageKind, first: bool, last: bool, payload: &[u8]) -> Got {
    Got::Chunk { kind, first, last, payload: payload.to_vec() }
}

/// A message that is there whole is one chunk.
#[test]
fn a_whole_message_is_one_chunk() {
    each_role(|role| {
        let mut end = End::new(role, config());
        let text = frame(other(role), Opcode::Text, b"Hello");
        let binary = frame(other(role), Opcode::Binary, &[7; 300]);
        assert_eq!(
            end.events(&[text, binary].concat()),
            [
                chunk(MessageKind::Text, true, true, b"Hello"),
                chunk(MessageKind::Binary, true, true, &[7; 300])
            ]
        );
        assert!(end.rx.is_idle());
    });
}

/// The receiving half delivers them too, and tells what is owed in between.
#[test]
fn a_half_delivers_chunks() {
    each_role(|role| {
        let End { conn, mut rx, .. } = End::new(role, &Config::new());
        let (mut receiver, _) = conn.split();
        let bytes = [
            fragment(other(role), false, Opcode::Text, b"a"),
            frame(other(role), Opcode::Ping, b"?"),
        ];
        rx.extend_from_slice(&bytes.concat());
        let (event, reply) = receiver.poll_chunk(&mut rx).unwrap().unwrap();
        assert_eq!(Got::from(event), chunk(MessageKind::Text, true, false, b"a"));
        assert!(reply.is_none());
        let (event, reply) = receiver.poll_chunk(&mut rx).unwrap().unwrap();
        assert_eq!(Got::from(event), Got::Ping(b"?".into()));
        assert!(!reply.is_none());
        assert!(receiver.poll_chunk(&mut rx).unwrap().is_none());
    });
}

/// F-26: an empty message is one empty chunk.
#[test]
fn an_empty_message_is_one_empty_chunk() {
    each_role(|role| {
        let mut end = End::new(role, config());
        let expected = [chunk(MessageKind::Text, true, true, b"")];
        assert_eq!(end.events(&frame(other(role), Opcode::Text, b"")), expected);
        let mut bytes = fragment(other(role), false, Opcode::Text, b"");
        bytes.extend(fragment(other(role), false, Opcode::Continuation, b""));
        bytes.extend(fragment(other(role), true, Opcode::Continuation, b""));
        assert_eq!(end.events(&bytes), expected);
    });
}

/// F-24: chunks come as bytes do; none is empty but perhaps the last.
#[test]
fn chunks_come_as_bytes_do() {
    use MessageKind::Text;
    each_role(|role| {
        let peer = other(role);
        let mut end = End::new(role, config());
        let bytes = fragment(peer, false, Opcode::Text, b"abcd");
        let header = bytes.len() - 4;
        assert_eq!(end.events(&bytes[..header]), []);
        assert_eq!(end.events(&bytes[header..][..1]), [chunk(Text, true, false, b"a")]);
        assert_eq!(end.events(&bytes[header + 1..]), [chunk(Text, false, false, b"bcd")]);
        assert_eq!(end.events(&fragment(peer, false, Opcode::Continuation, b"")), []);
        assert_eq!(end.events(&frame(peer, Opcode::Ping, b"p")), [Got::Ping(b"p".into())]);
        assert_eq!(
            end.events(&fragment(peer, false, Opcode::Continuation, b"e")),
            [chunk(Text, false, false, b"e")]
        );
        assert_eq!(
            end.events(&fragment(peer, true, Opcode::Continuation, b"")),
            [chunk(Text, false, true, b"")]
        );
        assert_eq!(
            end.events(&frame(peer, Opcode::Text, b"next")),
            [chunk(Text, true, true, b"next")]
        );
    });
}

/// F-8, U-1: byte by byte, unmasked across reads, cut inside code points.
#[test]
fn byte_by_byte() {
    let text = "κόσμε 𐍈";
    each_role(|role| {
        let mut end = End::new(role, config());
        let mut received = Vec::new();
        for byte in frame(other(role), Opcode::Text, text.as_bytes()) {
            for got in end.events(&[byte]) {
                let Got::Chunk { kind: MessageKind::Text, first, last, payload } = got else {
                    panic!("{got:?}")
                };
                assert_eq!(payload.len(), 1);
                assert_eq!(first, received.is_empty());
                received.extend(payload);
                assert_eq!(last, received.len() == text.len());
            }
        }
        assert_eq!(received, text.as_bytes());
    });
}

/// U-2: what is delivered is the beginning of valid UTF-8, always.
#[test]
fn invalid_text_is_not_delivered() {
    each_role(|role| {
        let bytes = frame(other(role), Opcode::Text, b"abc\xff");
        let mut end = End::new(role, config());
        let events = end.assert_fails(&bytes, ProtocolError::InvalidUtf8);
        assert_eq!(events, [], "the piece with the invalid byte is not delivered");

        let mut end = End::new(role, config());
        let (head, last) = bytes.split_at(bytes.len() - 1);
        assert_eq!(end.events(head), [chunk(MessageKind::Text, true, false, b"abc")]);
        end.assert_fails(last, ProtocolError::InvalidUtf8);
    });
}

/// F-14: a message far larger than memory; what is held does not grow with it.
#[cfg(target_pointer_width = "64")] // elsewhere no message is longer than 4 GiB
#[test]
fn a_message_larger_than_memory() {
    let config = Config::new().max_message_len(usize::MAX).delivery(Delivery::Chunks);
    each_role(|role| {
        let mut end = End::new(role, &config);
        let mut field = vec![127];
        field.extend((1_u64 << 62).to_be_bytes());
        assert_eq!(end.events(&raw_header(other(role), 0x82, &field)), []);
        for i in 0..1000 {
            end.rx.extend_from_slice(&[0; 10_000]);
            let event = end.poll().unwrap().unwrap();
            let Got::Chunk { first, last, payload, .. } = event.into() else { panic!("no chunk") };
            assert_eq!((first, last, payload.len()), (i == 0, false, 10_000));
        }
        assert!(end.rx.capacity() <= 64 * 1024, "{:?}", end.rx);
    });
}

/// Where control frames and violations come in is the same as for whole messages.
#[test]
fn a_violation_after_a_chunk() {
    each_role(|role| {
        let peer = other(role);
        let mut bytes = fragment(peer, false, Opcode::Binary, b"part");
        bytes.extend(frame(peer, Opcode::Ping, b"ping"));
        bytes.extend(frame(peer, Opcode::Binary, b"wrong"));
        let mut end = End::new(role, config());
        let (events, result) = end.receive(&bytes);
        let first = chunk(MessageKind::Binary, true, false, b"part");
        assert_eq!(events, [first, Got::Ping(b"ping".into())]);
        assert_eq!(result, Err(ProtocolError::UnfinishedMessage));
        assert_eq!(end.sent_frames().len(), 2);
    });
}

/// a Close in the middle of a message: the last chunk never comes.
#[test]
fn a_close_inside_a_message() {
    each_role(|role| {
        let peer = other(role);
        let mut bytes = fragment(peer, false, Opcode::Binary, b"part");
        bytes.extend(frame(peer, Opcode::Close, b""));
        bytes.extend(fragment(peer, true, Opcode::Continuation, b"rest"));
        let mut end = End::new(role, config());
        let first = chunk(MessageKind::Binary, true, false, b"part");
        assert_eq!(end.events(&bytes), [first, Got::Close(None)]);
    });
}

/// Chunks are no messages that could be sent on as such.
#[test]
fn a_chunk_is_not_a_message() {
    each_role(|role| {
        let mut end = End::new(role, config());
        end.rx.extend_from_slice(&frame(other(role), Opcode::Text, b"Hello"));
        let event = end.poll().unwrap().unwrap();
        assert!(event.as_message_ref().is_none());
        assert!(event.into_message().is_none());
    });
}

/// What has arrived of a message that was to be delivered whole is its first chunk, and the message
/// behind it is whole again.
#[test]
fn in_the_middle_of_a_message() {
    each_role(|role| {
        let peer = other(role);
        let mut end = End::new(role, &Config::new());
        let message = frame(peer, Opcode::Text, b"Hello world");
        let (head, tail) = message.split_at(message.len() - 6);
        assert_eq!(end.events(head), []);
        end.delivery = Delivery::Chunks;
        assert_eq!(end.events(b""), [chunk(MessageKind::Text, true, false, b"Hello")]);
        assert_eq!(end.events(b""), []);
        end.delivery = Delivery::Messages;
        assert_eq!(end.events(tail), [chunk(MessageKind::Text, false, true, b" world")]);
        let whole = frame(peer, Opcode::Text, b"Hello");
        assert_eq!(end.events(&whole), [Got::Text("Hello".into())]);
        // one that was found whole, and not taken
        end.rx.extend_from_slice(&whole);
        assert_eq!(end.conn.advance(&mut end.rx, &mut end.tx), Ok(true));
        end.delivery = Delivery::Chunks;
        assert_eq!(end.events(b""), [chunk(MessageKind::Text, true, true, b"Hello")]);
        // asked for in chunks, and none has come: it is delivered whole
        for begin in [2, head.len() - 5] {
            end.delivery = Delivery::Messages;
            assert_eq!(end.events(&head[..begin]), []);
            end.delivery = Delivery::Chunks;
            assert_eq!(end.events(b""), []);
            end.delivery = Delivery::Messages;
            let rest = [&head[begin..], tail].concat();
            assert_eq!(end.events(&rest), [Got::Text("Hello world".into())]);
        }
    });
}

//! Messages that are compressed once, for many connections.

use sansws::deflate::{Agreement, Deflate};
use sansws::proto::{MessageRef, Role, SendError};
use sansws::{Config, PreparedMessage};

use crate::rfc7692::support::*;
use sansws_test::inflate::Inflater;
use sansws_test::pair::*;

fn prepared(payload: &[u8]) -> PreparedMessage {
    PreparedMessage::with_deflate(payload, &Deflate::new()).unwrap()
}

/// One piece of memory for all of them.
#[test]
fn compressed_once_and_shared() {
    let text = prose(5000).into_bytes();
    let message = prepared(&text);
    assert_eq!(message.payload(), text);
    let mut memory = Vec::new();
    for no_context_takeover in [true, false] {
        for _ in 0..2 {
            let agreed = agreed(no_context_takeover, 15);
            let mut end = end_with(Role::Server, &Config::new(), agreed, &eager());
            end.conn.feed(&mut end.tx, &message).unwrap();
            let frame = end.tx.take_chunk().unwrap();
            assert!(end.tx.is_empty());
            memory.push(frame.as_ptr());
            let messages = read_messages(&parse_frames(&frame), &mut Inflater::new(15, true));
            assert_eq!(messages, [(true, text.clone())]);
        }
    }
    assert!(memory.iter().all(|it| *it == memory[0]));
}

/// A client masks it.
#[test]
fn from_a_client() {
    let text = prose(5000).into_bytes();
    let message = prepared(&text);
    let mut end = end(Role::Client);
    end.conn.feed(&mut end.tx, &message).unwrap();
    let frames = end.sent_frames();
    assert!(frames[0].mask.is_some());
    assert_eq!(read_messages(&frames, &mut Inflater::new(15, true)), [(true, text)]);
}

/// D-26: with takeover the peer's window has it and the compressor has not; what is compressed
/// behind it is right all the same.
#[test]
fn between_messages_with_takeover() {
    each_role(|role| {
        let mut end = end(role);
        let mut inflater = Inflater::new(15, false);
        for i in 0..20 {
            let text = prose(1000 + i).into_bytes();
            if i % 3 == 1 {
                end.conn.feed(&mut end.tx, &prepared(&text)).unwrap();
            } else {
                end.conn.feed(&mut end.tx, &text).unwrap();
            }
            let messages = read_messages(&end.sent_frames(), &mut inflater);
            assert_eq!(messages, [(true, text)], "message {i}");
        }
    });
}

/// D-24: on a connection with a smaller window it goes plain, so that nobody makes others compress
/// for him alone; a message no longer than the window needs no more than that.
#[test]
fn windows() {
    for bits in 8..=15 {
        for len in [300, 600, 1200, 5000, 40_000] {
            for level in [1, 6] {
                let text = [noise(len / 2), noise(len / 2)].concat();
                let settings = Deflate::new().level(level);
                let message = PreparedMessage::with_deflate(&text, &settings).unwrap();
                let mut end = end_with(Role::Server, &Config::new(), agreed(true, bits), &eager());
                end.conn.feed(&mut end.tx, &message).unwrap();
                let mut inflater = Inflater::new(bits, true);
                let messages = read_messages(&end.sent_frames(), &mut inflater);
                let [(compressed, received)] = &messages[..] else { panic!("{messages:?}") };
                assert!(received == &text);
                let needed = len.next_power_of_two().ilog2().clamp(8, 15);
                assert_eq!(*compressed, needed <= u32::from(bits), "{bits} {len} {level}");
            }
        }
    }
}

/// The threshold is the shortest that is compressed.
#[test]
fn the_threshold() {
    each_role(|role| {
        for (threshold, compressed) in [(299, true), (300, true), (301, false)] {
            let settings = Deflate::new().threshold(threshold);
            let message = PreparedMessage::with_deflate(prose(300), &settings).unwrap();
            let mut end = end(role);
            end.conn.feed(&mut end.tx, &message).unwrap();
            assert_eq!(end.sent_frames()[0].rsv1, compressed, "{threshold}");
        }
    });
}

/// Where nothing was agreed, or nothing is gained, or it is asked for, it goes plain.
#[test]
fn plain() {
    let text = prose(5000).into_bytes();
    let plain = |end: &mut End, message: &PreparedMessage| {
        end.conn.feed(&mut end.tx, message).unwrap();
        let frames = end.sent_frames();
        assert!(!frames[0].rsv1);
        assert_eq!(frames[0].payload, message.payload());
    };
    each_role(|role| {
        plain(&mut End::new(role, &Config::new()), &prepared(&text));
        plain(&mut end(role), &PreparedMessage::new(&text).unwrap());
        plain(&mut end(role), &prepared(&noise(5000)));
        plain(&mut end(role), &prepared(&text[..255]));
        plain(&mut end(role), &prepared(b""));
        let secret = MessageRef::binary(&text).uncompressed();
        plain(&mut end(role), &PreparedMessage::with_deflate(secret, &Deflate::new()).unwrap());
        let ping = MessageRef::ping(&[b'a'; 125]);
        plain(&mut end(role), &PreparedMessage::with_deflate(ping, &eager()).unwrap());
    });
    let ping = MessageRef::ping(&[b'a'; 126]);
    let error = PreparedMessage::with_deflate(ping, &eager()).unwrap_err();
    assert_eq!(error, SendError::ControlTooLong { len: 126 });
}

/// What is refused leaves nothing behind.
#[test]
fn refused() {
    let mut end = end_with(Role::Server, &Config::new().max_unsent(1), Agreement::new(), &eager());
    let message = prepared(&prose(5000).into_bytes());
    end.conn.feed(&mut end.tx, &message).unwrap();
    let unsent = end.tx.len();
    let error = end.conn.feed(&mut end.tx, &message).unwrap_err();
    assert_eq!(error, SendError::BufferFull { unsent, limit: 1 });
    assert_eq!(end.tx.len(), unsent);
}

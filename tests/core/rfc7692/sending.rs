//! Whole messages on their way out: RFC 7692 §6.1, §7.2.1.

use sansws::Config;
use sansws::bytes::Bytes;
use sansws::deflate::{Agreement, Deflate};
use sansws::proto::{MessageRef, Role, SendError};
use sansws::wire::Opcode;

use crate::rfc7692::support::*;
use sansws_test::inflate::Inflater;
use sansws_test::pair::*;

/// What an end with these settings sends for these messages: whether compressed, and how long.
fn sent(end: &mut End, messages: &[&[u8]]) -> Vec<(bool, usize)> {
    messages
        .iter()
        .map(|message| {
            end.conn.feed(&mut end.tx, *message).unwrap();
            let frame = end.sent_frames().remove(0);
            (frame.rsv1, frame.payload.len())
        })
        .collect()
}

/// D-17, D-22: one frame with the bit set, without the tail.
#[test]
fn a_compressed_message() {
    both_ends(|mut end| {
        let text = prose(1000);
        end.conn.feed(&mut end.tx, &text).unwrap();
        let frames = end.sent_frames();
        assert_eq!(frames.len(), 1);
        let frame = &frames[0];
        assert!(frame.fin && frame.rsv1 && frame.kind() == Opcode::Text);
        assert_eq!(frame.mask.is_some(), end.conn.role() == Role::Client);
        assert!(frames[0].payload.len() < 500);
        assert!(!frames[0].payload.ends_with(&[0x00, 0x00, 0xff, 0xff]));
        let mut inflater = Inflater::new(15, false);
        assert_eq!(read_messages(&frames, &mut inflater), [(true, text.into_bytes())]);
    });
}

/// D-25: without takeover every message is compressed as if it were the first.
#[test]
fn takeover_and_none() {
    each_role(|role| {
        let text = prose(1000);
        let text = text.as_bytes();
        let mut end = end_with(role, &Config::new(), agreed(true, 15), &eager());
        let lengths = sent(&mut end, &[text; 3]);
        assert!(lengths[0].0 && lengths.iter().all(|it| *it == lengths[0]), "{lengths:?}");
        let mut end = end_with(role, &Config::new(), agreed(false, 15), &eager());
        let lengths = sent(&mut end, &[text; 3]);
        assert!(lengths[1].1 < lengths[0].1 / 2, "{lengths:?}");
        assert!(lengths[2].1 < lengths[0].1 / 2, "{lengths:?}");
    });
}

/// The two directions have their own parameters.
#[test]
fn each_direction_has_its_own_parameters() {
    let mut agreed = Agreement::new();
    agreed.server_no_context_takeover = true;
    agreed.server_max_window_bits = 9;
    let mut pair = pair(&Config::new(), agreed, &eager());
    let text = noise(600).repeat(2);
    // what is 600 bytes back is out of the server's reach, in a message and between two
    let lengths = sent(&mut pair.server, &[&text, &text]);
    assert_eq!(lengths, [(false, 1200), (false, 1200)]);
    let lengths = sent(&mut pair.client, &[&text, &text]);
    assert!(lengths[0].0 && lengths[0].1 < 700 && lengths[1].1 < 100, "{lengths:?}");
}

/// D-34: below the threshold, and where nothing is gained, messages go plain.
#[test]
fn small_and_incompressible_messages_go_plain() {
    each_role(|role| {
        let mut end = end_with(role, &Config::new(), Agreement::new(), &Deflate::new());
        let text = prose(256);
        let lengths = sent(&mut end, &[b"", &text.as_bytes()[..255], text.as_bytes()]);
        assert_eq!(lengths[..2], [(false, 0), (false, 255)]);
        assert!(lengths[2].0);
        let mut end = end_with(role, &Config::new(), Agreement::new(), &eager());
        for len in [0, 1, 5, 1000, 100_000] {
            let noise = noise(len);
            assert_eq!(sent(&mut end, &[&noise]), [(false, len)]);
            assert!(end.tx.is_empty());
        }
    });
}

/// D-20: what went plain is not in the peer's window, so nothing compressed refers to it.
#[test]
fn plain_messages_are_not_referred_to() {
    each_role(|role| {
        for no_context_takeover in [false, true] {
            let agreed = agreed(no_context_takeover, 15);
            let mut end = end_with(role, &Config::new(), agreed, &eager());
            let mut inflater = Inflater::new(15, no_context_takeover);
            for i in 0..60 {
                let payload = match i % 5 {
                    0 => prose(2000 + i).into_bytes(),
                    1 => noise(2000),
                    2 => noise(2000).repeat(2),
                    _ => [noise(1500), prose(1000).into_bytes()].concat(),
                };
                let message = MessageRef::binary(&payload);
                let message = if i % 5 == 3 { message.uncompressed() } else { message };
                end.conn.feed(&mut end.tx, message).unwrap();
                let [(compressed, received)] =
                    &read_messages(&end.sent_frames(), &mut inflater)[..]
                else {
                    panic!("not one message")
                };
                assert!(received == &payload, "message {i}");
                // noise that came before, compressed, is none to a window that has it
                assert!(i % 5 == 1 || *compressed == (i % 5 != 3), "message {i}");
            }
        }
    });
}

/// D-37: a message that holds a secret can be kept out.
#[test]
fn a_message_can_opt_out() {
    both_ends(|mut end| {
        let text = prose(1000);
        for message in [
            MessageRef::text(&text).uncompressed(),
            MessageRef::from(text.clone()).uncompressed(),
            MessageRef::from(&text).uncompressed(),
        ] {
            end.conn.feed(&mut end.tx, message).unwrap();
            let frame = end.sent_frames().remove(0);
            assert!(!frame.rsv1);
            assert_eq!(frame.payload, text.as_bytes());
        }
    });
}

/// D-35: control frames are never compressed.
#[test]
fn control_frames_are_never_compressed() {
    both_ends(|mut end| {
        let peer = end.peer();
        end.conn.feed(&mut end.tx, MessageRef::ping(&[b'a'; 125])).unwrap();
        end.conn.feed(&mut end.tx, MessageRef::pong(&[b'a'; 125])).unwrap();
        end.events(&frame(peer, Opcode::Ping, &[b'b'; 125]));
        let reason = "a".repeat(123);
        let code = sansws::CloseCode::NORMAL;
        let close = sansws::CloseFrame { code, reason: &reason };
        end.conn.close(&mut end.tx, Some(close)).unwrap();
        let frames = end.sent_frames();
        assert_eq!(frames.len(), 4);
        assert!(frames.iter().all(|frame| !frame.rsv1 && frame.payload.len() == 125));
    });
}

/// A large owned payload is compressed, or queued by reference if that is no gain.
#[test]
fn owned_payloads() {
    let text = Bytes::from(prose(40_000));
    let noise = Bytes::from(noise(40_000));
    let mut server = end(Role::Server);
    server.conn.feed(&mut server.tx, text.clone()).unwrap();
    server.conn.feed(&mut server.tx, noise.clone()).unwrap();
    let mut last = None;
    let mut bytes = Vec::new();
    while let Some(chunk) = server.tx.take_chunk() {
        bytes.extend_from_slice(&chunk);
        last = Some(chunk);
    }
    assert_eq!(last.unwrap().as_ptr(), noise.as_ptr());
    let messages = read_messages(&parse_frames(&bytes), &mut Inflater::new(15, false));
    assert!(messages == [(true, text.to_vec()), (false, noise.to_vec())]);
}

/// What cannot be sent leaves nothing behind, in the send buffer or in the window.
#[test]
fn refused_messages_leave_nothing() {
    each_role(|role| {
        let config = Config::new().max_unsent(10);
        let mut end = end_with(role, &config, Agreement::new(), &eager());
        let mut inflater = Inflater::new(15, false);
        for _ in 0..3 {
            end.conn.feed(&mut end.tx, prose(500)).unwrap();
            let unsent = end.tx.len();
            let refused = end.conn.feed(&mut end.tx, prose(600));
            assert_eq!(refused, Err(SendError::BufferFull { unsent, limit: 10 }));
            assert_eq!(end.tx.len(), unsent);
            let messages = read_messages(&end.sent_frames(), &mut inflater);
            assert_eq!(messages, [(true, prose(500).into_bytes())]);
        }
        end.conn.close(&mut end.tx, None).unwrap();
        end.sent();
        assert_eq!(end.conn.feed(&mut end.tx, prose(500)), Err(SendError::NotOpen));
        assert!(end.tx.is_empty());
    });
}

/// D-26: both ends of ours, in both directions, over many messages.
#[test]
fn two_ends_understand_each_other() {
    for no_context_takeover in [false, true] {
        for window_bits in [8, 9, 12, 15] {
            let agreed = agreed(no_context_takeover, window_bits);
            let mut pair = pair(&Config::new(), agreed, &eager());
            for i in 0..40 {
                let text = prose(i * i * 7);
                pair.client.conn.feed(&mut pair.client.tx, &text).unwrap();
                pair.server.conn.feed(&mut pair.server.tx, text.as_bytes()).unwrap();
                let expected = (vec![Got::Binary(text.clone().into())], vec![Got::Text(text)]);
                assert!(pair.drive() == expected);
            }
        }
    }
}

/// The halves of a connection compress as the whole does.
#[test]
fn halves() {
    each_role(|role| {
        let agreed = agreed(false, 12);
        let end = |role| end_with(role, &Config::new(), agreed, &eager());
        let End { conn, mut rx, mut tx, .. } = end(role);
        let (mut receiver, mut sender) = conn.split();
        assert_eq!([receiver.deflate(), sender.deflate()], [Some(agreed); 2]);
        let mut peer = end(other(role));
        for _ in 0..3 {
            let text = prose(3000);
            sender.feed(&mut tx, &text).unwrap();
            let bytes = tx.take_chunk().unwrap();
            assert!(bytes.len() < 2000);
            assert_eq!(peer.events(&bytes), [Got::Text(text.clone())]);
            peer.conn.feed(&mut peer.tx, &text).unwrap();
            rx.extend_from_slice(&peer.sent());
            let (event, reply) = receiver.poll_event(&mut rx).unwrap().unwrap();
            assert!(reply.is_none());
            assert_eq!(Got::from(event), Got::Text(text));
        }
    });
}

/// Whatever the settings are, sending does not panic.
#[test]
fn settings_that_nobody_checked() {
    let mut agreed = Agreement::new();
    agreed.server_max_window_bits = 255;
    agreed.client_max_window_bits = 0;
    let wild = eager().level(255).mem_level(0);
    each_role(|role| {
        let conn = End::new(role, &Config::new()).conn.with_deflate(agreed, &wild);
        let bits = conn.deflate().unwrap();
        assert_eq!((bits.server_max_window_bits, bits.client_max_window_bits), (15, 8));
        let mut end = End { conn, ..End::new(role, &Config::new()) };
        end.conn.feed(&mut end.tx, prose(2000)).unwrap();
        assert!(end.sent_frames()[0].rsv1);
    });
}

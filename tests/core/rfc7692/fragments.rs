//! Messages sent in fragments: RFC 7692 §6.1, §7.2.1.

use sansws::Config;
use sansws::deflate::{Agreement, Deflate};
use sansws::proto::{MessageKind, MessageRef, SendError};
use sansws::wire::Opcode;

use crate::rfc7692::support::*;
use sansws_test::inflate::Inflater;
use sansws_test::pair::*;

fn send(end: &mut End, kind: MessageKind, parts: &[&[u8]]) {
    let mut writer = end.conn.start_message(kind).unwrap();
    let (last, parts) = parts.split_last().unwrap();
    for part in parts {
        writer.write(&mut end.tx, part).unwrap();
    }
    writer.finish(&mut end.tx, last).unwrap();
}

/// D-17, D-22: the bit on the first frame only, the tail taken from the last only.
#[test]
fn fragments_of_a_compressed_message() {
    each_role(|role| {
        for no_context_takeover in [false, true] {
            let agreed = agreed(no_context_takeover, 15);
            let mut end = end_with(role, &Config::new(), agreed, &eager());
            let mut inflater = Inflater::new(15, no_context_takeover);
            for _ in 0..3 {
                let text = prose(3000);
                let (first, rest) = text.as_bytes().split_at(1000);
                send(&mut end, MessageKind::Text, &[first, &rest[..1], &rest[1..]]);
                let frames = end.sent_frames();
                assert_eq!(frames.len(), 3);
                for (i, frame) in frames.iter().enumerate() {
                    assert_eq!((frame.rsv1, frame.fin), (i == 0, i == 2));
                    assert_eq!(frame.payload.ends_with(&[0x00, 0x00, 0xff, 0xff]), i != 2);
                }
                let messages = read_messages(&frames, &mut inflater);
                assert_eq!(messages, [(true, text.into_bytes())]);
            }
        }
    });
}

/// The peer can inflate all of a fragment when it arrives.
#[test]
fn every_fragment_is_flushed() {
    let config = Config::new().delivery(Delivery::Chunks);
    each_role(|role| {
        let mut sender = end(role);
        let mut receiver = end_with(other(role), &config, Agreement::new(), &eager());
        let mut writer = sender.conn.start_message(MessageKind::Binary).unwrap();
        for part in [&b"a"[..], b"bc", &prose(500).into_bytes(), &noise(500)] {
            writer.write(&mut sender.tx, part).unwrap();
            let mut bytes = Vec::new();
            while let Some(chunk) = sender.tx.take_chunk() {
                bytes.extend_from_slice(&chunk);
            }
            let events = receiver.events(&bytes);
            let [Got::Chunk { payload, .. }] = &events[..] else { panic!("{events:?}") };
            assert_eq!(payload, part);
        }
    });
}

/// D-33: an empty last fragment, behind others and alone.
#[test]
fn an_empty_last_fragment() {
    both_ends(|mut end| {
        let mut inflater = Inflater::new(15, false);
        for _ in 0..3 {
            send(&mut end, MessageKind::Text, &[b"Hello", b""]);
            let frames = end.sent_frames();
            assert_eq!(frames.len(), 2);
            assert_eq!(frames[1].payload, [0x00]);
            assert_eq!(read_messages(&frames, &mut inflater), [(true, b"Hello".to_vec())]);
            send(&mut end, MessageKind::Text, &[b""]);
            let frames = end.sent_frames();
            assert_eq!(read_messages(&frames, &mut inflater), [(false, vec![])]);
        }
    });
}

/// What is sent between messages in fragments takes part in the window as always.
#[test]
fn fragments_and_whole_messages_share_the_window() {
    both_ends(|mut end| {
        let mut inflater = Inflater::new(15, false);
        for i in 0..10 {
            let text = prose(1000 + i);
            send(
                &mut end,
                MessageKind::Binary,
                &[&text.as_bytes()[..700], &text.as_bytes()[700..]],
            );
            let frames = end.sent_frames();
            let len: usize = frames.iter().map(|frame| frame.payload.len()).sum();
            assert!(i == 0 || len < 150, "{len}");
            assert_eq!(read_messages(&frames, &mut inflater), [(true, text.clone().into_bytes())]);
            end.conn.feed(&mut end.tx, noise(500)).unwrap();
            end.conn.feed(&mut end.tx, &text).unwrap();
            let messages = read_messages(&end.sent_frames(), &mut inflater);
            assert_eq!(messages, [(false, noise(500)), (true, text.into_bytes())]);
            // the noise made the compressor forget
            end.conn.feed(&mut end.tx, prose(1200)).unwrap();
            read_messages(&end.sent_frames(), &mut inflater);
        }
    });
}

/// D-37: a message in fragments can be kept out; and so are short ones of one fragment.
#[test]
fn plain_fragments() {
    both_ends(|mut end| {
        let text = prose(1000);
        let writer = end.conn.start_message(MessageKind::Text).unwrap();
        let mut writer = writer.uncompressed();
        writer.write(&mut end.tx, &text.as_bytes()[..500]).unwrap();
        writer.finish(&mut end.tx, &text.as_bytes()[500..]).unwrap();
        let messages = read_messages(&end.sent_frames(), &mut Inflater::new(15, false));
        assert_eq!(messages, [(false, text.clone().into_bytes())]);
        // too late for the second fragment
        let mut writer = end.conn.start_message(MessageKind::Text).unwrap();
        writer.write(&mut end.tx, &text.as_bytes()[..500]).unwrap();
        writer.uncompressed().finish(&mut end.tx, &text.as_bytes()[500..]).unwrap();
        let messages = read_messages(&end.sent_frames(), &mut Inflater::new(15, false));
        assert_eq!(messages, [(true, text.into_bytes())]);
    });
    each_role(|role| {
        let mut end = end_with(role, &Config::new(), Agreement::new(), &Deflate::new());
        send(&mut end, MessageKind::Text, &[&prose(255).into_bytes()]);
        send(&mut end, MessageKind::Text, &[&prose(256).into_bytes()]);
        send(&mut end, MessageKind::Text, &[b"a", b"b"]);
        let compressed: Vec<bool> = end.sent_frames().iter().map(|it| it.rsv1).collect();
        assert_eq!(compressed, [false, true, true, false]);
    });
}

/// D-35: control frames pass between the fragments, and messages do not.
#[test]
fn control_frames_between_fragments() {
    both_ends(|mut end| {
        let mut writer = end.conn.start_message(MessageKind::Text).unwrap();
        writer.write(&mut end.tx, b"abc").unwrap();
        end.conn.feed(&mut end.tx, MessageRef::ping(b"p")).unwrap();
        assert_eq!(end.conn.feed(&mut end.tx, "x"), Err(SendError::MessageUnfinished));
        end.conn.resume_message().unwrap().finish(&mut end.tx, b"abcabc").unwrap();
        let frames = end.sent_frames();
        assert_eq!(frames[1].kind(), Opcode::Ping);
        let messages = read_messages(&frames, &mut Inflater::new(15, false));
        assert_eq!(messages, [(true, b"abcabcabc".to_vec())]);
    });
}

/// A fragment that is refused is in no window.
#[test]
fn refused_fragments_leave_nothing() {
    both_ends(|mut end| {
        let mut inflater = Inflater::new(15, false);
        let mut writer = end.conn.start_message(MessageKind::Text).unwrap();
        writer.write(&mut end.tx, prose(500).as_bytes()).unwrap();
        let len = end.tx.len();
        let mut writer = end.conn.resume_message().unwrap();
        assert_eq!(writer.write(&mut end.tx, b"\xff"), Err(SendError::InvalidUtf8));
        let writer = end.conn.resume_message().unwrap();
        assert_eq!(writer.finish(&mut end.tx, b"\xc3"), Err(SendError::InvalidUtf8));
        assert_eq!(end.tx.len(), len);
        end.conn.resume_message().unwrap().finish(&mut end.tx, prose(500).as_bytes()).unwrap();
        let messages = read_messages(&end.sent_frames(), &mut inflater);
        assert_eq!(messages, [(true, prose(500).repeat(2).into_bytes())]);
    });
}

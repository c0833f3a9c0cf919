//! Work in steps: however long a message is, one call inflates or compresses only so much of it.

use sansws::bytes::Buf;
use sansws::deflate::{Agreement, Deflate};
use sansws::proto::{MessageKind, MessageRef, Role, SendError};
use sansws::wire::Opcode;
use sansws::{CloseCode, CloseFrame, Config, Event};

use crate::rfc7692::support::*;
use sansws_test::inflate::Inflater;
use sansws_test::pair::*;

const STEP: usize = 1000;

/// Both roles, with context takeover and without, the largest window and the smallest.
fn each(test: impl Fn(Role, Agreement)) {
    each_role(|role| {
        for (no_takeover, bits) in [(false, 15), (true, 15), (false, 9)] {
            test(role, agreed(no_takeover, bits));
        }
    });
}

fn in_steps(role: Role, agreed: Agreement) -> End {
    let mut end = end_with(role, &Config::new(), agreed, &eager());
    end.conn.work_in_steps(STEP);
    end
}

/// Proceeds until the message is in the send buffer, and counts.
fn proceed(end: &mut End) -> usize {
    let before = end.tx.remaining();
    for calls in 1.. {
        assert!(end.conn.is_paused());
        if end.conn.proceed(&mut end.tx) {
            assert!(!end.conn.is_paused() && end.tx.remaining() > before);
            return calls;
        }
        assert_eq!(end.tx.remaining(), before, "nothing of a message before it is whole");
        assert!(calls < 1_000_000);
    }
    unreachable!()
}

fn inflater(agreed: Agreement) -> Inflater {
    let bits = agreed.server_max_window_bits;
    Inflater::new(bits, agreed.server_no_context_takeover)
}

/// What two ends without steps make of the same.
fn at_once(role: Role, agreed: Agreement, messages: &[&[u8]]) -> Vec<usize> {
    let mut end = end_with(role, &Config::new(), agreed, &eager());
    let lens = messages.iter().map(|message| {
        end.conn.feed(&mut end.tx, *message).unwrap();
        end.sent_frames().remove(0).payload.len()
    });
    lens.collect()
}

/// One frame, which says the same as without steps, in as many calls as there are steps; and the
/// window lives on behind it.
#[test]
fn a_message_is_compressed_part_by_part() {
    each(|role, agreed| {
        let text = prose(100 * STEP);
        let messages = [text.as_bytes(), &text.as_bytes()[..STEP], &text.as_bytes()[..STEP + 1]];
        let lens = at_once(role, agreed, &messages);
        let mut end = in_steps(role, agreed);
        let mut inflater = inflater(agreed);
        for ((message, len), calls) in messages.into_iter().zip(lens).zip([100, 0, 2]) {
            end.conn.feed(&mut end.tx, message).unwrap();
            assert_eq!(end.conn.is_paused(), calls > 0);
            assert_eq!(if calls > 0 { proceed(&mut end) } else { 0 }, calls);
            let is_short = end.tx.remaining() < 16 * 1024;
            assert_eq!(
                end.tx.chunk().len() == end.tx.remaining(),
                is_short,
                "short ones are copied"
            );
            let frames = end.sent_frames();
            assert_eq!(frames.len(), 1);
            assert!(frames[0].payload.len() <= len + len / 50, "{} {len}", frames[0].payload.len());
            assert_eq!(read_messages(&frames, &mut inflater), [(true, message.to_vec())]);
        }
        assert!(end.conn.proceed(&mut end.tx), "nothing is left to do");
    });
}

/// Owned or borrowed, and long enough compressed to be queued by reference.
#[test]
fn long_ones() {
    each(|role, agreed| {
        // level 1 has no codes of its own for bytes that are rare
        let mut end = end_with(role, &Config::new(), agreed, &eager().level(6));
        end.conn.work_in_steps(64 * 1024);
        let mut inflater = inflater(agreed);
        let payload: Vec<u8> = noise(500_000).into_iter().map(|byte| byte & 0x3f).collect();
        for message in [MessageRef::binary(&payload), payload.clone().into()] {
            end.conn.feed(&mut end.tx, message).unwrap();
            assert_eq!(proceed(&mut end), 8);
            let header_len = if role == Role::Server { 10 } else { 14 };
            assert_eq!(end.tx.chunk().len(), header_len, "the payload is not copied");
            let frames = end.sent_frames();
            assert!(frames[0].rsv1 && frames[0].payload.len() < 450_000);
            assert_eq!(read_messages(&frames, &mut inflater), [(true, payload.clone())]);
        }
    });
}

/// Pings and pongs go before it, messages and fragments behind.
#[test]
fn what_passes_and_what_does_not() {
    each(|role, agreed| {
        let text = prose(20 * STEP);
        let long = text.as_bytes();
        let mut end = in_steps(role, agreed);
        let mut inflater = inflater(agreed);
        for way in 0..6 {
            end.conn.feed(&mut end.tx, long).unwrap();
            assert!(!end.conn.proceed(&mut end.tx));
            end.conn.feed(&mut end.tx, MessageRef::ping(b"?")).unwrap();
            assert!(end.conn.is_paused());
            let prepared = sansws::PreparedMessage::new("b").unwrap();
            let behind = match way {
                0 => end.conn.feed(&mut end.tx, "b"),
                1 => end.conn.feed(&mut end.tx, MessageRef::text("b").uncompressed()),
                2 => end.conn.feed(&mut end.tx, &prepared),
                3 => {
                    let writer = end.conn.start_message(MessageKind::Text).unwrap();
                    writer.finish(&mut end.tx, b"b")
                }
                4 => end.conn.feed(&mut end.tx, long),
                _ => Ok(()),
            };
            behind.unwrap();
            let last: &[u8] = if way >= 4 { long } else { b"b" };
            if way >= 4 {
                proceed(&mut end);
            }
            let frames = end.sent_frames();
            assert_eq!((frames[0].opcode, &frames[0].payload[..]), (Opcode::Ping as u8, &b"?"[..]));
            let messages = read_messages(&frames, &mut inflater);
            let payloads: Vec<_> = messages.iter().map(|(_, payload)| &payload[..]).collect();
            assert_eq!(payloads, if way == 5 { vec![long] } else { vec![long, last] }, "{way}");
        }
    });
}

/// A Close, ours or the reply to the peer's, leaves behind what was taken before it.
#[test]
fn a_close_leaves_behind_it() {
    each(|role, agreed| {
        let text = prose(20 * STEP);
        for ours in [true, false] {
            let mut end = in_steps(role, agreed);
            end.conn.feed(&mut end.tx, &text).unwrap();
            assert!(!end.conn.proceed(&mut end.tx));
            if ours {
                end.conn.close(&mut end.tx, Some(CloseFrame::from(CloseCode::NORMAL))).unwrap();
            } else {
                let peer = if role == Role::Server { Role::Client } else { Role::Server };
                let close = reserved(peer, true, Opcode::Close, 0, &[3, 232]);
                assert_eq!(end.events(&close), [Got::Close(Some((1000, String::new())))]);
            }
            assert!(!end.conn.is_paused());
            let mut frames = end.sent_frames();
            assert_eq!(frames.pop().unwrap().opcode, Opcode::Close as u8);
            let messages = read_messages(&frames, &mut inflater(agreed));
            assert_eq!(messages, [(true, text.clone().into_bytes())]);
        }
    });
}

/// Nothing comes of a message once the connection has failed, and nothing is left to do.
#[test]
fn the_end_forgets_it() {
    each(|role, agreed| {
        let text = prose(20 * STEP);
        for eof in [true, false] {
            let mut end = in_steps(role, agreed);
            end.conn.feed(&mut end.tx, &text).unwrap();
            assert!(!end.conn.proceed(&mut end.tx));
            if eof {
                end.conn.receive_eof();
                assert!(end.sent().is_empty());
            } else {
                end.receive(&[0xff]).1.unwrap_err();
                let frames = end.sent_frames();
                assert_eq!(frames.len(), 1);
                assert_eq!(frames[0].opcode, Opcode::Close as u8);
            }
            assert!(!end.conn.is_paused() && end.conn.proceed(&mut end.tx));
            assert!(end.sent().is_empty());
            assert_eq!(end.conn.feed(&mut end.tx, &text), Err(SendError::NotOpen));
        }
    });
}

/// What does not become shorter goes plain, found out at its end or before; the messages behind it
/// are compressed, and refer to nothing that was not sent compressed.
#[test]
fn what_is_no_gain_goes_plain() {
    each(|role, agreed| {
        let text = prose(20 * STEP);
        // with little memory there are many blocks, whose headers show before the end
        for (steps, settings, at_the_end) in
            [(20, eager(), true), (60, eager().mem_level(1), false)]
        {
            let noise = noise(steps * STEP);
            let mut growing = noise.clone();
            growing.extend(vec![b'x'; 10]);
            let mut end = end_with(role, &Config::new(), agreed, &settings);
            end.conn.work_in_steps(STEP);
            let mut inflater = inflater(agreed);
            let messages = [text.as_bytes(), &noise, text.as_bytes(), &growing, text.as_bytes()];
            for message in messages {
                end.conn.feed(&mut end.tx, message).unwrap();
                let compressed = message == text.as_bytes();
                let all_steps = proceed(&mut end) == message.len().div_ceil(STEP);
                assert_eq!(all_steps, compressed || at_the_end);
                let frames = end.sent_frames();
                assert!(read_messages(&frames, &mut inflater) == [(compressed, message.to_vec())]);
            }
        }
    });
}

/// As long as before is no gain.
#[test]
fn the_same_length_goes_plain() {
    each_role(|role| {
        let agreed = agreed(true, 15);
        let noise = noise(2 * STEP);
        let payload = (0..500).find_map(|more| {
            let payload = [&noise[..], &vec![b'x'; more]].concat();
            // a message in one fragment is compressed in any case
            let mut end = end_with(role, &Config::new(), agreed, &eager());
            let writer = end.conn.start_message(MessageKind::Binary).unwrap();
            writer.finish(&mut end.tx, &payload).unwrap();
            let len = end.sent_frames()[0].payload.len();
            (len == payload.len()).then_some(payload)
        });
        let mut end = in_steps(role, agreed);
        end.conn.feed(&mut end.tx, payload.unwrap()).unwrap();
        proceed(&mut end);
        assert!(!end.sent_frames()[0].rsv1);
    });
}

/// The limit on what waits counts what was taken: it is finished before the next is judged.
#[test]
fn a_full_buffer_refuses() {
    each_role(|role| {
        let config = Config::new().max_unsent(100);
        let mut end = end_with(role, &config, agreed(false, 15), &eager());
        end.conn.work_in_steps(STEP);
        let text = prose(20 * STEP);
        end.conn.feed(&mut end.tx, &text).unwrap();
        let refused = end.conn.feed(&mut end.tx, "b");
        assert!(matches!(refused, Err(SendError::BufferFull { .. })), "{refused:?}");
        let messages = read_messages(&end.sent_frames(), &mut Inflater::new(15, false));
        assert_eq!(messages, [(true, text.into_bytes())]);
    });
}

/// A message is inflated part by part too, with nothing more from the peer.
#[test]
fn a_message_is_inflated_part_by_part() {
    each(|role, agreed| {
        let peer = if role == Role::Server { Role::Client } else { Role::Server };
        let mut from = end_with(peer, &Config::new(), agreed, &eager());
        let mut to = in_steps(role, agreed);
        for len in [STEP, 1, 100 * STEP, 3 * STEP + 1] {
            let text = prose(len);
            from.conn.feed(&mut from.tx, &text).unwrap();
            to.rx.extend_from_slice(&from.sent());
            let mut calls = 1;
            loop {
                match to.conn.poll_event(&mut to.rx, &mut to.tx).unwrap() {
                    Some(Event::Text(got)) => break assert!(*got == *text),
                    Some(event) => panic!("{event:?}"),
                    None => assert!(to.conn.is_paused(), "there is more to do"),
                }
                assert!(!to.rx.is_idle());
                calls += 1;
            }
            assert!(!to.conn.is_paused());
            // what lies in more than one piece is put together in as many steps again
            let most = if len > 16 * 1024 { 2 } else { 1 } * len / STEP + 1;
            assert!((len.div_ceil(STEP)..=most).contains(&calls), "{calls} for {len}");
            assert_eq!(to.conn.poll_event(&mut to.rx, &mut to.tx).unwrap().map(Got::from), None);
            assert!(!to.conn.is_paused());
        }
    });
}

/// Who asks for chunks in the middle of that gets what was inflated, from the beginning.
#[test]
fn chunks_of_a_message_that_was_inflated_in_part() {
    each(|role, agreed| {
        let text = prose(100 * STEP);
        let mut from = end_with(other(role), &Config::new(), agreed, &eager());
        from.conn.feed(&mut from.tx, &text).unwrap();
        let mut to = in_steps(role, agreed);
        assert_eq!(to.events(&from.sent()), []);
        assert!(to.conn.is_paused());
        to.delivery = Delivery::Chunks;
        let mut all = Vec::new();
        for event in to.events(b"") {
            let Got::Chunk { kind: MessageKind::Text, first, last, payload } = event else {
                panic!("{event:?}")
            };
            assert_eq!(first, all.is_empty());
            all.extend(payload);
            assert_eq!(last, all.len() == text.len());
        }
        assert!(all == text.as_bytes());
    });
}

/// Where nothing was said about steps there are none; a connection without compression has none at
/// all.
#[test]
fn no_steps() {
    each_role(|role| {
        let text = prose(1 << 20);
        let mut end = end_with(role, &Config::new(), agreed(false, 15), &Deflate::new());
        end.conn.feed(&mut end.tx, &text).unwrap();
        assert!(!end.conn.is_paused() && end.tx.remaining() > 0);
        let mut plain = End::new(role, &Config::new());
        plain.conn.work_in_steps(1);
        plain.conn.feed(&mut plain.tx, &text).unwrap();
        assert!(!plain.conn.is_paused() && plain.tx.remaining() > text.len());
    });
}

//! §5.5, control frames: ping, pong, and the form of a Close. How a connection closes is in
//! `s7_closing`.

use sansws::bytes::Buf;
use sansws::proto::{MessageKind, MessageRef, SendError};
use sansws::wire::Opcode;
use sansws::{Config, ProtocolError};

use sansws_test::pair::*;

const CONTROL: [Opcode; 3] = [Opcode::Close, Opcode::Ping, Opcode::Pong];

/// F-22: at the first byte.
#[test]
fn fragmented_control_frames_fail() {
    each_role(|role| {
        for opcode in CONTROL {
            let error = ProtocolError::FragmentedControlFrame;
            let bytes = fragment(other(role), false, opcode, b"");
            End::new(role, &Config::new()).assert_fails(&bytes, error);
            End::new(role, &Config::new()).assert_fails(&[opcode as u8], error);
            // also inside a message, where a frame without FIN is nothing unusual
            let mut end = End::new(role, &Config::new());
            end.events(&fragment(other(role), false, Opcode::Text, b"a"));
            end.assert_fails(&bytes, error);
        }
    });
}

/// F-23: at the second byte, before there is a length or a payload to read.
#[test]
fn control_frames_of_more_than_125_bytes_fail() {
    each_role(|role| {
        for opcode in CONTROL {
            for len in [126, 127] {
                let mut end = End::new(role, &Config::new());
                let mask = raw_header(other(role), 0, &[len])[1];
                let header = [0x80 | opcode as u8, mask];
                end.assert_fails(&header, ProtocolError::ControlFrameTooLong);
                assert!(end.rx.capacity() <= 17 * 1024);
            }
            let mut end = End::new(role, &Config::new());
            let bytes = frame(other(role), opcode, &[0; 126]);
            end.assert_fails(&bytes, ProtocolError::ControlFrameTooLong);
        }
    });
}

/// K-1, K-2: the pong carries what the ping did, whatever that is.
#[test]
fn pings_are_answered_with_their_payload() {
    let payloads: [&[u8]; 5] = [b"", b"x", b"Hello", &[0xfe, 0xff], &[0xaa; 125]];
    each_role(|role| {
        for payload in payloads {
            let mut end = End::new(role, &Config::new());
            let bytes = frame(other(role), Opcode::Ping, payload);
            assert_eq!(end.events(&bytes), [Got::Ping(payload.into())]);
            let frames = end.sent_frames();
            assert_eq!(frames.len(), 1);
            assert_eq!(frames[0].kind(), Opcode::Pong);
            assert!(frames[0].fin);
            assert_eq!(frames[0].payload, payload);
        }
    });
}

/// K-1, F-30: byte by byte; nothing is answered before the ping is whole.
#[test]
fn a_ping_in_pieces_is_answered_once() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        let ping = frame(other(role), Opcode::Ping, &[7; 125]);
        let (last, head) = ping.split_last().unwrap();
        for byte in head {
            assert_eq!(end.events(&[*byte]), []);
            assert_eq!(end.sent(), b"");
        }
        assert_eq!(end.events(&[*last]), [Got::Ping(vec![7; 125])]);
        assert_eq!(end.sent_frames().len(), 1);
    });
}

/// K-1: looking for an event twice does not answer it twice, and reading on in between does not
/// touch its payload.
#[test]
fn a_ping_is_answered_once_however_it_is_looked_at() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        end.rx.extend_from_slice(&frame(other(role), Opcode::Ping, b"payload"));
        for _ in 0..3 {
            assert_eq!(end.conn.advance(&mut end.rx, &mut end.tx), Ok(true));
            end.rx.extend_from_slice(&frame(other(role), Opcode::Pong, &[1; 125]).repeat(200));
        }
        assert_eq!(end.events(b"")[0], Got::Ping(b"payload".into()));
        assert_eq!(end.sent_frames().len(), 1);
    });
}

/// Autobahn 2.10: ten pings before we write give ten pongs, in order.
#[test]
fn several_pings_are_answered_in_order() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        let bytes: Vec<u8> = (0..10).flat_map(|i| frame(other(role), Opcode::Ping, &[i])).collect();
        assert_eq!(end.events(&bytes).len(), 10);
        let frames = end.sent_frames();
        let payloads: Vec<_> = frames.iter().map(|frame| frame.payload[0]).collect();
        assert_eq!(payloads, (0..10).collect::<Vec<_>>());
    });
}

/// K-3: beyond the limit only the newest ping is answered, and it is.
#[test]
fn of_too_many_pings_the_newest_is_answered() {
    each_role(|role| {
        for max in [1, 2, 16] {
            let mut end = End::new(role, &Config::new().max_pending_pongs(max));
            for i in 0..100 {
                end.events(&frame(other(role), Opcode::Ping, &[i]));
            }
            let payloads: Vec<_> =
                end.sent_frames().iter().map(|frame| usize::from(frame.payload[0])).collect();
            let expected: Vec<_> = (0..max).chain([99]).collect();
            assert_eq!(payloads, expected);
            // once they are sent there is room again
            end.events(&frame(other(role), Opcode::Ping, b"again"));
            assert_eq!(end.sent_frames().len(), 1);
        }
    });
}

/// K-3: the newest pong, once it is in line, is one of those that wait.
#[test]
fn the_newest_pong_counts_when_it_is_in_line() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new().max_pending_pongs(1));
        let ping = |end: &mut End, payload: &[u8]| {
            end.events(&frame(other(role), Opcode::Ping, payload));
        };
        ping(&mut end, b"a");
        let one = end.tx.remaining();
        ping(&mut end, b"b");
        end.tx.advance(one);
        ping(&mut end, b"c");
        ping(&mut end, b"d");
        let payloads: Vec<_> = end.sent_frames().into_iter().map(|f| f.payload).collect();
        assert_eq!(payloads, [b"b", b"d"]);
    });
}

/// K-3: 10^6 pings and a peer that reads nothing: what waits is bounded.
#[test]
fn a_flood_of_pings_is_bounded() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        let burst = frame(other(role), Opcode::Ping, &[9; 125]).repeat(100);
        for _ in 0..10_000 {
            end.rx.extend_from_slice(&burst);
            while end.conn.advance(&mut end.rx, &mut end.tx).unwrap() {
                end.conn.poll_event(&mut end.rx, &mut end.tx).unwrap();
            }
        }
        assert!(end.tx.len() <= 17 * 131, "{} bytes wait", end.tx.len());
        assert!(end.tx.capacity() <= 8 * 1024);
        assert!(end.rx.capacity() <= 64 * 1024);
        assert_eq!(end.sent_frames().len(), 17);
    });
}

/// K-3: the same while the application goes on sending, up to its own limit.
#[test]
fn a_flood_of_pings_between_messages_is_bounded() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new().max_unsent(10_000));
        let mut messages = 0;
        for _ in 0..10_000 {
            end.events(&frame(other(role), Opcode::Ping, &[9; 125]));
            messages += usize::from(end.conn.feed(&mut end.tx, "x").is_ok());
        }
        assert!(end.tx.remaining() < 10_000 + 2 * 131, "{} bytes wait", end.tx.remaining());
        let frames = end.sent_frames();
        assert_eq!(frames.iter().filter(|f| f.kind() == Opcode::Text).count(), messages);
        assert_eq!(frames.last().unwrap().kind(), Opcode::Pong);
    });
}

/// K-4: a ping is answered between the frames of a message that we are sending, and while the send
/// buffer is full.
#[test]
fn pings_are_answered_while_we_send() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new().max_unsent(1000));
        let mut writer = end.conn.start_message(MessageKind::Binary).unwrap();
        writer.write(&mut end.tx, &[1; 2000]).unwrap();
        end.events(&frame(other(role), Opcode::Ping, b"now"));
        let writer = end.conn.resume_message().unwrap();
        assert!(matches!(writer.finish(&mut end.tx, b""), Err(SendError::BufferFull { .. })));
        let frames = end.sent_frames();
        let opcodes: Vec<_> = frames.iter().map(|frame| frame.kind()).collect();
        assert_eq!(opcodes, [Opcode::Binary, Opcode::Pong]);
        end.conn.resume_message().unwrap().finish(&mut end.tx, b"").unwrap();
        assert_eq!(end.sent_frames()[0].kind(), Opcode::Continuation);
    });
}

/// K-5: unsolicited pongs are seen and not answered.
#[test]
fn unsolicited_pongs_need_no_answer() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        for payload in [&b""[..], b"x", b"12345678", &[0xff; 125]] {
            let bytes = frame(other(role), Opcode::Pong, payload);
            assert_eq!(end.events(&bytes), [Got::Pong(payload.into())]);
        }
        assert_eq!(end.sent(), b"");
        assert_eq!(end.conn.poll_timeout(), None);
        assert_eq!(end.conn.round_trip(), None);
    });
}

/// K-6: between our Close and the peer's, pings are still answered; after the peer's they are not.
#[test]
fn pings_around_a_close() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        end.conn.close(&mut end.tx, None).unwrap();
        end.sent();
        let ping = frame(other(role), Opcode::Ping, b"still");
        assert_eq!(end.events(&ping), [Got::Ping(b"still".into())]);
        assert_eq!(end.sent_frames()[0].kind(), Opcode::Pong);
        end.events(&frame(other(role), Opcode::Close, b""));
        assert_eq!(end.events(&ping), []);
        assert_eq!(end.sent(), b"");
    });
}

/// K-7: a ping leaves the message and its half code point alone.
#[test]
fn a_ping_does_not_touch_the_message_under_way() {
    each_role(|role| {
        let peer = other(role);
        let mut bytes = fragment(peer, false, Opcode::Text, b"\xce");
        bytes.extend(frame(peer, Opcode::Ping, &[0xff; 125]));
        bytes.extend(fragment(peer, true, Opcode::Continuation, b"\xba"));
        for step in [1, 3, 50, bytes.len()] {
            let mut end = End::new(role, &Config::new());
            let events: Vec<_> = bytes.chunks(step).flat_map(|piece| end.events(piece)).collect();
            assert_eq!(events, [Got::Ping(vec![0xff; 125]), Got::Text("κ".into())]);
        }
    });
}

/// K-9: 10^6 pongs that nobody waits for leave nothing behind.
#[test]
fn a_flood_of_pongs_leaves_nothing_behind() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        let burst = frame(other(role), Opcode::Pong, b"12345678").repeat(1000);
        for _ in 0..1000 {
            end.rx.extend_from_slice(&burst);
            while end.conn.poll_event(&mut end.rx, &mut end.tx).unwrap().is_some() {}
        }
        assert!(end.tx.is_empty());
        assert_eq!(end.tx.capacity(), 0);
        assert!(end.rx.is_idle());
        assert!(end.rx.capacity() <= 64 * 1024);
    });
}

/// F-23: what we send keeps to 125 bytes as well.
#[test]
fn longer_control_frames_are_refused() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        let (ok, long) = ([3; 125], [3; 126]);
        end.conn.feed(&mut end.tx, MessageRef::ping(&ok)).unwrap();
        end.conn.feed(&mut end.tx, MessageRef::pong(&ok)).unwrap();
        let unsent = end.tx.len();
        for message in [MessageRef::ping(&long), MessageRef::pong(&long)] {
            let result = end.conn.feed(&mut end.tx, message);
            assert_eq!(result, Err(SendError::ControlTooLong { len: 126 }));
        }
        assert_eq!(end.tx.len(), unsent, "nothing was written");
        let opcodes: Vec<_> = end.sent_frames().iter().map(|frame| frame.kind()).collect();
        assert_eq!(opcodes, [Opcode::Ping, Opcode::Pong]);
    });
}

/// F-29: a control frame is never cut: not by a full buffer, nor by a message in fragments.
#[test]
fn control_frames_are_sent_whole() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        let mut writer = end.conn.start_message(MessageKind::Text).unwrap();
        writer.write(&mut end.tx, b"a").unwrap();
        end.conn.feed(&mut end.tx, MessageRef::ping(&[1; 125])).unwrap();
        end.events(&frame(other(role), Opcode::Ping, &[2; 125]));
        end.conn.close(&mut end.tx, None).unwrap();
        let frames = end.sent_frames();
        assert_eq!(frames.len(), 4);
        let control = frames.iter().filter(|frame| frame.kind().is_control());
        assert!(control.clone().all(|frame| frame.fin && frame.payload.len() <= 125));
        assert_eq!(control.count(), 3);
    });
}

//! §7 and §5.5.1, closing. The closing table itself is driven cell by cell in `closing_table`.

use core::time::Duration;

use sansws::bytes::Buf;
use sansws::proto::{
    CloseInfo, Initiator, MessageRef, Outcome, Role, SendError, State, Timeout, Transport,
};
use sansws::wire::Opcode;
use sansws::{CloseCode, CloseFrame, Config, ProtocolError};

use sansws_test::pair::*;

const SECOND: Duration = Duration::from_secs(1);

fn close(code: CloseCode, reason: &str) -> Option<CloseFrame<'_>> {
    Some(CloseFrame { code, reason })
}

/// code and reason go over the wire and come out at the other end.
#[test]
fn closing_handshake() {
    for client_begins in [true, false] {
        let mut pair = Pair::new();
        let (first, second) = if client_begins {
            (&mut pair.client, &mut pair.server)
        } else {
            (&mut pair.server, &mut pair.client)
        };
        first.conn.close(&mut first.tx, close(CloseCode::GOING_AWAY, "bye")).unwrap();
        assert_eq!(first.conn.state(), State::Closing);
        assert_eq!(first.conn.transport(), Transport::KeepOpen);
        assert_eq!(first.conn.close_info(), None);

        let frames = first.sent();
        assert_eq!(second.events(&frames), [Got::Close(Some((1001, "bye".into())))]);
        let CloseInfo { initiator, code, reason, clean, sent_code, error, .. } =
            second.conn.close_info().unwrap();
        assert_eq!((initiator, code, &*reason), (Initiator::Peer, 1001, "bye"));
        assert_eq!((clean, sent_code, error), (true, Some(CloseCode::GOING_AWAY), None));

        // the reply has the code and no reason
        let reply = second.sent();
        assert_eq!(first.events(&reply), [Got::Close(Some((1001, String::new())))]);
        let CloseInfo { initiator, code, reason, clean, sent_code, error, .. } =
            first.conn.close_info().unwrap();
        assert_eq!((initiator, code, &*reason), (Initiator::Local, 1001, ""));
        assert_eq!((clean, sent_code, error), (true, Some(CloseCode::GOING_AWAY), None));

        // the server closes first, the client waits for that
        assert_eq!(pair.server.conn.transport(), Transport::ShutdownWrite);
        assert_eq!(pair.client.conn.transport(), Transport::KeepOpen);
        for end in [&mut pair.client, &mut pair.server] {
            assert_eq!(end.conn.receive_eof(), Outcome::Clean);
            assert_eq!(end.conn.state(), State::Closed);
            assert_eq!(end.conn.transport(), Transport::Close);
            assert!(end.conn.close_info().unwrap().clean);
        }
    }
}

/// a payload of one byte.
#[test]
fn half_a_close_code_fails() {
    each_role(|role| {
        let bytes = frame(other(role), Opcode::Close, &[3]);
        End::new(role, &Config::new()).assert_fails(&bytes, ProtocolError::TruncatedCloseCode);
    });
}

/// no code on the wire is 1005 in the report, and the reply has none either.
#[test]
fn a_close_without_a_code() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        assert_eq!(end.events(&frame(other(role), Opcode::Close, b"")), [Got::Close(None)]);
        let frames = end.sent_frames();
        assert_eq!(frames.len(), 1);
        assert_eq!((frames[0].kind(), &frames[0].payload[..]), (Opcode::Close, &b""[..]));
        let info = end.conn.close_info().unwrap();
        assert_eq!((info.code, &*info.reason, info.sent_code, info.clean), (1005, "", None, true));
    });
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        end.conn.close(&mut end.tx, None).unwrap();
        assert_eq!(end.sent_frames()[0].payload, b"");
        end.events(&close_frame(other(role), 1000, ""));
        let info = end.conn.close_info().unwrap();
        assert_eq!((info.code, info.sent_code), (1000, None));
    });
}

/// the reply echoes the code; once.
#[test]
fn the_reply_echoes_the_code() {
    each_role(|role| {
        for code in
            [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999]
        {
            let mut end = End::new(role, &Config::new());
            let bytes = close_frame(other(role), code, "reason");
            assert_eq!(end.events(&bytes), [Got::Close(Some((code, "reason".into())))]);
            assert_eq!(end.sent_frames()[0].payload, code.to_be_bytes());
            assert_eq!(end.conn.close_info().unwrap().code, code);
            assert_eq!(end.events(&bytes), []);
            assert_eq!(end.sent(), b"");
        }
    });
}

/// codes that must not stand in a Close.
#[test]
fn close_codes_that_must_not_be_sent_fail() {
    let codes = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535];
    each_role(|role| {
        for code in codes {
            let error = ProtocolError::InvalidCloseCode(code);
            for reason in ["", "reason"] {
                let bytes = close_frame(other(role), code, reason);
                End::new(role, &Config::new()).assert_fails(&bytes, error);
            }
            assert_eq!(CloseCode::new(code), None, "{code} cannot be sent either");
        }
    });
}

/// 123 bytes of reason pass both ways, 124 are refused and nothing is written.
#[test]
fn the_longest_reason() {
    each_role(|role| {
        let (fits, long) = ("é".repeat(61) + "x", "é".repeat(62));
        assert_eq!((fits.len(), long.len()), (123, 124));
        let mut end = End::new(role, &Config::new());
        let error = SendError::ReasonTooLong { len: 124 };
        let result = end.conn.close(&mut end.tx, close(CloseCode::NORMAL, &long));
        assert_eq!(result, Err(error));
        assert!(end.tx.is_empty());
        assert_eq!(end.conn.state(), State::Open);
        end.conn.close(&mut end.tx, close(CloseCode::NORMAL, &fits)).unwrap();

        let mut peer = End::new(other(role), &Config::new());
        assert_eq!(peer.events(&end.sent()), [Got::Close(Some((1000, fits.clone())))]);
        assert_eq!(peer.conn.close_info().unwrap().reason, fits);
    });
}

/// no data after a Close, and no second Close.
#[test]
fn nothing_follows_our_close() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        end.conn.close(&mut end.tx, None).unwrap();
        assert_eq!(end.sent_frames().len(), 1);
        for _ in 0..2 {
            assert_eq!(end.conn.close(&mut end.tx, None), Err(SendError::NotOpen));
            assert_eq!(end.conn.feed(&mut end.tx, "x"), Err(SendError::NotOpen));
            let ping = MessageRef::ping(b"");
            assert_eq!(end.conn.feed(&mut end.tx, ping), Err(SendError::NotOpen));
        }
        assert_eq!(end.sent(), b"");
    });
}

/// A Close is taken however full the send buffer is.
#[test]
fn a_full_buffer_does_not_stop_a_close() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new().max_unsent(1));
        end.conn.feed(&mut end.tx, "fills it").unwrap();
        assert!(matches!(end.conn.feed(&mut end.tx, "x"), Err(SendError::BufferFull { .. })));
        end.conn.close(&mut end.tx, None).unwrap();
        assert_eq!(end.sent_frames().len(), 2);
    });
}

/// no answer to our Close.
#[test]
fn the_close_time_out() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        end.tick(100 * SECOND);
        assert_eq!(end.conn.poll_timeout(), None);
        end.conn.close(&mut end.tx, close(CloseCode::NORMAL, "")).unwrap();
        assert_eq!(end.conn.poll_timeout(), Some(Duration::ZERO), "the time is needed now");
        end.tick(200 * SECOND);
        assert_eq!(end.conn.poll_timeout(), Some(210 * SECOND));
        // bytes, even whole messages, do not extend it
        end.events(&frame(other(role), Opcode::Text, b"on its way"));
        end.tick(210 * SECOND - Duration::from_nanos(1));
        assert_eq!(end.conn.poll_timeout(), Some(210 * SECOND));
        let result = end.conn.handle_timeout(210 * SECOND, &mut end.tx);
        assert_eq!(result, Err(Timeout::Closing));
        assert_eq!(end.conn.handle_timeout(Duration::ZERO, &mut end.tx), Err(Timeout::Closing));
        assert_eq!(end.conn.state(), State::Closed);
        assert_eq!(end.conn.transport(), Transport::Close);
        assert_eq!(end.conn.poll_timeout(), None);
        let info = end.conn.close_info().unwrap();
        assert_eq!((info.initiator, info.code, info.clean), (Initiator::Local, 1006, false));
        assert_eq!(info.sent_code, Some(CloseCode::NORMAL));
        assert_eq!(end.events(&close_frame(other(role), 1000, "late")), []);
    });
}

/// after the handshake a server waits a second for EOF, a client the close time-out;
/// after a violation as well. Giving up then is no error.
#[test]
fn waiting_for_eof_is_bounded() {
    each_role(|role| {
        let wait = if role == Role::Server { SECOND } else { 10 * SECOND };
        for violation in [false, true] {
            let mut end = End::new(role, &Config::new());
            if violation {
                let _ = end.receive(&[0x83]);
            } else {
                end.events(&close_frame(other(role), 1000, ""));
            }
            assert_eq!(end.conn.poll_timeout(), Some(Duration::ZERO));
            end.sent(); // the wait begins once our Close has left
            end.tick(50 * SECOND);
            assert_eq!(end.conn.poll_timeout(), Some(50 * SECOND + wait));
            end.tick(50 * SECOND + wait - Duration::from_nanos(1));
            assert_eq!(end.conn.state(), State::Closing);
            end.tick(50 * SECOND + wait);
            assert_eq!(end.conn.state(), State::Closed);
            assert_eq!(end.conn.transport(), Transport::Close);
            assert_eq!(end.conn.poll_timeout(), None);
            assert_eq!(end.conn.close_info().unwrap().clean, !violation);
        }
    });
}

/// A close time-out shorter than the linger of a server bounds that too, and the wait for EOF
/// begins anew when the handshake is complete.
#[test]
fn the_wait_for_eof_has_its_own_deadline() {
    let config = Config::new().close_timeout(4 * SECOND);
    let mut client = End::new(Role::Client, &config);
    client.conn.close(&mut client.tx, None).unwrap();
    client.tick(SECOND);
    assert_eq!(client.conn.poll_timeout(), Some(5 * SECOND));
    client.events(&frame(Role::Server, Opcode::Close, b""));
    assert_eq!(client.conn.poll_timeout(), Some(Duration::ZERO));
    client.tick(3 * SECOND);
    assert_eq!(client.conn.poll_timeout(), Some(7 * SECOND));

    let short = Duration::from_millis(300);
    let mut server = End::new(Role::Server, &Config::new().close_timeout(short));
    server.events(&frame(Role::Client, Opcode::Close, b""));
    server.tick(SECOND);
    assert_eq!(server.conn.poll_timeout(), Some(SECOND + short));
}

/// a peer that goes on sending is read for 16 MiB and no more.
#[test]
fn draining_is_bounded() {
    each_role(|role| {
        for violation in [false, true] {
            let mut end = End::new(role, &Config::new());
            if violation {
                let _ = end.receive(&[0x83]);
            } else {
                end.events(&frame(other(role), Opcode::Close, b""));
            }
            let piece = vec![0; 1024 * 1024 - 1];
            for _ in 0..16 {
                assert_eq!(end.receive(&piece).0, []);
                assert_eq!(end.conn.state(), State::Closing);
                assert!(end.rx.is_idle(), "what comes is thrown away");
            }
            // the byte that breaks the rule is one of them
            assert_eq!(end.receive(&vec![0; 16 - usize::from(violation)]).0, []);
            assert_eq!(end.conn.state(), State::Closing);
            assert_eq!(end.receive(&[0]).0, []);
            assert_eq!(end.conn.state(), State::Closed);
            assert_eq!(end.conn.transport(), Transport::Close);
            assert_eq!(end.conn.close_info().unwrap().clean, !violation);
            assert_eq!(end.receive(&[0; 1024]).0, []);
            assert!(end.rx.is_idle());
        }
    });
}

/// after a violation nothing is processed, not even a Close in the same bytes.
#[test]
fn nothing_is_processed_after_a_violation() {
    each_role(|role| {
        let peer = other(role);
        let mut end = End::new(role, &Config::new());
        let mut bytes = vec![0x83];
        bytes.extend(frame(peer, Opcode::Ping, b""));
        bytes.extend(close_frame(peer, 1000, ""));
        let error = ProtocolError::ReservedOpcode(3);
        assert_eq!(end.receive(&bytes), (vec![], Err(error)));
        let frames = end.sent_frames();
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].payload, 1002_u16.to_be_bytes());
        let info = end.conn.close_info().unwrap();
        assert_eq!((info.initiator, info.code), (Initiator::Local, 1006));
        assert_eq!((info.error, info.sent_code), (Some(error), Some(CloseCode::PROTOCOL_ERROR)));
        assert_eq!(end.conn.receive_eof(), Outcome::Abnormal);
        assert_eq!(end.receive(b""), (vec![], Err(error)), "the error outlives EOF");
    });
}

/// what follows the peer's Close is discarded: data, pings, another Close, nonsense.
#[test]
fn bytes_after_the_peers_close_are_discarded() {
    each_role(|role| {
        let peer = other(role);
        let tails = [
            frame(peer, Opcode::Text, b"late"),
            frame(peer, Opcode::Ping, b"late"),
            close_frame(peer, 1002, "again"),
            vec![0xff; 100],
        ];
        for tail in tails {
            for together in [true, false] {
                let mut end = End::new(role, &Config::new());
                let mut bytes = close_frame(peer, 1000, "first");
                let mut events = Vec::new();
                if together {
                    bytes.extend(&tail);
                    events.extend(end.events(&bytes));
                } else {
                    events.extend(end.events(&bytes));
                    events.extend(end.events(&tail));
                }
                assert_eq!(events, [Got::Close(Some((1000, "first".into())))]);
                assert_eq!(end.sent_frames().len(), 1);
                assert_eq!(end.conn.close_info().unwrap().reason, "first");
                assert!(end.rx.is_idle());
            }
        }
    });
}

/// what was on its way when we closed still arrives.
#[test]
fn messages_still_arrive_after_our_close() {
    each_role(|role| {
        let peer = other(role);
        let mut end = End::new(role, &Config::new());
        end.conn.close(&mut end.tx, None).unwrap();
        let mut bytes = fragment(peer, false, Opcode::Text, b"a");
        bytes.extend(fragment(peer, true, Opcode::Continuation, b"b"));
        bytes.extend(frame(peer, Opcode::Binary, b"c"));
        bytes.extend(frame(peer, Opcode::Close, b""));
        assert_eq!(
            end.events(&bytes),
            [Got::Text("ab".into()), Got::Binary(b"c".into()), Got::Close(None)]
        );
        assert_eq!(end.sent_frames().len(), 1, "our Close, and no other");
    });
}

/// Close frames that cross.
#[test]
fn simultaneous_close() {
    let mut pair = Pair::new();
    let (client, server) = (&mut pair.client, &mut pair.server);
    client.conn.close(&mut client.tx, close(CloseCode::NORMAL, "c")).unwrap();
    server.conn.close(&mut server.tx, close(CloseCode::GOING_AWAY, "s")).unwrap();
    let (to_server, to_client) = (client.sent(), server.sent());
    assert_eq!(server.events(&to_server), [Got::Close(Some((1000, "c".into())))]);
    assert_eq!(client.events(&to_client), [Got::Close(Some((1001, "s".into())))]);
    for (end, code, reason) in [(client, 1001, "s"), (server, 1000, "c")] {
        assert_eq!(end.sent(), b"", "no second Close");
        let info = end.conn.close_info().unwrap();
        assert_eq!((info.initiator, info.code, &*info.reason), (Initiator::Local, code, reason));
        assert_eq!(end.conn.receive_eof(), Outcome::Clean);
    }
}

/// the transport ends without a Close: 1006, not clean, and nothing partial is
/// delivered.
#[test]
fn eof_without_a_close() {
    each_role(|role| {
        let peer = other(role);
        let whole = frame(peer, Opcode::Text, b"Hello");
        for cut in 0..whole.len() {
            let mut end = End::new(role, &Config::new());
            assert_eq!(end.events(&whole[..cut]), []);
            assert_eq!(end.conn.receive_eof(), Outcome::Abnormal);
            assert_eq!(end.events(&whole[cut..]), []);
            assert_eq!(end.conn.state(), State::Closed);
            assert_eq!(end.conn.transport(), Transport::Close);
            let info = end.conn.close_info().unwrap();
            assert_eq!((info.initiator, info.code), (Initiator::Network, 1006));
            assert_eq!((&*info.reason, info.clean, info.sent_code), ("", false, None));
            assert_eq!(end.sent(), b"", "there is nobody to write to");
            assert_eq!(end.conn.receive_eof(), Outcome::Abnormal);
        }
        // and in the middle of a message
        let mut end = End::new(role, &Config::new());
        end.events(&fragment(peer, false, Opcode::Text, b"part"));
        assert_eq!(end.conn.receive_eof(), Outcome::Abnormal);
        assert_eq!(end.events(&fragment(peer, true, Opcode::Continuation, b"rest")), []);
    });
}

/// an event that was found before EOF can still be taken.
#[test]
fn an_event_found_before_eof_is_not_lost() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        end.rx.extend_from_slice(&frame(other(role), Opcode::Text, b"Hello"));
        assert_eq!(end.conn.advance(&mut end.rx, &mut end.tx), Ok(true));
        end.conn.receive_eof();
        assert_eq!(end.events(b""), [Got::Text("Hello".into())]);
        assert!(end.rx.is_idle());
    });
}

/// each family of violations has its code.
#[test]
fn violations_are_answered_with_the_proper_code() {
    let config = Config::new().max_message_len(10).max_fragments(2).max_empty_fragments(1);
    each_role(|role| {
        let peer = other(role);
        let cases = [
            (vec![0x83], 1002),
            (frame(peer, Opcode::Text, b"\xff"), 1007),
            (frame(peer, Opcode::Close, b"\x03\xe8\xff"), 1007),
            (frame(peer, Opcode::Text, &[b'x'; 11]), 1009),
            (
                [
                    fragment(peer, false, Opcode::Text, b"a"),
                    fragment(peer, false, Opcode::Continuation, b"b"),
                    fragment(peer, false, Opcode::Continuation, b"c"),
                ]
                .concat(),
                1008,
            ),
            (
                [
                    fragment(peer, false, Opcode::Text, b""),
                    fragment(peer, false, Opcode::Continuation, b""),
                ]
                .concat(),
                1008,
            ),
        ];
        for (bytes, code) in cases {
            let mut end = End::new(role, &config);
            let error = end.receive(&bytes).1.unwrap_err();
            assert_eq!(error.close_code().as_u16(), code, "{error}");
            let frames = end.sent_frames();
            assert_eq!(frames.len(), 1);
            assert_eq!(frames[0].payload, error.close_code().as_u16().to_be_bytes());
        }
    });
}

/// the reason is escaped when it is shown for debugging.
#[test]
fn control_characters_in_a_reason_are_escaped() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        let events = end.events(&close_frame(other(role), 1000, "\u{1b}[31m"));
        assert_eq!(events, [Got::Close(Some((1000, "\u{1b}[31m".into())))]);
        let shown = format!("{:?}", end.conn.close_info());
        assert!(!shown.contains('\u{1b}') && shown.contains("[31m"));
    });
}

/// The time for the peer's Close begins when ours has left, and the bytes before it need to be
/// read.
#[test]
fn close_waits_for_what_comes_before_it() {
    both_roles_with(&Config::new().max_unsent(100_000_000), |mut end| {
        end.conn.feed(&mut end.tx, vec![0; 4_000_000]).unwrap();
        end.conn.close(&mut end.tx, Some(CloseCode::NORMAL.into())).unwrap();
        end.tick(Duration::ZERO);
        // 16 KiB in ten seconds, for an hour and a half
        let mut now = 0;
        while !end.tx.is_empty() {
            now += 10;
            let n = end.tx.remaining().min(16 * 1024);
            end.tx.advance(n);
            end.conn.note_written(n);
            end.conn.note_progress();
            end.tick(now * SECOND);
        }
        while end.conn.handle_timeout(now * SECOND, &mut end.tx).is_ok() {
            now += 1;
        }
        assert_eq!(now, 2_450 + 4 * 10, "some of it may still lie in the transport");
        assert_eq!(end.conn.close_info().unwrap().code, 1006);
    });
}

/// A peer that takes nothing does not hold a closing connection for long.
#[test]
fn close_gives_up_where_nothing_is_taken() {
    both_roles_with(&Config::new().max_unsent(100_000_000), |mut end| {
        end.conn.feed(&mut end.tx, vec![0; 2_000_000]).unwrap();
        // the transport has taken these, and they may still lie there
        end.conn.note_written(100_000);
        end.conn.close(&mut end.tx, Some(CloseCode::NORMAL.into())).unwrap();
        let mut now = 0;
        while end.conn.handle_timeout(now * SECOND, &mut end.tx).is_ok() {
            now += 1;
        }
        assert_eq!(now, 10 + 3 * 10);
    });
}

/// RFC 6455 §5.5.1: "An endpoint MAY delay sending a Close frame until its current message is
/// sent".
#[test]
fn close_waits_for_a_frame_that_comes_on() {
    both_roles(|mut end| {
        let message = frame(end.peer(), Opcode::Binary, &[7; 64 * 1024]);
        end.receive(&message[..100]).1.unwrap();
        end.conn.close(&mut end.tx, Some(CloseCode::NORMAL.into())).unwrap();
        end.sent();
        end.tick(Duration::ZERO);
        let mut now = 0;
        for part in message[100..].chunks(1000) {
            end.receive(part).1.unwrap();
            now += 10;
            end.tick(now * SECOND);
        }
        assert_eq!(end.conn.state(), State::Closing);
        end.events(&close_frame(end.peer(), 1000, ""));
        assert!(end.conn.close_info().unwrap().clean);
    });
}

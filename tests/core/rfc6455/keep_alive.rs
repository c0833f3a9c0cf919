//! Keep-alive pings and their time-outs (§5.5.2: "A Ping frame may serve either as a keepalive or
//! as a means to verify that the remote endpoint is still responsive").

use core::time::Duration;

use sansws::bytes::Buf;
use sansws::proto::{CloseInfo, Initiator, MessageKind, SendError, State, Timeout, Transport};
use sansws::wire::Opcode;
use sansws::{Config, KeepAlive};

use sansws_test::pair::*;

const SECOND: Duration = Duration::from_secs(1);

fn config() -> Config {
    Config::new().keep_alive(KeepAlive::Every(20 * SECOND)).pong_timeout(10 * SECOND)
}

/// An end whose timer has been started at `start`.
fn started(end: End, start: Duration) -> End {
    let mut end = end;
    assert_eq!(end.conn.poll_timeout(), Some(Duration::ZERO), "a new timer asks for the time");
    end.tick(start);
    assert_eq!(end.conn.poll_timeout(), Some(start + 20 * SECOND));
    assert_eq!(end.sent(), b"");
    end
}

/// The payload of the one ping in `tx`.
fn the_ping(end: &mut End) -> Vec<u8> {
    let frames = end.sent_frames();
    assert_eq!(frames.len(), 1, "{frames:?}");
    assert_eq!(frames[0].kind(), Opcode::Ping);
    frames[0].payload.clone()
}

#[test]
fn off_in_the_core_unless_set() {
    for config in [Config::new(), Config::new().keep_alive(KeepAlive::Off)] {
        both_roles_with(&config, |mut end| {
            assert_eq!(end.conn.poll_timeout(), None);
            end.tick(1_000_000 * SECOND);
            assert_eq!(end.sent(), b"");
            assert_eq!(end.conn.poll_timeout(), None);
        });
    }
}

/// The clock may begin anywhere.
#[test]
fn a_ping_is_sent_at_each_interval() {
    for start in [Duration::ZERO, 5 * SECOND, Duration::from_micros(u64::MAX / 2)] {
        both_roles_with(&config(), |end| {
            let mut end = started(end, start);
            end.tick(start + 20 * SECOND - Duration::from_nanos(1));
            assert_eq!(end.sent(), b"", "not before its time");
            let mut payloads = Vec::new();
            for i in 1..=5 {
                let now = start + i * 20 * SECOND;
                end.tick(now);
                let payload = the_ping(&mut end);
                end.events(&frame(end.peer(), Opcode::Pong, &payload));
                end.tick(now);
                payloads.push(payload);
            }
            payloads.dedup();
            assert_eq!(payloads.len(), 5, "each ping is told from the others by its payload");
        });
    }
}

/// K-5: the pong that answers our ping gives the round-trip time, any other does not.
#[test]
fn round_trip_time() {
    both_roles_with(&config(), |end| {
        let mut end = started(end, Duration::ZERO);
        end.tick(20 * SECOND);
        let payload = the_ping(&mut end);
        assert_eq!(end.conn.round_trip(), None);

        for unsolicited in [&b""[..], b"12345678", b"hello"] {
            end.events(&frame(end.peer(), Opcode::Pong, unsolicited));
        }
        end.tick(20 * SECOND + Duration::from_millis(10));
        assert_eq!(end.conn.round_trip(), None, "those were not the answer");

        end.events(&frame(end.peer(), Opcode::Pong, &payload));
        assert_eq!(end.conn.poll_timeout(), Some(Duration::ZERO), "the time is needed now");
        end.tick(20 * SECOND + Duration::from_millis(30));
        assert_eq!(end.conn.round_trip(), Some(Duration::from_millis(30)));
        assert_eq!(end.conn.poll_timeout(), Some(40 * SECOND));

        // the same pong once more changes nothing
        end.events(&frame(end.peer(), Opcode::Pong, &payload));
        end.tick(25 * SECOND);
        assert_eq!(end.conn.round_trip(), Some(Duration::from_millis(30)));
    });
}

/// The peer is gone: 1006 for the application, and a Close 1011 that the peer may still hear.
#[test]
fn no_answer_closes_the_connection() {
    both_roles_with(&config(), |end| {
        let mut end = started(end, Duration::ZERO);
        end.tick(20 * SECOND);
        the_ping(&mut end);
        assert_eq!(end.conn.poll_timeout(), Some(30 * SECOND));
        end.tick(30 * SECOND - Duration::from_nanos(1));

        let (conn, tx) = (&mut end.conn, &mut end.tx);
        assert_eq!(conn.handle_timeout(30 * SECOND, tx), Err(Timeout::KeepAlive));
        assert_eq!(conn.state(), State::Closed);
        assert_eq!(conn.transport(), Transport::Close);
        assert_eq!(conn.poll_timeout(), None);
        let CloseInfo { initiator, code, clean, sent_code, error, .. } = conn.close_info().unwrap();
        assert_eq!((initiator, code, clean, error), (Initiator::Local, 1006, false, None));
        assert_eq!(sent_code.map(u16::from), Some(1011));
        // sticky
        assert_eq!(conn.handle_timeout(31 * SECOND, tx), Err(Timeout::KeepAlive));
        assert_eq!(conn.feed(tx, "late"), Err(SendError::NotOpen));

        let frames = end.sent_frames();
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].kind(), Opcode::Close);
        assert_eq!(frames[0].payload[..2], 1011_u16.to_be_bytes());
        let late = frame(end.peer(), Opcode::Text, b"late");
        assert_eq!(end.events(&late), [], "nothing is taken from a peer that was given up");
        assert_eq!(end.sent(), b"");
    });
}

/// Whatever byte comes shows that the peer is alive, even one in the middle of a frame; but not for
/// ever, if no pong comes.
#[test]
fn any_byte_counts_as_life_for_a_time() {
    both_roles_with(&config(), |end| {
        let peer = end.peer();
        let mut end = started(end, Duration::ZERO);
        end.tick(20 * SECOND);
        the_ping(&mut end);
        let mut message = frame(peer, Opcode::Text, &[b'x'; 100]).into_iter();
        for look in 1..=16 {
            end.receive(&[message.next().unwrap()]).1.unwrap();
            end.tick((20 + 10 * look) * SECOND);
            assert_eq!(end.sent(), b"");
        }
        end.receive(&[message.next().unwrap()]).1.unwrap();
        let result = end.conn.handle_timeout(190 * SECOND, &mut end.tx);
        assert_eq!(result, Err(Timeout::KeepAlive));
    });
}

/// A message without a payload is one of them.
#[test]
fn empty_messages_count_as_life() {
    both_roles_with(&config(), |end| {
        let empty = frame(end.peer(), Opcode::Text, b"");
        let mut end = started(end, Duration::ZERO);
        end.tick(20 * SECOND);
        the_ping(&mut end);
        assert_eq!(end.events(&empty), [Got::Text(String::new())]);
        end.tick(30 * SECOND);
        let result = end.conn.handle_timeout(40 * SECOND, &mut end.tx);
        assert_eq!(result, Err(Timeout::KeepAlive));
    });
}

/// A peer that is sending one large frame cannot answer before its end, and is waited for as long
/// as it gets on: with 64 bytes a second.
#[test]
fn a_frame_that_comes_on_puts_the_pong_off() {
    both_roles_with(&config(), |end| {
        let peer = end.peer();
        let mut end = started(end, Duration::ZERO);
        end.tick(20 * SECOND);
        let ping = the_ping(&mut end);
        let message = frame(peer, Opcode::Binary, &[7; 64 * 1024]);
        let mut now = 20;
        for part in message.chunks(640 + 14) {
            end.receive(part).1.unwrap();
            now += 10;
            end.tick(now * SECOND);
            assert_eq!(end.sent(), b"", "after {now} s");
        }
        end.events(&frame(peer, Opcode::Pong, &ping));
        end.tick(now * SECOND);
        assert!(end.conn.round_trip().is_some());
    });
}

/// The same for a message in fragments whose sender answers all pings: it keeps memory busy.
#[test]
fn a_message_that_stands_still_is_given_up() {
    both_roles_with(&config(), |end| {
        let peer = end.peer();
        let mut end = started(end, Duration::ZERO);
        let mut begin = frame(peer, Opcode::Binary, &[7; 2000]);
        begin[0] &= 0x7f;
        end.receive(&begin).1.unwrap();
        let mut now = 0;
        let timeout = loop {
            now += 20;
            if let Err(timeout) = end.conn.handle_timeout(now * SECOND, &mut end.tx) {
                break timeout;
            }
            let ping = the_ping(&mut end);
            end.events(&frame(peer, Opcode::Pong, &ping));
            end.tick(now * SECOND);
        };
        // the first interval is that in which it came
        assert_eq!((timeout, now), (Timeout::Message, 18 * 20));
        assert_eq!(end.sent_frames()[0].payload[..2], 1008_u16.to_be_bytes());
    });
}

/// Those who take chunks as they come hold no message.
#[test]
fn chunks_may_take_their_time() {
    both_roles_with(config().delivery(Delivery::Chunks), |end| {
        let peer = end.peer();
        let mut end = started(end, Duration::ZERO);
        let mut begin = frame(peer, Opcode::Binary, b"a log that goes on and on");
        begin[0] &= 0x7f;
        end.events(&begin);
        for interval in 1..50 {
            end.tick(interval * 20 * SECOND);
            let ping = the_ping(&mut end);
            end.events(&frame(peer, Opcode::Pong, &ping));
            end.tick(interval * 20 * SECOND);
        }
    });
}

/// A peer gets time to read what lies in the transport before the ping: a look more for 16 KiB.
#[test]
fn bytes_before_the_ping_give_time() {
    for (written, looks) in [(0, 1), (16, 2), (60, 4), (100_000, 13)] {
        both_roles_with(&config().max_unsent(1_000_000_000), |end| {
            let mut end = started(end, Duration::ZERO);
            end.conn.note_written(written * 1024);
            end.tick(20 * SECOND);
            the_ping(&mut end);
            let mut now = 20;
            while end.conn.handle_timeout(now * SECOND, &mut end.tx).is_ok() {
                now += 1;
            }
            assert_eq!(now, 20 + 10 * looks, "{written} KiB");
        });
    }
}

/// A peer that takes 1 KB/s through a transport that says so once in two minutes.
#[test]
fn a_slow_reader_is_not_given_up() {
    both_roles_with(&config().pong_timeout(20 * SECOND).max_unsent(100_000_000), |end| {
        let peer = end.peer();
        let mut end = started(end, Duration::ZERO);
        // The transport holds 360 KB, and takes bytes again once a third is gone.
        let (mut held, mut sent) = (0_usize, 0_u64);
        let mut pings = Vec::new();
        end.conn.feed(&mut end.tx, vec![0; 4_000_000]).unwrap();
        let mut answered = 0;
        for now in 1..3600 {
            if held <= 240_000 && !end.tx.is_empty() {
                let n = end.tx.len().min(360_000 - held);
                end.tx.advance(n);
                held += n;
                sent += n as u64;
                end.conn.note_written(n);
                end.conn.note_progress();
            }
            held = held.saturating_sub(1000);
            while pings.first().is_some_and(|&(at, _)| at <= sent - held as u64) {
                let (_, number): (u64, u32) = pings.remove(0);
                end.events(&frame(peer, Opcode::Pong, &number.to_be_bytes()));
                answered += 1;
            }
            let before = end.tx.len();
            end.conn.handle_timeout(now * SECOND, &mut end.tx).unwrap();
            if end.tx.len() > before {
                pings.push((sent + end.tx.len() as u64, pings.len() as u32 + answered + 1));
            }
            if end.tx.len() < 1_000_000 {
                end.conn.feed(&mut end.tx, vec![0; 1_000_000]).unwrap();
            }
        }
    });
}

/// A peer that takes nothing, and one that takes bytes but never answers.
#[test]
fn a_peer_that_does_not_read_is_given_up() {
    both_roles_with(&config().max_unsent(100_000_000), |end| {
        let mut end = started(end, Duration::ZERO);
        end.conn.feed(&mut end.tx, vec![0; 4_000_000]).unwrap();
        end.tx.advance(3_000_000);
        end.conn.note_written(3_000_000);
        let mut now = 0;
        while end.conn.handle_timeout(now * SECOND, &mut end.tx).is_ok() {
            now += 1;
        }
        assert_eq!(now, 20 + 13 * 10);
    });
    both_roles_with(&config(), |end| {
        let mut end = started(end, Duration::ZERO);
        let mut now = 0;
        while end.conn.handle_timeout(now * SECOND, &mut end.tx).is_ok() {
            now += 1;
            end.conn.feed(&mut end.tx, &[0; 1000]).unwrap();
            let n = end.sent().len();
            end.conn.note_written(n);
        }
        assert_eq!(now, 20 + 2 * 10);
    });
}

/// A byte counts once, when it comes: the beginning of a header or of a control frame that lies in
/// the receive buffer says nothing about now.
#[test]
fn old_bytes_do_not_count_as_life() {
    both_roles_with(&config(), |end| {
        let peer = end.peer();
        let ping = frame(peer, Opcode::Ping, b"0123456789");
        for cut in 1..ping.len() {
            let mut end = started(End::new(end.conn.role(), &config()), Duration::ZERO);
            end.events(&ping[..cut]);
            end.tick(20 * SECOND);
            the_ping(&mut end);
            end.events(b"");
            end.tick(29 * SECOND);
            end.events(b"");
            let result = end.conn.handle_timeout(30 * SECOND, &mut end.tx);
            assert_eq!(result, Err(Timeout::KeepAlive), "{cut} bytes of a ping");
        }
    });
}

/// Bytes behind an event that nobody takes yet count as well: the application is slow, not the
/// peer.
#[test]
fn bytes_behind_a_pending_event_count_as_life() {
    both_roles_with(&config(), |end| {
        let peer = end.peer();
        let mut end = started(end, Duration::ZERO);
        end.rx.extend_from_slice(&frame(peer, Opcode::Text, b"pending"));
        assert_eq!(end.conn.advance(&mut end.rx, &mut end.tx), Ok(true));
        end.tick(20 * SECOND);
        the_ping(&mut end);
        end.rx.extend_from_slice(&frame(peer, Opcode::Text, b"more"));
        assert_eq!(end.conn.advance(&mut end.rx, &mut end.tx), Ok(true));
        end.tick(30 * SECOND);
        assert_eq!(end.events(b""), [Got::Text("pending".into()), Got::Text("more".into())]);
    });
}

/// The round trip is measured however often the caller looks at the clock, and whatever else comes
/// before the pong.
#[test]
fn early_looks_at_the_clock_do_not_lose_the_round_trip() {
    both_roles_with(&config(), |end| {
        let peer = end.peer();
        let mut end = started(end, Duration::ZERO);
        end.tick(20 * SECOND);
        let payload = the_ping(&mut end);
        end.events(&frame(peer, Opcode::Text, b"data before the pong"));
        end.tick(20 * SECOND + Duration::from_millis(5));
        end.events(&frame(peer, Opcode::Pong, &payload));
        end.tick(20 * SECOND + Duration::from_millis(40));
        assert_eq!(end.conn.round_trip(), Some(Duration::from_millis(40)));
    });
}

/// After a suspended night one ping is due, not thousands, and nobody is given up for it.
#[test]
fn a_suspended_clock_gives_one_ping() {
    both_roles_with(&config(), |end| {
        let mut end = started(end, Duration::ZERO);
        let morning = 8 * 3600 * SECOND;
        end.tick(morning);
        the_ping(&mut end);
        end.tick(morning);
        assert_eq!(end.sent(), b"");
        assert_eq!(end.conn.poll_timeout(), Some(morning + 10 * SECOND));
    });
}

/// With a pong time-out longer than the interval, one ping at a time is under way.
#[test]
fn a_slow_answer_does_not_pile_up_pings() {
    let config = config().pong_timeout(70 * SECOND);
    both_roles_with(&config, |end| {
        let mut end = started(end, Duration::ZERO);
        end.tick(20 * SECOND);
        let payload = the_ping(&mut end);
        end.tick(40 * SECOND);
        end.tick(60 * SECOND);
        assert_eq!(end.sent(), b"");
        end.events(&frame(end.peer(), Opcode::Pong, &payload));
        end.tick(61 * SECOND);
        assert_eq!(end.conn.round_trip(), Some(41 * SECOND));
        assert_ne!(the_ping(&mut end), payload, "the next one has been due for a while");
        assert_eq!(end.conn.handle_timeout(131 * SECOND, &mut end.tx), Err(Timeout::KeepAlive));
    });
}

/// K-8: the timer does not wait for room in the send buffer.
#[test]
fn a_blocked_writer_does_not_stop_the_timer() {
    both_roles_with(&config().max_unsent(100), |end| {
        let mut end = started(end, Duration::ZERO);
        end.conn.feed(&mut end.tx, &[0; 200]).unwrap();
        assert!(matches!(end.conn.feed(&mut end.tx, "x"), Err(SendError::BufferFull { .. })));
        let unsent = end.tx.len();
        end.tick(20 * SECOND);
        assert!(end.tx.len() > unsent, "the ping is queued");
        assert_eq!(end.conn.handle_timeout(30 * SECOND, &mut end.tx), Err(Timeout::KeepAlive));
    });
}

/// §5.4: a keep-alive ping may come between the fragments that we send.
#[test]
fn a_ping_passes_between_our_fragments() {
    both_roles_with(&config(), |end| {
        let mut end = started(end, Duration::ZERO);
        let mut writer = end.conn.start_message(MessageKind::Text).unwrap();
        writer.write(&mut end.tx, b"a").unwrap();
        end.tick(20 * SECOND);
        end.conn.resume_message().unwrap().finish(&mut end.tx, b"b").unwrap();
        let opcodes: Vec<_> = end.sent_frames().iter().map(|frame| frame.kind()).collect();
        assert_eq!(opcodes, [Opcode::Text, Opcode::Ping, Opcode::Continuation]);
    });
}

/// Receiving and sending ask for no look at the clock.
#[test]
fn messages_do_not_change_the_deadline() {
    both_roles_with(&config(), |end| {
        let peer = end.peer();
        let mut end = started(end, 7 * SECOND);
        let deadline = end.conn.poll_timeout();
        end.events(&frame(peer, Opcode::Text, b"hello"));
        end.conn.feed(&mut end.tx, "hello").unwrap();
        end.events(&frame(peer, Opcode::Ping, b"hello"));
        assert_eq!(end.conn.poll_timeout(), deadline);
    });
}

/// Extreme settings and times do not overflow: waits end at 49 days, the clock at 584 000 years.
#[test]
fn extreme_durations() {
    let config = Config::new()
        .keep_alive(KeepAlive::Every(Duration::MAX))
        .pong_timeout(Duration::MAX)
        .close_timeout(Duration::MAX);
    let longest = Duration::from_millis(u32::MAX.into());
    both_roles_with(&config, |mut end| {
        end.tick(SECOND);
        assert_eq!(end.conn.poll_timeout(), Some(SECOND + longest));
        end.tick(Duration::MAX);
        the_ping(&mut end);
        end.tick(Duration::ZERO);
        end.conn.close(&mut end.tx, None).unwrap();
        end.tick(SECOND);
        assert_eq!(end.conn.poll_timeout(), Some(SECOND + longest));
    });
}

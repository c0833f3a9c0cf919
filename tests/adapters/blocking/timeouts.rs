//! Time, on a real clock but in short pieces; and time-outs that the user sets.

use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use sansws::blocking::{Plain, WebSocket, accept_with, client};
use sansws::handshake::client::Request;
use sansws::proto::Timeout;
use sansws::{CloseCode, Config, Error, KeepAlive};

use crate::blocking::peer::{Peer, server, server_between, tcp, within};
use sansws_test::wire;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Runs something that must take `expected` and may be late, but not much.
fn lasting<T>(expected: Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let output = work();
    let took = start.elapsed();
    assert!(took >= expected - millis(5), "{took:?} instead of {expected:?}");
    assert!(took < expected * 2 + millis(500), "{took:?} instead of {expected:?}");
    output
}

/// An unanswered ping.
#[test]
fn a_peer_that_answers_nothing_is_given_up() {
    within(|| {
        let config =
            Config::new().keep_alive(KeepAlive::Every(millis(100))).pong_timeout(millis(150));
        let (mut ws, mut peer) = server(&config);
        let error = lasting(millis(250), || ws.recv().unwrap_err());
        assert!(matches!(error, Error::Timeout(Timeout::KeepAlive)), "{error:?}");
        for _ in 0..3 {
            assert!(ws.recv().unwrap_err().is_timeout());
            assert!(ws.send("hello?").unwrap_err().is_timeout());
            assert!(ws.close(CloseCode::NORMAL, "").unwrap_err().is_timeout());
        }
        assert_eq!(ws.close_info().unwrap().code, 1006);
        assert_eq!(peer.frame().unwrap().opcode, wire::PING);
    });
}

/// A pong is an answer, and its time is measured; so is any other byte, but not measured.
#[test]
fn a_pong_keeps_the_connection_and_is_measured() {
    within(|| {
        let config =
            Config::new().keep_alive(KeepAlive::Every(millis(100))).pong_timeout(millis(400));
        let (mut ws, mut peer) = server(&config);
        assert_eq!(ws.round_trip(), None);
        let talk = thread::spawn(move || {
            for _ in 0..4 {
                let ping = peer.frame().unwrap();
                assert_eq!(ping.opcode, wire::PING);
                thread::sleep(millis(20));
                peer.send(&wire::client(wire::PONG, &ping.payload));
            }
            let message = wire::client(wire::TEXT, b"enough");
            for byte in &message {
                thread::sleep(millis(70));
                peer.send(&[*byte]);
            }
            peer
        });
        assert_eq!(ws.recv().unwrap(), Some("enough".into()));
        let round_trip = ws.round_trip().unwrap();
        assert!(round_trip >= millis(19) && round_trip < millis(400), "{round_trip:?}");
        talk.join().unwrap();
    });
}

/// The adapter has no timer of its own and pings nobody by default.
#[test]
fn keep_alive_is_off_by_default() {
    within(|| {
        let (mut ws, mut peer) = server(&Config::new().pong_timeout(millis(10)));
        assert_eq!(ws.get_ref().read_timeout().unwrap(), None, "left over from the handshake");
        let talk = thread::spawn(move || {
            peer.io.set_read_timeout(Some(millis(200))).unwrap();
            let nothing = peer.io.read(&mut [0]).unwrap_err();
            assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
            peer.send(&wire::client(wire::TEXT, b"hello"));
            peer
        });
        assert_eq!(ws.recv().unwrap(), Some("hello".into()));
        talk.join().unwrap();
        // nor in any longer time
        assert_eq!(ws.into_parts().connection.poll_timeout(), None);
    });
}

///
#[test]
fn a_close_that_nobody_answers_times_out() {
    within(|| {
        for chatty in [false, true] {
            let (mut ws, mut peer) = server(&Config::new().close_timeout(millis(200)));
            let talk = thread::spawn(move || {
                assert_eq!(peer.frame().unwrap().close_code(), Some(1001));
                // without an end, if it must be
                while chatty && peer.io.write_all(&wire::client(wire::TEXT, b"la la la")).is_ok() {}
                let _ = peer.io.read(&mut [0]);
            });
            let error = lasting(millis(200), || ws.close(CloseCode::GOING_AWAY, "").unwrap_err());
            assert!(matches!(error, Error::Timeout(Timeout::Closing)), "{error:?}");
            assert!(ws.recv().unwrap_err().is_timeout());
            drop(ws);
            talk.join().unwrap();
        }
    });
}

/// K-8: a peer that takes no bytes is noticed while `send` waits.
#[test]
fn a_blocked_send_times_out() {
    within(|| {
        let config =
            Config::new().keep_alive(KeepAlive::Every(millis(100))).pong_timeout(millis(150));
        let (mut ws, _peer) = server(&config);
        let payload = vec![0; 16 << 20]; // more than the sockets hold
        let start = Instant::now();
        let error = ws.send(&payload).unwrap_err();
        assert!(matches!(error, Error::Timeout(Timeout::KeepAlive)), "{error:?}");
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        assert!(ws.recv().unwrap_err().is_timeout());
    });
}

/// A peer that takes bytes slowly but all the time is not given up, neither by keep-alive nor by
/// the closing handshake, and gets what was sent before the Close.
#[cfg(unix)]
#[test]
fn a_slow_reader_keeps_its_connection_and_gets_everything() {
    use std::os::unix::net::UnixStream;
    for closes_first in [false, true] {
        within(move || {
            let (near, far) = UnixStream::pair().unwrap();
            let config = Config::new()
                .keep_alive(KeepAlive::Every(millis(100)))
                .pong_timeout(millis(100))
                .close_timeout(millis(150));
            let (mut ws, peer) = server_between(near, far, &config);
            let payload = wire::pattern(2 << 20);
            let expected = payload.clone();
            let reading = thread::spawn(move || {
                let mut bytes = Vec::new();
                let mut io = peer.io;
                // 1 MB/s, ten times slower than the time-outs would have it
                let mut chunk = [0; 10_000];
                loop {
                    let n = io.read(&mut chunk).unwrap();
                    bytes.extend_from_slice(&chunk[..n]);
                    let (frames, _) = wire::frames_in(&bytes[..bytes.len().min(20)]);
                    assert!(frames.is_empty(), "the message is not the first");
                    if bytes.ends_with(&[0x88, 2, 0x03, 0xE8]) {
                        break;
                    }
                    assert!(n > 0, "cut off after {} bytes", bytes.len());
                    thread::sleep(millis(10));
                }
                io.write_all(&wire::client(wire::CLOSE, &wire::close_payload(1000, ""))).unwrap();
                let frames = wire::frames(&bytes);
                assert!(frames[0].payload == expected, "the message has changed");
            });
            if closes_first {
                // without room for anything else
                ws.feed(payload).unwrap();
            } else {
                ws.send(payload).unwrap();
            }
            ws.close(CloseCode::NORMAL, "").unwrap();
            reading.join().unwrap();
        });
    }
}

/// H-40: one absolute deadline, whether the client is silent or trickles; the answer is 408.
#[test]
fn a_client_that_is_too_slow_gets_a_408() {
    within(|| {
        for trickles in [false, true] {
            let (near, far) = tcp();
            let mut to = far.try_clone().unwrap();
            let trickle = thread::spawn(move || {
                for byte in &wire::REQUEST.as_bytes()[..150] {
                    if !trickles || to.write_all(&[*byte]).is_err() {
                        return;
                    }
                    thread::sleep(millis(10));
                }
                panic!("the time for this was over long ago");
            });
            let answer = thread::spawn(move || Peer::new(far).rest());
            let config = Config::new().handshake_timeout(millis(200));
            let start = Instant::now();
            let error = accept_with(near, &config).unwrap_err();
            assert!(matches!(error, Error::HandshakeTimeout), "{error:?}");
            // a second for the peer to read the answer
            assert!(
                (millis(195)..millis(1700)).contains(&start.elapsed()),
                "{:?}",
                start.elapsed()
            );
            let answer = String::from_utf8(answer.join().unwrap()).unwrap();
            assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
            trickle.join().unwrap();
        }
    });
}

/// C-32.
#[test]
fn a_client_gives_up_on_a_silent_server() {
    within(|| {
        let (near, _far) = tcp();
        let request = Request::new("ws://h/").unwrap();
        let config = Config::new().handshake_timeout(millis(200));
        let error = lasting(millis(200), || client(near, &request, &config).unwrap_err());
        assert!(matches!(error, Error::HandshakeTimeout), "{error:?}");
    });
}

/// A time-out of the user's own surfaces, and nothing is lost by it.
#[test]
fn a_read_timeout_of_the_user_loses_nothing() {
    within(|| {
        let (mut ws, mut peer) = server(&Config::new());
        ws.get_ref().set_read_timeout(Some(millis(20))).unwrap();
        let waits = |ws: &mut WebSocket<_>| {
            for _ in 0..2 {
                let error = ws.recv().unwrap_err();
                let Error::Io(io) = &error else { panic!("{error:?}") };
                assert!(matches!(io.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
                assert!(!error.is_disconnect());
                assert!(ws.next_event().is_err());
            }
        };
        waits(&mut ws);
        let frame = wire::client(wire::BINARY, &wire::pattern(300));
        for piece in frame.chunks(100) {
            peer.send(piece);
            if piece.len() == 100 {
                waits(&mut ws);
            }
        }
        assert_eq!(ws.recv().unwrap(), Some(wire::pattern(300).into()));
        waits(&mut ws);
        // sending goes on in between, and recv still flushes
        ws.feed("fed").unwrap();
        waits(&mut ws);
        assert_eq!(peer.frame().unwrap().text(), "fed");
    });
}

/// What the user has set outlives the handshake, whoever began it and how it ended, and keep-alive.
#[test]
fn time_outs_of_the_user_are_left_as_they_are() {
    use sansws::blocking::{accept, read_request};
    use sansws::handshake::server::{Accept, Reject};
    within(|| {
        let set = |io: &std::net::TcpStream| {
            io.set_read_timeout(Some(millis(200))).unwrap();
            io.set_write_timeout(Some(millis(400))).unwrap();
        };
        let check = |io: &std::net::TcpStream| {
            let found = [io.read_timeout().unwrap(), io.write_timeout().unwrap()];
            assert_eq!(found, [Some(millis(200)), Some(millis(400))]);
        };
        let request = Request::new("ws://h/").unwrap();
        for keep_alive in [KeepAlive::Off, KeepAlive::Every(millis(60_000))] {
            let config = Config::new().keep_alive(keep_alive);
            let (near, far) = tcp();
            [&near, &far].into_iter().for_each(set);
            let their_config = config.clone();
            let near = thread::spawn(move || {
                let incoming = read_request(near, &their_config).unwrap();
                check(incoming.get_ref());
                incoming.accept(&Accept::default()).unwrap()
            });
            let far = client(far, &request, &config).unwrap();
            for ws in &mut [near.join().unwrap(), far] {
                check(ws.get_ref());
                for _ in 0..2 {
                    let error = lasting(millis(200), || ws.recv().unwrap_err());
                    assert!(matches!(error, Error::Io(_)), "{error:?}");
                }
                check(ws.get_ref());
                // and what is set later
                ws.get_ref().set_read_timeout(Some(millis(100))).unwrap();
                lasting(millis(100), || ws.recv().unwrap_err());
                ws.get_ref().set_read_timeout(Some(millis(300))).unwrap();
                lasting(millis(300), || ws.recv().unwrap_err());
            }
        }
        // handshakes that fail, on streams that are only lent
        for refuses in [true, false] {
            let (mut near, mut far) = tcp();
            [&near, &far].into_iter().for_each(set);
            thread::scope(|scope| {
                scope.spawn(|| {
                    if refuses {
                        let incoming = read_request(&mut near, &Config::new()).unwrap();
                        incoming.reject(&Reject::new(403)).unwrap();
                    } else {
                        near.write_all(b"nonsense\r\n\r\n").unwrap();
                    }
                });
                client(&mut far, &request, &Config::new()).unwrap_err();
                check(&far);
                far.shutdown(std::net::Shutdown::Write).unwrap();
            });
            check(&near);
        }
        let (mut near, mut far) = tcp();
        set(&near);
        far.write_all(b"nonsense\r\n\r\n").unwrap();
        far.shutdown(std::net::Shutdown::Write).unwrap();
        accept(&mut near).unwrap_err();
        check(&near);
    });
}

/// The user's time-out counts from the last byte, however often keep-alive has its turn meanwhile.
#[test]
fn a_time_out_of_the_user_is_not_extended_by_keep_alive() {
    within(|| {
        let config =
            Config::new().keep_alive(KeepAlive::Every(millis(70))).pong_timeout(millis(900));
        let (mut ws, mut peer) = server(&config);
        ws.get_ref().set_read_timeout(Some(millis(300))).unwrap();
        for _ in 0..2 {
            let error = lasting(millis(300), || ws.recv().unwrap_err());
            assert!(matches!(error, Error::Io(_)), "{error:?}");
        }
        assert_eq!(peer.frame().unwrap().opcode, wire::PING);
    });
}

/// A time-out that the user takes off or lengthens takes ours off as well: what the connection
/// itself waits for is not forgotten by that, whoever waits and in which direction.
#[test]
fn a_time_out_that_is_taken_off_leaves_the_ones_of_the_connection() {
    let config = Config::new()
        .keep_alive(KeepAlive::Every(millis(100)))
        .pong_timeout(millis(150))
        .close_timeout(millis(200));
    within(move || {
        for later in [None, Some(Duration::from_secs(3600))] {
            // keep-alive, while reading
            let (mut ws, peer) = server(&config);
            let io = ws.get_ref().try_clone().unwrap();
            io.set_read_timeout(Some(millis(20))).unwrap();
            assert!(matches!(ws.recv(), Err(Error::Io(_))));
            io.set_read_timeout(later).unwrap();
            let error = ws.recv().unwrap_err();
            assert!(matches!(error, Error::Timeout(Timeout::KeepAlive)), "{error:?}");
            drop(peer);

            // the same for a half
            let (ws, peer) = server(&config);
            let io = ws.get_ref().try_clone().unwrap();
            let (mut receiver, sender) = ws.split();
            io.set_read_timeout(Some(millis(20))).unwrap();
            assert!(matches!(receiver.recv(), Err(Error::Io(_))));
            io.set_read_timeout(later).unwrap();
            let error = receiver.recv().unwrap_err();
            assert!(matches!(error, Error::Timeout(Timeout::KeepAlive)), "{error:?}");
            drop((sender, peer));

            // closing
            let (mut ws, peer) = server(&config);
            ws.get_ref().set_read_timeout(Some(millis(20))).unwrap();
            assert!(matches!(ws.close(CloseCode::NORMAL, ""), Err(Error::Io(_))));
            ws.get_ref().set_read_timeout(later).unwrap();
            let error = lasting(millis(175), || ws.close(CloseCode::NORMAL, "").unwrap_err());
            assert!(matches!(error, Error::Timeout(Timeout::Closing)), "{error:?}");
            drop(peer);

            // keep-alive, while writing
            let (mut ws, peer) = server(&config);
            ws.get_ref().set_write_timeout(Some(millis(20))).unwrap();
            assert!(matches!(ws.send(vec![0; 20_000_000]), Err(Error::Io(_))));
            ws.get_ref().set_write_timeout(later).unwrap();
            assert!(ws.flush().unwrap_err().is_timeout());
            drop(peer);

            // the same for a half
            let (ws, peer) = server(&config);
            let io = ws.get_ref().try_clone().unwrap();
            let (receiver, sender) = ws.split();
            io.set_write_timeout(Some(millis(20))).unwrap();
            assert!(matches!(sender.send(vec![0; 20_000_000]), Err(Error::Io(_))));
            io.set_write_timeout(later).unwrap();
            assert!(sender.flush().unwrap_err().is_timeout());
            drop((receiver, peer));
        }
    });
}

/// What arrives while a write waits is taken in, also after the user has lengthened the time-outs.
#[test]
fn a_write_takes_in_what_arrives_after_a_time_out_was_taken_off() {
    within(|| {
        let (mut ws, mut peer) = server(&Config::new());
        ws.get_ref().set_read_timeout(Some(millis(20))).unwrap();
        ws.get_ref().set_write_timeout(Some(millis(20))).unwrap();
        assert!(matches!(ws.send(vec![0; 20_000_000]), Err(Error::Io(_))));
        ws.get_ref().set_read_timeout(None).unwrap();
        ws.get_ref().set_write_timeout(Some(millis(200))).unwrap();
        let error = lasting(millis(200), || ws.flush().unwrap_err());
        assert!(matches!(error, Error::Io(_)), "{error:?}");
        // the peer reads now, but only once what it sends is read
        let answers = thread::spawn(move || {
            for _ in 0..500 {
                peer.send(&wire::client(wire::BINARY, &wire::pattern(10_000)));
            }
            let frame = peer.frame().unwrap();
            assert_eq!(frame.payload.len(), 20_000_000);
            peer
        });
        ws.get_ref().set_write_timeout(None).unwrap();
        while ws.flush().is_err() {}
        let mut peer = answers.join().unwrap();
        for _ in 0..500 {
            ws.get_ref().set_read_timeout(None).unwrap();
            assert_eq!(ws.recv().unwrap(), Some(wire::pattern(10_000).into()));
        }
        peer.send(&wire::client(wire::CLOSE, &[]));
        assert_eq!(ws.recv().unwrap(), None);
    });
}

/// The same for writes: what was taken stays queued.
#[cfg(unix)]
#[test]
fn a_write_timeout_of_the_user_loses_nothing() {
    use std::os::unix::net::UnixStream;
    within(|| {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_write_timeout(Some(millis(20))).unwrap();
        // without time-outs of the adapter's own
        let (mut ws, mut peer) = server_between(Plain(near), far, &Config::new());
        let payload = wire::pattern(4 << 20);
        let error = ws.send(&payload).unwrap_err();
        let Error::Io(io) = &error else { panic!("{error:?}") };
        assert!(matches!(io.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        let unsent = ws.unsent();
        assert!(unsent > 0);
        // there is no room: the next is not taken
        assert!(matches!(ws.send("more"), Err(Error::Io(_))));
        assert_eq!(ws.unsent(), unsent);
        let reader = thread::spawn(move || (peer.frame().unwrap(), peer.frame().unwrap()));
        loop {
            match ws.flush() {
                Ok(()) => break,
                Err(error) => assert!(matches!(error, Error::Io(_)), "{error:?}"),
            }
        }
        ws.send("behind").unwrap();
        let (frame, behind) = reader.join().unwrap();
        assert!(frame.payload == payload, "the message has changed");
        assert_eq!(behind.text(), "behind");
    });
}

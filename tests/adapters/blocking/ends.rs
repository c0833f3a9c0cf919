//! How connections end: in good order, and in every other way.

use std::io::ErrorKind;
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use sansws::blocking::{Transport, WebSocket};
use sansws::proto::{Initiator, SendError, State};
use sansws::{CloseCode, Config, Error, ProtocolError};

use crate::blocking::peer::{client_and_peer, pair, server, within};
use sansws_test::wire;

/// The same error, whoever asks and however often.
fn assert_disconnected<S: Transport + std::fmt::Debug>(ws: &mut WebSocket<S>) {
    for _ in 0..3 {
        let error = ws.recv().unwrap_err();
        assert!(error.is_disconnect() && !error.is_timeout(), "{error:?}");
        assert!(ws.next_event().unwrap_err().is_disconnect());
        assert!(ws.send("into the void").unwrap_err().is_disconnect());
        assert!(ws.feed("into the void").unwrap_err().is_disconnect());
        assert!(ws.close(CloseCode::NORMAL, "").unwrap_err().is_disconnect());
    }
    let info = ws.close_info().unwrap();
    assert_eq!((info.initiator, info.code, info.clean), (Initiator::Network, 1006, false));
    assert_eq!((ws.state(), ws.unsent()), (State::Closed, 0));
}

/// whoever closes, both ends agree on it, and the answer stays.
#[test]
fn both_ends_know_how_it_was_closed() {
    for server_closes in [false, true] {
        within(move || {
            let (server, client) = pair(&Config::new());
            let (mut closing, mut closed) =
                if server_closes { (server, client) } else { (client, server) };
            let close = thread::spawn(move || {
                closing.close(CloseCode::GOING_AWAY, "done \u{2713}").unwrap();
                closing.close(CloseCode::NORMAL, "again").unwrap();
                assert_eq!(closing.recv().unwrap(), None);
                let info = closing.close_info().unwrap();
                assert_eq!(
                    (info.initiator, info.code, &*info.reason),
                    (Initiator::Local, 1001, "")
                );
                assert_eq!((info.clean, info.sent_code), (true, Some(CloseCode::GOING_AWAY)));
            });
            for _ in 0..3 {
                assert_eq!(closed.recv().unwrap(), None);
                assert!(closed.next_event().unwrap().is_none());
            }
            let info = closed.close_info().unwrap();
            let seen = (info.initiator, info.code, &*info.reason, info.clean);
            assert_eq!(seen, (Initiator::Peer, 1001, "done \u{2713}", true));
            closed.close(CloseCode::NORMAL, "").unwrap();
            let error = closed.send("too late").unwrap_err();
            assert!(matches!(error, Error::Send(SendError::NotOpen)), "{error:?}");
            drop(closed);
            close.join().unwrap();
        });
    }
}

///
#[test]
fn both_ends_may_close_at_once() {
    within(|| {
        let (mut server, mut client) = pair(&Config::new());
        server.start_close(CloseCode::GOING_AWAY, "").unwrap();
        server.flush().unwrap();
        client.start_close(CloseCode::NORMAL, "").unwrap();
        client.flush().unwrap();
        let client = thread::spawn(move || {
            assert_eq!(client.recv().unwrap(), None);
            let info = client.close_info().unwrap();
            assert_eq!(
                (info.code, info.clean, info.sent_code),
                (1001, true, Some(CloseCode::NORMAL))
            );
        });
        assert_eq!(server.recv().unwrap(), None);
        let info = server.close_info().unwrap();
        assert_eq!((info.code, info.clean), (1000, true));
        client.join().unwrap();
    });
}

/// the server hangs up first, and a client waits for that.
#[test]
fn a_server_closes_tcp_first() {
    within(|| {
        let (mut ws, mut peer) = server(&Config::new());
        peer.send(&wire::client(wire::CLOSE, &wire::close_payload(1000, "")));
        let end = thread::spawn(move || ws.recv());
        assert_eq!(peer.frame().unwrap().close_code(), Some(1000));
        assert_eq!(peer.frame(), None, "the end of file comes by itself");
        drop(peer);
        assert_eq!(end.join().unwrap().unwrap(), None);

        let (mut ws, mut peer) = client_and_peer(&Config::new());
        let end = thread::spawn(move || {
            let closed = ws.close(CloseCode::NORMAL, "");
            (ws, closed)
        });
        assert_eq!(peer.frame().unwrap().close_code(), Some(1000));
        peer.send(&wire::server(wire::CLOSE, &wire::close_payload(1000, "")));
        peer.io.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut byte = [0];
        let waited = std::io::Read::read(&mut peer.io, &mut byte).unwrap_err();
        assert_eq!(waited.kind(), ErrorKind::WouldBlock, "the client has hung up first");
        assert!(!end.is_finished());
        peer.io.shutdown(Shutdown::Write).unwrap();
        let (ws, closed) = end.join().unwrap();
        closed.unwrap();
        assert!(ws.close_info().unwrap().clean);
    });
}

/// what arrives between our Close and the peer's is delivered; what follows is not.
#[test]
fn messages_arrive_until_the_peers_close() {
    within(|| {
        let (mut ws, mut peer) = server(&Config::new());
        ws.start_close(CloseCode::NORMAL, "").unwrap();
        let frames = [
            wire::client(wire::TEXT, b"before"),
            wire::client(wire::PING, b"p"),
            wire::client(wire::CLOSE, &wire::close_payload(1000, "")),
            wire::client(wire::TEXT, b"behind"),
        ];
        peer.send(&frames.concat());
        peer.io.shutdown(Shutdown::Write).unwrap();
        assert_eq!(ws.recv().unwrap(), Some("before".into()));
        assert_eq!(ws.recv().unwrap(), None);
        drop(ws);
        let answers = wire::frames(&peer.rest());
        let opcodes: Vec<_> = answers.iter().map(|frame| frame.opcode).collect();
        assert_eq!(opcodes, [wire::CLOSE, wire::PONG]);
    });
}

/// an end of file is an error wherever it comes, and messages before it are delivered.
#[test]
fn an_end_of_file_is_a_disconnect() {
    within(|| {
        let whole = wire::client(wire::TEXT, b"whole");
        let fragment = wire::encode(false, wire::TEXT, Some([1; 4]), b"part");
        let frame = wire::client(wire::BINARY, &wire::pattern(300));
        for tail in [&[][..], &frame[..1], &frame[..5], &frame[..100], &fragment, &fragment[..8]] {
            let (mut ws, mut peer) = server(&Config::new());
            peer.send(&[&whole, tail].concat());
            drop(peer);
            assert_eq!(ws.recv().unwrap(), Some("whole".into()));
            let error = ws.recv().unwrap_err();
            assert!(matches!(error, Error::Disconnected(None)), "{error:?}");
            assert_disconnected(&mut ws);
        }
    });
}

/// A peer that closes with unread data resets the connection; what it sent before counts
/// (other systems than this one throw it away).
#[cfg(target_os = "linux")]
#[test]
fn messages_before_a_reset_are_delivered() {
    within(|| {
        let (mut ws, mut peer) = server(&Config::new());
        peer.send(&[wire::client(wire::TEXT, b"one"), wire::client(wire::TEXT, b"two")].concat());
        ws.send("never read").unwrap();
        // it is in the peer's socket when the peer can see it
        peer.io.peek(&mut [0]).unwrap();
        drop(peer);
        assert_eq!(ws.recv().unwrap(), Some("one".into()));
        assert_eq!(ws.recv().unwrap(), Some("two".into()));
        let error = ws.recv().unwrap_err();
        let Error::Disconnected(Some(io)) = &error else { panic!("{error:?}") };
        assert_eq!(io.kind(), ErrorKind::ConnectionReset);
        assert_disconnected(&mut ws);
    });
}

/// The peer cannot be written to any more; what it said before is delivered all the same.
#[cfg(target_os = "linux")]
#[test]
fn messages_are_delivered_although_the_peer_is_gone() {
    within(|| {
        let (mut ws, mut peer) = server(&Config::new());
        // in one packet, or some of it would still wait at the peer when the reset comes
        peer.send(&wire::client(wire::TEXT, b"message").repeat(100));
        drop(peer);
        let mut writes = 0;
        while ws.send("anybody there?").is_ok() {
            writes += 1;
            assert!(writes < 100, "writing never fails");
            thread::sleep(Duration::from_millis(1));
        }
        for _ in 0..100 {
            assert_eq!(ws.recv().unwrap(), Some("message".into()));
        }
        assert_disconnected(&mut ws);
    });
}

/// a Close with the right code, the end of file, and a local error that names the rule.
#[test]
fn a_violation_is_told_to_the_peer() {
    within(|| {
        let cases = [
            (wire::server(wire::TEXT, b"not masked"), ProtocolError::UnmaskedFrame, 1002),
            (wire::client(wire::TEXT, b"\xff"), ProtocolError::InvalidUtf8, 1007),
        ];
        for (bytes, expected, code) in cases {
            let (mut ws, mut peer) = server(&Config::new());
            peer.send(&[&bytes[..], &wire::client(wire::PING, b"not answered")].concat());
            let receive = thread::spawn(move || {
                for _ in 0..3 {
                    let error = ws.recv().unwrap_err();
                    assert!(matches!(&error, Error::Protocol(error) if *error == expected));
                    assert_eq!(error.close_code().map(CloseCode::as_u16), Some(code));
                }
                assert!(ws.send("too late").is_err());
                assert_eq!(ws.close_info().unwrap().error, Some(expected));
            });
            assert_eq!(peer.frame().unwrap().close_code(), Some(code));
            assert_eq!(peer.frame(), None);
            drop(peer);
            receive.join().unwrap();
        }
    });
}

/// the Close can be read although much was sent behind the violation.
#[test]
fn the_close_survives_what_the_peer_still_sends() {
    within(|| {
        let (mut ws, mut peer) = server(&Config::new());
        let receive = thread::spawn(move || ws.recv());
        peer.send(&wire::server(wire::TEXT, b"not masked"));
        peer.send(&[0; 60_000]);
        thread::sleep(Duration::from_millis(50));
        assert_eq!(peer.frame().unwrap().close_code(), Some(1002));
        assert_eq!(peer.frame(), None);
        drop(peer);
        assert!(matches!(receive.join().unwrap(), Err(Error::Protocol(_))));
    });
}

/// Dropping is not closing.
#[test]
fn dropping_a_socket_is_1006_for_the_peer() {
    within(|| {
        let (server, mut client) = pair(&Config::new());
        drop(server);
        assert!(matches!(client.recv(), Err(Error::Disconnected(None))));
        assert_disconnected(&mut client);
    });
}

/// After both Close frames a reset is as good an end as any.
#[test]
fn a_reset_after_the_closing_handshake_is_a_clean_end() {
    within(|| {
        let (mut ws, mut peer) = server(&Config::new());
        ws.send("never read").unwrap();
        peer.io.peek(&mut [0]).unwrap();
        peer.send(&wire::client(wire::CLOSE, &wire::close_payload(1000, "")));
        drop(peer); // with unread data: a reset
        assert_eq!(ws.recv().unwrap(), None);
        assert!(ws.close_info().unwrap().clean);
    });
}

/// A peer that answers a Close by hanging up has not closed well.
#[test]
fn an_end_of_file_instead_of_a_close_is_a_disconnect() {
    within(|| {
        let (mut ws, mut peer) = server(&Config::new());
        let try_shutdown = thread::spawn(move || peer.frame().unwrap().close_code());
        let error = ws.close(CloseCode::NORMAL, "").unwrap_err();
        assert!(error.is_disconnect(), "{error:?}");
        assert_eq!(try_shutdown.join().unwrap(), Some(1000));
        let info = ws.close_info().unwrap();
        assert_eq!((info.initiator, info.code, info.clean), (Initiator::Local, 1006, false));
    });
}

//! Sockets for an HTTP server that is not ours: one that has begun to read a connection, and one
//! that takes requests apart and writes responses itself.

use std::io::{Read, Write};
use std::thread;

use sansws::blocking::{WebSocket, accept_with_prefix, connect_with, read_request_with_prefix};
#[cfg(feature = "deflate")]
use sansws::deflate::Deflate;
use sansws::handshake::HandshakeError;
use sansws::handshake::client;
use sansws::handshake::server::{Accept, Reject, Request};
use sansws::{CloseCode, Config, Error};

use crate::blocking::peer::{Peer, listen, tcp, within};
use sansws_test::wire;

/// H-35: wherever somebody has stopped reading, nothing is lost and nothing is read twice.
#[test]
fn what_was_read_before_is_not_lost() {
    within(|| {
        let message = wire::client(wire::BINARY, &wire::pattern(30_000));
        let hello = wire::client(wire::TEXT, b"Hello");
        let all = [wire::REQUEST.as_bytes(), &hello, &message].concat();
        let head = wire::REQUEST.len();
        for cut in [0, 1, 100, head - 1, head, head + 1, head + 5, head + 20_000, all.len()] {
            let (near, far) = tcp();
            let mut peer = Peer::new(far);
            peer.send(&all[cut..]);
            let ws = accept_with_prefix(near, &all[..cut], &Config::new());
            let mut ws = ws.expect("a handshake");
            assert_eq!(wire::header(&peer.head(), "sec-websocket-accept"), Some(wire::ACCEPT));
            assert_eq!(ws.recv().unwrap(), Some("Hello".into()));
            assert_eq!(ws.recv().unwrap(), Some(wire::pattern(30_000).into()));
            ws.send("back").unwrap();
            assert_eq!(peer.frame().unwrap().text(), "back");
        }
    });
}

/// H-1, H-14, P-15.
#[test]
fn wrong_requests_are_answered() {
    within(|| {
        let mut long = wire::REQUEST.replace("\r\n\r\n", "\r\nX: ");
        long.push_str(&"x".repeat(17_000));
        let too_long = HandshakeError::HeadTooLong { limit: 16 * 1024 };
        let version = wire::REQUEST.replace("Version: 13", "Version: 8");
        for (received, status, expected) in [
            (version, 426, HandshakeError::UnsupportedVersion),
            ("nonsense\r\n\r\n".into(), 400, HandshakeError::MalformedStartLine),
            (long, 431, too_long),
        ] {
            let (near, far) = tcp();
            let mut peer = Peer::new(far);
            let accept = thread::spawn(move || {
                accept_with_prefix(near, received.as_bytes(), &Config::new()).map(drop)
            });
            let head = peer.head();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            drop(peer);
            let error = accept.join().unwrap().unwrap_err();
            assert!(matches!(&error, Error::Handshake(error) if *error == expected), "{error:?}");
        }
    });
}

#[test]
fn a_request_may_be_looked_at_and_rejected() {
    within(|| {
        let (near, far) = tcp();
        let mut peer = Peer::new(far);
        let incoming =
            read_request_with_prefix(near, wire::REQUEST.as_bytes(), &Config::new()).unwrap();
        assert_eq!(incoming.request().path(), "/chat");
        let reject = thread::spawn(move || {
            incoming.reject(&Reject::new(404)).unwrap();
        });
        assert!(peer.head().starts_with("HTTP/1.1 404 "));
        drop(peer);
        reject.join().unwrap();
    });
}

/// H-22, H-24, H-35: a stack that does it all by itself, with a subprotocol and compression.
#[test]
fn a_stack_that_writes_the_response_itself() {
    within(|| {
        #[cfg(feature = "deflate")]
        let config = Config::new().deflate(Deflate::new().threshold(0));
        #[cfg(not(feature = "deflate"))]
        let config = Config::new();
        let (listener, url) = listen();
        let text = "abc".repeat(10_000);
        let expected = text.clone();
        let their_config = config.clone();
        let serve = thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let (mut received, mut chunk) = (Vec::new(), [0; 4096]);
            let end = loop {
                let n = stream.read(&mut chunk).unwrap();
                received.extend_from_slice(&chunk[..n]);
                if let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                    break end;
                }
            };
            let rest = received.split_off(end + 4);
            let head = String::from_utf8(received).unwrap();
            let headers = head.trim_end().lines().skip(1);
            let headers = headers.map(|line| line.split_once(": ").unwrap());
            let request = Request::from_parts("GET", "/", headers, &their_config).unwrap();
            let accept = Accept::new().subprotocol("chat");
            let upgrade = request.upgrade(&accept, &their_config).unwrap();
            write!(stream, "HTTP/1.1 101 Switching Protocols\r\n").unwrap();
            for (name, value) in upgrade.headers() {
                write!(stream, "{name}: {value}\r\n").unwrap();
            }
            write!(stream, "\r\n").unwrap();
            let mut ws = WebSocket::from_upgrade(stream, upgrade, &rest);
            assert_eq!(ws.subprotocol(), Some("chat"));
            #[cfg(feature = "deflate")]
            assert!(ws.deflate().is_some());
            assert_eq!(ws.recv().unwrap(), Some(expected.as_str().into()));
            ws.close(CloseCode::NORMAL, "").unwrap();
        });
        let request = client::Request::new(&url).unwrap().subprotocol("chat");
        let mut client = connect_with(&request, &config).unwrap();
        assert_eq!(client.subprotocol(), Some("chat"));
        client.send(&text).unwrap();
        assert_eq!(client.recv().unwrap(), None);
        serve.join().unwrap();
    });
}

/// A client's stack that has read the response itself, and the beginning of the first frame behind
/// it.
#[test]
fn a_stack_that_reads_the_response_itself() {
    within(|| {
        let request = client::Request::new("ws://example.com/").unwrap().subprotocol("chat");
        let offer = request.offer_connect(&Config::new()).unwrap();
        let response = offer.confirm(200, [("sec-websocket-protocol", "chat")]).unwrap();
        let (near, far) = tcp();
        let mut peer = Peer::new(far);
        let message = wire::server(wire::BINARY, &wire::pattern(300));
        peer.send(&message[57..]);
        let accepted = response.into_result().unwrap();
        let mut ws = WebSocket::from_accepted(near, accepted, &message[..57]).unwrap();
        assert_eq!(ws.subprotocol(), Some("chat"));
        assert_eq!(ws.recv().unwrap(), Some(wire::pattern(300).into()));
        ws.send("back").unwrap();
        let frame = peer.frame().unwrap();
        assert!(frame.mask.is_some() && frame.text() == "back");
    });
}

/// H-35: frames that came with the head.
#[test]
fn early_frames_survive_another_stack() {
    within(|| {
        let lines = wire::REQUEST.trim_end().lines().skip(1);
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        let config = Config::new();
        let request = Request::from_parts("GET", "/chat", headers, &config).unwrap();
        let upgrade = request.upgrade(&Accept::default(), &config).unwrap();
        let (near, far) = tcp();
        let mut peer = Peer::new(far);
        let message = wire::client(wire::BINARY, &wire::pattern(300));
        peer.send(&message[57..]);
        let mut ws = WebSocket::from_upgrade(near, upgrade, &message[..57]);
        assert_eq!(ws.recv().unwrap(), Some(wire::pattern(300).into()));
    });
}

//! The opening handshake: what goes through, what is refused, and how that is told.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use sansws::blocking::{Plain, accept, accept_with, client, connect, connect_with, read_request};
use sansws::handshake::HandshakeError;
use sansws::handshake::client::Request;
use sansws::handshake::server::{Accept, Reject};
use sansws::{Config, Error};

use crate::blocking::peer::{Peer, listen, tcp, within};
use crate::blocking::script::{Op, Script};
use sansws_test::wire;

/// H-22, C-7.
#[test]
fn both_ends_agree_on_a_subprotocol() {
    within(|| {
        let (listener, url) = listen();
        let serve = thread::spawn(move || {
            let incoming = read_request(listener.accept().unwrap().0, &Config::new()).unwrap();
            let request = incoming.request();
            assert_eq!((request.path(), request.query()), ("/room", Some("7")));
            assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["chat.v2", "chat.v1"]);
            incoming.accept(&Accept::new().subprotocol("chat.v1").header("A", "b")).unwrap()
        });
        let request = Request::new(&format!("{url}room?7")).unwrap();
        let request = request.subprotocol("chat.v2").subprotocol("chat.v1");
        let client = connect_with(&request, &Config::new()).unwrap();
        assert_eq!(client.subprotocol(), Some("chat.v1"));
        assert_eq!(serve.join().unwrap().subprotocol(), Some("chat.v1"));
    });
}

/// H-35: frames that follow the request in the same packet wait for the answer.
#[test]
fn frames_behind_the_request_survive_a_slow_answer() {
    within(|| {
        let (near, far) = tcp();
        let mut peer = Peer::new(far);
        peer.send(&[wire::REQUEST.as_bytes(), &wire::client(wire::TEXT, b"Hello")].concat());
        let incoming = read_request(near, &Config::new()).unwrap();
        thread::sleep(Duration::from_millis(20));
        let mut ws = incoming.accept(&Accept::default()).unwrap();
        assert!(peer.head().starts_with("HTTP/1.1 101 "));
        assert_eq!(ws.recv().unwrap(), Some("Hello".into()));
    });
}

/// H-20, H-21, C-11: whatever the server says instead, the client gets to see.
#[test]
fn a_refusal_reaches_the_client_with_everything_in_it() {
    within(|| {
        let cases = [
            (401, ("WWW-Authenticate", "Basic realm=\"x\""), "", "401 Unauthorized"),
            (403, ("X-Why", "origin"), "no entry", "403 Forbidden"),
            (404, ("Content-Type", "text/html"), "<h1>not here</h1>", "404 Not Found"),
        ];
        for (status, header, body, expected) in cases {
            let (listener, url) = listen();
            let serve = thread::spawn(move || {
                let incoming = read_request(listener.accept().unwrap().0, &Config::new()).unwrap();
                incoming
                    .reject(&Reject::new(status).header(header.0, header.1).body(body.as_bytes()))
            });
            let error = connect(&url).unwrap_err();
            let Error::Refused(refused) = &error else { panic!("{error:?}") };
            assert_eq!((refused.status(), refused.body()), (status, body.as_bytes()));
            assert_eq!(refused.header(header.0), Some(header.1));
            assert!(error.to_string().contains(expected), "{error}");
            serve.join().unwrap().unwrap();
        }
    });
}

/// H-1, H-41.
#[test]
fn a_wrong_request_gets_an_answer() {
    within(|| {
        let get = "GET / HTTP/1.1\r\nHost: h\r\n";
        let cases = [
            ("\x16\x03\x01\x02\x00\x01".to_string(), HandshakeError::TlsBytes, 400),
            (format!("{get}\r\n"), HandshakeError::NotAnUpgrade, 426),
            (wire::REQUEST.replace("GET", "POST"), HandshakeError::InvalidMethod, 405),
            (wire::REQUEST.replace("n: 13", "n: 8"), HandshakeError::UnsupportedVersion, 426),
        ];
        for (request, expected, status) in cases {
            let (near, far) = tcp();
            let mut peer = Peer::new(far);
            peer.send(request.as_bytes());
            let answer = thread::spawn(move || String::from_utf8(peer.rest()).unwrap());
            match accept(near) {
                Err(Error::Handshake(error)) => assert_eq!(error, expected, "{request:?}"),
                other => panic!("{other:?} for {request:?}"),
            }
            let answer = answer.join().unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        }
    });
}

/// H-39: the answer can be read although 64 KiB were sent that nobody wanted.
#[test]
fn an_answer_survives_what_the_peer_still_sends() {
    within(|| {
        for rejected in [false, true] {
            let (near, far) = tcp();
            let mut peer = Peer::new(far);
            let talk = thread::spawn(move || {
                let request = if rejected { wire::REQUEST } else { "GET / HTTP/1.1\r\nX: " };
                let mut bytes = request.as_bytes().to_vec();
                bytes.resize(64 * 1024, b'a');
                peer.send(&bytes);
                thread::sleep(Duration::from_millis(50)); // time for a reset to arrive
                String::from_utf8(peer.rest()).unwrap()
            });
            if rejected {
                let incoming = read_request(near, &Config::new()).unwrap();
                incoming.reject(&Reject::new(403)).unwrap();
            } else {
                let error = accept(near).unwrap_err();
                let named = HandshakeError::HeadTooLong { limit: 16 * 1024 };
                assert!(matches!(&error, Error::Handshake(error) if *error == named), "{error:?}");
            }
            let answer = talk.join().unwrap();
            let status = if rejected { "403" } else { "431" };
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer:?}");
        }
    });
}

/// P-26.
#[test]
fn an_answer_that_cannot_be_sent_becomes_a_500() {
    within(|| {
        let (near, far) = tcp();
        let mut peer = Peer::new(far);
        peer.send(wire::REQUEST.as_bytes());
        let answer = thread::spawn(move || String::from_utf8(peer.rest()).unwrap());
        let incoming = read_request(near, &Config::new()).unwrap();
        let accept = Accept::new().header("X", "a\r\nEvil: yes");
        assert!(matches!(incoming.accept(&accept), Err(Error::Usage(_))));
        let answer = answer.join().unwrap();
        assert!(answer.starts_with("HTTP/1.1 500 ") && !answer.contains("Evil"), "{answer}");
    });
}

/// C-1, C-2, C-27, C-28, A-2: errors before anything is connected.
#[test]
fn what_cannot_be_connected_is_an_error() {
    within(|| {
        for url in ["", "http://h/", "ws://", "ws://h/#fragment", "ws://h:99999/"] {
            assert!(matches!(connect(url), Err(Error::Url(_))), "{url}");
        }
        #[cfg(not(feature = "rustls-no-provider"))]
        assert_eq!(
            connect("wss://localhost/").unwrap_err().to_string(),
            "`wss://` needs TLS: enable feature `rustls` of sansws (cargo add sansws -F rustls)"
        );
        let (listener, url) = listen();
        drop(listener);
        let error = connect(&url).unwrap_err();
        let Error::Io(io) = &error else { panic!("{error:?}") };
        assert_eq!(io.kind(), ErrorKind::ConnectionRefused);
        let config = Config::new().max_unsent(0);
        let request = Request::new(&url).unwrap();
        assert!(matches!(connect_with(&request, &config), Err(Error::Config(_))));
        let io = Plain(Script::default());
        assert!(matches!(accept_with(io, &config), Err(Error::Config(_))));
    });
}

/// C-32: an end of file is no time-out.
#[test]
fn a_server_that_hangs_up_is_not_waited_for() {
    within(|| {
        for said in ["", "HTTP/1.1 10", "HTTP/1.1 101 Switching Protocols\r\n"] {
            let (listener, url) = listen();
            let serve = thread::spawn(move || {
                let mut peer = Peer::<TcpStream>::new(listener.accept().unwrap().0);
                peer.head();
                peer.send(said.as_bytes());
            });
            let error = connect(&url).unwrap_err();
            let named = matches!(error, Error::Handshake(HandshakeError::Incomplete));
            assert!(named || error.is_disconnect(), "{error:?}");
            serve.join().unwrap();
        }
    });
}

/// H-37: byte by byte, with signals and pauses in between.
#[test]
fn a_handshake_survives_interrupted_calls() {
    within(|| {
        let reads = wire::REQUEST.bytes().flat_map(|byte| {
            [
                Op::Error(ErrorKind::Interrupted),
                Op::Error(ErrorKind::WouldBlock),
                Op::Bytes(vec![byte]),
            ]
        });
        let writes = (0..400).map(|at| match at % 3 {
            0 => Op::Error(ErrorKind::Interrupted),
            1 => Op::Error(ErrorKind::WouldBlock),
            _ => Op::Take(1),
        });
        let io = Script::new(reads, writes);
        let log = io.log.clone();
        accept(Plain(io)).unwrap();
        let written = String::from_utf8(log.written()).unwrap();
        assert!(written.starts_with("HTTP/1.1 101 ") && written.ends_with("\r\n\r\n"), "{written}");
    });
}

/// A stream that never has anything ends with the deadline.
#[test]
fn a_handshake_that_would_block_for_ever_times_out() {
    within(|| {
        #[derive(Debug)]
        struct Never;
        impl std::io::Read for Never {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                thread::sleep(Duration::from_millis(1));
                Err(ErrorKind::WouldBlock.into())
            }
        }
        impl std::io::Write for Never {
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                Ok(buf.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let config = Config::new().handshake_timeout(Duration::from_millis(100));
        let request = Request::new("ws://h/").unwrap();
        let error = client(Plain(Never), &request, &config).unwrap_err();
        assert!(matches!(error, Error::HandshakeTimeout), "{error:?}");
    });
}

/// Lies in the handshake are errors.
#[test]
fn a_lying_stream_ends_the_handshake() {
    within(|| {
        for write in [Op::Take(0), Op::Error(ErrorKind::BrokenPipe)] {
            let reads = [Op::Bytes(wire::REQUEST.into())];
            let error = accept(Plain(Script::new(reads, [write]))).unwrap_err();
            assert!(matches!(error, Error::Io(_)), "{error:?}");
        }
        for read in [Op::TooMany, Op::Error(ErrorKind::ConnectionReset)] {
            let error = accept(Plain(Script::new([read], []))).unwrap_err();
            assert!(matches!(error, Error::Io(_) | Error::Handshake(_)), "{error:?}");
        }
    });
}

/// The response of the server is there beside the socket, for a cookie or the like.
#[test]
fn the_headers_of_the_response_can_be_read() {
    within(|| {
        let (listener, url) = listen();
        let serve = thread::spawn(move || {
            let incoming = read_request(listener.accept().unwrap().0, &Config::new()).unwrap();
            let accept = Accept::new().header("X-Session", "42");
            incoming.accept(&accept).unwrap().send("Hello").unwrap();
        });
        let request = Request::new(&url).unwrap();
        let connected = sansws::blocking::connect_with_response(&request, &Config::new());
        let (mut ws, response) = connected.unwrap();
        assert_eq!(response.header("x-session"), Some("42"));
        assert_eq!(ws.recv().unwrap().unwrap().as_text(), Some("Hello"));
        serve.join().unwrap();
    });
}

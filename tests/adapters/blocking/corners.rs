//! Corners in which the adapter was wrong once.

use std::io::ErrorKind;
use std::thread;
use std::time::{Duration, Instant};

use sansws::blocking::{Plain, WebSocket, read_request};
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::handshake::server::Accept;
use sansws::proto::Connection;
use sansws::{CloseCode, Config, Error, KeepAlive};

use crate::blocking::peer::{Peer, client_and_peer, server, server_on, tcp, within};
use crate::blocking::script::{Op, Script};
use sansws_test::wire;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// K-1: a message that was found before the connection became a socket's, and the ping behind it.
#[test]
fn a_ping_behind_a_message_that_was_found_before() {
    within(|| {
        let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
        let mut conn = Connection::server(&Config::new());
        rx.extend_from_slice(&wire::client(wire::TEXT, b"m"));
        rx.extend_from_slice(&wire::client(wire::PING, b"p"));
        assert_eq!(conn.advance(&mut rx, &mut tx), Ok(true));
        let io = Script::new([], []);
        let log = io.log.clone();
        let mut ws = WebSocket::from_parts(sansws::Parts::new(Plain(io), conn, rx));
        assert_eq!(ws.recv().unwrap(), Some("m".into()));
        ws.recv().unwrap_err(); // the end of the stream
        assert_eq!(log.written(), wire::server(wire::PONG, b"p"));
    });
}

/// The other end answers the Close and never ends TCP.
#[test]
fn a_server_that_never_ends_tcp_is_not_waited_for() {
    within(|| {
        let (mut ws, mut peer) = client_and_peer(&Config::new().close_timeout(millis(200)));
        let talk = thread::spawn(move || {
            let close = peer.frame().unwrap();
            peer.send(&wire::server(wire::CLOSE, &close.payload));
            peer
        });
        let start = Instant::now();
        ws.close(CloseCode::NORMAL, "").unwrap();
        assert!((millis(195)..millis(900)).contains(&start.elapsed()), "{:?}", start.elapsed());
        assert!(ws.close_info().unwrap().clean);
        talk.join().unwrap();
    });
}

/// The same from the other side: this end answers the Close.
#[test]
fn a_client_that_never_ends_tcp_is_not_waited_for() {
    within(|| {
        let (mut ws, mut peer) = server(&Config::new().close_timeout(millis(200)));
        peer.send(&wire::client(wire::CLOSE, b""));
        let start = Instant::now();
        assert_eq!(ws.recv().unwrap(), None);
        assert!((millis(195)..millis(900)).contains(&start.elapsed()), "{:?}", start.elapsed());
    });
}

/// a violation by a peer that does not read; the Close frame does not get out.
#[cfg(unix)]
#[test]
fn the_close_after_a_violation_is_not_waited_for() {
    use std::os::unix::net::UnixStream;
    // with room in the send buffer, and with the Close frame filling it up to its limit
    for max_unsent in [2_000_000, 1_000_010] {
        within(move || {
            let (near, far) = UnixStream::pair().unwrap();
            let config = Config::new().close_timeout(millis(200)).max_unsent(max_unsent);
            let mut ws = server_on(near, &config);
            let mut peer = Peer::new(far);
            let mut bytes = wire::client(wire::TEXT, b"fine");
            bytes.extend(wire::server(wire::TEXT, b"not masked"));
            peer.send(&bytes);
            assert_eq!(ws.recv().unwrap(), Some("fine".into()));
            ws.feed(vec![0; 999_998]).unwrap(); // more than the sockets hold
            let start = Instant::now();
            let error = ws.recv().unwrap_err();
            assert!(matches!(error, Error::Protocol(_)), "{error:?}");
            assert!(start.elapsed() < millis(900), "{:?}", start.elapsed());
        });
    }
}

/// What waits in the socket shows that the peer lives, however late it is read; the time
/// that the application spends elsewhere does not count against the peer.
#[test]
fn bytes_that_wait_count_as_alive() {
    within(|| {
        let config =
            Config::new().keep_alive(KeepAlive::Every(millis(50))).pong_timeout(millis(50));
        let (mut ws, mut peer) = server(&config);
        ws.send("one").unwrap(); // from here on the clock runs
        thread::sleep(millis(120));
        ws.send("two").unwrap();
        peer.send(&wire::client(wire::TEXT, b"alive"));
        thread::sleep(millis(120)); // nobody looks
        assert_eq!(ws.recv().unwrap(), Some("alive".into()));
        let frames = [peer.frame().unwrap(), peer.frame().unwrap()];
        assert!(frames.iter().all(|frame| frame.opcode == wire::TEXT));
    });
}

/// The application may take its time between the request and its answer: the peer has done its
/// part. The tokio adapter allows it.
#[test]
fn an_answer_may_take_longer_than_the_handshake() {
    within(|| {
        let (near, far) = tcp();
        let mut peer = Peer::new(far);
        peer.send(wire::REQUEST.as_bytes());
        let config = Config::new().handshake_timeout(millis(50));
        let incoming = read_request(near, &config).unwrap();
        thread::sleep(millis(80));
        incoming.accept(&Accept::default()).unwrap();
        assert!(peer.head().starts_with("HTTP/1.1 101 "));
    });
}

/// A stream that cannot be given time-outs returns "would block" as the documentation says, whether
/// or not a timer runs; it is not asked again and again until one goes off.
#[test]
fn a_stream_that_would_block_is_left_alone_while_a_timer_runs() {
    within(|| {
        let blocked = std::iter::repeat_n(Op::Error(ErrorKind::WouldBlock), 2_000_000);
        let io = Script::new(blocked, []);
        let log = io.log.clone();
        let config =
            Config::new().keep_alive(KeepAlive::Every(millis(50))).pong_timeout(millis(50));
        let mut ws = server_on(Plain(io), &config);
        let _ = ws.recv();
        assert!(log.reads() < 1000, "{} reads", log.reads());
    });
}

/// After a complete closing handshake there is nothing to flush, which is no error.
#[test]
fn flushing_a_closed_socket_is_no_error() {
    let mut ws =
        server_on(Plain(Script::bringing(&wire::client(wire::CLOSE, b""))), &Config::new());
    assert_eq!(ws.recv().unwrap(), None);
    ws.flush().unwrap();
}

/// A buffering stream (TLS has a buffer) whose flush is interrupted, or has to wait, is not
/// broken.
#[test]
fn a_flush_that_is_interrupted_is_tried_again() {
    for kind in [ErrorKind::Interrupted, ErrorKind::WouldBlock] {
        let io = Script::bringing(&wire::client(wire::CLOSE, b"")).with_flushes([kind]);
        let mut ws = server_on(Plain(io), &Config::new());
        match ws.send("one") {
            Ok(()) => {}
            Err(Error::Io(io)) if kind == ErrorKind::WouldBlock => assert_eq!(io.kind(), kind),
            other => panic!("{other:?} after {kind:?}"),
        }
        ws.send("two").unwrap();
        assert_eq!(ws.recv().unwrap(), None);
    }
}

//! The opening handshake: what goes through, what is refused, and how that is told.

use std::io::ErrorKind;
use std::time::Duration;

use sansws::handshake::HandshakeError;
use sansws::handshake::client::Request;
use sansws::handshake::server::{Accept, Reject};
use sansws::tokio::{accept, accept_with, client, connect, connect_with, read_request};
use sansws::{CloseCode, Config, Error};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use crate::tokio::faulty::{Fault, Faulty};
use crate::tokio::peer::{Peer, clock_is_paused, listen, tcp, within};
use sansws_test::wire;

/// H-22, C-7, and headers both ways.
#[tokio::test]
async fn both_ends_agree_on_a_subprotocol() {
    let (listener, url) = listen().await;
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let incoming = read_request(stream, &Config::new()).await.unwrap();
        let request = incoming.request();
        assert_eq!((request.path(), request.query()), ("/room", Some("7")));
        assert_eq!(request.header("authorization"), Some("Bearer abc"));
        assert_eq!(request.origin(), Some("http://example.com"));
        assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["chat.v2", "chat.v1"]);
        let headers = [("Set-Cookie", "a=b")];
        let accept = Accept::new().subprotocol("chat.v1").headers(&headers);
        incoming.accept(&accept).await.unwrap()
    };
    let request = Request::new(&format!("{url}room?7"))
        .unwrap()
        .header("Authorization", "Bearer abc")
        .origin("http://example.com")
        .subprotocol("chat.v2")
        .subprotocol("chat.v1");
    let config = Config::new();
    let connect = connect_with(&request, &config);
    let (server, client) = within(async { tokio::join!(serve, connect) }).await;
    assert_eq!(server.subprotocol(), Some("chat.v1"));
    assert_eq!(client.unwrap().subprotocol(), Some("chat.v1"));
}

#[tokio::test]
async fn connecting_disables_nagle() {
    let (listener, url) = listen().await;
    let serve = async { accept(listener.accept().await.unwrap().0).await };
    let (server, client) = within(async { tokio::join!(serve, connect(&url)) }).await;
    assert!(client.unwrap().get_ref().tcp().nodelay().unwrap());
    assert_eq!(server.unwrap().subprotocol(), None);
}

/// H-35: frames that follow the request in the same packet wait for an answer that takes its time.
#[tokio::test(start_paused = true)]
async fn frames_behind_the_request_survive_a_slow_answer() {
    clock_is_paused();
    let (near, far) = duplex(64 * 1024);
    let mut peer = Peer::new(far);
    let mut bytes = wire::REQUEST.as_bytes().to_vec();
    bytes.extend(wire::client(wire::TEXT, b"Hello"));
    let half = wire::client(wire::BINARY, &wire::pattern(200));
    bytes.extend(&half[..57]);
    peer.send(&bytes).await;

    let incoming = within(read_request(near, &Config::new())).await.unwrap();
    assert_eq!(incoming.request().path(), "/chat");
    peer.send(&half[57..]).await;
    // much longer than a handshake may take: the peer has done its part
    sleep(Duration::from_secs(60)).await;
    let mut ws = within(incoming.accept(&Accept::default())).await.unwrap();
    assert!(peer.head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(within(ws.recv()).await.unwrap(), Some("Hello".into()));
    assert_eq!(within(ws.recv()).await.unwrap(), Some(wire::pattern(200).into()));
}

/// H-36: nothing is read between the request and the answer, so nothing piles up.
#[tokio::test]
async fn frames_before_the_answer_are_left_to_tcp() {
    let (near, far) = duplex(64 * 1024);
    let (mut from, mut to) = tokio::io::split(far);
    let frame = wire::client(wire::BINARY, &[1; 1000]);
    let count = 10_000; // 10 MB
    let flood = tokio::spawn(async move {
        to.write_all(wire::REQUEST.as_bytes()).await.unwrap();
        for sent in 0..count {
            if to.write_all(&frame).await.is_err() {
                return sent;
            }
        }
        count
    });
    let config = Config::new();
    let incoming = within(read_request(near, &config)).await.unwrap();
    for _ in 0..1000 {
        yield_now().await;
    }
    assert!(!flood.is_finished(), "10 MB were taken in before the answer");
    let mut ws = within(incoming.accept(&Accept::default())).await.unwrap();
    let mut head = [0; 12];
    within(from.read_exact(&mut head)).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    for _ in 0..100 {
        assert_eq!(within(ws.recv()).await.unwrap().unwrap().len(), 1000);
    }
    drop(ws);
    assert!(within(flood).await.unwrap() < 1000, "more was taken in than was asked for");
}

/// H-37: a request in single bytes, a response in single bytes.
#[tokio::test]
async fn a_handshake_may_arrive_byte_by_byte() {
    let (near, far) = duplex(4096);
    let request = Request::new("ws://h/").unwrap();
    let config = Config::new();
    let server = accept(Faulty::new(near).step(1).stutter());
    let client = client(Faulty::new(far).step(1).stutter(), &request, &config);
    let (server, client) = within(async { tokio::join!(server, client) }).await;
    let (mut server, mut client) = (server.unwrap(), client.unwrap());
    within(client.send("through")).await.unwrap();
    assert_eq!(within(server.recv()).await.unwrap(), Some("through".into()));
}

/// H-20, H-21, C-11: whatever the server says instead, the client gets to see.
#[tokio::test]
async fn a_refusal_reaches_the_client_with_everything_in_it() {
    let page = "<h1>not here</h1>";
    let cases = [
        (401, ("WWW-Authenticate", "Basic realm=\"x\""), "", "401 Unauthorized"),
        (403, ("X-Why", "origin"), "no entry", "403 Forbidden"),
        (404, ("Content-Type", "text/html"), page, "404 Not Found"),
        (302, ("Location", "ws://elsewhere/"), "", "302 Found"),
        (200, ("Content-Type", "text/html"), page, "200 OK"),
    ];
    for (status, header, body, expected) in cases {
        let (listener, url) = listen().await;
        let serve = async {
            let (stream, _) = listener.accept().await.unwrap();
            let incoming = read_request(stream, &Config::new()).await.unwrap();
            incoming
                .reject(&Reject::new(status).header(header.0, header.1).body(body.as_bytes()))
                .await
        };
        let connect = async move { connect(&url).await };
        let (served, error) = within(async { tokio::join!(serve, connect) }).await;
        served.unwrap();
        let Err(Error::Refused(refused)) = error else { panic!("{error:?}") };
        assert_eq!((refused.status(), refused.body()), (status, body.as_bytes()));
        assert_eq!(refused.header(header.0), Some(header.1));
        let text = refused.to_string();
        assert!(text.contains(expected) && text.contains(body), "{text}");
    }
}

/// H-41: the page on the same port; the request asked for no WebSocket at all.
#[tokio::test]
async fn a_plain_request_can_be_answered_with_a_page() {
    let (near, far) = tcp().await;
    let mut peer = Peer::new(far);
    peer.send(b"GET /about HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let incoming = within(read_request(near, &Config::new())).await.unwrap();
    assert!(!incoming.request().is_upgrade());
    let reject = Reject::new(200).body(b"a page");
    let (served, response) =
        within(async { tokio::join!(incoming.reject(&reject), read(peer)) }).await;
    served.unwrap();
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n") && response.ends_with("\r\n\r\na page"));
}

async fn read(mut peer: Peer<tokio::net::TcpStream>) -> String {
    String::from_utf8(peer.rest().await).unwrap()
}

/// H-1, H-41: every error has an answer on the wire, and the caller hears of it.
#[tokio::test]
async fn a_wrong_request_gets_an_answer() {
    let get = "GET / HTTP/1.1\r\nHost: h\r\n";
    let cases = [
        ("\x16\x03\x01\x02\x00\x01".to_string(), HandshakeError::TlsBytes, 400),
        ("GET / HTTP/1.0\r\n\r\n".into(), HandshakeError::UnsupportedHttpVersion, 505),
        ("GET / HTTP/2.0\r\n\r\n".into(), HandshakeError::UnsupportedHttpVersion, 505),
        (format!("{get}\r\n"), HandshakeError::NotAnUpgrade, 426),
        (wire::REQUEST.replace("GET", "POST"), HandshakeError::InvalidMethod, 405),
        (wire::REQUEST.replace("n: 13", "n: 8"), HandshakeError::UnsupportedVersion, 426),
        (wire::REQUEST.replace("dGhl", "d"), HandshakeError::InvalidKey, 400),
        (
            format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(9000)),
            HandshakeError::TargetTooLong { limit: 8192 },
            414,
        ),
    ];
    for (request, expected, status) in cases {
        let (near, far) = tcp().await;
        let mut peer = Peer::new(far);
        peer.send(request.as_bytes()).await;
        let (result, response) = within(async { tokio::join!(accept(near), read(peer)) }).await;
        match result {
            Err(Error::Handshake(error)) => assert_eq!(error, expected, "{request:?}"),
            other => panic!("{other:?} for {request:?}"),
        }
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
        assert!(wire::header(&response, "connection").unwrap().starts_with("close"), "{response}");
    }
}

/// H-39: the answer can be read although 64 KiB were sent that nobody wanted.
#[tokio::test]
async fn an_error_answer_survives_what_the_peer_still_sends() {
    for junk in ["X: ", "\x16\x03\x01"] {
        let (near, far) = tcp().await;
        let mut peer = Peer::new(far);
        let mut bytes = if junk.starts_with('X') { b"GET / HTTP/1.1\r\n".to_vec() } else { vec![] };
        bytes.extend(junk.as_bytes());
        bytes.resize(64 * 1024, b'a');
        let talk = async {
            peer.send(&bytes).await;
            sleep(Duration::from_millis(50)).await; // time for a reset to arrive
            read(peer).await
        };
        let (result, response) = within(async { tokio::join!(accept(near), talk) }).await;
        let Err(Error::Handshake(error)) = result else { panic!("{result:?}") };
        let status = error.status().unwrap();
        assert_eq!(status, if junk.starts_with('X') { 431 } else { 400 });
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response:?}");
    }
}

/// H-39: the same for a refusal by the application, with frames behind the request.
#[tokio::test]
async fn a_refusal_survives_what_the_peer_still_sends() {
    let (near, far) = tcp().await;
    let mut peer = Peer::new(far);
    let talk = async {
        peer.send(wire::REQUEST.as_bytes()).await;
        peer.send(&wire::client(wire::BINARY, &vec![0; 50_000])).await;
        sleep(Duration::from_millis(50)).await;
        read(peer).await
    };
    let serve = async {
        let incoming = read_request(near, &Config::new()).await?;
        incoming.reject(&Reject::new(403)).await
    };
    let (served, response) = within(async { tokio::join!(serve, talk) }).await;
    served.unwrap();
    assert!(response.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{response:?}");
}

/// P-26: what the application gets wrong does not reach the wire; the peer hears of an error.
#[tokio::test]
async fn an_answer_that_cannot_be_sent_becomes_a_500() {
    let (near, far) = tcp().await;
    let mut peer = Peer::new(far);
    peer.send(wire::REQUEST.as_bytes()).await;
    let incoming = within(read_request(near, &Config::new())).await.unwrap();
    let headers = [("X", "a\r\nEvil: yes")];
    let accept = Accept::new().headers(&headers);
    let (result, response) =
        within(async { tokio::join!(incoming.accept(&accept), read(peer)) }).await;
    assert!(matches!(result, Err(Error::Usage(_))), "{result:?}");
    assert!(response.starts_with("HTTP/1.1 500 ") && !response.contains("Evil"), "{response}");
}

/// H-40: one absolute deadline; the answer is 408.
#[tokio::test(start_paused = true)]
async fn a_silent_client_gets_a_408_after_ten_seconds() {
    clock_is_paused();
    let start = Instant::now();
    let (near, far) = duplex(4096);
    let mut peer = Peer::new(far);
    peer.send(&wire::REQUEST.as_bytes()[..100]).await;
    let talk = async {
        let head = peer.head().await;
        (head, start.elapsed())
    };
    let (result, (head, after)) = within(async { tokio::join!(accept(near), talk) }).await;
    let error = result.unwrap_err();
    assert!(matches!(error, Error::HandshakeTimeout) && error.is_timeout(), "{error:?}");
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    assert_eq!(after.as_secs(), 10);
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
}

/// H-40: progress does not extend the deadline.
#[tokio::test(start_paused = true)]
async fn a_client_that_trickles_is_cut_off_after_ten_seconds() {
    clock_is_paused();
    let start = Instant::now();
    let (near, far) = duplex(4096);
    let (mut from, mut to) = tokio::io::split(far);
    let trickle = tokio::spawn(async move {
        for byte in wire::REQUEST.as_bytes() {
            sleep(Duration::from_secs(1)).await;
            if to.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
        panic!("the whole request was taken in, after {:?}", start.elapsed());
    });
    let mut response = String::new();
    let talk = from.read_to_string(&mut response);
    let (result, read) = within(async { tokio::join!(accept(near), talk) }).await;
    assert!(matches!(result, Err(Error::HandshakeTimeout)), "{result:?}");
    read.unwrap();
    assert!(response.starts_with("HTTP/1.1 408 "), "{response:?}");
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
    within(trickle).await.unwrap();
}

/// C-32: the client's deadline, against a server that says nothing or trickles.
#[tokio::test(start_paused = true)]
async fn a_client_gives_up_on_a_server_after_ten_seconds() {
    clock_is_paused();
    let request = Request::new("ws://h/").unwrap();
    for trickles in [false, true] {
        let start = Instant::now();
        let (near, mut far) = duplex(4096);
        let server = tokio::spawn(async move {
            for byte in b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n" {
                sleep(Duration::from_secs(1)).await;
                if trickles && far.write_all(&[*byte]).await.is_err() {
                    break;
                }
            }
        });
        let error = within(client(near, &request, &Config::new())).await.unwrap_err();
        assert!(matches!(error, Error::HandshakeTimeout), "{error:?}");
        assert_eq!(start.elapsed().as_secs(), 10);
        server.abort();
    }
}

/// The time is a setting.
#[tokio::test(start_paused = true)]
async fn the_handshake_timeout_can_be_set() {
    clock_is_paused();
    let start = Instant::now();
    let (near, _far) = duplex(4096);
    let config = Config::new().handshake_timeout(Duration::from_secs(3));
    let error = within(accept_with(near, &config)).await.unwrap_err();
    assert!(error.is_timeout());
    assert_eq!(start.elapsed().as_secs(), 4); // and one for the peer to read the answer
}

/// C-32: an end of file is no time-out.
#[tokio::test]
async fn a_server_that_hangs_up_is_not_waited_for() {
    for said in ["", "HTTP/1.1 10", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"] {
        let (listener, url) = listen().await;
        let serve = async {
            let mut peer = Peer::new(listener.accept().await.unwrap().0);
            peer.head().await;
            peer.send(said.as_bytes()).await;
        };
        let (error, ()) = within(async { tokio::join!(connect(&url), serve) }).await;
        let error = error.unwrap_err();
        let named = matches!(error, Error::Handshake(HandshakeError::Incomplete));
        assert!(named || error.is_disconnect(), "{error:?}");
    }
}

/// C-11: a body without a length ends with the connection; a long one is cut off.
#[tokio::test]
async fn a_refusal_without_length_ends_with_the_connection() {
    let (listener, url) = listen().await;
    let serve = async {
        let mut peer = Peer::new(listener.accept().await.unwrap().0);
        peer.head().await;
        peer.send(b"HTTP/1.1 503 Busy\r\nRetry-After: 9\r\n\r\ncome ").await;
        sleep(Duration::from_millis(20)).await;
        peer.send(b"back later").await;
    };
    let (error, ()) = within(async { tokio::join!(connect(&url), serve) }).await;
    let Err(Error::Refused(refused)) = error else { panic!("{error:?}") };
    assert_eq!((refused.status(), refused.body()), (503, &b"come back later"[..]));
}

/// C-14 and on: a 101 that proves nothing.
#[tokio::test]
async fn a_response_with_a_wrong_proof_is_an_error() {
    let (listener, url) = listen().await;
    let serve = async {
        let mut peer = Peer::new(listener.accept().await.unwrap().0);
        peer.head().await;
        let response = wire::response(wire::REQUEST); // somebody else's key
        peer.send(response.as_bytes()).await;
        peer.rest().await
    };
    let (error, sent) =
        within(async { tokio::join!(async { connect(&url).await.map(drop) }, serve) }).await;
    assert!(matches!(error, Err(Error::Handshake(HandshakeError::WrongAccept))), "{error:?}");
    assert!(sent.is_empty(), "{sent:?}");
}

/// C-1, C-2, C-27: errors before anything is connected.
#[tokio::test]
async fn a_url_that_cannot_be_used_is_an_error() {
    for url in ["", "http://h/", "ws://", "ws://h/#fragment", "ws://h:99999/", "nonsense"] {
        let error = within(connect(url)).await.unwrap_err();
        assert!(matches!(error, Error::Url(_)), "{url}: {error:?}");
    }
    #[cfg(not(feature = "rustls-no-provider"))]
    assert_eq!(
        within(connect("wss://localhost/")).await.unwrap_err().to_string(),
        "`wss://` needs TLS: enable feature `rustls` of sansws (cargo add sansws -F rustls)"
    );
}

/// C-28.
#[tokio::test]
async fn nobody_there_is_an_io_error() {
    let (listener, url) = listen().await;
    drop(listener);
    let error = within(connect(&url)).await.unwrap_err();
    let Error::Io(io) = &error else { panic!("{error:?}") };
    assert_eq!(io.kind(), ErrorKind::ConnectionRefused);
    assert!(!error.is_disconnect() && !error.is_timeout());
}

///
#[tokio::test]
async fn settings_that_cannot_be_meant_are_errors() {
    let config = Config::new().max_unsent(0);
    let (near, far) = duplex(64);
    let error = within(accept_with(near, &config)).await.unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error:?}");
    let request = Request::new("ws://h/").unwrap();
    let error = within(client(far, &request, &config)).await.unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error:?}");
}

/// A peer that hangs up before, in and after the request.
#[tokio::test]
async fn a_client_that_hangs_up_is_an_error_each_time() {
    for len in [0, 1, 50, wire::REQUEST.len() - 1] {
        let (near, far) = tcp().await;
        let mut peer = Peer::new(far);
        peer.send(&wire::REQUEST.as_bytes()[..len]).await;
        drop(peer);
        let error = within(accept(near)).await.unwrap_err();
        assert!(matches!(error, Error::Handshake(HandshakeError::Incomplete)), "{error:?}");
    }
    // after the request: the socket opens, and is at its end
    let (near, far) = tcp().await;
    let mut peer = Peer::new(far);
    peer.send(wire::REQUEST.as_bytes()).await;
    drop(peer);
    if let Ok(mut ws) = within(accept(near)).await {
        assert!(within(ws.recv()).await.unwrap_err().is_disconnect());
    }
}

/// A transport that fails at any operation of the handshake ends it with an error.
#[tokio::test]
async fn a_transport_that_fails_ends_the_handshake() {
    for fault in [Fault::Error(ErrorKind::BrokenPipe), Fault::Zero] {
        for reading in [false, true] {
            let (near, far) = duplex(4096);
            let mut peer = Peer::new(far);
            peer.send(wire::REQUEST.as_bytes()).await;
            let io = Faulty::new(near).step(10);
            let io = if reading { io.read_fault(3, fault) } else { io.write_fault(3, fault) };
            let error = within(accept(io)).await.unwrap_err();
            let text = format!("{error:?} at {fault:?}, reading: {reading}");
            assert!(
                matches!(error, Error::Io(_) | Error::Handshake(HandshakeError::Incomplete)),
                "{text}"
            );
        }
    }
}

/// The errors of a handshake say what to do.
#[tokio::test]
async fn handshake_errors_read_well() {
    let (near, far) = duplex(4096);
    let mut peer = Peer::new(far);
    peer.send(b"\x16\x03\x01\x02\x00").await;
    let talk = async move { peer.rest().await };
    let (error, _) = within(async { tokio::join!(accept(near), talk) }).await;
    let text = error.unwrap_err().to_string();
    assert!(text.contains("TLS"), "{text}");
    let io: std::io::Error = Error::HandshakeTimeout.into();
    assert_eq!(io.kind(), ErrorKind::TimedOut);
    assert_eq!(Error::HandshakeTimeout.close_code(), None::<CloseCode>);
}

/// The response of the server is there beside the socket, for a cookie or the like.
#[tokio::test]
async fn the_headers_of_the_response_can_be_read() {
    let (listener, url) = listen().await;
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let incoming = read_request(stream, &Config::new()).await.unwrap();
        let accept = Accept::new().header("X-Session", "42");
        incoming.accept(&accept).await.unwrap()
    };
    let request = Request::new(&url).unwrap();
    let config = Config::new();
    let connecting = sansws::tokio::connect_with_response(&request, &config);
    let (mut server, connected) = within(async { tokio::join!(serve, connecting) }).await;
    let (mut ws, response) = connected.unwrap();
    assert_eq!(response.header("x-session"), Some("42"));
    within(server.send("Hello")).await.unwrap();
    assert_eq!(within(ws.recv()).await.unwrap().unwrap().as_text(), Some("Hello"));
}

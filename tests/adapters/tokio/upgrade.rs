//! Sockets for an HTTP server that is not ours: one that has begun to read a connection, and one
//! that takes requests apart and writes responses itself.

#[cfg(feature = "deflate")]
use sansws::deflate::Deflate;
use sansws::handshake::HandshakeError;
use sansws::handshake::client;
use sansws::handshake::server::{Accept, AcceptError, Reject, Request};
use sansws::tokio::{WebSocket, accept_with_prefix, connect_with, read_request_with_prefix};
use sansws::{CloseCode, Config, Error, KeepAlive};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant};

use crate::tokio::peer::{Peer, clock_is_paused, listen, tcp, within};
use sansws_test::wire;

/// H-35: a head, a message, and the beginning of another one, all of them read by somebody else.
fn received() -> (Vec<u8>, Vec<u8>) {
    let message = wire::client(wire::BINARY, &wire::pattern(30_000));
    let hello = wire::client(wire::TEXT, b"Hello");
    let received = [wire::REQUEST.as_bytes(), &hello, &message[..20_000]].concat();
    (received, message[20_000..].to_vec())
}

/// H-35: wherever the stack has stopped reading, nothing is lost and nothing is read twice.
#[tokio::test]
async fn what_was_read_before_is_not_lost() {
    let (all, rest) = received();
    let head = wire::REQUEST.len();
    for cut in [0, 1, 100, head - 1, head, head + 1, head + 5, all.len()] {
        let (near, far) = duplex(1 << 16);
        let mut peer = Peer::new(far);
        peer.send(&all[cut..]).await;
        let config = Config::new();
        let accept = accept_with_prefix(near, &all[..cut], &config);
        let mut ws = within(accept).await.expect("a handshake");
        let head = peer.head().await;
        assert_eq!(wire::header(&head, "sec-websocket-accept"), Some(wire::ACCEPT));
        assert_eq!(within(ws.recv()).await.unwrap(), Some("Hello".into()));
        peer.send(&rest).await;
        assert_eq!(within(ws.recv()).await.unwrap(), Some(wire::pattern(30_000).into()));
        ws.send("back").await.unwrap();
        assert_eq!(peer.frame().await.unwrap().text(), "back");
    }
}

/// The first bytes decide on a port that speaks more than one protocol, on TCP.
#[tokio::test]
async fn a_server_may_look_at_the_request_first() {
    let (mut near, far) = tcp().await;
    let mut peer = Peer::new(far);
    let (all, rest) = received();
    peer.send(&[all, rest].concat()).await;
    let mut received = vec![0; 40];
    within(near.read_exact(&mut received)).await.unwrap();
    assert!(received.starts_with(b"GET /chat "));
    let incoming = within(read_request_with_prefix(near, &received, &Config::new())).await.unwrap();
    assert_eq!(incoming.request().path(), "/chat");
    assert_eq!(incoming.request().origin(), None);
    let mut ws = within(incoming.accept(&Accept::default())).await.unwrap();
    assert!(peer.head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(within(ws.recv()).await.unwrap(), Some("Hello".into()));
    assert_eq!(within(ws.recv()).await.unwrap(), Some(wire::pattern(30_000).into()));
}

/// H-1, H-14, P-15: what is wrong is answered as for any other request.
#[tokio::test]
async fn wrong_requests_are_answered() {
    let version = wire::REQUEST.replace("Version: 13", "Version: 8");
    let mut long = wire::REQUEST.replace("\r\n\r\n", "\r\nX: ");
    long.push_str(&"x".repeat(17_000));
    let too_long = HandshakeError::HeadTooLong { limit: 16 * 1024 };
    for (received, status, expected) in [
        (version, 426, HandshakeError::UnsupportedVersion),
        (wire::REQUEST.replace("GET", "POST"), 405, HandshakeError::InvalidMethod),
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n".into(), 426, HandshakeError::NotAnUpgrade),
        ("nonsense\r\n\r\n".into(), 400, HandshakeError::MalformedStartLine),
        (long, 431, too_long),
    ] {
        let (near, far) = duplex(1 << 16);
        let mut peer = Peer::new(far);
        let config = Config::new();
        let accept = accept_with_prefix(near, received.as_bytes(), &config);
        let read = async {
            let head = peer.head().await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            peer.rest().await;
            peer.io.shutdown().await.unwrap();
        };
        let (result, ()) = within(async { tokio::join!(accept, read) }).await;
        let error = result.map(drop).unwrap_err();
        assert!(matches!(&error, Error::Handshake(error) if *error == expected), "{error:?}");
    }
}

#[tokio::test]
async fn a_request_may_be_rejected() {
    let (near, far) = duplex(1 << 16);
    let mut peer = Peer::new(far);
    let incoming = within(read_request_with_prefix(near, wire::REQUEST.as_bytes(), &Config::new()))
        .await
        .unwrap();
    let reject = Reject::new(404);
    let reject = incoming.reject(&reject);
    let read = async {
        assert!(peer.head().await.starts_with("HTTP/1.1 404 "));
        peer.io.shutdown().await.unwrap();
    };
    within(async { tokio::join!(reject, read) }).await.0.unwrap();
}

/// The rest of a head has the time of a whole one.
#[tokio::test(start_paused = true)]
async fn the_rest_of_a_head_has_a_time_limit() {
    clock_is_paused();
    let (near, far) = duplex(1 << 16);
    let mut peer = Peer::new(far);
    let start = Instant::now();
    let config = Config::new();
    let accept = accept_with_prefix(near, b"GET /chat HT", &config);
    let read = async {
        let head = peer.head().await;
        drop(peer);
        head
    };
    let (error, head) = within(async { tokio::join!(accept, read) }).await;
    assert!(matches!(error, Err(Error::HandshakeTimeout)));
    assert!(head.starts_with("HTTP/1.1 408 "));
    assert_eq!(start.elapsed(), Duration::from_secs(10));
}

/// What an HTTP stack makes of a head: method, target, and header lines.
fn parts(head: &str) -> (String, String, Vec<(String, String)>) {
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let (method, target) = (first.next().unwrap().into(), first.next().unwrap().into());
    let headers = lines.take_while(|line| !line.is_empty()).map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.into(), value.into())
    });
    (method, target, headers.collect())
}

/// A server that reads as much as it gets, as HTTP stacks do.
async fn read_head(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut received = Vec::new();
    loop {
        assert_ne!(within(stream.read_buf(&mut received)).await.unwrap(), 0);
        if let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let rest = received.split_off(end + 4);
            return (String::from_utf8(received).unwrap(), rest);
        }
    }
}

fn response(status: &str, headers: impl Iterator<Item = (String, String)>) -> String {
    let lines = headers.map(|(name, value)| format!("{name}: {value}\r\n"));
    format!("HTTP/1.1 {status}\r\n{}\r\n", lines.collect::<String>())
}

/// H-22, H-24: a stack that does it all by itself, against our own client, with a subprotocol and
/// compression.
#[tokio::test]
async fn a_stack_that_writes_the_response_itself() {
    #[cfg(feature = "deflate")]
    let config = Config::new().deflate(Deflate::new().threshold(0));
    #[cfg(not(feature = "deflate"))]
    let config = Config::new();
    let (listener, url) = listen().await;
    let serve = async {
        let mut stream = listener.accept().await.unwrap().0;
        let (head, rest) = read_head(&mut stream).await;
        let (method, target, headers) = parts(&head);
        let request = Request::from_parts(&method, &target, headers, &config).unwrap();
        assert_eq!((request.path(), request.query()), ("/room", Some("7")));
        let headers = &[("Set-Cookie", "a=b")];
        let accept = Accept::new().subprotocol("chat").headers(headers);
        let upgrade = request.upgrade(&accept, &config).unwrap();
        assert_eq!(upgrade.subprotocol(), Some("chat"));
        #[cfg(feature = "deflate")]
        assert!(upgrade.deflate().is_some());
        let headers = upgrade.headers().map(|(name, value)| (name.into(), value.into()));
        let response = response("101 Switching Protocols", headers);
        stream.write_all(response.as_bytes()).await.unwrap();
        WebSocket::from_upgrade(stream, upgrade, &rest)
    };
    let request = client::Request::new(&format!("{url}room?7")).unwrap();
    let request = request.subprotocol("chat");
    let connect = connect_with(&request, &config);
    let (mut server, client) = within(async { tokio::join!(serve, connect) }).await;
    let mut client = client.unwrap();
    assert_eq!((server.subprotocol(), client.subprotocol()), (Some("chat"), Some("chat")));
    #[cfg(feature = "deflate")]
    assert!(server.deflate().is_some() && server.deflate() == client.deflate());
    let text = "abc".repeat(10_000);
    within(client.send(&text)).await.unwrap();
    assert_eq!(within(server.recv()).await.unwrap(), Some(text.as_str().into()));
    within(server.send(&text)).await.unwrap();
    assert_eq!(within(client.recv()).await.unwrap(), Some(text.as_str().into()));
    let closing = async { tokio::join!(server.close(CloseCode::NORMAL, ""), client.recv()) };
    let (closed, end) = within(closing).await;
    closed.unwrap();
    assert_eq!(end.unwrap(), None);
}

/// A client's stack that writes the request and reads the response itself, and has read the first
/// frame behind it.
#[tokio::test]
async fn a_stack_that_reads_the_response_itself() {
    #[cfg(feature = "deflate")]
    let config = Config::new().deflate(Deflate::new().threshold(0));
    #[cfg(not(feature = "deflate"))]
    let config = Config::new();
    let request = client::Request::new("ws://example.com/room?7").unwrap().subprotocol("chat");
    let (mut near, far) = tcp().await;
    let serve = async {
        let incoming = read_request_with_prefix(far, b"", &config).await.unwrap();
        let mut server = incoming.accept(&Accept::new().subprotocol("chat")).await.unwrap();
        server.send("early").await.unwrap();
        server
    };
    let open = async {
        let offer = request.offer(client::Offer::random_nonce().unwrap(), &config).unwrap();
        let lines: String = offer.headers().map(|(name, it)| format!("{name}: {it}\r\n")).collect();
        let head = format!("GET {} HTTP/1.1\r\n{lines}\r\n", request.target());
        near.write_all(head.as_bytes()).await.unwrap();
        let (head, mut rest) = read_head(&mut near).await;
        while rest.is_empty() {
            near.read_buf(&mut rest).await.unwrap();
        }
        let (_, status, headers) = parts(&head);
        let response = offer.confirm(status.parse().unwrap(), headers).unwrap();
        WebSocket::from_accepted(near, response.into_result().unwrap(), &rest).unwrap()
    };
    let (mut server, mut client) = within(async { tokio::join!(serve, open) }).await;
    assert_eq!((server.subprotocol(), client.subprotocol()), (Some("chat"), Some("chat")));
    #[cfg(feature = "deflate")]
    assert!(client.deflate().is_some() && client.deflate() == server.deflate());
    assert_eq!(within(client.recv()).await.unwrap(), Some("early".into()));
    within(client.send("hello")).await.unwrap();
    assert_eq!(within(server.recv()).await.unwrap(), Some("hello".into()));
}

/// The adapter's own defaults hold for a client too: keep-alive is on.
#[tokio::test(start_paused = true)]
async fn a_client_of_another_stack_is_kept_alive() {
    clock_is_paused();
    let request = client::Request::new("ws://example.com/").unwrap();
    let none: [(&str, &str); 0] = [];
    for (config, pings) in
        [(Config::new(), true), (Config::new().keep_alive(KeepAlive::Off), false)]
    {
        let response = request.offer_connect(&config).unwrap().confirm(200, none).unwrap();
        let (near, far) = duplex(1 << 16);
        let mut peer = Peer::new(far);
        let accepted = response.into_result().unwrap();
        let mut ws = WebSocket::from_accepted(near, accepted, b"").unwrap();
        let result = tokio::time::timeout(Duration::from_secs(60), ws.recv()).await;
        if pings {
            assert!(result.unwrap().unwrap_err().is_timeout());
            let ping = peer.frame().await.unwrap();
            // RFC 6455 §5.3: over HTTP/2 too
            assert!(ping.opcode == wire::PING && ping.mask.is_some());
        } else {
            assert!(result.is_err());
        }
    }
}

/// H-35, H-36: frames that came with the head, or before the response.
#[tokio::test]
async fn early_frames_survive_another_stack() {
    let config = Config::new();
    let (mut near, far) = tcp().await;
    let mut peer = Peer::new(far);
    let (all, later) = received();
    peer.send(&all).await;
    let (head, mut rest) = read_head(&mut near).await;
    while rest.len() < all.len() - head.len() {
        within(near.read_buf(&mut rest)).await.unwrap();
    }
    let (method, target, headers) = parts(&head);
    let request = Request::from_parts(&method, &target, headers, &config).unwrap();
    let upgrade = request.upgrade(&Accept::default(), &config).unwrap();
    peer.send(&later).await;
    let mut ws = WebSocket::from_upgrade(near, upgrade, &rest);
    assert_eq!(within(ws.recv()).await.unwrap(), Some("Hello".into()));
    assert_eq!(within(ws.recv()).await.unwrap(), Some(wire::pattern(30_000).into()));
}

/// The adapter's own defaults hold: keep-alive is on.
#[tokio::test(start_paused = true)]
async fn an_upgraded_stream_is_kept_alive() {
    clock_is_paused();
    for (config, pings) in
        [(Config::new(), true), (Config::new().keep_alive(KeepAlive::Off), false)]
    {
        let (method, target, headers) = parts(wire::REQUEST);
        let request = Request::from_parts(&method, &target, headers, &config).unwrap();
        let upgrade = request.upgrade(&Accept::default(), &config).unwrap();
        let (near, far) = duplex(1 << 16);
        let mut peer = Peer::new(far);
        let mut ws = WebSocket::from_upgrade(near, upgrade, b"");
        let result = tokio::time::timeout(Duration::from_secs(60), ws.recv()).await;
        if pings {
            assert!(result.unwrap().unwrap_err().is_timeout());
            assert_eq!(peer.frame().await.unwrap().opcode, wire::PING);
        } else {
            assert!(result.is_err());
        }
    }
}

/// What the stack answers to a request that is wrong.
#[test]
fn a_stack_knows_what_to_answer() {
    let config = Config::new();
    let (method, target, mut headers) = parts(wire::REQUEST);
    headers.retain(|(name, _)| name != "Sec-WebSocket-Version");
    let request = Request::from_parts(&method, &target, headers, &config).unwrap();
    let Err(AcceptError::Peer(error)) = request.upgrade(&Accept::default(), &config) else {
        panic!("there is no version")
    };
    assert_eq!(error.status(), Some(400));
    assert_eq!(error.headers(), [("Sec-WebSocket-Version", "13")]);
}

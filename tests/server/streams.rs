//! Streams that were accepted elsewhere.

use std::net::SocketAddr;
use std::time::Duration;

use sansws::handshake::client::Request;
use sansws::handshake::server as http;
use sansws::server::{Accept, ExternalStream, Response, ServeError, handler_fn};
use sansws::tokio::client;
use sansws::{CloseCode, Config};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::support::{bind, start, until, within};
use sansws_test::wire;

const FROM: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7);

#[tokio::test]
async fn a_stream_of_another_kind_is_served() {
    let echo = handler_fn().on_message(|client, message| {
        let info = client.info();
        client.send(format!("{} {}", info.peer_addr(), info.is_secure())).unwrap();
        client.send(message)
    });
    let server = start(bind().await.route("/", echo).page("/page", Response::text("a page\n")));
    let (here, there) = duplex(1000);
    // the server has to be running before it takes anything
    let _tcp = server.connect("/").await;
    server.handle.accept(ExternalStream::new(there, FROM).secure(true)).unwrap();
    let request = Request::new("ws://h/").unwrap();
    let mut ws = within(client(here, &request, &Config::new())).await.unwrap();
    until(|| server.hub.all().len() == 2).await;
    ws.send("hello").await.unwrap();
    for expected in ["127.0.0.1:7 true", "hello"] {
        let message = within(ws.recv()).await.unwrap().unwrap();
        assert_eq!(message.as_text(), Some(expected));
    }

    let (mut here, there) = duplex(1000);
    server.handle.accept(ExternalStream::new(there, FROM)).unwrap();
    here.write_all(b"GET /page HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    within(here.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("a page\n"), "{answer}");

    let handle = server.handle.clone();
    let shutdown = handle.shutdown(CloseCode::GOING_AWAY, "", Duration::from_secs(60));
    let close = async { while let Ok(Some(_)) = ws.recv().await {} };
    let tcp = async { drop(_tcp) };
    within(async { tokio::join!(shutdown, close, tcp) }).await.0.unwrap();
    assert_eq!(ws.close_info().unwrap().code, 1001);
    let (_here, there) = duplex(1000);
    assert_eq!(handle.accept(ExternalStream::new(there, FROM)), Err(ServeError::NotRunning));
}

/// Somebody else has read the head, and a frame behind it.
#[tokio::test]
async fn what_was_read_before_is_served_too() {
    let echo = handler_fn().on_message(|client, message| client.send(message));
    let server = start(bind().await.route("/chat", echo));
    let _tcp = server.connect("/chat").await; // it runs
    let (head, frame) = (wire::REQUEST.as_bytes(), wire::client(wire::TEXT, b"early"));
    let (first, rest) = frame.split_at(3);
    let (mut here, there) = duplex(1000);
    let arrival = ExternalStream::new(there, FROM).received(head).received(first);
    server.handle.accept(arrival).unwrap();
    here.write_all(rest).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"early") {
        answer.push(within(here.read_u8()).await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    server.stop().await;
}

/// Another HTTP server asks what to answer, and hands the stream over when it has.
#[tokio::test]
async fn another_http_server_does_the_talking() {
    let route = handler_fn()
        .on_request(|request| {
            assert_eq!(request.param("room"), Some("lobby"));
            assert!(request.peer_addr().ip().is_loopback());
            if request.query() == Some("bad") {
                return Ok(Accept::new().header("Upgrade", "twice"));
            }
            Ok(Accept::new().subprotocol("v2").header("Set-Cookie", "seen=1"))
        })
        .on_open(|client| client.send(format!("secure: {}", client.info().is_secure())))
        .on_message(|client, message| client.send(message));
    let server = bind().await.route("/chat/{room}", route).max_connections(2);
    let idle = server.handle();
    let request = |target: &str, origin: &str| {
        let headers = [
            ("Host", "example.com"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", if target.ends_with("?old") { "8" } else { "13" }),
            ("Sec-WebSocket-Protocol", "v1, v2"),
            ("Origin", origin),
        ];
        http::Request::from_parts("GET", target, headers, &Config::new()).unwrap()
    };
    let refused = idle.accept_request(request("/chat/lobby", "http://example.com"), FROM, true);
    assert_eq!(refused.await.unwrap_err().into_parts().0, 503, "it does not run yet");
    let server = start(server);
    let _tcp = {
        let request = server.request("/chat/lobby").subprotocol("v2");
        let ws = server.try_connect(&request).await.unwrap();
        until(|| server.hub.all().len() == 1).await;
        ws
    };
    let ask = |target, origin| server.handle.accept_request(request(target, origin), FROM, true);
    for (target, origin, status) in [
        ("/chat/lobby", "https://evil.example", 403),
        ("/chat/lobby", "http://example.com", 403), // it came with TLS
        ("/nowhere", "https://example.com", 404),
        ("/chat/lobby?old", "https://example.com", 426),
        ("/chat/lobby?bad", "https://example.com", 500),
    ] {
        let (refused, headers, body) = ask(target, origin).await.unwrap_err().into_parts();
        assert_eq!(refused, status, "{target} {origin}");
        assert!(!body.is_empty());
        let version = headers.iter().any(|(name, _)| name == "Sec-WebSocket-Version");
        assert_eq!(version, target.ends_with("?old"));
    }
    // all but the invalid one, which is no handshake
    assert_eq!((server.hub.stats().refused, server.hub.stats().bad_requests), (4, 1));
    let admission = ask("/chat/lobby", "https://example.com").await.unwrap();
    let headers: Vec<_> = admission.headers().collect();
    for expected in [
        ("Sec-WebSocket-Accept", wire::ACCEPT),
        ("Sec-WebSocket-Protocol", "v2"),
        ("Set-Cookie", "seen=1"),
    ] {
        assert!(headers.contains(&expected), "{headers:?}");
    }
    // its place is taken already, and given back if it is dropped
    assert_eq!(ask("/chat/lobby", "https://example.com").await.unwrap_err().into_parts().0, 503);
    drop(admission);
    let admission = ask("/chat/lobby", "https://example.com").await.unwrap();
    let (mut here, there) = duplex(1000);
    let frame = wire::client(wire::TEXT, b"early");
    admission.start(there, &frame[..4]);
    here.write_all(&frame[4..]).await.unwrap();
    let expected = [wire::server(wire::TEXT, b"secure: true"), wire::server(wire::TEXT, b"early")];
    let mut answer = vec![0; expected.concat().len()];
    within(here.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, expected.concat());
    server.stop().await;
}

#[tokio::test]
async fn such_streams_are_counted_too() {
    let server = start(bind().await.route("/", handler_fn()).max_pending(1));
    until(|| {
        let (here, there) = duplex(1000);
        let taken = server.handle.accept(ExternalStream::new(there, FROM));
        drop(here);
        taken.is_ok()
    })
    .await;
    let (_here, there) = duplex(1000);
    until(|| server.hub.stats().bad_requests == 1).await;
    let silent = || {
        let (here, there) = duplex(1000);
        server.handle.accept(ExternalStream::new(there, FROM)).map(|()| here)
    };
    let mut held = None;
    until(|| {
        held = silent().ok();
        held.is_some()
    })
    .await;
    let refused = server.handle.accept(ExternalStream::new(there, FROM));
    assert_eq!(refused, Err(ServeError::TooManyPending));
    let error = ServeError::TooManyPending.to_string();
    assert!(error.contains("Server::max_pending"), "{error}");
    drop(held);
    server.stop().await;
}

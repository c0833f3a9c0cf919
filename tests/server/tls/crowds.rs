//! Strangers at the port: those who speak no TLS, and those who never come to an end.

use std::time::Duration;

use sansws::server::{Response, Server, handler_fn};
use sansws::{CloseCode, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Client, bind_tls, logging, make};
use crate::support::{Log, start, until, within};

/// The beginning of a first message of TLS, which says that 512 bytes follow.
const BEGUN: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

async fn send(addr: std::net::SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let _ = stream.write_all(bytes).await; // it may be closed already
    stream
}

async fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let _ = within(stream.read_to_end(&mut answer)).await; // it may be reset
    answer
}

#[tokio::test]
async fn plain_http_is_told_to_speak_tls() {
    let Some((_authority, leaf)) = make("plain_http_is_told_to_speak_tls") else { return };
    let log = Log::default();
    let server = bind_tls(&leaf).await.page("/", Response::text("a secret"));
    let server = start(logging(server, &log));
    for request in [
        &b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"[..],
        sansws_test::wire::REQUEST.as_bytes(),
        b"POST /publish HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi",
    ] {
        let answer = rest(send(server.addr, request).await).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("this port takes TLS alone"), "{answer}");
        assert!(!answer.contains("secret"));
    }
    let lines = log.lines();
    assert_eq!(lines.len(), 3, "{lines:?}");
    for line in lines {
        assert!(line.starts_with("Debug 127.0.0.1:"), "{line}");
        assert!(
            line.ends_with(
                "no TLS: plain HTTP, where TLS was expected: connect with wss:// or https://"
            ),
            "{line}"
        );
    }
    let stats = server.hub.stats();
    assert_eq!((stats.bad_requests, stats.opened), (3, 0));
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_tls_is_logged_and_closed() {
    let Some((authority, leaf)) = make("what_is_no_tls_is_logged_and_closed") else { return };
    let log = Log::default();
    let server = start(logging(bind_tls(&leaf).await, &log));
    let told = async |number: usize, word: &str| {
        until(|| log.lines().len() == number).await;
        let line = log.lines().pop().unwrap();
        assert!(line.starts_with("Debug ") && line.contains("no TLS: "), "{line}");
        assert!(line.contains(word), "{word:?} in {line}");
    };
    drop(send(server.addr, b"").await);
    told(1, "left").await;
    rest(send(server.addr, &[0xFF; 5000]).await).await;
    told(2, "corrupt").await;
    rest(send(server.addr, b"SSH-2.0-client\r\n\r\n").await).await;
    told(3, "plain HTTP").await;
    drop(send(server.addr, BEGUN).await);
    told(4, "eof").await;
    // a client that does not know the authority says so
    let mut client = Client::new(&authority, server.addr);
    let provider = std::sync::Arc::clone(client.config.crypto_provider());
    client.config = std::sync::Arc::new(
        rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth(),
    );
    client.tls("localhost").await.unwrap_err();
    told(5, "UnknownCA").await;
    server.stop().await;
}

/// The time is that of the request too.
#[tokio::test]
async fn a_handshake_takes_no_longer_than_it_may() {
    let Some((authority, leaf)) = make("a_handshake_takes_no_longer_than_it_may") else { return };
    let log = Log::default();
    let config = Server::default_config().handshake_timeout(Duration::from_millis(300));
    let server = start(logging(bind_tls(&leaf).await.config(config), &log));
    for bytes in [&b""[..], BEGUN, b"\x16", b"G", b"GET / HTTP/1.1\r\n"] {
        rest(send(server.addr, bytes).await).await;
    }
    // TLS, and no request
    let mut stream = Client::new(&authority, server.addr).tls("localhost").await.unwrap();
    let _ = within(stream.read(&mut [0])).await;
    until(|| log.lines().len() == 6).await;
    let lines = log.lines();
    let count = |word: &str| lines.iter().filter(|line| line.contains(word)).count();
    assert_eq!(count("the handshake took too long"), 3, "{lines:?}");
    assert_eq!(count("plain HTTP"), 2, "{lines:?}");
    assert_eq!(count("no valid request"), 1, "{lines:?}");
    server.stop().await;
}

/// Silent ones, ones that have begun, and garbage: those who have come before are served, and who
/// comes now gets a place.
#[tokio::test]
async fn a_crowd_costs_nobody_anything() {
    let Some((authority, leaf)) = make("a_crowd_costs_nobody_anything") else { return };
    let long = Server::default_config().handshake_timeout(Duration::from_secs(600));
    let echo = handler_fn().on_message(|client, message| client.send(message));
    let server = bind_tls(&leaf).await.and_bind("ws://127.0.0.1:0").await.unwrap();
    let server = server.config(long).max_pending(64).route("/", echo);
    let plain = server.local_addrs().unwrap()[1];
    let server = start(server);
    let client = Client::new(&authority, server.addr);
    let mut ws = client.connect("/").await;
    let mut strangers = Vec::new();
    for number in 0..100 {
        let bytes = [b"", BEGUN, &[0xFF; 100], b"\x16\x03\x01"][number % 4];
        strangers.push(send(server.addr, bytes).await);
        within(ws.send("hello")).await.unwrap();
        assert_eq!(within(ws.recv()).await.unwrap(), Some(Message::from("hello")));
    }
    // more than there are places for: the first of them give way
    within(async {
        let _newcomer = client.connect("/").await;
        let _other = sansws::tokio::connect(&format!("ws://{plain}/")).await.unwrap();
    })
    .await;
    let stats = server.hub.stats();
    assert!(stats.gave_way > 0, "{stats:?}");
    assert_eq!(stats.refused, 0, "{stats:?}");
    // nor do they hold up the end
    within(ws.close(CloseCode::NORMAL, "")).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn handshakes_under_way_do_not_hold_up_the_end() {
    let test = "handshakes_under_way_do_not_hold_up_the_end";
    let Some((authority, leaf)) = make(test) else { return };
    let long = Duration::from_secs(600);
    let config = Server::default_config().handshake_timeout(long);
    let server = start(bind_tls(&leaf).await.config(config));
    let silent = send(server.addr, b"").await;
    let begun = send(server.addr, BEGUN).await;
    let idle = Client::new(&authority, server.addr).tls("localhost").await.unwrap();
    within(server.handle.shutdown(CloseCode::GOING_AWAY, "", long)).await.unwrap();
    within(server.run).await.unwrap().unwrap();
    drop((silent, begun, idle));
}

/// One that does not read, behind buffers of TLS too.
#[tokio::test]
async fn a_client_that_does_not_read_is_closed() {
    let Some((authority, leaf)) = make("a_client_that_does_not_read_is_closed") else { return };
    let server = bind_tls(&leaf).await.route("/", handler_fn());
    let soon = Duration::from_millis(200);
    let config = Server::default_config().close_timeout(soon);
    let server = start(server.config(config).slow_after(soon).max_queued_bytes(64 * 1024));
    let client = Client::new(&authority, server.addr);
    let slow = client.connect("/").await;
    let mut other = client.connect("/").await;
    until(|| server.hub.all().len() == 2).await;
    let large = vec![0; 256 * 1024];
    within(async {
        while server.hub.stats().slow_closed == 0 {
            server.hub.all().send(&large[..]).unwrap();
            assert!(matches!(other.recv().await, Ok(Some(Message::Binary(_)))));
        }
    })
    .await;
    until(|| server.hub.all().len() == 1).await;
    drop(slow);
    server.stop().await;
}

//! What each client, and each address, may send in a time; in virtual time.

use std::time::Duration;

use sansws::CloseCode;
use sansws::server::{Client, Excess, ExternalStream, RateLimit, Received, Response, handler_fn};
use sansws_test::wire;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep};

use crate::support::{Running, bind, start};

/// A stream to the server, from an address.
async fn dial(server: &Running, from: [u8; 4]) -> DuplexStream {
    loop {
        let (here, there) = duplex(1_000_000);
        match server.handle.accept(ExternalStream::new(there, (from, 7).into())) {
            Ok(()) => return here,
            Err(_) => tokio::task::yield_now().await, // until it runs
        }
    }
}

async fn handshake(server: &Running, from: [u8; 4]) -> (DuplexStream, String) {
    let mut here = dial(server, from).await;
    here.write_all(wire::REQUEST.replacen("/chat", "/", 1).as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(here.read_u8().await.unwrap());
    }
    (here, String::from_utf8(head).unwrap())
}

async fn echo(rate: RateLimit) -> Running {
    let echo = handler_fn().on_message(|client: &Client, message: Received<'_>| {
        client.send(message.as_bytes().len().to_string())
    });
    start(bind().await.route("/", echo).client_rate(rate))
}

async fn read_text(here: &mut DuplexStream) -> String {
    let head = [here.read_u8().await.unwrap(), here.read_u8().await.unwrap()];
    assert_eq!(head[0], 0x81, "{head:?}");
    let mut text = vec![0; head[1].into()];
    here.read_exact(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn messages_come_as_fast_as_they_may() {
    let server = echo(RateLimit::new().messages(10)).await;
    let (mut here, _) = handshake(&server, [192, 0, 2, 1]).await;
    let (mut other, _) = handshake(&server, [192, 0, 2, 1]).await;
    let began = Instant::now();
    here.write_all(&wire::client(wire::TEXT, b"x").repeat(60)).await.unwrap();
    for _ in 0..60 {
        assert_eq!(read_text(&mut here).await, "1");
    }
    // ten at once, then ten a second
    let took = began.elapsed();
    assert!((4.8..5.2).contains(&took.as_secs_f64()), "{took:?}");
    assert!((49..=50).contains(&server.hub.stats().rate_paused), "{:?}", server.hub.stats());
    // nobody else is slowed down
    let began = Instant::now();
    other.write_all(&wire::client(wire::TEXT, b"xy")).await.unwrap();
    assert_eq!(read_text(&mut other).await, "2");
    assert!(began.elapsed() < Duration::from_millis(50));
    drop((here, other));
    server.handle.shutdown(CloseCode::GOING_AWAY, "", Duration::ZERO).await.unwrap();
}

/// What is sent to a client that is paused arrives, and its end is seen.
#[tokio::test(start_paused = true)]
async fn a_pause_is_in_reading_only() {
    let server = echo(RateLimit::new().bytes(100)).await;
    let (mut here, _) = handshake(&server, [192, 0, 2, 1]).await;
    here.write_all(&wire::client(wire::BINARY, &[7; 100_000])).await.unwrap();
    assert_eq!(read_text(&mut here).await, "100000");
    here.write_all(&wire::client(wire::BINARY, b"later")).await.unwrap();
    let began = Instant::now();
    sleep(Duration::from_secs(1)).await;
    server.hub.all().send("meanwhile").unwrap();
    assert_eq!(read_text(&mut here).await, "meanwhile");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(server.hub.stats().rate_paused, 1);
    drop(here);
    while !server.hub.all().is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    server.handle.shutdown(CloseCode::GOING_AWAY, "", Duration::ZERO).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_may_be_closed_instead() {
    let close = Excess::Close(CloseCode::POLICY_VIOLATION);
    let server = echo(RateLimit::new().messages(3).beyond(close)).await;
    let (mut here, _) = handshake(&server, [192, 0, 2, 1]).await;
    // control frames are free
    for _ in 0..10 {
        here.write_all(&wire::client(wire::PONG, b"")).await.unwrap();
    }
    for _ in 0..3 {
        here.write_all(&wire::client(wire::TEXT, b"x")).await.unwrap();
        assert_eq!(read_text(&mut here).await, "1");
    }
    sleep(Duration::from_secs(1)).await;
    here.write_all(&wire::client(wire::TEXT, b"x").repeat(9)).await.unwrap();
    for _ in 0..3 {
        assert_eq!(read_text(&mut here).await, "1");
    }
    let mut close = [0; 4];
    here.read_exact(&mut close).await.unwrap();
    assert_eq!((close[0], close[2..].to_vec()), (0x88, vec![0x03, 0xf0]));
    let stats = server.hub.stats();
    assert_eq!((stats.rate_closed, stats.rate_paused), (1, 0));
    drop(here);
    server.handle.shutdown(CloseCode::GOING_AWAY, "", Duration::ZERO).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn handshakes_of_an_address_are_limited() {
    let server = bind().await.route("/", handler_fn()).page("/page", Response::text("a page"));
    let server = start(server.max_handshakes_per_ip(5));
    let mut kept = Vec::new();
    let mut count = async |from, tries| {
        let mut accepted = 0;
        for _ in 0..tries {
            let (here, head) = handshake(&server, from).await;
            match wire::header(&head, "retry-after") {
                None => assert!(head.starts_with("HTTP/1.1 101 "), "{head}"),
                after => assert!(head.starts_with("HTTP/1.1 429 ") && after == Some("1")),
            }
            accepted += usize::from(head.starts_with("HTTP/1.1 101 "));
            kept.push(here);
        }
        accepted
    };
    assert_eq!(count([192, 0, 2, 1], 8).await, 5);
    assert_eq!(count([192, 0, 2, 2], 4).await, 4);
    // those that were refused have cost nothing
    sleep(Duration::from_secs(1)).await;
    assert_eq!(count([192, 0, 2, 1], 8).await, 5);
    let stats = server.hub.stats();
    assert_eq!((stats.rate_refused, stats.refused), (6, 6));
    drop(kept);
    server.handle.shutdown(CloseCode::GOING_AWAY, "", Duration::ZERO).await.unwrap();
}

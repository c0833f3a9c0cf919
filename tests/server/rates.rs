//! What each client, and each address, may send in a time; in virtual time.

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sansws::CloseCode;
use sansws::server::{
    Client, Excess, Handler, RateLimit, Received, Response, Route, ServerError, handler_fn,
};
use sansws_test::peer::{Peer, clock_is_paused};
use sansws_test::process::{Process, skip};
use sansws_test::wire;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use crate::support::{Running, bind, dial, open, start, until};

async fn handshake(server: &Running, from: [u8; 4]) -> (Peer<DuplexStream>, String) {
    let mut peer = dial(server, from).await;
    peer.send(wire::REQUEST.replacen("/chat", "/", 1).as_bytes()).await;
    let head = peer.head().await;
    (peer, head)
}

fn lengths() -> impl Handler {
    handler_fn().on_message(|client: &Client, message: Received<'_>| {
        client.send(message.as_bytes().len().to_string())
    })
}

async fn echo(rate: RateLimit) -> Running {
    clock_is_paused();
    start(bind().await.route("/", lengths()).client_rate(rate))
}

async fn read_text(here: &mut Peer<DuplexStream>) -> String {
    here.frame().await.unwrap().text().into()
}

#[tokio::test(start_paused = true)]
async fn messages_come_as_fast_as_they_may() {
    let server = echo(RateLimit::new().messages(10)).await;
    let mut here = open(&server, "/").await;
    let mut other = open(&server, "/").await;
    let began = Instant::now();
    here.send(&wire::client(wire::TEXT, b"x").repeat(60)).await;
    for _ in 0..60 {
        assert_eq!(read_text(&mut here).await, "1");
    }
    // ten at once, then ten a second
    let took = began.elapsed();
    assert!((4.8..5.2).contains(&took.as_secs_f64()), "{took:?}");
    assert!((49..=50).contains(&server.hub.stats().rate_paused), "{:?}", server.hub.stats());
    // nobody else is slowed down
    let began = Instant::now();
    other.send(&wire::client(wire::TEXT, b"xy")).await;
    assert_eq!(read_text(&mut other).await, "2");
    assert!(began.elapsed() < Duration::from_millis(50));
    drop((here, other));
    server.stop().await;
}

/// What is sent to a client that is paused arrives, and its end is seen.
#[tokio::test(start_paused = true)]
async fn a_pause_is_in_reading_only() {
    let server = echo(RateLimit::new().bytes(100)).await;
    let mut here = open(&server, "/").await;
    here.send(&wire::client(wire::BINARY, &[7; 100_000])).await;
    assert_eq!(read_text(&mut here).await, "100000");
    here.send(&wire::client(wire::BINARY, b"later")).await;
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
    server.stop().await;
}

/// A flood comes as fast as it may, also of a client that has ended behind it, in whatever way.
#[tokio::test(start_paused = true)]
async fn an_end_does_not_end_the_pause() {
    clock_is_paused();
    for (rate, pause) in [(1, 1.0), (20, 0.05)] {
        for end in [Vec::new(), wire::client(wire::CLOSE, &[3, 232])] {
            let delivered = Arc::new(Mutex::new(Vec::new()));
            let seen = Arc::clone(&delivered);
            let handler = handler_fn().on_message(move |_: &Client, _: Received<'_>| {
                seen.lock().unwrap().push(Instant::now());
            });
            let rate = RateLimit::new().messages(rate).burst(Duration::ZERO);
            let server = start(bind().await.route("/", handler).client_rate(rate));
            let mut here = open(&server, "/").await;
            let began = Instant::now();
            here.send(&[wire::client(wire::TEXT, b"x").repeat(2000), end].concat()).await;
            here.io.shutdown().await.unwrap();
            sleep(Duration::from_secs(10)).await;
            {
                let delivered = delivered.lock().unwrap();
                assert!(delivered.len() > 1);
                for (n, at) in delivered.iter().enumerate() {
                    let earliest = pause * (n as f64 - 1.0) - 0.01;
                    let at = at.duration_since(began).as_secs_f64();
                    assert!(at >= earliest, "message {n} came after {at} s");
                }
            }
            drop(here);
            server.stop().await;
        }
    }
}

/// A pause that would last longer than an end may is not waited for.
#[tokio::test(start_paused = true)]
async fn a_client_that_is_gone_is_not_paused_for_long() {
    let server = echo(RateLimit::new().bytes(100)).await;
    let mut here = open(&server, "/").await;
    here.send(&wire::client(wire::BINARY, &[7; 100_000])).await;
    assert_eq!(read_text(&mut here).await, "100000");
    here.send(&wire::client(wire::BINARY, b"later").repeat(1000)).await;
    let began = Instant::now();
    drop(here);
    while server.hub.stats().closed == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert!(server.hub.stats().received < 3);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_may_be_closed_instead() {
    let close = Excess::Close(CloseCode::POLICY_VIOLATION);
    let server = echo(RateLimit::new().messages(3).beyond(close)).await;
    let mut here = open(&server, "/").await;
    // control frames are free
    for _ in 0..10 {
        here.send(&wire::client(wire::PONG, b"")).await;
    }
    for _ in 0..3 {
        here.send(&wire::client(wire::TEXT, b"x")).await;
        assert_eq!(read_text(&mut here).await, "1");
    }
    sleep(Duration::from_secs(1)).await;
    here.send(&wire::client(wire::TEXT, b"x").repeat(9)).await;
    for _ in 0..3 {
        assert_eq!(read_text(&mut here).await, "1");
    }
    let close = here.frame().await.unwrap();
    assert_eq!(close.close_code(), Some(1008));
    let stats = server.hub.stats();
    assert_eq!((stats.rate_closed, stats.rate_paused), (1, 0));
    drop(here);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn handshakes_of_an_address_are_limited() {
    clock_is_paused();
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
    server.stop().await;
}

/// A client that leaves, or is closed, while it is paused is not kept for the pause.
#[tokio::test(start_paused = true)]
async fn a_pause_ends_with_the_connection() {
    let server = echo(RateLimit::new().bytes(1)).await;
    for by_peer in [true, false] {
        let mut here = open(&server, "/").await;
        here.send(&wire::client(wire::BINARY, &[7; 1000])).await;
        assert_eq!(read_text(&mut here).await, "1000");
        let began = Instant::now();
        if by_peer {
            here.send_frame(wire::CLOSE, wire::close_payload(1000, "")).await;
        } else {
            server.hub.all().close(CloseCode::NORMAL, "").unwrap();
        }
        assert_eq!(here.frame().await.unwrap().close_code(), Some(1000), "{by_peer}");
        assert!(began.elapsed() < Duration::from_secs(5), "{by_peer}: {:?}", began.elapsed());
        drop(here);
        until(|| server.hub.all().is_empty()).await;
        assert!(began.elapsed() < Duration::from_secs(30), "{by_peer}: {:?}", began.elapsed());
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_route_has_a_rate_of_its_own() {
    clock_is_paused();
    let add = |path, rate| (path, Route::new(lengths()).client_rate(rate));
    let routes = [
        add("/slow", RateLimit::new().messages(1)),
        add("/free", RateLimit::new()),
        ("/same", Route::new(lengths())),
    ];
    let server = bind().await.client_rate(RateLimit::new().messages(10));
    let server = routes.into_iter().fold(server, |server, (path, it)| server.route(path, it));
    let server = start(server);
    for (path, seconds) in [("/slow", 20), ("/same", 2), ("/free", 0)] {
        let mut here = open(&server, path).await;
        let began = Instant::now();
        here.send(&wire::client(wire::TEXT, b"x").repeat(21)).await;
        for _ in 0..21 {
            assert_eq!(read_text(&mut here).await, "1");
        }
        let took = began.elapsed().as_secs_f64();
        assert!(
            (f64::from(seconds) - 1.1..f64::from(seconds) + 0.2).contains(&took),
            "{path} {took}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn rates_of_nothing_are_told() {
    let nothing = RateLimit::new().messages(0);
    for server in [
        bind().await.client_rate(nothing),
        bind().await.max_handshakes_per_ip(0),
        bind().await.route("/", Route::new(lengths()).client_rate(nothing)),
    ] {
        let error = server.run().await.unwrap_err();
        let of_setting = matches!(error, ServerError::Config(_) | ServerError::Route { .. });
        assert!(of_setting && error.to_string().contains("at least 1 "), "{error}");
    }
    assert!(Route::new(lengths()).client_rate(nothing).check().is_err());
}

/// Python's websockets meets the limits as the RFC has them: `tests/interop/limits.py`.
#[tokio::test]
async fn another_implementation_meets_them() {
    let python = sansws_test::target_dir!().join("interop/venv/bin/python");
    if !python.exists() {
        return skip("limits.py", "run `bash tests/interop/install.sh` first");
    }
    let echo = || Route::new(handler_fn().on_message(|client, message| client.send(message)));
    let ten = RateLimit::new().messages(10);
    let strict = ten.beyond(Excess::Close(CloseCode::POLICY_VIOLATION));
    let server = bind().await.route("/paced", echo().client_rate(ten));
    let server = server.route("/strict", echo().client_rate(strict));
    let server = server.route("/idle", echo().idle_timeout(Duration::from_millis(300)));
    let server = server.route("/short", echo().max_message_len(10));
    let server = server.route("/spoken", echo().subprotocols(["v2", "v1"]));
    let server = start(server.route("/one", echo().max_connections(1)));
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/limits.py"));
    command.arg(format!("ws://{}", server.addr));
    let finished =
        spawn_blocking(move || Process::spawn(&mut command).finish(Duration::from_secs(50)));
    let finished = finished.await.unwrap();
    assert!(finished.status.success(), "{}", finished.stderr.join("\n"));
    assert_eq!(finished.stdout, ["ok"], "{}", finished.stderr.join("\n"));
    let stats = server.hub.stats();
    assert_eq!((stats.rate_closed, stats.idle_closed), (1, 1), "{stats:?}");
    assert!((1..=10).contains(&stats.rate_paused), "{stats:?}");
    server.stop().await;
}

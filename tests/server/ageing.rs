//! Draining, the longest life of a connection, and how a shutdown is spread over time.

use std::time::{Duration, Instant};

use sansws::CloseCode;
use sansws::server::{Response, handler_fn};

use crate::support::{bind, closed, start, text, until, within};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_server_that_drains_takes_nobody_in() {
    let echo = handler_fn().on_message(|client, message| client.send(message));
    let server = bind().await.route("/", echo).page("/page", Response::text("still here\n"));
    let server = start(server.health("/health"));
    let mut ws = server.connect("/").await;
    let health = server.get("/health").await;
    assert!(health.starts_with("HTTP/1.1 200 ") && health.ends_with("ok\n"), "{health}");
    assert!(health.contains("Cache-Control: no-store\r\n"), "{health}");
    let posted = server.http("POST /health HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert!(posted.starts_with("HTTP/1.1 405 "), "{posted}");

    server.handle.drain();
    server.handle.drain();
    assert!(server.handle.is_draining());
    assert!(server.get("/health").await.starts_with("HTTP/1.1 503 "));
    assert_eq!(server.refused(&server.request("/")).await.0, 503);
    assert!(server.get("/page").await.starts_with("HTTP/1.1 200 "));
    ws.send("still here").await.unwrap();
    assert_eq!(text(&mut ws).await, "still here");

    server.handle.resume();
    assert!(!server.handle.is_draining());
    assert!(server.get("/health").await.starts_with("HTTP/1.1 200 "));
    drop(server.connect("/").await);

    server.handle.drain();
    let handle = server.handle.clone();
    let shutdown = handle.shutdown(CloseCode::SERVICE_RESTART, "", LONG);
    let (ended, end) = within(async { tokio::join!(shutdown, closed(&mut ws)) }).await;
    assert_eq!((ended, end), (Ok(()), (1012, String::new(), true)));
    handle.resume();
    assert!(handle.is_draining(), "what is over does not come back");
    within(server.run).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_has_a_longest_life() {
    const LIFETIME: Duration = Duration::from_millis(400);
    let server = start(bind().await.route("/", handler_fn()).max_lifetime(LIFETIME));
    let begin = Instant::now();
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(server.connect("/").await);
    }
    for ws in &mut all {
        let end = closed(ws).await;
        assert_eq!(end, (1001, "the connection has served its time".into(), true));
        assert!(begin.elapsed() >= LIFETIME * 9 / 10, "{:?}", begin.elapsed());
    }
    until(|| server.hub.all().is_empty()).await;
    server.stop().await;
}

#[tokio::test]
async fn a_shutdown_is_spread() {
    const WINDOW: Duration = Duration::from_secs(1);
    let server = start(bind().await.route("/", handler_fn()).close_window(WINDOW));
    let mut all = Vec::new();
    for _ in 0..20 {
        all.push(server.connect("/").await);
    }
    until(|| server.hub.all().len() == 20).await;
    let handle = server.handle.clone();
    let begin = Instant::now();
    let shutdown = tokio::spawn(async move {
        handle.shutdown(CloseCode::GOING_AWAY, "", LONG).await.unwrap();
    });
    assert_eq!(closed(&mut all[0]).await, (1001, String::new(), true));
    assert!(server.hub.all().len() > 5, "the others are still here");
    for ws in &mut all[1..] {
        assert_eq!(closed(ws).await, (1001, String::new(), true));
    }
    assert!(begin.elapsed() >= WINDOW * 3 / 4, "{:?}", begin.elapsed());
    within(shutdown).await.unwrap();
    within(server.run).await.unwrap().unwrap();
}

/// However long the window, everybody is told before the deadline.
#[tokio::test]
async fn the_window_ends_before_the_deadline() {
    let server = start(bind().await.route("/", handler_fn()).close_window(LONG));
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(server.connect("/").await);
    }
    until(|| server.hub.all().len() == 5).await;
    let handle = server.handle.clone();
    let shutdown = tokio::spawn(async move {
        handle.shutdown(CloseCode::GOING_AWAY, "", Duration::from_secs(4)).await.unwrap();
    });
    for ws in &mut all {
        assert_eq!(closed(ws).await, (1001, String::new(), true));
    }
    within(shutdown).await.unwrap();
    within(server.run).await.unwrap().unwrap();
}

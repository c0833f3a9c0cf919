//! The figures of a server after conversations that are known.

use std::time::Duration;

use sansws::server::{
    Accept, Client, Handler, Hub, Received, Response, Server, SlowClients, Stats, handler_fn,
};
use sansws::{CloseCode, Config, KeepAlive};
use sansws_test::wire;
use tokio::io::AsyncWriteExt;

use crate::openmetrics::Samples;
use crate::support::{Running, bind, closed, start, text, until, within};

/// What the server serves, with the head of the answer.
async fn scrape(server: &Running) -> (String, Samples) {
    let answer = server.get("/metrics").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.into(), Samples::parse(body))
}

async fn echo() -> Server {
    let handler = handler_fn().on_message(|client, message| {
        if message.as_text() == Some("panic") {
            panic!("as it was told to");
        }
        client.send(message)
    });
    bind().await.route("/", handler).metrics("/metrics")
}

/// Waits until all connections have been recorded as closed.
async fn all_closed(hub: &Hub, count: u64) {
    until(|| hub.stats().close_codes().map(|it| it.1).sum::<u64>() == count).await;
}

#[tokio::test]
async fn a_server_that_has_done_nothing() {
    let server = start(echo().await);
    let (head, samples) = scrape(&server).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(Stats::OPENMETRICS, content_type);
    assert!(head.contains(&format!("Content-Type: {content_type}\r\n")), "{head}");
    assert!(head.contains("Cache-Control: no-store"), "{head}");
    // the scrape itself
    assert_eq!(samples.get("sansws_pending"), 1.0);
    assert_eq!(samples.get("sansws_streams_accepted_total"), 1.0);
    for name in ["sansws_connections", "sansws_rooms", "sansws_queue_high_water_bytes"] {
        assert_eq!(samples.get(name), 0.0, "{name}");
    }
    for name in ["sansws_handshakes_total", "sansws_closed_total", "sansws_panics_total"] {
        assert!(samples.has(name) && samples.sum(name) == 0.0, "{name}");
    }
    assert!(!samples.has("sansws_handler_seconds"));
    let post = server.http("POST /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").await;
    assert!(post.starts_with("HTTP/1.1 405 "), "{post}");
    server.stop().await;
}

#[tokio::test]
async fn messages_and_bytes() {
    let server = start(echo().await);
    let mut ws = server.connect("/").await;
    for len in [0, 1, 125, 126, 70_000] {
        within(ws.send("x".repeat(len))).await.unwrap();
        assert_eq!(text(&mut ws).await.len(), len);
    }
    let client = server.hub.all().clients().remove(0);
    client.join("room").unwrap();
    let topic = client.hub().topic("remembers", sansws::server::History::last(1));
    topic.send("x").unwrap();
    client.send("queued, from outside").unwrap();
    assert_eq!(text(&mut ws).await.len(), 20);
    let payload = 70_252.0;
    // header, extended length; from clients a mask
    let headers = 6.0 * 2.0 + 2.0 + 8.0;
    let (_, samples) = scrape(&server).await;
    for (name, value) in [
        ("sansws_connections", 1.0),
        ("sansws_rooms", 2.0), // one of them the topic
        ("sansws_topics", 1.0),
        ("sansws_history_bytes", server.hub.stats().history_bytes as f64),
        ("sansws_handshakes_total{status=\"101\"}", 1.0),
        ("sansws_received_messages_total", 5.0),
        ("sansws_received_bytes_total", payload),
        ("sansws_transport_read_bytes_total", payload + headers - 2.0 + 5.0 * 4.0),
        ("sansws_sent_messages_total", 6.0),
        ("sansws_sent_bytes_total", payload + 20.0),
        ("sansws_transport_written_bytes_total", payload + 20.0 + headers),
        ("sansws_queue_high_water_bytes", 20.0 + 64.0),
    ] {
        assert_eq!(samples.get(name), value, "{name}");
    }
    let stats = server.hub.stats();
    assert_eq!((stats.received, stats.received_bytes), (5, 70_252));
    assert_eq!((stats.sent, stats.sent_bytes), (6, 70_272));
    assert_eq!((stats.open(), stats.rooms), (1, 2));
    until(|| server.hub.stats().pending == 0).await;
    server.stop().await;
}

#[cfg(feature = "deflate")]
#[tokio::test]
async fn compression_shows() {
    let config = Config::new().deflate(sansws::deflate::Deflate::new());
    let server = start(echo().await.config(config.clone()));
    let request = server.request("/");
    let mut ws = within(sansws::tokio::connect_with(&request, &config)).await.unwrap();
    assert!(ws.deflate().is_some());
    within(ws.send("x".repeat(50_000))).await.unwrap();
    assert_eq!(text(&mut ws).await.len(), 50_000);
    let stats = server.hub.stats();
    assert_eq!((stats.received_bytes, stats.sent_bytes), (50_000, 50_000));
    for bytes in [stats.read_bytes, stats.written_bytes] {
        assert!((1..1000).contains(&bytes), "{bytes}");
    }
    server.stop().await;
}

#[tokio::test]
async fn refusals_by_status() {
    let decide = handler_fn().on_request(|request| match request.query() {
        Some("401") => Err(Response::empty(401)),
        Some("418") => Err(Response::empty(418)),
        Some("panic") => panic!("as it was told to"),
        _ => Ok(Accept::new()),
    });
    let config = Config::new().handshake_timeout(Duration::from_millis(200));
    let server = start(echo().await.route("/decide", decide).config(config));
    for (path, status) in [("/nowhere", 404), ("/decide?401", 401), ("/decide?418", 418)] {
        assert_eq!(server.refused(&server.request(path)).await.0, status);
    }
    assert_eq!(server.refused(&server.request("/decide?panic")).await.0, 500);
    let foreign = server.request("/").header("Origin", "https://elsewhere.example");
    assert_eq!(server.refused(&foreign).await.0, 403);
    let wrong = wire::REQUEST.replacen("/chat", "/", 1).replacen("Version: 13", "Version: 12", 1);
    assert!(server.http(&wrong).await.starts_with("HTTP/1.1 426 "));
    assert!(server.http("no HTTP\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    assert!(server.http("GET / HTTP/1.1\r\n").await.starts_with("HTTP/1.1 408 "));
    let mut leaves = tokio::net::TcpStream::connect(server.addr).await.unwrap();
    leaves.write_all(b"GET").await.unwrap();
    drop(leaves);
    until(|| server.hub.stats().bad_requests == 4).await;
    server.handle.drain();
    assert_eq!(server.refused(&server.request("/")).await.0, 503);
    let (_, samples) = scrape(&server).await;
    let statuses = ["401", "403", "404", "500", "503", "other", "400", "408", "426", "none"];
    for status in statuses {
        let name = format!("sansws_handshakes_total{{status=\"{status}\"}}");
        assert_eq!(samples.get(&name), 1.0, "{name}");
    }
    let stats = server.hub.stats();
    assert_eq!((stats.refused, stats.bad_requests, stats.panics), (6, 4, 1));
    assert_eq!(samples.sum("sansws_handshakes_total"), 10.0);
    assert_eq!(samples.get("sansws_panics_total"), 1.0);
    server.stop().await;
}

#[tokio::test]
async fn ends_by_close_code() {
    let server = start(echo().await);
    for code in [1000, 3000, 3999, 4444] {
        let mut ws = server.connect("/").await;
        let code = CloseCode::new(code).unwrap();
        within(ws.close(code, "")).await.unwrap();
    }
    let mut panicked = server.connect("/").await;
    within(panicked.send("panic")).await.unwrap();
    assert_eq!(closed(&mut panicked).await.0, 1011);
    let mut wrong = server.raw("/").await;
    wrong.write_all(b"\x81\x00").await.unwrap(); // not masked
    all_closed(&server.hub, 6).await;
    let mut gone = server.raw("/").await;
    gone.shutdown().await.unwrap();
    all_closed(&server.hub, 7).await;
    let (_, samples) = scrape(&server).await;
    for (code, count) in
        [("1000", 1.0), ("3xxx", 2.0), ("4xxx", 1.0), ("1011", 1.0), ("1002", 1.0), ("1006", 1.0)]
    {
        let name = format!("sansws_closed_total{{code=\"{code}\"}}");
        assert_eq!(samples.get(&name), count, "{name}");
    }
    assert_eq!(samples.sum("sansws_closed_total"), 7.0);
    assert_eq!(samples.get("sansws_connections"), 0.0);
    assert_eq!(samples.get("sansws_panics_total"), 1.0);
    server.stop().await;
}

#[tokio::test]
async fn a_slow_client() {
    const LIMIT: usize = 64 * 1024;
    for (policy, closes) in
        [(SlowClients::Close(CloseCode::TRY_AGAIN_LATER), true), (SlowClients::DropOldest, false)]
    {
        let server = echo().await.max_queued_bytes(LIMIT).max_burst_bytes(LIMIT);
        let server = start(server.slow_clients(policy));
        let _raw = server.raw("/").await;
        until(|| server.hub.all().len() == 1).await;
        let client = server.hub.all().clients().remove(0);
        // nobody takes anything in between: the task has no turn
        let refused = (0..100).filter(|_| client.send(&[7; 8 * 1024]).is_err()).count();
        assert_eq!(refused > 0, closes);
        let (_, samples) = scrape(&server).await;
        let high = samples.get("sansws_queue_high_water_bytes");
        // seven of them
        assert_eq!(high, 7.0 * (8.0 * 1024.0 + 64.0));
        let dropped = if closes { 0.0 } else { 93.0 };
        assert_eq!(samples.get("sansws_dropped_messages_total"), dropped);
        let slow = f64::from(u8::from(closes));
        assert_eq!(samples.get("sansws_slow_closed_total"), slow);
        server.stop().await;
    }
}

/// Waits before it answers.
struct Slow;

impl Handler for Slow {
    async fn on_open(&self, _: &Client) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    async fn on_message(&self, client: &Client, message: Received<'_>) {
        client.send(message).unwrap();
    }
}

#[tokio::test]
async fn times_of_handlers() {
    let server = bind().await.route("/", Slow).metrics("/metrics").time_handlers();
    let server = start(server);
    let mut ws = server.connect("/").await;
    for _ in 0..3 {
        within(ws.send("hello")).await.unwrap();
        text(&mut ws).await;
    }
    let (_, samples) = scrape(&server).await;
    assert_eq!(samples.get("sansws_handler_seconds_count"), 4.0);
    assert_eq!(samples.get("sansws_handler_seconds_bucket{le=\"+Inf\"}"), 4.0);
    // what it waited counts
    assert!(samples.get("sansws_handler_seconds_sum") >= 0.02);
    assert!(samples.get("sansws_handler_seconds_bucket{le=\"0.01\"}") <= 3.0);
    assert_eq!(server.hub.stats().handler_times().last(), Some((None, 4)));
    server.stop().await;
}

/// A page for debugging has what it needs.
#[tokio::test]
async fn round_trips_show_at_the_client() {
    let config = Config::new().keep_alive(KeepAlive::Every(Duration::from_millis(20)));
    let server = start(echo().await.config(config));
    let mut ws = server.connect("/").await;
    let client = server.hub.all().clients().remove(0);
    let reading = tokio::spawn(async move { ws.recv().await });
    until(|| client.round_trip().is_some()).await;
    assert!(client.round_trip() < Some(client.info().opened().elapsed()));
    reading.abort();
    server.stop().await;
}

/// The host is checked as for pages; the path cannot have parameters.
#[tokio::test]
async fn the_path_is_guarded() {
    let server = start(echo().await.allowed_hosts(["example.com"]));
    assert!(server.get("/metrics").await.starts_with("HTTP/1.1 421 "));
    let right = server.http("GET /metrics HTTP/1.1\r\nHost: example.com\r\n\r\n").await;
    assert!(right.starts_with("HTTP/1.1 200 "), "{right}");
    server.stop().await;
    assert!(bind().await.metrics("/{any}").run().await.is_err());
}

#[tokio::test]
async fn each_client_has_its_own_figures_where_they_are_counted() {
    let server = start(echo().await.count_traffic());
    let (mut ws, other) = (server.connect("/").await, server.connect("/").await);
    until(|| server.hub.all().len() == 2).await;
    let client = server.hub.all().clients().remove(0);
    assert_eq!(client.traffic(), Some(Default::default()));
    for message in ["one", "two", "three"] {
        ws.send(message).await.unwrap();
        assert_eq!(text(&mut ws).await, message);
    }
    server.hub.all().send("for both").unwrap();
    assert_eq!(text(&mut ws).await, "for both");
    let figures = |client: &Client| {
        let it = client.traffic().unwrap();
        (it.received, it.received_bytes, it.sent, it.sent_bytes)
    };
    until(|| figures(&client) == (3, 11, 4, 19)).await;
    let idle = server.hub.all().clients().remove(1);
    until(|| figures(&idle) == (0, 0, 1, 8)).await;
    ws.close(CloseCode::NORMAL, "").await.unwrap();
    until(|| server.hub.all().len() == 1).await;
    assert_eq!(figures(&client), (3, 11, 4, 19), "a Close is no message");
    drop(other);
    server.stop().await;

    let server = start(echo().await);
    let _ws = server.connect("/").await;
    until(|| server.hub.all().len() == 1).await;
    assert_eq!(server.hub.all().clients()[0].traffic(), None);
    server.stop().await;
}

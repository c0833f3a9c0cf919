//! Settings: their order, and values that nobody would have tried.

use std::time::Duration;

use sansws::server::{Server, handler_fn};
use sansws::{CloseCode, Config, KeepAlive};

use crate::support::{bind, closed, start, until, within};

/// The longest message that comes back.
async fn longest(server: Server) -> usize {
    let echo = handler_fn().on_message(|client, message| client.send(message));
    let server = start(server.route("/", echo));
    let mut longest = 0;
    for len in [10, 1000, 1024 * 1024, 16 * 1024 * 1024] {
        let mut ws = server.connect("/").await;
        ws.send(vec![0; len]).await.unwrap();
        match within(ws.recv()).await {
            Ok(Some(message)) => longest = message.len(),
            _ => assert_eq!(closed(&mut ws).await.0, CloseCode::MESSAGE_TOO_BIG.as_u16()),
        }
    }
    server.stop().await;
    longest
}

#[tokio::test]
async fn the_order_of_settings_does_not_matter() {
    const MIB: usize = 1024 * 1024;
    let other = Config::new().keep_alive(KeepAlive::Off);
    let short = Config::new().max_message_len(10);
    for (expected, server) in [
        // what is not said is the server's default, not that of a single socket
        (MIB, bind().await.config(other.clone())),
        (MIB, bind().await.config(Config::new())),
        (MIB, bind().await.config(Server::default_config())),
        (1000, bind().await.max_message_len(1000).config(other.clone())),
        (1000, bind().await.config(other).max_message_len(1000)),
        (10, bind().await.config(short.clone())),
        (1000, bind().await.config(short.clone()).max_message_len(1000)),
        (1000, bind().await.max_message_len(1000).config(short.clone())),
        (16 * MIB, bind().await.max_message_len(16 * MIB).config(short)),
    ] {
        assert_eq!(longest(server.max_queued_bytes(64 * MIB)).await, expected);
    }
}

type Set = fn(Server) -> Server;
type Configure = fn(Config) -> Config;

/// No setting makes the server panic, and those that let anybody in let everybody in and out again.
#[tokio::test]
async fn settings_of_any_size() {
    const SETTERS: &[(&str, Set)] = &[
        ("max_message_len", |it| it.max_message_len(usize::MAX)),
        ("max_unsent", |it| it.max_unsent(usize::MAX)),
        ("max_connections", |it| it.max_connections(usize::MAX)),
        ("max_connections_per_ip", |it| it.max_connections_per_ip(usize::MAX)),
        ("max_pending 0", |it| it.max_pending(0)),
        ("max_pending", |it| it.max_pending(usize::MAX)),
        ("max_queued_bytes 0", |it| it.max_queued_bytes(0)),
        ("max_queued_bytes", |it| it.max_queued_bytes(usize::MAX)),
        ("max_receiving_bytes 0", |it| it.max_receiving_bytes(0)),
        ("max_receiving_bytes", |it| it.max_receiving_bytes(usize::MAX)),
        ("trusted_proxies", |it| it.trusted_proxies(usize::MAX)),
        ("max_lifetime", |it| it.max_lifetime(Duration::MAX)),
        ("close_window 0", |it| it.close_window(Duration::ZERO)),
        ("close_window", |it| it.close_window(Duration::MAX)),
    ];
    const CONFIGS: &[(&str, Configure)] = &[
        ("max_head_len", |it| it.max_head_len(usize::MAX)),
        ("max_headers", |it| it.max_headers(usize::MAX)),
        ("max_target_len", |it| it.max_target_len(usize::MAX)),
        ("max_refusal_body_len", |it| it.max_refusal_body_len(usize::MAX)),
        ("handshake_timeout", |it| it.handshake_timeout(Duration::MAX)),
        ("max_message_len", |it| it.max_message_len(usize::MAX)),
        ("max_fragments", |it| it.max_fragments(u32::MAX)),
        ("max_empty_fragments 0", |it| it.max_empty_fragments(0)),
        ("max_empty_fragments", |it| it.max_empty_fragments(u32::MAX)),
        ("read_ahead 0", |it| it.read_ahead(0)),
        ("max_pending_pongs", |it| it.max_pending_pongs(usize::MAX)),
        ("max_unsent 1", |it| it.max_unsent(1)),
        ("max_unsent", |it| it.max_unsent(usize::MAX)),
        ("keep_alive", |it| it.keep_alive(KeepAlive::Every(Duration::MAX))),
        ("pong_timeout", |it| it.pong_timeout(Duration::MAX)),
        ("close_timeout 0", |it| it.close_timeout(Duration::ZERO)),
        ("close_timeout", |it| it.close_timeout(Duration::MAX)),
    ];
    let mut servers = Vec::new();
    for (name, set) in SETTERS {
        servers.push((*name, set(bind().await)));
    }
    for (name, configure) in CONFIGS {
        servers.push((*name, bind().await.config(configure(Config::new()))));
    }
    for (name, server) in servers {
        let echo = handler_fn().on_message(|client, message| client.send(message));
        let server = start(server.route("/", echo));
        let mut ws = server.connect("/").await;
        ws.send("hello").await.unwrap();
        assert_eq!(within(ws.recv()).await.unwrap().unwrap().len(), 5, "{name}");
        let handle = server.handle.clone();
        let shutdown = handle.shutdown(CloseCode::GOING_AWAY, "", Duration::MAX);
        let (ended, close) = within(async { tokio::join!(shutdown, closed(&mut ws)) }).await;
        assert_eq!((ended, close.0), (Ok(()), 1001), "{name}");
        within(server.run).await.unwrap().unwrap();
    }
}

/// A lifetime of nothing is one: everybody is closed at once.
#[tokio::test]
async fn a_lifetime_of_nothing() {
    let server = start(bind().await.route("/", handler_fn()).max_lifetime(Duration::ZERO));
    let mut ws = server.connect("/").await;
    assert_eq!(closed(&mut ws).await.0, 1001);
    server.stop().await;
}

#[cfg(not(feature = "rustls"))] // `tls` has what it does otherwise
#[tokio::test]
async fn tls_needs_its_feature() {
    for bound in
        [Server::bind("wss://127.0.0.1:0").await, bind().await.and_bind("WSS://127.0.0.1:0").await]
    {
        let error = bound.unwrap_err();
        assert!(matches!(error, sansws::server::ServerError::Tls), "{error:?}");
        assert!(error.to_string().contains("feature `rustls`"), "{error}");
    }
}

#[tokio::test]
async fn one_server_on_two_listeners() {
    let server = bind().await.and_bind("127.0.0.1:0").await.unwrap();
    let [first, second] = server.local_addrs().unwrap()[..] else { panic!() };
    let server = start(server.route("/", handler_fn()));
    for addr in [first, second] {
        let ws = within(sansws::tokio::connect(&format!("ws://{addr}/"))).await.unwrap();
        until(|| server.hub.all().len() == 1).await;
        drop(ws);
        until(|| server.hub.all().is_empty()).await;
    }
    server.stop().await;
    assert!(tokio::net::TcpStream::connect(second).await.is_err(), "it still listens");
}

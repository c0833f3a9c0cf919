//! Settings of routes: each holds there alone, and what a route does not say is the server's.

use std::time::Duration;

use sansws::server::{
    Accept, Client, Handler, OriginPolicy, Received, Request, Response, Route, Server, ServerError,
    SlowClients, TrySendError, handler_fn,
};
use sansws::{CloseCode, Config, KeepAlive};
use sansws_test::peer::{Peer, clock_is_paused};
use sansws_test::wire::{self, Frame};
use tokio::io::DuplexStream;
use tokio::time::{Instant, sleep};

use crate::support::{Running, bind, closed, open, start, text, until};

const SECOND: Duration = Duration::from_secs(1);

fn echo() -> impl Handler {
    handler_fn().on_message(|client: &Client, message: Received<'_>| client.send(message))
}

/// The code that a message of so many bytes is answered with, if it is not an echo.
async fn answer(server: &Running, path: &str, len: usize) -> Option<u16> {
    let mut ws = server.connect(path).await;
    ws.send("x".repeat(len)).await.unwrap();
    match ws.recv().await {
        Ok(Some(message)) => assert_eq!(message.len(), len),
        _ => return Some(closed(&mut ws).await.0),
    }
    None
}

#[tokio::test]
async fn the_order_does_not_matter() {
    let add = |server: Server| {
        server
            .route("/short", Route::new(echo()).max_message_len(10))
            .route("/long", Route::new(echo()).max_message_len(5000).keep_alive(KeepAlive::Off))
            .route("/same", Route::new(echo()).slow_after(SECOND))
            .route("/plain", echo())
    };
    let set = |server: Server| server.max_message_len(100).config(Config::new());
    for server in [set(add(bind().await)), add(set(bind().await))] {
        let server = start(server);
        for (path, longest) in [("/short", 10), ("/long", 5000), ("/same", 100), ("/plain", 100)] {
            assert_eq!(answer(&server, path, longest).await, None, "{path}");
            assert_eq!(answer(&server, path, longest + 1).await, Some(1009), "{path}");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_route_has_so_many_connections() {
    let server = bind().await.route("/two", Route::new(echo()).max_connections(2));
    let server = start(server.route("/", echo()).max_connections(4));
    let mut two = vec![server.connect("/two").await, server.connect("/two").await];
    let (status, body) = server.refused(&server.request("/two")).await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("this path"), "{body}");
    // one that is refused counts nowhere
    let all = [server.connect("/").await, server.connect("/").await];
    let (status, body) = server.refused(&server.request("/")).await;
    assert_eq!(status, 503);
    assert!(!body.contains("this path"), "{body}");
    drop(two.pop());
    until(|| server.hub.all().len() == 3).await;
    let _third = server.connect("/two").await;
    drop(all);
    until(|| server.hub.all().len() == 2).await;
    assert_eq!(server.refused(&server.request("/two")).await.0, 503);
    server.stop().await;
}

#[tokio::test]
async fn origins_of_a_route() {
    let server = bind().await.route("/any", Route::new(echo()).origins(OriginPolicy::Any));
    let list = Route::new(echo()).allow_origins(["https://partner.example"]);
    let server = server.route("/partner", list).route("/ours", echo());
    let server = start(server.allow_origins(["https://ours.example"]));
    for (path, allowed) in [
        (
            "/any",
            ["https://ours.example", "https://partner.example", "https://else.example"].as_slice(),
        ),
        ("/partner", &["https://partner.example"]),
        ("/ours", &["https://ours.example"]),
    ] {
        for origin in ["https://ours.example", "https://partner.example", "https://else.example"] {
            let request = server.request(path).header("Origin", origin);
            let accepted = server.try_connect(&request).await.is_ok();
            assert_eq!(accepted, allowed.contains(&origin), "{path} {origin}");
        }
    }
    server.stop().await;
}

/// Chooses the subprotocol that the path names, if it names one.
struct Chooses;

impl Handler for Chooses {
    async fn on_request(&self, request: &Request<'_>) -> Result<Accept, Response> {
        Ok(match request.param("name") {
            Some(name) => Accept::new().subprotocol(name),
            None => Accept::new(),
        })
    }
}

#[tokio::test]
async fn subprotocols_of_a_route() {
    let route = || Route::new(Chooses).subprotocols(["v2", "v1"]);
    let server = bind().await.route("/", route()).route("/{name}", route());
    let server = start(server.route("/none/", echo()));
    for (path, offers, expected) in [
        ("/", ["v1", "v2"].as_slice(), Some("v2")),
        ("/", &["v0", "v1"], Some("v1")),
        ("/", &["V2"], None),
        ("/", &[], None),
        ("/v1", &["v1", "v2"], Some("v1")),
        ("/none/", &["v1"], None),
    ] {
        let request = offers.iter().fold(server.request(path), |it, name| it.subprotocol(name));
        let ws = server.try_connect(&request).await.unwrap();
        assert_eq!(ws.subprotocol(), expected, "{path} {offers:?}");
    }
    server.stop().await;
}

#[cfg(feature = "deflate")]
#[tokio::test]
async fn compression_of_a_route() {
    use sansws::deflate::Deflate;

    let server = bind().await.route("/on", Route::new(echo()).deflate(Deflate::new()));
    let server = server.route("/off", Route::new(echo()).deflate(None)).route("/", echo());
    for (server, by_default) in [(server, false), {
        let server = bind().await.config(Config::new().deflate(Deflate::new()));
        let server = server.route("/on", Route::new(echo()).deflate(Deflate::new()));
        (server.route("/off", Route::new(echo()).deflate(None)).route("/", echo()), true)
    }] {
        let server = start(server);
        let config = Config::new().deflate(Deflate::new());
        for (path, expected) in [("/on", true), ("/off", false), ("/", by_default)] {
            let request = server.request(path);
            let mut ws = sansws::tokio::connect_with(&request, &config).await.unwrap();
            assert_eq!(ws.deflate().is_some(), expected, "{path}");
            // a broadcast reaches those with and those without
            until(|| server.hub.all().len() == 1).await;
            server.hub.all().send("hello, hello, hello, hello, hello").unwrap();
            assert_eq!(text(&mut ws).await.len(), 33);
            drop(ws);
            until(|| server.hub.all().is_empty()).await;
        }
        server.stop().await;
    }
}

/// Each client has the limits of its route, whoever sends to it.
#[tokio::test]
async fn slow_clients_of_a_route() {
    let drops = Route::new(echo()).slow_clients(SlowClients::DropNewest).max_burst_bytes(1000);
    let server = bind().await.route("/drops", drops.max_queued_bytes(1000));
    let server = start(server.route("/closes", echo()).max_burst_bytes(1000).max_queued_bytes(1));
    for (path, closes) in [("/drops", false), ("/closes", true)] {
        let mut ws = server.connect(path).await;
        until(|| server.hub.all().len() == 1).await;
        let client = server.hub.all().clients().remove(0);
        assert_eq!(client.send("first"), Ok(()));
        let second = client.send("x".repeat(1000));
        assert!(matches!(second, Err(TrySendError::Full { .. })), "{path}: {second:?}");
        assert_eq!(server.hub.all().send("y".repeat(1000)), Ok(0), "{path}");
        assert_eq!(client.is_open(), !closes);
        if !closes {
            assert_eq!(text(&mut ws).await, "first");
            client.close(CloseCode::NORMAL, "").unwrap();
        }
        assert_eq!(closed(&mut ws).await.0, if closes { 1013 } else { 1000 });
        until(|| server.hub.all().is_empty()).await;
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn keep_alive_of_a_route() {
    clock_is_paused();
    let quick = Route::new(echo()).keep_alive(KeepAlive::Every(SECOND)).pong_timeout(2 * SECOND);
    let server = bind().await.route("/quick", quick).route("/", echo());
    let server = start(server.config(Config::new().keep_alive(KeepAlive::Off)));
    let (mut quick, mut other) = (open(&server, "/quick").await, open(&server, "/").await);
    let began = Instant::now();
    assert_eq!(quick.frame().await.unwrap().opcode, wire::PING);
    assert!((SECOND..2 * SECOND).contains(&began.elapsed()), "{:?}", began.elapsed());
    quick.rest().await; // it is given up
    assert!(began.elapsed() < 60 * SECOND, "{:?}", began.elapsed());
    sleep(1000 * SECOND).await;
    other.send_frame(wire::TEXT, "still here").await;
    other.expect(Frame::new(wire::TEXT, "still here")).await;
    server.stop().await;
}

/// Until the server closes, which it does with this code: how long that takes.
async fn time_to_close(peer: &mut Peer<DuplexStream>) -> (u64, u16) {
    let began = Instant::now();
    loop {
        let frame = peer.frame().await.unwrap();
        if frame.opcode == wire::CLOSE {
            return (began.elapsed().as_secs(), frame.close_code().unwrap());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_idle_is_closed() {
    clock_is_paused();
    let server = bind().await.route("/30", Route::new(echo()).idle_timeout(30 * SECOND));
    let server = server.route("/never", Route::new(echo()).idle_timeout(Duration::MAX));
    let server = server.route("/", echo()).idle_timeout(100 * SECOND);
    let server = start(server.config(Config::new().keep_alive(KeepAlive::Off)));

    let mut silent = open(&server, "/30").await;
    assert_eq!(time_to_close(&mut silent).await, (30, 1001));
    silent.send_frame(wire::CLOSE, wire::close_payload(1001, "")).await;
    assert_eq!(silent.rest().await, b"");
    let mut silent = open(&server, "/").await;
    assert_eq!(time_to_close(&mut silent).await, (100, 1001));
    drop(silent);

    // a message of either end counts, a ping or a part of a message does not
    let mut peer = open(&server, "/30").await;
    for _ in 0..5 {
        sleep(25 * SECOND).await;
        peer.send_frame(wire::TEXT, "here").await;
        peer.expect(Frame::new(wire::TEXT, "here")).await;
        sleep(25 * SECOND).await;
        server.hub.all().send("there").unwrap();
        peer.expect(Frame::new(wire::TEXT, "there")).await;
    }
    sleep(10 * SECOND).await;
    peer.send_frame(wire::PING, "").await;
    peer.send(&wire::encode(false, wire::TEXT, Some([7; 4]), b"never whole")).await;
    assert_eq!(time_to_close(&mut peer).await, (20, 1001));
    assert_eq!(server.hub.stats().idle_closed, 3);

    let mut never = open(&server, "/never").await;
    sleep(1_000_000 * SECOND).await;
    never.send_frame(wire::TEXT, "here").await;
    never.expect(Frame::new(wire::TEXT, "here")).await;
    server.stop().await;
}

/// The time that a handler takes is not idle.
#[tokio::test(start_paused = true)]
async fn a_handler_at_work_is_not_idle() {
    clock_is_paused();
    struct Slow;
    impl Handler for Slow {
        async fn on_message(&self, client: &Client, _: Received<'_>) {
            sleep(100 * SECOND).await;
            if client.info().param("answers").is_some() {
                client.send("done").unwrap();
            }
        }
    }
    let server = bind().await.route("/", Slow).route("/{answers}", Slow);
    let server = start(server.idle_timeout(30 * SECOND));
    for path in ["/", "/answers"] {
        let mut peer = open(&server, path).await;
        peer.send_frame(wire::TEXT, "work").await;
        let (began, mut seen) = (Instant::now(), Vec::new());
        loop {
            let frame = peer.frame().await.unwrap();
            if frame.opcode == wire::CLOSE {
                assert_eq!(frame.close_code(), Some(1001));
                assert_eq!(began.elapsed().as_secs(), 130, "{path}");
                break;
            } else if frame.opcode == wire::PING {
                peer.send_frame(wire::PONG, &frame.payload).await;
            } else {
                seen.push(began.elapsed().as_secs());
            }
        }
        assert_eq!(seen, if path == "/" { vec![] } else { vec![100] });
    }
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_meant_is_told() {
    type Set = fn(Route) -> Route;
    const FAULTS: &[(&str, Set)] = &[
        ("max_unsent", |it| it.max_unsent(0)),
        ("keep_alive", |it| it.keep_alive(KeepAlive::Every(Duration::ZERO))),
        ("pong_timeout", |it| it.pong_timeout(Duration::ZERO)),
        ("idle_timeout", |it| it.idle_timeout(Duration::ZERO)),
        ("\"no origin\"", |it| it.allow_origins(["https://a.example", "no origin"])),
        ("\"a b\"", |it| it.subprotocols(["v1", "a b"])),
    ];
    for (text, set) in FAULTS {
        let error = set(Route::new(echo())).check().unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        let server = bind().await.route("/", echo()).route("/wrong", set(Route::new(echo())));
        let error = server.run().await.unwrap_err();
        assert!(error.to_string().starts_with("the route at \"/wrong\": "), "{error}");
        assert!(error.to_string().contains(text), "{error}");
        let ServerError::Route { path, .. } = error else { panic!("{error:?}") };
        assert_eq!(&*path, "/wrong");
    }
    let error = bind().await.route("/", echo()).idle_timeout(Duration::ZERO).run().await;
    assert!(matches!(error, Err(ServerError::Config(_))), "{error:?}");
    let error = bind().await.route("wrong", Route::new(echo())).run().await;
    assert!(matches!(error, Err(ServerError::Path(_))), "{error:?}");
    let most = Route::new(echo()).max_connections(0).max_message_len(0).subprotocols([]);
    assert!(most.check().is_ok());
}

//! A server without a listener of its own, behind whoever has the port.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

#[cfg(feature = "deflate")]
use sansws::deflate::Deflate;
use sansws::handshake::client;
use sansws::handshake::server as http;
use sansws::server::{
    Accept, ExternalStream, PendingUpgrade, Response, ServeError, Server, ServerError,
    ServerHandle, handler_fn,
};
use sansws::tokio::WebSocket;
use sansws::{CloseCode, Config};
use tokio::io::{DuplexStream, duplex};

use crate::support::{bind, start, until, within};

const FROM: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7);

fn detached() -> Server {
    let echo = handler_fn().on_message(|client, message| client.send(message));
    Server::detached().route("/chat", echo)
}

/// A handshake by the handle: over HTTP/1.1 or, with `over_2`, as one over HTTP/2.
async fn open(handle: &ServerHandle, config: &Config, over_2: bool) -> WebSocket<DuplexStream> {
    let (pending, response) = ask(handle, config, over_2).await;
    let (here, there) = duplex(1 << 16);
    pending.start(there, b"");
    WebSocket::from_accepted(here, response, b"").unwrap()
}

/// A handshake that was accepted, and is to be answered; and what the client makes of the answer.
async fn ask(
    handle: &ServerHandle,
    config: &Config,
    over_2: bool,
) -> (PendingUpgrade, client::Accepted) {
    let request = client::Request::new("ws://example.com/chat").unwrap();
    let offer = match over_2 {
        true => request.offer_connect(config).unwrap(),
        false => request.offer(client::Offer::random_nonce().unwrap(), config).unwrap(),
    };
    let read = match over_2 {
        true => {
            let fields = offer.headers();
            http::Request::from_connect("websocket", "example.com", "/chat", fields, config)
        }
        false => http::Request::from_parts("GET", "/chat", offer.headers(), config),
    };
    let pending = handle.accept_request(read.unwrap(), FROM, false).await.unwrap();
    let response = offer.confirm(pending.status(), pending.headers()).unwrap();
    assert_eq!(pending.status(), if over_2 { 200 } else { 101 });
    (pending, response.into_result().unwrap())
}

async fn echoes(ws: &mut WebSocket<DuplexStream>) {
    within(ws.send("hello")).await.unwrap();
    assert_eq!(within(ws.recv()).await.unwrap(), Some("hello".into()));
}

/// Streams and handshakes are taken before the server has had a turn, and all of it ends in good
/// order.
#[tokio::test]
async fn it_takes_what_comes_from_the_first_moment() {
    let server = detached();
    assert_eq!(server.local_addr().unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    assert_eq!(server.local_addrs().unwrap(), []);
    let (handle, hub) = (server.handle(), server.hub());
    let early = handle.accept(ExternalStream::new(duplex(1).1, FROM));
    assert_eq!(early, Err(ServeError::NotRunning));

    let run = server.run();
    let mut first = open(&handle, &Config::new(), false).await;
    let mut second = open(&handle, &Config::new(), true).await;
    let (here, there) = duplex(1 << 16);
    handle.accept(ExternalStream::new(there, FROM)).unwrap();
    let request = client::Request::new("ws://h/chat").unwrap();
    let config = Config::new();
    let third = sansws::tokio::client(here, &request, &config);
    let mut third = within(third).await.unwrap();
    for ws in [&mut first, &mut second, &mut third] {
        echoes(ws).await;
    }
    assert_eq!(hub.all().len(), 3);

    let run = tokio::spawn(run);
    echoes(&mut first).await;
    let shutdown = handle.shutdown(CloseCode::GOING_AWAY, "bye", Duration::from_secs(60));
    let closing = async {
        for ws in [&mut first, &mut second, &mut third] {
            assert_eq!(ws.recv().await.unwrap(), None);
            assert_eq!(ws.close_info().unwrap().reason, "bye");
        }
    };
    within(async { tokio::join!(shutdown, closing) }).await.0.unwrap();
    within(run).await.unwrap().unwrap();
    let late = handle.accept(ExternalStream::new(duplex(1).1, FROM));
    assert_eq!(late, Err(ServeError::NotRunning));
}

/// A server that is given up before its first turn leaves nobody waiting.
#[tokio::test]
async fn dropped_before_its_first_turn() {
    let server = detached();
    let handle = server.handle();
    let run = server.run();
    let mut ws = open(&handle, &Config::new(), false).await;
    echoes(&mut ws).await;
    drop(run);
    assert!(within(ws.recv()).await.unwrap_err().is_disconnect());
    let shutdown = handle.shutdown(CloseCode::GOING_AWAY, "", Duration::from_secs(60));
    within(shutdown).await.unwrap();
    let late = handle.accept(ExternalStream::new(duplex(1).1, FROM));
    assert_eq!(late, Err(ServeError::NotRunning));
}

/// A handshake whose answer is being sent is waited for: its client is told like the others. One
/// that is given up holds nobody up.
#[tokio::test]
async fn a_shutdown_waits_for_an_answer() {
    for starts in [true, false] {
        let server = detached();
        let handle = server.handle();
        let run = tokio::spawn(server.run());
        let (pending, response) = ask(&handle, &Config::new(), false).await;
        let ending = handle.clone();
        let shutdown = tokio::spawn(async move {
            ending.shutdown(CloseCode::GOING_AWAY, "bye", Duration::from_secs(3600)).await
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!run.is_finished() && !shutdown.is_finished());
        if starts {
            let (here, there) = duplex(1 << 16);
            pending.start(there, b"");
            let mut ws = WebSocket::from_accepted(here, response, b"").unwrap();
            assert_eq!(within(ws.recv()).await.unwrap(), None);
            assert_eq!(ws.close_info().unwrap().reason, "bye");
        } else {
            drop(pending);
        }
        within(shutdown).await.unwrap().unwrap();
        within(run).await.unwrap().unwrap();
    }
}

/// What is wrong with the set-up is still told by the future, and nothing is taken.
#[tokio::test]
async fn faults_are_told_by_the_future() {
    let server = detached().max_message_len(10).route("nowhere", handler_fn());
    let handle = server.handle();
    let run = server.run();
    let taken = handle.accept(ExternalStream::new(duplex(1).1, FROM));
    assert_eq!(taken, Err(ServeError::NotRunning));
    assert!(matches!(within(run).await, Err(ServerError::Path(_))));
}

/// What a reverse proxy has removed is asked for, in headers too.
#[tokio::test]
async fn a_handshake_without_its_upgrade() {
    let server = detached();
    let handle = server.handle();
    let _run = server.run();
    let request = client::Request::new("ws://example.com/chat").unwrap();
    let offer = request.offer([7; 16], &Config::new()).unwrap();
    let lines = offer.headers().filter(|(name, _)| *name != "Upgrade");
    let request = http::Request::from_parts("GET", "/chat", lines, &Config::new()).unwrap();
    let refused = handle.accept_request(request, FROM, false).await.unwrap_err();
    let (status, headers, body) = refused.into_parts();
    assert_eq!(status, 426);
    assert!(body.starts_with(b"426 Upgrade Required: this is a WebSocket handshake without"));
    for (name, value) in
        [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
    {
        assert!(headers.contains(&(name.into(), value.into())), "{name} is not in {headers:?}");
    }
}

/// A refusal of the application that cannot be sent does not reach another HTTP server either.
#[tokio::test]
async fn a_refusal_that_cannot_be_sent() {
    let refuse = |value: &'static str| {
        handler_fn()
            .on_request(move |_| Err::<Accept, _>(Response::empty(302).header("Location", value)))
    };
    let server = detached().route("/good", refuse("/a")).route("/bad", refuse("/a\r\nX: b"));
    let handle = server.handle();
    let _run = server.run();
    for (path, expected) in [("/good", 302), ("/bad", 500)] {
        let request = client::Request::new(&format!("ws://example.com{path}")).unwrap();
        let offer = request.offer([7; 16], &Config::new()).unwrap();
        let request = http::Request::from_parts("GET", path, offer.headers(), &Config::new());
        let refused = handle.accept_request(request.unwrap(), FROM, false).await.unwrap_err();
        let (status, headers, _) = refused.into_parts();
        assert_eq!(
            (status, headers.iter().any(|(name, _)| name == "Location")),
            (expected, expected == 302)
        );
    }
}

/// A listener may be added.
#[tokio::test]
async fn a_listener_beside_it() {
    let server = start(detached().and_bind("127.0.0.1:0").await.unwrap());
    let mut ws = server.connect("/chat").await;
    within(ws.send("hello")).await.unwrap();
    assert_eq!(within(ws.recv()).await.unwrap(), Some("hello".into()));
    let mut other = open(&server.handle, &Config::new(), false).await;
    echoes(&mut other).await;
    server.stop().await;
}

/// Compression has a setter of its own, with a listener and without.
#[tokio::test]
#[cfg(feature = "deflate")]
async fn compression() {
    let config = Config::new().deflate(Deflate::new());
    // whatever `config` has, and in any order
    let server = detached().deflate(Deflate::new()).config(Config::new());
    let handle = server.handle();
    let run = tokio::spawn(server.run());
    for over_2 in [false, true] {
        let mut ws = open(&handle, &config, over_2).await;
        assert!(ws.deflate().is_some());
        echoes(&mut ws).await;
    }
    run.abort();
    let server = start(bind().await.route("/", handler_fn()).deflate(Deflate::new()));
    let ws = within(sansws::tokio::connect_with(&server.request("/"), &config)).await.unwrap();
    assert!(ws.deflate().is_some());
    until(|| server.hub.all().len() == 1).await;
    server.stop().await;
}

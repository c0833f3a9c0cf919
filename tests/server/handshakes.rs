//! Who is let in, and what the others are told.

use std::future::pending;
use std::time::Duration;

use sansws::handshake::Origin;
use sansws::server::{
    Accept, Client, Handler, OriginPolicy, Request, Response, Server, ServerError, handler_fn,
};
use sansws::{CloseCode, Config};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::support::{Log, Running, bind, closed, start, text, until, within};
use sansws_test::wire;

async fn status(server: &Running, origin: Option<&str>) -> u16 {
    let request = server.request("/");
    let request = match origin {
        Some(origin) => request.header("Origin", origin),
        None => request,
    };
    match server.try_connect(&request).await {
        Ok(_) => 101,
        Err(_) => server.refused(&request).await.0,
    }
}

/// By default the page has to come from the same host.
#[tokio::test]
async fn origins() {
    let server = start(bind().await.route("/", handler_fn()));
    let same = format!("http://{}", server.addr);
    assert_eq!(status(&server, None).await, 101);
    assert_eq!(status(&server, Some(&same)).await, 101);
    assert_eq!(status(&server, Some("http://evil.example")).await, 403);
    assert_eq!(status(&server, Some("null")).await, 403);
    let request = server.request("/").header("Origin", "http://evil.example");
    let (_, body) = server.refused(&request).await;
    assert!(body.contains("\"http://evil.example\"") && body.contains("allow_origins"), "{body}");
    server.stop().await;

    let server = start(bind().await.route("/", handler_fn()).origins(OriginPolicy::Any));
    assert_eq!(status(&server, Some("http://evil.example")).await, 101);
    server.stop().await;

    let list = bind().await.route("/", handler_fn()).allow_origins(["https://app.example:8443"]);
    let server = start(list);
    assert_eq!(status(&server, Some("https://APP.example:8443")).await, 101);
    assert_eq!(status(&server, Some("https://app.example")).await, 403);
    assert_eq!(status(&server, None).await, 101);
    let twice = wire::REQUEST.replacen("/chat", "/", 1).replacen(
        "\r\n\r\n",
        "\r\nOrigin: https://app.example:8443\r\nOrigin: http://evil.example\r\n\r\n",
        1,
    );
    assert!(server.http(&twice).await.starts_with("HTTP/1.1 403 "));
    server.stop().await;

    let ours = "https://ours.example".parse::<Origin>().unwrap();
    let policy = OriginPolicy::Fn(Box::new(move |request| {
        request.origin().is_some_and(|origin| origin.parse() == Ok(ours.clone()))
    }));
    let server = start(bind().await.route("/", handler_fn()).origins(policy));
    assert_eq!(status(&server, Some("https://ours.example")).await, 101);
    assert_eq!(status(&server, None).await, 403);
    server.stop().await;
}

#[tokio::test]
async fn connections_are_limited() {
    let server = start(bind().await.route("/", handler_fn()).max_connections(2));
    let one = server.connect("/").await;
    let mut two = server.connect("/").await;
    let (status, body) = server.refused(&server.request("/")).await;
    assert_eq!(status, 503);
    assert!(body.contains("too many connections"), "{body}");
    drop(one);
    until(|| server.hub.all().len() == 1).await;
    // the place is free once the handler is done
    let mut three = within(async {
        loop {
            if let Ok(ws) = server.try_connect(&server.request("/")).await {
                return ws;
            }
        }
    })
    .await;
    until(|| server.hub.all().len() == 2).await;
    server.hub.all().send("both").unwrap();
    assert_eq!((text(&mut two).await, text(&mut three).await), ("both".into(), "both".into()));
    server.stop().await;
}

/// One deadline for the whole head.
#[tokio::test]
async fn slow_handshakes_are_given_up() {
    let config = Server::default_config().handshake_timeout(Duration::from_millis(100));
    let server = start(bind().await.route("/", handler_fn()).config(config));
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn messages_have_a_limit_of_one_mebibyte() {
    let limits = Config::new().max_message_len(1024 * 1024).max_unsent(64 * 1024);
    assert_eq!(Server::default_config(), limits);
    let echo = handler_fn().on_message(|client, message| client.send(message));
    let server = start(bind().await.route("/", echo).max_message_len(1000));
    let mut ws = server.connect("/").await;
    ws.send(vec![0; 1000]).await.unwrap();
    assert_eq!(within(ws.recv()).await.unwrap().unwrap().len(), 1000);
    ws.send(vec![0; 1001]).await.unwrap();
    assert_eq!(closed(&mut ws).await.0, CloseCode::MESSAGE_TOO_BIG.as_u16());
    server.stop().await;
}

#[tokio::test]
async fn invalid_handshakes_are_answered() {
    let server = start(bind().await.route("/chat", handler_fn()));
    for (from, to, status) in [
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8", 426),
        ("Sec-WebSocket-Key: dGhl", "Sec-WebSocket-Key: short", 400),
        ("GET", "POST", 405),
        ("/chat", "/nowhere", 404),
        ("Host: server.example.com\r\n", "", 400),
        ("HTTP/1.1", "HTTP/1.0", 505),
    ] {
        let request = wire::REQUEST.replacen(from, to, 1);
        let answer = server.http(&request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{from}: {answer}");
    }
    let stats = || server.hub.stats();
    until(|| stats().bad_requests == 5).await;
    assert_eq!(stats().refused, 1);
    server.stop().await;
}

/// A handler that takes too long to decide does not hold a place for ever.
#[tokio::test]
async fn decisions_have_a_limit() {
    struct Undecided;
    impl Handler for Undecided {
        async fn on_request(&self, _: &Request<'_>) -> Result<Accept, Response> {
            pending().await
        }
    }
    let config = Server::default_config().handshake_timeout(Duration::from_millis(100));
    let server = start(bind().await.route("/", Undecided).config(config).max_connections(1));
    for _ in 0..2 {
        let (status, body) = server.refused(&server.request("/")).await;
        assert_eq!(status, 503);
        assert!(body.contains("did not decide in time"), "{body}");
    }
    server.stop().await;
}

/// What a log is told, by how much it matters.
#[tokio::test]
async fn log_events() {
    let log = Log::default();
    let lines = log.clone();
    let server = bind()
        .await
        .route("/", handler_fn())
        .route("/panics", handler_fn().on_open(|_| panic!("on_open panics, as the test wants")));
    let server = start(server.max_connections(1).on_log(move |event| {
        let text = event.to_string();
        // the address first, whose port is any
        let text = match text.strip_prefix("127.0.0.1:") {
            Some(rest) => rest.trim_start_matches(|c: char| c.is_ascii_digit()),
            None => &text,
        };
        lines.add(format!("{:?}{text}", event.level()));
        assert!(!text.contains("panicked"), "a log that panics harms nobody");
    }));
    drop(TcpStream::connect(server.addr).await.unwrap());
    until(|| log.lines().len() == 1).await;
    server.http("\x16\x03\x01\x02\x00").await;
    until(|| log.lines().len() == 2).await;
    server.refused(&server.request("/nowhere")).await;
    let request = server.request("/").header("Origin", "http://evil.example");
    server.refused(&request).await;
    let mut ws = server.connect("/panics").await;
    assert_eq!(closed(&mut ws).await.0, 1011);
    until(|| server.hub.all().is_empty()).await;
    let ws = within(async {
        loop {
            if let Ok(ws) = server.try_connect(&server.request("/")).await {
                return ws;
            }
        }
    })
    .await;
    let seen = log.lines();
    let (full, seen): (Vec<_>, Vec<_>) = seen.into_iter().partition(|line| line.contains("503"));
    assert_eq!(
        seen,
        [
            "Debug: no valid request: the connection ended before the handshake was complete \
             (RFC 9112 §8)",
            "Debug: no valid request: TLS bytes on a plain `ws://` port (RFC 9112 §3)",
            "Info at \"/nowhere\": refused with status 404",
            "Info at \"/\": refused with status 403",
            "Error at \"/panics\": a handler panicked",
        ]
        .map(String::from)
    );
    assert!(full.iter().all(|line| line == "Warn at \"/\": refused with status 503"));
    drop(ws);
    server.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_the_set_up_is_said_by_run() {
    let run = |server: Server| async { within(server.run()).await.unwrap_err().to_string() };
    assert_eq!(
        run(bind().await.route("chat", handler_fn())).await,
        "the path \"chat\": begin it with `/`"
    );
    let twice = bind().await.route("/{a}", handler_fn()).route("/{b}", handler_fn());
    assert!(run(twice).await.starts_with("the path \"/{b}\": another one"));
    assert_eq!(
        run(bind().await.allow_origins(["example.com"])).await,
        "\"example.com\" is no origin: write `https://HOST` or `https://HOST:PORT`, without a path \
         and without a slash at the end"
    );
    assert_eq!(
        run(bind().await.allowed_hosts(["http://example.com"])).await,
        "\"http://example.com\" is no host: write `example.com`, `example.com:8181`, or \
         `*.example.com` for all names under it, without a scheme"
    );
    let config = Config::new().handshake_timeout(Duration::ZERO);
    assert!(matches!(bind().await.config(config).run().await, Err(ServerError::Config(_))));
    // with the feature a certificate may follow, and `run` finds that there is none
    let bound = Server::bind("wss://127.0.0.1:0").await;
    assert_eq!(bound.is_ok(), cfg!(feature = "rustls"));
    let error = match bound {
        Ok(server) => run(server).await,
        Err(error) => error.to_string(),
    };
    assert!(error.contains("behind a proxy"), "{error}");
    let taken = bind().await;
    let address = taken.local_addr().unwrap().to_string();
    assert!(matches!(Server::bind(&address).await, Err(ServerError::Io(_))));
}

/// What handlers are given can be logged.
#[tokio::test]
async fn debug_keeps_secrets() {
    struct Noting(Log);

    impl Handler for Noting {
        async fn on_request(&self, request: &Request<'_>) -> Result<Accept, Response> {
            self.0.add(format!("{request:?}"));
            Ok(Accept::new())
        }

        async fn on_open(&self, client: &Client) {
            self.0.add(format!("{client:?} {:?}", client.info()));
        }
    }

    let log = Log::default();
    let server = start(bind().await.route("/chat", Noting(log.clone())));
    let request = server.request("/chat?token=hush");
    let request = request.header("X-Token", "hush").bearer_auth("hush").subprotocol("hush");
    drop(server.try_connect(&request).await.unwrap());
    server.stop().await;
    let texts = log.lines();
    assert_eq!(texts.len(), 2);
    for text in texts {
        assert!(text.contains("\"/chat\"") && !text.contains("hush"), "{text}");
    }
}

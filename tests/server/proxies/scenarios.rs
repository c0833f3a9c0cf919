//! What holds behind any proxy.

use std::time::Duration;

use sansws::handshake::client::Request;
use sansws::proto::CloseInfo;
use sansws::server::{Client, OriginPolicy, Received, Response, Server, handler_fn};
use sansws::tokio::{ClientStream, WebSocket, connect_with};
use sansws::{CloseCode, Config, KeepAlive, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::proxies::proxy::{Kind, Proxy, Snippet};
use crate::support::{Log, Running, bind, closed, frames, read_head, start, text, until, within};
use sansws_test::wire;

pub const LOCALHOST: &str = "127.0.0.1";

/// How long the proxies let a tunnel idle, where that is what a test is about.
const IDLE: Duration = Duration::from_secs(2);

/// Starts a server and a proxy in front of it. The address is that of the proxy.
pub async fn behind(snippet: Snippet, server: Server) -> Option<(Running, Proxy)> {
    let mut server = start(server);
    let proxy = snippet.start(server.addr)?;
    server.addr = proxy.addr;
    Some((server, proxy))
}

/// Puts a handler at `/echo` that greets, echoes, closes when told to, and writes down each end.
pub fn record(server: Server, log: &Log) -> Server {
    let (opens, closes) = (log.clone(), log.clone());
    let route = handler_fn()
        .on_open(move |client| {
            opens.add(format!("open {}", client.id()));
            client.send("hello")
        })
        .on_message(|client: &Client, message: Received<'_>| match message.as_text() {
            Some("close") => client.close(CloseCode::new(4000).unwrap(), "told to"),
            _ => client.send(message),
        })
        .on_close(move |client, info| {
            let CloseInfo { initiator, code, reason, clean, .. } = info;
            let id = client.id();
            closes.add(format!("close {id}: {code} {reason:?} {initiator:?} clean={clean}"));
        });
    server.route("/echo", route)
}

/// The ends in a log, without whose they are.
fn ends(log: &Log) -> Vec<String> {
    let lines = log.lines().into_iter().filter(|line| line.starts_with("close"));
    lines.map(|line| line.split_once(": ").unwrap().1.to_owned()).collect()
}

/// A page through the proxy, which would otherwise wait for another request.
pub async fn page(server: &Running, path: &str) -> String {
    let host = server.addr;
    server.http(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await
}

type Ws = WebSocket<ClientStream>;

async fn greeted(server: &Running) -> Ws {
    greeted_by(&server.request("/echo"), &Config::new()).await
}

async fn greeted_by(request: &Request, config: &Config) -> Ws {
    let mut ws = within(connect_with(request, config)).await.unwrap();
    assert_eq!(text(&mut ws).await, "hello");
    ws
}

async fn echo(ws: &mut Ws, message: impl Into<Message>) {
    let message = message.into();
    let (_, echoed) = within(async { (ws.send(&message).await.unwrap(), ws.recv().await) }).await;
    assert!(echoed.unwrap().unwrap() == message, "{} bytes", message.as_bytes().len());
}

pub async fn messages_pass(kind: Kind) {
    let server = record(bind().await, &Log::default());
    let Some((server, _proxy)) = behind(kind.documented(), server).await else { return };
    let mut ws = greeted(&server).await;
    for len in [0, 1, 125, 126, 65_535, 65_536, 1024 * 1024] {
        echo(&mut ws, wire::pattern(len)).await;
        echo(&mut ws, "x".repeat(len)).await;
    }
    within(ws.close(CloseCode::NORMAL, "")).await.unwrap();
    server.stop().await;
}

#[cfg(feature = "deflate")]
pub async fn compressed_messages_pass(kind: Kind) {
    use sansws::deflate::Deflate;

    let server = record(bind().await, &Log::default());
    let server = server.config(Server::default_config().deflate(Deflate::new()));
    let Some((server, _proxy)) = behind(kind.documented(), server).await else { return };
    let config = Config::new().deflate(Deflate::new());
    let mut ws = greeted_by(&server.request("/echo"), &config).await;
    assert!(ws.deflate().is_some(), "nothing was agreed on");
    for len in [0, 1, 125, 65_536, 1024 * 1024] {
        echo(&mut ws, wire::pattern(len)).await;
        echo(&mut ws, "again ".repeat(len / 6)).await;
    }
    server.stop().await;
}

/// What stands behind the request and behind the answer, frames in pieces, and pings.
pub async fn bytes_pass_as_they_are(kind: Kind) {
    let log = Log::default();
    let server = record(bind().await, &log);
    let Some((server, _proxy)) = behind(kind.documented(), server).await else { return };
    let mut raw = TcpStream::connect(server.addr).await.unwrap();
    let request = wire::REQUEST.replacen("/chat", "/echo", 1);
    // the first frame does not wait for the answer
    let first = wire::client(wire::TEXT, b"at once");
    raw.write_all(&[request.as_bytes(), &first].concat()).await.unwrap();
    let head = read_head(&mut raw).await;
    assert_eq!(wire::header(&head, "sec-websocket-accept"), Some(wire::ACCEPT));
    let seen = frames(&mut raw, |frames| frames.len() == 2).await;
    let texts: Vec<_> = seen.iter().map(wire::Frame::text).collect();
    assert_eq!(texts, ["hello", "at once"]);

    let mask = Some([1, 2, 3, 4]);
    let parts = [
        wire::encode(false, wire::TEXT, mask, b"in "),
        wire::client(wire::PING, b"between"),
        wire::encode(true, wire::CONTINUATION, mask, b"pieces"),
    ];
    for byte in parts.concat() {
        raw.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let seen = frames(&mut raw, |frames| frames.len() == 2).await;
    assert_eq!((seen[0].opcode, seen[0].text()), (wire::PONG, "between"));
    assert_eq!((seen[1].opcode, seen[1].text()), (wire::TEXT, "in pieces"));

    // not masked
    raw.write_all(&wire::server(wire::TEXT, b"wrong")).await.unwrap();
    let seen = frames(&mut raw, |_| false).await;
    assert_eq!(seen[0].close_code(), Some(1002));
    until(|| ends(&log).len() == 1).await;
    server.stop().await;
}

pub async fn closing_passes_both_ways(kind: Kind) {
    let log = Log::default();
    let server = record(bind().await, &log);
    let Some((server, _proxy)) = behind(kind.documented(), server).await else { return };
    let next = async |count| {
        until(|| ends(&log).len() == count).await;
        ends(&log).pop().unwrap()
    };

    let mut ws = greeted(&server).await;
    within(ws.close(CloseCode::new(4001).unwrap(), "enough")).await.unwrap();
    let info = ws.close_info().unwrap();
    // the answer repeats the code alone
    assert_eq!((info.code, &*info.reason, info.clean), (4001, "", true));
    assert_eq!(next(1).await, "4001 \"enough\" Peer clean=true");

    let mut ws = greeted(&server).await;
    ws.send("close").await.unwrap();
    assert_eq!(closed(&mut ws).await, (4000, "told to".into(), true));
    assert_eq!(next(2).await, "4000 \"\" Local clean=true");

    // gone without a word
    drop(greeted(&server).await);
    assert_eq!(next(3).await, "1006 \"\" Network clean=false");
    until(|| server.hub.all().is_empty()).await;
    server.stop().await;
}

pub async fn pages_pass(kind: Kind) {
    let server = record(bind().await, &Log::default());
    let large = "x".repeat(200_000);
    let server =
        server.page("/", Response::html("<h1>Hello</h1>")).page("/large", Response::text(large));
    let Some((server, _proxy)) = behind(kind.documented(), server).await else { return };
    let answer = page(&server, "/").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\n<h1>Hello</h1>"), "{answer}");
    assert_eq!(wire::header(&answer, "content-type"), Some("text/html; charset=utf-8"));
    let answer = page(&server, "/large").await;
    assert_eq!(answer.split_once("\r\n\r\n").unwrap().1.len(), 200_000);
    let answer = page(&server, "/nowhere").await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    let answer = page(&server, "/echo").await;
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    assert!(answer.contains("This is a WebSocket endpoint"), "{answer}");
    server.stop().await;
}

pub async fn a_prefix_is_taken_off(kind: Kind) {
    let route = handler_fn().on_open(|client| client.send(client.info().path()));
    let server = bind().await.route("/chat/{room}", route).page("/", Response::text("the index"));
    let Some((server, _proxy)) = behind(kind.documented(), server).await else { return };
    for path in ["/live/chat/caf%C3%A9", "/chat/caf%C3%A9"] {
        let mut ws = server.connect(path).await;
        // nginx decodes what it rewrites, and encodes it again
        assert_eq!(text(&mut ws).await.to_ascii_uppercase(), "/CHAT/CAF%C3%A9".to_uppercase());
    }
    for path in ["/live/", "/"] {
        let answer = page(&server, path).await;
        assert!(answer.ends_with("\r\n\r\nthe index"), "{path}: {answer}");
    }
    server.stop().await;
}

/// The host, which origins are compared with, the client's address and whatever else it says; but
/// not what it makes up.
pub async fn who_asks_is_passed_on(kind: Kind) {
    let server = bind().await.route("/", handler_fn()).trusted_proxies(1);
    let Some((server, proxy)) = behind(kind.documented(), server).await else { return };
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
    let mut stream = socket.connect(proxy.addr).await.unwrap();
    let origin = format!("http://{}", proxy.addr);
    let headers = format!(
        "Host: {}\r\nOrigin: {origin}\r\nCookie: session=abc\r\nX-Forwarded-For: 192.0.2.1\r\n\
         X-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\n",
        proxy.addr
    );
    let request = wire::REQUEST.replacen("/chat", "/?token=a%20b", 1);
    let request = request.replacen("Host: server.example.com\r\n", &headers, 1);
    stream.write_all(request.as_bytes()).await.unwrap();
    read_head(&mut stream).await;
    until(|| server.hub.all().len() == 1).await;
    let client = server.hub.all().clients().remove(0);
    let info = client.info();
    assert_eq!((info.host(), info.origin()), (&*proxy.addr.to_string(), Some(&*origin)));
    assert_eq!((info.query(), info.cookie("session")), (Some("token=a%20b"), Some("abc")));
    let ips = [info.remote_ip(), info.peer_addr().ip()].map(|ip| ip.to_string());
    assert_eq!((ips, info.is_secure()), (["127.0.0.2".into(), LOCALHOST.into()], false));

    // a page that came by TLS, from a server that knows nothing of it
    let secure = "Host: server.example.com\r\nOrigin: https://server.example.com\r\n";
    let request = wire::REQUEST.replacen("Host: server.example.com\r\n", secure, 1);
    server.raw_with(&request.replacen("/chat", "/", 1)).await;

    let foreign = server.request("/").origin("http://evil.example");
    let (status, body) = server.refused(&foreign).await;
    assert!(status == 403 && body.contains("http://evil.example"), "{status} {body}");
    server.stop().await;
}

/// Sites have names of their own, which a server on a loopback address learns from nobody else; it
/// need not trust the proxy for that.
pub async fn sites_of_any_name_pass(kind: Kind) {
    for trusted in [0, 1] {
        let server = bind().await.route("/", handler_fn()).trusted_proxies(trusted);
        let upstream = server.local_addr().unwrap();
        let Some((server, _proxy)) = behind(kind.documented(), server).await else { return };
        let site = "Host: chat.example\r\nOrigin: http://chat.example\r\n";
        let request = wire::REQUEST.replacen("/chat", "/", 1);
        let request = request.replacen("Host: server.example.com\r\n", site, 1);
        server.raw_with(&request).await;
        // nobody has said so to the server itself
        let mut direct = TcpStream::connect(upstream).await.unwrap();
        direct.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within(direct.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        server.stop().await;
    }
}

/// What nginx appends to is the client's, whatever bytes it has.
pub async fn what_the_client_says_of_itself_is_its_own(kind: Kind) {
    let server = bind().await.route("/", handler_fn()).trusted_proxies(1);
    let snippet = kind
        .documented()
        .replace("X-Forwarded-For $remote_addr", "X-Forwarded-For $proxy_add_x_forwarded_for");
    let Some((server, proxy)) = behind(snippet, server).await else { return };
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
    let mut stream = socket.connect(proxy.addr).await.unwrap();
    let request = wire::REQUEST.replacen("/chat", "/", 1);
    let (line, rest) = request.split_once("\r\n").unwrap();
    let head = [line.as_bytes(), b"\r\nX-Forwarded-For: \xff\r\n", rest.as_bytes()];
    stream.write_all(&head.concat()).await.unwrap();
    read_head(&mut stream).await;
    until(|| server.hub.all().len() == 1).await;
    let client = server.hub.all().clients().remove(0);
    assert_eq!(client.info().remote_ip().to_string(), "127.0.0.2");
    server.stop().await;
}

pub async fn many_connections(kind: Kind) {
    const CLIENTS: usize = 50;
    let server = record(bind().await, &Log::default()).origins(OriginPolicy::Any);
    let Some((server, _proxy)) = behind(kind.documented(), server).await else { return };
    let clients: Vec<_> = (0..CLIENTS)
        .map(|at| {
            let request = server.request("/echo");
            tokio::spawn(async move {
                let mut ws = greeted_by(&request, &Config::new()).await;
                for round in 0..20 {
                    echo(&mut ws, format!("{at} {round}")).await;
                }
                echo(&mut ws, wire::pattern(100_000 + at)).await;
                ws
            })
        })
        .collect();
    let mut all = Vec::new();
    for client in clients {
        all.push(client.await.unwrap());
    }
    assert_eq!(server.hub.all().send("to all"), Ok(CLIENTS));
    for ws in &mut all {
        assert_eq!(text(ws).await, "to all");
    }
    drop(all);
    until(|| server.hub.all().is_empty()).await;
    assert_eq!(server.hub.stats().opened, CLIENTS as u64);
    server.stop().await;
}

pub async fn keep_alive_keeps_a_tunnel_open(kind: Kind) {
    let log = Log::default();
    let every = KeepAlive::Every(Duration::from_millis(500));
    let server = record(bind().await, &log).config(Server::default_config().keep_alive(every));
    let Some((server, _proxy)) = behind(kind.documented().idle(IDLE), server).await else { return };
    let mut ws = greeted(&server).await;
    // nobody sends anything but the server its pings, which this answers
    let idle = timeout(3 * IDLE + IDLE / 2, ws.recv()).await;
    assert!(idle.is_err(), "it ended: {idle:?}");
    assert_eq!(ends(&log), [""; 0]);
    echo(&mut ws, "still here").await;
    server.stop().await;
}

pub async fn a_tunnel_that_is_cut_is_told_to_both_ends(kind: Kind) {
    let log = Log::default();
    let config = Server::default_config().keep_alive(KeepAlive::Off);
    let server = record(bind().await, &log).config(config);
    let Some((server, _proxy)) = behind(kind.documented().idle(IDLE), server).await else { return };
    let config = Config::new().keep_alive(KeepAlive::Off);
    let mut ws = greeted_by(&server.request("/echo"), &config).await;
    assert_eq!(closed(&mut ws).await, (1006, String::new(), false));
    until(|| !ends(&log).is_empty()).await;
    assert_eq!(ends(&log), ["1006 \"\" Network clean=false"]);
    until(|| server.hub.all().is_empty()).await;
    server.stop().await;
}

pub async fn the_end_of_the_proxy_ends_each_connection_once(kind: Kind) {
    const CLIENTS: usize = 20;
    let log = Log::default();
    let server = record(bind().await, &log);
    let Some((server, mut proxy)) = behind(kind.documented(), server).await else { return };
    for (round, end) in [Proxy::kill, Proxy::stop].into_iter().enumerate() {
        let mut all = Vec::new();
        for _ in 0..CLIENTS {
            all.push(greeted(&server).await);
        }
        end(&mut proxy);
        for ws in &mut all {
            assert_eq!(closed(ws).await, (1006, String::new(), false));
        }
        until(|| server.hub.all().is_empty() && ends(&log).len() == (round + 1) * CLIENTS).await;
        proxy.start();
    }
    // it is back, and so may the clients be
    let mut ws = greeted(&server).await;
    within(ws.close(CloseCode::NORMAL, "")).await.unwrap();
    until(|| ends(&log).len() == 2 * CLIENTS + 1).await;
    server.stop().await;

    let of = |start: &str| {
        let lines = log.lines();
        let lines = lines.iter().filter_map(|line| line.strip_prefix(start));
        let mut ids: Vec<u64> =
            lines.map(|rest| rest.split(':').next().unwrap().parse().unwrap()).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(of("open ").len(), 2 * CLIENTS + 1);
    assert_eq!(of("open "), of("close "));
    let cut = ends(&log).iter().filter(|end| *end == "1006 \"\" Network clean=false").count();
    assert_eq!(cut, 2 * CLIENTS);
}

pub async fn a_shutdown_reaches_everybody(kind: Kind) {
    const CLIENTS: usize = 10;
    let log = Log::default();
    let server = record(bind().await, &log);
    let Some((server, _proxy)) = behind(kind.documented(), server).await else { return };
    let mut all = Vec::new();
    for _ in 0..CLIENTS {
        all.push(greeted(&server).await);
    }
    let handle = server.handle.clone();
    let shutdown = tokio::spawn(async move {
        let deadline = Duration::from_secs(60);
        handle.shutdown(CloseCode::GOING_AWAY, "back soon", deadline).await.unwrap();
    });
    let closing = all.into_iter().map(|mut ws| tokio::spawn(async move { closed(&mut ws).await }));
    for closed in closing.collect::<Vec<_>>() {
        assert_eq!(closed.await.unwrap(), (1001, "back soon".into(), true));
    }
    // long before the deadline: everybody has answered
    within(shutdown).await.unwrap();
    within(server.run).await.unwrap().unwrap();
    assert_eq!(ends(&log), ["1001 \"\" Local clean=true"; CLIENTS]);
}

pub async fn a_full_server_says_so(kind: Kind) {
    let server = record(bind().await, &Log::default()).max_connections(1);
    let Some((server, _proxy)) = behind(kind.documented(), server).await else { return };
    let mut ws = greeted(&server).await;
    let (status, body) = server.refused(&server.request("/echo")).await;
    assert_eq!(status, 503);
    assert!(body.contains("too many connections; try again later"), "{body}");
    echo(&mut ws, "not bothered").await;
    within(ws.close(CloseCode::NORMAL, "")).await.unwrap();
    until(|| server.hub.all().is_empty()).await;
    greeted(&server).await;
    server.stop().await;
}

pub async fn a_server_that_drains_says_so(kind: Kind) {
    let server = record(bind().await, &Log::default());
    let Some((server, _proxy)) = behind(kind.documented(), server).await else { return };
    let mut ws = greeted(&server).await;
    server.handle.drain();
    let (status, body) = server.refused(&server.request("/echo")).await;
    assert!(status == 503 && body.contains("try again later"), "{status} {body}");
    echo(&mut ws, "not bothered").await;
    server.handle.resume();
    greeted(&server).await;
    server.stop().await;
}

/// A new version takes the place of the old one, on the same port.
pub async fn the_server_may_be_replaced(kind: Kind) {
    let log = Log::default();
    let old = record(bind().await, &log);
    let upstream = old.local_addr().unwrap();
    let Some((old, proxy)) = behind(kind.documented(), old).await else { return };
    let mut ws = greeted(&old).await;
    let handle = old.handle.clone();
    let shutdown = tokio::spawn(async move {
        let deadline = Duration::from_secs(60);
        handle.shutdown(CloseCode::SERVICE_RESTART, "", deadline).await.unwrap();
    });
    assert_eq!(closed(&mut ws).await, (1012, String::new(), true));
    within(shutdown).await.unwrap();

    // the proxy's own answer while there is no server
    let status = old.refused(&old.request("/echo")).await.0;
    assert!(matches!(status, 502 | 503), "{status}");

    let new = Server::bind(&upstream.to_string()).await.unwrap();
    let new = Running { addr: proxy.addr, ..start(record(new, &log)) };
    echo(&mut greeted(&new).await, "welcome back").await;
    new.stop().await;
}

/// What the proxy's buffers hold comes on top, but not without end.
pub async fn a_slow_client_is_closed(kind: Kind) {
    let log = Log::default();
    let server = record(bind().await, &log).max_queued_bytes(256 * 1024);
    let Some((server, _proxy)) = behind(kind.documented(), server).await else { return };
    let mut reader = greeted(&server).await;
    let mut slow = server.raw("/echo").await;
    until(|| server.hub.all().len() == 2).await;
    let large = "x".repeat(100_000);
    within(async {
        while server.hub.stats().slow_closed == 0 {
            server.hub.all().send(&large).unwrap();
            assert!(text(&mut reader).await == large);
        }
    })
    .await;
    echo(&mut reader, "not bothered").await;
    let seen = frames(&mut slow, |frames| frames.iter().any(|it| it.opcode == wire::CLOSE)).await;
    let (close, messages) = seen.split_last().unwrap();
    assert_eq!((close.close_code(), messages[0].text()), (Some(1013), "hello"));
    assert!(messages[1..].iter().all(|message| message.payload.len() == large.len()));
    server.stop().await;
}

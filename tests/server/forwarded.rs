//! What proxies in front of the server say about the client.

use std::sync::{Arc, Mutex};

use sansws::handshake::client::Request;
use sansws::server::{Client, Response, Server, handler_fn};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{Running, bind, read_head, start, until, within};
use sansws_test::wire;

/// A server and the last client that came to it.
async fn with_last(server: Server) -> (Running, Arc<Mutex<Option<Client>>>) {
    let last = Arc::new(Mutex::new(None));
    let to = Arc::clone(&last);
    let route = handler_fn().on_open(move |client| *to.lock().unwrap() = Some(client.clone()));
    (start(server.route("/", route)), last)
}

fn with_headers(request: Request, headers: &[(&str, &str)]) -> Request {
    headers.iter().fold(request, |request, (name, value)| request.header(name, value))
}

const HEADERS: [(&str, &str); 3] = [
    ("X-Forwarded-For", "6.6.6.6, 192.0.2.7"),
    ("X-Forwarded-Host", "evil.example, chat.example"),
    ("X-Forwarded-Proto", "http, https"),
];

#[tokio::test]
async fn nobody_is_believed_unless_asked_for() {
    let (server, last) = with_last(bind().await).await;
    let request = with_headers(server.request("/"), &HEADERS);
    let _ws = server.try_connect(&request).await.unwrap();
    until(|| last.lock().unwrap().is_some()).await;
    let client = last.lock().unwrap().take().unwrap();
    let info = client.info();
    assert_eq!(info.remote_ip(), info.peer_addr().ip());
    assert_eq!((info.is_secure(), info.host()), (false, &*server.addr.to_string()));
    let foreign = request.header("Origin", "https://chat.example");
    assert_eq!(server.refused(&foreign).await.0, 403);
    server.stop().await;
}

#[tokio::test]
async fn trusted_proxies_say_who_it_is() {
    let (server, last) = with_last(bind().await.trusted_proxies(1)).await;
    let request = with_headers(server.request("/"), &HEADERS);
    let same = request.clone().header("Origin", "https://chat.example");
    let _ws = server.try_connect(&same).await.unwrap();
    until(|| last.lock().unwrap().is_some()).await;
    let client = last.lock().unwrap().take().unwrap();
    let info = client.info();
    assert_eq!(info.remote_ip().to_string(), "192.0.2.7");
    assert_eq!((info.is_secure(), info.host()), (true, "chat.example"));
    assert!(info.peer_addr().ip().is_loopback());
    // the first elements are what the client made up, and a page without TLS is another origin
    for origin in ["https://evil.example", "http://chat.example"] {
        let other = request.clone().header("Origin", origin);
        assert_eq!(server.refused(&other).await.0, 403, "{origin}");
    }
    // a proxy that says nothing
    let _ws = server.connect("/").await;
    until(|| last.lock().unwrap().is_some()).await;
    let client = last.lock().unwrap().take().unwrap();
    assert!(client.info().remote_ip().is_loopback());
    assert_eq!(
        (client.info().is_secure(), client.info().host()),
        (false, &*server.addr.to_string())
    );
    server.stop().await;
}

#[tokio::test]
async fn connections_of_an_address_are_limited() {
    let (server, _) = with_last(bind().await.trusted_proxies(1).max_connections_per_ip(2)).await;
    let from = |ip: &str| with_headers(server.request("/"), &[("X-Forwarded-For", ip)]);
    let one = server.try_connect(&from("192.0.2.1")).await.unwrap();
    let _two = server.try_connect(&from("::ffff:192.0.2.1")).await.unwrap();
    let (status, body) = server.refused(&from("192.0.2.1")).await;
    assert_eq!(status, 429);
    assert!(body.contains("too many connections from your address"), "{body}");
    let _other = server.try_connect(&from("192.0.2.2")).await.unwrap();
    // one customer's network counts as one
    let _six = server.try_connect(&from("2001:db8::1")).await.unwrap();
    let _six = (_six, server.try_connect(&from("2001:db8::ffff:1")).await.unwrap());
    assert_eq!(server.refused(&from("2001:db8::2")).await.0, 429);
    let _next = server.try_connect(&from("2001:db8:0:1::1")).await.unwrap();
    // whoever leaves makes room
    drop(one);
    let again = within(async {
        loop {
            if let Ok(ws) = server.try_connect(&from("192.0.2.1")).await {
                return ws;
            }
        }
    })
    .await;
    assert_eq!(server.refused(&from("192.0.2.1")).await.0, 429);
    drop(again);
    server.stop().await;
}

/// A client's bytes stand in the same line as what `$proxy_add_x_forwarded_for` of nginx appends.
#[tokio::test]
async fn bytes_of_the_client_do_not_make_it_the_proxy() {
    let (server, last) = with_last(bind().await.trusted_proxies(1)).await;
    let request = wire::REQUEST.replacen("/chat", "/", 1);
    let (line, rest) = request.split_once("\r\n").unwrap();
    for junk in [&b"\xff"[..], b"\xf0\x28\x8c\x28, \x80", b"unknown", b",,"] {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        let head = [
            line.as_bytes(),
            b"\r\nX-Forwarded-For: ",
            junk,
            b", 192.0.2.7\r\nX-Forwarded-Host: ",
            junk,
            b", chat.example\r\nX-Forwarded-Proto: ",
            junk,
            b", https\r\n",
            rest.as_bytes(),
        ];
        stream.write_all(&head.concat()).await.unwrap();
        read_head(&mut stream).await;
        until(|| last.lock().unwrap().is_some()).await;
        let client = last.lock().unwrap().take().unwrap();
        let info = client.info();
        assert_eq!(info.remote_ip().to_string(), "192.0.2.7");
        assert_eq!((info.is_secure(), info.host()), (true, "chat.example"));
    }
    server.stop().await;
}

/// Who could be anybody is not taken for the proxy, nor counted with others.
#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let server = bind().await.trusted_proxies(1).page("/page", Response::text("a page"));
    let (server, _) = with_last(server.health("/health")).await;
    for (name, value) in [
        ("X-Forwarded-For", "192.0.2.7, unknown"),
        ("X-Forwarded-For", "unix:"),
        ("X-Forwarded-For", ""),
        ("X-Forwarded-Host", "chat example"),
        ("X-Forwarded-Proto", "gopher"),
    ] {
        let request = with_headers(server.request("/"), &[(name, value)]);
        let (status, body) = server.refused(&request).await;
        assert_eq!(status, 400, "{name}: {value}");
        assert!(body.contains(name) && body.contains("trusted_proxies"), "{body}");
        let get = |path| format!("GET {path} HTTP/1.1\r\nHost: h\r\n{name}: {value}\r\n\r\n");
        let page = server.http(&get("/page")).await;
        assert!(page.starts_with("HTTP/1.1 400 "), "{page}");
        let health = server.http(&get("/health")).await;
        assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
    }
    server.stop().await;
}

//! The PROXY protocol, byte by byte; `proxies` has it behind haproxy.

use std::net::SocketAddr;
use std::time::Duration;

use sansws::Config;
use sansws::server::{LogEvent, Response, Server, ServerError, handler_fn};
use sansws_test::wire;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Log, Running, bind, read_head, start, until, within};

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x14\xc0\0\x02\x07\xc0\0\x02\x01\x12\x34\0\x50\
                    \x20\0\x05\x01\0\0\0\0";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// A server that expects the header from 127.0.0.1, and what it logs.
async fn server(log: &Log) -> Server {
    let to = log.clone();
    bind()
        .await
        .proxy_protocol(["127.0.0.1"])
        .route("/", handler_fn())
        .page("/page", Response::text("a page"))
        .on_log(move |event| {
            let kind = match event {
                LogEvent::BadProxyHeader { peer_addr, .. } => format!("proxy {}", peer_addr.ip()),
                LogEvent::BadRequest { peer_addr, .. } => format!("request {}", peer_addr.ip()),
                event => event.to_string(),
            };
            to.add(kind);
        })
}

/// A connection with these bytes first.
async fn connect(server: &Running, from: [u8; 4], bytes: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut stream = socket.connect(server.addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

async fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = within(stream.read_to_end(&mut answer)).await; // it may be reset
    String::from_utf8_lossy(&answer).into_owned()
}

const PAGE: &[u8] = b"GET /page HTTP/1.1\r\nHost: h\r\n\r\n";

#[tokio::test]
async fn a_header_says_who_the_client_is() {
    let server = start(server(&Log::default()).await);
    let upgrade = wire::REQUEST.replacen("/chat", "/", 1);
    for (header, addr, secure) in [
        (&b"PROXY TCP4 192.0.2.7 192.0.2.1 4660 80\r\n"[..], Some("192.0.2.7:4660"), false),
        (b"PROXY TCP6 2001:db8::7 ::1 4660 80\r\n", Some("[2001:db8::7]:4660"), false),
        (b"PROXY UNKNOWN\r\n", None, false),
        (V2, Some("192.0.2.7:4660"), true),
        (LOCAL, None, false),
    ] {
        for pieces in [false, true] {
            let mut stream = connect(&server, [127, 0, 0, 1], b"").await;
            stream.set_nodelay(true).unwrap();
            let own = stream.local_addr().unwrap();
            let all = [header, upgrade.as_bytes()].concat();
            let at = if pieces { 1 } else { all.len() };
            for piece in all.chunks(at) {
                stream.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            read_head(&mut stream).await;
            until(|| server.hub.all().len() == 1).await;
            let client = server.hub.all().clients().remove(0);
            let info = client.info();
            let expected = addr.map_or(own, |addr| addr.parse::<SocketAddr>().unwrap());
            assert_eq!((info.peer_addr(), info.is_secure()), (expected, secure));
            assert_eq!(info.remote_ip(), expected.ip());
            drop((client, stream));
            until(|| server.hub.all().is_empty()).await;
        }
    }
    server.stop().await;
}

/// Who is not named is a client, and who is named says who that is.
#[tokio::test]
async fn only_named_networks_are_believed() {
    let log = Log::default();
    let server = start(server(&log).await);
    let page = |answer: &str| answer.ends_with("\r\n\r\na page");
    assert!(page(&rest(connect(&server, [127, 0, 0, 2], PAGE).await).await));
    assert_eq!(log.lines(), [""; 0]);
    for header in [&b"PROXY TCP4 192.0.2.7 192.0.2.1 4660 80\r\n"[..], V2] {
        let bytes = [header, PAGE].concat();
        assert!(page(&rest(connect(&server, [127, 0, 0, 1], &bytes).await).await));
        let answer = rest(connect(&server, [127, 0, 0, 2], &bytes).await).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    until(|| log.lines().len() == 2).await;
    assert_eq!(log.lines(), ["request 127.0.0.2"; 2]);
    for garbage in [PAGE, b"PROXY TCP4 nobody\r\n", b"\x16\x03\x01\0", b"\r\n\r\n\0\r\nquit\n"] {
        assert_eq!(rest(connect(&server, [127, 0, 0, 1], garbage).await).await, "");
    }
    // one that leaves in the middle
    drop(connect(&server, [127, 0, 0, 1], &V2[..14]).await);
    until(|| log.lines().len() == 7).await;
    assert_eq!(log.lines()[2..], ["proxy 127.0.0.1"; 5]);
    assert_eq!(server.hub.stats().bad_requests, 7);
    server.stop().await;
}

#[tokio::test]
async fn the_header_and_the_request_have_one_deadline() {
    let log = Log::default();
    let config = Config::new().handshake_timeout(Duration::from_millis(300));
    let server = start(server(&log).await.config(config));
    for bytes in [&b""[..], b"PROXY TCP4"] {
        assert_eq!(rest(connect(&server, [127, 0, 0, 1], bytes).await).await, "", "{bytes:?}");
    }
    assert_eq!(log.lines(), ["proxy 127.0.0.1"; 2]);
    // a request that was there in part is answered if its own time ends in the same moment
    for bytes in [&b"PROXY UNKNOWN\r\n"[..], b"PROXY UNKNOWN\r\nGET /"] {
        let answer = rest(connect(&server, [127, 0, 0, 1], bytes).await).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    until(|| server.hub.stats().bad_requests == 4).await;
    server.stop().await;
}

#[tokio::test]
async fn networks_are_checked_at_once() {
    for server in [
        bind().await.proxy_protocol(["10.0.0.0/40"]),
        bind().await.trusted_networks(["10.0.0.1/8"]),
    ] {
        let error = within(server.run()).await.unwrap_err();
        assert!(matches!(error, ServerError::Network(_)), "{error:?}");
    }
}

//! Names under which strangers reach the server: DNS rebinding.

use sansws::server::{ExternalStream, Response, Server, handler_fn};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Running, bind, start, within};
use sansws_test::wire;

/// A handshake of a script whose page is from this host, with further headers.
fn handshake(host: &str, headers: &str) -> String {
    let origin = format!("Origin: http://{host}\r\n");
    let host = format!("Host: {host}\r\n{origin}{headers}");
    wire::REQUEST.replacen("/chat", "/", 1).replacen("Host: server.example.com\r\n", &host, 1)
}

/// The status, and the body if the handshake is refused.
async fn ask(server: &Running, request: &str) -> (u16, String) {
    let stream = TcpStream::connect(server.addr).await.unwrap();
    ask_over(stream, request).await
}

async fn ask_over(
    mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin,
    request: &str,
) -> (u16, String) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(stream.read_u8()).await.unwrap());
    }
    let status = String::from_utf8(head).unwrap()[9..12].parse().unwrap();
    let mut body = String::new();
    if status != 101 {
        within(stream.read_to_string(&mut body)).await.unwrap();
    }
    (status, body)
}

#[tokio::test]
async fn a_server_on_loopback_is_none_of_other_names() {
    let server = start(bind().await.route("/", handler_fn()));
    let port = server.addr.port();
    for host in ["evil.example", "localhost.evil.example", "192.0.2.1", "0.0.0.0"] {
        let (status, body) = ask(&server, &handshake(&format!("{host}:{port}"), "")).await;
        assert_eq!(status, 403, "{host}");
        for told in [host, "Server::allowed_hosts", "X-Forwarded-Host $http_host;"] {
            assert!(body.contains(told), "{told} in {body}");
        }
    }
    for host in ["localhost", "a.localhost", "127.0.0.1", "127.1.2.3", "[::1]"] {
        let (status, body) = ask(&server, &handshake(&format!("{host}:{port}"), "")).await;
        assert_eq!(status, 101, "{host}: {body}");
    }
    // no page, so no browser that could be deceived
    assert_eq!(ask(&server, &wire::REQUEST.replacen("/chat", "/", 1)).await.0, 101);
    server.stop().await;
}

/// A proxy on the same machine knows which names are its own, whether it is trusted or not.
#[tokio::test]
async fn what_a_proxy_passes_on_is_for_a_host_of_the_proxy() {
    let server = start(bind().await.route("/", handler_fn()));
    for headers in [
        "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: chat.example\r\n\
         X-Forwarded-Proto: http\r\n",
        "X-Forwarded-For: 192.0.2.1\r\n",
        "Via: 1.1 proxy\r\n",
    ] {
        let (status, body) = ask(&server, &handshake("chat.example", headers)).await;
        assert_eq!(status, 101, "{headers}: {body}");
    }
    server.stop().await;
}

/// Nobody's name points to a stream from elsewhere.
#[tokio::test]
async fn a_stream_of_another_kind_has_any_host() {
    let server = start(bind().await.route("/", handler_fn()));
    server.connect("/").await; // it runs
    let (ours, theirs) = tokio::io::duplex(4096);
    server.handle.accept(ExternalStream::new(theirs, ([127, 0, 0, 1], 1).into())).unwrap();
    assert_eq!(ask_over(ours, &handshake("chat.example", "")).await.0, 101);
    server.stop().await;
}

#[tokio::test]
async fn the_hosts_of_a_server_can_be_named() {
    let set_up = |server: Server| {
        server
            .route("/", handler_fn())
            .page("/page", Response::text("a page"))
            .health("/health")
            .allowed_hosts(["chat.example", "*.chat.example"])
    };
    let server = start(set_up(bind().await));
    for (host, status) in [
        ("chat.example", 101),
        ("a.chat.example:81", 101),
        ("evil.example", 421),
        ("localhost", 421),
    ] {
        let (seen, body) = ask(&server, &handshake(host, "")).await;
        assert_eq!(seen, status, "{host}: {body}");
        assert!(seen == 101 || body.contains("Server::allowed_hosts"), "{body}");
        let page = ask(&server, &format!("GET /page HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(page.0, if status == 101 { 200 } else { 421 }, "{page:?}");
    }
    // nobody is believed who is not trusted
    let forwarded = "X-Forwarded-Host: chat.example\r\n";
    assert_eq!(ask(&server, &handshake("evil.example", forwarded)).await.0, 421);
    // a load balancer asks by address
    assert!(server.get("/health").await.starts_with("HTTP/1.1 200 "));
    server.stop().await;

    let server = start(set_up(bind().await.trusted_proxies(1)));
    let forwarded = "X-Forwarded-Host: evil.example, chat.example\r\n";
    let request = handshake("inner.example", forwarded);
    let request = request.replacen("http://inner.example", "http://chat.example", 1);
    assert_eq!(ask(&server, &request).await.0, 101);
    let forwarded = "X-Forwarded-Host: evil.example\r\n";
    assert_eq!(ask(&server, &handshake("chat.example", forwarded)).await.0, 421);
    server.stop().await;
}

/// The scheme of an origin is one of pages.
#[tokio::test]
async fn origins_are_of_the_web() {
    let server = start(bind().await.route("/", handler_fn()));
    let host = server.addr.to_string();
    for (scheme, status) in
        [("http", 101), ("https", 101), ("ws", 403), ("file", 403), ("chrome-extension", 403)]
    {
        let request = handshake(&host, "").replacen("http://", &format!("{scheme}://"), 1);
        assert_eq!(ask(&server, &request).await.0, status, "{scheme}");
    }
    server.stop().await;
}

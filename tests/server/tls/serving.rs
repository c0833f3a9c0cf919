//! What is served, and to whom.

use std::fs;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};
use sansws::server::{Response, Server, Tls, handler_fn};
use sansws::tokio::connect;
use sansws::{CloseCode, Message};
use sansws_test::certificates::{Authority, RSA};
use sansws_test::wire;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Client, authority, bind_tls, client_config, logging, make, read, roots, tls};
use crate::support::{Log, Running, start, until, within};

fn restrict(
    config: &ClientConfig,
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
    change: impl FnOnce(&mut CryptoProvider),
) -> ClientConfig {
    let mut provider = CryptoProvider::clone(config.crypto_provider());
    change(&mut provider);
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots(authority))
        .with_no_client_auth()
}

#[tokio::test]
async fn messages_in_both_versions() {
    let Some((authority, leaf)) = make("messages_in_both_versions") else { return };
    let echo = handler_fn().on_message(|client, message| client.send(message));
    let server = start(bind_tls(&leaf).await.route("/", echo));
    for version in [&TLS12, &TLS13] {
        let mut client = Client::new(&authority, server.addr);
        client.config = Arc::new(restrict(&client.config, &authority, &[version], |_| {}));
        let mut ws = client.connect("/").await;
        until(|| server.hub.all().len() == 1).await;
        let info = server.hub.all().clients().remove(0);
        assert!(info.info().is_secure());
        let large = vec![0xA5; 1024 * 1024];
        for message in [Message::from("hello"), Message::from(large)] {
            within(ws.send(message.clone())).await.unwrap();
            assert_eq!(within(ws.recv()).await.unwrap(), Some(message));
        }
        within(ws.close(CloseCode::NORMAL, "")).await.unwrap();
        while within(ws.recv()).await.unwrap().is_some() {}
        assert!(ws.close_info().unwrap().clean);
        until(|| server.hub.all().is_empty()).await;
    }
    server.stop().await;
}

/// RFC 8446 §6.1: without close_notify, an end may be anybody's.
#[tokio::test]
async fn the_end_is_told_in_tls() {
    let Some((authority, leaf)) = make("the_end_is_told_in_tls") else { return };
    let server = bind_tls(&leaf).await.route("/", handler_fn());
    let server = start(server.page("/page", Response::text("a page")));
    let client = Client::new(&authority, server.addr);
    let (answer, clean) = client.http("GET /page HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("a page"), "{answer}");
    assert!(clean);
    let (answer, clean) = client.http("GET /none HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(clean);
    // a connection, closed by the server
    let mut stream = client.tls("127.0.0.1").await.unwrap();
    let request = wire::REQUEST.replacen("/chat", "/", 1);
    stream.write_all(request.as_bytes()).await.unwrap();
    until(|| server.hub.all().len() == 1).await;
    server.hub.all().close(CloseCode::GOING_AWAY, "bye").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"bye") {
        assert_ne!(within(stream.read_buf(&mut answer)).await.unwrap(), 0);
    }
    stream.write_all(&wire::client(wire::CLOSE, &wire::close_payload(1001, ""))).await.unwrap();
    assert_eq!(within(stream.read(&mut [0])).await.unwrap(), 0);
    server.stop().await;
}

#[tokio::test]
async fn both_schemes_on_one_server() {
    let Some((authority, leaf)) = make("both_schemes_on_one_server") else { return };
    let server = Server::bind("ws://127.0.0.1:0").await.unwrap();
    let server = server.and_bind("wss://127.0.0.1:0").await.unwrap().tls(tls(&leaf));
    let addrs = server.local_addrs().unwrap();
    assert_eq!((addrs.len(), addrs[0]), (2, server.local_addr().unwrap()));
    let server = start(server.route("/", handler_fn()));
    let mut plain = server.connect("/").await;
    let mut secure = Client::new(&authority, addrs[1]).connect("/").await;
    until(|| server.hub.all().len() == 2).await;
    let mut schemes: Vec<bool> =
        server.hub.all().clients().iter().map(|client| client.info().is_secure()).collect();
    schemes.sort_unstable();
    assert_eq!(schemes, [false, true]);
    server.hub.all().send("to both").unwrap();
    assert_eq!(within(plain.recv()).await.unwrap(), Some(Message::from("to both")));
    assert_eq!(within(secure.recv()).await.unwrap(), Some(Message::from("to both")));
    server.stop().await;
}

#[tokio::test]
async fn listeners_made_elsewhere() {
    let Some((authority, leaf)) = make("listeners_made_elsewhere") else { return };
    let listen = || tokio::net::TcpListener::bind("127.0.0.1:0");
    let server = Server::from_tls_listener(listen().await.unwrap())
        .and_listener(listen().await.unwrap())
        .and_tls_listener(listen().await.unwrap())
        .tls(tls(&leaf))
        .route("/", handler_fn());
    let addrs = server.local_addrs().unwrap();
    let server = start(server);
    let _first = Client::new(&authority, addrs[0]).connect("/").await;
    let _second = within(connect(&format!("ws://{}/", addrs[1]))).await.unwrap();
    let _third = Client::new(&authority, addrs[2]).connect("/").await;
    until(|| server.hub.all().len() == 3).await;
    server.stop().await;
}

/// The proxy may have been told otherwise, or may not be one.
#[tokio::test]
async fn own_tls_counts_more_than_headers() {
    let Some((authority, leaf)) = make("own_tls_counts_more_than_headers") else { return };
    let page = |server: Server| {
        server.fallback(|request| Response::text(format!("secure: {}", request.is_secure())))
    };
    let secure = start(page(bind_tls(&leaf).await.trusted_proxies(1)));
    let request = "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Proto: http\r\n\r\n";
    let (answer, _) = Client::new(&authority, secure.addr).http(request).await;
    assert!(answer.ends_with("secure: true"), "{answer}");
    secure.stop().await;
}

#[tokio::test]
async fn the_name_chooses_the_certificate() {
    let Some(authority) = authority("the_name_chooses_the_certificate") else { return };
    let first = authority.leaf("first", "DNS:first.example,IP:127.0.0.1");
    let second = authority.leaf("second", "DNS:second.example,DNS:*.second.example");
    let third = authority.leaf_with("third", "DNS:first.example", RSA);
    let tls = tls(&first).and_pem_files(&second.certificate, &second.key).unwrap();
    let tls =
        tls.and_pem(fs::read(&third.certificate).unwrap(), fs::read(&third.key).unwrap()).unwrap();
    let server = start(Server::bind("wss://127.0.0.1:0").await.unwrap().tls(tls));
    let mut client = Client::new(&authority, server.addr);
    for (name, leaf) in [
        ("first.example", &first),
        ("second.example", &second),
        ("www.second.example", &second),
        ("127.0.0.1", &first), // no name is sent
    ] {
        assert_eq!(client.certificate(name).await, read(&leaf.certificate), "{name}");
    }
    // none of this name: the client sees the first, and does not take it
    assert!(client.tls("third.example").await.is_err());
    // a client that knows RSA alone
    client.config = Arc::new(restrict(&client.config, &authority, &[&TLS12], |provider| {
        provider.cipher_suites.retain(|suite| format!("{suite:?}").contains("ECDHE_RSA"));
    }));
    assert_eq!(client.certificate("first.example").await, read(&third.certificate));
    server.stop().await;
}

#[tokio::test]
async fn the_application_protocol_is_http_1_1() {
    let test = "the_application_protocol_is_http_1_1";
    let Some((authority, leaf)) = make(test) else { return };
    let log = Log::default();
    let server = start(logging(bind_tls(&leaf).await, &log));
    let mut client = Client::new(&authority, server.addr);
    let offer = |protocols: &[&str]| {
        let mut config = client_config(&authority);
        config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        Arc::new(config)
    };
    client.config = offer(&["h2", "http/1.1"]);
    let stream = client.tls("localhost").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    client.config = offer(&["h2"]);
    assert!(client.tls("localhost").await.is_err());
    until(|| log.lines().iter().any(|line| line.contains(": no TLS: "))).await;
    server.stop().await;
}

#[tokio::test]
async fn sessions_are_resumed() {
    let Some((authority, leaf)) = make("sessions_are_resumed") else { return };
    let server = start(bind_tls(&leaf).await.page("/", Response::text("a page")));
    let client = Client::new(&authority, server.addr);
    for expected in [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed] {
        let mut stream = client.tls("localhost").await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(expected));
        stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        within(stream.read_to_end(&mut Vec::new())).await.unwrap(); // the tickets are in front
    }
    server.stop().await;
}

#[tokio::test]
async fn a_configuration_made_elsewhere() {
    let Some((authority, leaf)) = make("a_configuration_made_elsewhere") else { return };
    let key = PrivateKeyDer::from_pem_slice(&fs::read(&leaf.key).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![read(&leaf.certificate)], key)
        .unwrap();
    let server = Server::bind("wss://127.0.0.1:0").await.unwrap();
    let server = server.tls(Tls::from_config(Arc::new(config))).route("/", handler_fn());
    let server: Running = start(server);
    let mut client = Client::new(&authority, server.addr);
    let _ws = client.connect("/").await;
    client.config = Arc::new(restrict(&client.config, &authority, &[&TLS12], |_| {}));
    assert!(client.tls("127.0.0.1").await.is_err());
    server.stop().await;
}

#[tokio::test]
async fn the_header_of_a_proxy_comes_first() {
    let Some((authority, leaf)) = make("the_header_of_a_proxy_comes_first") else { return };
    let log = Log::default();
    let server = bind_tls(&leaf).await.proxy_protocol(["127.0.0.1"]).route("/", handler_fn());
    let server = start(logging(server, &log));
    let client = Client::new(&authority, server.addr);
    for header in [
        &b"PROXY TCP4 192.0.2.7 192.0.2.1 4660 80\r\n"[..],
        // version 2, whose field says that the client spoke no TLS with the proxy
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x14\xc0\0\x02\x07\xc0\0\x02\x01\x12\x34\0\x50\
          \x20\0\x05\0\0\0\0\0",
    ] {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream.write_all(header).await.unwrap();
        let mut stream = client.tls_over(stream, "localhost").await.unwrap();
        let request = wire::REQUEST.replacen("/chat", "/", 1);
        stream.write_all(request.as_bytes()).await.unwrap();
        until(|| server.hub.all().len() == 1).await;
        let client = server.hub.all().clients().remove(0);
        assert_eq!(client.info().peer_addr(), "192.0.2.7:4660".parse().unwrap());
        assert!(client.info().is_secure());
        drop(stream);
        until(|| server.hub.all().is_empty()).await;
    }
    // TLS without a header in front
    assert!(client.tls("localhost").await.is_err());
    until(|| log.lines().iter().any(|line| line.contains("no PROXY header"))).await;
    server.stop().await;
}

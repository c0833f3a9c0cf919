//! Streams that were accepted elsewhere.

use std::net::SocketAddr;
use std::time::Duration;

use sansws::handshake::client::Request;
use sansws::server::{Arrival, NotServed, Page, handler};
use sansws::tokio::client;
use sansws::{CloseCode, Config};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::support::{bind, start, until, within};

const FROM: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7);

#[tokio::test]
async fn a_stream_of_another_kind_is_served() {
    let echo = handler().on_message(|client, message| {
        let info = client.info();
        client.send(format!("{} {}", info.peer_addr(), info.is_secure())).unwrap();
        client.send(message)
    });
    let server = start(bind().await.route("/", echo).page("/page", Page::text("a page\n")));
    let (here, there) = duplex(1000);
    // the server has to be running before it takes anything
    let _tcp = server.connect("/").await;
    server.handle.accept(Arrival::new(there, FROM).secure(true)).unwrap();
    let request = Request::new("ws://h/").unwrap();
    let mut ws = within(client(here, &request, &Config::new())).await.unwrap();
    until(|| server.hub.len() == 2).await;
    ws.send("hello").await.unwrap();
    for expected in ["127.0.0.1:7 true", "hello"] {
        let message = within(ws.recv()).await.unwrap().unwrap();
        assert_eq!(message.as_text(), Some(expected));
    }

    let (mut here, there) = duplex(1000);
    server.handle.accept(Arrival::new(there, FROM)).unwrap();
    here.write_all(b"GET /page HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    within(here.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("a page\n"), "{answer}");

    let handle = server.handle.clone();
    let shutdown = handle.shutdown(CloseCode::GOING_AWAY, "", Duration::from_secs(60));
    let close = async { while let Ok(Some(_)) = ws.recv().await {} };
    let tcp = async { drop(_tcp) };
    within(async { tokio::join!(shutdown, close, tcp) }).await.0.unwrap();
    assert_eq!(ws.close_info().unwrap().code, 1001);
    let (_here, there) = duplex(1000);
    assert_eq!(handle.accept(Arrival::new(there, FROM)), Err(NotServed::NotRunning));
}

#[tokio::test]
async fn such_streams_are_counted_too() {
    let server = start(bind().await.route("/", handler()).max_pending(1));
    until(|| {
        let (here, there) = duplex(1000);
        let taken = server.handle.accept(Arrival::new(there, FROM));
        drop(here);
        taken.is_ok()
    })
    .await;
    let (_here, there) = duplex(1000);
    until(|| server.hub.stats().bad_requests == 1).await;
    let silent = || {
        let (here, there) = duplex(1000);
        server.handle.accept(Arrival::new(there, FROM)).map(|()| here)
    };
    let mut held = None;
    until(|| {
        held = silent().ok();
        held.is_some()
    })
    .await;
    let refused = server.handle.accept(Arrival::new(there, FROM));
    assert_eq!(refused, Err(NotServed::TooManyPending));
    let error = NotServed::TooManyPending.to_string();
    assert!(error.contains("Server::max_pending"), "{error}");
    drop(held);
    server.stop().await;
}

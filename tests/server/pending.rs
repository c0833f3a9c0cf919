//! More who come than there are places, and strangers who do nothing with theirs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sansws::server::{Accept, Handler, Request, Response, Server, handler_fn};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::support::{Running, bind, read_head, start, text, until, within};
use sansws_test::wire;

/// So long that nobody owes a place to it.
const LONG: Duration = Duration::from_secs(600);

async fn patient() -> Server {
    bind().await.config(Server::default_config().handshake_timeout(LONG))
}

async fn silent(server: &Running, count: usize) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(TcpStream::connect(server.addr).await.unwrap());
    }
    streams
}

/// Their number is limited; who comes then waits, and is not refused.
#[tokio::test]
async fn handshakes_under_way_are_limited() {
    let server = start(patient().await.route("/", handler_fn()).max_pending(2));
    let mut ws = server.connect("/").await;
    let mut slow = silent(&server, 2).await;
    for stream in &mut slow {
        stream.write_all(b"GET / HT").await.unwrap();
    }
    let mut third = TcpStream::connect(server.addr).await.unwrap();
    third.write_all(wire::REQUEST.replacen("/chat", "/", 1).as_bytes()).await.unwrap();
    assert!(
        timeout(Duration::from_millis(200), third.read_u8()).await.is_err(),
        "no place is free"
    );
    // who is in already does not notice
    until(|| server.hub.all().len() == 1).await;
    server.hub.all().send("hello").unwrap();
    assert_eq!(text(&mut ws).await, "hello");
    drop(slow);
    read_head(&mut third).await;
    let stats = server.hub.stats();
    assert_eq!((stats.refused, stats.gave_way), (0, 0));
    server.stop().await;
}

/// Places are no use to those who do nothing, or next to nothing, with them.
#[tokio::test]
async fn idle_strangers_give_way() {
    for begun in [&b""[..], b"GET / HTTP/1.1\r\nX-Slow: ", b"GET /page HTTP/1.1\r\nHost: h\r\n\r\n"]
    {
        let server = patient().await.route("/", handler_fn()).health("/health").max_pending(16);
        let server = start(server.page("/page", Response::text("a page")));
        let mut strangers = silent(&server, 24).await;
        for stream in &mut strangers {
            stream.write_all(begun).await.unwrap();
        }
        let health = within(server.get("/health")).await;
        assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
        within(server.connect("/")).await;
        assert_eq!(server.hub.stats().refused, 0);
        server.stop().await;
    }
}

/// The places of one address are not those of the others.
#[cfg(target_os = "linux")] // which has more than one address on its loopback interface
#[tokio::test]
async fn a_crowd_does_not_keep_others_out() {
    let server = patient().await.route("/", handler_fn()).max_pending(16);
    let server = start(server);
    let _strangers = silent(&server, 16).await;
    all_are_in().await;
    let began = Instant::now();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = socket.connect(server.addr).await.unwrap();
    other.write_all(wire::REQUEST.replacen("/chat", "/", 1).as_bytes()).await.unwrap();
    read_head(&mut other).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(server.hub.stats().gave_way, 1);
    server.stop().await;
}

/// Until the accept loop has taken everybody who came.
async fn all_are_in() {
    sleep(Duration::from_millis(50)).await;
}

/// A handler may take its time, others wait.
#[tokio::test]
async fn a_handler_that_decides_keeps_the_place() {
    struct Slow(Notify, Notify);
    impl Handler for Slow {
        async fn on_request(&self, request: &Request<'_>) -> Result<Accept, Response> {
            if request.query() == Some("slow") {
                self.0.notify_one();
                self.1.notified().await;
            }
            Ok(Accept::new())
        }
    }
    let slow = Arc::new(Slow(Notify::new(), Notify::new()));
    let server = start(patient().await.route("/", Arc::clone(&slow)).max_pending(1));
    let mut first = TcpStream::connect(server.addr).await.unwrap();
    first.write_all(wire::REQUEST.replacen("/chat", "/?slow", 1).as_bytes()).await.unwrap();
    within(slow.0.notified()).await;
    let mut second = TcpStream::connect(server.addr).await.unwrap();
    second.write_all(wire::REQUEST.replacen("/chat", "/", 1).as_bytes()).await.unwrap();
    // longer than a silent one would have
    assert!(timeout(Duration::from_millis(1500), second.read_u8()).await.is_err());
    slow.1.notify_one();
    read_head(&mut first).await;
    read_head(&mut second).await;
    assert_eq!(server.hub.stats().gave_way, 0);
    server.stop().await;
}

/// Clients that all come at once fit into the queue of the operating system: one that did not would
/// come a second later, or not at all.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn many_may_wait_to_be_accepted() {
    const MANY: usize = 1000;
    let somaxconn = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let many = MANY.min(somaxconn.trim().parse().unwrap());
    let server = bind().await; // which does not run
    let addr = server.local_addr().unwrap();
    let mut streams = Vec::new();
    for _ in 0..many {
        match within(TcpStream::connect(addr)).await {
            Ok(stream) => streams.push(stream),
            // descriptors, of which the other tests need some
            Err(error) if error.raw_os_error() == Some(24) => break,
            Err(error) => panic!("{} of them: {error}", streams.len()),
        }
    }
    assert!(streams.len() >= 200, "{}", streams.len());
}

/// A connection that says nothing does not hold up the end.
#[tokio::test]
async fn silent_ones_are_closed_at_once_when_the_server_stops() {
    let server = start(patient().await.route("/", handler_fn()));
    let mut silent = silent(&server, 3).await;
    all_are_in().await;
    let began = Instant::now();
    let handle = server.handle.clone();
    within(handle.shutdown(sansws::CloseCode::GOING_AWAY, "", LONG)).await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    for stream in &mut silent {
        let mut nothing = Vec::new();
        within(stream.read_to_end(&mut nothing)).await.unwrap();
        assert_eq!(nothing, b"");
    }
}

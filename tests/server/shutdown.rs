//! The end of a server.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sansws::CloseCode;
use sansws::proto::{CloseInfo, SendError};
use sansws::server::{Accept, Client, Handler, Received, Request, Response, handler_fn};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::support::{Log, bind, closed, start, until, within};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn everybody_is_told_and_run_returns() {
    let log = Log::default();
    let on_close = log.clone();
    let route = handler_fn().on_close(move |_, info| on_close.add(format!("{}", info.code)));
    let server = start(bind().await.route("/", route));
    let (mut one, mut two) = (server.connect("/").await, server.connect("/").await);
    until(|| server.hub.all().len() == 2).await;
    let handle = server.handle.clone();
    let shutdown = async {
        // both wait until it is over, the second changes nothing
        tokio::join!(
            handle.shutdown(CloseCode::GOING_AWAY, "maintenance", LONG),
            handle.shutdown(CloseCode::NORMAL, "other", Duration::ZERO),
        )
    };
    let clients = async { (closed(&mut one).await, closed(&mut two).await) };
    let (ended, codes) = within(async { tokio::join!(shutdown, clients) }).await;
    assert_eq!(ended, (Ok(()), Ok(())));
    let expected = (1001, "maintenance".to_string(), true);
    assert_eq!(codes, (expected.clone(), expected));
    within(server.run).await.unwrap().unwrap();
    assert_eq!(log.lines(), ["1001", "1001"]);
    assert!(TcpStream::connect(server.addr).await.is_err(), "nobody listens any more");
    within(handle.shutdown(CloseCode::NORMAL, "", LONG)).await.unwrap();
}

/// What a handler does after a wait.
struct Slow {
    enter: Notify,
    go_on: Notify,
    log: Log,
}

impl Slow {
    fn new() -> Arc<Self> {
        Arc::new(Self { enter: Notify::new(), go_on: Notify::new(), log: Log::default() })
    }
}

impl Handler for Slow {
    async fn on_request(&self, request: &Request<'_>) -> Result<Accept, Response> {
        if request.query() == Some("slow") {
            self.enter.notify_one();
            self.go_on.notified().await;
        }
        Ok(Accept::new())
    }

    async fn on_message(&self, client: &Client, message: Received<'_>) {
        self.enter.notify_one();
        if message.as_text() == Some("for ever") {
            pending::<()>().await;
        }
        self.go_on.notified().await;
        let _ = client.send("finished");
        self.log.add("finished");
    }

    async fn on_close(&self, _: &Client, info: &CloseInfo<'_>) {
        self.log.add(format!("close {}", info.code));
        if info.code == 1006 {
            pending::<()>().await;
        }
    }
}

#[tokio::test]
async fn handlers_may_finish() {
    let slow = Slow::new();
    let server = start(bind().await.route("/", Arc::clone(&slow)));
    let mut ws = server.connect("/").await;
    ws.send("work").await.unwrap();
    within(slow.enter.notified()).await;
    let handle = server.handle.clone();
    let shutdown = tokio::spawn(async move {
        handle.shutdown(CloseCode::GOING_AWAY, "", LONG).await.unwrap();
    });
    assert_eq!(closed_while(&mut ws, &slow).await, 1001);
    within(shutdown).await.unwrap();
    assert_eq!(slow.log.lines(), ["finished", "close 1001"]);
    within(server.run).await.unwrap().unwrap();
}

/// Releases the handler after a moment.
async fn closed_while(
    ws: &mut sansws::tokio::WebSocket<sansws::tokio::ClientStream>,
    slow: &Slow,
) -> u16 {
    let release = async {
        sleep(Duration::from_millis(50)).await;
        assert!(slow.log.lines().is_empty());
        slow.go_on.notify_one();
    };
    within(async { tokio::join!(closed(ws), release) }).await.0.0
}

/// Whatever hangs is cut off at the deadline: a handler, a client that does not answer, a
/// handshake.
#[tokio::test]
async fn the_deadline_holds() {
    let slow = Slow::new();
    let server = start(bind().await.route("/", Arc::clone(&slow)));
    let mut hangs = server.connect("/").await;
    hangs.send("for ever").await.unwrap();
    within(slow.enter.notified()).await;
    let _silent = server.raw("/").await;
    until(|| server.hub.all().len() == 2).await;
    let mut asked = TcpStream::connect(server.addr).await.unwrap();
    let request = sansws_test::wire::REQUEST.replacen("/chat", "/?slow", 1);
    asked.write_all(request.as_bytes()).await.unwrap();
    within(slow.enter.notified()).await;

    let start = Instant::now();
    let deadline = Duration::from_millis(200);
    within(server.handle.shutdown(CloseCode::GOING_AWAY, "", deadline)).await.unwrap();
    assert!(start.elapsed() >= deadline && start.elapsed() < Duration::from_secs(2));
    within(server.run).await.unwrap().unwrap();
    // `on_close` came all the same, and got as far as to its wait
    assert_eq!(slow.log.lines().len(), 2);
    assert!(server.hub.all().is_empty());
    let mut answer = Vec::new();
    let _ = within(asked.read_to_end(&mut answer)).await;
    assert_eq!(answer, b"");
}

/// The deadline holds for handlers whose connections have ended too: they are dropped where they
/// wait, in `on_close` or in what came before.
#[tokio::test]
async fn the_deadline_holds_for_those_that_are_gone() {
    struct Waits(Log, Notify);
    struct Dropped<'a>(&'a Log);
    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            self.0.add("dropped");
        }
    }
    impl Handler for Waits {
        async fn on_message(&self, _client: &Client, _message: Received<'_>) {
            let _dropped = Dropped(&self.0);
            self.1.notify_one();
            pending::<()>().await;
        }

        async fn on_close(&self, _client: &Client, _info: &CloseInfo<'_>) {
            let _dropped = Dropped(&self.0);
            self.1.notify_one();
            pending::<()>().await;
        }
    }
    for message in [false, true] {
        let waits = Arc::new(Waits(Log::default(), Notify::new()));
        let server = start(bind().await.route("/", Arc::clone(&waits)));
        let mut ws = server.connect("/").await;
        if message {
            ws.send("wait").await.unwrap();
            within(waits.1.notified()).await;
        }
        drop(ws);
        if !message {
            within(waits.1.notified()).await;
        }
        until(|| server.hub.all().is_empty()).await;
        assert!(waits.0.lines().is_empty());
        let deadline = Duration::from_millis(100);
        within(server.handle.shutdown(CloseCode::GOING_AWAY, "", deadline)).await.unwrap();
        // of `on_close` as well, which is polled once
        assert_eq!(waits.0.lines().len(), 1 + usize::from(message));
        within(server.run).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn handshakes_under_way_get_a_503() {
    let slow = Slow::new();
    let server = start(bind().await.route("/", Arc::clone(&slow)));
    let request = sansws_test::wire::REQUEST.replacen("/chat", "/", 1);
    let (first, second) = request.split_at(20);
    let mut half = TcpStream::connect(server.addr).await.unwrap();
    half.write_all(first.as_bytes()).await.unwrap();
    let mut idle = TcpStream::connect(server.addr).await.unwrap();
    let mut asked = TcpStream::connect(server.addr).await.unwrap();
    asked.write_all(request.replacen("/", "/?slow", 1).as_bytes()).await.unwrap();
    within(slow.enter.notified()).await;

    let handle = server.handle.clone();
    let shutdown = tokio::spawn(async move {
        handle.shutdown(CloseCode::GOING_AWAY, "", LONG).await.unwrap();
    });
    sleep(Duration::from_millis(50)).await;
    half.write_all(second.as_bytes()).await.unwrap();
    slow.go_on.notify_one();
    for stream in [&mut half, &mut asked] {
        let mut answer = String::new();
        within(stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("shutting down"), "{answer}");
    }
    // one that has not said anything does not hold it up for long
    let mut nothing = Vec::new();
    within(idle.read_to_end(&mut nothing)).await.unwrap();
    assert_eq!(nothing, b"");
    drop((half, asked));
    within(shutdown).await.unwrap();
    within(server.run).await.unwrap().unwrap();
}

/// So do those for which there was no place yet: the one that was accepted and waits for it, and
/// those behind it in the queue.
#[tokio::test]
async fn those_without_a_place_get_a_503() {
    let server = start(bind().await.route("/", handler_fn()).max_pending(1));
    let request = sansws_test::wire::REQUEST.replacen("/chat", "/", 1);
    let (first, second) = request.split_at(20);
    let mut half = TcpStream::connect(server.addr).await.unwrap();
    half.write_all(first.as_bytes()).await.unwrap();
    until(|| server.hub.stats().accepted == 1).await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        waiting.push(stream);
        sleep(Duration::from_millis(10)).await; // the first of them is accepted
    }
    let handle = server.handle.clone();
    let shutdown = tokio::spawn(async move {
        handle.shutdown(CloseCode::GOING_AWAY, "", LONG).await.unwrap();
    });
    sleep(Duration::from_millis(50)).await;
    half.write_all(second.as_bytes()).await.unwrap();
    waiting.push(half);
    for stream in &mut waiting {
        let mut answer = String::new();
        within(stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    }
    drop(waiting);
    within(shutdown).await.unwrap();
    within(server.run).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_is_dropped_ends_its_connections() {
    let closes = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&closes);
    let route = handler_fn().on_close(move |_, _| count.fetch_add(1, Ordering::SeqCst));
    let server = start(bind().await.route("/", route));
    let mut ws = server.connect("/").await;
    until(|| server.hub.all().len() == 1).await;
    server.run.abort();
    assert_eq!(closed(&mut ws).await.0, 1006);
    until(|| closes.load(Ordering::SeqCst) == 1 && server.hub.all().is_empty()).await;
    within(server.handle.shutdown(CloseCode::NORMAL, "", LONG)).await.unwrap();
}

/// Handshakes, messages and ends of all kinds while the server shuts down: it ends, and tells of
/// every end once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_middle_of_everything() {
    for round in 0..10 {
        let (opens, closes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (open, close) = (Arc::clone(&opens), Arc::clone(&closes));
        let route = handler_fn()
            .on_open(move |_| open.fetch_add(1, Ordering::SeqCst))
            .on_message(|client, message| client.hub().all().send(message))
            .on_close(move |_, _| close.fetch_add(1, Ordering::SeqCst));
        let server = start(bind().await.route("/", route));
        let clients: Vec<_> = (0..8)
            .map(|at| {
                let request = server.request("/");
                tokio::spawn(async move {
                    // until nobody answers any more
                    while let Ok(mut ws) =
                        sansws::tokio::connect_with(&request, &sansws::Config::new()).await
                    {
                        for _ in 0..at {
                            if ws.send("hello").await.is_err() || ws.recv().await.is_err() {
                                break;
                            }
                        }
                    }
                })
            })
            .collect();
        until(|| server.hub.stats().opened > 10 * round).await;
        within(server.handle.shutdown(CloseCode::GOING_AWAY, "", LONG)).await.unwrap();
        within(server.run).await.unwrap().unwrap();
        let (opens, closes) = (opens.load(Ordering::SeqCst), closes.load(Ordering::SeqCst));
        assert!(opens > 0 && opens == closes, "{opens} opened, {closes} closed");
        assert!(server.hub.all().is_empty());
        for client in clients {
            within(client).await.unwrap();
        }
    }
}

#[tokio::test]
async fn before_it_runs() {
    let server = bind().await;
    let handle = server.handle();
    let too_long = SendError::ReasonTooLong { len: 124 };
    let refused = handle.shutdown(CloseCode::NORMAL, &"x".repeat(124), LONG).await;
    assert_eq!(refused, Err(too_long));
    within(handle.shutdown(CloseCode::NORMAL, "", LONG)).await.unwrap();
    within(server.run()).await.unwrap();
}

//! Handlers that wait, and what happens meanwhile.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use sansws::proto::CloseInfo;
use sansws::server::{Client, ExternalStream, Handler, Received, Server, TrySendError, handler_fn};
use sansws::{CloseCode, KeepAlive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::support::{Log, Running, bind, frames, start, until, within};
use sansws_test::wire;

/// Sends until that fails, as long as the path says: from `on_open`, or for each message.
struct Ticks(Log);

impl Ticks {
    async fn tick(&self, client: &Client) {
        while client.send("tick").is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
        assert!(!client.is_open());
        client.closed().await;
        assert_eq!(client.writable().await, Err(TrySendError::Closed));
        self.0.add("not sent");
    }
}

impl Handler for Ticks {
    async fn on_open(&self, client: &Client) {
        if client.info().path() == "/open" {
            self.tick(client).await;
        }
    }

    async fn on_message(&self, client: &Client, message: Received<'_>) {
        if message.as_text() == Some("go") {
            self.tick(client).await;
        }
    }

    async fn on_close(&self, _client: &Client, info: &CloseInfo<'_>) {
        self.0.add(format!("close {}", info.code));
    }
}

/// How a client goes.
#[derive(Clone, Copy, Debug)]
enum Leaves {
    /// In good order, and waits for the answer.
    Close,
    /// With a Close behind a ping.
    CloseBehindPing,
    /// With the end of its stream.
    Eof,
    /// Its socket is closed with ticks in it that nobody has read.
    Reset,
}

const ALL: [Leaves; 4] = [Leaves::Close, Leaves::CloseBehindPing, Leaves::Eof, Leaves::Reset];

async fn leave<S: AsyncRead + AsyncWrite + Unpin>(mut raw: S, how: Leaves) {
    let close = wire::client(wire::CLOSE, &wire::close_payload(4001, "enough"));
    match how {
        Leaves::Close | Leaves::CloseBehindPing => {
            if matches!(how, Leaves::CloseBehindPing) {
                raw.write_all(&wire::client(wire::PING, b"?")).await.unwrap();
            }
            raw.write_all(&close).await.unwrap();
            let mut bytes = Vec::new();
            while !wire::frames_in(&bytes).0.iter().any(|it| it.opcode == wire::CLOSE) {
                let byte = within(raw.read_u8()).await;
                bytes.push(byte.expect("the Close is answered"));
            }
        }
        Leaves::Eof => {
            raw.shutdown().await.unwrap();
            sleep(Duration::from_secs(3)).await;
        }
        Leaves::Reset => drop(raw),
    }
}

/// Pain of many: a handler that sends in a loop goes on for ever.
#[tokio::test]
async fn a_handler_that_sends_learns_that_its_client_is_gone() {
    for path in ["/open", "/message", "/burst"] {
        for how in ALL {
            let log = Log::default();
            let server = start(bind().await.route(path, Ticks(log.clone())));
            let mut raw = server.raw(path).await;
            match path {
                "/message" => raw.write_all(&wire::client(wire::TEXT, b"go")).await.unwrap(),
                // in one segment with what comes before
                "/burst" => {
                    let burst = [wire::client(wire::TEXT, b"-"), wire::client(wire::TEXT, b"go")];
                    raw.write_all(&burst.concat()).await.unwrap();
                }
                _ => {}
            }
            assert_eq!(within(raw.read_u8()).await.unwrap(), 0x81, "{path} {how:?}");
            raw.read_exact(&mut [0; 5]).await.unwrap();
            let leaving = tokio::spawn(leave(raw, how));
            let code = match how {
                Leaves::Close | Leaves::CloseBehindPing => "close 4001",
                Leaves::Eof | Leaves::Reset => "close 1006",
            };
            until(|| log.lines() == ["not sent", code]).await;
            until(|| server.hub.all().is_empty()).await;
            leaving.await.unwrap();
            server.stop().await;
        }
    }
}

/// A Close that came in one segment with the message that the handler works on.
#[tokio::test]
async fn a_close_right_behind_a_message_is_seen() {
    let log = Log::default();
    let server = start(bind().await.route("/", Ticks(log.clone())));
    let mut raw = server.raw("/").await;
    let close = wire::client(wire::CLOSE, &wire::close_payload(4001, "enough"));
    raw.write_all(&[wire::client(wire::TEXT, b"go"), close].concat()).await.unwrap();
    let seen = frames(&mut raw, |frames| frames.last().is_some_and(|it| it.opcode == 8)).await;
    assert_eq!(seen.last().unwrap().close_code(), Some(4001));
    until(|| log.lines() == ["not sent", "close 4001"]).await;
    server.stop().await;
}

/// Waits for ever, whatever happens.
struct Stuck(Log);

impl Handler for Stuck {
    async fn on_message(&self, client: &Client, _message: Received<'_>) {
        client.send("waiting").unwrap();
        client.closed().await;
        self.0.add(format!("closed {}", client.is_open()));
        pending::<()>().await;
    }
}

/// Its client's place, room and descriptor are given back nevertheless.
#[tokio::test]
async fn a_handler_that_waits_for_ever_holds_no_place() {
    for how in ALL {
        let log = Log::default();
        let config = Server::default_config().close_timeout(Duration::from_secs(1));
        let server = bind().await.route("/", Stuck(log.clone())).config(config);
        let server = start(server.max_connections(1));
        let mut raw = server.raw("/").await;
        raw.write_all(&wire::client(wire::TEXT, b"go")).await.unwrap();
        assert_eq!(within(raw.read_u8()).await.unwrap(), 0x81);
        if !matches!(how, Leaves::Reset) {
            raw.read_exact(&mut [0; 8]).await.unwrap();
        }
        let leaving = tokio::spawn(leave(raw, how));
        until(|| log.lines() == ["closed false"]).await;
        until(|| server.hub.all().is_empty()).await;
        leaving.await.unwrap();
        // there is one place
        server.connect("/").await;
        server.stop().await;
    }
}

/// Nothing is remembered of a client whose connection ended while its handler waited, once that is
/// done.
#[tokio::test]
async fn a_client_whose_handler_waited_is_forgotten() {
    struct Waits(Log, Notify);
    impl Handler for Waits {
        async fn on_open(&self, client: &Client) {
            client.join("room").unwrap();
        }

        async fn on_message(&self, client: &Client, _message: Received<'_>) {
            client.send("waiting").unwrap();
            self.1.notified().await;
        }

        async fn on_close(&self, client: &Client, _info: &CloseInfo<'_>) {
            self.0.add(client.rooms().join(" "));
        }
    }
    for how in ALL {
        let waits = Arc::new(Waits(Log::default(), Notify::new()));
        let config = Server::default_config().close_timeout(Duration::from_secs(1));
        let server = start(bind().await.route("/", Arc::clone(&waits)).config(config));
        let mut raw = server.raw("/").await;
        until(|| server.hub.all().len() == 1).await;
        let client = server.hub.all().clients().remove(0);
        raw.write_all(&wire::client(wire::TEXT, b"go")).await.unwrap();
        assert_eq!(within(raw.read_u8()).await.unwrap(), 0x81);
        if !matches!(how, Leaves::Reset) {
            raw.read_exact(&mut [0; 8]).await.unwrap();
        }
        leave(raw, how).await;
        until(|| server.hub.all().is_empty()).await;
        assert_eq!(client.rooms(), ["room"]);
        waits.1.notify_one();
        until(|| waits.0.lines() == ["room"]).await;
        until(|| client.rooms().is_empty()).await;
        server.stop().await;
    }
}

/// What a client had asked for before its Close is answered, although the handler takes its time.
#[tokio::test]
async fn what_came_before_a_close_is_answered() {
    struct Slow(Log);
    impl Handler for Slow {
        async fn on_message(&self, client: &Client, message: Received<'_>) {
            sleep(Duration::from_millis(50)).await;
            client.send(message).unwrap();
        }

        async fn on_close(&self, _client: &Client, info: &CloseInfo<'_>) {
            self.0.add(format!("{} {} {}", info.code, info.reason, info.clean));
        }
    }
    let log = Log::default();
    let server = start(bind().await.route("/", Slow(log.clone())));
    let mut raw = server.raw("/").await;
    for text in ["one", "two", "three"] {
        raw.write_all(&wire::client(wire::TEXT, text.as_bytes())).await.unwrap();
        sleep(Duration::from_millis(10)).await;
    }
    let close = wire::client(wire::CLOSE, &wire::close_payload(1000, "bye"));
    raw.write_all(&close).await.unwrap();
    let seen = frames(&mut raw, |frames| frames.len() == 4).await;
    let texts: Vec<_> = seen[..3].iter().map(|frame| frame.text()).collect();
    assert_eq!(texts, ["one", "two", "three"]);
    assert_eq!(seen[3].close_code(), Some(1000));
    drop(raw);
    until(|| log.lines() == ["1000 bye true"]).await;
    server.stop().await;
}

fn numbered(at: usize) -> String {
    format!("{at} {}", "x".repeat(at * 10))
}

/// More than is looked at ahead arrives while a handler waits: nothing of it is lost.
#[tokio::test]
async fn what_arrives_while_a_handler_waits_is_not_lost() {
    struct Sums;
    impl Handler for Sums {
        async fn on_message(&self, client: &Client, message: Received<'_>) {
            sleep(Duration::from_millis(1)).await;
            let _ = client.send(message);
        }
    }
    let server = start(bind().await.route("/", Sums));
    let ws = server.connect("/").await;
    let (mut receiver, sender) = ws.split();
    let sending = tokio::spawn(async move {
        for at in 0..300 {
            sender.send(numbered(at)).await.unwrap();
        }
        sender
    });
    for at in 0..300 {
        let message = within(receiver.recv()).await.unwrap().unwrap();
        assert_eq!(message.as_text().unwrap(), numbered(at));
    }
    sending.await.unwrap();
    server.stop().await;
}

/// A large file leaves as fast as it is read, and does not lie in memory.
#[tokio::test]
async fn a_handler_that_waits_for_room_outruns_nobody() {
    const PIECES: usize = 500;
    struct Files;
    impl Handler for Files {
        async fn on_message(&self, client: &Client, _message: Received<'_>) {
            for at in 0..PIECES {
                client.writable().await.unwrap();
                client.send(vec![at as u8; 50_000]).unwrap();
                assert!(client.queued() < 600_000);
            }
        }
    }
    let server = start(bind().await.route("/", Files).max_burst_bytes(0));
    let mut ws = server.connect("/").await;
    ws.send("go").await.unwrap();
    for at in 0..PIECES {
        if at % 100 == 0 {
            sleep(Duration::from_millis(20)).await;
        }
        let message = within(ws.recv()).await.unwrap().unwrap();
        assert!(message.as_bytes() == vec![at as u8; 50_000]);
    }
    assert_eq!(server.hub.stats().slow_closed, 0);
    server.stop().await;
}

/// Many tasks wait, for room and for the end, in any order and some not to the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_wait() {
    let server = start(bind().await.route("/", handler_fn()).max_queued_bytes(100_000));
    let mut ws = server.connect("/").await;
    until(|| server.hub.all().len() == 1).await;
    let client = server.hub.all().clients().remove(0);
    client.writable().await.unwrap();
    assert!(timeout(Duration::from_millis(10), client.closed()).await.is_err());
    // until its sockets are full
    while timeout(Duration::from_millis(100), client.writable()).await.is_ok() {
        client.send(vec![0; 30_000]).unwrap();
    }
    let mut room = Vec::new();
    let mut end = Vec::new();
    for _ in 0..50 {
        let (one, two) = (client.clone(), client.clone());
        room.push(tokio::spawn(async move { one.writable().await }));
        end.push(tokio::spawn(async move { two.closed().await }));
    }
    let given_up = tokio::spawn({
        let client = client.clone();
        async move { client.closed().await }
    });
    sleep(Duration::from_millis(10)).await;
    given_up.abort();
    let reading = tokio::spawn(async move {
        while let Ok(Some(_)) = ws.recv().await {}
        ws
    });
    for waiting in room {
        within(waiting).await.unwrap().unwrap();
    }
    assert!(end.iter().all(|waiting| !waiting.is_finished()));
    client.close(CloseCode::NORMAL, "").unwrap();
    for waiting in end {
        within(waiting).await.unwrap();
    }
    assert_eq!(client.writable().await, Err(TrySendError::Closed));
    within(client.closed()).await;
    within(reading).await.unwrap();
    server.stop().await;
}

/// From outside of any runtime.
#[tokio::test]
async fn a_thread_may_wait() {
    let server = start(bind().await.route("/", handler_fn()));
    let ws = server.connect("/").await;
    until(|| server.hub.all().len() == 1).await;
    let client = server.hub.all().clients().remove(0);
    let waiting = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(client.closed());
    });
    drop(ws);
    until(|| waiting.is_finished()).await;
    waiting.join().unwrap();
    server.stop().await;
}

/// A client of a stream that holds `capacity` bytes.
async fn on_duplex(server: &Running, capacity: usize) -> DuplexStream {
    let from = ([127, 0, 0, 1], 7).into();
    let mut here = loop {
        let (here, there) = duplex(capacity);
        match server.handle.accept(ExternalStream::new(there, from)) {
            Ok(()) => break here,
            Err(_) => tokio::task::yield_now().await, // until it runs
        }
    };
    here.write_all(wire::REQUEST.replacen("/chat", "/", 1).as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(here.read_u8().await.unwrap());
    }
    here
}

/// Waits for the end, and says when it came.
struct Watches(Log);

impl Handler for Watches {
    async fn on_open(&self, client: &Client) {
        let began = Instant::now();
        client.closed().await;
        self.0.add(format!("{} s", began.elapsed().as_secs()));
    }
}

/// Keep-alive goes on while a handler waits: a peer that answers stays, one that does not goes.
#[tokio::test(start_paused = true)]
async fn keep_alive_goes_on_while_a_handler_waits() {
    let second = Duration::from_secs(1);
    let config = Server::default_config().keep_alive(KeepAlive::Every(second)).pong_timeout(second);
    let log = Log::default();
    let server = start(bind().await.route("/", Watches(log.clone())).config(config));
    // one that only answers, and one that has said what nobody takes in
    let mut answering = Vec::new();
    for says in [&b""[..], &[7; 1000]] {
        let mut here = on_duplex(&server, 100_000).await;
        if !says.is_empty() {
            here.write_all(&wire::client(wire::BINARY, says)).await.unwrap();
        }
        answering.push(tokio::spawn(async move {
            let until = Instant::now() + Duration::from_secs(600);
            let mut ping = [0; 6];
            let mut pings = 0;
            while timeout_at(until, here.read_exact(&mut ping)).await.is_ok_and(|it| it.is_ok()) {
                assert_eq!(ping[..2], [0x89, 4]);
                here.write_all(&wire::client(wire::PONG, &ping[2..])).await.unwrap();
                pings += 1;
            }
            assert!(Instant::now() >= until, "given up after {pings} pings");
            here
        }));
    }
    let silent = on_duplex(&server, 1000).await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(log.lines(), ["2 s"]);
    let mut here = Vec::new();
    for answering in answering {
        here.push(answering.await.unwrap());
    }
    assert_eq!((log.lines().len(), server.hub.all().len()), (1, 2));
    drop((silent, here));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(log.lines().len(), 3);
    server.handle.shutdown(CloseCode::GOING_AWAY, "", Duration::ZERO).await.unwrap();
}

/// Somebody else closes a client whose handler waits, and the peer does not answer.
#[tokio::test(start_paused = true)]
async fn closing_goes_on_while_a_handler_waits() {
    let log = Log::default();
    let server = start(bind().await.route("/", Stuck(log.clone())));
    let mut here = on_duplex(&server, 1000).await;
    here.write_all(&wire::client(wire::TEXT, b"go")).await.unwrap();
    here.read_exact(&mut [0; 9]).await.unwrap();
    server.hub.all().close(CloseCode::GOING_AWAY, "").unwrap();
    let mut close = [0; 4];
    here.read_exact(&mut close).await.unwrap();
    assert_eq!(close, [0x88, 2, 0x03, 0xe9]);
    // the stream is dropped after the time for the answer, though the handler still waits
    let began = Instant::now();
    assert_eq!(here.read(&mut close).await.unwrap(), 0);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    sleep(Duration::from_secs(1)).await;
    assert!(server.hub.all().is_empty());
    server.handle.shutdown(CloseCode::GOING_AWAY, "", Duration::ZERO).await.unwrap();
}

/// Whoever takes something every four seconds is not slow, however much waits for him.
#[tokio::test(start_paused = true)]
async fn a_client_is_slow_when_its_transport_takes_nothing() {
    let server = start(bind().await.route("/", handler_fn()));
    let mut slow = on_duplex(&server, 4096).await;
    let dead = on_duplex(&server, 4096).await;
    while server.hub.all().len() < 2 {
        sleep(Duration::from_millis(1)).await;
    }
    let clients = server.hub.all().clients();
    for _ in 0..40 {
        server.hub.all().send(vec![1; 50_000]).unwrap();
    }
    let began = Instant::now();
    let mut taken = 0;
    let mut bytes = vec![0; 1000];
    while began.elapsed() < Duration::from_secs(120) {
        taken += slow.read(&mut bytes).await.unwrap();
        sleep(Duration::from_secs(4)).await;
        server.hub.all().send("on").unwrap();
        assert!(clients[0].is_open());
        let time = began.elapsed().as_secs();
        assert!(clients[1].is_open() == (time < 5), "{time} s");
    }
    assert_eq!(server.hub.stats().slow_closed, 1);
    while taken < 2_000_000 {
        taken += slow.read(&mut bytes).await.unwrap();
    }
    drop(dead);
    server.handle.shutdown(CloseCode::GOING_AWAY, "", Duration::ZERO).await.unwrap();
}

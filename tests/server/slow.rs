//! Clients that do not read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sansws::PreparedMessage;
use sansws::server::{Client, Handler, Received, SlowClients, TrySendError, handler_fn};
use tokio::time::sleep;

use crate::support::{Running, bind, frames, start, text, until};
use sansws_test::wire;

const QUEUED_BYTES: usize = 256 * 1024;
const BURST_BYTES: usize = 4 * 1024 * 1024;
const CHUNK: usize = 8 * 1024;

async fn with_policy(policy: SlowClients) -> Running {
    let server = bind().await.route("/", handler_fn()).max_queued_bytes(QUEUED_BYTES);
    start(server.slow_clients(policy))
}

/// One client never reads, fifty do: they get everything, and what waits for the one is bounded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_client_that_does_not_read() {
    const READERS: usize = 50;
    const MESSAGES: usize = 2000;
    let server = bind().await.route("/", handler_fn()).max_queued_bytes(QUEUED_BYTES);
    let server = server.max_burst_bytes(BURST_BYTES).slow_after(Duration::from_millis(100));
    let server = start(server);
    let raw = server.raw("/").await;
    until(|| server.hub.all().len() == 1).await;
    let slow = server.hub.all().clients().remove(0);
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(server.connect("/").await);
    }
    until(|| server.hub.all().len() == READERS + 1).await;
    let readers: Vec<_> = readers
        .into_iter()
        .map(|mut ws| {
            tokio::spawn(async move {
                for at in 0..MESSAGES {
                    let message = text(&mut ws).await;
                    assert!(message.starts_with(&format!("{at} ")), "{at}: {}", &message[..20]);
                }
                ws // open until all have read
            })
        })
        .collect();
    let mut most = 0;
    for at in 0..MESSAGES {
        let filler = "x".repeat(CHUNK);
        server.hub.all().send(format!("{at} {filler}")).unwrap();
        most = most.max(slow.queued());
        // the readers' queues are bounded as well
        while server
            .hub
            .all()
            .clients()
            .iter()
            .any(|it| it != &slow && it.queued() > QUEUED_BYTES / 2)
        {
            sleep(Duration::from_millis(1)).await;
        }
    }
    let mut done = Vec::new();
    for reader in readers {
        done.push(reader.await.unwrap());
    }
    assert!(most <= BURST_BYTES, "{most} bytes waited");
    assert!(most > QUEUED_BYTES, "its queue was never full");
    assert!(!slow.is_open());
    let stats = server.hub.stats();
    assert_eq!((stats.slow_closed, stats.dropped), (1, 0));

    // if it reads after all, it finds out why
    let mut raw = raw;
    let seen = frames(&mut raw, |frames| frames.last().is_some_and(|it| it.opcode == 8)).await;
    let (close, before) = seen.split_last().unwrap();
    assert_eq!(close.close_code(), Some(1013));
    assert_eq!(&close.payload[2..], b"the client reads too slowly");
    assert!(before.iter().all(|frame| frame.opcode == wire::TEXT));
    server.stop().await;
}

/// Sends to a client that does not read until that is refused, or `count` messages; then reads.
async fn flood(server: &Running, count: usize) -> (Vec<usize>, Option<TrySendError>) {
    let mut raw = server.raw("/").await;
    until(|| server.hub.all().len() == 1).await;
    let client = server.hub.all().clients().remove(0);
    let mut refused = None;
    for at in 0..count {
        let message = format!("{at:06}{}", "x".repeat(CHUNK));
        if let Err(error) = client.send(message) {
            refused = Some(error);
        }
        assert!(client.queued() <= QUEUED_BYTES);
        if at % 16 == 0 {
            sleep(Duration::from_millis(1)).await; // so that the socket fills
        }
    }
    // behind all that waits
    until(|| client.send("end").is_ok() || !client.is_open()).await;
    let is_end = |frame: &wire::Frame| frame.opcode == 8 || frame.payload == b"end";
    let seen = frames(&mut raw, |frames| frames.iter().any(is_end)).await;
    let numbers = seen.iter().filter(|frame| frame.payload.len() > 10);
    let numbers = numbers.map(|frame| frame.text()[..6].parse().unwrap()).collect();
    (numbers, refused)
}

#[tokio::test]
async fn the_oldest_are_dropped() {
    let server = with_policy(SlowClients::DropOldest).await;
    let (numbers, refused) = flood(&server, 3000).await;
    assert_eq!(refused, None);
    assert!(numbers.is_sorted() && numbers.len() < 3000);
    assert_eq!((numbers.first(), numbers.last()), (Some(&0), Some(&2999)));
    let dropped = server.hub.stats().dropped as usize;
    assert_eq!(numbers.len() + dropped, 3000);
    assert_eq!(server.hub.stats().slow_closed, 0);
    server.stop().await;
}

#[tokio::test]
async fn the_newest_are_dropped() {
    let server = with_policy(SlowClients::DropNewest).await;
    let mut raw = server.raw("/").await;
    until(|| server.hub.all().len() == 1).await;
    let client = server.hub.all().clients().remove(0);
    let mut taken = Vec::new();
    for at in 0..3000 {
        match client.send(format!("{at:06}{}", "x".repeat(CHUNK))) {
            Ok(()) => taken.push(at),
            Err(TrySendError::Full { messages, bytes }) => {
                assert!(messages > 0 && bytes > QUEUED_BYTES - 2 * CHUNK);
            }
            Err(error) => panic!("{error:?}"),
        }
        if at % 16 == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }
    assert!(taken.len() < 3000);
    let count = taken.len();
    let seen = frames(&mut raw, |frames| frames.len() == count).await;
    let numbers: Vec<usize> = seen.iter().map(|it| it.text()[..6].parse().unwrap()).collect();
    assert_eq!(numbers, taken);
    assert_eq!(server.hub.stats().dropped as usize, 3000 - count);
    server.stop().await;
}

/// What is taken in any case, before the client's task had a turn: bytes and 64 for each message,
/// and one message however long it is.
#[tokio::test]
async fn messages_are_counted_too() {
    let server = bind().await.route("/", handler_fn()).max_queued_bytes(10).max_burst_bytes(3 * 65);
    let server = start(server.slow_clients(SlowClients::DropNewest));
    let _ws = server.connect("/").await;
    until(|| server.hub.all().len() == 1).await;
    let client = server.hub.all().clients().remove(0);
    // nothing is taken out while this does not wait
    let longer = "longer than the limit".repeat(10);
    client.send(&longer).unwrap();
    let full = TrySendError::Full { messages: 1, bytes: 210 + 64 };
    assert_eq!(client.send(""), Err(full));
    // the same message, encoded already, counts the same
    until(|| client.queued() == 0).await;
    client.send(&PreparedMessage::new(&longer).unwrap()).unwrap();
    assert_eq!(client.send(""), Err(full));
    until(|| client.queued() == 0).await;
    for _ in 0..3 {
        client.send("x").unwrap();
    }
    let error = client.send("x").unwrap_err();
    assert_eq!(error, TrySendError::Full { messages: 3, bytes: 3 * 65 });
    assert_eq!(
        error.to_string(),
        "3 messages of together 195 bytes wait for the client: send it less, wait for \
         Client::writable, or raise Server::max_queued_bytes and Server::max_burst_bytes"
    );
    server.stop().await;
}

/// A client that catches up while its handler waits: the handler is told afterwards.
#[tokio::test]
async fn on_drain_comes_after_a_wait() {
    struct Waits(Arc<AtomicUsize>);

    impl Handler for Waits {
        async fn on_message(&self, client: &Client, _message: Received<'_>) {
            while client.queued() < 1024 * 1024 {
                client.send("x".repeat(256 * 1024)).unwrap();
                tokio::task::yield_now().await;
            }
            client.send("last").unwrap();
            self.0.store(1, Ordering::SeqCst);
            while client.queued() > 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }

        async fn on_drain(&self, client: &Client) {
            client.send("caught up").unwrap();
        }
    }

    let fallen_behind = Arc::new(AtomicUsize::new(0));
    let route = Waits(Arc::clone(&fallen_behind));
    let server = start(bind().await.route("/", route).max_queued_bytes(64 * 1024 * 1024));
    let mut ws = server.connect("/").await;
    ws.send("go").await.unwrap();
    // a client that read meanwhile might keep up for ever
    until(|| fallen_behind.load(Ordering::SeqCst) == 1).await;
    while text(&mut ws).await != "last" {}
    assert_eq!(text(&mut ws).await, "caught up");
    server.stop().await;
}

/// A client that had fallen behind and reads again.
#[tokio::test]
async fn on_drain_tells_that_a_client_has_caught_up() {
    let (drains, count) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (drained, closed) = (Arc::clone(&drains), Arc::clone(&count));
    let route = handler_fn()
        .on_drain(move |client| {
            assert_eq!(client.queued(), 0);
            drained.fetch_add(1, Ordering::SeqCst);
            client.send("caught up")
        })
        .on_close(move |_, _| closed.fetch_add(1, Ordering::SeqCst));
    let server = start(bind().await.route("/", route).max_queued_bytes(64 * 1024 * 1024));
    let mut ws = server.connect("/").await;
    until(|| server.hub.all().len() == 1).await;
    let client = server.hub.all().clients().remove(0);
    // one that keeps up is not told
    for _ in 0..10 {
        client.send("small").unwrap();
        assert_eq!(text(&mut ws).await, "small");
    }
    assert_eq!(drains.load(Ordering::SeqCst), 0);
    let mut told = 0;
    for _ in 0..3 {
        let mut sent = 0;
        // until the sockets are full and the queue stays
        until(|| {
            client.send("x".repeat(256 * 1024)).unwrap();
            sent += 1;
            client.queued() > 1024 * 1024
        })
        .await;
        let before = drains.load(Ordering::SeqCst);
        while sent > 0 || told == before {
            match text(&mut ws).await.len() {
                9 => told += 1,
                _ => sent -= 1,
            }
        }
        // its own message may have had to wait as well, and then there is another
        while told < drains.load(Ordering::SeqCst) {
            assert_eq!(text(&mut ws).await, "caught up");
            told += 1;
        }
        assert_eq!(drains.load(Ordering::SeqCst), told);
    }
    drop(ws);
    until(|| count.load(Ordering::SeqCst) == 1).await;
    server.stop().await;
}

//! Messages to clients, from anywhere.

use std::sync::{Arc, Barrier};

use sansws::proto::{MessageRef, SendError};
use sansws::server::{JoinError, TrySendError, handler_fn};
use sansws::{CloseCode, Message, PreparedMessage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{bind, closed, frames, start, text, until, within};
use sansws_test::wire;

/// What a handler sends to its own client waits in no queue, unless something else is to leave
/// first.
#[tokio::test]
async fn a_handler_sends_to_its_client_directly() {
    let route = handler_fn().on_message(|client, message| {
        client.send(&message).unwrap();
        client.send(&PreparedMessage::new("prepared").unwrap()).unwrap();
        assert_eq!(client.queued(), 0, "straight into the send buffer");
        let too_long = SendError::ControlTooLong { len: 126 };
        assert_eq!(client.send(MessageRef::ping(&[0; 126])), Err(TrySendError::Invalid(too_long)));
        std::thread::scope(|scope| scope.spawn(|| client.send("another").unwrap()).join()).unwrap();
        assert_eq!(client.queued(), 7 + 64);
        client.send("behind it").unwrap();
        assert_eq!(client.queued(), 7 + 64 + 9 + 64);
        client.close(CloseCode::NORMAL, "").unwrap();
        assert_eq!(client.send("too late"), Err(TrySendError::Closed));
    });
    let server = start(bind().await.route("/", route));
    let mut ws = server.connect("/").await;
    ws.send("first").await.unwrap();
    for expected in ["first", "prepared", "another", "behind it"] {
        assert_eq!(text(&mut ws).await, expected);
    }
    assert_eq!(closed(&mut ws).await, (1000, String::new(), true));
    server.stop().await;
}

/// More than the send buffer takes goes on in the queue, in order.
#[tokio::test]
async fn what_a_handler_sends_is_in_order_whatever_it_is() {
    const MESSAGES: usize = 2000;
    let route = handler_fn().on_message(|client, _| {
        for at in 0..MESSAGES {
            let message = format!("{at} {}", "x".repeat(at % 300));
            if at % 2 == 0 { client.send(&message).unwrap() } else { client.send(message).unwrap() }
        }
        assert!(client.queued() > 0, "more than a send buffer takes");
    });
    let server = start(bind().await.route("/", route).max_unsent(16 * 1024));
    let mut ws = server.connect("/").await;
    ws.send("go").await.unwrap();
    for at in 0..MESSAGES {
        assert_eq!(text(&mut ws).await, format!("{at} {}", "x".repeat(at % 300)));
    }
    server.stop().await;
}

/// From threads that are not of the runtime; no message is torn or lost, each sender's are in
/// order. From threads that are not of the runtime; no message is torn or lost, each sender's are
/// in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_threads_send_to_one_client() {
    const THREADS: usize = 4;
    const EACH: usize = 500;
    let server = start(bind().await.route("/", handler_fn()));
    let mut ws = server.connect("/").await;
    until(|| server.hub.all().len() == 1).await;
    let client = server.hub.all().clients().remove(0);
    let barrier = Arc::new(Barrier::new(THREADS));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (client, barrier) = (client.clone(), Arc::clone(&barrier));
            std::thread::spawn(move || {
                barrier.wait();
                for at in 0..EACH {
                    let filler = "x".repeat(at % 100);
                    let message = format!("{thread} {at} {filler}");
                    match at % 3 {
                        0 => client.send(&message).unwrap(),
                        1 => client.send(message).unwrap(),
                        _ => {
                            let prepared = PreparedMessage::new(&message).unwrap();
                            client.send(&prepared).unwrap();
                        }
                    }
                }
            })
        })
        .collect();
    let mut next = [0; THREADS];
    for _ in 0..THREADS * EACH {
        let message = text(&mut ws).await;
        let mut parts = message.splitn(3, ' ');
        let thread: usize = parts.next().unwrap().parse().unwrap();
        let at: usize = parts.next().unwrap().parse().unwrap();
        assert_eq!((at, parts.next().unwrap().len()), (next[thread], at % 100));
        next[thread] += 1;
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(client.queued(), 0);
    server.stop().await;
}

#[tokio::test]
async fn every_kind_and_size_arrives_whole() {
    let server = start(bind().await.route("/", handler_fn()).max_queued_bytes(2_000_000));
    let mut ws = server.connect("/").await;
    until(|| server.hub.all().len() == 1).await;
    let client = server.hub.all().clients().remove(0);
    for len in [0, 1, 125, 126, 16 * 1024 - 1, 16 * 1024, 70_000, 900_000] {
        let bytes = wire::pattern(len);
        client.send(&bytes).unwrap();
        client.send(bytes.clone()).unwrap();
        client.send(MessageRef::ping(b"?")).unwrap();
        for _ in 0..2 {
            let received = within(ws.recv()).await.unwrap();
            assert_eq!(received, Some(Message::from(bytes.clone())), "{len}");
        }
    }
    let too_long = SendError::ControlTooLong { len: 126 };
    assert_eq!(client.send(MessageRef::ping(&[0; 126])), Err(TrySendError::Invalid(too_long)));
    server.stop().await;
}

/// What is sent in one turn leaves in one write: one read finds it all.
#[tokio::test]
async fn one_turn_is_one_write() {
    let route = handler_fn().on_message(|client, _| {
        for at in 0..100 {
            client.send(format!("message {at}")).unwrap();
        }
    });
    let server = start(bind().await.route("/", route));
    let mut raw = server.raw("/").await;
    raw.write_all(&wire::client(wire::TEXT, b"go")).await.unwrap();
    let mut bytes = vec![0; 64 * 1024];
    let n = within(raw.read(&mut bytes)).await.unwrap();
    assert_eq!(wire::frames(&bytes[..n]).len(), 100);
    server.stop().await;
}

/// A handle that outlives its connection.
#[tokio::test]
async fn after_the_end_sending_is_an_error() {
    let server = start(bind().await.route("/", handler_fn()));
    let mut ws = server.connect("/").await;
    until(|| server.hub.all().len() == 1).await;
    let client = server.hub.all().clients().remove(0);

    let too_long = SendError::ReasonTooLong { len: 124 };
    let refused = client.close(CloseCode::NORMAL, &"x".repeat(124));
    assert_eq!(refused, Err(TrySendError::Invalid(too_long)));
    assert!(client.is_open());

    client.send("before").unwrap();
    client.close(CloseCode::NORMAL, "done").unwrap();
    assert_eq!(client.send("behind"), Err(TrySendError::Closed));
    assert_eq!(client.close(CloseCode::NORMAL, ""), Err(TrySendError::Closed));
    assert_eq!(text(&mut ws).await, "before");
    assert_eq!(closed(&mut ws).await, (1000, "done".into(), true));
    until(|| server.hub.all().is_empty()).await;
    let id = client.id();
    std::thread::spawn(move || {
        assert_eq!(client.send("later"), Err(TrySendError::Closed));
        let prepared = PreparedMessage::new("later").unwrap();
        assert_eq!(client.send(&prepared), Err(TrySendError::Closed));
        assert!(!client.is_open() && client.join("room") == Err(JoinError::Closed));
        assert_eq!(TrySendError::Closed.to_string(), "the client is closing or gone: forget it");
    })
    .join()
    .unwrap();
    assert_eq!(server.hub.send_to(id, "nobody"), Err(TrySendError::Closed));
    server.stop().await;
}

/// The queue is sent before the Close, however much it is.
#[tokio::test]
async fn closing_comes_behind_what_waits() {
    let server = start(bind().await.route("/", handler_fn()).max_queued_bytes(8 * 1024 * 1024));
    let mut raw = server.raw("/").await;
    until(|| server.hub.all().len() == 1).await;
    let client = server.hub.all().clients().remove(0);
    for _ in 0..60 {
        client.send(vec![7; 100_000]).unwrap();
    }
    client.close(CloseCode::NORMAL, "").unwrap();
    let seen = frames(&mut raw, |frames| frames.last().is_some_and(|it| it.opcode == 8)).await;
    assert_eq!(seen.len(), 61);
    assert!(seen[..60].iter().all(|frame| frame.payload == vec![7; 100_000]));
    server.stop().await;
}

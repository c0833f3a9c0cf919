//! The same on both kinds of runtime. The server has one of its own; its clients, and whoever uses
//! its hub and handle, are on another.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use sansws::CloseCode;
use sansws::proto::CloseInfo;
use sansws::server::{Client, Handler, Received, Server, TrySendError, handler_fn};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::support::{Log, Running, bind, closed, start, text, until, within};

macro_rules! on_both_kinds {
    ($($scenario:ident)+) => {
        mod current_thread {
            $(#[tokio::test]
            async fn $scenario() {
                super::$scenario(|| super::Builder::new_current_thread()).await;
            })+
        }

        mod multi_thread {
            $(#[tokio::test]
            async fn $scenario() {
                super::$scenario(|| super::Builder::new_multi_thread()).await;
            })+
        }
    };
}

on_both_kinds! {
    events_come_in_order
    a_panic_closes_its_connection_only
    threads_send_and_broadcast
    a_shutdown_waits_for_handlers
    the_end_of_the_runtime_is_the_end
}

type Kind = fn() -> Builder;

/// A runtime on a thread of its own, until it is ended or dropped.
struct Elsewhere {
    end: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Elsewhere {
    /// Starts a server there.
    fn start(kind: Kind, set_up: fn(Server, &Log) -> Server) -> (Running, Log, Self) {
        let log = Log::default();
        let theirs = log.clone();
        let (tell, told) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime: Runtime = kind().enable_all().build().unwrap();
            runtime.block_on(async {
                tell.send(start(set_up(bind().await, &theirs))).unwrap();
                let _ = ended.await;
            });
        });
        let server = told.recv().unwrap();
        (server, log, Self { end: Some(end), thread: Some(thread) })
    }

    /// Drops the runtime, whatever it is at.
    fn end(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.end = None; // without waiting: the test may be panicking
    }
}

/// Writes down what happens; waits, panics and answers as it is told.
struct Told(Log);

impl Handler for Told {
    async fn on_open(&self, _: &Client) {
        self.0.add("open");
    }

    async fn on_message(&self, client: &Client, message: Received<'_>) {
        match message.as_text() {
            Some("panic") => panic!("as the test wants"),
            Some("wait") => {
                client.send("waiting").unwrap();
                sleep(Duration::from_millis(50)).await;
                self.0.add("waited");
            }
            Some("for ever") => {
                client.send("waiting").unwrap();
                std::future::pending::<()>().await;
            }
            _ => {
                self.0.add(format!("message of {} bytes", message.as_bytes().len()));
                client.send(message).unwrap();
            }
        }
    }

    async fn on_close(&self, _: &Client, info: &CloseInfo<'_>) {
        self.0.add(format!("close {}", info.code));
    }
}

fn told(server: Server, log: &Log) -> Server {
    server.route("/", Told(log.clone()))
}

async fn events_come_in_order(kind: Kind) {
    let (server, log, _elsewhere) = Elsewhere::start(kind, told);
    let mut ws = server.connect("/").await;
    let large = "x".repeat(500_000);
    for message in ["small", &large] {
        ws.send(message).await.unwrap();
        assert!(text(&mut ws).await == message);
    }
    within(ws.close(CloseCode::NORMAL, "")).await.unwrap();
    until(|| log.lines().len() == 4).await;
    let expected = ["open", "message of 5 bytes", "message of 500000 bytes", "close 1000"];
    assert_eq!(log.lines(), expected);
    server.stop().await;
}

async fn a_panic_closes_its_connection_only(kind: Kind) {
    let (server, log, _elsewhere) = Elsewhere::start(kind, told);
    let mut other = server.connect("/").await;
    for _ in 0..3 {
        let mut ws = server.connect("/").await;
        ws.send("panic").await.unwrap();
        assert_eq!(closed(&mut ws).await, (1011, String::new(), true));
    }
    other.send("still here").await.unwrap();
    assert_eq!(text(&mut other).await, "still here");
    until(|| log.lines().iter().filter(|line| *line == "close 1011").count() == 3).await;
    assert_eq!((server.hub.all().len(), server.hub.stats().panics), (1, 3));
    server.stop().await;
}

/// From threads that know nothing of a runtime. The messages of each keep their order.
async fn threads_send_and_broadcast(kind: Kind) {
    const THREADS: usize = 3;
    const MESSAGES: usize = 300;
    const CLIENTS: usize = 4;
    let (server, _, _elsewhere) =
        Elsewhere::start(kind, |server, _| server.route("/", handler_fn()));
    let mut all = Vec::new();
    for _ in 0..CLIENTS {
        all.push(server.connect("/").await);
    }
    until(|| server.hub.all().len() == CLIENTS).await;
    let talking: Vec<_> = (0..THREADS)
        .map(|thread| {
            let hub = server.hub.clone();
            thread::spawn(move || {
                for at in 0..MESSAGES {
                    assert_eq!(hub.all().send(format!("{thread} {at}")), Ok(CLIENTS));
                    for client in hub.all().clients() {
                        client.send(format!("{} {at}", thread + THREADS)).unwrap();
                    }
                }
            })
        })
        .collect();
    for ws in &mut all {
        let mut next = [0; 2 * THREADS];
        for _ in 0..2 * THREADS * MESSAGES {
            let message = text(ws).await;
            let (speaker, at) = message.split_once(' ').unwrap();
            let expected = &mut next[speaker.parse::<usize>().unwrap()];
            assert_eq!(at, expected.to_string(), "of {speaker}");
            *expected += 1;
        }
        assert_eq!(next, [MESSAGES; 2 * THREADS]);
    }
    talking.into_iter().for_each(|thread| thread.join().unwrap());
    server.stop().await;
}

async fn a_shutdown_waits_for_handlers(kind: Kind) {
    let (server, log, _elsewhere) = Elsewhere::start(kind, told);
    let (mut ws, mut idle) = (server.connect("/").await, server.connect("/").await);
    ws.send("wait").await.unwrap();
    assert_eq!(text(&mut ws).await, "waiting");
    let handle = server.handle.clone();
    let shutdown = tokio::spawn(async move {
        handle.shutdown(CloseCode::GOING_AWAY, "bye", Duration::from_secs(60)).await.unwrap();
    });
    for ws in [&mut idle, &mut ws] {
        assert_eq!(closed(ws).await, (1001, "bye".into(), true));
    }
    within(shutdown).await.unwrap();
    within(server.run).await.unwrap().unwrap();
    let lines = log.lines();
    assert!(lines.contains(&"waited".to_owned()), "{lines:?}");
    assert_eq!(lines.iter().filter(|line| *line == "close 1001").count(), 2, "{lines:?}");
}

/// Nothing is left that hangs or panics when the runtime goes in the middle of everything.
async fn the_end_of_the_runtime_is_the_end(kind: Kind) {
    let (server, _, mut elsewhere) = Elsewhere::start(kind, told);
    let (mut busy, mut idle) = (server.connect("/").await, server.connect("/").await);
    busy.send("for ever").await.unwrap();
    assert_eq!(text(&mut busy).await, "waiting");
    until(|| server.hub.all().len() == 2).await;
    let kept = server.hub.all().clients().remove(0);
    elsewhere.end();
    for ws in [&mut busy, &mut idle] {
        assert_eq!(closed(ws).await, (1006, String::new(), false));
    }
    assert!(within(server.run).await.unwrap_err().is_cancelled());
    assert!(server.hub.all().is_empty() && !kept.is_open());
    assert_eq!(kept.send("too late"), Err(TrySendError::Closed));
    assert_eq!(server.hub.all().send("to nobody"), Ok(0));
    let shutdown = server.handle.shutdown(CloseCode::GOING_AWAY, "", Duration::from_secs(60));
    within(shutdown).await.unwrap();
}

//! Broadcasts: one task writes for many clients, while those have something to say themselves.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use sansws::CloseCode;
use sansws::server::{Client, ExternalStream, Hub, Server, handler_fn};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Builder;
use tokio::time::sleep;

use sansws_test::peer::within_limit;
use sansws_test::wire;

use crate::support::{Running, bind, closed, start, text, until, within};

/// Bytes for all of them take some time on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// As many as are written to by more than one task.
const CLIENTS: usize = 100;

/// A server that answers each of its clients, and tells all what one of them shouts.
async fn serve() -> Running {
    let handler = handler_fn().on_message(|client: &Client, message| {
        match message.as_text().and_then(|text| text.strip_prefix("shout ")) {
            Some(text) => {
                client.send(format!("you {text}")).unwrap();
                client.hub().all().send(format!("all {text}")).unwrap();
            }
            None => client.send(message).unwrap(),
        }
    });
    let limits = |server: Server| server.max_queued_bytes(1 << 30).max_message_len(1 << 20);
    start(limits(bind().await).route("/", handler))
}

async fn all_connect(server: &Running, count: usize) -> Vec<sansws::tokio::WebSocket<TcpStream>> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let socket = TcpSocket::new_v4().unwrap();
        // so that a large message does not fit, and the rest is left to the client's task
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        let stream = socket.connect(server.addr).await.unwrap();
        let request = server.request("/");
        let ws = sansws::tokio::client(stream, &request, &sansws::Config::new()).await.unwrap();
        clients.push(ws);
    }
    until(|| server.hub.all().len() == count).await;
    clients
}

/// A message that says who sends it and which of theirs it is, of 10 bytes to 80 KiB.
fn numbered(from: &str, number: usize) -> String {
    let len = match number % 16 {
        15 => 80 * 1024,
        7 => 20 * 1024,
        _ => 0,
    };
    format!("{from} {number} {}", "x".repeat(len))
}

/// Returns the number of the message, and whether it is all there.
fn parse(message: &str) -> (String, usize) {
    let mut words = message.split(' ');
    let (from, number) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
    assert_eq!(message, numbered(from, number));
    (from.to_string(), number)
}

/// Others write to a socket while its task reads from it, answers, and takes what they leave.
async fn everything_comes_in_order() {
    const EACH: usize = 48;
    let server = serve().await;
    let clients = all_connect(&server, CLIENTS).await;
    let broadcasters: Vec<_> = ["one", "two"]
        .map(|name| {
            let hub = server.hub.clone();
            thread::spawn(move || {
                for number in 0..EACH {
                    assert_eq!(hub.all().send(numbered(name, number)).unwrap(), CLIENTS);
                    thread::sleep(Duration::from_millis(2));
                }
            })
        })
        .into();
    let readers: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(at, ws)| {
            tokio::spawn(async move {
                let (mut receiver, sender) = ws.split();
                let asking = tokio::spawn(async move {
                    for number in 0..EACH {
                        sender.send(numbered("own", number)).await.unwrap();
                        sleep(Duration::from_millis(1)).await;
                    }
                    sender
                });
                let mut next: HashMap<String, usize> = HashMap::new();
                while next.values().sum::<usize>() < 3 * EACH {
                    let message = receiver.recv().await.unwrap().expect("it is open");
                    let (from, number) = parse(message.as_text().unwrap());
                    let expected = next.entry(from).or_default();
                    assert_eq!(number, *expected);
                    *expected += 1;
                    if at % 3 == 0 {
                        sleep(Duration::from_millis(1)).await; // its socket is full at times
                    }
                }
                assert_eq!(next.len(), 3);
                drop(asking.await.unwrap());
            })
        })
        .collect();
    for reader in readers {
        reader.await.unwrap();
    }
    for broadcaster in broadcasters {
        broadcaster.join().unwrap();
    }
    assert_eq!(server.hub.stats().dropped, 0);
}

#[tokio::test]
async fn everything_comes_in_order_on_one_thread() {
    within_limit(LIMIT, everything_comes_in_order()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everything_comes_in_order_on_four_threads() {
    within_limit(LIMIT, everything_comes_in_order()).await;
}

/// What a handler sends to its own client is there before what it sends to all behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_answer_comes_before_the_broadcast_behind_it() {
    const EACH: usize = 20;
    let server = serve().await;
    let clients = all_connect(&server, 16).await;
    let asking = clients.into_iter().enumerate().map(|(at, ws)| {
        tokio::spawn(async move {
            let (mut receiver, sender) = ws.split();
            tokio::spawn(async move {
                for number in 0..EACH {
                    sender.send(format!("shout {at}:{number}")).await.unwrap();
                }
                sleep(Duration::from_secs(60)).await; // the other half goes first
            });
            let (mut own, mut all) = (0, 0);
            while all < 16 * EACH {
                let message = receiver.recv().await.unwrap().expect("it is open");
                let (kind, rest) = message.as_text().unwrap().split_once(' ').unwrap();
                let (from, number) = rest.split_once(':').unwrap();
                match kind {
                    "you" => own += 1,
                    _ => all += 1,
                }
                if kind == "all" && from == at.to_string() {
                    assert!(own > number.parse().unwrap(), "{rest}");
                }
            }
            assert_eq!(own, EACH);
        })
    });
    for client in asking.collect::<Vec<_>>() {
        within_limit(LIMIT, client).await.unwrap();
    }
}

/// A descriptor that is closed may be that of another connection at once: nothing of what was meant
/// for the one comes on the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_writes_to_a_socket_that_is_gone() {
    let server = serve().await;
    let over = Arc::new(AtomicBool::new(false));
    let broadcasters = [0, 1].map(|_| {
        let (hub, over): (Hub, _) = (server.hub.clone(), Arc::clone(&over));
        thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                hub.all().send("to all").unwrap();
            }
        })
    });
    for _ in 0..12 {
        let mut clients = Vec::new();
        for _ in 0..16 {
            // the head of the response comes first, as a client is strict about
            clients.push(server.connect("/").await);
        }
        for (at, mut ws) in clients.into_iter().enumerate() {
            assert_eq!(text(&mut ws).await, "to all");
            if at % 2 == 0 {
                let ended = ws.close(CloseCode::NORMAL, "").await;
                ended.unwrap();
            } // and the others hang up, with bytes that they have not read
        }
    }
    over.store(true, Ordering::Relaxed);
    for broadcaster in broadcasters {
        broadcaster.join().unwrap();
    }
}

/// The message is on its way before the Close, whoever was to write it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_comes_behind_what_was_sent() {
    let server = serve().await;
    let clients = all_connect(&server, CLIENTS).await;
    assert_eq!(server.hub.all().send(numbered("last", 7)).unwrap(), CLIENTS);
    assert_eq!(server.hub.all().close(CloseCode::GOING_AWAY, "bye").unwrap(), CLIENTS);
    for mut ws in clients {
        assert_eq!(parse(&text(&mut ws).await), ("last".to_string(), 7));
        assert_eq!(closed(&mut ws).await, (1001, "bye".to_string(), true));
    }
}

/// A broadcast needs nothing of the runtime that it is sent in, which may not run any more.
#[tokio::test]
async fn a_runtime_that_stands_still_holds_nothing_up() {
    let server = serve().await;
    let mut clients = all_connect(&server, 8).await;
    let hub = server.hub.clone();
    let (end, ended) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { hub.all().send("from elsewhere").unwrap() });
        let _ = ended.recv(); // until the end of the test
    });
    for ws in &mut clients {
        assert_eq!(within(text(ws)).await, "from elsewhere");
    }
    drop(end);
    thread.join().unwrap();
}

/// Nor of the runtime of a connection that was accepted there, be it the first of all.
#[tokio::test]
async fn a_connection_of_another_runtime_holds_nothing_up() {
    let server = serve().await;
    let handle = server.handle.clone();
    let (end, ended) = mpsc::channel::<()>();
    let hub = server.hub.clone();
    let thread = thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let stranger = runtime.block_on(async {
            let (mut here, there) = tokio::io::duplex(10_000);
            handle.accept(ExternalStream::new(there, ([192, 0, 2, 1], 7).into())).unwrap();
            here.write_all(wire::REQUEST.replacen("/chat", "/", 1).as_bytes()).await.unwrap();
            until(|| !hub.all().is_empty()).await;
            here
        });
        let _ = ended.recv(); // the runtime is there, and nobody drives it
        drop(stranger);
    });
    until(|| server.hub.all().len() == 1).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(server.connect("/").await);
    }
    until(|| server.hub.all().len() == 9).await;
    server.hub.all().send("to all").unwrap();
    for ws in &mut clients {
        assert_eq!(within(text(ws)).await, "to all");
    }
    drop(end);
    thread.join().unwrap();
}

/// A client that is sent messages is not idle, whoever writes them.
#[tokio::test]
async fn a_broadcast_counts_against_idleness() {
    const IDLE: Duration = Duration::from_secs(2);
    let server = start(bind().await.route("/", handler_fn()).idle_timeout(IDLE));
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(server.connect("/").await);
    }
    until(|| server.hub.all().len() == 8).await;
    let began = Instant::now();
    let mut last = Instant::now();
    while began.elapsed() < 2 * IDLE {
        sleep(IDLE / 10).await;
        if last.elapsed() >= IDLE {
            return; // the machine was busy elsewhere, and they were idle for once
        }
        last = Instant::now();
        assert_eq!(server.hub.all().send("here").unwrap(), 8);
    }
    assert_eq!(server.hub.stats().idle_closed, 0);
    for ws in &mut clients {
        assert_eq!(text(ws).await, "here");
    }
}

/// What is written for a client counts as if its task had written it.
#[tokio::test]
async fn what_is_written_is_counted() {
    let server = start(bind().await.count_traffic().route("/", handler_fn()));
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(server.connect("/").await);
    }
    until(|| server.hub.all().len() == 8).await;
    let before = server.hub.stats();
    assert_eq!(server.hub.all().send("five!").unwrap(), 8);
    for ws in &mut clients {
        assert_eq!(text(ws).await, "five!");
    }
    until(|| server.hub.stats().sent == before.sent + 8).await;
    let after = server.hub.stats();
    assert_eq!(after.sent_bytes - before.sent_bytes, 8 * 5);
    assert_eq!(after.written_bytes - before.written_bytes, 8 * 7);
    for client in server.hub.all().clients() {
        let traffic = client.traffic().unwrap();
        assert_eq!((traffic.sent, traffic.sent_bytes), (1, 5));
    }
}

//! A thousand clients that read, and one that never does, at the size at which a
//! server that waits for a client would show it.
//!
//! Both ends take more descriptors than many processes may open, so the test has a process of its
//! own: this test program again.
#![cfg(unix)]

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sansws::server::{Hub, Server, SlowClients, handler_fn};
use sansws::{CloseCode, Message};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Running, frames, read_head, start, until};
use sansws_test::process::{Process, skip};
use sansws_test::wire;

const READERS: usize = 1000;

/// Three seconds of them.
const MESSAGES: usize = 180;
const INTERVAL: Duration = Duration::from_micros(1_000_000 / 60);

/// Of a message. Some 50 fit into the buffers of a socket, then the queue fills.
const LEN: usize = 1024;
const SOCKET_BUFFER: u32 = 8 * 1024;
const UNSENT: usize = 16 * 1024;
const QUEUED: usize = 64;

/// How far a reader may fall behind on a busy machine before the broadcaster waits for it; less
/// than what a queue holds.
const BEHIND: usize = 32;

/// Descriptors for both ends of all of them, and what the program has open besides.
const DESCRIPTORS: usize = 2 * READERS + 200;

/// In the environment of the process that is to do it.
const IS_CROWD: &str = "SANSWS_TEST_CROWD";

#[test]
fn a_thousand_clients_do_not_wait_for_one() {
    const NAME: &str = "a_thousand_clients_do_not_wait_for_one";
    let shell = format!(
        "[ $(ulimit -n) -ge {DESCRIPTORS} ] || ulimit -n {DESCRIPTORS} || exit 77
         exec \"$0\" --exact crowd::in_a_process_of_its_own --nocapture"
    );
    let mut command = Command::new("sh");
    command.args(["-c", &shell]).arg(std::env::current_exe().unwrap()).env(IS_CROWD, "1");
    let finished = Process::spawn(&mut command).finish(Duration::from_secs(55));
    if finished.status.code() == Some(77) {
        return skip(NAME, &format!("a process may not open {DESCRIPTORS} files (ulimit -Hn)"));
    }
    assert!(finished.status.success(), "{finished:#?}");
    assert!(finished.stdout.iter().any(|line| line.contains("1 passed")), "{finished:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_process_of_its_own() {
    if std::env::var_os(IS_CROWD).is_some() {
        the_slow_one_is_closed().await;
        the_slow_one_misses_messages().await;
    }
}

async fn the_slow_one_is_closed() {
    let server = serve(SlowClients::Close(CloseCode::TRY_AGAIN_LATER));
    let mut slow = never_reads(&server).await;
    everybody_else_gets_everything(&server).await;
    until(|| server.hub.stats().slow_closed == 1).await;
    assert_eq!((server.hub.stats().dropped, server.hub.stats().opened), (0, READERS as u64 + 1));
    let seen = frames(&mut slow, |frames| frames.iter().any(|it| it.opcode == wire::CLOSE)).await;
    let (close, messages) = seen.split_last().unwrap();
    assert_eq!(close.close_code(), Some(1013));
    assert!(numbers(messages).into_iter().eq(0..messages.len()), "{messages:?}");
    assert!(messages.len() < MESSAGES);
    server.stop().await;
}

async fn the_slow_one_misses_messages() {
    let server = serve(SlowClients::DropOldest);
    let mut slow = never_reads(&server).await;
    everybody_else_gets_everything(&server).await;
    assert_eq!(server.hub.stats().slow_closed, 0);
    let dropped = usize::try_from(server.hub.stats().dropped).unwrap();
    let seen = frames(&mut slow, |frames| frames.len() + dropped == MESSAGES).await;
    let numbers = numbers(&seen);
    assert!(numbers.is_sorted() && dropped > 0, "{dropped} dropped, {numbers:?}");
    assert_eq!((numbers.first(), numbers.last()), (Some(&0), Some(&(MESSAGES - 1))));
    server.stop().await;
}

/// Starts a server whose sockets hold little.
fn serve(policy: SlowClients) -> Running {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(SOCKET_BUFFER).unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let server = Server::from_listener(socket.listen(1024).unwrap())
        .route("/", handler_fn())
        .config(Server::default_config().max_unsent(UNSENT))
        .max_queued_bytes(QUEUED * (LEN + 64))
        .slow_clients(policy);
    start(server)
}

/// A client that is not heard of again; its socket holds little, too.
async fn never_reads(server: &Running) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(SOCKET_BUFFER).unwrap();
    let mut stream = socket.connect(server.addr).await.unwrap();
    stream.write_all(wire::REQUEST.replacen("/chat", "/", 1).as_bytes()).await.unwrap();
    // nothing of the messages is read yet
    read_head(&mut stream).await;
    until(|| server.hub.all().len() == 1).await;
    stream
}

/// Broadcasts to a thousand clients. All of them get all messages, in order, while the slow one is
/// connected and does not read.
async fn everybody_else_gets_everything(server: &Running) {
    let received: Arc<[AtomicUsize]> = (0..READERS).map(|_| AtomicUsize::new(0)).collect();
    let mut readers = Vec::new();
    for at in 0..READERS {
        let mut ws = server.connect("/").await;
        let received = Arc::clone(&received);
        readers.push(tokio::spawn(async move {
            for number in 0..MESSAGES {
                let message = ws.recv().await.unwrap();
                let Some(Message::Text(text)) = message else { panic!("{message:?}") };
                assert_eq!(text[..6].parse(), Ok(number), "reader {at}");
                received[at].store(number + 1, Ordering::Relaxed);
            }
            ws // open until all have read
        }));
    }
    until(|| server.hub.all().len() == READERS + 1).await;
    let hub = server.hub.clone();
    // A thread that is not the runtime's: a call that waited for the one client would wait for
    // ever.
    let broadcaster = thread::spawn(move || broadcast(&hub, &received));
    let mut all = Vec::new();
    for reader in readers {
        all.push(reader.await.unwrap());
    }
    broadcaster.join().unwrap();
    drop(all);
}

fn broadcast(hub: &Hub, received: &[AtomicUsize]) {
    let filler = "x".repeat(LEN - 6);
    let mut next = Instant::now();
    for number in 0..MESSAGES {
        let least = || received.iter().map(|it| it.load(Ordering::Relaxed)).min().unwrap();
        while number > least() + BEHIND {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(next.saturating_duration_since(Instant::now()));
        next += INTERVAL;
        // the slow one counts as long as it is open
        let count = hub.all().send(format!("{number:06}{filler}")).unwrap();
        assert!(count == READERS || count == READERS + 1, "{number}: to {count} clients");
    }
}

fn numbers(frames: &[wire::Frame]) -> Vec<usize> {
    frames.iter().map(|frame| frame.text()[..6].parse().unwrap()).collect()
}

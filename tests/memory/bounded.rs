//! What a peer that misbehaves, and what many connections, leave behind in memory: by the
//! allocator's account, and by the system's.
use core::pin::Pin;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::thread;

use sansws::buf::RecvBuffer;
use sansws::handshake::client::Request;
use sansws::proto::Connection;
use sansws::tokio::WebSocket;
use sansws::{CloseCode, Config, KeepAlive};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

use sansws_test::counting::{HELD, PEAK, held_beyond, peak_beyond};
use sansws_test::process::alone;
use sansws_test::wire::{self, PING, TEXT};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A peer is taken to be blocked when it makes no progress for so long.
const STUCK: Duration = Duration::from_millis(200);

#[test]
fn memory_is_bounded() {
    alone("bounded::memory_is_bounded", memory_is_bounded_alone);
}

fn memory_is_bounded_alone() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let each = |test: Pin<Box<dyn Future<Output = ()>>>| {
        runtime.block_on(async { timeout(LIMIT, test).await.unwrap() });
    };
    each(Box::pin(a_million_pings_from_a_peer_that_never_reads()));
    each(Box::pin(an_echo_to_a_peer_that_never_reads(false)));
    each(Box::pin(an_echo_to_a_peer_that_never_reads(true)));
    each(Box::pin(a_long_message_as_a_stream_of_bytes(false)));
    each(Box::pin(a_long_message_as_a_stream_of_bytes(true)));
    each(Box::pin(a_byte_stream_to_a_peer_that_never_reads()));
    each(Box::pin(sends_that_were_given_up()));
    each(Box::pin(connections_that_come_and_go()));
    a_million_pings_to_a_thread();
}

fn server(config: &Config, capacity: usize) -> (WebSocket<DuplexStream>, DuplexStream) {
    let (near, far) = duplex(capacity);
    (
        WebSocket::from_parts(sansws::Parts::new(
            near,
            Connection::server(config),
            RecvBuffer::new(),
        )),
        far,
    )
}

fn quiet() -> Config {
    Config::new().keep_alive(KeepAlive::Off)
}

/// Resident memory, in bytes.
fn resident() -> usize {
    sansws_test::system::resident(std::process::id()).unwrap()
}

/// What was held and resident at some moment.
struct Before {
    held: isize,
    resident: usize,
}

impl Before {
    fn now() -> Self {
        let held = HELD.load(Relaxed);
        PEAK.store(held, Relaxed);
        Self { held, resident: resident() }
    }

    /// At most so much was held at once in between, and the process has not grown by 4 MiB.
    #[track_caller]
    fn peak(&self, at_most: usize) {
        let peak = peak_beyond(self.held);
        assert!(peak <= at_most, "{peak} bytes were held at once");
        let grown = resident().saturating_sub(self.resident);
        assert!(grown < 4 * MIB, "the process has grown by {grown} bytes");
    }

    /// Not more than so much is held besides.
    #[track_caller]
    fn kept(&self, at_most: usize) {
        let kept = held_beyond(self.held);
        assert!(kept <= at_most, "{kept} bytes are still held");
    }
}

const MILLION: usize = 1_000_000;

/// The pongs that are owed are bounded, those being written and those behind them; reading goes
/// on, so that the peer's Close and messages arrive.
async fn a_million_pings_from_a_peer_that_never_reads() {
    const AT_ONCE: usize = 1000;
    // 16 by default, and the newest
    const PONGS: usize = 2 * (16 + 1);
    // it is full now and then, when the receiver gives way, and doubles its memory in growing
    let (ws, mut peer) = server(&quiet(), 16 * KIB);
    let (mut receiver, sender) = ws.split();
    let pings = wire::client(PING, &[b'p'; 8]).repeat(AT_ONCE);
    let before = Before::now();
    let receiving = tokio::spawn(async move { receiver.recv().await });
    for _ in 0..MILLION / AT_ONCE {
        peer.write_all(&pings).await.unwrap();
        assert!(sender.unsent() <= PONGS * 10, "{}", sender.unsent());
    }
    peer.write_all(&wire::client(TEXT, b"after all")).await.unwrap();
    assert_eq!(receiving.await.unwrap().unwrap(), Some("after all".into()));
    assert!(sender.unsent() > 16 * 10, "the peer has read something");
    before.peak(256 * KIB);
    drop((sender, peer));
    before.kept((64 + 16) * KIB); // one receive buffer of 64 KiB waits for the next connection
}

/// Backpressure reaches the peer long before it has offered a million messages.
async fn an_echo_to_a_peer_that_never_reads(split: bool) {
    const AT_ONCE: usize = 100;
    let before = Before::now();
    let (mut ws, mut peer) = server(&quiet(), 64 * KIB);
    let echoing = tokio::spawn(async move {
        if split {
            let (mut receiver, sender) = ws.split();
            while let Some(message) = receiver.recv().await.unwrap() {
                sender.send(message).await.unwrap();
            }
        } else {
            while let Some(message) = ws.recv().await.unwrap() {
                ws.feed(message).unwrap();
            }
        }
    });
    let messages = wire::client(TEXT, &[b'm'; 30]).repeat(AT_ONCE);
    let mut offered = 0;
    while timeout(STUCK, peer.write_all(&messages)).await.is_ok() {
        offered += AT_ONCE;
        assert!(offered < MILLION, "no backpressure");
    }
    assert!(offered > 1000, "{offered}");
    // What is unsent doubles its memory in growing, and the reads of a busy connection grow to 64
    // KiB. A socket in one piece reads ahead as much as it has unsent: the peer may wait for that
    // to read.
    let ahead = if split { 0 } else { MIB };
    before.peak(2 * MIB + 256 * KIB + (64 + 32) * KIB + ahead);
    echoing.abort();
    let _ = echoing.await;
    drop(peer);
    before.kept((64 + 16) * KIB); // one receive buffer of 64 KiB waits for the next connection
}

/// what a byte stream holds of a message of 32 MiB is the receive buffer, whether it is read
/// or not.
async fn a_long_message_as_a_stream_of_bytes(is_read: bool) {
    const LEN: usize = 32 * MIB;
    let message = [&[0x82, 0xff], &(LEN as u64).to_be_bytes()[..], &[0; 4]].concat();
    let piece = [7; 16 * KIB];
    let (ws, mut peer) = server(&quiet().max_message_len(LEN), 64 * KIB);
    let mut stream = ws.into_byte_stream();
    let before = Before::now();
    let sending = async {
        peer.write_all(&message).await.unwrap();
        let mut sent = 0;
        while sent < LEN && timeout(STUCK, peer.write_all(&piece)).await.is_ok() {
            sent += piece.len();
        }
        sent
    };
    let mut read = [0; 1000];
    if is_read {
        let reading = async {
            for _ in 0..LEN / read.len() {
                stream.read_exact(&mut read).await.unwrap();
            }
        };
        let (sent, ()) = tokio::join!(sending, reading);
        assert_eq!(sent, LEN);
    } else {
        let (sent, begun) = tokio::join!(sending, stream.read_exact(&mut read));
        begun.unwrap();
        assert!(sent < 256 * KIB, "{sent} bytes were taken in and not read");
    }
    // a busy receive buffer and the one that it grew out of, and the same for the pipe of the test
    before.peak((64 + 32) * KIB + (128 + 64) * KIB + 8 * KIB);
}

/// The same for one that writes.
async fn a_byte_stream_to_a_peer_that_never_reads() {
    let (ws, _peer) = server(&quiet().max_unsent(256 * KIB), 64 * KIB);
    let mut stream = ws.into_byte_stream();
    let before = Before::now();
    let piece = vec![7; 100 * KIB];
    while timeout(STUCK, stream.write_all(&piece)).await.is_ok() {}
    // what is unsent doubles its memory in growing
    before.peak((512 + 256) * KIB + (128 + 64) * KIB + piece.len());
}

/// A task for each message, each with little patience: those that gave up leave nothing behind,
/// though the peer never reads and nobody ever wakes them.
async fn sends_that_were_given_up() {
    let (ws, _peer) = server(&quiet().max_unsent(10), 10);
    let (_receiver, sender) = ws.split();
    sender.try_send(&[0; 100]).unwrap();
    let before = Before::now();
    for _ in 0..5000 {
        let sending = tokio::spawn({
            let sender = sender.clone();
            async move { sender.send("never taken").await }
        });
        tokio::task::yield_now().await;
        sending.abort();
        assert!(sending.await.unwrap_err().is_cancelled());
    }
    before.kept(64 * KIB);
}

/// Connections that are opened, used and closed well, or dropped, from both ends.
async fn connections_that_come_and_go() {
    let request = Request::new("ws://localhost/").unwrap();
    let mut before = None;
    for number in 0..5200 {
        if number == 200 {
            before = Some(Before::now());
        }
        let (near, far) = duplex(4 * KIB);
        let serving = tokio::spawn(async move {
            let ws = sansws::tokio::accept(near).await.unwrap();
            let (mut receiver, sender) = ws.split();
            while let Ok(Some(message)) = receiver.recv().await {
                if sender.send(message).await.is_err() {
                    break; // the peer was dropped
                }
            }
        });
        let mut ws = sansws::tokio::client(far, &request, &Config::new()).await.unwrap();
        ws.send("hello").await.unwrap();
        assert_eq!(ws.recv().await.unwrap(), Some("hello".into()));
        match number % 3 {
            0 => ws.close(CloseCode::NORMAL, "").await.unwrap(),
            1 => {}
            _ => {
                // in the middle of a frame
                let broken = async { ws.send(vec![0; 5 * KIB]).await };
                let _ = timeout(Duration::ZERO, broken).await;
            }
        }
        drop(ws);
        serving.await.unwrap();
    }
    let before = before.unwrap();
    before.peak(MIB);
    // A few more buffers may wait for the next connection than did at first. What is left behind by
    // each of 5000 connections would be seen from 13 bytes on.
    before.kept(64 * KIB);
}

/// The pongs that are owed are bounded in the blocking halves too.
fn a_million_pings_to_a_thread() {
    const AT_ONCE: usize = 1000;
    let (near, mut peer) = UnixStream::pair().unwrap();
    peer.set_write_timeout(Some(LIMIT)).unwrap();
    let conn = Connection::server(&quiet());
    let ws =
        sansws::blocking::WebSocket::from_parts(sansws::Parts::new(near, conn, RecvBuffer::new()));
    let (mut receiver, sender) = ws.split();
    let pings = wire::client(PING, &[b'p'; 8]).repeat(AT_ONCE);
    let before = Before::now();
    let receiving = thread::spawn(move || receiver.recv());
    for _ in 0..MILLION / AT_ONCE {
        peer.write_all(&pings).unwrap();
        assert!(sender.unsent() <= 2 * 17 * 10, "{}", sender.unsent());
    }
    peer.write_all(&wire::client(TEXT, b"after all")).unwrap();
    assert_eq!(receiving.join().unwrap().unwrap(), Some("after all".into()));
    before.peak(256 * KIB);
}

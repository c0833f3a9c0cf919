//! Who flushes, and with how many writes.

use bytes::Bytes;
use futures_util::FutureExt;
use sansws::bytes;
use sansws::{CloseCode, Config, Event, KeepAlive, PreparedMessage};
use std::io::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::tokio::faulty::{Fault, Faulty};
use crate::tokio::peer::{Peer, server_on, within};
use sansws_test::wire;

fn quiet() -> Config {
    Config::new().keep_alive(KeepAlive::Off)
}

/// A transport that counts, and the other end of it.
fn counted(vectored: bool) -> (Faulty<DuplexStream>, Peer<DuplexStream>) {
    let (near, far) = duplex(1 << 20);
    (Faulty::new(near).vectored(vectored), Peer::new(far))
}

/// A burst of 32 messages of 16 bytes.
fn burst() -> (Vec<u8>, Vec<u8>) {
    let payload = |number: u8| [number; 16];
    let sent = (0..32).flat_map(|number| wire::client(wire::BINARY, &payload(number)));
    let answer = (0..32).flat_map(|number| wire::server(wire::BINARY, &payload(number)));
    (sent.collect(), answer.collect())
}

/// Design §5: one read and one write for 32 messages, through `recv` and `feed`.
#[tokio::test]
async fn a_burst_is_answered_with_one_write() {
    for vectored in [false, true] {
        let (io, mut peer) = counted(vectored);
        let log = io.log.clone();
        let (sent, answer) = burst();
        peer.send(&sent).await;
        let mut ws = server_on(io, &quiet());
        for _ in 0..32 {
            let message = ws.recv().now_or_never().unwrap().unwrap().unwrap();
            ws.feed(message).unwrap();
        }
        assert_eq!((log.reads(), log.writes()), (1, 0));
        assert!(ws.recv().now_or_never().is_none());
        assert_eq!((log.writes(), log.written()), (1, answer));
    }
}

/// The same through `next_event`.
#[tokio::test]
async fn a_burst_of_events_is_answered_with_one_write() {
    for vectored in [false, true] {
        let (io, mut peer) = counted(vectored);
        let log = io.log.clone();
        let (sent, answer) = burst();
        peer.send(&sent).await;
        let mut ws = server_on(io, &quiet());
        for _ in 0..32 {
            let (event, mut out) = ws.next_event().now_or_never().unwrap().unwrap().unwrap();
            let Event::Binary(payload) = event else { panic!("{event:?}") };
            out.feed(&*payload).unwrap();
        }
        assert_eq!((log.reads(), log.writes()), (1, 0));
        assert!(ws.next_event().now_or_never().is_none());
        assert_eq!((log.writes(), log.written()), (1, answer));
    }
}

/// Messages that are queued by reference leave in the same vectored write as the small ones.
#[tokio::test]
async fn large_and_small_messages_leave_in_one_vectored_write() {
    let (io, _peer) = counted(true);
    let log = io.log.clone();
    let mut ws = server_on(io, &quiet());
    let large = Bytes::from(wire::pattern(20_000));
    let prepared = PreparedMessage::new(wire::pattern(3000)).unwrap();
    ws.feed("small").unwrap();
    ws.feed(large.clone()).unwrap();
    ws.feed(&prepared).unwrap();
    ws.feed("small again").unwrap();
    within(ws.flush()).await.unwrap();
    assert_eq!(log.writes(), 1);
    let lengths: Vec<_> = wire::frames(&log.written()).iter().map(|f| f.payload.len()).collect();
    assert_eq!(lengths, [5, 20_000, 3000, 11]);
}

#[tokio::test]
async fn feeding_writes_nothing_by_itself() {
    let (io, _peer) = counted(true);
    let log = io.log.clone();
    let mut ws = server_on(io, &quiet());
    ws.feed("one").unwrap();
    ws.feed(&PreparedMessage::new("two").unwrap()).unwrap();
    ws.start_close(CloseCode::NORMAL, "").unwrap();
    tokio::task::yield_now().await;
    assert_eq!(log.writes(), 0);
    assert_eq!(ws.unsent(), 5 + 5 + 4);
    within(ws.flush()).await.unwrap();
    assert_eq!((log.writes(), wire::frames(&log.written()).len()), (1, 3));
}

#[tokio::test]
async fn sending_writes_at_once() {
    let (io, mut peer) = counted(false);
    let log = io.log.clone();
    let mut ws = server_on(io, &quiet());
    ws.feed("fed").unwrap();
    within(ws.send("sent")).await.unwrap();
    assert_eq!((log.writes(), ws.unsent()), (1, 0));
    assert!(log.flushes() > 0);
    assert_eq!(peer.frame().await.unwrap().text(), "fed");
    assert_eq!(peer.frame().await.unwrap().text(), "sent");
}

/// K-1, K-4: a pong needs no call of its own, and neither does the reply to a Close.
#[tokio::test]
async fn replies_leave_while_recv_waits() {
    let (io, mut peer) = counted(false);
    let log = io.log.clone();
    let mut ws = server_on(io, &quiet());
    peer.send(&wire::client(wire::PING, b"one")).await;
    peer.send(&wire::client(wire::PING, b"two")).await;
    assert!(ws.recv().now_or_never().is_none());
    assert_eq!(log.writes(), 1, "pongs that are owed together leave together");
    for payload in ["one", "two"] {
        let pong = peer.frame().await.unwrap();
        assert_eq!((pong.opcode, pong.text()), (wire::PONG, payload));
    }
    // in the middle of a message as well
    peer.send(&wire::encode(false, wire::TEXT, Some([5; 4]), b"begun")).await;
    peer.send(&wire::client(wire::PING, b"three")).await;
    assert!(ws.recv().now_or_never().is_none());
    assert_eq!(peer.frame().await.unwrap().text(), "three");

    peer.send(&wire::client(wire::CLOSE, &wire::close_payload(1001, "leaving"))).await;
    assert!(ws.recv().now_or_never().is_none());
    assert_eq!(peer.frame().await.unwrap().payload, wire::close_payload(1001, ""));
    assert_eq!(peer.frame().await, None, "the server shuts its direction down");
    peer.io.shutdown().await.unwrap();
    assert_eq!(within(ws.recv()).await.unwrap(), None);
}

/// K-1: with `next_event` the pong leaves with whatever runs next.
#[tokio::test]
async fn a_pong_leaves_with_the_answer_that_is_sent_next() {
    let (io, mut peer) = counted(false);
    let log = io.log.clone();
    let mut ws = server_on(io, &quiet());
    peer.send(&wire::client(wire::PING, b"ping")).await;
    let (event, mut out) = within(ws.next_event()).await.unwrap().unwrap();
    assert!(matches!(event, Event::Ping(b"ping")));
    assert_eq!(log.writes(), 0);
    within(out.send("text")).await.unwrap();
    assert_eq!(log.writes(), 1);
    assert_eq!(peer.frame().await.unwrap().opcode, wire::PONG);
    assert_eq!(peer.frame().await.unwrap().text(), "text");
}

/// A flush that is under way when the connection ends well is over with it, on a transport that
/// never gets rid of what it keeps.
#[test]
fn a_flush_ends_with_the_connection() {
    // in a thread: a task that turns in circles would never come to a time-out
    let (done, finished) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for byte_stream in [false, true] {
                let (near, far) = duplex(1 << 20);
                let mut peer = Peer::new(far);
                let mut ws = server_on(Faulty::new(near).never_flushed(), &quiet());
                assert!(ws.send("text").now_or_never().is_none());
                peer.send(&wire::client(wire::CLOSE, b"")).await;
                peer.io.shutdown().await.unwrap();
                assert_eq!(within(ws.recv()).await.unwrap(), None);
                if byte_stream {
                    within(ws.into_byte_stream().flush()).await.unwrap();
                } else {
                    within(ws.flush()).await.unwrap();
                }
            }
        });
        done.send(()).unwrap();
    });
    finished.recv_timeout(std::time::Duration::from_secs(30)).unwrap();
}

/// A pong behind the message cannot leave. The message has left, and that is what `send` is asked.
#[tokio::test]
async fn a_message_that_has_left_was_sent() {
    let (near, far) = duplex(64);
    // 38 and 26 bytes until the pipe is full, and the other 38 of the message
    let io = Faulty::new(near).step(38).write_fault(4, Fault::Error(ErrorKind::BrokenPipe));
    let log = io.log.clone();
    let mut ws = server_on(io, &quiet());
    let mut peer = Peer::new(far);
    peer.send_frame(wire::PING, b"p").await;
    let mut piece = [0; 64];
    let (sent, read) =
        within(async { tokio::join!(ws.send(&[0; 100]), peer.io.read_exact(&mut piece)) }).await;
    read.unwrap();
    assert_eq!(log.written().len(), 102);
    sent.unwrap();
    assert!(ws.flush().await.unwrap_err().is_disconnect());
    assert!(ws.send("another").await.unwrap_err().is_disconnect());
}

/// A flush counts on a pong that then gives way to a shorter one. Everything is written, and the
/// connection is closed in good order, before it looks again.
#[tokio::test]
async fn a_flush_is_done_although_a_pong_gave_way_before_the_end() {
    let (near, far) = duplex(64);
    let (mut receiver, sender) = server_on(near, &quiet().max_pending_pongs(1)).split();
    let mut peer = Peer::new(far);
    sender.feed(&[0; 100]).unwrap();
    let long = [1; 100];
    for payload in [&b"first"[..], &long] {
        let ping = peer.send_frame(wire::PING, payload);
        let (_, event) = within(async { tokio::join!(ping, receiver.next_event()) }).await;
        assert!(matches!(event.unwrap(), Some(Event::Ping(_))));
    }
    let mut flushing = std::pin::pin!(sender.flush());
    assert!(flushing.as_mut().now_or_never().is_none(), "it waits for the pong of 100 bytes, too");
    peer.send_frame(wire::PING, b"last").await;
    assert!(matches!(within(receiver.next_event()).await.unwrap(), Some(Event::Ping(_))));
    peer.send_frame(wire::CLOSE, wire::close_payload(1000, "")).await;
    let reading = async move { while peer.frame().await.is_some() {} };
    let (_, end) = within(async { tokio::join!(reading, receiver.recv()) }).await;
    assert_eq!(end.unwrap(), None);
    flushing.await.unwrap();
}

//! How halves come together again, and how they go.

use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FusedStream;
use sansws::{Config, Message};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, duplex};
use tokio::task::JoinHandle;

use crate::tokio::split::peer::{peer_on, piped, server, tcp_pair, unix_pair, within};
use sansws_test::wire::{BINARY, CLOSE, Frame, PING, PONG, TEXT, close_payload};

/// Apart and together again, in the middle of messages of both directions.
#[tokio::test]
async fn reunited_halves_have_lost_nothing() {
    let (mut ws, mut peer) = piped(64, &Config::new());
    ws.feed("fed before").unwrap();
    let whole = sansws_test::wire::client(TEXT, b"in two parts");
    let (first, second) = whole.split_at(9);
    tokio::io::AsyncWriteExt::write_all(&mut peer.io, first).await.unwrap();
    for round in 0..3 {
        let (mut receiver, sender) = ws.split();
        // takes in what there is
        assert!(futures_util::FutureExt::now_or_never(receiver.recv()).is_none());
        sender.try_send(&[round; 300]).unwrap();
        sender.feed("fed").unwrap();
        assert!(sender.unsent() > 200);
        ws = receiver.reunite(sender).unwrap();
    }
    let reading = tokio::spawn(async move {
        peer.expect(Frame::new(TEXT, "fed before")).await;
        for round in 0..3 {
            peer.expect(Frame::new(BINARY, [round; 300])).await;
            peer.expect(Frame::new(TEXT, "fed")).await;
        }
        peer
    });
    within(ws.flush()).await.unwrap();
    let mut peer = within(reading).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut peer.io, second).await.unwrap();
    assert_eq!(within(ws.recv()).await.unwrap(), Some(Message::from("in two parts")));
    assert_eq!(ws.unsent(), 0);
}

#[tokio::test]
async fn sockets_of_the_system_reunite_too() {
    let (near, far) = tcp_pair().await;
    let (receiver, sender) = server(near, &Config::new()).into_split();
    sender.feed("tcp").unwrap();
    within(receiver.reunite(sender).unwrap().flush()).await.unwrap();
    peer_on(far).expect(Frame::new(TEXT, "tcp")).await;

    let (near, far) = unix_pair();
    let (receiver, sender) = server(near, &Config::new()).into_split();
    sender.feed("unix").unwrap();
    within(receiver.reunite(sender).unwrap().flush()).await.unwrap();
    peer_on(far).expect(Frame::new(TEXT, "unix")).await;
}

/// Halves of two sockets, and senders with clones, are given back as they were.
#[tokio::test]
async fn what_does_not_belong_together_is_given_back() {
    let (one, mut first) = piped(1000, &Config::new());
    let (other, mut second) = piped(1000, &Config::new());
    let (one_rx, one_tx) = one.split();
    let (other_rx, other_tx) = other.split();
    let error = one_rx.reunite(other_tx).unwrap_err();
    assert!(error.to_string().contains("not of one socket"), "{error}");
    let (one_rx, other_tx) = error.into_halves();

    let clone = one_tx.clone();
    let (one_rx, one_tx) = one_rx.reunite(one_tx).unwrap_err().into_halves();
    clone.send("clone").await.unwrap();
    drop(clone);

    other_tx.send("other").await.unwrap();
    second.expect(Frame::new(TEXT, "other")).await;
    first.expect(Frame::new(TEXT, "clone")).await;
    for (receiver, sender, mut peer) in [(one_rx, one_tx, first), (other_rx, other_tx, second)] {
        let mut ws = receiver.reunite(sender).unwrap();
        peer.send_frame(PING, "p").await;
        peer.send_frame(TEXT, "t").await;
        assert_eq!(ws.recv().await.unwrap(), Some(Message::from("t")));
        ws.flush().await.unwrap();
        peer.expect(Frame::new(PONG, "p")).await;
    }
}

/// A stream that is counted.
struct Counted<S>(S, #[allow(dead_code)] Arc<()>);

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// The stream knows who waits for it, and those have the stream: that must not keep it alive.
#[tokio::test]
async fn the_stream_goes_with_the_last_half_though_a_write_is_blocked() {
    for sender_first in [true, false] {
        let (near, far) = duplex(16);
        let count = Arc::new(());
        let ws = server(Counted(near, Arc::clone(&count)), &Config::new().max_unsent(10));
        let (mut receiver, sender) = ws.split();
        let mut tasks: Vec<JoinHandle<()>> = Vec::new();
        for _ in 0..3 {
            let sender = sender.clone();
            tasks.push(tokio::spawn(async move { sender.send(&[0; 100]).await.unwrap() }));
        }
        // The receiver has a ping to answer: it is in line as well.
        let mut peer = peer_on(far);
        peer.send_frame(PING, "p").await;
        tokio::task::yield_now().await;
        poll_fn(|cx| {
            assert!(Pin::new(&mut receiver).poll_next_unpin(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        assert!(sender.unsent() > 80);
        assert_eq!(Arc::strong_count(&count), 2);
        for task in tasks {
            task.abort();
            let _ = within(task).await;
        }
        if sender_first {
            drop(sender);
            assert_eq!(Arc::strong_count(&count), 2);
            drop(receiver);
        } else {
            drop(receiver);
            assert_eq!(Arc::strong_count(&count), 2);
            drop(sender);
        }
        assert_eq!(Arc::strong_count(&count), 1, "the stream is still there");
        let mut rest = Vec::new();
        within(peer.io.read_to_end(&mut rest)).await.unwrap();
        assert_eq!(rest.len(), 16, "what the pipe held, and then its end");
    }
}

/// The same where tokio keeps the list of those who wait.
#[tokio::test]
async fn a_socket_goes_with_the_last_half_though_a_write_is_blocked() {
    let (near, mut far) = tcp_pair().await;
    let (receiver, sender) = server(near, &Config::new()).into_split();
    let blocked = tokio::spawn({
        let sender = sender.clone();
        async move { sender.send(vec![0; 32 << 20]).await }
    });
    while sender.unsent() == 0 {
        tokio::task::yield_now().await;
    }
    drop((receiver, sender));
    blocked.abort();
    assert!(within(blocked).await.unwrap_err().is_cancelled());
    let read = within(far.read_to_end(&mut Vec::new())).await.unwrap();
    assert!(read < 32 << 20);
}

#[tokio::test]
async fn the_stream_of_messages_is_fused() {
    let (ws, mut peer) = piped(1000, &Config::new());
    let (mut receiver, sender) = ws.split();
    peer.send_frame(TEXT, "one").await;
    peer.send_frame(PING, "not a message").await;
    peer.send_frame(BINARY, "two").await;
    peer.send_frame(CLOSE, close_payload(1000, "")).await;
    let closing = tokio::spawn(async move {
        peer.expect(Frame::new(PONG, "not a message")).await;
        peer.expect(Frame::new(CLOSE, close_payload(1000, ""))).await;
    });
    assert!(!receiver.is_terminated());
    let messages: Vec<_> = within(receiver.by_ref().map(Result::unwrap).collect()).await;
    assert_eq!(messages, [Message::from("one"), Message::from(&b"two"[..])]);
    assert!(receiver.is_terminated());
    assert!(receiver.next().await.is_none());
    within(closing).await.unwrap();
    drop(sender);

    let (ws, peer) = piped(1000, &Config::new());
    let (mut receiver, _sender) = ws.split();
    drop(peer);
    assert!(within(receiver.next()).await.unwrap().unwrap_err().is_disconnect());
    assert!(receiver.is_terminated() && receiver.next().await.is_none());
}

/// Both halves know the connection, and go on knowing it.
#[tokio::test]
async fn both_halves_can_be_asked() {
    use sansws::proto::State;

    let (ws, mut peer) = piped(4096, &Config::new());
    let (mut receiver, sender) = ws.split();
    assert_eq!((receiver.state(), sender.state()), (State::Open, State::Open));
    assert_eq!((receiver.round_trip(), sender.round_trip()), (None, None));
    #[cfg(feature = "deflate")]
    assert_eq!(receiver.deflate(), None);
    peer.send_frame(CLOSE, &close_payload(1000, "")).await;
    within(receiver.recv()).await.ok();
    assert_ne!((receiver.state(), sender.state()), (State::Open, State::Open));
}

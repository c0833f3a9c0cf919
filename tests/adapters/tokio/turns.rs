//! What a task may do with a connection in one turn: others have theirs in time, whatever a peer
//! sends.
//!
//! Work is counted and not timed: by how much of it is done within one poll of the task that does
//! it.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use futures_util::StreamExt;
use sansws::Config;
use sansws::tokio::WebSocket;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::tokio::peer::{server_on, within};
use sansws_test::wire;

/// The most that `work` counts in one poll of `future`.
async fn most_in_a_turn<F: Future>(work: &Cell<usize>, future: F) -> (usize, F::Output) {
    let mut future = pin!(future);
    let mut most = 0;
    let output = std::future::poll_fn(|cx| {
        let before = work.get();
        let polled = future.as_mut().poll(cx);
        most = most.max(work.get() - before);
        polled
    })
    .await;
    (most, output)
}

/// A socket in front of so many bytes, all of them there at once.
async fn full_of(bytes: &[u8]) -> (WebSocket<DuplexStream>, DuplexStream) {
    let (near, mut far) = duplex(bytes.len());
    far.write_all(bytes).await.unwrap();
    (server_on(near, &Config::new()), far)
}

/// Empty messages, and control frames, which nobody sees.
#[tokio::test]
async fn tiny_frames() {
    const FRAMES: usize = 100_000;
    const MOST: usize = 2100;
    for opcode in [wire::BINARY, wire::TEXT, wire::PONG] {
        let mut bytes = wire::client(opcode, b"").repeat(FRAMES);
        bytes.extend(wire::client(wire::TEXT, b"last"));
        for way in 0..4 {
            let (mut ws, far) = full_of(&bytes).await;
            let count = Cell::new(0);
            let work = async {
                loop {
                    let last = match way {
                        0 => ws.recv().await.unwrap().unwrap().as_bytes() == b"last",
                        1 => ws.next().await.unwrap().unwrap().as_bytes() == b"last",
                        2 => {
                            let (event, _) = ws.next_event().await.unwrap().unwrap();
                            event.into_message().is_some_and(|it| it.as_bytes() == b"last")
                        }
                        _ => match ws.recv().now_or_never_in_a_turn().await {
                            Some(message) => message.unwrap().unwrap().as_bytes() == b"last",
                            None => false,
                        },
                    };
                    count.set(count.get() + 1);
                    if last {
                        break;
                    }
                }
            };
            let (most, ()) = within(most_in_a_turn(&count, work)).await;
            assert!(most <= MOST, "{opcode} {way}: {most} in a turn");
            drop(far);
        }
    }
}

trait InATurn: Future + Sized {
    /// The future polled once, and a turn for others if it is not ready.
    fn now_or_never_in_a_turn(self) -> impl Future<Output = Option<Self::Output>> {
        async {
            let mut future = pin!(self);
            let polled = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
            match polled {
                Poll::Ready(output) => Some(output),
                Poll::Pending => {
                    tokio::task::yield_now().await;
                    None
                }
            }
        }
    }
}

impl<F: Future> InATurn for F {}

/// Control frames alone never come back to the caller: the other task has to run meanwhile.
#[tokio::test]
async fn a_flood_of_pongs_leaves_time_to_others() {
    let bytes = wire::client(wire::PONG, b"").repeat(200_000);
    let (mut ws, far) = full_of(&bytes).await;
    let done = Rc::new(Cell::new(false));
    let turns = Rc::new(Cell::new(0));
    let local = tokio::task::LocalSet::new();
    let (over, count) = (Rc::clone(&done), Rc::clone(&turns));
    local.spawn_local(async move {
        while !over.get() {
            count.set(count.get() + 1);
            tokio::task::yield_now().await;
        }
    });
    drop(far);
    local
        .run_until(within(async {
            ws.recv().await.unwrap_err();
            done.set(true);
        }))
        .await;
    assert!(turns.get() > 50, "{} turns", turns.get());
}

/// Whoever asks again after the end, without looking at it.
#[tokio::test]
async fn results_that_are_there_at_once() {
    let (mut ws, far) = full_of(b"\x88").await;
    drop(far);
    let count = Cell::new(0);
    let work = async {
        for _ in 0..10_000 {
            ws.recv().await.unwrap_err();
            assert!(ws.next_event().await.is_err());
            count.set(count.get() + 1);
        }
    };
    let (most, ()) = within(most_in_a_turn(&count, work)).await;
    assert!(most <= 130, "{most} errors in a turn");
}

/// A stream of bytes in messages of one byte.
#[tokio::test]
async fn a_stream_of_bytes() {
    let bytes = wire::client(wire::BINARY, b"x").repeat(100_000);
    let (ws, far) = full_of(&bytes).await;
    let mut stream = ws.into_byte_stream();
    drop(far);
    let count = Cell::new(0);
    let work = async {
        let mut buf = vec![0; 1 << 20];
        loop {
            match stream.read(&mut buf).await {
                Ok(0) | Err(_) => break,
                Ok(n) => count.set(count.get() + n),
            }
        }
    };
    let (most, ()) = within(most_in_a_turn(&count, work)).await;
    assert_eq!(count.get(), 100_000);
    assert!(most <= 25_000, "{most} messages in a turn");
}

/// Sixteen megabytes of zeros are sixteen kilobytes on the wire.
#[cfg(feature = "deflate")]
#[tokio::test]
async fn compressed_zeros() {
    use bytes::Buf;
    use sansws::buf::{RecvBuffer, SendBuffer};
    use sansws::bytes;
    use sansws::deflate::Deflate;
    use sansws::handshake::client::{Handshake, Request, Response};

    const LEN: usize = 16 << 20;
    let config = Config::new().deflate(Deflate::new());
    let (near, mut far) = duplex(1 << 20);
    let their_config = config.clone();
    let accepting =
        tokio::spawn(async move { sansws::tokio::accept_with(near, &their_config).await });
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    let request = Request::new("ws://server.example.com/").unwrap();
    let mut handshake = Handshake::start(&request, [7; 16], &config, &mut tx).unwrap();
    far.write_all(&tx.copy_to_bytes(tx.remaining())).await.unwrap();
    let response = loop {
        if let Some(response) = handshake.read_response(&mut rx).unwrap() {
            break response;
        }
        let mut buf = [0; 1024];
        let n = far.read(&mut buf).await.unwrap();
        rx.extend_from_slice(&buf[..n]);
    };
    let Response::Accepted(accepted) = response else { panic!("refused") };
    let mut client = accepted.into_connection([9; 32]);
    let mut ws = accepting.await.unwrap().unwrap();
    client.feed(&mut tx, vec![0_u8; LEN]).unwrap();
    assert!(tx.remaining() < 200_000);
    far.write_all(&tx.copy_to_bytes(tx.remaining())).await.unwrap();

    let polls = Cell::new(0);
    let mut receiving = pin!(ws.recv());
    let message = std::future::poll_fn(|cx| {
        polls.set(polls.get() + 1);
        receiving.as_mut().poll(cx)
    });
    let message = within(message).await.unwrap().unwrap();
    assert_eq!(message.len(), LEN);
    // half a megabyte at a time, a little more or less
    assert!(polls.get() >= 30, "in {} turns", polls.get());
}

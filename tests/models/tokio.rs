//! What tasks share of a socket: the halves of one that was split, and the two directions of a byte
//! stream.
#![allow(clippy::unwrap_used)]

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use std::io;

use shuttle::future::block_on;
use shuttle::thread;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Locked, Receiver, Sender, WebSocket};
use crate::buf::RecvBuffer;
use crate::models::{
    CLOSING, PING, Wire, check_close, check_halves, check_order, explore, was_sent,
};
use crate::proto::Connection;
use crate::sync::Mutex;
use crate::wire::CloseCode;
use crate::{Config, Parts};

struct Pipe(Arc<Wire>);

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut ends = self.0.lock();
        if ends.unread.is_empty() && !ends.ended {
            ends.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = ends.unread.len().min(buf.remaining());
        buf.put_slice(&ends.unread.drain(..n).collect::<Vec<_>>());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut ends = self.0.lock();
        if ends.room == 0 {
            ends.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = ends.room.min(bytes.len());
        ends.room -= n;
        ends.written.extend_from_slice(&bytes[..n]);
        drop(ends);
        self.0.notify();
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn server(wire: &Arc<Wire>) -> WebSocket<Pipe> {
    // there is room for one message and a half
    let connection = Connection::server(&Config::new().max_unsent(6));
    WebSocket::from_parts(Parts::new(Pipe(Arc::clone(wire)), connection, RecvBuffer::new()))
}

/// Receives to the end, in a thread.
fn receive(mut receiver: Receiver<Locked<Pipe>>) -> thread::JoinHandle<()> {
    thread::spawn(move || block_on(async { while receiver.recv().await.unwrap().is_some() {} }))
}

/// Sends messages in a thread, as long as the connection is open. Returns how many.
fn send(sender: Sender<Locked<Pipe>>, number: u8, count: u8) -> thread::JoinHandle<u8> {
    thread::spawn(move || {
        (0..count).find(|n| !was_sent(block_on(sender.send(&[number, *n])))).unwrap_or(count)
    })
}

/// Whoever waits for room is told, whichever task it was that wrote.
#[test]
fn halves() {
    explore(|| {
        let wire = Arc::new(Wire::default());
        let (receiver, sender) = server(&wire).split();
        let sending = [send(sender.clone(), 1, 2), send(sender, 2, 2)];
        check_halves(&wire, sending, receive(receiver));
    });
}

/// A task gives up its `send`, perhaps in the middle of a frame, while another one sends without
/// waiting. What was taken leaves all the same: the receiving half writes it.
#[test]
fn a_send_that_is_given_up() {
    explore(|| {
        let wire = Arc::new(Wire::default());
        let (receiver, sender) = server(&wire).split();
        let receiving = receive(receiver);
        let (first, second) = (sender.clone(), sender);
        let gives_up = thread::spawn(move || {
            let mut send = pin!(first.send(&[1, 0]));
            block_on(poll_fn(|cx| Poll::Ready(drop(send.as_mut().poll(cx)))));
        });
        let hurried = thread::spawn(move || second.try_send(&[2, 0]).is_ok());
        for _ in 0..4 {
            wire.grant(2);
        }
        let sent = hurried.join().unwrap();
        gives_up.join().unwrap();
        assert!(sent, "there is room behind one message");
        wire.wait_for(|frames| frames.len() == 2);
        wire.send(&CLOSING, true);
        wire.grant(100);
        receiving.join().unwrap();
        let messages = wire.messages_before_close();
        check_order(&messages, 1, 1);
        check_order(&messages, 2, 1);
    });
}

#[test]
fn a_close_beside_a_send() {
    explore(|| {
        let wire = Arc::new(Wire::default());
        let (receiver, sender) = server(&wire).split();
        let sending = send(sender.clone(), 1, 2);
        let closing = thread::spawn(move || block_on(sender.close(CloseCode::NORMAL, "")).unwrap());
        check_close(&wire, sending, closing, receive(receiver));
    });
}

/// A task reads a byte stream while another one writes to it: all bytes arrive both ways, and the
/// peer's ping is answered by whoever comes. The stream is in a mutex, as `tokio::io::split` has
/// it.
#[test]
fn two_directions_of_a_byte_stream() {
    explore(|| {
        let wire = Arc::new(Wire::default());
        let stream = Arc::new(Mutex::new(server(&wire).into_byte_stream()));
        let other = Arc::clone(&stream);
        let reading = thread::spawn(move || {
            let mut got = Vec::new();
            let (mut piece, mut ended) = ([0; 2], false);
            while !ended {
                block_on(poll_fn(|cx| {
                    let mut buf = ReadBuf::new(&mut piece);
                    let polled = Pin::new(&mut *stream.lock().unwrap()).poll_read(cx, &mut buf);
                    ended = buf.filled().is_empty();
                    got.extend_from_slice(buf.filled());
                    polled.map(Result::unwrap)
                }));
            }
            got
        });
        let writing = thread::spawn(move || {
            for n in 0..3 {
                let write = |cx: &mut Context<'_>| {
                    Pin::new(&mut *other.lock().unwrap()).poll_write(cx, &[1, n])
                };
                assert_eq!(block_on(poll_fn(write)).unwrap(), 2);
            }
            let flush = |cx: &mut Context<'_>| Pin::new(&mut *other.lock().unwrap()).poll_flush(cx);
            block_on(poll_fn(flush)).unwrap();
        });
        wire.send(&[0x82, 0x83, 0, 0, 0, 0, b'a', b'b', b'c'], false);
        wire.send(&PING, false);
        for _ in 0..5 {
            wire.grant(3); // 3 messages of 4 bytes, and the pong
        }
        wire.wait_for(|frames| frames.len() == 4);
        writing.join().unwrap();
        wire.send(&CLOSING, true);
        wire.grant(100);
        assert_eq!(reading.join().unwrap(), b"abc");
        check_order(&wire.messages_before_close(), 1, 3);
    });
}

//! A server's socket, a raw client on the other end of its stream, and streams of every kind.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;

use sansws::buf::RecvBuffer;
use sansws::proto::{Config, Connection};
use sansws::tokio::WebSocket;
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::wire::{Frame, Parser, masked};

/// How long anything in these tests may take. With a paused clock it is no time at all.
const LIMIT: Duration = Duration::from_secs(60);

/// The result of `future`; the test fails if there is none in time.
#[track_caller]
pub fn soon<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = core::panic::Location::caller();
    async move {
        let Ok(output) = tokio::time::timeout(LIMIT, future).await else {
            panic!("no end within {LIMIT:?}: {caller}")
        };
        output
    }
}

/// A server's socket on `io`, the opening handshake done.
pub fn server<S>(io: S, config: &Config) -> WebSocket<S> {
    WebSocket::from_parts(io, Connection::server(config), RecvBuffer::new())
}

/// A client's socket on `io`, the opening handshake done.
pub fn client<S>(io: S, config: &Config) -> WebSocket<S> {
    WebSocket::from_parts(io, Connection::client(config, [7; 32]), RecvBuffer::new())
}

/// A server's socket on a pipe that holds `capacity` bytes, and its client.
pub fn piped(capacity: usize, config: &Config) -> (WebSocket<DuplexStream>, Peer<DuplexStream>) {
    let (near, far) = duplex(capacity);
    (server(near, config), Peer::new(far))
}

pub async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, far) =
        tokio::join!(listener.accept(), TcpStream::connect(listener.local_addr().unwrap()));
    (near.unwrap().0, far.unwrap())
}

pub fn unix_pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

/// A client that reads and writes frames and does nothing by itself.
#[derive(Debug)]
pub struct Peer<S> {
    pub io: S,
    pub parser: Parser,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub fn new(io: S) -> Self {
        Self { io, parser: Parser::default() }
    }

    pub async fn send(&mut self, first: u8, payload: impl AsRef<[u8]>) {
        soon(self.io.write_all(&masked(first, payload.as_ref()))).await.unwrap();
    }

    /// The next frame; `None` at the end of the stream, where no part of one may be left.
    pub async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.parser.next() {
                return Some(frame);
            }
            let mut bytes = [0; 4096];
            let n = soon(self.io.read(&mut bytes)).await.unwrap();
            if n == 0 {
                assert_eq!(self.parser.rest(), b"", "the last frame is torn");
                return None;
            }
            self.parser.feed(&bytes[..n]);
        }
    }

    /// The next frame, which has to come.
    #[track_caller]
    pub fn expect(&mut self, frame: Frame) -> impl Future<Output = ()> {
        let caller = core::panic::Location::caller();
        async move { assert_eq!(self.frame().await, Some(frame), "{caller}") }
    }
}

/// A stream that moves one byte at a time, each only on the third try.
#[derive(Debug)]
pub struct Trickle<S> {
    inner: S,
    /// Tries since the last byte, in each direction.
    tries: [u8; 2],
}

impl<S> Trickle<S> {
    pub fn new(inner: S) -> Self {
        Self { inner, tries: [0; 2] }
    }

    fn poll_hesitate(&mut self, direction: usize, cx: &Context<'_>) -> Poll<()> {
        let tries = &mut self.tries[direction];
        *tries = (*tries + 1) % 3;
        if *tries == 0 {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Trickle<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_hesitate(0, cx));
        let mut one = [0];
        let mut byte = ReadBuf::new(&mut one);
        let result = ready!(Pin::new(&mut self.inner).poll_read(cx, &mut byte));
        buf.put_slice(byte.filled());
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Trickle<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_hesitate(1, cx));
        Pin::new(&mut self.inner).poll_write(cx, &buf[..buf.len().min(1)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

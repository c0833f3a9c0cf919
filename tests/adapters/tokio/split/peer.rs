//! A server's socket, a raw client on the other end of its stream, and streams of every kind.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;

use sansws::Config;
use sansws::buf::RecvBuffer;
use sansws::proto::Connection;
use sansws::tokio::WebSocket;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use sansws_test::peer::within_limit;

pub use sansws_test::peer::Peer;

/// How long anything in these tests may take. With a paused clock it is no time at all.
const LIMIT: Duration = Duration::from_secs(60);

/// Waits for something that must happen within [`LIMIT`].
#[track_caller]
pub fn within<F: Future>(future: F) -> impl Future<Output = F::Output> {
    within_limit(LIMIT, future)
}

/// A client on `io`, with the same limit.
pub fn peer_on<S>(io: S) -> Peer<S> {
    Peer::with_limit(io, LIMIT)
}

/// A server's socket on `io`, the opening handshake done.
pub fn server<S>(io: S, config: &Config) -> WebSocket<S> {
    WebSocket::from_parts(sansws::Parts::new(io, Connection::server(config), RecvBuffer::new()))
}

/// A client's socket on `io`, the opening handshake done.
pub fn client<S>(io: S, config: &Config) -> WebSocket<S> {
    WebSocket::from_parts(sansws::Parts::new(
        io,
        Connection::client(config, [7; 32]),
        RecvBuffer::new(),
    ))
}

/// A server's socket on a pipe that holds `capacity` bytes, and its client.
pub fn piped(capacity: usize, config: &Config) -> (WebSocket<DuplexStream>, Peer<DuplexStream>) {
    let (near, far) = duplex(capacity);
    (server(near, config), peer_on(far))
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

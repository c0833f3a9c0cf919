use alloc::boxed::Box;
use alloc::vec;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::lent::LentRx;
use super::link::{poll_read_some, poll_write_some};
use super::{WebSocket, with_defaults};
use crate::buf::SendBuffer;
use crate::error::Error;
use crate::handshake::server::{Accept, AcceptError, Handshake, Reject, Request};
use crate::pool::LentTx;
use crate::proto::{Config, LINGER, MAX_DRAINED};
use crate::session::check_written;

/// Accepts a WebSocket on a stream, whatever path and origin it asks for.
///
/// A server that is open to browsers should look at the origin first: see [`read_request`]. Set
/// `TCP_NODELAY` on the socket; a small message otherwise waits for the acknowledgement of the one
/// before.
///
/// # Errors
///
/// [`Error::Handshake`] when the peer sent no valid handshake (it got an HTTP answer that says so),
/// [`Error::HandshakeTimeout`], [`Error::Io`].
///
/// # Cancel safety
///
/// Dropping the future drops the stream.
pub async fn accept<S>(io: S) -> Result<WebSocket<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    accept_with(io, &Config::new()).await
}

/// [`accept`] with settings.
///
/// # Errors
///
/// As [`accept`], and [`Error::Config`].
///
/// # Cancel safety
///
/// Dropping the future drops the stream.
pub async fn accept_with<S>(io: S, config: &Config) -> Result<WebSocket<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // In a box, because the task would keep the room that the handshake needs for its whole life.
    let handshake =
        async { read(io, [&[]; 2], config, || ()).await?.accept(&Accept::default()).await };
    Box::pin(handshake).await
}

/// [`accept_with`] for a stream whose request somebody else has read, an HTTP server as a rule, and
/// nobody has answered yet.
///
/// `request_head` is the head of the request as it came, to its empty line; `leftover`, what was read
/// behind it, is kept as the first frames. Where one ends and the other begins does not matter, and if they
/// are only a part of the head, the rest is read: so a server can look at the first bytes, and decide
/// that this connection is to be a WebSocket.
///
/// Where the other server hands out parts of the request and writes the response itself, take
/// [`Request::from_parts`] and [`WebSocket::from_upgrade`].
///
/// # Errors
///
/// As [`accept_with`].
///
/// # Cancel safety
///
/// Dropping the future drops the stream.
pub async fn accept_upgraded<S>(
    io: S,
    request_head: &[u8],
    leftover: &[u8],
    config: &Config,
) -> Result<WebSocket<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = async {
        let received = [request_head, leftover];
        read(io, received, config, || ()).await?.accept(&Accept::default()).await
    };
    Box::pin(handshake).await // as above
}

/// Reads the request and leaves the answer to the caller, who may look at it for as long as it takes.
///
/// ```no_run
/// use sansws::handshake::server::{Accept, Reject};
/// use sansws::proto::Config;
///
/// # async fn run(stream: tokio::net::TcpStream) -> Result<(), sansws::Error> {
/// let incoming = sansws::tokio::read_request(stream, &Config::new()).await?;
/// if incoming.request().path() != "/chat" {
///     return incoming.reject(&Reject { status: 404, ..Default::default() }).await;
/// }
/// let mut ws = incoming.accept(&Accept::default()).await?;
/// # Ok(())
/// # }
/// ```
///
/// Any HTTP request is returned, also one that asks for no WebSocket: a page can be served on the
/// same port with [`Incoming::reject`] and status 200.
///
/// # Errors
///
/// [`Error::Handshake`] when the peer sent no valid HTTP request (it got an answer that says so),
/// [`Error::HandshakeTimeout`], [`Error::Io`], [`Error::Config`].
///
/// # Cancel safety
///
/// Dropping the future drops the stream.
pub async fn read_request<S>(io: S, config: &Config) -> Result<Incoming<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // In boxes, because the task would keep the room that the handshake needs for its whole life.
    Box::pin(async { read(io, [&[]; 2], config, || ()).await.map(Incoming::new) }).await
}

/// [`read_request`] for a stream whose request somebody else has read, as in [`accept_upgraded`].
///
/// # Errors
///
/// As [`read_request`].
///
/// # Cancel safety
///
/// Dropping the future drops the stream.
pub async fn read_upgraded<S>(
    io: S,
    request_head: &[u8],
    leftover: &[u8],
    config: &Config,
) -> Result<Incoming<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    read_and_tell(io, [request_head, leftover], config, || ()).await
}

/// [`read_upgraded`] that calls `arrived` whenever bytes have arrived.
pub(crate) async fn read_and_tell<S>(
    io: S,
    received: [&[u8]; 2],
    config: &Config,
    arrived: impl FnMut(),
) -> Result<Incoming<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    Box::pin(async { read(io, received, config, arrived).await.map(Incoming::new) }).await // as above
}

async fn read<S>(
    mut io: S,
    received: [&[u8]; 2],
    config: &Config,
    mut arrived: impl FnMut(),
) -> Result<Pending<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = with_defaults(&config.check()?);
    let mut rx = LentRx::empty(config.read_ahead);
    received.iter().for_each(|bytes| rx.fetch().feed(bytes));
    let mut tx = LentTx::default();
    let mut handshake = Handshake::new(&config);
    handshake.handle_timeout(Duration::ZERO, tx.fetch())?; // its time begins
    let head = timeout(config.handshake_timeout, async {
        loop {
            if let Some(request) = handshake.read_request(rx.fetch(), tx.fetch())? {
                return Ok(request);
            }
            tx.release(); // the wait may be long
            if read_some(&mut io, &mut rx).await? == 0 {
                return Err(Error::Handshake(handshake.receive_eof()));
            }
            arrived();
        }
    });
    match head.await {
        Ok(Ok(request)) => Ok(Pending { io, rx, tx, config, handshake, request }),
        Ok(Err(error)) => {
            finish(io, tx.fetch()).await;
            Err(error)
        }
        Err(_) => {
            // RFC 9110 §15.5.9: 408 tells a client that it was too slow.
            let _ = handshake.handle_timeout(config.handshake_timeout, tx.fetch());
            finish(io, tx.fetch()).await;
            Err(Error::HandshakeTimeout)
        }
    }
}

/// A request that waits for its answer.
#[derive(Debug)]
#[must_use = "the peer waits for an answer: `accept` or `reject` it"]
pub struct Incoming<S>(Box<Pending<S>>);

#[derive(Debug)]
struct Pending<S> {
    io: S,
    rx: LentRx,
    tx: LentTx,
    config: Config,
    handshake: Handshake,
    request: Request,
}

impl<S> Incoming<S> {
    fn new(pending: Pending<S>) -> Self {
        Self(Box::new(pending))
    }

    /// The request.
    pub fn request(&self) -> &Request {
        &self.0.request
    }

    /// The stream.
    pub fn io_ref(&self) -> &S {
        &self.0.io
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Incoming<S> {
    /// Accepts the WebSocket.
    ///
    /// # Errors
    ///
    /// [`Error::Handshake`] when the request asks for none, or not by the rules; the peer got an
    /// answer that says so. [`Error::Usage`] when `accept` cannot be used; the peer got a 500.
    /// [`Error::Io`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the stream.
    pub async fn accept(self, accept: &Accept<'_>) -> Result<WebSocket<S>, Error> {
        Box::pin(self.0.accept(accept)).await
    }

    /// Answers with anything else: an error, a redirect, a page.
    ///
    /// The answer is followed by the end of the connection, in such a way that the peer gets to read
    /// it.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] when `reject` cannot be used, [`Error::Io`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the stream.
    pub async fn reject(self, reject: &Reject<'_>) -> Result<(), Error> {
        Box::pin(self.0.reject(reject)).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pending<S> {
    async fn accept(self, accept: &Accept<'_>) -> Result<WebSocket<S>, Error> {
        let Self { mut io, rx, mut tx, config, mut handshake, request } = self;
        let conn = match request.accept(accept, &config, tx.fetch()) {
            Ok(conn) => conn,
            Err(AcceptError::Peer(error)) => {
                finish(io, tx.fetch()).await;
                return Err(error.into());
            }
            Err(AcceptError::Usage(error)) => {
                let internal_error = Reject { status: 500, ..Reject::default() };
                handshake.reject(&internal_error, tx.fetch())?;
                finish(io, tx.fetch()).await;
                return Err(error.into());
            }
        };
        write_in_time(&config, &mut io, tx.fetch()).await?;
        Ok(WebSocket::new(io, conn, rx, tx).with_subprotocol(accept.subprotocol))
    }

    async fn reject(self, reject: &Reject<'_>) -> Result<(), Error> {
        let Self { mut io, mut tx, config, request, .. } = self;
        request.reject(reject, tx.fetch())?;
        write_in_time(&config, &mut io, tx.fetch()).await?;
        finish(io, tx.fetch()).await;
        Ok(())
    }
}

/// Writes everything in the time that a handshake may take. A socket that takes it at once needs no
/// clock for that.
async fn write_in_time<S>(config: &Config, io: &mut S, tx: &mut SendBuffer) -> Result<(), Error>
where
    S: AsyncWrite + Unpin,
{
    let mut writing = pin!(write_all(io, tx));
    if let Poll::Ready(result) = poll_fn(|cx| Poll::Ready(writing.as_mut().poll(cx))).await {
        return result;
    }
    timeout(config.handshake_timeout, writing).await.unwrap_or(Err(Error::HandshakeTimeout))
}

/// Reads once; holds no memory while it waits for the beginning of something.
pub(super) async fn read_some<S>(io: &mut S, rx: &mut LentRx) -> Result<usize, Error>
where
    S: AsyncRead + Unpin,
{
    let read = poll_fn(|cx| {
        let read = poll_read_some(io, cx, rx.fetch());
        if read.is_pending() {
            rx.release();
        }
        read
    });
    Ok(read.await?)
}

pub(super) async fn write_all<S>(io: &mut S, tx: &mut SendBuffer) -> Result<(), Error>
where
    S: AsyncWrite + Unpin,
{
    while tx.has_remaining() {
        let n = poll_fn(|cx| poll_write_some(io, cx, tx)).await?;
        check_written(n, tx.remaining())?;
        tx.advance(n);
    }
    io.flush().await?;
    Ok(())
}

/// Writes a last answer and ends the stream so that the peer can read it: closing a socket with
/// unread bytes would make TCP discard what is on its way (RFC 9112 §9.6).
async fn finish<S>(mut io: S, tx: &mut SendBuffer)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let goodbye = async {
        write_all(&mut io, tx).await?;
        io.shutdown().await?;
        // not an array, which the future of every handshake would have room for
        let mut scratch = vec![0; 1024];
        let mut drained = 0;
        while drained < MAX_DRAINED as usize {
            match io.read(&mut scratch).await? {
                0 => break,
                n => drained += n,
            }
        }
        Ok::<(), Error>(())
    };
    // The handshake has failed already; how its answer fares changes nothing.
    let _ = timeout(LINGER, goodbye).await;
}

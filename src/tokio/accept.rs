use alloc::boxed::Box;
use core::fmt;
use core::future::{Future, poll_fn};
use core::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

#[cfg(feature = "server")]
use super::exchange::Exchange;
use super::opening::Opening;
use super::pooled::PooledRx;
use super::{WebSocket, with_defaults};
use crate::buf::RecvBuffer;
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::handshake::server::{Accept, Reject, Request};
use crate::opening::Stop;
use crate::pool::PooledTx;

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
    // In a box, because the task would keep the room that the handshake needs for its whole life.
    Box::pin(async { handshake(io, &Config::new()).await }).await
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
    Box::pin(handshake(io, config)).await // as in `accept`
}

async fn handshake<S>(io: S, config: &Config) -> Result<WebSocket<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let pending = read(io, &[], config, || ()).await?;
    pending.accept(&Accept::default()).await
}

/// [`accept_with`] for a stream whose request somebody else has read, an HTTP server as a rule, and
/// nobody has answered yet.
///
/// `received` is everything that has been read from the stream: the head of the request as it came,
/// to its empty line, and what came behind it, which is kept as the first frames. If it is only a
/// part of the head, the rest is read: so a server can look at the first bytes, and decide that
/// this connection is to be a WebSocket. It is copied.
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
pub async fn accept_with_prefix<S>(
    io: S,
    received: &[u8],
    config: &Config,
) -> Result<WebSocket<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = async {
        let pending = read(io, received, config, || ()).await?;
        pending.accept(&Accept::default()).await
    };
    Box::pin(handshake).await // as above
}

/// Reads the request and leaves the answer to the caller, who may look at it for as long as it
/// takes.
///
/// ```no_run
/// use sansws::handshake::server::{Accept, Reject};
/// use sansws::Config;
///
/// # async fn run(stream: tokio::net::TcpStream) -> Result<(), sansws::Error> {
/// let incoming = sansws::tokio::read_request(stream, &Config::new()).await?;
/// if incoming.request().path() != "/chat" {
///     return incoming.reject(&Reject::new(404)).await;
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
    Box::pin(async { read(io, &[], config, || ()).await.map(Incoming::new) }).await
}

/// [`read_request`] for a stream whose request somebody else has read, as in
/// [`accept_with_prefix`].
///
/// # Errors
///
/// As [`read_request`].
///
/// # Cancel safety
///
/// Dropping the future drops the stream.
pub async fn read_request_with_prefix<S>(
    io: S,
    received: &[u8],
    config: &Config,
) -> Result<Incoming<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // in a box, as above
    Box::pin(async { read(io, received, config, || ()).await.map(Incoming::new) }).await
}

/// Reads the request on a stream from which `received` has been read already.
async fn read<S>(
    io: S,
    received: &[u8],
    config: &Config,
    arrived: impl FnMut(),
) -> Result<Pending<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    Reading::begin(io, received, config)?.read(arrived).await
}

/// A stream whose request is to be read. In a box from here on: what is moved from future to future
/// has a place in each.
pub(crate) struct Reading<S> {
    opening: Box<Opening<S>>,
    /// For the response to leave.
    timeout: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Reading<S> {
    /// Makes one of a stream from which `received` has been read already.
    pub(crate) fn begin(io: S, received: &[u8], config: &Config) -> Result<Self, Error> {
        config.validate()?;
        let config = with_defaults(config);
        let mut rx = PooledRx::empty(config.read_ahead);
        if !received.is_empty() {
            rx.fetch().extend_from_slice(received);
        }
        let opening = Opening::new(io, Endpoint::server(&config), rx, PooledTx::default());
        Ok(Self { opening: Box::new(opening), timeout: config.handshake_timeout })
    }

    /// Reads the request, and calls `arrived` whenever bytes have arrived.
    #[cfg(feature = "server")]
    pub(crate) async fn read_and_tell(self, arrived: impl FnMut()) -> Result<Incoming<S>, Error> {
        self.read(arrived).await.map(Incoming::new)
    }

    async fn read(self, mut arrived: impl FnMut()) -> Result<Pending<S>, Error> {
        let Self { mut opening, timeout } = self;
        match poll_fn(|cx| opening.poll(cx, &mut arrived)).await {
            Stop::Request(request) => Ok(Pending { opening, timeout, request }),
            Stop::Over(Err(error)) => Err(error),
            // not the stops of a server that has decided nothing
            Stop::Over(Ok(())) | Stop::Response(_) => Err(Error::Disconnected(None)),
        }
    }
}

/// A request that waits for its answer.
#[derive(Debug)]
#[must_use = "the peer waits for an answer: `accept` or `reject` it"]
pub struct Incoming<S>(Box<Pending<S>>);

struct Pending<S> {
    opening: Box<Opening<S>>,
    request: Request,
    /// For the response to leave.
    timeout: Duration,
}

impl<S> Incoming<S> {
    fn new(pending: Pending<S>) -> Self {
        Self(Box::new(pending))
    }

    /// Returns the request.
    pub fn request(&self) -> &Request {
        &self.0.request
    }

    /// Returns the stream.
    pub fn get_ref(&self) -> &S {
        &self.0.opening.io
    }

    /// Sets the settings of the connection, now that the request is known.
    #[cfg(feature = "server")]
    pub(crate) fn set_config(&mut self, config: &Config) {
        self.0.opening.endpoint.set_config(with_defaults(config));
    }

    /// Takes the request out, so that its body can be read and it can go elsewhere.
    #[cfg(feature = "server")]
    pub(crate) fn into_exchange(self) -> (Request, Exchange<S>) {
        let Pending { opening, request, timeout } = *self.0;
        let head_only = request.method() == "HEAD";
        (request, Exchange { opening, head_only, timeout })
    }

    /// Returns the stream. Reading or writing bytes behind the handshake's back breaks it.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.0.opening.io
    }

    /// Takes the stream back without an answer: for a tunnel, or a handshake of one's own. With it
    /// come the request, and the bytes that were read behind its head.
    pub fn into_parts(self) -> (S, Request, Bytes) {
        let Pending { opening, request, .. } = *self.0;
        let read = Bytes::copy_from_slice(opening.rx.look().map_or(&[], RecvBuffer::unparsed));
        (opening.io, request, read)
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
        self.0.accept(accept).await
    }

    /// Answers with anything else: an error, a redirect, a page.
    ///
    /// The answer is followed by the end of the connection, in such a way that the peer gets to
    /// read it.
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
    /// No `async fn`, whose future would have room for the request.
    fn accept(self, accept: &Accept<'_>) -> impl Future<Output = Result<WebSocket<S>, Error>> {
        let Self { mut opening, request, timeout } = self;
        let accepted = opening.endpoint.accept(request, accept, opening.tx.fetch());
        let until = opening.in_time(timeout);
        async move {
            if opening.endpoint.connection().is_none() {
                let end = Box::pin(end(opening)).await;
                return Err(match accepted {
                    Err(error) => error.into(),
                    Ok(()) => end.err().unwrap_or(Error::Disconnected(None)),
                });
            }
            poll_fn(|cx| opening.poll_write_all(cx, until)).await?;
            let ws = opening.into_socket().ok_or(Error::Disconnected(None))?;
            Ok(ws.with_subprotocol(accept.chosen_subprotocol()))
        }
    }

    async fn reject(self, reject: &Reject<'_>) -> Result<(), Error> {
        let Self { opening, request, timeout } = self;
        respond(opening, reject, request.method() == "HEAD", timeout).await
    }
}

impl<S: fmt::Debug> fmt::Debug for Pending<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("io", &self.opening.io)
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

/// Answers with anything but an acceptance.
pub(super) async fn respond<S>(
    mut opening: Box<Opening<S>>,
    reject: &Reject<'_>,
    head_only: bool,
    timeout: Duration,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let responded = opening.endpoint.respond(reject, head_only, opening.tx.fetch());
    let until = opening.in_time(timeout);
    let written = poll_fn(|cx| opening.poll_write_all(cx, until)).await;
    end(opening).await?;
    responded?;
    written
}

/// Goes on until the peer has read why it is refused.
async fn end<S>(mut opening: Box<Opening<S>>) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match poll_fn(|cx| opening.poll(cx, || ())).await {
        Stop::Over(result) => result,
        Stop::Request(_) | Stop::Response(_) => Ok(()), // not after a refusal
    }
}

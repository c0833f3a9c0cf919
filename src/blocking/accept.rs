use core::fmt;
use core::time::Duration;

use bytes::Bytes;

use super::deadline::Deadline;
use super::opening::Opening;
use super::{Transport, WebSocket};
use crate::buf::{RecvBuffer, SendBuffer};
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::handshake::server::{Accept, Reject, Request};
use crate::opening::Stop;

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
pub fn accept<S: Transport>(io: S) -> Result<WebSocket<S>, Error> {
    accept_with(io, &Config::new())
}

/// [`accept`] with settings.
///
/// # Errors
///
/// As [`accept`], and [`Error::Config`].
pub fn accept_with<S: Transport>(io: S, config: &Config) -> Result<WebSocket<S>, Error> {
    accept_with_prefix(io, &[], config)
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
pub fn accept_with_prefix<S: Transport>(
    io: S,
    received: &[u8],
    config: &Config,
) -> Result<WebSocket<S>, Error> {
    read_request_with_prefix(io, received, config)?.accept(&Accept::default())
}

/// Reads the request and leaves the answer to the caller.
///
/// Any HTTP request is returned, also one that asks for no WebSocket: a page can be served on the
/// same port with [`Incoming::reject`] and status 200.
///
/// # Errors
///
/// [`Error::Handshake`] when the peer sent no valid HTTP request (it got an answer that says so),
/// [`Error::HandshakeTimeout`], [`Error::Io`], [`Error::Config`].
pub fn read_request<S: Transport>(io: S, config: &Config) -> Result<Incoming<S>, Error> {
    read_request_with_prefix(io, &[], config)
}

/// [`read_request`] for a stream whose request somebody else has read, as in
/// [`accept_with_prefix`].
///
/// # Errors
///
/// As [`read_request`].
pub fn read_request_with_prefix<S: Transport>(
    io: S,
    received: &[u8],
    config: &Config,
) -> Result<Incoming<S>, Error> {
    config.validate()?;
    let deadline = Deadline::after(config.handshake_timeout);
    let mut rx = RecvBuffer::with_read_ahead(config.read_ahead);
    rx.extend_from_slice(received);
    let mut opening = Opening::new(io, Endpoint::server(config), rx, SendBuffer::new(), deadline);
    match opening.run()? {
        Stop::Request(request) => {
            Ok(Incoming { opening, request, timeout: config.handshake_timeout })
        }
        Stop::Over(Err(error)) => Err(error),
        // not the stops of a server that has decided nothing
        Stop::Over(Ok(())) | Stop::Response(_) => Err(Error::Disconnected(None)),
    }
}

/// A request that waits for its answer.
#[must_use = "the peer waits for an answer: `accept` or `reject` it"]
pub struct Incoming<S> {
    opening: Opening<S>,
    request: Request,
    /// For the response to leave.
    timeout: Duration,
}

impl<S> Incoming<S> {
    /// Returns the request.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Returns the stream.
    pub fn get_ref(&self) -> &S {
        &self.opening.io
    }

    /// Returns the stream. Reading or writing bytes behind the handshake's back breaks it.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.opening.io
    }

    /// Takes the stream back without an answer: for a tunnel, or a handshake of one's own. With it
    /// come the request, and the bytes that were read behind its head.
    pub fn into_parts(self) -> (S, Request, Bytes) {
        let Self { opening, request, .. } = self;
        let read = Bytes::copy_from_slice(opening.rx.unparsed());
        (opening.io, request, read)
    }
}

impl<S: Transport> Incoming<S> {
    /// Accepts the WebSocket.
    ///
    /// # Errors
    ///
    /// [`Error::Handshake`] when the request asks for none, or not by the rules; the peer got an
    /// answer that says so. [`Error::Usage`] when `accept` cannot be used; the peer got a 500.
    /// [`Error::Io`].
    pub fn accept(self, accept: &Accept<'_>) -> Result<WebSocket<S>, Error> {
        let Self { mut opening, request, timeout } = self;
        let accepted = opening.endpoint.accept(request, accept, &mut opening.tx);
        if opening.endpoint.connection().is_none() {
            let end = end(opening);
            return Err(match accepted {
                Err(error) => error.into(),
                Ok(()) => end.err().unwrap_or(Error::Disconnected(None)),
            });
        }
        opening.write_all(timeout)?;
        let Opening { io, endpoint, rx, tx, .. } = opening;
        let connection = endpoint.into_connection().ok_or(Error::Disconnected(None))?;
        Ok(WebSocket::new(io, connection, rx, tx).with_subprotocol(accept.chosen_subprotocol()))
    }

    /// Answers with anything else: an error, a redirect, a page.
    ///
    /// The answer is followed by the end of the connection, in such a way that the peer gets to
    /// read it.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] when `reject` cannot be used, [`Error::Io`].
    pub fn reject(self, reject: &Reject<'_>) -> Result<(), Error> {
        let Self { mut opening, request, timeout } = self;
        let rejected = opening.endpoint.reject(request, reject, &mut opening.tx);
        let written = opening.write_all(timeout);
        end(opening)?;
        rejected?;
        written
    }
}

impl<S: fmt::Debug> fmt::Debug for Incoming<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("io", &self.opening.io)
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

/// Goes on until the peer has read why it is refused.
fn end<S: Transport>(mut opening: Opening<S>) -> Result<(), Error> {
    match opening.run()? {
        Stop::Over(result) => result,
        Stop::Request(_) | Stop::Response(_) => Ok(()), // not after a refusal
    }
}

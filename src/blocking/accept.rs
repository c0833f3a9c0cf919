use core::time::Duration;
use std::thread;
use std::time::Instant;

use bytes::Buf;

use super::limit::{Done, GLANCE, Limit, flush, read_some, write_some};
use super::{Transport, WebSocket};
use crate::buf::{RecvBuffer, SendBuffer};
use crate::error::Error;
use crate::handshake::server::{Accept, AcceptError, Handshake, Reject, Request};
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
pub fn accept<S: Transport>(io: S) -> Result<WebSocket<S>, Error> {
    accept_with(io, &Config::new())
}

/// [`accept`] with settings.
///
/// # Errors
///
/// As [`accept`], and [`Error::Config`].
pub fn accept_with<S: Transport>(io: S, config: &Config) -> Result<WebSocket<S>, Error> {
    accept_upgraded(io, &[], &[], config)
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
pub fn accept_upgraded<S: Transport>(
    io: S,
    request_head: &[u8],
    leftover: &[u8],
    config: &Config,
) -> Result<WebSocket<S>, Error> {
    read_upgraded(io, request_head, leftover, config)?.accept(&Accept::default())
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
    read_upgraded(io, &[], &[], config)
}

/// [`read_request`] for a stream whose request somebody else has read, as in [`accept_upgraded`].
///
/// # Errors
///
/// As [`read_request`].
pub fn read_upgraded<S: Transport>(
    mut io: S,
    request_head: &[u8],
    leftover: &[u8],
    config: &Config,
) -> Result<Incoming<S>, Error> {
    let config = config.check()?;
    let mut deadline = Deadline::after(config.handshake_timeout);
    let mut rx = RecvBuffer::with_read_ahead(config.read_ahead);
    rx.feed(request_head);
    rx.feed(leftover);
    let mut tx = SendBuffer::new();
    let mut handshake = Handshake::new(&config);
    handshake.handle_timeout(Duration::ZERO, &mut tx)?; // its time begins
    let error = loop {
        match handshake.read_request(&mut rx, &mut tx) {
            Ok(Some(request)) => {
                deadline.release(&io)?;
                return Ok(Incoming { io, rx, tx, config, handshake, request });
            }
            Ok(None) => {}
            Err(error) => break error.into(),
        }
        match deadline.read(&mut io, &mut rx) {
            Ok(0) => break handshake.receive_eof().into(),
            Ok(_) => {}
            Err(Error::HandshakeTimeout) => {
                // RFC 9110 §15.5.9: 408 tells a client that it was too slow.
                let _ = handshake.handle_timeout(config.handshake_timeout, &mut tx);
                break Error::HandshakeTimeout;
            }
            Err(error) => {
                let _ = deadline.release(&io);
                return Err(error);
            }
        }
    };
    finish(io, deadline, &mut tx);
    Err(error)
}

/// A request that waits for its answer.
#[derive(Debug)]
#[must_use = "the peer waits for an answer: `accept` or `reject` it"]
pub struct Incoming<S> {
    io: S,
    rx: RecvBuffer,
    tx: SendBuffer,
    config: Config,
    handshake: Handshake,
    request: Request,
}

impl<S> Incoming<S> {
    /// The request.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The stream.
    pub fn io_ref(&self) -> &S {
        &self.io
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
        let Self { mut io, rx, mut tx, config, mut handshake, request } = self;
        let mut deadline = Deadline::after(config.handshake_timeout);
        let conn = match request.accept(accept, &config, &mut tx) {
            Ok(conn) => conn,
            Err(AcceptError::Peer(error)) => {
                finish(io, deadline, &mut tx);
                return Err(error.into());
            }
            Err(AcceptError::Usage(error)) => {
                let internal_error = Reject { status: 500, ..Reject::default() };
                handshake.reject(&internal_error, &mut tx)?;
                finish(io, deadline, &mut tx);
                return Err(error.into());
            }
        };
        let written = deadline.write_all(&mut io, &mut tx);
        let released = deadline.release(&io);
        written?;
        released?;
        Ok(WebSocket::new(io, conn, rx, tx).with_subprotocol(accept.subprotocol))
    }

    /// Answers with anything else: an error, a redirect, a page.
    ///
    /// The answer is followed by the end of the connection, in such a way that the peer gets to read
    /// it.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] when `reject` cannot be used, [`Error::Io`].
    pub fn reject(self, reject: &Reject<'_>) -> Result<(), Error> {
        let Self { mut io, mut tx, config, request, .. } = self;
        request.reject(reject, &mut tx)?;
        let mut deadline = Deadline::after(config.handshake_timeout);
        let written = deadline.write_all(&mut io, &mut tx);
        finish(io, deadline, &mut tx);
        written
    }
}

/// The end of a handshake's time, and the time-outs of the stream until then.
///
/// What the user has set on the stream does not count here: the handshake has its own end, and leaves
/// the stream as it was.
pub(super) struct Deadline {
    at: Instant,
    read_limit: Limit,
    write_limit: Limit,
}

impl Deadline {
    pub(super) fn after(timeout: Duration) -> Self {
        let now = Instant::now();
        // a time-out that the clock cannot hold is as good as a year
        let at = now.checked_add(timeout).unwrap_or(now + Duration::from_secs(365 * 24 * 60 * 60));
        Self { at, read_limit: Limit::read(), write_limit: Limit::write() }
    }

    /// The time left.
    pub(super) fn left(&self) -> Result<Duration, Error> {
        let left = self.at.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(Error::HandshakeTimeout) } else { Ok(left) }
    }

    /// One read; zero is the end of file.
    pub(super) fn read<S: Transport>(
        &mut self,
        io: &mut S,
        rx: &mut RecvBuffer,
    ) -> Result<usize, Error> {
        let mut pause = GLANCE;
        loop {
            let bound = self.read_limit.bound(io, Some(self.left()?))?;
            if let Some(n) = self.done(read_some(io, rx, bound), &mut pause)? {
                return Ok(n);
            }
        }
    }

    pub(super) fn write_all<S: Transport>(
        &mut self,
        io: &mut S,
        tx: &mut SendBuffer,
    ) -> Result<(), Error> {
        let mut pause = GLANCE;
        while tx.has_remaining() {
            let bound = self.write_limit.bound(io, Some(self.left()?))?;
            if let Some(n) = self.done(write_some(io, tx, bound), &mut pause)? {
                check_written(n, tx.remaining())?;
                tx.advance(n);
                pause = GLANCE;
            }
        }
        loop {
            let bound = self.write_limit.bound(io, Some(self.left()?))?;
            if self.done(flush(io, bound), &mut pause)?.is_some() {
                return Ok(());
            }
        }
    }

    /// What became of one try; `None` for another one.
    fn done(&self, done: Done, pause: &mut Duration) -> Result<Option<usize>, Error> {
        match done {
            Done::Bytes(n) => return Ok(Some(n)),
            Done::Nothing | Done::Expired(_) => {}
            Done::WouldBlock(_) => {
                thread::sleep(self.left()?.min(*pause));
                *pause = (*pause * 2).min(LONGEST_PAUSE);
            }
            Done::Failed(error) => return Err(error.into()),
        }
        Ok(None)
    }

    /// Gives the stream the time-outs back that the user has set.
    pub(super) fn release<S: Transport>(&mut self, io: &S) -> Result<(), Error> {
        let read = self.read_limit.restore(io);
        self.write_limit.restore(io)?;
        read
    }
}

/// How long to wait at most before a stream that does not wait by itself is asked again.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// Writes a last answer and ends the stream so that the peer can read it: closing a socket with
/// unread bytes would make TCP discard what is on its way (RFC 9112 §9.6).
fn finish<S: Transport>(mut io: S, mut limits: Deadline, tx: &mut SendBuffer) {
    limits.at = Instant::now() + LINGER;
    let mut goodbye = || -> Result<(), Error> {
        limits.write_all(&mut io, tx)?;
        // A stream that cannot end one direction ends as a whole, and at once: the peer waits for that.
        io.shutdown_write()?;
        let mut drained = 0;
        while drained < MAX_DRAINED as usize {
            let mut rx = RecvBuffer::with_read_ahead(1024);
            match limits.read(&mut io, &mut rx)? {
                0 => break,
                n => drained += n,
            }
        }
        Ok(())
    };
    // The handshake has failed already; how its answer fares changes nothing.
    let _ = goodbye();
    let _ = limits.release(&io);
}

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;
use std::io::{self, IoSlice};
use std::time::Instant;

use bytes::Buf;

use super::Transport;
use crate::buf::{RecvBuffer, SendBuffer};
use crate::error::Error;
use crate::proto::{
    CloseInfo, Config, Connection, Event, Message, MessageRef, PreparedMessage, SendError, State,
};
use crate::session::{Session, Step};
use crate::wire::CloseCode;

/// A WebSocket on a blocking stream.
///
/// Made by [`accept`](super::accept), [`connect`](super::connect) and their relatives. Dropping it
/// drops the stream: the peer sees the connection break (1006). Call [`close`](Self::close) first to
/// end it well.
pub struct WebSocket<S> {
    rx: RecvBuffer,
    link: Link<S>,
    subprotocol: Option<Box<str>>,
}

impl<S> WebSocket<S> {
    /// A WebSocket whose opening handshake was done elsewhere.
    ///
    /// Bytes that were read behind the handshake's head go into `rx` first
    /// ([`RecvBuffer::feed`]).
    pub fn from_parts(io: S, conn: Connection, rx: RecvBuffer, config: &Config) -> Self {
        Self::new(io, conn, rx, SendBuffer::new(), config)
    }

    pub(super) fn new(
        io: S,
        conn: Connection,
        rx: RecvBuffer,
        tx: SendBuffer,
        config: &Config,
    ) -> Self {
        Self { rx, link: Link::new(io, Session::new(conn, tx, config)), subprotocol: None }
    }

    pub(super) fn with_subprotocol(mut self, subprotocol: Option<&str>) -> Self {
        self.subprotocol = subprotocol.map(Box::from);
        self
    }

    /// The subprotocol that the handshake agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// What can still happen on the connection.
    pub fn state(&self) -> State {
        self.link.session.conn.state()
    }

    /// How the connection closed; `None` while it is open.
    pub fn close_info(&self) -> Option<CloseInfo<'_>> {
        self.link.session.conn.close_info()
    }

    /// The time from the last keep-alive ping to its pong; `None` until one was answered.
    pub fn round_trip(&self) -> Option<Duration> {
        self.link.session.conn.round_trip()
    }

    /// The stream.
    pub fn io_ref(&self) -> &S {
        &self.link.io
    }

    /// The stream. Reading or writing bytes behind the connection's back breaks the connection.
    pub fn io_mut(&mut self) -> &mut S {
        &mut self.link.io
    }

    /// The unsent bytes: what was fed, and replies to the peer.
    pub fn unsent(&self) -> usize {
        self.link.session.tx.remaining()
    }

    /// Queues a message. Copies it, or keeps a reference to a large owned payload of a server.
    ///
    /// It leaves with the next [`flush`](Self::flush), [`send`](Self::send),
    /// [`recv`](Self::recv) or [`next_event`](Self::next_event).
    ///
    /// # Errors
    ///
    /// [`Error::Send`]; nothing was queued then. [`SendError::BufferFull`] says that
    /// [`Config::max_unsent`] bytes wait; a loop of `recv` and one `feed` for each message never meets
    /// it, because `recv` makes room first.
    pub fn feed<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), Error> {
        self.link.session.feed(message.into())
    }

    /// Queues a message that is encoded already.
    ///
    /// # Errors
    ///
    /// As [`feed`](Self::feed).
    pub fn feed_prepared(&mut self, message: &PreparedMessage) -> Result<(), Error> {
        self.link.session.feed_prepared(message)
    }

    /// Queues a Close frame and returns. The closing handshake goes on in [`recv`](Self::recv).
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`] when the connection is closing already,
    /// [`SendError::ReasonTooLong`].
    pub fn start_close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.link.session.start_close(code, reason)
    }
}

impl<S: Transport> WebSocket<S> {
    /// The next message, owned. Small payloads are copied, large ones handed over.
    ///
    /// Writes what was fed before it waits; answers pings and the peer's Close on the way.
    /// `Ok(None)` after a complete closing handshake, and from then on.
    ///
    /// # Errors
    ///
    /// [`Error::Disconnected`] when the connection broke or ended without a closing handshake,
    /// [`Error::Protocol`] when the peer broke a rule (it was told so), [`Error::Timeout`] when it
    /// no longer answers. The same error for ever after. [`Error::Io`] with
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) or [`TimedOut`](io::ErrorKind::TimedOut) when a
    /// time-out that you set on the stream yourself has passed: nothing is lost, call again.
    pub fn recv(&mut self) -> Result<Option<Message>, Error> {
        while self.ready_event()? {
            let Session { conn, tx, .. } = &mut self.link.session;
            match conn.poll_event(&mut self.rx, tx)? {
                Some(Event::Chunk(_)) => return Err(Error::ChunkedDelivery),
                Some(event) => {
                    if let Some(message) = event.into_message() {
                        return Ok(Some(message));
                    }
                }
                None => {}
            }
        }
        Ok(None)
    }

    /// The next event, borrowed from the receive buffer, and the means to answer it while it is held.
    ///
    /// This is the path without copies and allocations. Writes what was fed before it waits.
    /// `Ok(None)` after a complete closing handshake, and from then on.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn next_event(&mut self) -> Result<Option<(Event<'_>, Outgoing<'_, S>)>, Error> {
        if !self.ready_event()? {
            return Ok(None);
        }
        let Self { rx, link, .. } = self;
        let Session { conn, tx, .. } = &mut link.session;
        Ok(conn.poll_event(rx, tx)?.map(|event| (event, Outgoing { link })))
    }

    /// Sends a message and flushes.
    ///
    /// Waits for room while [`Config::max_unsent`] bytes wait to be sent.
    ///
    /// # Errors
    ///
    /// [`Error::Send`] if the message cannot be sent; the connection goes on. [`Error::Disconnected`]
    /// or [`Error::Timeout`] if nothing reaches the peer any more. [`Error::Io`] when a time-out that
    /// you set on the stream yourself has passed: what was taken stays queued.
    pub fn send<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), Error> {
        self.link.send(message.into())
    }

    /// Sends a message that is encoded already, and flushes.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_prepared(&mut self, message: &PreparedMessage) -> Result<(), Error> {
        self.link.make_room()?;
        self.feed_prepared(message)?;
        self.flush()
    }

    /// Writes everything that is queued.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn flush(&mut self) -> Result<(), Error> {
        self.link.write_all()
    }

    /// Closes the connection: sends a Close frame, waits for the peer's and for the end of TCP.
    ///
    /// Messages that still arrive are dropped; to get them, call [`start_close`](Self::start_close)
    /// and go on with [`recv`](Self::recv). A connection that is closed already stays as it is.
    ///
    /// # Errors
    ///
    /// [`SendError::ReasonTooLong`] before anything is written; [`Error::Timeout`] when the peer does
    /// not answer within [`Config::close_timeout`]; [`Error::Disconnected`] when it hangs up
    /// instead.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        match self.start_close(code, reason) {
            Ok(()) | Err(Error::Send(SendError::NotOpen)) => {}
            Err(error) => return Err(error),
        }
        while self.ready_event()? {
            let Session { conn, tx, .. } = &mut self.link.session;
            conn.poll_event(&mut self.rx, tx)?;
        }
        Ok(())
    }

    /// Waits until there is an event to take (`true`), or the connection is over in good order.
    fn ready_event(&mut self) -> Result<bool, Error> {
        let Self { rx, link, .. } = self;
        loop {
            match link.session.next_step(rx, false) {
                Step::Event => return Ok(true),
                Step::End => return link.session.result().map(|()| false),
                Step::Write | Step::Wait => link.write()?,
                Step::ShutdownWrite => {
                    // an error means that the other end is gone, which reading will show
                    let _ = link.io.shutdown_write();
                    link.session.was_shut_down();
                }
                Step::Read => link.read(rx)?,
            }
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for WebSocket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("io", &self.link.io)
            .field("state", &self.state())
            .field("unsent", &self.unsent())
            .finish_non_exhaustive()
    }
}

/// The sending side of a [`WebSocket`] while an event is held.
#[derive(Debug)]
pub struct Outgoing<'a, S> {
    link: &'a mut Link<S>,
}

impl<S> Outgoing<'_, S> {
    /// Queues a message; see [`WebSocket::feed`].
    ///
    /// # Errors
    ///
    /// [`Error::Send`]; nothing was queued then.
    pub fn feed<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), Error> {
        self.link.session.feed(message.into())
    }

    /// Queues a message that is encoded already.
    ///
    /// # Errors
    ///
    /// [`Error::Send`]; nothing was queued then.
    pub fn feed_prepared(&mut self, message: &PreparedMessage) -> Result<(), Error> {
        self.link.session.feed_prepared(message)
    }

    /// Queues a Close frame; the closing handshake goes on with the next event.
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`] when the connection is closing already, [`SendError::ReasonTooLong`].
    pub fn start_close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.link.session.start_close(code, reason)
    }

    /// The unsent bytes.
    pub fn unsent(&self) -> usize {
        self.link.session.tx.remaining()
    }
}

impl<S: Transport> Outgoing<'_, S> {
    /// Sends a message and flushes; see [`WebSocket::send`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send`].
    pub fn send<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), Error> {
        self.link.send(message.into())
    }

    /// Writes everything that is queued.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::flush`].
    pub fn flush(&mut self) -> Result<(), Error> {
        self.link.write_all()
    }
}

/// All of a [`WebSocket`] but its receive buffer.
struct Link<S> {
    io: S,
    session: Session,
    /// Where the connection's time begins.
    epoch: Instant,
    /// The time-out that is set on the stream.
    armed: Option<Duration>,
}

impl<S> Link<S> {
    fn new(io: S, session: Session) -> Self {
        Self { io, session, epoch: Instant::now(), armed: None }
    }
}

impl<S: Transport> Link<S> {
    fn send(&mut self, message: MessageRef<'_>) -> Result<(), Error> {
        self.make_room()?;
        self.session.feed(message)?;
        self.write_all()
    }

    fn make_room(&mut self) -> Result<(), Error> {
        while !self.session.has_room() {
            self.session.check_writable()?;
            self.write()?;
        }
        self.session.check_writable()
    }

    fn write_all(&mut self) -> Result<(), Error> {
        loop {
            self.session.check_writable()?;
            if self.session.tx.is_empty() {
                return Ok(());
            }
            self.write()?;
        }
    }

    /// One write of as much as there is.
    fn write(&mut self) -> Result<(), Error> {
        self.arm()?;
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let count = self.session.tx.chunks_vectored(&mut slices);
        let result = match &slices[..count] {
            [] => return Ok(()),
            [one] => self.io.write(one),
            several => self.io.write_vectored(several),
        };
        match result {
            Ok(n) => {
                self.session.was_written(n);
                if self.session.tx.is_empty()
                    && let Err(error) = self.io.flush()
                {
                    self.session.write_failed(error);
                }
                Ok(())
            }
            Err(error) => {
                let error = self.interrupted(error)?;
                if let Some(error) = error {
                    self.session.write_failed(error);
                }
                Ok(())
            }
        }
    }

    /// One read of as much as there is room for.
    fn read(&mut self, rx: &mut RecvBuffer) -> Result<(), Error> {
        self.arm()?;
        let space = rx.space();
        let room = space.len();
        match self.io.read(space) {
            Ok(0) => self.session.read_eof(),
            Ok(n) if n <= room => rx.commit(n),
            Ok(_) => self.session.read_failed(io::Error::new(
                io::ErrorKind::InvalidData,
                "the transport claims to have read more bytes than it was given room for",
            )),
            Err(error) => {
                if let Some(error) = self.interrupted(error)? {
                    self.session.read_failed(error);
                }
            }
        }
        Ok(())
    }

    /// What an IO error means: nothing (try again), the end of a wait, or the end of the stream,
    /// which is handed back.
    fn interrupted(&mut self, error: io::Error) -> Result<Option<io::Error>, Error> {
        match error.kind() {
            io::ErrorKind::Interrupted => Ok(None),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                // a time-out of ours, or else one that the user has set
                if self.armed.is_some() { Ok(None) } else { Err(error.into()) }
            }
            _ => Ok(Some(error)),
        }
    }

    /// Lets the timers act, and bounds the next wait by what they say.
    fn arm(&mut self) -> Result<(), Error> {
        while let Some(due) = self.session.conn.poll_timeout() {
            let now = self.epoch.elapsed();
            if due <= now {
                let Session { conn, tx, .. } = &mut self.session;
                if let Err(timeout) = conn.handle_timeout(now, tx) {
                    self.session.timed_out(timeout);
                    return self.session.result();
                }
                continue;
            }
            // Setting a time-out is a system call: a wait may end an eighth late instead.
            let wait = due - now;
            if self.armed.is_none_or(|armed| wait > armed || wait < armed - armed / 8) {
                self.set_timeouts(Some(wait))?;
            }
            return Ok(());
        }
        if self.armed.is_some() {
            self.set_timeouts(None)?;
        }
        Ok(())
    }

    fn set_timeouts(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        self.io.set_read_timeout(timeout)?;
        self.io.set_write_timeout(timeout)?;
        self.armed = timeout;
        Ok(())
    }
}

impl<S: fmt::Debug> fmt::Debug for Link<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("io", &self.io).finish_non_exhaustive()
    }
}

/// Slices in one vectored write.
const MAX_SLICES: usize = 64;

use alloc::boxed::Box;
use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io::IoSlice;

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::buf::{RecvBuffer, SendBuffer};
use crate::error::Error;
use crate::proto::{
    CloseInfo, Config, Connection, Event, Message, MessageRef, PreparedMessage, SendError, State,
};
use crate::session::{Session, Step};
use crate::wire::CloseCode;

/// A WebSocket on a tokio stream.
///
/// Made by [`accept`](super::accept), [`connect`](super::connect) and their relatives. It is one
/// object for both directions; all its state is in it and none in its futures.
///
/// Dropping it drops the stream: the peer sees the connection break (1006). Call
/// [`close`](Self::close) first to end it well.
pub struct WebSocket<S> {
    rx: RecvBuffer,
    pub(super) link: Link<S>,
    subprotocol: Option<Box<str>>,
    /// The `Stream` has yielded its last item.
    pub(super) stream_ended: bool,
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
        let link = Link::new(io, Session::new(conn, tx, config));
        Self { rx, link, subprotocol: None, stream_ended: false }
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
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// The next message, owned. Small payloads are copied, large ones handed over.
    ///
    /// Writes what was fed before it waits; answers pings and the peer's Close on the way.
    /// `Ok(None)` after a complete closing handshake, and from then on.
    ///
    /// # Errors
    ///
    /// [`Error::Disconnected`] when the connection broke or ended without a closing handshake,
    /// [`Error::Protocol`] when the peer broke a rule (it was told so), [`Error::Timeout`] when it
    /// no longer answers. The same error for ever after.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe: dropping the future loses neither bytes nor messages.
    pub async fn recv(&mut self) -> Result<Option<Message>, Error> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next event, borrowed from the receive buffer, and the means to answer it while it is held.
    ///
    /// This is the path without copies and allocations. Writes what was fed before it waits.
    /// `Ok(None)` after a complete closing handshake, and from then on.
    ///
    /// ```no_run
    /// # use sansws::proto::Event;
    /// # async fn run<S>(mut ws: sansws::tokio::WebSocket<S>) -> Result<(), sansws::Error>
    /// # where S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin {
    /// while let Some((event, mut out)) = ws.next_event().await? {
    ///     if let Some(message) = event.as_message() {
    ///         out.feed(message)?;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe: dropping the future loses neither bytes nor events.
    pub async fn next_event(&mut self) -> Result<Option<(Event<'_>, Outgoing<'_, S>)>, Error> {
        if !poll_fn(|cx| self.poll_ready_event(cx)).await? {
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
    /// or [`Error::Timeout`] if nothing reaches the peer any more.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future never tears a frame. The message was then either not taken at all, or
    /// it is queued whole and leaves with the next call that flushes; it was taken as soon as
    /// [`unsent`](Self::unsent) grew.
    pub async fn send<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), Error> {
        self.link.send(message.into()).await
    }

    /// Sends a message that is encoded already, and flushes.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn send_prepared(&mut self, message: &PreparedMessage) -> Result<(), Error> {
        self.link.send_prepared(message).await
    }

    /// Writes everything that is queued.
    ///
    /// # Errors
    ///
    /// [`Error::Disconnected`] or [`Error::Timeout`] if nothing reaches the peer any more.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe: what was written is remembered.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.link.poll_write_all(cx)).await
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
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves a connection that is closing; call it again to go on waiting.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        match self.start_close(code, reason) {
            Ok(()) | Err(Error::Send(SendError::NotOpen)) => {}
            Err(error) => return Err(error),
        }
        poll_fn(|cx| self.poll_closed(cx)).await
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

    pub(super) fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>, Error>> {
        loop {
            if !ready!(self.poll_ready_event(cx))? {
                return Poll::Ready(Ok(None));
            }
            let Session { conn, tx, .. } = &mut self.link.session;
            match conn.poll_event(&mut self.rx, tx)? {
                Some(Event::Chunk(_)) => return Poll::Ready(Err(Error::ChunkedDelivery)),
                Some(event) => {
                    if let Some(message) = event.into_message() {
                        return Poll::Ready(Ok(Some(message)));
                    }
                }
                None => {}
            }
        }
    }

    /// Until the connection is over, events dropped.
    pub(super) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while ready!(self.poll_ready_event(cx))? {
            let Session { conn, tx, .. } = &mut self.link.session;
            conn.poll_event(&mut self.rx, tx)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Until there is an event to take (`true`), or the connection is over in good order (`false`).
    fn poll_ready_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        let Self { rx, link, .. } = self;
        if link.flush_pending {
            link.poll_flush_io(cx);
        }
        let mut write_blocked = false;
        loop {
            match link.session.next_step(rx, write_blocked) {
                Step::Event => return Poll::Ready(Ok(true)),
                Step::End => return Poll::Ready(link.session.result().map(|()| false)),
                Step::Write => write_blocked = link.poll_write(cx).is_pending(),
                Step::ShutdownWrite => match Pin::new(&mut link.io).poll_shutdown(cx) {
                    // an error means that the other end is gone, which reading will show
                    Poll::Ready(_) => link.session.was_shut_down(),
                    Poll::Pending => ready!(link.poll_timer(cx)),
                },
                Step::Read => {
                    if link.poll_read(cx, rx).is_pending() {
                        ready!(link.poll_timer(cx));
                    }
                }
                Step::Wait => ready!(link.poll_timer(cx)),
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

impl<S: AsyncWrite + Unpin> Outgoing<'_, S> {
    /// Sends a message and flushes; see [`WebSocket::send`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send`].
    ///
    /// # Cancel safety
    ///
    /// As [`WebSocket::send`].
    pub async fn send<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), Error> {
        self.link.send(message.into()).await
    }

    /// Writes everything that is queued.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::flush`].
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe: what was written is remembered.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.link.poll_write_all(cx)).await
    }
}

/// All of a [`WebSocket`] but its receive buffer.
pub(super) struct Link<S> {
    io: S,
    pub(super) session: Session,
    timer: Timer,
    /// The stream has bytes in a buffer of its own that it could not write yet.
    flush_pending: bool,
}

impl<S> Link<S> {
    fn new(io: S, session: Session) -> Self {
        Self { io, session, timer: Timer::new(), flush_pending: false }
    }

    /// Ready when the time changed something.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Session { conn, tx, .. } = &mut self.session;
        let now = ready!(self.timer.poll(cx, conn.poll_timeout()));
        if let Err(timeout) = conn.handle_timeout(now, tx) {
            self.session.timed_out(timeout);
        }
        Poll::Ready(())
    }
}

impl<S: AsyncWrite + Unpin> Link<S> {
    async fn send(&mut self, message: MessageRef<'_>) -> Result<(), Error> {
        poll_fn(|cx| self.poll_room(cx)).await?;
        self.session.feed(message)?;
        poll_fn(|cx| self.poll_write_all(cx)).await
    }

    async fn send_prepared(&mut self, message: &PreparedMessage) -> Result<(), Error> {
        poll_fn(|cx| self.poll_room(cx)).await?;
        self.session.feed_prepared(message)?;
        poll_fn(|cx| self.poll_write_all(cx)).await
    }

    /// Until there is room for a message.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            self.session.check_writable()?;
            if self.session.has_room() {
                return Poll::Ready(Ok(()));
            }
            if self.poll_write(cx).is_pending() {
                ready!(self.poll_timer(cx));
            }
        }
    }

    /// Until everything is written.
    pub(super) fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            self.session.check_writable()?;
            if self.session.tx.is_empty() {
                return Pin::new(&mut self.io).poll_flush(cx).map_err(|error| {
                    self.session.write_failed(error);
                    self.session.write_error()
                });
            }
            if self.poll_write(cx).is_pending() {
                ready!(self.poll_timer(cx));
            }
        }
    }

    /// One write of as much as there is.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let tx = &self.session.tx;
        let io = Pin::new(&mut self.io);
        let result = if io.is_write_vectored() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let count = tx.chunks_vectored(&mut slices);
            io.poll_write_vectored(cx, &slices[..count])
        } else {
            io.poll_write(cx, tx.chunk())
        };
        match result {
            Poll::Ready(Ok(n)) => self.session.was_written(n),
            Poll::Ready(Err(error)) => self.session.write_failed(error),
            Poll::Pending => {
                self.session.write_stalled();
                return Poll::Pending;
            }
        }
        if self.session.tx.is_empty() {
            self.poll_flush_io(cx);
        }
        Poll::Ready(())
    }

    /// Empties the stream's own buffer, if it has one; a socket has nothing to do here.
    fn poll_flush_io(&mut self, cx: &mut Context<'_>) {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.flush_pending = flushed.is_pending();
        if let Poll::Ready(Err(error)) = flushed {
            self.session.write_failed(error);
        }
    }
}

impl<S: AsyncRead + Unpin> Link<S> {
    /// One read of as much as there is room for.
    fn poll_read(&mut self, cx: &mut Context<'_>, rx: &mut RecvBuffer) -> Poll<()> {
        let mut space = ReadBuf::new(rx.space());
        match ready!(Pin::new(&mut self.io).poll_read(cx, &mut space)) {
            Ok(()) => match space.filled().len() {
                0 => self.session.read_eof(),
                n => rx.commit(n),
            },
            Err(error) => self.session.read_failed(error),
        }
        Poll::Ready(())
    }
}

impl<S: fmt::Debug> fmt::Debug for Link<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("io", &self.io).finish_non_exhaustive()
    }
}

/// The clock of a connection and the alarm set on it.
struct Timer {
    /// Where the connection's time begins.
    epoch: Instant,
    /// The deadline that the alarm is set to.
    armed: Option<Duration>,
    /// Made when it is first needed.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    fn new() -> Self {
        Self { epoch: Instant::now(), armed: None, alarm: None }
    }

    /// Ready with the present time once `due` is reached.
    fn poll(&mut self, cx: &mut Context<'_>, due: Option<Duration>) -> Poll<Duration> {
        let Some(due) = due else { return Poll::Pending };
        if due.is_zero() {
            return Poll::Ready(self.epoch.elapsed());
        }
        let deadline = self.epoch + due;
        let alarm = match &mut self.alarm {
            Some(alarm) => {
                if self.armed != Some(due) {
                    alarm.as_mut().reset(deadline);
                }
                alarm
            }
            none => none.insert(Box::pin(sleep_until(deadline))),
        };
        self.armed = Some(due);
        ready!(alarm.as_mut().poll(cx));
        // the alarm has gone off and must be set anew even for the same deadline
        self.armed = None;
        Poll::Ready(self.epoch.elapsed())
    }
}

/// Slices in one vectored write. Messages by reference take two each; a burst of more than that
/// takes one more system call.
const MAX_SLICES: usize = 64;

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

#[cfg(feature = "server")]
use super::link::Burst;
use super::link::{Direct, message_in_hand, poll_ready_event};
use super::pooled::PooledRx;
use super::timer::Timer;
use super::turn::{STEP, poll_encoded};
use super::waiting::Waiting;
use super::{ClientStream, with_defaults};
use crate::buf::RecvBuffer;
use crate::driver::{Driver, Rest, take_event, take_message};
use crate::entropy::random;
use crate::error::Error;
use crate::handshake::client::Accepted;
use crate::handshake::server::Upgrade;
use crate::parts::Parts;
use crate::pool::PooledTx;
use crate::proto::{CloseInfo, Connection, Event, Message, MessageRef, Receiver, SendError, State};
#[cfg(feature = "server")]
use crate::proto::{MessageKind, Ready};
use crate::wire::CloseCode;
#[cfg(feature = "server")]
use crate::wire::ProtocolError;

/// A WebSocket on a tokio stream.
///
/// Made by [`accept`](super::accept), [`connect`](super::connect) and their relatives. It is one
/// object for both directions; all its state is in it and none in its futures.
///
/// Dropping it drops the stream: the peer sees the connection break (1006). Call
/// [`close`](Self::close) first to end it well.
///
/// ```
/// # async fn run(stream: tokio::net::TcpStream) -> Result<(), sansws::Error> {
/// use sansws::tokio::accept;
/// use sansws::{CloseCode, Event};
///
/// let mut ws = accept(stream).await?;
/// while let Some((event, mut out)) = ws.next_event().await? {
///     match event {
///         // lent from the receive buffer; `recv` gives messages of their own
///         Event::Text(text) if &*text == "bye" => out.start_close(CloseCode::NORMAL, "bye")?,
///         Event::Text(text) => out.feed(&text)?,
///         Event::Binary(bytes) => println!("{} bytes", bytes.len()),
///         _ => {}
///     }
/// }
/// println!("{:?}", ws.close_info());
/// # Ok(())
/// # }
/// ```
pub struct WebSocket<S> {
    pub(super) rx: PooledRx,
    pub(super) receiver: Receiver,
    pub(super) link: Direct<S>,
    pub(super) subprotocol: Subprotocol,
    /// The `Stream` has yielded its last item.
    pub(super) stream_ended: bool,
    /// The `Sink` waits, in another task as a rule.
    pub(super) sink_waits: bool,
    /// Those who wait in two tasks, for a `Stream` and `Sink` or a stream of bytes.
    pub(super) waiting: Option<Arc<Waiting>>,
}

/// What was agreed on, in a box of its own: most sockets have none, and hold a pointer less.
pub(super) type Subprotocol = Option<Box<Box<str>>>;

impl<S> WebSocket<S> {
    /// Makes a WebSocket of its [`Parts`]: of a stream whose opening handshake was done elsewhere
    /// ([`Parts::new`]), or of those that [`into_parts`](Self::into_parts) of either adapter has
    /// returned.
    ///
    /// Keep-alive is as the connection was configured: off, unless that set it.
    pub fn from_parts(parts: Parts<S>) -> Self {
        let Parts { io, connection, rx, tx, epoch, rest, subprotocol } = parts;
        let tx = if tx.is_empty() { PooledTx::default() } else { PooledTx::new(tx) };
        let subprotocol = subprotocol.map(Box::new);
        let is_used = epoch.is_some();
        let timer = epoch.map_or_else(Timer::new, Timer::since);
        let mut this = Self::assemble(io, connection, PooledRx::new(rx), tx, rest, timer);
        if is_used {
            this.link.lose_balance();
        }
        Self { subprotocol, ..this }
    }

    /// Takes the socket apart, without losing a byte: what was received and what is unsent comes
    /// along. [`from_parts`](Self::from_parts) is the way back.
    pub fn into_parts(self) -> Parts<S> {
        let Self { rx, receiver, link, subprotocol, .. } = self;
        let Direct { io, driver, timer, .. } = link;
        let parts = Parts::of(io, receiver, rx.into_inner(), driver, timer.begin());
        Parts { subprotocol: subprotocol.map(|it| *it), ..parts }
    }

    /// Makes a WebSocket that an HTTP stack of your own has upgraded: the response to the request
    /// has been sent with the [`headers`](Upgrade::headers) in `upgrade`. The settings are those
    /// that were given to [`Request::upgrade`](crate::handshake::server::Request::upgrade).
    ///
    /// `received` are the bytes that the stack has read behind the head of the request: the first
    /// frames. Empty if it hands them on through `io`.
    pub fn from_upgrade(io: S, mut upgrade: Upgrade, received: &[u8]) -> Self {
        let config = upgrade.config_mut();
        *config = with_defaults(config);
        let mut rx = RecvBuffer::with_read_ahead(config.read_ahead);
        rx.extend_from_slice(received);
        let subprotocol = upgrade.subprotocol().map(|it| Box::new(it.into()));
        let mut ws = Self::from_parts(Parts::new(io, upgrade.into_connection(), rx));
        ws.subprotocol = subprotocol;
        ws
    }

    /// Makes a WebSocket of a stream that an HTTP stack of your own has opened as a client:
    /// [`Offer::confirm`](crate::handshake::client::Offer::confirm) has accepted the response. The
    /// settings are those that were given to
    /// [`Request::offer`](crate::handshake::client::Request::offer).
    ///
    /// `received` are the bytes that the stack has read behind the head of the response: the first
    /// frames. Empty if it hands them on through `io`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], if there is no randomness for the masking keys.
    pub fn from_accepted(io: S, mut accepted: Accepted, received: &[u8]) -> Result<Self, Error> {
        let config = accepted.config_mut();
        *config = with_defaults(config);
        let mut rx = RecvBuffer::with_read_ahead(config.read_ahead);
        rx.extend_from_slice(received);
        let connection = accepted.connection(random()?);
        let mut ws = Self::from_parts(Parts::new(io, connection, rx));
        ws.subprotocol = accepted.subprotocol().map(|it| Box::new(it.into()));
        Ok(ws)
    }

    pub(super) fn new(
        io: S,
        conn: Connection,
        rx: PooledRx,
        tx: PooledTx,
        mut timer: Timer,
    ) -> Self {
        if conn.poll_timeout().is_none() {
            timer.disarm();
        }
        Self::assemble(io, conn, rx, tx, Rest::new(), timer)
    }

    fn assemble(
        io: S,
        conn: Connection,
        mut rx: PooledRx,
        tx: PooledTx,
        rest: Rest,
        timer: Timer,
    ) -> Self {
        let (mut receiver, mut sender) = conn.split();
        receiver.work_in_steps(STEP);
        sender.work_in_steps(STEP);
        let link = Direct::new(io, Driver::from_parts(sender, tx, rest), timer);
        rx.release();
        Self {
            rx,
            receiver,
            link,
            subprotocol: None,
            stream_ended: false,
            sink_waits: false,
            waiting: None,
        }
    }

    pub(super) fn with_subprotocol(mut self, subprotocol: Option<&str>) -> Self {
        self.subprotocol = subprotocol.map(|it| Box::new(it.into()));
        self
    }

    /// Returns the subprotocol that the handshake agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_ref().map(|it| &***it)
    }

    /// Returns what the handshake agreed on about compression; `None` if messages are not
    /// compressed.
    #[cfg(feature = "deflate")]
    pub fn deflate(&self) -> Option<crate::deflate::Agreement> {
        self.link.driver.sender.deflate()
    }

    /// Returns what can still happen on the connection.
    pub fn state(&self) -> State {
        self.link.driver.sender.state()
    }

    /// Returns how the connection closed; `None` while it is open.
    pub fn close_info(&self) -> Option<CloseInfo<'_>> {
        self.link.driver.sender.close_info()
    }

    /// Returns the time from the last keep-alive ping to its pong; `None` until one was answered.
    pub fn round_trip(&self) -> Option<Duration> {
        self.link.driver.sender.round_trip()
    }

    /// Returns the stream.
    pub fn get_ref(&self) -> &S {
        &self.link.io
    }

    /// Returns the stream. Reading or writing bytes behind the connection's back breaks the
    /// connection.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.link.io
    }

    /// Returns the unsent bytes: what was fed, and replies to the peer.
    pub fn unsent(&self) -> usize {
        self.link.driver.unsent()
    }

    /// Queues a message. Copies it, or keeps a reference to a large owned payload of a server.
    ///
    /// It leaves with the next [`flush`](Self::flush), [`send`](Self::send),
    /// [`recv`](Self::recv) or [`next_event`](Self::next_event). If it is to be compressed and
    /// longer than 64 KiB, it is kept as it is and compressed by that call, in steps; feeding
    /// another one behind it does it at once, which takes milliseconds for each megabyte.
    ///
    /// # Errors
    ///
    /// [`Error::Send`]; nothing was queued then. [`SendError::BufferFull`] says that
    /// [`Config::max_unsent`](crate::Config::max_unsent) bytes wait; a loop of `recv` and one
    /// `feed` for each message never meets it, because `recv` makes room first.
    #[inline]
    pub fn feed<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), Error> {
        self.link.driver.feed(message.into())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Returns the next message, owned. Small payloads are copied, large ones handed over.
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

    /// Returns the next event, borrowed from the receive buffer, and the means to answer it while
    /// it is held.
    ///
    /// This is the path without copies and allocations. Writes what was fed before it waits.
    /// `Ok(None)` after a complete closing handshake, and from then on.
    ///
    /// ```no_run
    /// # use sansws::Event;
    /// # async fn run<S>(mut ws: sansws::tokio::WebSocket<S>) -> Result<(), sansws::Error>
    /// # where S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin {
    /// while let Some((event, mut out)) = ws.next_event().await? {
    ///     if let Some(message) = event.into_message_ref() {
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
        let Self { rx, receiver, link, .. } = self;
        if let Some(kind) = message_in_hand(receiver, rx, link) {
            let event = Receiver::take_message(kind, rx.fetch());
            return Ok(Some((event, Outgoing { link })));
        }
        receiver.deliver_messages();
        let ready = poll_fn(|cx| poll_ready_event(receiver, rx, link, cx)).await?;
        let Some(ready) = ready else { return Ok(None) };
        let event = take_event(receiver, rx.fetch(), ready, |reply| link.driver.reply(reply));
        Ok(Some((event, Outgoing { link })))
    }

    /// Returns the next event, the payload of a message as it arrives: [`Event::Chunk`].
    ///
    /// Nothing is kept, so that messages may be far larger than memory;
    /// [`Config::max_message_len`](crate::Config::max_message_len) still holds. In the middle of a
    /// message this delivers what has arrived of it, and then the rest. A message that was begun so
    /// comes in chunks to its end, also from [`next_event`](Self::next_event), and
    /// [`recv`](Self::recv) is an error until then ([`Error::PartialMessage`]).
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe: dropping the future loses neither bytes nor events.
    pub async fn next_chunk(&mut self) -> Result<Option<(Event<'_>, Outgoing<'_, S>)>, Error> {
        let Self { rx, receiver, link, .. } = self;
        receiver.deliver_chunks(rx.fetch());
        let ready = poll_fn(|cx| poll_ready_event(receiver, rx, link, cx)).await?;
        let Some(ready) = ready else { return Ok(None) };
        let event = take_event(receiver, rx.fetch(), ready, |reply| link.driver.reply(reply));
        Ok(Some((event, Outgoing { link })))
    }

    /// Sends a message and flushes.
    ///
    /// Waits for room while [`Config::max_unsent`](crate::Config::max_unsent) bytes wait to be
    /// sent. While it waits, pings are answered (pings and pongs are no events of
    /// [`next_event`](Self::next_event) then), up to the first message or the peer's Close: that is
    /// kept for `recv`, and nothing is read behind it.
    ///
    /// # Errors
    ///
    /// [`Error::Send`] if the message cannot be sent; nothing of it was taken, and the connection
    /// goes on. [`Error::Disconnected`] or [`Error::Timeout`] if nothing reaches the peer any more.
    /// See [what is said in which state](super#what-sending-says).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future never tears a frame. The message is taken, whole, the first time that
    /// the future is polled and there is room for it; it then leaves with the next call that
    /// flushes. Before that it is not taken at all.
    pub async fn send<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), Error> {
        poll_fn(|cx| self.poll_room(cx)).await?;
        self.feed(message)?;
        poll_fn(|cx| poll_encoded(&mut self.link.driver, cx)).await;
        let end = self.link.driver.end_of_queue()?;
        let flushed = poll_fn(|cx| self.poll_write_all(cx)).await;
        self.link.driver.sent(end, flushed)
    }

    /// Writes everything that is queued. A connection that is closing, or was closed in good order,
    /// has nothing against it.
    ///
    /// # Errors
    ///
    /// [`Error::Disconnected`] or [`Error::Timeout`] if nothing reaches the peer any more.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe: what was written is remembered.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_write_all(cx)).await
    }

    /// Closes the connection: sends a Close frame, waits for the peer's and for the end of TCP.
    ///
    /// Messages that still arrive are dropped; to get them, call [`start_close`](Self::start_close)
    /// and go on with [`recv`](Self::recv). A connection that is closed already stays as it is.
    ///
    /// # Errors
    ///
    /// [`SendError::ReasonTooLong`] before anything is written; [`Error::Timeout`] when the peer
    /// does not answer within [`Config::close_timeout`](crate::Config::close_timeout);
    /// [`Error::Disconnected`] when it hangs up instead.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves a connection that is closing; call it again to go on waiting.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        poll_fn(|cx| poll_encoded(&mut self.link.driver, cx)).await;
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
        self.link.driver.start_close(code, reason)
    }

    /// Returns the driver, for an owner that queues from more than one place.
    #[cfg(feature = "server")]
    pub(crate) fn driver(&mut self) -> &mut Driver {
        &mut self.link.driver
    }

    /// Does the first half of [`next_event`](Self::next_event): until there is an event to
    /// [take](Self::take_ready), or the connection is over in good order (`None`).
    #[cfg(feature = "server")]
    pub(crate) fn poll_ready(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Ready>, Error>> {
        let Self { rx, receiver, link, .. } = self;
        poll_ready_event(receiver, rx, link, cx)
    }

    /// Returns the bytes of a message that is not complete. To be asked while there is no event.
    #[cfg(feature = "server")]
    pub(crate) fn held(&self) -> usize {
        self.rx.look().map_or(0, RecvBuffer::held)
    }

    /// Fails the connection while there is no event: what has arrived of a message is dropped.
    #[cfg(feature = "server")]
    pub(crate) fn fail(&mut self, error: ProtocolError) {
        self.receiver.fail(error, self.rx.fetch());
    }

    /// Takes the event that was found.
    #[cfg(feature = "server")]
    #[inline]
    pub(crate) fn take_ready(&mut self, ready: Ready) -> (Event<'_>, Outgoing<'_, S>) {
        let Self { rx, receiver, link, .. } = self;
        let event = take_event(receiver, rx.fetch(), ready, |reply| link.driver.reply(reply));
        (event, Outgoing { link })
    }

    /// Returns a message that came with the one before, if there is one: it is to be
    /// [taken](Self::take_ready) at once.
    #[cfg(feature = "server")]
    #[inline]
    pub(crate) fn message_in_hand(&mut self, cx: &mut Context<'_>) -> Option<MessageKind> {
        let _ = self.rx.turn.poll(cx); // if there is none, the next look finds that out
        message_in_hand(&mut self.receiver, &mut self.rx, &mut self.link)
    }

    /// Returns what came with a message that was found, and beside it the driver.
    #[cfg(feature = "server")]
    #[inline]
    pub(crate) fn burst(&mut self) -> (Burst<'_>, &mut Driver) {
        let Self { rx, receiver, link, .. } = self;
        (Burst { rx, receiver }, &mut link.driver)
    }

    /// Returns what has arrived and is not parsed; `None` in the middle of a message.
    #[cfg(feature = "server")]
    #[inline]
    pub(crate) fn unparsed(&self) -> Option<&[u8]> {
        self.receiver.takes_short_way().then(|| self.rx.look().map_or(&[][..], |rx| rx.unparsed()))
    }

    /// Returns the sending side while there is no event.
    #[cfg(feature = "server")]
    pub(crate) fn outgoing(&mut self) -> Outgoing<'_, S> {
        Outgoing { link: &mut self.link }
    }

    pub(super) fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>, Error>> {
        let Self { rx, receiver, link, .. } = self;
        receiver.deliver_messages();
        loop {
            let ready = ready!(poll_ready_event(receiver, rx, link, cx))?;
            let Some(ready) = ready else { return Poll::Ready(Ok(None)) };
            let pay = |reply| link.driver.reply(reply);
            if let Some(message) = take_message(receiver, rx.fetch(), ready, pay)? {
                return Poll::Ready(Ok(Some(message)));
            }
        }
    }

    /// Waits until the connection is over, events dropped.
    pub(super) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Self { rx, receiver, link, .. } = self;
        while let Some(ready) = ready!(poll_ready_event(receiver, rx, link, cx))? {
            take_event(receiver, rx.fetch(), ready, |reply| link.driver.reply(reply));
        }
        Poll::Ready(Ok(()))
    }
}

impl WebSocket<TcpStream> {
    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// The socket is not connected any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.get_ref().peer_addr()
    }
}

impl WebSocket<ClientStream> {
    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// The socket is not connected any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.get_ref().tcp().peer_addr()
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
    link: &'a mut Direct<S>,
}

impl<S> Outgoing<'_, S> {
    /// Queues a message; see [`WebSocket::feed`].
    ///
    /// # Errors
    ///
    /// [`Error::Send`]; nothing was queued then.
    #[inline]
    pub fn feed<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), Error> {
        self.link.driver.feed(message.into())
    }

    /// Queues a Close frame; the closing handshake goes on with the next event.
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`] when the connection is closing already, [`SendError::ReasonTooLong`].
    pub fn start_close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.link.driver.start_close(code, reason)
    }

    /// Returns the unsent bytes.
    pub fn unsent(&self) -> usize {
        self.link.driver.unsent()
    }
}

impl<S: AsyncWrite + Unpin> Outgoing<'_, S> {
    #[cfg(feature = "server")]
    pub(crate) fn driver(&mut self) -> &mut Driver {
        &mut self.link.driver
    }

    #[cfg(feature = "server")]
    pub(crate) fn stream_mut(&mut self) -> &mut S {
        &mut self.link.io
    }

    /// Notes that somebody else has written so many bytes to the stream.
    #[cfg(feature = "server")]
    pub(crate) fn note_passed(&mut self, bytes: u32) {
        self.link.was_written_to(bytes as usize);
    }

    /// Ready when the time changed something: a ping is due, or the peer took too long.
    #[cfg(feature = "server")]
    pub(crate) fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.link.poll_timer(cx, false)
    }

    /// As [`flush`](Self::flush).
    #[cfg(feature = "server")]
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.link.poll_write_all(cx)
    }

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

use alloc::boxed::Box;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::net::TcpStream;

use super::link::{Clock, Direct, ready_event};
use super::{ClientStream, Transport};
use crate::buf::{RecvBuffer, SendBuffer};
use crate::driver::{Driver, take_event, take_message};
use crate::entropy::random;
use crate::error::Error;
use crate::handshake::client::Accepted;
use crate::handshake::server::Upgrade;
use crate::parts::Parts;
use crate::pool::PooledTx;
use crate::proto::{CloseInfo, Connection, Event, Message, MessageRef, Receiver, SendError, State};
use crate::wire::CloseCode;

/// A WebSocket on a blocking stream.
///
/// Made by [`accept`](super::accept), [`connect`](super::connect) and their relatives. Dropping it
/// drops the stream: the peer sees the connection break (1006). Call [`close`](Self::close) first
/// to end it well.
///
/// ```no_run
/// # fn run() -> Result<(), sansws::Error> {
/// use sansws::CloseCode;
/// use sansws::blocking::connect;
///
/// let mut ws = connect("ws://127.0.0.1:9001/")?;
/// ws.send("hello")?;
/// while let Some(message) = ws.recv()? {
///     println!("{message:?}");
///     ws.start_close(CloseCode::NORMAL, "done")?; // `recv` ends once the peer has answered
/// }
/// println!("{:?}", ws.close_info());
/// # Ok(())
/// # }
/// ```
pub struct WebSocket<S> {
    pub(super) rx: RecvBuffer,
    pub(super) receiver: Receiver,
    pub(super) link: Direct<S>,
    pub(super) subprotocol: Option<Box<str>>,
}

impl<S> WebSocket<S> {
    /// Makes a WebSocket of its [`Parts`]: of a stream whose opening handshake was done elsewhere
    /// ([`Parts::new`]), or of those that [`into_parts`](Self::into_parts) of either adapter has
    /// returned.
    ///
    /// Keep-alive is as the connection was configured: off, unless that set it.
    pub fn from_parts(parts: Parts<S>) -> Self {
        let Parts { io, connection, rx, tx, epoch, rest, subprotocol } = parts;
        let (receiver, sender) = connection.split();
        let driver = Driver::from_parts(sender, PooledTx::new(tx), rest);
        let mut link = Direct::new(io, driver, receiver.max_ahead());
        link.clock = epoch.map_or(link.clock, Clock::since);
        Self { rx, receiver, link, subprotocol }
    }

    /// Makes a WebSocket that an HTTP stack of your own has upgraded: the response to the request
    /// has been sent with the [`headers`](Upgrade::headers) in `upgrade`. The settings are those
    /// that were given to [`Request::upgrade`](crate::handshake::server::Request::upgrade).
    ///
    /// `received` are the bytes that the stack has read behind the head of the request: the first
    /// frames. Empty if it hands them on through `io`.
    pub fn from_upgrade(io: S, mut upgrade: Upgrade, received: &[u8]) -> Self {
        let mut rx = RecvBuffer::with_read_ahead(upgrade.config_mut().read_ahead);
        rx.extend_from_slice(received);
        let subprotocol = upgrade.subprotocol().map(Box::from);
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
        let mut rx = RecvBuffer::with_read_ahead(accepted.config_mut().read_ahead);
        rx.extend_from_slice(received);
        let connection = accepted.connection(random()?);
        let mut ws = Self::from_parts(Parts::new(io, connection, rx));
        ws.subprotocol = accepted.subprotocol().map(Box::from);
        Ok(ws)
    }

    pub(super) fn new(io: S, conn: Connection, rx: RecvBuffer, tx: SendBuffer) -> Self {
        Self::from_parts(Parts { tx, ..Parts::new(io, conn, rx) })
    }

    pub(super) fn with_subprotocol(mut self, subprotocol: Option<&str>) -> Self {
        self.subprotocol = subprotocol.map(Box::from);
        self
    }

    /// Returns the subprotocol that the handshake agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
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
    /// [`recv`](Self::recv) or [`next_event`](Self::next_event).
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

    /// Queues a Close frame and returns. The closing handshake goes on in [`recv`](Self::recv).
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`] when the connection is closing already,
    /// [`SendError::ReasonTooLong`].
    pub fn start_close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.link.driver.start_close(code, reason)
    }
}

impl<S: Transport> WebSocket<S> {
    /// Takes the socket apart, without losing a byte: what was received and what is unsent comes
    /// along. [`from_parts`](Self::from_parts) is the way back. The stream has its own time-outs
    /// again.
    pub fn into_parts(self) -> Parts<S> {
        let Self { mut rx, receiver, mut link, subprotocol } = self;
        link.hand_over(&mut rx);
        let Direct { io, driver, clock, mut read_limit, mut write_limit, .. } = link;
        // one that takes none back has said so before
        let _ = read_limit.restore(&io).and_then(|()| write_limit.restore(&io));
        Parts { subprotocol, ..Parts::of(io, receiver, rx, driver, clock.begin()) }
    }

    /// Returns the next message, owned. Small payloads are copied, large ones handed over.
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
    /// read time-out that you set on the stream yourself has passed without a byte, or the stream
    /// does not wait and has nothing: nothing is lost, call again.
    pub fn recv(&mut self) -> Result<Option<Message>, Error> {
        self.deliver(false);
        let Self { rx, receiver, link, .. } = self;
        while let Some(ready) = ready_event(receiver, rx, link)? {
            let pay = |reply| link.driver.reply(reply);
            if let Some(message) = take_message(receiver, rx, ready, pay)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// Returns the next event, borrowed from the receive buffer, and the means to answer it while
    /// it is held.
    ///
    /// This is the path without copies and allocations. Writes what was fed before it waits.
    /// `Ok(None)` after a complete closing handshake, and from then on.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn next_event(&mut self) -> Result<Option<(Event<'_>, Outgoing<'_, S>)>, Error> {
        self.deliver(false);
        self.take_next()
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
    pub fn next_chunk(&mut self) -> Result<Option<(Event<'_>, Outgoing<'_, S>)>, Error> {
        self.deliver(true);
        self.take_next()
    }

    /// Chooses how the next message is delivered, and how much is taken in while this end writes.
    fn deliver(&mut self, in_chunks: bool) {
        self.receiver.deliver(in_chunks, &self.rx);
        self.link.max_ahead = self.receiver.max_ahead();
    }

    fn take_next(&mut self) -> Result<Option<(Event<'_>, Outgoing<'_, S>)>, Error> {
        let Self { rx, receiver, link, .. } = self;
        let Some(ready) = ready_event(receiver, rx, link)? else { return Ok(None) };
        let event = take_event(receiver, rx, ready, |reply| link.driver.reply(reply));
        Ok(Some((event, Outgoing { link })))
    }

    /// Sends a message and flushes.
    ///
    /// Waits for room while [`Config::max_unsent`](crate::Config::max_unsent) bytes wait to be
    /// sent. While the peer does not read, what it sends is taken in, for the next `recv`: two ends
    /// that send to each other would otherwise wait for ever. That goes on up to
    /// [`Config::max_message_len`](crate::Config::max_message_len) bytes; then this waits for the
    /// peer to read.
    ///
    /// # Errors
    ///
    /// [`Error::Send`] if the message cannot be sent; nothing of it was taken, and the connection
    /// goes on. [`Error::Disconnected`] or [`Error::Timeout`] if nothing reaches the peer any more.
    /// See [what is said in which state](super#what-sending-says).
    /// [`Error::Io`] when a time-out that you set on the stream yourself has passed, or when the
    /// stream does not wait ([`WouldBlock`](io::ErrorKind::WouldBlock)): what was taken stays
    /// queued, and leaves with [`flush`](Self::flush) or any other call. A message that found no
    /// room was not taken; where you need to tell the two apart, call [`feed`](Self::feed) and
    /// `flush`.
    pub fn send<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), Error> {
        self.link.send(message.into())
    }

    /// Writes everything that is queued. A connection that is closing, or was closed in good order,
    /// has nothing against it.
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
    /// [`SendError::ReasonTooLong`] before anything is written; [`Error::Timeout`] when the peer
    /// does not answer within [`Config::close_timeout`](crate::Config::close_timeout);
    /// [`Error::Disconnected`] when it hangs up instead.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        match self.start_close(code, reason) {
            Ok(()) | Err(Error::Send(SendError::NotOpen)) => {}
            Err(error) => return Err(error),
        }
        let Self { rx, receiver, link, .. } = self;
        while let Some(ready) = ready_event(receiver, rx, link)? {
            take_event(receiver, rx, ready, |reply| link.driver.reply(reply));
        }
        Ok(())
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

#![forbid(unsafe_code)]

use core::time::Duration;

use super::receiver::{Ready, close_frame};
use super::{
    CloseInfo, Event, MessageKind, MessageRef, MessageWriter, Outcome, Receiver, Role, SendError,
    Sender, State, Timeout, Transport,
};
use crate::buf::{RecvBuffer, SendBuffer};
use crate::config::Config;
#[cfg(feature = "deflate")]
use crate::deflate::{Agreement, Deflate};
use crate::wire::{CloseFrame, ProtocolError};

/// One end of an open WebSocket connection.
///
/// The caller owns the socket, the two buffers and the clock. One turn of its loop:
///
/// 1. read into [`rx.space()`](RecvBuffer::space), then [`rx.commit(n)`](RecvBuffer::commit); on
///    end of file call [`receive_eof`](Self::receive_eof);
/// 2. take events with [`poll_event`](Self::poll_event) until it returns `None`, and
///    [`feed`](Self::feed) what the application wants to say;
/// 3. write `tx` (it is a [`bytes::Buf`]), and say how much the transport took with
///    [`note_written`](Self::note_written); if the write before had to wait, with
///    [`note_progress`](Self::note_progress) too. Without these the time-outs of keep-alive and of
///    closing know nothing of a peer that reads slowly, and give it up too early;
/// 4. do what [`transport`](Self::transport) says once `tx` is empty;
/// 5. sleep until [`poll_timeout`](Self::poll_timeout) at the latest, and then call
///    [`handle_timeout`](Self::handle_timeout).
///
/// Where one loop serves many connections that compress, bound the work of a turn with
/// [`work_in_steps`](Self::work_in_steps).
///
/// Calls may come in any order; none blocks. Methods fall into three groups: `poll_event`,
/// `advance`, `receive_eof` and `handle_timeout` bring something in; `send…`, `start_message` and
/// `close` put something out; the others look.
///
/// ```
/// use sansws::buf::{RecvBuffer, SendBuffer};
/// use sansws::bytes::Buf;
/// use sansws::proto::Connection;
/// use sansws::Event;
/// use sansws::Config;
///
/// let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
/// let mut server = Connection::server(&Config::new());
/// rx.extend_from_slice(&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
/// let violation = loop {
///     match server.poll_event(&mut rx, &mut tx) {
///         Ok(Some(Event::Text(text))) => server.feed(&mut tx, &text)?, // the only copy
///         Ok(Some(_)) => {}
///         Ok(None) => break None,
///         // not `?` here: the Close frame that says why is in `tx`, and has to be written first
///         Err(error) => break Some(error),
///     }
/// };
/// // to the socket with it, then give up if there is a violation
/// assert_eq!(tx.chunk(), b"\x81\x05Hello");
/// let n = tx.remaining(); // what the socket took
/// tx.advance(n);
/// server.note_written(n);
/// # assert_eq!(violation, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Connection {
    receiver: Receiver,
    sender: Sender,
}

impl Connection {
    /// Returns the server's end of a connection whose opening handshake is done.
    ///
    /// [`handshake::server`](crate::handshake::server) calls this; call it yourself when another
    /// HTTP stack did the handshake.
    pub fn server(config: &Config) -> Self {
        Self::new(Receiver::new(Role::Server, config), Sender::server(config))
    }

    /// Returns the client's end of a connection whose opening handshake is done.
    ///
    /// `mask_seed` drives the cipher that makes the masking keys. Take it from the operating system
    /// and never use it twice: RFC 6455 §10.3 needs the keys to be unpredictable.
    pub fn client(config: &Config, mask_seed: [u8; 32]) -> Self {
        Self::new(Receiver::new(Role::Client, config), Sender::client(config, mask_seed))
    }

    fn new(receiver: Receiver, sender: Sender) -> Self {
        Self { receiver, sender }
    }

    /// Returns the same connection with compression, as it was agreed on in an opening handshake
    /// done elsewhere ([`handshake::deflate`](crate::handshake::deflate) reads and writes the
    /// header for that).
    ///
    /// Of `settings`, the level, the memory and the threshold are used. Call it before anything is
    /// sent or received.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn with_deflate(mut self, agreed: Agreement, settings: &Deflate) -> Self {
        let agreed = agreed.clamped();
        self.receiver.set_deflate(agreed);
        self.sender.set_deflate(agreed, settings);
        self
    }

    /// Returns what was agreed about compression; `None` if messages are not compressed.
    #[cfg(feature = "deflate")]
    pub fn deflate(&self) -> Option<Agreement> {
        self.sender.deflate()
    }

    /// Returns the next event, or `None` when `rx` holds no complete one.
    ///
    /// Pongs and the reply to a Close are written to `tx` before the event is returned. The event
    /// borrows `rx` alone. Cost: a header parse and one pass over the payload (two for text).
    ///
    /// After the peer's Close, and after EOF, there are no more events: what is in `rx` is
    /// discarded and `None` returned.
    ///
    /// # Errors
    ///
    /// [`ProtocolError`] when the peer broke a rule. A Close frame with
    /// [`error.close_code()`](ProtocolError::close_code) is in `tx` then: a `?` that drops `tx`
    /// keeps it from the peer. Write it before you give up, and go on
    /// with what [`transport`](Self::transport) says. The error is sticky.
    #[inline]
    pub fn poll_event<'b>(
        &mut self,
        rx: &'b mut RecvBuffer,
        tx: &mut SendBuffer,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        if let Some(kind) = self.receiver.assemble_whole(rx) {
            return Ok(Some(Receiver::take_message(kind, rx)));
        }
        self.poll_event_in_steps(rx, tx)
    }

    #[inline(never)]
    fn poll_event_in_steps<'b>(
        &mut self,
        rx: &'b mut RecvBuffer,
        tx: &mut SendBuffer,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        self.receiver.deliver_messages();
        self.take_next(rx, tx)
    }

    /// As [`poll_event`](Self::poll_event), but the payload of a message is delivered as it
    /// arrives, in [`Event::Chunk`]s: nothing is kept, so that messages may be far larger than
    /// memory. [`Config::max_message_len`] still holds.
    ///
    /// Called in the middle of a message, this delivers what has arrived of it, and then the rest.
    /// A message that was begun so is delivered to its end in chunks, also by `poll_event`;
    /// [`advance`](Self::advance) looks for what was asked for last.
    ///
    /// # Errors
    ///
    /// As [`poll_event`](Self::poll_event).
    pub fn poll_chunk<'b>(
        &mut self,
        rx: &'b mut RecvBuffer,
        tx: &mut SendBuffer,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        self.receiver.deliver_chunks(rx);
        self.take_next(rx, tx)
    }

    fn take_next<'b>(
        &mut self,
        rx: &'b mut RecvBuffer,
        tx: &mut SendBuffer,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        match self.find(rx, tx)? {
            Some(ready) => Ok(Some(self.receiver.take_event(rx, ready))),
            None => Ok(None),
        }
    }

    /// Returns whether [`poll_event`](Self::poll_event) has an event to return.
    ///
    /// Does the same work, including replies, but borrows nothing afterwards: a loop can read more
    /// bytes as long as this is `false` and take the event behind the loop.
    ///
    /// # Errors
    ///
    /// As [`poll_event`](Self::poll_event).
    #[inline]
    #[must_use = "a violation that it finds is told once"]
    pub fn advance(
        &mut self,
        rx: &mut RecvBuffer,
        tx: &mut SendBuffer,
    ) -> Result<bool, ProtocolError> {
        self.find(rx, tx).map(|ready| ready.is_some())
    }

    /// Encodes a text, binary message, ping or pong into `tx`.
    ///
    /// A message is sent in one frame. On a server an owned payload of 16 KiB or more is queued by
    /// reference; all else is copied, and on a client masked in the same pass.
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`] after `close` or the peer's Close, [`SendError::BufferFull`] when
    /// [`Config::max_unsent`] bytes wait, [`SendError::ControlTooLong`],
    /// [`SendError::MessageUnfinished`]. Nothing was written then.
    #[inline]
    pub fn feed<'m>(
        &mut self,
        tx: &mut SendBuffer,
        message: impl Into<MessageRef<'m>>,
    ) -> Result<(), SendError> {
        self.sender.feed(tx, message)
    }

    /// Bounds the work of one call where messages are compressed: at most so many bytes are
    /// inflated, copied or compressed in it, 1 at least. Without this a message is inflated, and
    /// one that is sent compressed, in one go, which takes tens of milliseconds for 16 MiB: too
    /// long for an event loop that serves others too. 64 KiB take a millisecond at most, as a rule.
    ///
    /// From then on the connection [is paused](Self::is_paused) in the middle of a longer message:
    ///
    /// - [`poll_event`](Self::poll_event) and [`advance`](Self::advance) return nothing though the
    ///   event needs no more bytes from the peer. Call again.
    /// - [`feed`](Self::feed) takes a message longer than that without compressing it (a borrowed
    ///   one is copied), and [`proceed`](Self::proceed) does it, part by part. The frame is in `tx`
    ///   when that is done. Pings, pongs and the like may go before it. Whatever has to leave
    ///   behind it, another message or a Close, finishes it in one go: proceed before you take the
    ///   next event.
    ///
    /// Set it when the connection begins. Chunks ([`poll_chunk`](Self::poll_chunk))
    /// are small steps by themselves. Without compression this does nothing.
    ///
    /// ```
    /// use sansws::buf::{RecvBuffer, SendBuffer};
    /// use sansws::proto::Connection;
    /// use sansws::Config;
    ///
    /// let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    /// let mut conn = Connection::server(&Config::new()); // and `with_deflate`
    /// conn.work_in_steps(64 * 1024);
    /// // a turn of this connection
    /// if conn.proceed(&mut tx)
    ///     && let Some(event) = conn.poll_event(&mut rx, &mut tx)?
    ///     && let Some(message) = event.into_message_ref()
    /// {
    ///     let _ = conn.feed(&mut tx, message);
    /// }
    /// if conn.is_paused() {
    ///     // another turn after those of the others, whether or not its socket has news
    /// }
    /// # Ok::<(), sansws::ProtocolError>(())
    /// ```
    pub fn work_in_steps(&mut self, bytes: usize) {
        self.receiver.work_in_steps(bytes);
        self.sender.work_in_steps(bytes);
    }

    /// Returns whether there is more to do that needs nothing from the peer: a message is being
    /// inflated ([`poll_event`](Self::poll_event) goes on) or compressed
    /// ([`proceed`](Self::proceed)). Only with [`work_in_steps`](Self::work_in_steps).
    #[inline]
    pub fn is_paused(&self) -> bool {
        self.receiver.is_paused() || self.sender.is_paused()
    }

    /// Compresses the next part of a message that was sent and is not in `tx` yet; the last part
    /// puts it there. Returns whether nothing of the kind is left to do.
    #[inline]
    pub fn proceed(&mut self, tx: &mut SendBuffer) -> bool {
        self.sender.proceed(tx)
    }

    /// Begins a message that is sent in fragments, its length unknown. Writes nothing yet.
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`], or [`SendError::MessageUnfinished`] while another is under way.
    pub fn start_message(&mut self, kind: MessageKind) -> Result<MessageWriter<'_>, SendError> {
        self.sender.start_message(kind)
    }

    /// Goes on with a message whose [`MessageWriter`] was dropped before it was finished, so that
    /// events can be taken between two fragments.
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`], or [`SendError::NoMessage`] when none is under way.
    pub fn resume_message(&mut self) -> Result<MessageWriter<'_>, SendError> {
        self.sender.resume_message()
    }

    /// Begins the closing handshake: writes a Close frame, with a code and a reason or without
    /// (RFC 6455 §7.1.2).
    ///
    /// Messages that are on their way still arrive as events, until the peer's Close.
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`] when a Close was sent or received before,
    /// [`SendError::ReasonTooLong`]. Nothing was written then.
    pub fn close(
        &mut self,
        tx: &mut SendBuffer,
        close: Option<CloseFrame<'_>>,
    ) -> Result<(), SendError> {
        self.sender.close(tx, close)
    }

    /// Notes that the transport reached its end, or broke.
    ///
    /// Events that are complete in the receive buffer should be taken first; this discards the
    /// rest. Closes the connection: cleanly if the closing handshake was complete (RFC 6455
    /// §7.1.4).
    pub fn receive_eof(&mut self) -> Outcome {
        self.receiver.receive_eof();
        self.sender.receive_eof()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout): a time on the caller's monotonic
    /// clock, which may begin anywhere. Zero is at once. `None` when nothing is waited for.
    ///
    /// Ask again after every call that is not a look. Receiving and sending messages does not
    /// change the answer, so that a busy connection needs no clock.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.sender.poll_timeout()
    }

    /// Acts on the time: sends a keep-alive ping, or gives up on the peer.
    ///
    /// May be called early and often. Take in what the transport has first: bytes that wait there
    /// prove that the peer is alive.
    ///
    /// # Errors
    ///
    /// [`Timeout`] when the peer did not answer. The connection is closed then; every later call
    /// returns the same.
    pub fn handle_timeout(&mut self, now: Duration, tx: &mut SendBuffer) -> Result<(), Timeout> {
        self.sender.note_arrived(self.receiver.take_arrived());
        self.sender.handle_timeout(now, tx).inspect_err(|_| self.receiver.receive_eof())
    }

    /// Takes note of bytes of `tx` that the transport took. A peer gets time to read what lies
    /// before a ping or a Close, so keep-alive and the closing handshake are the fairer to slow
    /// readers the more they know.
    #[inline]
    pub fn note_written(&mut self, bytes: usize) {
        self.sender.note_written(bytes);
    }

    /// Takes note that the transport took bytes after it had been full: the peer reads, so nobody
    /// gives it up. Received bytes count without this.
    pub fn note_progress(&mut self) {
        self.sender.note_progress();
    }

    /// Returns what can still happen on the connection.
    pub fn state(&self) -> State {
        self.sender.state()
    }

    /// Returns what to do with the transport once `tx` is empty.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.sender.transport()
    }

    /// Returns how the connection closed: `None` until the peer's Close, a violation, a time-out or
    /// EOF.
    pub fn close_info(&self) -> Option<CloseInfo<'_>> {
        self.sender.close_info()
    }

    /// Returns the time from the last keep-alive ping to its pong; `None` until one was answered.
    pub fn round_trip(&self) -> Option<Duration> {
        self.sender.round_trip()
    }

    /// Returns which end this is.
    pub fn role(&self) -> Role {
        self.sender.role()
    }

    /// Returns the two directions, for two owners. They share nothing.
    ///
    /// Answers that the receiver owes come out of it as a [`Reply`](super::Reply); closing and
    /// the timers are the sender's.
    pub fn split(mut self) -> (Receiver, Sender) {
        self.receiver.mark_answered();
        (self.receiver, self.sender)
    }

    /// Puts the halves together again. What is owed to the peer for an event that was found and not
    /// taken is written to `tx` now, as it is by [`find`](Self::find).
    #[cfg(feature = "std")]
    pub(crate) fn join(
        mut receiver: Receiver,
        sender: Sender,
        rx: &RecvBuffer,
        tx: &mut SendBuffer,
    ) -> Self {
        let owed = receiver.unanswered();
        let mut this = Self { receiver, sender };
        if let Some(ready) = owed {
            this.answer(rx, tx, ready);
        }
        this
    }

    pub(crate) fn sender(&self) -> &Sender {
        &self.sender
    }

    pub(crate) fn sender_mut(&mut self) -> &mut Sender {
        &mut self.sender
    }

    /// As [`Receiver::assemble_whole`].
    #[inline]
    pub(crate) fn assemble_whole(&mut self, rx: &mut RecvBuffer) -> Option<MessageKind> {
        self.receiver.assemble_whole(rx)
    }

    /// As [`Receiver::take_message`].
    #[inline]
    pub(crate) fn take_message(kind: MessageKind, rx: &mut RecvBuffer) -> Event<'_> {
        Receiver::take_message(kind, rx)
    }

    /// Takes the event that [`find`](Self::find) has found.
    pub(crate) fn take_event<'b>(&mut self, rx: &'b mut RecvBuffer, ready: Ready) -> Event<'b> {
        self.receiver.take_event(rx, ready)
    }

    /// As [`handle_timeout`](Self::handle_timeout), where nobody may have read what has come
    /// (`deaf`). A time-out shows in [`transport`](Self::transport).
    pub(crate) fn handle_timeout_with(&mut self, now: Duration, tx: &mut SendBuffer, deaf: bool) {
        self.sender.note_arrived(self.receiver.take_arrived());
        if self.sender.handle_timeout_with(now, tx, 0, deaf).is_err() {
            self.receiver.receive_eof();
        }
    }

    /// Chooses how the next message is delivered.
    pub(crate) fn deliver(&mut self, in_chunks: bool, rx: &RecvBuffer) {
        self.receiver.deliver(in_chunks, rx);
    }

    /// Finds the next event and writes what is owed for it.
    #[inline]
    pub(crate) fn find(
        &mut self,
        rx: &mut RecvBuffer,
        tx: &mut SendBuffer,
    ) -> Result<Option<Ready>, ProtocolError> {
        let known = self.receiver.is_ready();
        match self.receiver.advance(rx) {
            Ok(Some(ready)) => {
                if !known {
                    self.answer(rx, tx, ready);
                }
                Ok(Some(ready))
            }
            Ok(None) => {
                self.give_up_on_flood();
                Ok(None)
            }
            Err(error) => {
                self.sender.violation(tx, error);
                self.give_up_on_flood();
                Err(error)
            }
        }
    }

    #[inline]
    fn answer(&mut self, rx: &RecvBuffer, tx: &mut SendBuffer, ready: Ready) {
        match ready {
            Ready::Ping(len) => self.sender.pong(tx, rx.control(len.into())),
            Ready::Pong(len) => self.sender.pong_came(rx.control(len.into())),
            Ready::Close(len) => {
                self.sender.peer_closed(tx, close_frame(rx.control(len.into())));
            }
            _ => {}
        }
    }

    #[inline]
    fn give_up_on_flood(&mut self) {
        if self.receiver.is_flooded() {
            self.receive_eof();
        }
    }
}

#[cfg(test)]
#[cfg(feature = "std")]
mod tests {
    use bytes::Buf;

    use super::*;

    /// A ping that was found is answered once, whichever owner has found it; so is the next one.
    #[test]
    fn halves_that_are_joined_answer_once() {
        let config = Config::new();
        for by_halves in [true, false] {
            let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
            let mut client = Connection::client(&config, [7; 32]);
            rx.extend_from_slice(b"\x89\x01a\x81\x01b\x89\x01c");
            if !by_halves {
                assert_eq!(client.advance(&mut rx, &mut tx), Ok(true));
            }
            let (mut receiver, sender) = client.split();
            if by_halves {
                assert_eq!(receiver.advance(&mut rx), Ok(Some(Ready::Ping(1))));
                assert!(tx.is_empty());
            }
            let pong_len = 7;
            let mut client = Connection::join(receiver, sender, &rx, &mut tx);
            assert_eq!(tx.remaining(), pong_len);
            let event = client.poll_event(&mut rx, &mut tx);
            assert!(matches!(event, Ok(Some(Event::Ping(b"a")))), "{event:?}");
            assert_eq!(tx.remaining(), pong_len);
            // nothing is owed for a message
            assert_eq!(client.advance(&mut rx, &mut tx), Ok(true));
            let (receiver, sender) = client.split();
            let mut client = Connection::join(receiver, sender, &rx, &mut tx);
            assert!(matches!(client.poll_event(&mut rx, &mut tx), Ok(Some(Event::Text(_)))));
            assert_eq!(tx.remaining(), pong_len);
            let event = client.poll_event(&mut rx, &mut tx);
            assert!(matches!(event, Ok(Some(Event::Ping(b"c")))), "{event:?}");
            assert_eq!(tx.remaining(), 2 * pong_len);
        }
    }

    /// RFC 6455 §7.1.4: both Close frames make an end clean, and one that still waited, here or on
    /// its way to the transport, when the time was over, was not sent.
    #[test]
    fn an_answer_that_did_not_leave_is_no_clean_end() {
        for (in_buffer, in_flight, clean) in [(false, 0, true), (true, 0, false), (false, 1, false)]
        {
            let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
            let mut client = Connection::client(&Config::new(), [7; 32]);
            rx.extend_from_slice(b"\x88\x00");
            assert!(matches!(client.poll_event(&mut rx, &mut tx), Ok(Some(Event::Close(None)))));
            if !in_buffer {
                tx.advance(tx.remaining());
            }
            for _ in 0..2 {
                let now = client.poll_timeout().unwrap();
                client.sender.handle_timeout_with(now, &mut tx, in_flight, false).unwrap();
            }
            assert_eq!(client.state(), State::Closed);
            assert_eq!(client.close_info().unwrap().clean, clean);
        }
    }

    /// What the adapters ask for besides.
    #[test]
    fn what_a_sender_knows() {
        let config = Config::new().close_timeout(Duration::from_secs(7)).max_unsent(70);
        let conn = Connection::client(&config, [7; 32]);
        assert_eq!(conn.sender.close_timeout(), Duration::from_secs(7));
        assert_eq!((conn.sender.max_unsent(), conn.sender.has_ended()), (70, false));
        #[cfg(feature = "deflate")]
        {
            let mut tx = SendBuffer::new();
            assert_eq!(conn.sender.under_way(), 0);
            let mut conn = conn.with_deflate(Agreement::new(), &Deflate::new().threshold(0));
            conn.work_in_steps(10);
            conn.feed(&mut tx, &[7; 100][..]).unwrap();
            assert_eq!((conn.sender.under_way(), tx.remaining()), (100, 0));
            conn.sender.finish(&mut tx);
            assert_eq!(conn.sender.under_way(), 0);
        }
    }
}

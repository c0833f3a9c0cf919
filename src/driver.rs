#![forbid(unsafe_code)]

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::time::Duration;
use std::io;

use bytes::Buf;

use crate::buf::{RecvBuffer, SendBuffer};
use crate::endpoint::{Action, Flow, Unsent};
use crate::error::Error;
use crate::pool::PooledTx;
use crate::proto::{
    Arrived, Event, Message, MessageRef, Outcome, Ready, Receiver, Reply, SendError, Sender, State,
    Timeout, Transport,
};
use crate::wire::{CloseCode, CloseFrame, ProtocolError};

/// The sending half of an open connection, its send buffer and the state of its transport: what the
/// adapters share.
///
/// They differ in how they wait, and in nothing else: what to do next is decided by [`Flow`] or
/// below. The receiving half parses on its own ([`Receiver`]) and asks in two places: before it
/// parses ([`before_parsing`](Self::before_parsing)) and when it has found no event
/// ([`after_parsing`](Self::after_parsing)).
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) sender: Sender,
    tx: PooledTx,
    flow: Flow,
    /// Byte-stream mode: events are delivered although there is no room for answers, as nobody
    /// answers to them. Two ends that send more than the other takes in would otherwise wait for
    /// each other.
    independent: bool,
    /// The transport has bytes in a buffer of its own that it could not write yet.
    pub(crate) flush_pending: bool,
    /// The last flush did not go through: it had to wait, or it failed.
    is_kept: bool,
    /// All bytes that the transport has ever taken.
    pub(crate) written: u64,
    /// Unsent bytes that were taken out of `tx` to be written.
    pub(crate) in_flight: usize,
    write_error: Option<Arc<io::Error>>,
    /// How it ended; there as soon as [`Flow::is_over`].
    end: Option<Box<Result<(), Error>>>,
}

/// State of the transport, without what the connection itself knows, and how the connection ended.
#[derive(Debug)]
pub(crate) struct Rest {
    flow: Flow,
    flush_pending: bool,
    write_error: Option<Arc<io::Error>>,
    end: Option<Box<Result<(), Error>>>,
}

impl Rest {
    pub(crate) const fn new() -> Self {
        Self { flow: Flow::new(), flush_pending: false, write_error: None, end: None }
    }
}

/// The outcome of parsing, besides that there is no event.
#[derive(Default)]
pub(crate) struct Parsed {
    pub(crate) violation: Option<ProtocolError>,
    pub(crate) arrived: Option<Arrived>,
    pub(crate) flooded: bool,
    /// There is more to parse without another byte from the peer.
    pub(crate) paused: bool,
}

impl Driver {
    pub(crate) fn from_parts(sender: Sender, mut tx: PooledTx, rest: Rest) -> Self {
        tx.release();
        let Rest { flow, flush_pending, write_error, end } = rest;
        Self {
            sender,
            tx,
            flow,
            independent: false,
            flush_pending,
            is_kept: flush_pending,
            written: 0,
            in_flight: 0,
            write_error,
            end,
        }
    }

    /// Takes the driver apart. All that is unsent is in the buffer.
    pub(crate) fn into_parts(self) -> (Sender, SendBuffer, Rest) {
        let Self { sender, tx, flow, flush_pending, write_error, end, .. } = self;
        (sender, tx.into_inner(), Rest { flow, flush_pending, write_error, end })
    }

    /// Returns whether there is something to do before the next event may be delivered.
    ///
    /// `write_blocked`: the transport takes no bytes at the moment.
    #[inline]
    pub(crate) fn before_parsing(&self, write_blocked: bool) -> Option<Action> {
        // Nothing is done behind a message that is being compressed: its time would come all at
        // once.
        let has_room = self.has_room() || self.independent && !self.is_encoding();
        self.flow.before_event(&self.sender, has_room, write_blocked)
    }

    /// Returns the next action needed to produce an event, as there is none.
    #[inline]
    pub(crate) fn after_parsing(&mut self, parsed: Parsed, write_blocked: bool) -> Action {
        if self.flow.is_over() {
            return Action::End;
        }
        if let Some(arrived) = parsed.arrived {
            self.sender.note_arrived(arrived);
        }
        if parsed.paused {
            return Action::Again;
        }
        if let Some(error) = parsed.violation {
            self.reply(error.into()); // once: the sender knows
        }
        if parsed.flooded {
            self.sender.receive_eof();
        }
        let unsent = Unsent::new(self.is_flushed(), write_blocked);
        let action = self.flow.after_event(&self.sender, unsent);
        if action == Action::End {
            self.finish(None);
        }
        action
    }

    /// Returns how it ended: `Ok` after a closing handshake. The same answer for ever.
    pub(crate) fn result(&self) -> Result<(), Error> {
        self.end.as_ref().map_or(Ok(()), |end| (**end).clone())
    }

    /// Returns whether messages are compressed when they are fed, which takes a while.
    #[cfg(feature = "server")]
    pub(crate) fn compresses(&self) -> bool {
        #[cfg(feature = "deflate")]
        return self.sender.deflate().is_some();
        #[cfg(not(feature = "deflate"))]
        false
    }

    /// Takes the send buffer out, for messages to be put into it as they are; returns with it how
    /// many bytes it may hold. None are to be put in if that is 0. Nothing else is done with the
    /// driver until the buffer is [given back](Self::give_back).
    #[cfg(feature = "server")]
    #[inline]
    pub(crate) fn lend(&mut self) -> (Option<Box<SendBuffer>>, usize) {
        let may =
            self.sender.sends_plainly() && self.in_flight == 0 && self.check_writable().is_ok();
        let max_unsent = if may { self.sender.max_unsent() } else { 0 };
        (self.tx.take_out(), max_unsent)
    }

    /// Takes back what was [lent](Self::lend).
    #[cfg(feature = "server")]
    #[inline]
    pub(crate) fn give_back(&mut self, tx: Option<Box<SendBuffer>>) {
        self.tx.put_back(tx);
    }

    /// Returns whether all has left, and frames may be sent as they are behind it by somebody else.
    #[cfg(feature = "server")]
    #[inline]
    pub(crate) fn may_be_passed(&self) -> bool {
        self.is_flushed()
            && !self.flush_pending
            && self.sender.sends_plainly()
            && self.check_writable().is_ok()
    }

    /// Takes what somebody else could not send: the rest of a frame and what is behind it. For one
    /// that [may be passed](Self::may_be_passed).
    #[cfg(feature = "server")]
    pub(crate) fn take_over(&mut self, tx: Box<SendBuffer>) {
        debug_assert!(self.is_flushed());
        self.tx.release();
        self.tx.put_back(Some(tx));
    }

    /// From now on what is received has nothing to do with what is sent, or it has again.
    /// Returns how it was.
    pub(crate) fn set_independent(&mut self, independent: bool) -> bool {
        core::mem::replace(&mut self.independent, independent)
    }

    /// Queues the beginning of `bytes` as a binary message, and says how many bytes that were.
    pub(crate) fn feed_piece(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let piece = &bytes[..bytes.len().min(MAX_PIECE)];
        self.feed(MessageRef::binary(piece))?;
        Ok(piece.len())
    }

    /// Tells the peer that a byte stream has no place for text. The connection is closing then.
    pub(crate) fn refuse_text(&mut self) {
        // if it is closing already, the peer knows what it needs to know
        let _ = self.start_close(CloseCode::UNSUPPORTED_DATA, "binary messages only");
    }

    /// Returns whether the end that came in good order is also the end of the data on a byte
    /// stream.
    ///
    /// A peer that goes away or fails closes in good order too, and leaves a stream that is cut
    /// off.
    pub(crate) fn check_complete(&self) -> Result<(), Error> {
        let code = self.sender.close_info().and_then(|info| CloseCode::new(info.code));
        match code {
            None | Some(CloseCode::NORMAL) => Ok(()), // none stands for 1005
            Some(code) => Err(Error::Closed(code)),
        }
    }

    /// Returns whether a message would be taken, as far as room goes, and would be the next to
    /// leave.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        !self.is_encoding() && self.unsent() < self.sender.max_unsent()
    }

    /// Returns the unsent bytes.
    #[inline]
    pub(crate) fn unsent(&self) -> usize {
        #[cfg(feature = "deflate")]
        let under_way = self.sender.under_way();
        #[cfg(not(feature = "deflate"))]
        let under_way = 0;
        self.tx.get().map_or(0, SendBuffer::remaining) + self.in_flight + under_way
    }

    #[inline]
    pub(crate) fn is_flushed(&self) -> bool {
        self.in_flight == 0 && self.tx.get().is_none_or(SendBuffer::is_empty) && !self.is_encoding()
    }

    /// Returns whether a message was taken that is not in the send buffer yet: it is being
    /// compressed.
    #[inline]
    pub(crate) fn is_encoding(&self) -> bool {
        self.sender.is_paused()
    }

    /// Does a part of that.
    #[cfg(feature = "tokio")]
    pub(crate) fn encode_part(&mut self) {
        self.sender.proceed(self.tx.fetch());
    }

    /// Does all of it.
    #[cfg(feature = "tokio")]
    pub(crate) fn encode_all(&mut self) {
        self.sender.finish(self.tx.fetch());
    }

    /// Moves what is unsent to `unwritten`, which is empty, to be written from there.
    pub(crate) fn take_unsent(&mut self, unwritten: &mut SendBuffer) {
        if self.tx.get().is_some() {
            core::mem::swap(self.tx.fetch(), unwritten);
        }
        self.in_flight = unwritten.remaining();
    }

    /// The reverse: what was not written of that comes before what was queued since.
    pub(crate) fn take_back(&mut self, mut unwritten: SendBuffer) {
        // A stream under TLS may have begun to send the newest pong: nothing takes its place now.
        unwritten.settle();
        let tx = self.tx.fetch();
        while let Some(chunk) = tx.take_chunk() {
            unwritten.put_owned(chunk);
        }
        *tx = unwritten;
        self.in_flight = 0;
    }

    /// Returns whether both Close frames are out.
    pub(crate) fn is_clean(&self) -> bool {
        self.sender.close_info().is_some_and(|info| info.clean)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.flow.is_over()
    }

    /// A read found the end of file.
    pub(crate) fn read_eof(&mut self) {
        self.flow.input_ended();
    }

    /// A read failed for good.
    pub(crate) fn read_failed(&mut self, error: io::Error) {
        self.finish(Some(Arc::new(error)));
    }

    /// A write took `n` bytes of `tx`.
    #[inline]
    pub(crate) fn was_written(&mut self, n: usize) {
        let tx = self.tx.fetch();
        match check_written(n, tx.remaining()) {
            Ok(()) => {
                tx.advance(n);
                self.write_went_through(n);
            }
            Err(error) => self.write_failed(error),
        }
    }

    /// So many bytes came and wait to be parsed. There may be a pong among them, or they are those
    /// of a frame that it is behind.
    pub(crate) fn unparsed_came(&mut self, n: usize) {
        let bytes = u32::try_from(n).unwrap_or(u32::MAX);
        self.sender.note_arrived(Arrived { bytes, in_frame: true, in_message: false });
    }

    /// A write took `n` bytes.
    #[inline]
    pub(crate) fn write_went_through(&mut self, n: usize) {
        self.written += n as u64;
        self.flow.wrote(&mut self.sender, n);
    }

    /// A write found no room in the transport.
    #[inline]
    pub(crate) fn write_stalled(&mut self) {
        self.flow.write_stalled();
    }

    /// A write failed for good. Once the connection is over, that is only a consequence.
    pub(crate) fn write_failed(&mut self, error: io::Error) {
        if self.flow.is_over() {
            return;
        }
        self.tx = PooledTx::default();
        self.in_flight = 0;
        self.flow.output_failed();
        self.sender.forget();
        self.write_error.get_or_insert_with(|| Arc::new(error));
    }

    /// A flush went through, or it did not.
    #[inline]
    pub(crate) fn note_flush(&mut self, went_through: bool) {
        self.is_kept = !went_through;
    }

    /// The sending direction was shut down, or that was tried.
    pub(crate) fn was_shut_down(&mut self) {
        self.flow.output_shut_down();
    }

    /// The peer took too long.
    fn timed_out(&mut self, timeout: Timeout) {
        self.flow.end();
        self.end.get_or_insert_with(|| Box::new(Err(timeout.into())));
    }

    /// Pays what is owed to the peer.
    pub(crate) fn reply(&mut self, reply: Reply) {
        self.sender.reply(self.tx.fetch(), reply);
        if self.flow.is_output_failed() {
            self.tx = PooledTx::default();
        }
    }

    /// Lets the timers act. The connection may be over then.
    ///
    /// `deaf`: what may have come was not read before this.
    pub(crate) fn handle_timeout(&mut self, now: Duration, deaf: bool) {
        // what the transport keeps in a buffer of its own has not left either
        let in_flight = self.in_flight + usize::from(self.flush_pending);
        match self.sender.handle_timeout_with(now, self.tx.fetch(), in_flight, deaf) {
            Err(timeout) => self.timed_out(timeout),
            // Said at once: a sender that is blocked has nobody to say it later.
            Ok(()) if self.sender.transport() == Transport::Close => self.finish(None),
            Ok(()) => {}
        }
    }

    /// Returns whether everything has left: nothing is unsent, and the transport keeps nothing in a
    /// buffer of its own.
    pub(crate) fn has_left(&self) -> bool {
        self.is_flushed() && !self.flush_pending
    }

    /// Returns whether the end came with a time-out.
    pub(crate) fn is_timed_out(&self) -> bool {
        matches!(self.end.as_deref(), Some(Err(Error::Timeout(_))))
    }

    /// Returns what is unsent, for writing.
    #[inline]
    pub(crate) fn tx(&mut self) -> &SendBuffer {
        self.tx.fetch()
    }

    /// Queues a message, if the transport still takes any.
    #[inline]
    pub(crate) fn feed(&mut self, message: MessageRef<'_>) -> Result<(), Error> {
        self.check_feed()?;
        Ok(self.sender.feed(self.tx.fetch(), message)?)
    }

    /// Queues a Close frame.
    pub(crate) fn start_close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        Ok(self.sender.close(self.tx.fetch(), Some(CloseFrame { code, reason }))?)
    }

    /// Returns how the connection ended, if it has.
    pub(crate) fn end(&self) -> Option<Result<(), Error>> {
        self.end.as_deref().cloned()
    }

    /// Returns an error if nothing can reach the peer any more.
    #[inline]
    pub(crate) fn check_writable(&self) -> Result<(), Error> {
        if self.flow.is_output_failed() {
            return Err(Error::Disconnected(self.write_error.clone()));
        }
        match self.end.as_deref() {
            Some(Err(error)) => Err(error.clone()),
            Some(Ok(())) => Err(SendError::NotOpen.into()),
            None => Ok(()),
        }
    }

    /// Returns whether there is nothing left to write or to flush; an error if what was queued did
    /// not all reach the transport.
    ///
    /// Once the connection is over in good order, all has been written, and nobody waits for what
    /// the transport keeps.
    pub(crate) fn check_flushed(&self) -> Result<bool, Error> {
        match self.check_writable() {
            Ok(()) => Ok(self.has_left()),
            Err(Error::Send(SendError::NotOpen)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Returns whether a sender need not wait for room: there is some, or no message will be taken
    /// any more, which [`feed`](Self::feed) says then. An error if nothing can reach the peer.
    pub(crate) fn check_room(&self) -> Result<bool, Error> {
        self.check_writable()?;
        Ok(self.has_room() || self.sender.state() != State::Open)
    }

    /// Returns how many bytes will have been written in all when everything is that is queued now;
    /// unknown while a message is being compressed. An error if that will never be.
    pub(crate) fn end_of_queue(&self) -> Result<Option<u64>, Error> {
        self.check_flushed()?;
        let is_known = !self.is_encoding();
        Ok(is_known.then(|| self.written + self.unsent() as u64))
    }

    /// Returns whether the transport has taken so many bytes in all, and has not said that it could
    /// not pass them on. However the connection ends, that stays so.
    pub(crate) fn is_sent(&self, until: u64) -> bool {
        self.written >= until && !self.is_kept
    }

    /// Returns what becomes of a message that ends there, by how flushing went: what could not be
    /// written may have been behind it.
    pub(crate) fn sent(&self, end: Option<u64>, flushed: Result<(), Error>) -> Result<(), Error> {
        match end {
            Some(end) if self.is_sent(end) => Ok(()),
            _ => flushed,
        }
    }

    /// Gives the memory of an empty send buffer back before a wait.
    #[cfg(feature = "tokio")]
    #[inline]
    pub(crate) fn release_memory(&mut self) {
        self.tx.release();
    }

    #[inline]
    fn check_feed(&mut self) -> Result<(), Error> {
        self.check_writable()?;
        if self.is_encoding() {
            self.sender.finish(self.tx.fetch());
        }
        if self.in_flight > 0 && !self.has_room() && self.sender.state() == State::Open {
            let full =
                SendError::BufferFull { unsent: self.unsent(), limit: self.sender.max_unsent() };
            return Err(full.into());
        }
        Ok(())
    }

    fn finish(&mut self, read_error: Option<Arc<io::Error>>) {
        let outcome = self.sender.receive_eof();
        let result = match (outcome, self.sender.violated()) {
            (Outcome::Clean, _) => Ok(()),
            (Outcome::Abnormal, Some(error)) => Err(Error::Protocol(error)),
            (Outcome::Abnormal, None) => {
                Err(Error::Disconnected(read_error.or_else(|| self.write_error.clone())))
            }
        };
        if result.is_ok() && !self.is_flushed() {
            self.flow.output_failed(); // to those who wait for what is lost now
        }
        self.flow.end();
        self.end.get_or_insert_with(|| Box::new(result));
        self.tx = PooledTx::default();
        self.in_flight = 0;
    }
}

/// Looks for an event; otherwise says what the driver has to know.
#[inline]
pub(crate) fn parse(receiver: &mut Receiver, rx: &mut RecvBuffer) -> Result<Ready, Parsed> {
    let violation = match receiver.advance(rx) {
        Ok(Some(ready)) => return Ok(ready),
        Ok(None) => None,
        Err(error) => Some(error),
    };
    let paused = receiver.is_paused();
    let arrived = Some(receiver.take_arrived());
    Err(Parsed { violation, arrived, flooded: receiver.is_flooded(), paused })
}

/// Takes an event, and what is owed for it if anything is.
#[inline]
pub(crate) fn take_event<'b>(
    receiver: &mut Receiver,
    rx: &'b mut RecvBuffer,
    ready: Ready,
    pay: impl FnOnce(Reply),
) -> Event<'b> {
    let event = receiver.take_event(rx, ready);
    if ready.is_control() {
        pay(receiver.reply_to(&event));
    }
    event
}

/// Takes an event for `recv`: a message of its own, or nothing for a control frame.
///
/// # Errors
///
/// [`Error::PartialMessage`] for a part of a message, which is left to be taken.
#[inline]
pub(crate) fn take_message(
    receiver: &mut Receiver,
    rx: &mut RecvBuffer,
    ready: Ready,
    pay: impl FnOnce(Reply),
) -> Result<Option<Message>, Error> {
    if ready.is_chunk() {
        return Err(Error::PartialMessage);
    }
    Ok(take_event(receiver, rx, ready, pay).into_message())
}

/// The longest message that a byte stream makes of a write, in bytes: long enough for headers and
/// system calls to cost little, and short enough for every peer's limit on messages. A write that
/// finds room is taken up to this length, so it is by so much that
/// [`Config::max_unsent`](crate::Config::max_unsent) can be exceeded.
pub(crate) const MAX_PIECE: usize = 32 * 1024;

/// Checks what a write says: a transport at its end takes no bytes; one that lies takes more than
/// it was given.
pub(crate) fn check_written(n: usize, given: usize) -> io::Result<()> {
    let text = match n {
        0 => "the transport takes no more bytes",
        n if n > given => "the transport claims to have written more bytes than it was given",
        _ => return Ok(()),
    };
    Err(io::Error::new(io::ErrorKind::WriteZero, text))
}

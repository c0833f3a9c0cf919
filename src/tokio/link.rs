//! How a connection gets bytes in and out, and the one loop that waits for events.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::{fmt, future};
use std::io::{self, IoSlice};

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pooled::PooledRx;
use super::timer::Timer;
use super::turn::{STEP, poll_encoded};
use crate::buf::{RecvBuffer, SendBuffer};
use crate::driver::{Driver, Parsed, parse};
use crate::endpoint::Action;
use crate::error::Error;
use crate::io::MAX_SLICES;
#[cfg(feature = "server")]
use crate::proto::Event;
use crate::proto::{MessageKind, MessageRef, Ready, Receiver};

/// The way between a receiving half and its transport: alone with it, or shared with senders.
pub(super) trait Link {
    /// As [`Driver::before_parsing`].
    fn before_parsing(&mut self, write_blocked: bool) -> Option<Action>;

    /// As [`Driver::after_parsing`].
    fn after_parsing(&mut self, parsed: Parsed, write_blocked: bool) -> Action;

    /// As [`Driver::result`].
    fn result(&mut self) -> Result<(), Error>;

    /// Reads once into `rx`.
    fn poll_read(&mut self, cx: &mut Context<'_>, rx: &mut RecvBuffer) -> Poll<()>;

    /// Writes once; `Pending` when the transport takes nothing.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Returns how many bytes to read ahead while there is too much unsent to take any in.
    fn most_ahead(&mut self) -> usize {
        MAX_LOOK
    }

    /// Returns whether this end has read less than it has to send, ever. Of two ends that wait for
    /// each other to read, one has: if neither had, each would have read more than the other has
    /// written.
    fn is_behind(&self) -> bool {
        false
    }

    /// Takes note of bytes that were read and are not parsed yet.
    fn note_unparsed(&mut self, receiver: &mut Receiver, rx: &RecvBuffer);

    /// Tries again to flush what the transport keeps in a buffer of its own.
    fn poll_flush_pending(&mut self, cx: &mut Context<'_>);

    /// Shuts down the sending direction.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Shuts down the sending direction as far as that goes without waiting.
    fn try_shutdown(&mut self, cx: &mut Context<'_>);

    /// Ready when the time changed something. The last thing to ask before a wait.
    ///
    /// `deaf`: there may be bytes that were not read before this.
    fn poll_timer(&mut self, cx: &mut Context<'_>, deaf: bool) -> Poll<()>;
}

/// Returns a message that lies whole in what was read before: the rest of a burst, as a rule. It is
/// to be taken at once ([`Receiver::take_message`]).
#[inline]
pub(super) fn message_in_hand(
    receiver: &mut Receiver,
    rx: &mut PooledRx,
    link: &mut impl Link,
) -> Option<MessageKind> {
    if link.before_parsing(false).is_some() {
        return None;
    }
    next_in_hand(receiver, rx)
}

/// The same for one who knows that nothing comes before it.
#[inline]
pub(super) fn next_in_hand(receiver: &mut Receiver, rx: &mut PooledRx) -> Option<MessageKind> {
    if !rx.turn.goes_on() {
        return None;
    }
    let kind = receiver.assemble_whole(rx.get()?)?;
    rx.turn.spend_event();
    Some(kind)
}

/// The receiving side of a socket while messages are taken, one behind the other, that came
/// together.
#[cfg(feature = "server")]
pub(crate) struct Burst<'a> {
    pub(super) rx: &'a mut PooledRx,
    pub(super) receiver: &'a mut Receiver,
}

#[cfg(feature = "server")]
impl Burst<'_> {
    /// Takes the message that was found.
    #[inline]
    pub(crate) fn take(&mut self, kind: MessageKind) -> Event<'_> {
        self.receiver.take_event(self.rx.fetch(), Ready::Message(kind))
    }

    /// Finds a message that lies whole in what was read before. It is to be [taken](Self::take) at
    /// once. For one who knows that its answer finds room.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<MessageKind> {
        next_in_hand(self.receiver, self.rx)
    }
}

/// Waits until there is an event to take, or the connection is over in good order (`None`).
///
/// While it waits, the connection has a receive buffer only if that holds something.
pub(super) fn poll_ready_event(
    receiver: &mut Receiver,
    rx: &mut PooledRx,
    link: &mut impl Link,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Ready>, Error>> {
    let ready = poll_ready_event_in(receiver, rx, link, cx);
    match &ready {
        Poll::Ready(Ok(Some(_))) => rx.turn.spend_event(),
        Poll::Ready(_) => rx.turn.spend_unit(),
        Poll::Pending => rx.release(),
    }
    ready
}

fn poll_ready_event_in(
    receiver: &mut Receiver,
    lent: &mut PooledRx,
    link: &mut impl Link,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Ready>, Error>> {
    ready!(lent.turn.poll(cx));
    let (rx, turn) = lent.fetch_with_turn();
    link.poll_flush_pending(cx);
    let mut write_blocked = false;
    loop {
        let step = match link.before_parsing(write_blocked) {
            Some(step) => step,
            None => match parse(receiver, rx) {
                Ok(ready) => return Poll::Ready(Ok(Some(ready))),
                Err(parsed) => {
                    turn.spend(parsed.arrived.map_or(0, |arrived| arrived.bytes));
                    let mut step = link.after_parsing(parsed, write_blocked);
                    while step == Action::Write {
                        write_blocked = link.poll_write(cx).is_pending();
                        step = link.after_parsing(Parsed::default(), write_blocked);
                    }
                    step
                }
            },
        };
        match step {
            Action::End => return Poll::Ready(link.result().map(|()| None)),
            Action::Write => write_blocked = link.poll_write(cx).is_pending(),
            Action::ShutdownWrite => {
                if link.poll_shutdown(cx).is_pending() {
                    ready!(link.poll_timer(cx, true));
                }
            }
            Action::TryShutdown => link.try_shutdown(cx),
            Action::Read => {
                if link.poll_read(cx, rx).is_pending() {
                    ready!(link.poll_timer(cx, false));
                }
            }
            Action::Wait => {
                // Before the peer is judged by its silence, a look at what has come. More than one
                // only where it may wait for that itself: an echo to a peer that never reads would
                // hold twice as much.
                let deaf = if link.is_behind() {
                    poll_ahead(receiver, rx, link, cx)
                } else {
                    let is_full = rx.unparsed().len() >= link.most_ahead();
                    let deaf = is_full || link.poll_read(cx, rx).is_ready();
                    link.note_unparsed(receiver, rx);
                    deaf
                };
                ready!(link.poll_timer(cx, deaf));
            }
            Action::Again => {
                turn.spend(STEP as u32);
                ready!(turn.poll(cx));
            }
        }
    }
}

/// Reads ahead of what can be taken in now: before the peer is judged by its silence, a look at
/// what has come, and it may wait for this end to read. Whether there may be more.
pub(super) fn poll_ahead(
    receiver: &mut Receiver,
    rx: &mut RecvBuffer,
    link: &mut impl Link,
    cx: &mut Context<'_>,
) -> bool {
    let more = loop {
        if rx.unparsed().len() >= link.most_ahead() {
            break true;
        }
        let before = rx.unparsed().len();
        if link.poll_read(cx, rx).is_pending() {
            break false;
        }
        if rx.unparsed().len() == before {
            break false; // the end of file
        }
    };
    link.note_unparsed(receiver, rx);
    more
}

/// A transport and a driver with one owner.
pub(super) struct Direct<S> {
    pub(super) io: S,
    pub(super) driver: Driver,
    pub(super) timer: Timer,
    /// The most that was unsent since nothing was, when there was too much.
    pub(super) most_unsent: u32,
    /// All bytes ever written, less all bytes ever read; it stops at 2 GiB.
    pub(super) balance: i32,
}

impl<S> Direct<S> {
    pub(super) fn new(io: S, driver: Driver, timer: Timer) -> Self {
        Self { io, driver, timer, most_unsent: 0, balance: 0 }
    }

    /// Notes that something else has driven the connection: nobody knows how much that has read and
    /// written. So this end takes in what the peer may wait to get rid of, which costs memory, as
    /// if it had read less than it has to send; otherwise both might wait for ever.
    pub(super) const fn lose_balance(&mut self) {
        self.balance = i32::MAX;
    }
}

impl<S: AsyncWrite + Unpin> Direct<S> {
    pub(super) async fn send(&mut self, message: MessageRef<'_>) -> Result<(), Error> {
        future::poll_fn(|cx| self.poll_room(cx)).await?;
        self.driver.feed(message)?;
        future::poll_fn(|cx| poll_encoded(&mut self.driver, cx)).await;
        let end = self.driver.end_of_queue()?;
        let flushed = future::poll_fn(|cx| self.poll_write_all(cx)).await;
        self.driver.sent(end, flushed)
    }

    /// Ready when the time changed something.
    pub(super) fn poll_timer(&mut self, cx: &mut Context<'_>, deaf: bool) -> Poll<()> {
        let due = self.driver.sender.poll_timeout();
        let Poll::Ready(now) = self.timer.poll(cx, due) else {
            self.driver.release_memory();
            return Poll::Pending;
        };
        self.driver.handle_timeout(now, deaf);
        if self.driver.is_timed_out() && !self.driver.is_flushed() {
            // a last word, if the transport takes it
            let _ = self.poll_write(cx);
        }
        Poll::Ready(())
    }

    /// Waits until there is room for a message, without a look at what comes: an event is borrowed
    /// from there.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if self.driver.check_room()? {
                return Poll::Ready(Ok(()));
            }
            if self.poll_write(cx).is_pending() {
                ready!(self.poll_timer(cx, true));
            }
        }
    }

    /// Waits until everything is written and flushed, in the same way.
    pub(super) fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.driver.check_flushed()? {
            if self.poll_write_or_flush(cx).is_pending() {
                ready!(self.poll_timer(cx, true));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes once, after what is being compressed is.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(poll_encoded(&mut self.driver, cx));
        match poll_write_some(&mut self.io, cx, self.driver.tx()) {
            Poll::Ready(Ok(n)) => {
                self.driver.was_written(n);
                self.balance = self.balance.saturating_add(clamp(n));
            }
            Poll::Ready(Err(error)) => self.driver.write_failed(error),
            Poll::Pending => {
                self.driver.write_stalled();
                return Poll::Pending;
            }
        }
        if self.driver.is_flushed() {
            self.most_unsent = 0;
            self.poll_flush(cx);
        }
        Poll::Ready(())
    }

    /// Notes bytes that were written to the stream, and not by this.
    #[cfg(feature = "server")]
    pub(super) fn was_written_to(&mut self, bytes: usize) {
        self.driver.write_went_through(bytes);
        self.balance = self.balance.saturating_add(clamp(bytes));
    }

    /// Writes once, or flushes if everything is written.
    pub(super) fn poll_write_or_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.driver.is_flushed() {
            return self.poll_write(cx);
        }
        self.poll_flush(cx);
        if self.driver.flush_pending { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Empties the transport's own buffer, if it has one; a socket has nothing to do here.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.driver.flush_pending = flushed.is_pending();
        self.driver.note_flush(matches!(flushed, Poll::Ready(Ok(()))));
        if let Poll::Ready(Err(error)) = flushed {
            self.driver.write_failed(error);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link for Direct<S> {
    #[inline]
    fn before_parsing(&mut self, write_blocked: bool) -> Option<Action> {
        self.driver.before_parsing(write_blocked)
    }

    #[inline]
    fn after_parsing(&mut self, parsed: Parsed, write_blocked: bool) -> Action {
        self.driver.after_parsing(parsed, write_blocked)
    }

    fn result(&mut self) -> Result<(), Error> {
        self.driver.result()
    }

    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>, rx: &mut RecvBuffer) -> Poll<()> {
        match ready!(poll_read_some(&mut self.io, cx, rx)) {
            Ok(0) => self.driver.read_eof(),
            Ok(n) => self.balance = self.balance.saturating_sub(clamp(n)),
            Err(error) => self.driver.read_failed(error),
        }
        Poll::Ready(())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_write(cx)
    }

    fn most_ahead(&mut self) -> usize {
        // Of two ends that wait for each other to read, one has as much unsent as the other, or
        // more: it takes in what frees the other.
        let unsent = u32::try_from(self.driver.unsent()).unwrap_or(u32::MAX);
        self.most_unsent = self.most_unsent.max(unsent);
        MAX_LOOK.max(self.most_unsent as usize)
    }

    fn is_behind(&self) -> bool {
        self.balance.saturating_add(clamp(self.driver.unsent())) > 0
    }

    fn note_unparsed(&mut self, receiver: &mut Receiver, rx: &RecvBuffer) {
        self.driver.sender.note_arrived(receiver.look_at(rx));
    }

    fn poll_flush_pending(&mut self, cx: &mut Context<'_>) {
        if self.driver.flush_pending {
            self.poll_flush(cx);
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // an error means that the other end is gone, which reading will show
        let _ = ready!(Pin::new(&mut self.io).poll_shutdown(cx));
        self.driver.was_shut_down();
        Poll::Ready(())
    }

    fn try_shutdown(&mut self, cx: &mut Context<'_>) {
        let _ = Pin::new(&mut self.io).poll_shutdown(cx);
        self.driver.was_shut_down();
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, deaf: bool) -> Poll<()> {
        self.poll_timer(cx, deaf)
    }
}

impl<S: fmt::Debug> fmt::Debug for Direct<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direct").field("io", &self.io).finish_non_exhaustive()
    }
}

/// Does one read of as much as there is room for.
#[inline]
pub(super) fn poll_read_some<R: AsyncRead + Unpin>(
    io: &mut R,
    cx: &mut Context<'_>,
    rx: &mut RecvBuffer,
) -> Poll<io::Result<usize>> {
    let mut space = ReadBuf::new(rx.space());
    let result = ready!(Pin::new(io).poll_read(cx, &mut space));
    let n = space.filled().len();
    Poll::Ready(result.map(|()| {
        rx.commit(n);
        n
    }))
}

/// Does one write of as much as there is.
pub(super) fn poll_write_some<W: AsyncWrite + Unpin>(
    io: &mut W,
    cx: &mut Context<'_>,
    tx: &SendBuffer,
) -> Poll<io::Result<usize>> {
    let io = Pin::new(io);
    let chunk = tx.chunk();
    if chunk.len() == tx.remaining() || !io.is_write_vectored() {
        return io.poll_write(cx, chunk);
    }
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let count = tx.chunks_vectored(&mut slices);
    io.poll_write_vectored(cx, &slices[..count])
}

fn clamp(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

/// How many bytes are read ahead, while there is too much unsent to take any in, to see whether the
/// peer lives.
const MAX_LOOK: usize = 16 * 1024;

//! How a socket in one piece waits until its bytes are written: it listens meanwhile.

use alloc::sync::Arc;
use core::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};

use super::WebSocket;
use super::link::{poll_ahead, poll_ready_event};
use super::waiting::{Direction, Waiting};
use crate::driver::take_event;
use crate::error::Error;
use crate::proto::State;

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Waits until there is room for a message, or none will be taken.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if self.link.driver.check_room()? {
                return Poll::Ready(Ok(()));
            }
            if self.link.poll_write(cx).is_pending() {
                ready!(self.poll_stalled(cx));
            }
        }
    }

    /// Waits until everything is written and flushed.
    pub(super) fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.link.driver.check_flushed()? {
            if self.link.poll_write_or_flush(cx).is_pending() {
                ready!(self.poll_stalled(cx));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Notes that the transport takes nothing at the moment. Ready when something has changed all
    /// the same.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let before = (self.unsent(), self.link.driver.flush_pending);
        self.listen(cx);
        if self.link.driver.is_over() || (self.unsent(), self.link.driver.flush_pending) != before {
            return Poll::Ready(());
        }
        if self.receiver.is_ready() {
            let Self { rx, receiver, link, .. } = self;
            let deaf = poll_ahead(receiver, rx.fetch(), link, cx);
            return self.link.poll_timer(cx, deaf);
        }
        Poll::Pending // as listening is
    }

    /// Answers pings and lets the timers act, while somebody writes. Stops at a message or a Close:
    /// those are for those who receive.
    fn listen(&mut self, cx: &mut Context<'_>) {
        // Two ends that send more than the other takes in would otherwise wait for each other.
        let independent = self.link.driver.set_independent(true);
        while !self.receiver.is_ready() {
            let Self { rx, receiver, link, .. } = self;
            match poll_ready_event(receiver, rx, link, cx) {
                Poll::Ready(Ok(Some(ready))) if ready.is_ping_or_pong() => {
                    take_event(receiver, rx.fetch(), ready, |reply| link.driver.reply(reply));
                }
                // An error comes again. A Close waits with its answer until it is received:
                // messages that are to be sent before that would be refused.
                Poll::Ready(_) | Poll::Pending => break,
            }
        }
        self.link.driver.set_independent(independent);
    }

    /// Waits until the connection is over, or a message has come that nobody has received and our
    /// Close is written.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.receiver.is_ready() {
            let Self { rx, receiver, link, .. } = self;
            match ready!(poll_ready_event(receiver, rx, link, cx))? {
                None => return Poll::Ready(Ok(())),
                Some(ready) if ready.is_control() => {
                    take_event(receiver, rx.fetch(), ready, |reply| link.driver.reply(reply));
                }
                Some(_) => {}
            }
        }
        self.poll_write_all(cx)
    }

    /// Polls for one direction, while another task may wait in the other.
    pub(super) fn poll_for<T>(
        &mut self,
        direction: Direction,
        cx: &Context<'_>,
        poll: impl FnOnce(&mut Self, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let waiting = self.waiting();
        let before = self.situation();
        let result = waiting.poll(direction, cx, |cx| poll(self, cx));
        if self.situation() != before {
            waiting.wake_one(direction.other());
        }
        result
    }
}

impl<S> WebSocket<S> {
    /// Those who wait, made when it is first needed.
    pub(super) fn waiting(&mut self) -> Arc<Waiting> {
        Arc::clone(self.waiting.get_or_insert_default())
    }

    /// Returns what the other direction may be waiting for.
    pub(super) fn situation(&self) -> Situation {
        let driver = &self.link.driver;
        Situation {
            state: driver.sender.state(),
            is_over: driver.is_over(),
            has_room: driver.has_room(),
            has_left: driver.has_left(),
            is_ready: self.receiver.is_ready(),
        }
    }
}

/// What one direction may do that the other waits for: it is woken when any of this has changed. A
/// new kind of wait needs a field here.
#[derive(PartialEq, Eq)]
pub(super) struct Situation {
    /// Whoever sends learns that the peer closes; whoever receives, that this end does.
    state: State,
    /// Both learn that it is over.
    is_over: bool,
    /// A writer waits for room, which the reader makes by writing.
    has_room: bool,
    /// A flush waits for the last byte, which the reader may have written.
    has_left: bool,
    /// A reader waits for an event, which a writer that had to wait may have found.
    is_ready: bool,
}

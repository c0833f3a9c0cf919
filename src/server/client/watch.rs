#![forbid(unsafe_code)]

use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::limits::Limits;
use super::rate::{RateLimit, RateMeter, Verdict};
use super::stream::Unread;
use crate::server::observe::tally::Moved;

/// The state of a connection's task that most connections do without: in a box of its own, of which
/// the others hold the pointer.
#[derive(Default)]
pub(crate) struct Watch {
    /// Goes off when the transport has taken nothing for too long while too much waits.
    pub(super) stall: Option<Pin<Box<Sleep>>>,
    idle: Option<Idle>,
    rate: Option<RateMeter>,
    /// Nothing is read from the client for a while.
    pub(super) pause: Option<Pause>,
}

/// A pause in reading from a client that has sent too much.
pub(super) struct Pause {
    alarm: Pin<Box<Sleep>>,
    /// What lies behind the message that was too much, once it was looked at.
    pub(super) unread: Option<Unread>,
}

impl Pause {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.alarm.as_mut().poll(cx)
    }
}

impl Watch {
    /// Makes one for a client whose limits need it.
    pub(crate) fn for_client(limits: &Limits) -> Option<Box<Self>> {
        let idle = Idle::new(limits.idle_timeout);
        let rate = limits.rate.filter(RateLimit::is_limited);
        let rate = rate.map(|limit| RateMeter::new(limit, Instant::now()));
        let this = Self { idle, rate, ..Self::default() };
        (!this.is_empty()).then(|| Box::new(this))
    }

    /// Returns whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.stall.is_none() && self.idle.is_none() && self.rate.is_none()
    }

    /// Notes what the task has sent and received since it last waited.
    #[cold]
    pub(super) fn note(&mut self, moved: &Moved) {
        if moved.received > 0 || moved.sent > 0 {
            self.note_life();
        }
    }

    /// Notes that the client is not idle now.
    #[cold]
    pub(super) fn note_life(&mut self) {
        if let Some(idle) = &mut self.idle {
            idle.since = Instant::now();
        }
    }

    /// Counts a message against the rate of the client. A pause begins here.
    #[cold]
    pub(super) fn count(&mut self, len: usize) -> Verdict {
        let Some(rate) = &mut self.rate else { return Verdict::Deliver };
        let now = Instant::now();
        let verdict = rate.count(len, now);
        if let Verdict::Pause(time) = verdict {
            let alarm = Box::pin(sleep_until(now + time));
            self.pause = Some(Pause { alarm, unread: None });
        }
        verdict
    }

    /// Ready, once, when neither end has sent a message for too long.
    #[cold]
    pub(super) fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(idle) = &mut self.idle else { return Poll::Pending };
        let polled = idle.poll(cx);
        if polled.is_ready() {
            self.idle = None;
        }
        polled
    }
}

/// An idle time-out that runs.
struct Idle {
    timeout: Duration,
    /// The last message.
    since: Instant,
    /// Set once and, when it goes off, to what is left: a message costs a look at the clock.
    alarm: Pin<Box<Sleep>>,
}

impl Idle {
    /// Returns `None` for a time that never comes.
    fn new(timeout: Duration) -> Option<Self> {
        let since = Instant::now();
        let alarm = Box::pin(sleep_until(since.checked_add(timeout)?));
        Some(Self { timeout, since, alarm })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let due = self.since + self.timeout;
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            self.alarm.as_mut().reset(due);
        }
    }
}

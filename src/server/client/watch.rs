use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::limits::Limits;
use crate::server::observe::tally::Moved;

/// The state of a connection's task that most connections do without: in a box of its own, of which
/// the others hold the pointer.
#[derive(Default)]
pub(crate) struct Watch {
    /// Goes off when the transport has taken nothing for too long while too much waits.
    pub(super) stall: Option<Pin<Box<Sleep>>>,
    idle: Option<Idle>,
}

impl Watch {
    /// Makes one for a client whose limits need it.
    pub(crate) fn for_client(limits: &Limits) -> Option<Box<Self>> {
        let idle = Idle::new(limits.idle_timeout)?;
        Some(Box::new(Self { idle: Some(idle), ..Self::default() }))
    }

    /// Returns whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.stall.is_none() && self.idle.is_none()
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

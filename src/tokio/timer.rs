use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use tokio::task::coop;
use tokio::time::{Instant, Sleep, sleep_until};

/// The clock of a connection and the alarm set on it.
pub(super) struct Timer {
    /// Where the connection's time begins.
    epoch: Instant,
    /// Made when it is first needed.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    pub(super) fn new() -> Self {
        Self { epoch: Instant::now(), alarm: None }
    }

    /// Another alarm on the same clock.
    pub(super) fn another(&self) -> Self {
        Self { epoch: self.epoch, alarm: None }
    }

    /// Ready with the present time once `due` is reached.
    #[inline]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, due: Option<Duration>) -> Poll<Duration> {
        let Some(due) = due else { return Poll::Pending };
        if due.is_zero() {
            return Poll::Ready(self.epoch.elapsed());
        }
        let deadline = self.epoch + due;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if alarm.deadline() != deadline {
            alarm.as_mut().reset(deadline);
        }
        // A task that has used up its share of time gets no answer from the alarm, however late it is:
        // a peer that never stops sending could put off every deadline.
        if alarm.as_mut().poll(cx).is_pending()
            && (coop::has_budget_remaining() || Instant::now() < deadline)
        {
            return Poll::Pending;
        }
        Poll::Ready(self.epoch.elapsed())
    }
}

use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use tokio::task::coop;
use tokio::time::{Instant, Sleep, sleep_until};

/// The clock of a connection and the alarm set on it.
pub(super) struct Timer {
    /// Where the connection's time begins.
    epoch: Instant,
    /// Made when it is first needed.
    alarm: Option<Pin<Box<Sleep>>>,
    /// Whom the alarm will wake. Telling it again before every wait would cost four atomic
    /// operations.
    waker: Option<Waker>,
}

impl Timer {
    pub(super) fn new() -> Self {
        Self { epoch: Instant::now(), alarm: None, waker: None }
    }

    /// Continues the time that began then.
    pub(super) fn since(begin: std::time::Instant) -> Self {
        Self { epoch: begin.into(), alarm: None, waker: None }
    }

    pub(super) fn begin(&self) -> std::time::Instant {
        self.epoch.into_std()
    }

    /// Another alarm on the same clock.
    pub(super) fn another(&self) -> Self {
        Self { epoch: self.epoch, alarm: None, waker: None }
    }

    /// Gives the memory of the alarm back.
    pub(super) fn disarm(&mut self) {
        (self.alarm, self.waker) = (None, None);
    }

    /// Returns the present time.
    pub(super) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// Ready with the present time once `due` is reached.
    #[inline]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, due: Option<Duration>) -> Poll<Duration> {
        let Some(due) = due else { return Poll::Pending };
        if let (Some(alarm), Some(waker)) = (&self.alarm, &self.waker)
            && alarm.deadline() == self.epoch + due
            && waker.will_wake(cx.waker())
            && !alarm.is_elapsed()
        {
            return Poll::Pending;
        }
        self.poll_alarm(cx, due)
    }

    fn poll_alarm(&mut self, cx: &mut Context<'_>, due: Duration) -> Poll<Duration> {
        self.waker = None;
        if due.is_zero() {
            return Poll::Ready(self.epoch.elapsed());
        }
        let deadline = self.epoch + due;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if alarm.deadline() != deadline {
            alarm.as_mut().reset(deadline);
        }
        if alarm.as_mut().poll(cx).is_pending() {
            // A task that has used up its share of time gets no answer from the alarm, however late
            // it is, and the alarm takes no note of it: a peer that never stops sending could put
            // off every deadline.
            if coop::has_budget_remaining() {
                self.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            if Instant::now() < deadline {
                return Poll::Pending;
            }
        }
        Poll::Ready(self.epoch.elapsed())
    }
}

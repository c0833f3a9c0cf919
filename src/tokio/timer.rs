use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;

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
        ready!(alarm.as_mut().poll(cx));
        Poll::Ready(self.epoch.elapsed())
    }
}

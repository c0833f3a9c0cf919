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
    /// The deadline that the alarm is set to.
    armed: Option<Duration>,
    /// Made when it is first needed.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    pub(super) fn new() -> Self {
        Self { epoch: Instant::now(), armed: None, alarm: None }
    }

    /// Another alarm on the same clock.
    pub(super) fn another(&self) -> Self {
        Self { epoch: self.epoch, armed: None, alarm: None }
    }

    /// Ready with the present time once `due` is reached.
    #[inline]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, due: Option<Duration>) -> Poll<Duration> {
        let Some(due) = due else { return Poll::Pending };
        if due.is_zero() {
            return Poll::Ready(self.epoch.elapsed());
        }
        if self.armed != Some(due) || self.alarm.is_none() {
            self.arm(due);
        }
        if let Some(alarm) = &mut self.alarm {
            ready!(alarm.as_mut().poll(cx));
        }
        // it has gone off and must be set anew even for the same deadline
        self.armed = None;
        Poll::Ready(self.epoch.elapsed())
    }

    #[cold]
    fn arm(&mut self, due: Duration) {
        let deadline = self.epoch + due;
        match &mut self.alarm {
            Some(alarm) => alarm.as_mut().reset(deadline),
            None => self.alarm = Some(Box::pin(sleep_until(deadline))),
        }
        self.armed = Some(due);
    }
}

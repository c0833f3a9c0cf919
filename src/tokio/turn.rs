use core::task::{Context, Poll, ready};

use tokio::task::coop;

use crate::driver::Driver;

/// What a task may still do with a connection before it asks tokio whether others should have a
/// turn.
///
/// tokio counts reads and writes, and one read may bring ten thousand messages; a task that finds
/// the next one in its buffer each time would never give way. So work uses up tokio's budget of a
/// task too ([`coop`]): one unit for each [`PER_UNIT`] bytes, an event counting as [`EVENT`] of
/// them. Asking costs about as much as taking a small message, so it is done once for many.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// In bytes. Below zero for work that turned out to be more.
    credit: i32,
}

impl Turn {
    /// Returns whether there is work left to do without a question.
    #[inline]
    pub(super) fn goes_on(&self) -> bool {
        self.credit > 0
    }

    /// Ready while the task may go on; `Pending` when it is to give way, and it is woken for its
    /// next turn then.
    #[inline]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.goes_on() {
            return Poll::Ready(());
        }
        self.poll_budget(cx)
    }

    fn poll_budget(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.credit <= 0 {
            ready!(coop::poll_proceed(cx)).made_progress();
            self.credit += PER_UNIT;
        }
        Poll::Ready(())
    }

    /// An event is handed out.
    #[inline]
    pub(super) fn spend_event(&mut self) {
        self.credit -= EVENT;
    }

    /// Bytes were parsed or inflated.
    #[inline]
    pub(super) fn spend(&mut self, bytes: u32) {
        self.credit = self.credit.saturating_sub(i32::try_from(bytes).unwrap_or(i32::MAX));
        self.credit = self.credit.max(-MAX_DEBT);
    }

    /// Something was found out without work, such as that the connection is over: a loop that asks
    /// for it again and again must not keep the thread.
    #[inline]
    pub(super) fn spend_unit(&mut self) {
        self.credit = self.credit.min(0);
    }
}

/// Waits until a message that was taken is compressed, if one is, doing a part of it for each share
/// of the task's turn.
#[inline]
pub(super) fn poll_encoded(driver: &mut Driver, cx: &mut Context<'_>) -> Poll<()> {
    while driver.is_encoding() {
        ready!(poll_part(cx));
        driver.encode_part();
    }
    Poll::Ready(())
}

/// Ready when a part of a message may be compressed.
pub(super) fn poll_part(cx: &mut Context<'_>) -> Poll<()> {
    for _ in 0..UNITS_OF_PART {
        ready!(coop::poll_proceed(cx)).made_progress();
    }
    Poll::Ready(())
}

/// The bytes that a unit of tokio's budget stands for. A turn has 128 units: half a megabyte, which
/// is parsed in a fraction of a millisecond.
const PER_UNIT: i32 = 4096;

/// The bytes that an event counts for: two thousand of them in a turn.
const EVENT: i32 = 256;

/// A turn's worth: nobody waits for more than one turn of others on account of one read.
const MAX_DEBT: i32 = 127 * PER_UNIT;

/// The most that is inflated or compressed at a time, in bytes: a read of a few KiB may hold a
/// message of megabytes.
pub(super) const STEP: usize = 64 * 1024;

/// The units that compressing as much takes. To compress a byte costs some ten times as much as to
/// parse or to inflate it: 0.2 to 1 ms for a step. Two of them are a turn.
const UNITS_OF_PART: u32 = 64;

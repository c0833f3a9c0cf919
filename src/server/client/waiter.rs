#![forbid(unsafe_code)]

use core::mem;
use core::task::Waker;

/// The connection's task, as those see it who may have to wake it.
#[derive(Default)]
pub(super) struct Waiter {
    pub(super) parked: Parked,
    /// The task's waker, kept while the task runs: it is the same next time, and to clone it for
    /// each wait would cost two atomic operations for each message of a client that asks and waits.
    waker: Option<Waker>,
}

/// The kinds of news that have to wake the task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Parked {
    /// Nothing: it runs, and drains before it waits.
    #[default]
    Running,
    /// Anything.
    Idle,
    /// It waits for the transport, and one message more is nothing new to it.
    Blocked,
    /// Nothing but the end: it waits, and somebody else is about to write what is queued.
    Relieved,
}

impl Waiter {
    pub(super) fn park(&mut self, waker: &Waker, parked: Parked) {
        if self.waker.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
        self.parked = parked;
    }

    /// Has a task that runs woken for what comes from now on, if it has parked before.
    pub(super) fn park_again(&mut self) {
        if self.waker.is_some() {
            self.parked = Parked::Idle;
        }
    }

    /// Returns the waker of a task that has to be woken.
    pub(super) fn unpark(&mut self) -> Option<Waker> {
        match mem::take(&mut self.parked) {
            Parked::Running => None,
            Parked::Idle | Parked::Blocked | Parked::Relieved => self.waker.clone(),
        }
    }
}

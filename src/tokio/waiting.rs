use alloc::sync::Arc;
use alloc::task::Wake;
use core::mem;
use core::task::{Context, Poll, Waker};
use std::sync::PoisonError;

use crate::sync::{Mutex, MutexGuard};

/// The tasks that wait for one object, one in each direction.
///
/// A transport knows one waker for reading and one for writing, and a timer knows one; but each
/// direction of a WebSocket needs all three: who reads has to write pongs, who writes has to hear
/// of the end. So all of them wake whoever waits in either.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<[Option<Waker>; 2]>);

#[derive(Clone, Copy, Debug)]
pub(super) enum Direction {
    Read,
    Write,
}

impl Direction {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Read => Self::Write,
            Self::Write => Self::Read,
        }
    }
}

impl Waiting {
    /// Polls for somebody who waits in a direction, with a waker that wakes both.
    pub(super) fn poll<T>(
        self: &Arc<Self>,
        direction: Direction,
        cx: &Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.set(direction, cx.waker());
        let waker = Waker::from(Arc::clone(self));
        let result = poll(&mut Context::from_waker(&waker));
        if result.is_ready() {
            let waker = self.lock()[direction as usize].take();
            drop(waker); // unlocked: it may be the last of its task
        }
        result
    }

    fn set(&self, direction: Direction, waker: &Waker) {
        let mut wakers = self.lock();
        let place = &mut wakers[direction as usize];
        if place.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return;
        }
        let replaced = place.replace(waker.clone());
        drop(wakers);
        drop(replaced);
    }

    pub(super) fn wake_one(&self, direction: Direction) {
        let waker = self.lock()[direction as usize].take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, [Option<Waker>; 2]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let wakers = mem::take(&mut *self.lock());
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

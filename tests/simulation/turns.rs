use std::task::{Poll, Waker};

use crate::network::Net;

/// How much is done for one connection before everybody else had a turn.
///
/// Whatever is done wakes a task that does nothing but count: when it runs, all tasks that were
/// ready before have run. What one connection has done since the last time is one turn of its task.
#[derive(Default)]
pub struct Turns {
    /// The number of turns so far.
    pub count: u64,
    counter: Option<Waker>,
    /// Those of each end: the turn and what was done in it.
    ends: Vec<Work>,
    /// The most that was ever done in one.
    pub most: Work,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    turn: u64,
    /// Read from the transport.
    pub bytes: usize,
    /// Handed to the application.
    pub messages: usize,
}

impl Turns {
    pub fn add(&mut self, end: usize, bytes: usize, messages: usize) {
        if self.ends.len() <= end {
            self.ends.resize(end + 1, Work::default());
        }
        let work = &mut self.ends[end];
        if work.turn != self.count {
            *work = Work { turn: self.count, ..Work::default() };
        }
        work.bytes += bytes;
        work.messages += messages;
        self.most.bytes = self.most.bytes.max(work.bytes);
        self.most.messages = self.most.messages.max(work.messages);
        if let Some(counter) = self.counter.take() {
            counter.wake();
        }
    }
}

/// Counts the turns, for ever.
pub async fn count(net: Net) {
    std::future::poll_fn(|cx| {
        let mut state = net.lock();
        state.turns.count += 1;
        state.turns.counter = Some(cx.waker().clone());
        Poll::<()>::Pending
    })
    .await
}

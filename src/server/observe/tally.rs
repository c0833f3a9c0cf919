//! What the task of a connection has sent and received since it last waited.
//!
//! Kept by the thread, in plain cells: a message costs two additions. When the task waits, they are
//! added to the counters that all threads share ([`fold`]). Only such tasks count here, and none
//! waits before it has folded, so that the cells are empty when the next one runs. The one
//! exception is a task that runs inside the handler of another, in a runtime of its own: it folds
//! what that one has counted so far. The sums of a process are right even then.

use core::cell::Cell;

use super::stats::Counters;

std::thread_local! {
    static TALLY: Tally = const {
        Tally {
            received: Cell::new(0),
            received_bytes: Cell::new(0),
            sent: Cell::new(0),
            sent_bytes: Cell::new(0),
            read: Cell::new(0),
            written: Cell::new(0),
        }
    };
}

struct Tally {
    received: Cell<u64>,
    received_bytes: Cell<u64>,
    sent: Cell<u64>,
    sent_bytes: Cell<u64>,
    read: Cell<u64>,
    written: Cell<u64>,
}

/// Counts a message that has arrived.
#[inline]
pub(crate) fn received(len: usize) {
    TALLY.with(|tally| {
        add(&tally.received, 1);
        add(&tally.received_bytes, len);
    });
}

/// Counts a message that was put into the send buffer.
#[inline]
pub(crate) fn sent(len: usize) {
    TALLY.with(|tally| {
        add(&tally.sent, 1);
        add(&tally.sent_bytes, len);
    });
}

/// Counts several of them, with so many bytes together.
#[inline]
pub(crate) fn sent_many(count: usize, bytes: usize) {
    TALLY.with(|tally| {
        add(&tally.sent, count);
        add(&tally.sent_bytes, bytes);
    });
}

/// Counts bytes from the transport.
#[inline]
pub(crate) fn read(bytes: usize) {
    TALLY.with(|tally| add(&tally.read, bytes));
}

/// Counts bytes that the transport took.
#[inline]
pub(crate) fn written(bytes: usize) {
    TALLY.with(|tally| add(&tally.written, bytes));
}

/// The messages of one connection since its task last waited, and their bytes.
pub(crate) struct Moved {
    pub(crate) received: u64,
    pub(crate) received_bytes: u64,
    pub(crate) sent: u64,
    pub(crate) sent_bytes: u64,
}

/// Adds what was counted to the counters of a server, and returns it. Called before a task waits,
/// and at its end.
pub(crate) fn fold(counters: &Counters) -> Moved {
    TALLY.with(|tally| {
        let shard = counters.shard();
        let counts = shard.counts;
        let moved = Moved {
            received: tally.received.take(),
            received_bytes: tally.received_bytes.take(),
            sent: tally.sent.take(),
            sent_bytes: tally.sent_bytes.take(),
        };
        shard.add(&counts.received, moved.received);
        shard.add(&counts.received_bytes, moved.received_bytes);
        shard.add(&counts.sent, moved.sent);
        shard.add(&counts.sent_bytes, moved.sent_bytes);
        shard.add(&counts.read, tally.read.take());
        shard.add(&counts.written, tally.written.take());
        moved
    })
}

fn add(cell: &Cell<u64>, number: usize) {
    cell.set(cell.get().wrapping_add(number as u64));
}

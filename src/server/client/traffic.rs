#![forbid(unsafe_code)]

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::server::observe::tally::Moved;

/// The messages of one client and their bytes: see
/// [`Client::traffic`](crate::server::Client::traffic).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Messages that were received.
    pub received: u64,
    /// Their bytes, inflated.
    pub received_bytes: u64,
    /// Messages that were sent: put into the send buffer of the connection, behind any queue.
    pub sent: u64,
    /// Their bytes, before compression.
    pub sent_bytes: u64,
}

/// The counters behind a [`Traffic`], for the clients of a server that counts them.
#[derive(Default)]
pub(crate) struct TrafficCounters {
    received: AtomicU64,
    received_bytes: AtomicU64,
    sent: AtomicU64,
    sent_bytes: AtomicU64,
}

impl TrafficCounters {
    pub(crate) fn new(counts: bool) -> Option<Box<Self>> {
        counts.then(Box::default)
    }

    // Relaxed, all of them: numbers, through which nothing else is read.

    #[cold]
    pub(crate) fn add(&self, moved: &Moved) {
        self.received.fetch_add(moved.received, Ordering::Relaxed);
        self.received_bytes.fetch_add(moved.received_bytes, Ordering::Relaxed);
        self.sent.fetch_add(moved.sent, Ordering::Relaxed);
        self.sent_bytes.fetch_add(moved.sent_bytes, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Traffic {
        Traffic {
            received: self.received.load(Ordering::Relaxed),
            received_bytes: self.received_bytes.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            sent_bytes: self.sent_bytes.load(Ordering::Relaxed),
        }
    }
}

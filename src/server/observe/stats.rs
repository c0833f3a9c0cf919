use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Counters of a server since it was made. A snapshot; see
/// [`Hub::stats`](crate::server::Hub::stats).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that were opened.
    pub opened: u64,
    /// Connections that are over.
    pub closed: u64,
    /// Malformed requests and invalid handshakes; peers that left before they had sent one are
    /// among them.
    pub bad_requests: u64,
    /// Valid handshakes that were refused, by the server or by a handler.
    pub refused: u64,
    /// Connections that were closed before their request was complete, or had fetched its answer,
    /// because others waited: see [`Server::max_pending`](crate::server::Server::max_pending).
    pub gave_way: u64,
    /// Messages that were dropped for clients that read too slowly.
    pub dropped: u64,
    /// Clients that were closed because they read too slowly.
    pub slow_closed: u64,
    /// Clients that were closed because unfinished messages took too much memory: see
    /// [`Server::max_receiving_bytes`](crate::server::Server::max_receiving_bytes).
    pub overload_closed: u64,
    /// Panics of handlers.
    pub panics: u64,
    /// Failures to accept a connection, for want of descriptors as a rule.
    pub accept_errors: u64,
    /// The topics that remember something now, or whose offsets are kept.
    pub topics: u64,
    /// The bytes that they are charged now: see
    /// [`Server::max_history_bytes`](crate::server::Server::max_history_bytes).
    pub history_bytes: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) opened: AtomicU64,
    pub(crate) closed: AtomicU64,
    pub(crate) bad_requests: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) gave_way: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) slow_closed: AtomicU64,
    pub(crate) overload_closed: AtomicU64,
    pub(crate) panics: AtomicU64,
    pub(crate) accept_errors: AtomicU64,
    /// The bytes that unfinished messages take now.
    pub(crate) receiving: AtomicUsize,
    /// The topics there are now.
    pub(crate) topics: AtomicUsize,
    /// The bytes that they are charged.
    pub(crate) history_bytes: AtomicUsize,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            opened: read(&self.opened),
            closed: read(&self.closed),
            bad_requests: read(&self.bad_requests),
            refused: read(&self.refused),
            gave_way: read(&self.gave_way),
            dropped: read(&self.dropped),
            slow_closed: read(&self.slow_closed),
            overload_closed: read(&self.overload_closed),
            panics: read(&self.panics),
            accept_errors: read(&self.accept_errors),
            topics: self.topics.load(Ordering::Relaxed) as u64,
            history_bytes: self.history_bytes.load(Ordering::Relaxed) as u64,
        }
    }
}

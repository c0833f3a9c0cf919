use core::cell::Cell;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use crate::server::backplane::BackplaneStats;

/// Counters of a server since it was made. A snapshot; see
/// [`Hub::stats`](crate::server::Hub::stats). [`to_openmetrics`](Self::to_openmetrics) is the same
/// as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Streams that were accepted, of whatever becomes of them: by the server's listener, and by
    /// [`ServerHandle::accept`](crate::server::ServerHandle::accept).
    pub accepted: u64,
    /// Handshakes and requests of plain HTTP that are under way now.
    pub pending: usize,
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
    /// Messages that were received. What a connection receives and sends is added to this and the
    /// next five when its task waits.
    pub received: u64,
    /// Their bytes, inflated.
    pub received_bytes: u64,
    /// Messages that were sent: put into the send buffer of a connection, behind any queue.
    pub sent: u64,
    /// Their bytes, before compression.
    pub sent_bytes: u64,
    /// Bytes that were read from the transports of open connections: frames, compressed as they
    /// are. By [`received_bytes`](Self::received_bytes) they show what compression saves.
    pub read_bytes: u64,
    /// Bytes that the transports of open connections took, likewise.
    pub written_bytes: u64,
    /// The most bytes that have waited in the queue of one client, as
    /// [`Client::queued`](crate::server::Client::queued) counts them.
    pub queue_high_water: usize,
    /// Messages that were dropped for clients that read too slowly.
    pub dropped: u64,
    /// Clients that were closed because they read too slowly.
    pub slow_closed: u64,
    /// Clients that were closed because unfinished messages took too much memory: see
    /// [`Server::max_receiving_bytes`](crate::server::Server::max_receiving_bytes).
    pub overload_closed: u64,
    /// Clients that were closed because neither end had sent a message for too long: see
    /// [`Server::idle_timeout`](crate::server::Server::idle_timeout).
    pub idle_closed: u64,
    /// Clients that were closed because they sent more than
    /// [`Server::client_rate`](crate::server::Server::client_rate) allows.
    pub rate_closed: u64,
    /// Pauses in reading from such clients.
    pub rate_paused: u64,
    /// Handshakes that were refused because of
    /// [`Server::max_handshakes_per_ip`](crate::server::Server::max_handshakes_per_ip); they are
    /// among those [`refused`](Self::refused).
    pub rate_refused: u64,
    /// Panics of handlers.
    pub panics: u64,
    /// Failures to accept a connection, for want of descriptors as a rule.
    pub accept_errors: u64,
    /// The topics that remember something now, or whose offsets are kept.
    pub topics: u64,
    /// The bytes that they are charged now: see
    /// [`Server::max_history_bytes`](crate::server::Server::max_history_bytes).
    pub history_bytes: u64,
    /// Rooms that somebody is in now, or that remember something.
    pub rooms: usize,
    /// What has passed to and from other servers; `None` without a
    /// [backplane](crate::server::backplane).
    pub backplane: Option<BackplaneStats>,
    /// By the places of [`STATUSES`].
    pub(super) refusals: [u64; STATUSES.len()],
    /// By the places of [`CLOSE_CODES`].
    pub(super) closes: [u64; CLOSE_CODES.len()],
    pub(super) times: Times,
}

/// The times that calls of handlers took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    /// Calls that took no longer than each of [`BOUNDS`] and longer than the one before; those
    /// that took longer than all.
    pub(super) calls: [u64; BOUNDS.len() + 1],
    pub(super) micros: u64,
}

impl Stats {
    /// Returns the number of connections that are open.
    pub const fn open(&self) -> u64 {
        self.opened.saturating_sub(self.closed) // the two were not read in the same moment
    }

    /// Returns how many handshakes were answered with each status: `101` for those that opened a
    /// connection, and each of the usual ones or `other` for those that are counted in
    /// [`refused`](Self::refused) and [`bad_requests`](Self::bad_requests); `none` where no answer
    /// could be sent.
    pub fn handshakes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let accepted = [("101", self.opened)].into_iter();
        accepted.chain(STATUSES.iter().map(|(_, name)| *name).zip(self.refusals))
    }

    /// Returns how many connections ended with each close code, which is that of the end that began
    /// to close. The names are those of the codes that the RFC or its registry define, `3xxx`,
    /// `4xxx` and `other`. 1005 stands for a Close without a code, 1006 for an end without a Close.
    pub fn close_codes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CLOSE_CODES.iter().map(|(_, name)| *name).zip(self.closes)
    }

    /// Returns how many calls of handlers took no longer than each of some times, and at last how
    /// many there were at all (`None`). They are counted only with
    /// [`Server::time_handlers`](crate::server::Server::time_handlers).
    pub fn handler_times(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let bounds = BOUNDS.iter().map(|micros| Some(Duration::from_micros(*micros)));
        bounds.chain([None]).zip(self.times.calls).scan(0, |sum, (bound, calls)| {
            *sum += calls;
            Some((bound, *sum))
        })
    }

    /// Returns the time that all calls of handlers took together, what they waited included.
    pub const fn handler_time(&self) -> Duration {
        Duration::from_micros(self.times.micros)
    }
}

/// The statuses that are told apart, with their labels: those of the server itself and the usual
/// ones of handlers. A bounded number, whatever a handler answers.
const STATUSES: [(u16, &str); 16] = [
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (408, "408"),
    (413, "413"),
    (421, "421"),
    (426, "426"),
    (429, "429"),
    (431, "431"),
    (500, "500"),
    (501, "501"),
    (503, "503"),
    (OTHER, "other"),
    (NO_ANSWER, "none"),
];

/// Stands for all values that have no entry of their own.
const OTHER: u16 = 0;

/// Stands for the status where there was no answer.
const NO_ANSWER: u16 = 1;

/// The close codes that are told apart, with their labels. The peer chooses the code: their number
/// is bounded.
const CLOSE_CODES: [(u16, &str); 17] = [
    (1000, "1000"),
    (1001, "1001"),
    (1002, "1002"),
    (1003, "1003"),
    (1005, "1005"),
    (1006, "1006"),
    (1007, "1007"),
    (1008, "1008"),
    (1009, "1009"),
    (1010, "1010"),
    (1011, "1011"),
    (1012, "1012"),
    (1013, "1013"),
    (1014, "1014"),
    (3000, "3xxx"),
    (4000, "4xxx"),
    (OTHER, "other"),
];

/// The times by which calls of handlers are told apart, in microseconds: from what costs others
/// nothing to what users notice.
pub(super) const BOUNDS: [u64; 12] =
    [10, 50, 100, 500, 1000, 5000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000];

/// Returns the place of a key, or else that of the rest.
fn place(table: &[(u16, &str)], key: u16) -> usize {
    let find = |key| table.iter().position(|(other, _)| *other == key);
    find(key).or_else(|| find(OTHER)).unwrap_or_default()
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) accepted: AtomicU64,
    pub(crate) opened: AtomicU64,
    pub(crate) closed: AtomicU64,
    bad_requests: AtomicU64,
    refused: AtomicU64,
    pub(crate) gave_way: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) slow_closed: AtomicU64,
    pub(crate) overload_closed: AtomicU64,
    pub(crate) idle_closed: AtomicU64,
    pub(crate) rate_closed: AtomicU64,
    pub(crate) rate_paused: AtomicU64,
    pub(crate) rate_refused: AtomicU64,
    pub(crate) panics: AtomicU64,
    pub(crate) accept_errors: AtomicU64,
    /// The bytes that unfinished messages take now.
    pub(crate) receiving: AtomicUsize,
    /// The topics there are now.
    pub(crate) topics: AtomicUsize,
    /// The bytes that they are charged.
    pub(crate) history_bytes: AtomicUsize,
    queue_high_water: AtomicUsize,
    refusals: [AtomicU64; STATUSES.len()],
    closes: [AtomicU64; CLOSE_CODES.len()],
    /// One for each of the first threads that count.
    shards: [Shard; SHARDS],
    /// For all other threads.
    rest: Shard,
}

/// Counters that change all the time, of one thread: those of two do not lie in the same cache
/// line, nor in two that are fetched together.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Shard {
    /// The number of the thread that writes here, and no other; 0 is none. It is kept when the
    /// thread ends: so many threads that come and go share the rest.
    owner: AtomicUsize,
    pub(crate) received: AtomicU64,
    pub(crate) received_bytes: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) sent_bytes: AtomicU64,
    pub(crate) read: AtomicU64,
    pub(crate) written: AtomicU64,
    handler_calls: [AtomicU64; BOUNDS.len() + 1],
    handler_micros: AtomicU64,
}

/// The number of shards: as many threads as most servers have. 4 KiB.
const SHARDS: usize = 16;

impl Shard {
    /// Makes a thread the owner, if there is none. Returns whether it is.
    #[cold]
    fn take(&self, thread: usize) -> bool {
        self.owner.compare_exchange(0, thread, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// Where a thread counts.
#[derive(Clone, Copy)]
pub(crate) struct ThreadShard<'a> {
    pub(crate) counts: &'a Shard,
    /// No other thread writes here.
    is_own: bool,
}

impl ThreadShard<'_> {
    /// Adds to one of the counters. Measured: an atomic addition is several times as much as a
    /// plain one, and there are six for each message that is waited for.
    #[inline]
    pub(crate) fn add(self, counter: &AtomicU64, number: u64) {
        if self.is_own {
            let sum = counter.load(Ordering::Relaxed).wrapping_add(number);
            counter.store(sum, Ordering::Relaxed);
        } else {
            counter.fetch_add(number, Ordering::Relaxed);
        }
    }
}

impl Counters {
    // Relaxed, all of them: numbers, through which nothing else is read.

    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a valid handshake that was refused with this status, if an answer could be sent.
    pub(crate) fn refused(&self, status: Option<u16>) {
        Self::add(&self.refused);
        self.refusal(status);
    }

    /// Counts what is not a valid handshake or request.
    pub(crate) fn bad_request(&self, status: Option<u16>) {
        Self::add(&self.bad_requests);
        self.refusal(status);
    }

    fn refusal(&self, status: Option<u16>) {
        Self::add(&self.refusals[place(&STATUSES, status.unwrap_or(NO_ANSWER))]);
    }

    /// Counts a connection that has ended with this code.
    pub(crate) fn ended_with(&self, code: u16) {
        let key = if code >= 3000 { code / 1000 * 1000 } else { code };
        Self::add(&self.closes[place(&CLOSE_CODES, key)]);
    }

    /// Notes how many bytes wait for a client.
    #[inline]
    pub(crate) fn note_queued(&self, bytes: usize) {
        // rarely more than before, and a look at what does not change costs next to nothing
        if bytes > self.queue_high_water.load(Ordering::Relaxed) {
            self.queue_high_water.fetch_max(bytes, Ordering::Relaxed);
        }
    }

    /// Counts a call of a handler.
    pub(crate) fn handler_took(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let shard = self.shard();
        let place = BOUNDS.partition_point(|bound| *bound < micros);
        shard.add(&shard.counts.handler_calls[place], 1);
        shard.add(&shard.counts.handler_micros, micros);
    }

    /// Returns the shard of this thread.
    #[inline]
    pub(crate) fn shard(&self) -> ThreadShard<'_> {
        static THREADS: AtomicUsize = AtomicUsize::new(1);
        std::thread_local!(static NUMBER: Cell<usize> = const { Cell::new(0) });
        let mut number = NUMBER.get();
        if number == 0 {
            number = THREADS.fetch_add(1, Ordering::Relaxed);
            NUMBER.set(number);
        }
        let shard = &self.shards[number % SHARDS];
        let owner = shard.owner.load(Ordering::Relaxed);
        if owner == number || owner == 0 && shard.take(number) {
            ThreadShard { counts: shard, is_own: true }
        } else {
            ThreadShard { counts: &self.rest, is_own: false }
        }
    }

    fn all_shards(&self) -> impl Iterator<Item = &Shard> {
        self.shards.iter().chain([&self.rest])
    }

    pub(crate) fn snapshot(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let sum = |of: fn(&Shard) -> &AtomicU64| self.all_shards().map(|it| read(of(it))).sum();
        let mut times = Times { micros: sum(|shard| &shard.handler_micros), ..Times::default() };
        for shard in self.all_shards() {
            times.calls.iter_mut().zip(&shard.handler_calls).for_each(|(all, it)| *all += read(it));
        }
        Stats {
            accepted: read(&self.accepted),
            // what was closed was opened before it
            closed: read(&self.closed),
            opened: read(&self.opened),
            bad_requests: read(&self.bad_requests),
            refused: read(&self.refused),
            gave_way: read(&self.gave_way),
            received: sum(|shard| &shard.received),
            received_bytes: sum(|shard| &shard.received_bytes),
            sent: sum(|shard| &shard.sent),
            sent_bytes: sum(|shard| &shard.sent_bytes),
            read_bytes: sum(|shard| &shard.read),
            written_bytes: sum(|shard| &shard.written),
            queue_high_water: self.queue_high_water.load(Ordering::Relaxed),
            dropped: read(&self.dropped),
            slow_closed: read(&self.slow_closed),
            overload_closed: read(&self.overload_closed),
            idle_closed: read(&self.idle_closed),
            rate_closed: read(&self.rate_closed),
            rate_paused: read(&self.rate_paused),
            rate_refused: read(&self.rate_refused),
            panics: read(&self.panics),
            accept_errors: read(&self.accept_errors),
            topics: self.topics.load(Ordering::Relaxed) as u64,
            history_bytes: self.history_bytes.load(Ordering::Relaxed) as u64,
            refusals: self.refusals.each_ref().map(read),
            closes: self.closes.each_ref().map(read),
            times,
            // the others are the business of those who know them
            ..Stats::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn labels_are_bounded() {
        let counters = Counters::default();
        (0..=u16::MAX).for_each(|code| counters.ended_with(code));
        (0..1000).for_each(|status| counters.refused(Some(status)));
        let stats = counters.snapshot();
        let sum = stats.close_codes().map(|(_, count)| count).sum::<u64>();
        assert_eq!(sum, 1 << 16);
        let of = |name| stats.close_codes().find(|it| it.0 == name).map(|it| it.1);
        assert_eq!([of("1000"), of("3xxx"), of("4xxx")], [Some(1), Some(1000), Some(1000)]);
        assert_eq!(stats.handshakes().map(|it| it.1).sum::<u64>(), 1000);
    }

    #[test]
    fn no_thread_loses_a_count() {
        const THREADS: u64 = 3 * SHARDS as u64;
        let counters = Counters::default();
        let start = std::sync::Barrier::new(THREADS as usize);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    start.wait();
                    for _ in 0..1000 {
                        let shard = counters.shard();
                        shard.add(&shard.counts.received, 1);
                    }
                });
            }
        });
        assert_eq!(counters.snapshot().received, THREADS * 1000);
        // there are more threads than shards
        assert!(counters.rest.received.load(Ordering::Relaxed) >= THREADS * 1000 * 2 / 3);
    }

    #[test]
    fn times_are_sorted_into_buckets() {
        let counters = Counters::default();
        for micros in [0, 10, 11, 5_000_000, 5_000_001] {
            counters.handler_took(Duration::from_micros(micros));
        }
        let stats = counters.snapshot();
        let counts: Vec<_> = stats.handler_times().map(|it| it.1).collect();
        assert_eq!(counts, [2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 5]);
        assert_eq!(stats.handler_time(), Duration::from_micros(10_000_022));
    }
}

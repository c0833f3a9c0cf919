//! Settings of a server that are about how its clients behave in time.
#![forbid(unsafe_code)]

use core::time::Duration;

use super::client::limits::SlowClients;
use super::client::rate::RateLimit;
use super::server::Server;

impl Server {
    /// Sets the most bytes that may wait for a client whose transport takes none, besides those in
    /// its send buffer: each message counts with its payload and 64 bytes. Default 1 MiB. One
    /// message may be longer. For what happens beyond that see [`SlowClients`].
    pub const fn max_queued_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_queued_bytes = bytes;
        self
    }

    /// Sets the most bytes that may wait for a client in any case, counted in the same way. It is
    /// for what is sent at once to a client that reads, and whose task had no turn yet. Default 16
    /// MiB; at least [`max_queued_bytes`](Self::max_queued_bytes). For what happens beyond that see
    /// [`SlowClients`].
    pub const fn max_burst_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_burst_bytes = bytes;
        self
    }

    /// Sets how long the transport of a client may take no byte while more than
    /// [`max_queued_bytes`](Self::max_queued_bytes) wait, until the client is closed as slow.
    /// Default 5 s: a network that has lost a packet for the third time goes on by then.
    pub const fn slow_after(mut self, time: Duration) -> Self {
        self.limits.slow_after = time;
        self
    }

    /// Sets the policy for clients that read too slowly. By default they are closed with 1013.
    pub const fn slow_clients(mut self, policy: SlowClients) -> Self {
        self.limits.slow_clients = policy;
        self
    }

    /// Sets the rate at which each client may send. Default: no limit, and no cost. A
    /// [route](super::Route::client_rate) can have another one.
    /// [`Stats::rate_paused`](super::Stats::rate_paused) and
    /// [`Stats::rate_closed`](super::Stats::rate_closed) count what happens to clients that send
    /// more. Each client of a route with a rate costs some 150 bytes.
    pub const fn client_rate(mut self, rate: RateLimit) -> Self {
        self.limits.rate = Some(rate);
        self
    }

    /// Sets the most valid handshakes of one address per second; at least 1. As many may come at
    /// once, and one beyond them gets a 429 with `Retry-After`. Default: no limit. Addresses are
    /// counted as by [`max_connections_per_ip`](Self::max_connections_per_ip).
    /// [`Stats::rate_refused`](super::Stats::rate_refused) counts those that are refused.
    pub const fn max_handshakes_per_ip(mut self, per_second: u32) -> Self {
        self.capacity.handshakes_per_second = Some(per_second);
        self
    }

    /// Counts messages and their bytes for each client: see
    /// [`Client::traffic`](super::Client::traffic). Costs 32 bytes for each; off by default.
    /// [`Hub::stats`](super::Hub::stats) counts those of all clients together in any case.
    pub const fn count_traffic(mut self) -> Self {
        self.limits.counts_traffic = true;
        self
    }

    /// Sets how long neither end of a connection may send a message: it is closed with 1001 then.
    /// Default: no limit, since keep-alive finds the clients that are gone. A
    /// [route](super::Route::idle_timeout) can have another one.
    ///
    /// A message counts when it has arrived whole, or goes into the send buffer; pings, pongs and
    /// parts of a message do not. The time in which the handler is at work, or waits, is not idle.
    /// [`Stats::idle_closed`](super::Stats::idle_closed) counts the clients that were closed. Each
    /// client of a route with an idle time-out costs an alarm, some 250 bytes.
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.limits.idle_timeout = timeout;
        self
    }
}

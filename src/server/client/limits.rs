#![forbid(unsafe_code)]

use core::time::Duration;

use super::rate::RateLimit;
use crate::config::ConfigError;
#[cfg(feature = "deflate")]
use crate::deflate::Deflate;
use crate::server::error::JoinError;
use crate::wire::CloseCode;

/// The policy for a client that reads more slowly than it is sent to.
///
/// A client is not slow because its queue is long: much may have been sent at once. A client is
/// slow while its transport refuses bytes, when the connection's task has had its turn and could
/// not write. What waits then, beside the [`max_unsent`](crate::Config::max_unsent) bytes of the
/// send buffer, may be up to [`max_queued_bytes`](crate::server::Server::max_queued_bytes); for a
/// client that takes them it may be up to
/// [`max_burst_bytes`](crate::server::Server::max_burst_bytes), and beyond that the policy strikes
/// in any case. Each message is charged its payload and 64 bytes.
///
/// Pongs, keep-alive pings and Close frames do not pass through the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SlowClients {
    /// The client is closed with this code, and what waits for it is dropped: once more than
    /// `max_queued_bytes` wait and its transport has taken no byte for
    /// [`slow_after`](crate::server::Server::slow_after). The default, with
    /// [`TRY_AGAIN_LATER`](CloseCode::TRY_AGAIN_LATER) (1013): a client that comes back starts from
    /// a state that is whole.
    Close(CloseCode),
    /// The messages that have waited longest are dropped for the new one, so that no more than
    /// `max_queued_bytes` wait while the transport refuses bytes. This is for streams of states
    /// where the newest counts.
    DropOldest,
    /// The new message is dropped then, and its sender gets
    /// [`TrySendError::Full`](crate::server::TrySendError::Full).
    DropNewest,
}

/// The limits on what one client may make the server hold.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) max_queued_bytes: usize,
    pub(crate) max_burst_bytes: usize,
    pub(crate) slow_after: Duration,
    pub(crate) slow_clients: SlowClients,
    pub(crate) max_rooms_per_client: usize,
    pub(crate) max_room_name_len: usize,
    pub(crate) max_kept_headers: usize,
    /// The limit for all topics together.
    pub(crate) max_history_bytes: usize,
    /// The rate at which the client may send.
    pub(crate) rate: Option<RateLimit>,
    /// How long neither end may send a message; [`Duration::MAX`] for no limit.
    pub(crate) idle_timeout: Duration,
    /// Messages are counted for each client.
    pub(crate) counts_traffic: bool,
    /// The setting of the connections.
    pub(crate) close_timeout: Duration,
    /// The limit for all clients together.
    pub(crate) max_receiving_bytes: usize,
    /// The settings for the compression of broadcasts.
    #[cfg(feature = "deflate")]
    pub(crate) deflate: Option<Deflate>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_queued_bytes: 1024 * 1024,
            max_burst_bytes: 16 * 1024 * 1024,
            slow_after: Duration::from_secs(5),
            slow_clients: SlowClients::Close(CloseCode::TRY_AGAIN_LATER),
            max_rooms_per_client: 1024,
            max_room_name_len: 256,
            max_kept_headers: 4 * 1024,
            // 128 topics that remember as much as they do by default
            max_history_bytes: 64 * 1024 * 1024,
            rate: None,
            idle_timeout: Duration::MAX,
            counts_traffic: false,
            close_timeout: Duration::from_secs(10),
            // 256 of the longest messages that are taken by default
            max_receiving_bytes: 256 * 1024 * 1024,
            #[cfg(feature = "deflate")]
            deflate: None,
        }
    }
}

impl Limits {
    /// Checks those settings that cannot all be meant.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.idle_timeout.is_zero() {
            return Err(ConfigError(
                "idle_timeout must not be zero, or every connection would be closed at once; \
                 leave it out for no limit",
            ));
        }
        self.rate.map_or(Ok(()), |rate| rate.check().map(drop))
    }

    /// Checks the length of the name of a room that a client is to enter.
    pub(crate) fn check_room_name(&self, name: &str) -> Result<(), JoinError> {
        let (len, limit) = (name.len(), self.max_room_name_len);
        if len > limit { Err(JoinError::NameTooLong { len, limit }) } else { Ok(()) }
    }

    /// Returns the most bytes that may wait for a client whose transport takes bytes.
    pub(crate) fn burst(&self) -> usize {
        self.max_burst_bytes.max(self.max_queued_bytes)
    }

    /// Returns the bytes below which a client has room:
    /// [`Client::writable`](crate::server::Client::writable).
    pub(crate) fn room(&self) -> usize {
        (self.max_queued_bytes / 2).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers are those of `limits.md` and of the guides. Without a limit by default are the
    /// rate of clients, and the time for which they say nothing.
    #[test]
    fn the_defaults_are_finite() {
        const KIB: usize = 1024;
        const MIB: usize = 1024 * KIB;
        // all of them: a limit that is new does not compile until it has a line here
        let Limits {
            max_queued_bytes,
            max_burst_bytes,
            slow_after,
            slow_clients,
            max_rooms_per_client,
            max_room_name_len,
            max_kept_headers,
            max_history_bytes,
            rate,
            idle_timeout,
            counts_traffic,
            close_timeout,
            max_receiving_bytes,
            #[cfg(feature = "deflate")]
            deflate,
        } = Limits::default();
        assert_eq!((max_queued_bytes, max_burst_bytes), (MIB, 16 * MIB));
        assert_eq!(slow_after, Duration::from_secs(5));
        assert!(matches!(slow_clients, SlowClients::Close(CloseCode::TRY_AGAIN_LATER)));
        assert_eq!((max_rooms_per_client, max_room_name_len), (1024, 256));
        assert_eq!(max_kept_headers, 4 * KIB);
        assert_eq!((max_history_bytes, max_receiving_bytes), (64 * MIB, 256 * MIB));
        assert_eq!((idle_timeout, close_timeout), (Duration::MAX, Duration::from_secs(10)));
        assert!(rate.is_none() && !counts_traffic);
        #[cfg(feature = "deflate")]
        assert!(deflate.is_none());
    }
}

#![forbid(unsafe_code)]

use core::fmt;
use core::time::Duration;

use crate::buf::RecvBuffer;
#[cfg(feature = "deflate")]
use crate::deflate::Deflate;

/// The settings of a connection, from its opening handshake to its end. Each has a setter that
/// takes and returns them.
///
/// ```
/// use core::time::Duration;
/// use sansws::{Config, KeepAlive};
///
/// let config = Config::new()
///     .max_message_len(64 * 1024)
///     .keep_alive(KeepAlive::Every(Duration::from_secs(30)))
///     .check()?;
/// # Ok::<(), sansws::ConfigError>(())
/// ```
///
/// Every queue, length, count and wait that a peer can reach is bounded by one of these; the
/// defaults are safe for a server on the open internet. The adapters [`check`](Self::check) what
/// they are given; the core works with any values and never panics on them.
///
/// It is no connection's own: what is made from one copies the numbers that it needs.
///
#[doc = include_str!("config.md")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub(crate) max_head_len: usize,
    pub(crate) max_headers: usize,
    pub(crate) max_target_len: usize,
    pub(crate) max_refusal_body_len: usize,
    pub(crate) handshake_timeout: Duration,
    /// `None` until it is set, as are others below: an adapter has its own default then.
    max_message_len: Option<usize>,
    pub(crate) max_fragments: u32,
    pub(crate) max_empty_fragments: u32,
    pub(crate) read_ahead: usize,
    pub(crate) max_pending_pongs: usize,
    max_unsent: Option<usize>,
    pub(crate) keep_alive: Option<KeepAlive>,
    pub(crate) pong_timeout: Duration,
    pub(crate) close_timeout: Duration,
    #[cfg(feature = "deflate")]
    pub(crate) deflate: Option<Deflate>,
}

/// The time of keep-alive pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeepAlive {
    /// Never.
    Off,
    /// At this interval.
    Every(Duration),
}

impl Config {
    /// Returns the defaults.
    pub const fn new() -> Self {
        Self {
            max_head_len: 16 * 1024,
            max_headers: 100,
            max_target_len: 8 * 1024,
            max_refusal_body_len: 64 * 1024,
            handshake_timeout: Duration::from_secs(10),
            max_message_len: None,
            max_fragments: 131_072,
            max_empty_fragments: 1024,
            read_ahead: RecvBuffer::DEFAULT_READ_AHEAD,
            max_pending_pongs: 16,
            max_unsent: None,
            keep_alive: None,
            pong_timeout: Duration::from_secs(20),
            close_timeout: Duration::from_secs(10),
            #[cfg(feature = "deflate")]
            deflate: None,
        }
    }

    /// Limits the head of the HTTP request or response in the opening handshake, in bytes. Default
    /// 16 KiB. A server answers 431 beyond it.
    #[must_use]
    pub fn max_head_len(mut self, bytes: usize) -> Self {
        self.max_head_len = bytes;
        self
    }

    /// Limits the number of header lines in such a head. Default 100. A server answers 431 beyond
    /// it.
    #[must_use]
    pub fn max_headers(mut self, count: usize) -> Self {
        self.max_headers = count;
        self
    }

    /// Limits the request target, in bytes. Default 8 KiB (RFC 9112 §3 asks for at least 8 000). A
    /// server answers 414 beyond it.
    #[must_use]
    pub fn max_target_len(mut self, bytes: usize) -> Self {
        self.max_target_len = bytes;
        self
    }

    /// Limits what is kept of the body of a response that refuses the handshake, in bytes; the
    /// rest is cut off.
    /// Default 64 KiB.
    #[must_use]
    pub fn max_refusal_body_len(mut self, bytes: usize) -> Self {
        self.max_refusal_body_len = bytes;
        self
    }

    /// Limits the time of the whole opening handshake, connecting and TLS included. Default 10 s.
    /// Progress does not extend it.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Limits a message that is received, all its fragments together, in bytes; one of exactly this
    /// length is taken. Default 16 MiB. Beyond it the connection fails with 1009 as soon as a
    /// header announces it.
    #[must_use]
    pub fn max_message_len(mut self, bytes: usize) -> Self {
        self.max_message_len = Some(bytes);
        self
    }

    /// Limits the number of fragments in one message. Default 131 072, which is what the widespread
    /// JavaScript implementation allows and twice what the Autobahn suite sends. Beyond it the
    /// connection fails with 1008.
    #[must_use]
    pub fn max_fragments(mut self, count: u32) -> Self {
        self.max_fragments = count;
        self
    }

    /// Limits the number of fragments without payload in a row. Default 1 024. Beyond it the
    /// connection fails with 1008.
    #[must_use]
    pub fn max_empty_fragments(mut self, count: u32) -> Self {
        self.max_empty_fragments = count;
        self
    }

    /// Sets the space that is reserved for reading ahead of any data, in bytes. Default 16 KiB. A
    /// buffer that a read fills grows up to four times that.
    #[must_use]
    pub fn read_ahead(mut self, bytes: usize) -> Self {
        self.read_ahead = bytes;
        self
    }

    /// Limits the pongs that wait for a peer that does not read; after that only the newest is kept
    /// (RFC 6455 §5.5.3 allows it). Default 16.
    #[must_use]
    pub fn max_pending_pongs(mut self, count: usize) -> Self {
        self.max_pending_pongs = count;
        self
    }

    /// Sets the number of unsent bytes at which no new message is taken. Default 1 MiB. A message
    /// is taken whole while fewer wait, so that any message can be sent.
    #[must_use]
    pub fn max_unsent(mut self, bytes: usize) -> Self {
        self.max_unsent = Some(bytes);
        self
    }

    /// Sets when pings are sent to find out whether the peer is still there. Default: every 20 s in
    /// the tokio adapter and the event server; never in the core, whose time is the caller's, and
    /// in the blocking adapter, which has no timer of its own and could ping within a call only.
    #[must_use]
    pub fn keep_alive(mut self, keep_alive: KeepAlive) -> Self {
        self.keep_alive = Some(keep_alive);
        self
    }

    /// Sets how long after a ping the peer must show life. Default 20 s.
    ///
    /// The time begins anew when any byte comes, or when the transport takes bytes again after it
    /// had been full, and the peer gets it once more for each 16 KiB (12 times at the most) that
    /// the transport had taken before the ping: it has to read them first. But a peer that answers
    /// no ping is given up after 16 of these times, unless it is sending a frame and gets on with
    /// it (64 bytes a second).
    #[must_use]
    pub fn pong_timeout(mut self, timeout: Duration) -> Self {
        self.pong_timeout = timeout;
        self
    }

    /// Limits the time of the closing handshake, and then the time for the peer to close TCP.
    /// Default 10 s.
    ///
    /// It begins anew as long as the transport takes what was queued before the Close, or the peer
    /// gets on with a frame, and the peer gets it up to three times more to read what the transport
    /// had taken.
    #[must_use]
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// Turns compression on, where the peer agrees to it in the opening handshake. Off by default.
    /// [`max_message_len`](Self::max_message_len) then holds for what comes out of a compressed
    /// message, while it comes out.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, deflate: Deflate) -> Self {
        self.deflate = Some(deflate);
        self
    }

    /// Validates the settings, and returns them if all can be meant.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] that names the field and what it may be.
    pub fn check(self) -> Result<Self, ConfigError> {
        self.validate()?;
        Ok(self)
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        #[cfg(feature = "deflate")]
        if let Some(deflate) = &self.deflate
            && let Some(problem) = deflate.problem()
        {
            return Err(ConfigError(problem));
        }
        let error = if self.max_head_len < 256 {
            ConfigError("max_head_len must be at least 256 bytes: no request fits into less")
        } else if self.max_headers < 8 {
            ConfigError("max_headers must be at least 8: a browser sends more than that")
        } else if self.max_target_len == 0 {
            ConfigError("max_target_len must be at least 1 byte: the shortest target is \"/\"")
        } else if self.max_fragments == 0 {
            ConfigError("max_fragments must be at least 1: a message has one fragment or more")
        } else if self.max_pending_pongs == 0 {
            ConfigError("max_pending_pongs must be at least 1: a ping has to be answered")
        } else if self.read_ahead > RecvBuffer::MAX_READ_AHEAD {
            ConfigError("read_ahead must be at most 64 MiB: it is reserved for every read")
        } else if self.max_unsent == Some(0) {
            ConfigError("max_unsent must be at least 1 byte, or no message could ever be sent")
        } else if self.handshake_timeout.is_zero() {
            ConfigError("handshake_timeout must not be zero, or no handshake could succeed")
        } else if let Some(KeepAlive::Every(Duration::ZERO)) = self.keep_alive {
            ConfigError("keep_alive must not be every 0 s; use KeepAlive::Off for no pings")
        } else if self.pong_timeout.is_zero() {
            ConfigError("pong_timeout must not be zero, or every ping would end the connection")
        } else {
            return Ok(());
        };
        Err(error)
    }

    /// Returns the longest message that is taken, in bytes.
    pub(crate) fn message_len(&self) -> usize {
        self.max_message_len.unwrap_or(16 * 1024 * 1024)
    }

    /// Returns the unsent bytes at which no new message is taken.
    pub(crate) fn unsent(&self) -> usize {
        self.max_unsent.unwrap_or(1024 * 1024)
    }

    /// Fills in what the application has not set.
    #[cfg(feature = "tokio")]
    pub(crate) fn or(mut self, defaults: &Self) -> Self {
        self.max_message_len = self.max_message_len.or(defaults.max_message_len);
        self.max_unsent = self.max_unsent.or(defaults.max_unsent);
        self.keep_alive = self.keep_alive.or(defaults.keep_alive);
        self
    }

    /// Returns the interval of keep-alive pings. An adapter that has a default has set it.
    pub(crate) fn ping_interval(&self) -> Option<Duration> {
        match self.keep_alive {
            Some(KeepAlive::Every(interval)) => Some(interval),
            Some(KeepAlive::Off) | None => None,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

/// An invalid setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError(pub(crate) &'static str);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A-7: every default is finite, and the same however it is obtained.
    #[test]
    fn the_defaults_are_finite() {
        const MIB: usize = 1024 * 1024;
        const SECOND: Duration = Duration::from_secs(1);
        let config = Config::default();
        assert_eq!(config, Config::new());
        assert_eq!((config.message_len(), config.unsent()), (16 * MIB, MIB));
        assert_eq!(config.ping_interval(), None);
        // all of them: a setting that is new does not compile until it has a line here
        let Config {
            max_head_len,
            max_headers,
            max_target_len,
            max_refusal_body_len,
            handshake_timeout,
            max_message_len,
            max_fragments,
            max_empty_fragments,
            read_ahead,
            max_pending_pongs,
            max_unsent,
            keep_alive,
            pong_timeout,
            close_timeout,
            #[cfg(feature = "deflate")]
            deflate,
        } = config.clone();
        assert_eq!((max_head_len, max_headers, max_target_len), (16 * 1024, 100, 8 * 1024));
        assert_eq!(max_refusal_body_len, 64 * 1024);
        assert_eq!((max_fragments, max_empty_fragments), (131_072, 1024));
        assert_eq!((read_ahead, max_pending_pongs), (16 * 1024, 16));
        assert_eq!((handshake_timeout, close_timeout), (10 * SECOND, 10 * SECOND));
        assert_eq!(pong_timeout, 20 * SECOND);
        assert_eq!((max_message_len, max_unsent, keep_alive), (None, None, None)); // see above
        #[cfg(feature = "deflate")]
        assert_eq!(deflate, None);
        assert_eq!(config.clone().check(), Ok(config));
    }

    /// An adapter's default stands where the application has said nothing, even if it has said the
    /// same as this crate.
    #[test]
    #[cfg(feature = "tokio")]
    fn defaults_give_way_to_what_is_set() {
        let ours = Config::new().max_message_len(10).max_unsent(20).keep_alive(KeepAlive::Off);
        assert_eq!(Config::new().or(&ours), ours);
        let theirs = Config::new().max_message_len(16 * 1024 * 1024);
        let both = theirs.clone().or(&ours);
        assert_eq!((both.message_len(), both.unsent()), (16 * 1024 * 1024, 20));
        let second = Duration::from_secs(1);
        let pings = Config::new().keep_alive(KeepAlive::Every(second));
        assert_eq!(ours.or(&pings).ping_interval(), None);
        assert_eq!(theirs.or(&pings).ping_interval(), Some(second));
    }
}

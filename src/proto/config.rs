use core::fmt;
use core::time::Duration;

use crate::buf::RecvBuffer;
#[cfg(feature = "deflate")]
use crate::deflate::Deflate;

/// The settings of a connection. `Copy`; every field has a setter that takes and returns it.
///
/// ```
/// use core::time::Duration;
/// use sansws::proto::{Config, KeepAlive};
///
/// let config = Config::new()
///     .max_message_len(64 * 1024)
///     .keep_alive(KeepAlive::Every(Duration::from_secs(30)))
///     .check()?;
/// # Ok::<(), sansws::proto::ConfigError>(())
/// ```
///
/// Every queue, length, count and wait that a peer can reach is bounded by one of these; the
/// defaults are safe for a server on the open internet. The adapters [`check`](Self::check) what
/// they are given; the core works with any values and never panics on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Longest head of an HTTP request or response in the opening handshake, in bytes. Default
    /// 16 KiB. A server answers 431 beyond it.
    pub max_head_len: usize,
    /// Most header lines in such a head. Default 100. A server answers 431 beyond it.
    pub max_headers: usize,
    /// Longest request target, in bytes. Default 8 KiB (RFC 9112 §3 asks for at least 8 000). A
    /// server answers 414 beyond it.
    pub max_target_len: usize,
    /// Longest body kept of a response that refuses the handshake, in bytes; the rest is cut off.
    /// Default 64 KiB.
    pub max_refusal_body_len: usize,
    /// Time for the whole opening handshake, connecting and TLS included. Default 10 s. Progress
    /// does not extend it.
    pub handshake_timeout: Duration,
    /// Longest message, all its fragments together, in bytes; a message of exactly this length is
    /// taken. Default 16 MiB. Beyond it the connection fails with 1009 as soon as a header
    /// announces it.
    pub max_message_len: usize,
    /// Most fragments in one message. Default 131 072, which is what the widespread JavaScript
    /// implementation allows and twice what the Autobahn suite sends. Beyond it the connection
    /// fails with 1008.
    pub max_fragments: u32,
    /// Most fragments without payload in a row. Default 1 024. Beyond it the connection fails with
    /// 1008.
    pub max_empty_fragments: u32,
    /// Space reserved for reading ahead of any data, in bytes. Default 16 KiB. A buffer that a read
    /// fills grows up to four times that.
    pub read_ahead: usize,
    /// Pongs that may wait for a peer that does not read; after that only the newest is kept
    /// (RFC 6455 §5.5.3 allows it). Default 16.
    pub max_pending_pongs: usize,
    /// Unsent bytes at which no new message is taken. Default 1 MiB. A message is taken whole while
    /// fewer wait, so that any message can be sent.
    pub max_unsent: usize,
    /// When pings are sent to find out whether the peer is still there. Default
    /// [`KeepAlive::Auto`].
    pub keep_alive: KeepAlive,
    /// How long after a ping the peer must show life. Default 20 s.
    ///
    /// The time begins anew when any byte comes, or when the transport takes bytes again after it
    /// had been full, and the peer gets it once more for each 16 KiB (12 times at the most) that
    /// the transport had taken before the ping: it has to read them first. But a peer that answers
    /// no ping is given up after 16 of these times, unless it is sending a frame and gets on with
    /// it (64 bytes a second).
    pub pong_timeout: Duration,
    /// Time for the closing handshake, and then for the peer to close TCP. Default 10 s.
    ///
    /// It begins anew as long as the transport takes what was queued before the Close, or the peer
    /// gets on with a frame, and the peer gets it up to three times more to read what the transport
    /// had taken.
    pub close_timeout: Duration,
    /// Whether messages are delivered whole. Default [`Delivery::Messages`].
    pub delivery: Delivery,
    /// Whether to compress messages, where the peer agrees to that in the opening handshake, and
    /// how. Default `None`. [`max_message_len`](Self#structfield.max_message_len) then holds for
    /// what comes out of a compressed message, while it comes out.
    #[cfg(feature = "deflate")]
    pub deflate: Option<Deflate>,
}

/// When keep-alive pings are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeepAlive {
    /// Every 20 s in the tokio adapter and the event server; never in the core and the blocking
    /// adapter, which have no timer of their own.
    Auto,
    /// Never.
    Off,
    /// At this interval.
    Every(Duration),
}

/// How received messages reach the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// Whole: [`Event::Text`](super::Event::Text) and [`Event::Binary`](super::Event::Binary).
    Messages,
    /// As the payload arrives: [`Event::Chunk`](super::Event::Chunk). Nothing is kept, so messages
    /// may be far larger than memory; `max_message_len` still holds.
    Chunks,
}

impl Config {
    /// The defaults.
    pub const fn new() -> Self {
        Self {
            max_head_len: 16 * 1024,
            max_headers: 100,
            max_target_len: 8 * 1024,
            max_refusal_body_len: 64 * 1024,
            handshake_timeout: Duration::from_secs(10),
            max_message_len: 16 * 1024 * 1024,
            max_fragments: 131_072,
            max_empty_fragments: 1024,
            read_ahead: RecvBuffer::DEFAULT_READ_AHEAD,
            max_pending_pongs: 16,
            max_unsent: 1024 * 1024,
            keep_alive: KeepAlive::Auto,
            pong_timeout: Duration::from_secs(20),
            close_timeout: Duration::from_secs(10),
            delivery: Delivery::Messages,
            #[cfg(feature = "deflate")]
            deflate: None,
        }
    }

    /// Sets [`max_head_len`](Self#structfield.max_head_len), in bytes.
    #[must_use]
    pub const fn max_head_len(mut self, bytes: usize) -> Self {
        self.max_head_len = bytes;
        self
    }

    /// Sets [`max_headers`](Self#structfield.max_headers).
    #[must_use]
    pub const fn max_headers(mut self, count: usize) -> Self {
        self.max_headers = count;
        self
    }

    /// Sets [`max_target_len`](Self#structfield.max_target_len), in bytes.
    #[must_use]
    pub const fn max_target_len(mut self, bytes: usize) -> Self {
        self.max_target_len = bytes;
        self
    }

    /// Sets [`max_refusal_body_len`](Self#structfield.max_refusal_body_len), in bytes.
    #[must_use]
    pub const fn max_refusal_body_len(mut self, bytes: usize) -> Self {
        self.max_refusal_body_len = bytes;
        self
    }

    /// Sets [`handshake_timeout`](Self#structfield.handshake_timeout).
    #[must_use]
    pub const fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Sets [`max_message_len`](Self#structfield.max_message_len), in bytes.
    #[must_use]
    pub const fn max_message_len(mut self, bytes: usize) -> Self {
        self.max_message_len = bytes;
        self
    }

    /// Sets [`max_fragments`](Self#structfield.max_fragments).
    #[must_use]
    pub const fn max_fragments(mut self, count: u32) -> Self {
        self.max_fragments = count;
        self
    }

    /// Sets [`max_empty_fragments`](Self#structfield.max_empty_fragments).
    #[must_use]
    pub const fn max_empty_fragments(mut self, count: u32) -> Self {
        self.max_empty_fragments = count;
        self
    }

    /// Sets [`read_ahead`](Self#structfield.read_ahead), in bytes.
    #[must_use]
    pub const fn read_ahead(mut self, bytes: usize) -> Self {
        self.read_ahead = bytes;
        self
    }

    /// Sets [`max_pending_pongs`](Self#structfield.max_pending_pongs).
    #[must_use]
    pub const fn max_pending_pongs(mut self, count: usize) -> Self {
        self.max_pending_pongs = count;
        self
    }

    /// Sets [`max_unsent`](Self#structfield.max_unsent), in bytes.
    #[must_use]
    pub const fn max_unsent(mut self, bytes: usize) -> Self {
        self.max_unsent = bytes;
        self
    }

    /// Sets [`keep_alive`](Self#structfield.keep_alive).
    #[must_use]
    pub const fn keep_alive(mut self, keep_alive: KeepAlive) -> Self {
        self.keep_alive = keep_alive;
        self
    }

    /// Sets [`pong_timeout`](Self#structfield.pong_timeout).
    #[must_use]
    pub const fn pong_timeout(mut self, timeout: Duration) -> Self {
        self.pong_timeout = timeout;
        self
    }

    /// Sets [`close_timeout`](Self#structfield.close_timeout).
    #[must_use]
    pub const fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// Sets [`delivery`](Self#structfield.delivery).
    #[must_use]
    pub const fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// Sets [`deflate`](Self#structfield.deflate): compression is on.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub const fn deflate(mut self, deflate: Deflate) -> Self {
        self.deflate = Some(deflate);
        self
    }

    /// Looks for values that cannot be meant, and returns the configuration if there are none.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] that names the field and what it may be.
    pub const fn check(self) -> Result<Self, ConfigError> {
        #[cfg(feature = "deflate")]
        if let Some(deflate) = self.deflate
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
        } else if self.max_unsent == 0 {
            ConfigError("max_unsent must be at least 1 byte, or no message could ever be sent")
        } else if self.handshake_timeout.is_zero() {
            ConfigError("handshake_timeout must not be zero, or no handshake could succeed")
        } else if let KeepAlive::Every(Duration::ZERO) = self.keep_alive {
            ConfigError("keep_alive must not be every 0 s; use KeepAlive::Off for no pings")
        } else if self.pong_timeout.is_zero() {
            ConfigError("pong_timeout must not be zero, or every ping would end the connection")
        } else {
            return Ok(self);
        };
        Err(error)
    }

    /// The interval of keep-alive pings; the adapters have replaced `Auto` by their own default.
    pub(crate) const fn ping_interval(&self) -> Option<Duration> {
        match self.keep_alive {
            KeepAlive::Every(interval) => Some(interval),
            KeepAlive::Auto | KeepAlive::Off => None,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

/// A setting that cannot be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError(&'static str);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for ConfigError {}

/// How to use permessage-deflate. `Copy`; every field has a setter that takes and returns it.
///
/// Goes into [`Config::deflate`](crate::proto::Config::deflate), where
/// [`Config::check`](crate::proto::Config::check) looks at it too.
///
/// ```
/// use sansws::deflate::Deflate;
/// use sansws::proto::Config;
///
/// let deflate = Deflate::new().level(3).server_max_window_bits(12);
/// let config = Config::new().deflate(deflate).check()?;
/// # Ok::<(), sansws::proto::ConfigError>(())
/// ```
///
/// One value serves both roles. The names of the four parameters are those of RFC 7692 §7.1:
/// `server_…` is about what the server compresses, `client_…` about what the client does, whichever
/// end has these settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deflate {
    /// How hard to compress, 0 to 9. Default 1: on messages of a few KiB it is about eight times as
    /// fast as 3, which makes them a tenth smaller. 0 does not compress, and so sends messages
    /// plain.
    pub level: u8,
    /// How much memory a compressor uses besides its window, 1 to 9. Default 5: on messages of 1
    /// KiB that saves a twentieth of the time beside 8, as more of it stays in the cache, and 98
    /// KiB, at no cost in size. On messages above 10 KiB more can make the result a few percent
    /// smaller.
    pub mem_level: u8,
    /// Shortest message that is compressed, in bytes. Default 256: below it, compressing costs more
    /// than it saves, and the header of TCP and IP is most of the packet.
    ///
    /// A message that is sent plain between compressed ones is what RFC 7692 §6 allows, and every
    /// browser reads it. libwebsockets 4.1.6 does not get past it where the context is kept: for
    /// such peers set 0, which compresses every message.
    pub threshold: usize,
    /// Whether the server's compressor begins every message empty. `None`, the default: a server
    /// does, so that its idle connections hold no compressor; a client does not ask for it.
    ///
    /// `Some(true)` in a client asks for it, and fails the handshake if the server does not agree.
    pub server_no_context_takeover: Option<bool>,
    /// Whether the client's compressor begins every message empty. `None`, the default: a server
    /// demands it, so that its idle connections hold no decompressor; a client does what the server
    /// says.
    pub client_no_context_takeover: Option<bool>,
    /// The server's window is at most 2 to the power of this, 8 to 15. Default 15. A client with
    /// less than 15 fails the handshake if the server does not agree.
    pub server_max_window_bits: u8,
    /// The client's window is at most 2 to the power of this, 8 to 15. Default 15. With `None` a
    /// client does not offer that the server may choose, and a server does not choose.
    pub client_max_window_bits: Option<u8>,
    /// The smallest window that a client may ask a server to compress with, 8 to 15. An offer of
    /// less is declined, and messages to that client go plain. Default 8, all that the RFC has: a
    /// small window takes less memory, but a message for many has to be compressed once for each
    /// size that is in use.
    pub min_window_bits: u8,
}

impl Deflate {
    /// The defaults.
    pub const fn new() -> Self {
        Self {
            level: 1,
            mem_level: 5,
            threshold: 256,
            server_no_context_takeover: None,
            client_no_context_takeover: None,
            server_max_window_bits: MAX_WINDOW_BITS,
            client_max_window_bits: Some(MAX_WINDOW_BITS),
            min_window_bits: MIN_WINDOW_BITS,
        }
    }

    /// Sets [`level`](Self#structfield.level).
    #[must_use]
    pub const fn level(mut self, level: u8) -> Self {
        self.level = level;
        self
    }

    /// Sets [`mem_level`](Self#structfield.mem_level).
    #[must_use]
    pub const fn mem_level(mut self, mem_level: u8) -> Self {
        self.mem_level = mem_level;
        self
    }

    /// Sets [`threshold`](Self#structfield.threshold), in bytes.
    #[must_use]
    pub const fn threshold(mut self, bytes: usize) -> Self {
        self.threshold = bytes;
        self
    }

    /// Sets [`server_no_context_takeover`](Self#structfield.server_no_context_takeover).
    #[must_use]
    pub const fn server_no_context_takeover(mut self, yes: bool) -> Self {
        self.server_no_context_takeover = Some(yes);
        self
    }

    /// Sets [`client_no_context_takeover`](Self#structfield.client_no_context_takeover).
    #[must_use]
    pub const fn client_no_context_takeover(mut self, yes: bool) -> Self {
        self.client_no_context_takeover = Some(yes);
        self
    }

    /// Sets [`server_max_window_bits`](Self#structfield.server_max_window_bits).
    #[must_use]
    pub const fn server_max_window_bits(mut self, bits: u8) -> Self {
        self.server_max_window_bits = bits;
        self
    }

    /// Sets [`client_max_window_bits`](Self#structfield.client_max_window_bits).
    #[must_use]
    pub const fn client_max_window_bits(mut self, bits: Option<u8>) -> Self {
        self.client_max_window_bits = bits;
        self
    }

    /// Sets [`min_window_bits`](Self#structfield.min_window_bits).
    #[must_use]
    pub const fn min_window_bits(mut self, bits: u8) -> Self {
        self.min_window_bits = bits;
        self
    }

    /// What cannot be meant, if anything.
    pub(crate) const fn problem(&self) -> Option<&'static str> {
        let client_bits = match self.client_max_window_bits {
            Some(bits) => bits,
            None => MAX_WINDOW_BITS,
        };
        if self.level > 9 {
            Some("deflate.level must be 0 to 9")
        } else if self.mem_level < 1 || self.mem_level > 9 {
            Some("deflate.mem_level must be 1 to 9")
        } else if !is_window_bits(self.server_max_window_bits) {
            Some("deflate.server_max_window_bits must be 8 to 15 (RFC 7692 §7.1.2.1)")
        } else if !is_window_bits(client_bits) {
            Some("deflate.client_max_window_bits must be 8 to 15 (RFC 7692 §7.1.2.2)")
        } else if !is_window_bits(self.min_window_bits) {
            Some("deflate.min_window_bits must be 8 to 15 (RFC 7692 §7.1.2.1)")
        } else {
            None
        }
    }

    /// The same with values that the engine takes and the RFC knows: the core works with any.
    pub(crate) fn clamped(mut self) -> Self {
        self.level = self.level.min(9);
        self.mem_level = self.mem_level.clamp(1, 9);
        self.server_max_window_bits = clamp_window_bits(self.server_max_window_bits);
        self.client_max_window_bits = self.client_max_window_bits.map(clamp_window_bits);
        self
    }
}

impl Default for Deflate {
    fn default() -> Self {
        Self::new()
    }
}

const fn is_window_bits(bits: u8) -> bool {
    bits >= MIN_WINDOW_BITS && bits <= MAX_WINDOW_BITS
}

pub(super) fn clamp_window_bits(bits: u8) -> u8 {
    bits.clamp(MIN_WINDOW_BITS, MAX_WINDOW_BITS)
}

/// RFC 7692 §7.1.2: "a decimal integer value without leading zeroes between 8 to 15, inclusive,
/// indicating the base-2 logarithm of the LZ77 sliding window size".
pub(super) const MIN_WINDOW_BITS: u8 = 8;
pub(super) const MAX_WINDOW_BITS: u8 = 15;

/// Settings of permessage-deflate. Each has a setter that takes and returns them.
///
/// Goes into [`Config::deflate`](crate::Config::deflate), where
/// [`Config::check`](crate::Config::check) looks at it too.
///
/// ```
/// use sansws::deflate::Deflate;
/// use sansws::Config;
///
/// let deflate = Deflate::new().level(3).server_max_window_bits(12);
/// let config = Config::new().deflate(deflate).check()?;
/// # Ok::<(), sansws::ConfigError>(())
/// ```
///
/// One value serves both roles. The names of the four parameters are those of RFC 7692 §7.1:
/// `server_…` is about what the server compresses, `client_…` about what the client does, whichever
/// end has these settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deflate {
    pub(crate) level: u8,
    pub(crate) mem_level: u8,
    pub(crate) threshold: usize,
    pub(crate) server_no_context_takeover: Option<bool>,
    pub(crate) client_no_context_takeover: Option<bool>,
    pub(crate) server_max_window_bits: u8,
    pub(crate) client_max_window_bits: Option<u8>,
    pub(crate) min_window_bits: u8,
}

impl Deflate {
    /// Returns the defaults.
    pub const fn new() -> Self {
        Self {
            level: 2,
            mem_level: 5,
            threshold: 256,
            server_no_context_takeover: None,
            client_no_context_takeover: None,
            server_max_window_bits: MAX_WINDOW_BITS,
            client_max_window_bits: Some(MAX_WINDOW_BITS),
            min_window_bits: MIN_WINDOW_BITS,
        }
    }

    /// Sets how hard to compress, 0 to 9. Default 2: what most peers send has level 6, and JSON of
    /// 1 KiB comes within a few percent of its size, with less processor time than any peer that
    /// was measured takes. Level 1 takes half of that time and makes messages a quarter larger; 6
    /// makes those of 1 KiB a twentieth smaller, those of 16 KiB a fifth, and takes twice as long
    /// for them. 0 does not compress, and so sends messages plain.
    #[must_use]
    pub fn level(mut self, level: u8) -> Self {
        self.level = level;
        self
    }

    /// Sets how much memory a compressor uses besides its window, 1 to 9. Default 5: on messages of
    /// 1 KiB that saves a twentieth of the time beside 8, as more of it stays in the cache, and 98
    /// KiB, at no cost in size. On messages above 10 KiB more can make the result a few percent
    /// smaller.
    #[must_use]
    pub fn mem_level(mut self, mem_level: u8) -> Self {
        self.mem_level = mem_level;
        self
    }

    /// Sets the shortest message that is compressed, in bytes. Default 256: below it, compressing
    /// costs more than it saves, and the header of TCP and IP is most of the packet.
    ///
    /// A message that is sent plain between compressed ones is what RFC 7692 §6 allows, and every
    /// browser reads it. With 0 there still are some: those that compression makes no smaller. A
    /// client by libwebsockets (4.1.6; 4.3 by reports) never gets past one: give it no compression.
    #[must_use]
    pub fn threshold(mut self, bytes: usize) -> Self {
        self.threshold = bytes;
        self
    }

    /// Sets whether the server's compressor begins every message empty. Unless this is set, a
    /// server does, so that its idle connections hold no compressor; a client does not ask for it.
    ///
    /// `true` in a client asks for it, and fails the handshake if the server does not agree.
    #[must_use]
    pub fn server_no_context_takeover(mut self, yes: bool) -> Self {
        self.server_no_context_takeover = Some(yes);
        self
    }

    /// Sets whether the client's compressor begins every message empty. Unless this is set, a
    /// server demands it, so that its idle connections hold no decompressor; a client does what the
    /// server says.
    #[must_use]
    pub fn client_no_context_takeover(mut self, yes: bool) -> Self {
        self.client_no_context_takeover = Some(yes);
        self
    }

    /// Limits the server's window to 2 to the power of this, 8 to 15. Default 15. A client with
    /// less than 15 fails the handshake if the server does not agree.
    #[must_use]
    pub fn server_max_window_bits(mut self, bits: u8) -> Self {
        self.server_max_window_bits = bits;
        self
    }

    /// Limits the client's window to 2 to the power of this, 8 to 15. Default 15. With `None` a
    /// client does not offer that the server may choose, and a server does not choose.
    #[must_use]
    pub fn client_max_window_bits(mut self, bits: Option<u8>) -> Self {
        self.client_max_window_bits = bits;
        self
    }

    /// Sets the smallest window that a client may ask a server to compress with, 8 to 15. An offer
    /// of less is declined, and messages to that client go plain. Default 8, all that the RFC has:
    /// a small window takes less memory, but a message for many has to be compressed once for each
    /// size that is in use.
    #[must_use]
    pub fn min_window_bits(mut self, bits: u8) -> Self {
        self.min_window_bits = bits;
        self
    }

    /// Returns the first invalid value, if any.
    pub(crate) fn problem(&self) -> Option<&'static str> {
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

    /// Returns the same with values that the engine takes and the RFC knows: the core works with
    /// any.
    pub(crate) fn clamped(&self) -> Self {
        Self {
            level: self.level.min(9),
            mem_level: self.mem_level.clamp(1, 9),
            server_max_window_bits: clamp_window_bits(self.server_max_window_bits),
            client_max_window_bits: self.client_max_window_bits.map(clamp_window_bits),
            ..self.clone()
        }
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

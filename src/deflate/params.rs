//! The four parameters of RFC 7692 §7.1: what an offer, an answer and an agreement are.

use core::fmt;

use super::Deflate;
use super::settings::{MAX_WINDOW_BITS, clamp_window_bits};

/// The name of the extension.
pub(crate) const NAME: &str = "permessage-deflate";

/// Parameters that both ends have agreed on (RFC 7692 §7.1).
///
/// The default is what `permessage-deflate` without parameters means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Agreement {
    /// The server's compressor begins every message empty.
    pub server_no_context_takeover: bool,
    /// The client's compressor begins every message empty.
    pub client_no_context_takeover: bool,
    /// The server's window is at most 2 to the power of this.
    pub server_max_window_bits: u8,
    /// The client's window is at most 2 to the power of this.
    pub client_max_window_bits: u8,
}

impl Agreement {
    /// `permessage-deflate` without parameters.
    pub const fn new() -> Self {
        Self {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: MAX_WINDOW_BITS,
            client_max_window_bits: MAX_WINDOW_BITS,
        }
    }

    /// With windows that exist: the fields are public.
    pub(crate) fn clamped(mut self) -> Self {
        self.server_max_window_bits = clamp_window_bits(self.server_max_window_bits);
        self.client_max_window_bits = clamp_window_bits(self.client_max_window_bits);
        self
    }
}

impl Default for Agreement {
    fn default() -> Self {
        Self::new()
    }
}

/// The parameters as they stand in a header.
///
/// Its `Display` is the value of `Sec-WebSocket-Extensions`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Params {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// In an offer it may stand there without a value.
    client_max_window_bits: Option<Option<u8>>,
}

impl Params {
    /// Reads the parameters of one extension called [`NAME`].
    ///
    /// RFC 7692 §7: "A server MUST decline an extension negotiation offer for this extension if any
    /// of the following conditions are met": "an extension parameter not defined for use in an
    /// offer", "an extension parameter with an invalid value", "multiple extension parameters with
    /// the same name". For a client the same conditions mean to fail the connection. `None` is one
    /// of them.
    pub(crate) fn parse<'a>(
        params: impl Iterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Option<Self> {
        let mut this = Self::default();
        for (name, value) in params {
            let repeated = match (name, value) {
                ("server_no_context_takeover", None) => {
                    core::mem::replace(&mut this.server_no_context_takeover, true)
                }
                ("client_no_context_takeover", None) => {
                    core::mem::replace(&mut this.client_no_context_takeover, true)
                }
                ("server_max_window_bits", Some(value)) => {
                    this.server_max_window_bits.replace(window_bits(value)?).is_some()
                }
                ("client_max_window_bits", value) => {
                    let bits = match value {
                        None => None,
                        Some(value) => Some(window_bits(value)?),
                    };
                    this.client_max_window_bits.replace(bits).is_some()
                }
                _ => return None,
            };
            if repeated {
                return None;
            }
        }
        Some(this)
    }

    /// Makes the offer of a client with these settings.
    ///
    /// By default `client_max_window_bits` alone, as browsers do: there are gateways that fail on
    /// more.
    pub(crate) fn offer(settings: &Deflate) -> Self {
        let settings = settings.clamped();
        let limit = |bits| (bits < MAX_WINDOW_BITS).then_some(bits);
        Self {
            server_no_context_takeover: settings.server_no_context_takeover == Some(true),
            client_no_context_takeover: settings.client_no_context_takeover == Some(true),
            server_max_window_bits: limit(settings.server_max_window_bits),
            client_max_window_bits: settings.client_max_window_bits.map(limit),
        }
    }

    /// Returns whether a server with these settings compresses with so small a window as this offer
    /// asks for.
    ///
    /// RFC 7692 §7.1.2.1: "A server declines an extension negotiation offer with this parameter if
    /// the server doesn't support it."
    pub(crate) fn is_acceptable(&self, settings: &Deflate) -> bool {
        self.server_max_window_bits.is_none_or(|bits| bits >= settings.min_window_bits)
    }

    /// Makes the answer of a server with these settings to this offer, and the agreement.
    pub(crate) fn answer(&self, settings: &Deflate) -> (Self, Agreement) {
        let settings = settings.clamped();
        // §7.1.1.1: "A server accepts an extension negotiation offer that includes the
        // "server_no_context_takeover" extension parameter by including [it] in the corresponding
        // extension negotiation response"; it "MAY include" it in any case.
        let server_no_context_takeover =
            self.server_no_context_takeover || settings.server_no_context_takeover.unwrap_or(true);
        // §7.1.1.2: a client's hint costs nothing to take.
        let client_no_context_takeover =
            self.client_no_context_takeover || settings.client_no_context_takeover.unwrap_or(true);
        // §7.1.2.1: "with the same or smaller value as the offer".
        let server_bits = settings
            .server_max_window_bits
            .min(self.server_max_window_bits.unwrap_or(MAX_WINDOW_BITS));
        let says_server_bits =
            self.server_max_window_bits.is_some() || server_bits < MAX_WINDOW_BITS;
        // §7.1.2.2: "If a received extension negotiation offer doesn't have the
        // "client_max_window_bits" extension parameter, the corresponding extension negotiation
        // response to the offer MUST NOT include the "client_max_window_bits" extension parameter."
        let client_bits = match (self.client_max_window_bits, settings.client_max_window_bits) {
            (Some(hint), Some(bits)) => bits.min(hint.unwrap_or(MAX_WINDOW_BITS)),
            _ => MAX_WINDOW_BITS,
        };
        let answer = Self {
            server_no_context_takeover,
            client_no_context_takeover,
            server_max_window_bits: says_server_bits.then_some(server_bits),
            client_max_window_bits: (client_bits < MAX_WINDOW_BITS).then_some(Some(client_bits)),
        };
        let agreement = Agreement {
            server_no_context_takeover,
            client_no_context_takeover,
            server_max_window_bits: server_bits,
            client_max_window_bits: client_bits,
        };
        (answer, agreement)
    }

    /// Derives the agreement from a server's answer to the offer of a client with these settings;
    /// `None` if it is no answer to that.
    pub(crate) fn confirm(&self, settings: &Deflate) -> Option<Agreement> {
        let offer = Self::offer(settings);
        // §7.1.1.1, §7.1.2.1: what was asked for must have been granted.
        let refused = offer.server_no_context_takeover && !self.server_no_context_takeover;
        let server_bits = self.server_max_window_bits.unwrap_or(MAX_WINDOW_BITS);
        let too_large = offer.server_max_window_bits.is_some_and(|asked| server_bits > asked);
        // §7.1.2.2: what was not offered must not be chosen, and what is chosen has a value.
        let client_bits = match (offer.client_max_window_bits, self.client_max_window_bits) {
            (None, Some(_)) | (_, Some(None)) => return None,
            // "the client is not going to use an LZ77 sliding window size greater than the size
            // specified by the value in the extension negotiation offer"
            (offered, chosen) => {
                let hint = offered.flatten().unwrap_or(MAX_WINDOW_BITS);
                chosen.flatten().unwrap_or(MAX_WINDOW_BITS).min(hint)
            }
        };
        (!refused && !too_large).then_some(Agreement {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover
                || offer.client_no_context_takeover,
            server_max_window_bits: server_bits,
            client_max_window_bits: client_bits,
        })
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        if self.server_no_context_takeover {
            f.write_str("; server_no_context_takeover")?;
        }
        if self.client_no_context_takeover {
            f.write_str("; client_no_context_takeover")?;
        }
        if let Some(bits) = self.server_max_window_bits {
            write!(f, "; server_max_window_bits={bits}")?;
        }
        match self.client_max_window_bits {
            Some(Some(bits)) => write!(f, "; client_max_window_bits={bits}"),
            Some(None) => f.write_str("; client_max_window_bits"),
            None => Ok(()),
        }
    }
}

/// RFC 7692 §7.1.2: "a decimal integer value without leading zeroes between 8 to 15, inclusive".
fn window_bits(value: &str) -> Option<u8> {
    Some(match value {
        "8" => 8,
        "9" => 9,
        "10" => 10,
        "11" => 11,
        "12" => 12,
        "13" => 13,
        "14" => 14,
        "15" => 15,
        _ => return None,
    })
}

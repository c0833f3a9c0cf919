use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use super::RetryAfter;
use crate::config::Config;
#[cfg(feature = "deflate")]
use crate::deflate::Agreement;
#[cfg(feature = "deflate")]
use crate::handshake::deflate;
use crate::handshake::head::{Head, Headers};
use crate::handshake::reader::StatusLine;
use crate::handshake::{list, status};
use crate::proto::Connection;

/// Answer of the server.
#[derive(Debug)]
#[non_exhaustive]
pub enum Response {
    /// The connection is open.
    Accepted(Accepted),
    /// It is not, and this is why.
    Refused(Refused),
}

impl Response {
    /// Returns what the server has accepted; that it has not is an error.
    ///
    /// # Errors
    ///
    /// The response of a server that refuses.
    pub fn into_result(self) -> Result<Accepted, Refused> {
        match self {
            Self::Accepted(accepted) => Ok(accepted),
            Self::Refused(refused) => Err(refused),
        }
    }
}

/// A response that opens the connection, with status 101 as a rule, and was found to be valid.
#[derive(Debug)]
pub struct Accepted {
    head: Head,
    config: Config,
}

impl Accepted {
    pub(super) fn new(head: Head, config: Config) -> Self {
        Self { head, config }
    }

    /// Returns the subprotocol the server chose from those that were offered.
    pub fn subprotocol(&self) -> Option<&str> {
        // the handshake has found that one line at most is not empty
        let mut lines = list::without_empty(self.head.all("sec-websocket-protocol"));
        lines.next().and_then(|value| str::from_utf8(value).ok())
    }

    /// Returns the value of the first header with this name, in any case; `None` if there is none
    /// or its value is not UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.first(name)
    }

    /// Returns all headers, in order.
    pub fn headers(&self) -> Headers<'_> {
        self.head.headers()
    }

    /// Returns the connection, with the configuration the handshake was started with.
    ///
    /// `mask_seed` drives the generator of masking keys. It must come from a strong source of
    /// randomness and serve for one connection only (RFC 6455 §10.3).
    pub fn into_connection(self, mask_seed: [u8; 32]) -> Connection {
        self.connection(mask_seed)
    }

    /// Returns the configuration.
    #[cfg(feature = "std")]
    pub(crate) fn config_mut(&mut self) -> &mut Config {
        &mut self.config
    }

    pub(crate) fn connection(&self, mask_seed: [u8; 32]) -> Connection {
        let connection = Connection::client(&self.config, mask_seed);
        #[cfg(feature = "deflate")]
        if let (Some(agreed), Some(settings)) = (self.deflate(), &self.config.deflate) {
            return connection.with_deflate(agreed, settings);
        }
        connection
    }

    /// Returns what was agreed about compression; `None` if messages are not compressed.
    #[cfg(feature = "deflate")]
    pub fn deflate(&self) -> Option<Agreement> {
        let lines = self.head.all("sec-websocket-extensions");
        // the handshake has found it to be an answer to the offer
        deflate::confirm(lines, self.config.deflate.as_ref()?).ok().flatten()
    }
}

/// A final response with another status than the one that accepts.
///
/// Its `Display` says what happened in a line; as an error it can be passed on.
#[derive(Debug)]
pub struct Refused {
    head: Head,
    status: u16,
    reason: Range<usize>,
    /// The status that would have accepted.
    wanted: u16,
    pub(super) body: Vec<u8>,
}

impl Refused {
    pub(super) fn new(head: Head, line: StatusLine, wanted: u16) -> Self {
        Self { head, status: line.status, reason: line.reason, wanted, body: Vec::new() }
    }

    /// Returns the status, such as 404.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the reason phrase, such as `Not Found`; where the server sent none, the usual one.
    pub fn reason(&self) -> &str {
        match self.head.text(&self.reason) {
            "" => status::reason(self.status),
            reason => reason,
        }
    }

    /// Returns the value of the first header with this name, in any case; `None` if there is none
    /// or its value is not UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.first(name)
    }

    /// Returns all headers, in order.
    pub fn headers(&self) -> Headers<'_> {
        self.head.headers()
    }

    /// Returns the body, as far as it arrived, up to
    /// [`Config::max_refusal_body_len`](crate::Config::max_refusal_body_len).
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Returns when to come again, if the server has said so by a valid `Retry-After`. With 429 and
    /// 503 it mostly does.
    pub fn retry_after(&self) -> Option<RetryAfter> {
        RetryAfter::parse(self.header("Retry-After")?)
    }

    /// Returns the header that says what to do about this status.
    fn advice(&self) -> Option<&'static str> {
        match self.status {
            300..=399 => Some("Location"),
            401 => Some("WWW-Authenticate"),
            407 => Some("Proxy-Authenticate"),
            426 => Some("Sec-WebSocket-Version"),
            429 | 503 => Some("Retry-After"),
            _ => None,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (wanted, reason) = (self.wanted, status::reason(self.wanted));
        write!(f, "server answered {} instead of {wanted} {reason}", Title(self))?;
        write!(f, "{}", Details(self))
    }
}

/// Status and reason phrase.
pub(crate) struct Title<'a>(pub(crate) &'a Refused);

impl fmt::Display for Title<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.status)?;
        match self.0.reason() {
            "" => Ok(()),
            reason => write!(f, " {}", Escaped(reason)),
        }
    }
}

/// What a response says besides: a header, and the beginning of its body.
pub(crate) struct Details<'a>(pub(crate) &'a Refused);

impl fmt::Display for Details<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused = self.0;
        if let Some(name) = refused.advice()
            && let Some(value) = refused.header(name)
        {
            write!(f, " ({name}: {})", Escaped(value))?;
        }
        let shown = refused.body.len().min(MAX_SHOWN);
        let text = String::from_utf8_lossy(&refused.body[..shown]);
        // a character that was cut in half is not shown
        let text =
            if shown < refused.body.len() { text.trim_end_matches('\u{fffd}') } else { &text };
        if !text.trim().is_empty() {
            write!(f, ": {}", Escaped(text.trim()))?;
        }
        Ok(())
    }
}

impl core::error::Error for Refused {}

/// Text from the server, for a log that it must not be able to forge lines in.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| match char.is_control() {
            true => write!(f, "{}", char.escape_default()),
            false => write!(f, "{char}"),
        })
    }
}

/// Bytes of the body that are shown; enough for a sentence.
const MAX_SHOWN: usize = 200;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::expected::Expected;
use super::{Accepted, Refused, Request, Response};
use crate::config::Config;
use crate::handshake::key::encode_nonce;
use crate::handshake::parts::Parts;
use crate::handshake::reader::Kind;
use crate::handshake::usage::is_of_connection;
use crate::handshake::{HandshakeError, UsageError};

/// A request as data, for an HTTP stack that writes it and reads the response itself: made by
/// [`Request::offer`] for HTTP/1.1, and by [`Request::offer_connect`] for HTTP/2 and HTTP/3.
///
/// ```
/// use sansws::Config;
/// use sansws::handshake::client::Request;
///
/// let request = Request::new("ws://example.com/chat")?.subprotocol("chat");
/// let nonce = *b"the sample nonce"; // from the operating system: `Offer::random_nonce`
/// let offer = request.offer(nonce, &Config::new())?;
/// assert!(offer.headers().any(|(name, value)| {
///     (name, value) == ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
/// }));
/// // the stack sends `GET` for `request.target()`, with these headers, and has this back:
/// let headers = [
///     ("Upgrade", "websocket"),
///     ("Connection", "Upgrade"),
///     ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
///     ("Sec-WebSocket-Protocol", "chat"),
/// ];
/// let accepted = offer.confirm(101, headers)?.into_result()?;
/// assert_eq!(accepted.subprotocol(), Some("chat"));
/// // `WebSocket::from_accepted(stream, accepted, received)` in either adapter
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Offer {
    headers: Vec<(Box<str>, Box<str>)>,
    /// What the crate `http` calls the URI.
    #[cfg(feature = "http")]
    pub(in crate::handshake) uri: String,
    expected: Expected,
}

impl Request {
    /// Makes the request for an HTTP stack that sends it over HTTP/1.1: with the method `GET`, for
    /// the [`target`](Self::target). Offers compression where `config` turns it on.
    ///
    /// `nonce` must come from a strong source of randomness and serve for one connection only, as
    /// for [`Handshake::start`](super::Handshake::start).
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn offer(&self, nonce: [u8; 16], config: &Config) -> Result<Offer, UsageError> {
        self.check()?;
        let key = encode_nonce(nonce);
        let mut headers = Vec::new();
        self.put_headers(Some(&key), config, |name, value| {
            headers.push((name.into(), value.into()));
        });
        Ok(Offer {
            headers,
            #[cfg(feature = "http")]
            uri: self.target().into(),
            expected: Expected::new(self, Some(key), config),
        })
    }

    /// Makes the request for an HTTP stack that sends it over HTTP/2 or HTTP/3 (RFC 8441,
    /// RFC 9220): with the pseudo-header fields `:method` `CONNECT`, `:protocol` `websocket`,
    /// `:scheme` `https`, or `http` where this [is not secure](Self::is_secure), `:authority` and
    /// `:path`, which are [`authority`](Self::authority) and [`target`](Self::target).
    ///
    /// The server must have said in its settings that it takes such requests
    /// (`SETTINGS_ENABLE_CONNECT_PROTOCOL`). There is no nonce, as there is no key; frames are
    /// masked as ever. The end of what this end sends is the flag `END_STREAM`, which the stream's
    /// `shutdown` has to send.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn offer_connect(&self, config: &Config) -> Result<Offer, UsageError> {
        self.check()?;
        let of_http1 = |(name, _): &&(String, String)| is_of_connection(name.as_bytes());
        if let Some((name, _)) = self.headers.iter().find(of_http1) {
            return Err(UsageError::ReservedHeader(name.as_str().into()));
        }
        let mut headers = Vec::new();
        self.put_headers(None, config, |name, value| {
            // RFC 8441 §5: "HTTP/2 requires they be encoded as lowercase."
            headers.push((name.to_ascii_lowercase().into(), value.into()));
        });
        Ok(Offer {
            headers,
            // RFC 8441 §5: "The scheme of the target URI [...] MUST be "https" for "wss"-schemed
            // WebSockets and "http" for "ws"-schemed WebSockets."
            #[cfg(feature = "http")]
            uri: [
                if self.is_secure() { "https://" } else { "http://" },
                self.authority(),
                self.target(),
            ]
            .concat(),
            expected: Expected::new(self, None, config),
        })
    }
}

impl Offer {
    /// Returns the headers of the request, names and values: all that it needs, `Host` included
    /// over HTTP/1.1. Over HTTP/2 and HTTP/3 the names are in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Returns whether this is a request for HTTP/2 or HTTP/3.
    pub const fn is_extended_connect(&self) -> bool {
        self.expected.status() == 200
    }

    /// Looks at the head of the response: whether it opens the connection, and what was agreed on.
    ///
    /// A response with a status of 1xx other than 101 is not the final one. The body of a refusal
    /// is the stack's.
    ///
    /// # Errors
    ///
    /// The response accepts, and does not belong to the request; or it is no valid head.
    pub fn confirm<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        self,
        status: u16,
        headers: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Response, HandshakeError> {
        self.read("HTTP/1.1", status, headers)
    }

    pub(in crate::handshake) fn read<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        self,
        version: &str,
        status: u16,
        headers: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Response, HandshakeError> {
        let digits = [100, 10, 1].map(|unit| b'0' + (status / unit % 10) as u8);
        if status > 999 {
            return Err(HandshakeError::MalformedStartLine);
        }
        let mut parts = Parts::new(&[version.as_bytes(), b" ", &digits, b" "]);
        parts.headers(headers)?;
        let expected = self.expected;
        let (head, line) = parts.read(Kind::Response, &expected.config)?.take_response()?;
        if !expected.is_accepted_by(line.status) {
            return Ok(Response::Refused(Refused::new(head, line, expected.status())));
        }
        expected.check(&head, &line)?;
        Ok(Response::Accepted(Accepted::new(head, expected.config)))
    }
}

impl fmt::Debug for Offer {
    /// Without the values of headers, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Offer")
            .field("is_extended_connect", &self.is_extended_connect())
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

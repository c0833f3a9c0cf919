use alloc::boxed::Box;
#[cfg(feature = "deflate")]
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{Request, reject};
use crate::buf::SendBuffer;
use crate::config::Config;
#[cfg(feature = "deflate")]
use crate::deflate::{Agreement, Deflate};
#[cfg(feature = "deflate")]
use crate::handshake::deflate;
use crate::handshake::key::accept_key;
use crate::handshake::usage::{check_headers, is_framing, is_of_connection, is_websocket};
use crate::handshake::{HandshakeError, UsageError, list};
use crate::proto::Connection;

/// Additions to the response that opens the connection: the subprotocol and headers. It borrows
/// them.
///
/// ```
/// use sansws::handshake::server::{Accept, Request};
///
/// fn accept(request: &Request) -> Accept<'static> {
///     let known = ["chat.v2", "chat.v1"];
///     let chosen = known.into_iter().find(|name| request.subprotocols().any(|it| it == *name));
///     Accept::new().subprotocol(chosen).header("Set-Cookie", "theme=dark")
/// }
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Accept<'a> {
    subprotocol: Option<&'a str>,
    headers: Vec<(&'a str, &'a str)>,
}

impl fmt::Debug for Accept<'_> {
    /// Without the values of headers, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Accept")
            .field("subprotocol", &self.subprotocol)
            .field("headers", &names)
            .finish()
    }
}

impl<'a> Accept<'a> {
    /// Accepts without a subprotocol and without headers of its own.
    pub const fn new() -> Self {
        Self { subprotocol: None, headers: Vec::new() }
    }

    /// Chooses one of [`Request::subprotocols`], or with `None` none of them.
    pub fn subprotocol(mut self, name: impl Into<Option<&'a str>>) -> Self {
        self.subprotocol = name.into();
        self
    }

    /// Adds a header, such as a cookie. Those of the handshake are written in any case.
    pub fn header(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds several headers, names and values.
    pub fn headers(mut self, headers: &[(&'a str, &'a str)]) -> Self {
        self.headers.extend_from_slice(headers);
        self
    }
}

impl Request {
    /// Opens the connection: writes the response with status 101 to `tx`.
    ///
    /// Where `config` turns compression on, it is agreed on with a client that offers it
    /// (`Connection::deflate` says what). An offer that cannot be accepted is passed over.
    ///
    /// # Errors
    ///
    /// [`AcceptError::Usage`] if `accept` has something that cannot be sent, or the request came
    /// over HTTP/2 or HTTP/3: nothing was written.
    /// [`AcceptError::Peer`] if the request is not a valid handshake: the HTTP answer that says why
    /// is in `tx`.
    pub fn accept(
        self,
        accept: &Accept<'_>,
        config: &Config,
        tx: &mut SendBuffer,
    ) -> Result<Connection, AcceptError> {
        accept.check(&self).map_err(AcceptError::Usage)?;
        self.check_written().map_err(AcceptError::Usage)?;
        if let Err(error) = self.check() {
            reject::write_error(tx, &error, self.method() == "HEAD");
            return Err(AcceptError::Peer(error));
        }
        let mut put = |text: &str| tx.put_slice(text.as_bytes());
        // RFC 9110 §7.8: "If a server receives both an Upgrade and an Expect header field with the
        // "100-continue" expectation [...], the server MUST send a 100 (Continue) response before
        // sending a 101 (Switching Protocols) response."
        if list::contains(self.head.all("expect"), "100-continue") {
            put("HTTP/1.1 100 Continue\r\n\r\n");
        }
        put("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
        let agreed = self.answer(accept, config, |name, value| {
            [name, ": ", value, "\r\n"].into_iter().for_each(&mut put);
        });
        put("\r\n");
        Ok(agreed.connection(config))
    }

    /// As [`accept`](Self::accept), for an HTTP stack that writes the response itself, over any
    /// version of HTTP.
    ///
    /// `Expect: 100-continue`, if it is there, is for that stack to answer first (RFC 9110 §7.8).
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept), except that nothing is written: a [`HandshakeError`] has the
    /// [status](HandshakeError::status) and the [headers](HandshakeError::headers) to answer with.
    pub fn upgrade(self, accept: &Accept<'_>, config: &Config) -> Result<Upgrade, AcceptError> {
        accept.check(&self).map_err(AcceptError::Usage)?;
        self.check().map_err(AcceptError::Peer)?;
        let mut headers = Vec::new();
        if !self.is_extended_connect() {
            headers.push(("Upgrade".into(), "websocket".into()));
            headers.push(("Connection".into(), "Upgrade".into()));
        }
        let agreed = self.answer(accept, config, |name, value| {
            headers.push((name.into(), value.into()));
        });
        let subprotocol = accept.subprotocol.map(Box::from);
        let status = if self.is_extended_connect() { 200 } else { 101 };
        Ok(Upgrade { status, headers, subprotocol, agreed, config: config.clone() })
    }

    /// Says what the headers of the response are, to a request that is valid, behind `Upgrade` and
    /// `Connection` of HTTP/1.1.
    fn answer(
        &self,
        accept: &Accept<'_>,
        config: &Config,
        mut put: impl FnMut(&str, &str),
    ) -> Agreed {
        let is_http_1 = !self.is_extended_connect();
        let mut put = |name: &str, value: &str| match is_http_1 {
            true => put(name, value),
            // RFC 8441 §5: "HTTP/2 requires they be encoded as lowercase."
            false => put(&name.to_ascii_lowercase(), value),
        };
        #[cfg(feature = "deflate")]
        let deflate = self.choose_deflate(config).map(|(agreed, settings, answer)| {
            put("Sec-WebSocket-Extensions", &answer);
            (agreed, settings)
        });
        #[cfg(not(feature = "deflate"))]
        let _ = config;
        if is_http_1 {
            let key = self.head.all("sec-websocket-key").next().unwrap_or_default();
            put("Sec-WebSocket-Accept", str::from_utf8(&accept_key(key)).unwrap_or_default());
        }
        if let Some(name) = accept.subprotocol {
            put("Sec-WebSocket-Protocol", name);
        }
        accept.headers.iter().for_each(|(name, value)| put(name, value));
        Agreed {
            #[cfg(feature = "deflate")]
            deflate,
        }
    }

    /// Returns what is agreed about compression and the header that says so, if it is on and
    /// offered.
    #[cfg(feature = "deflate")]
    fn choose_deflate(&self, config: &Config) -> Option<(Agreement, Deflate, String)> {
        let settings = config.deflate.clone()?;
        // `check` has found the lines to follow their grammar
        let lines = self.head.all("sec-websocket-extensions");
        let (agreed, answer) = deflate::choose(lines, &settings).ok()??;
        Some((agreed, settings, answer))
    }
}

/// What was agreed on about extensions.
#[derive(Clone, Debug)]
struct Agreed {
    #[cfg(feature = "deflate")]
    deflate: Option<(Agreement, Deflate)>,
}

impl Agreed {
    fn connection(self, config: &Config) -> Connection {
        let connection = Connection::server(config);
        #[cfg(feature = "deflate")]
        if let Some((agreed, settings)) = self.deflate {
            return connection.with_deflate(agreed, &settings);
        }
        connection
    }
}

/// A request that was accepted, and the response to it as data: for an HTTP stack that writes it
/// itself. Made by [`Request::upgrade`].
///
/// Send the [`status`](Self::status) with the [`headers`](Self::headers). What comes behind the
/// head of the request is frames from then on; the bytes of them that the stack has read already go
/// along when the stream is made a WebSocket (`from_upgrade` of the adapters), or into the receive
/// buffer of the [`Connection`].
#[derive(Clone)]
pub struct Upgrade {
    status: u16,
    headers: Vec<(Box<str>, Box<str>)>,
    subprotocol: Option<Box<str>>,
    agreed: Agreed,
    config: Config,
}

impl fmt::Debug for Upgrade {
    /// Without the values of headers, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Upgrade")
            .field("status", &self.status)
            .field("subprotocol", &self.subprotocol)
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

impl Upgrade {
    /// Returns the status of the response: 101, or 200 over HTTP/2 and HTTP/3.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Returns the headers of the response, names and values: all that it needs.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Returns the subprotocol that was chosen.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Returns what was agreed on about compression; `None` if messages are not compressed.
    #[cfg(feature = "deflate")]
    pub fn deflate(&self) -> Option<Agreement> {
        self.agreed.deflate.as_ref().map(|(agreed, _)| *agreed)
    }

    /// Returns the connection, with the configuration that was given to [`Request::upgrade`].
    pub fn into_connection(self) -> Connection {
        self.agreed.connection(&self.config)
    }

    /// Returns the configuration.
    #[cfg(feature = "std")]
    pub(crate) fn config_mut(&mut self) -> &mut Config {
        &mut self.config
    }
}

impl Accept<'_> {
    /// Returns the subprotocol that was chosen.
    #[cfg(feature = "std")]
    pub(crate) const fn chosen_subprotocol(&self) -> Option<&str> {
        self.subprotocol
    }

    fn check(&self, request: &Request) -> Result<(), UsageError> {
        if let Some(name) = self.subprotocol {
            // RFC 6455 §4.2.2: "The empty string is not the same as the null value for these
            // purposes and is not a legal value for this field."
            if !list::is_token(name.as_bytes()) {
                return Err(UsageError::InvalidSubprotocol(name.into()));
            }
            // RFC 6455 §4.2.2: "The value chosen MUST be derived from the client's handshake".
            if !request.subprotocols().any(|offered| offered == name) {
                return Err(UsageError::UnofferedSubprotocol(name.into()));
            }
        }
        // RFC 9112 §6.1: "A server MUST NOT send a Transfer-Encoding header field in any response
        // with a status code of 1xx (Informational) or 204 (No Content)"; the same holds for
        // Content-Length (RFC 9110 §8.6).
        check_headers(&self.headers, |name| {
            let is_of_http1 = request.is_extended_connect() && is_of_connection(name.as_bytes());
            is_websocket(name) || is_framing(name) || is_of_http1
        })
    }
}

/// A request could not be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcceptError {
    /// The client's handshake is not valid. The answer is in the send buffer, if the caller gave
    /// one.
    Peer(HandshakeError),
    /// The [`Accept`] is not valid. Nothing was written.
    Usage(UsageError),
}

impl AcceptError {
    /// Returns the HTTP status of the answer: that of the peer's fault, or 500 for this end's.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Peer(error) => match error.status() {
                Some(status) => status,
                None => 400,
            },
            Self::Usage(_) => 500,
        }
    }

    /// Returns the headers that such an answer needs besides those of every response.
    pub const fn headers(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Peer(error) => error.headers(),
            Self::Usage(_) => &[],
        }
    }
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(error) => error.fmt(f),
            Self::Usage(error) => error.fmt(f),
        }
    }
}

/// Its text is the whole of it.
impl core::error::Error for AcceptError {}

impl From<HandshakeError> for AcceptError {
    fn from(error: HandshakeError) -> Self {
        Self::Peer(error)
    }
}

impl From<UsageError> for AcceptError {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_knows_its_answer() {
        let peer = AcceptError::from(HandshakeError::UnsupportedVersion);
        assert_eq!(peer.status(), 426);
        assert!(peer.headers().contains(&("Sec-WebSocket-Version", "13")));
        let usage = AcceptError::from(UsageError::NoSubprotocols);
        assert_eq!((usage.status(), usage.headers()), (500, &[][..]));
    }

    #[cfg(feature = "std")]
    #[test]
    fn an_adapter_knows_what_was_chosen() {
        assert_eq!(Accept::new().chosen_subprotocol(), None);
        assert_eq!(Accept::new().subprotocol("chat").chosen_subprotocol(), Some("chat"));
    }
}

#[cfg(feature = "deflate")]
use alloc::string::String;
use core::fmt;

use super::{Request, reject};
use crate::buf::SendBuffer;
#[cfg(feature = "deflate")]
use crate::deflate::{Agreement, Deflate};
#[cfg(feature = "deflate")]
use crate::handshake::deflate;
use crate::handshake::key::accept_key;
use crate::handshake::usage::{check_headers, is_framing, is_websocket};
use crate::handshake::{HandshakeError, UsageError, list};
use crate::proto::{Config, Connection};

/// What a server adds to the response that opens the connection.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs)] // written with `..Default::default()`
pub struct Accept<'a> {
    /// One of [`Request::subprotocols`]; `None` if none of them will do.
    pub subprotocol: Option<&'a str>,
    /// Further headers, such as cookies.
    pub headers: &'a [(&'a str, &'a str)],
}

impl Request {
    /// Opens the connection: writes the response with status 101 to `tx`.
    ///
    /// Where `config` turns compression on, it is agreed on with a client that offers it
    /// (`Connection::deflate` says what). An offer that cannot be accepted is passed over.
    ///
    /// # Errors
    ///
    /// [`AcceptError::Usage`] if `accept` has something that cannot be sent: nothing was written.
    /// [`AcceptError::Peer`] if the request is not a valid handshake: the HTTP answer that says why
    /// is in `tx`.
    pub fn accept(
        self,
        accept: &Accept<'_>,
        config: &Config,
        tx: &mut SendBuffer,
    ) -> Result<Connection, AcceptError> {
        accept.check(&self).map_err(AcceptError::Usage)?;
        if let Err(error) = self.check() {
            reject::write_error(tx, &error, self.method() == "HEAD");
            return Err(AcceptError::Peer(error));
        }
        let key = self.head.all("sec-websocket-key").next().unwrap_or_default();
        let proof = accept_key(key);

        let mut put = |text: &str| tx.put_slice(text.as_bytes());
        // RFC 9110 §7.8: "If a server receives both an Upgrade and an Expect header field with the
        // "100-continue" expectation [...], the server MUST send a 100 (Continue) response before
        // sending a 101 (Switching Protocols) response."
        if list::contains(self.head.all("expect"), "100-continue") {
            put("HTTP/1.1 100 Continue\r\n\r\n");
        }
        put("HTTP/1.1 101 Switching Protocols\r\n\
             Upgrade: websocket\r\n\
             Connection: Upgrade\r\n");
        let accept_header = ("Sec-WebSocket-Accept", str::from_utf8(&proof).unwrap_or_default());
        #[cfg(feature = "deflate")]
        let agreed = self.choose_deflate(config);
        #[cfg(feature = "deflate")]
        if let Some((_, _, answer)) = &agreed {
            ["Sec-WebSocket-Extensions: ", answer, "\r\n"].into_iter().for_each(&mut put);
        }
        let subprotocol = accept.subprotocol.map(|name| ("Sec-WebSocket-Protocol", name));
        let headers = [accept_header].into_iter().chain(subprotocol);
        for (name, value) in headers.chain(accept.headers.iter().copied()) {
            [name, ": ", value, "\r\n"].into_iter().for_each(&mut put);
        }
        put("\r\n");
        let connection = Connection::server(config);
        #[cfg(feature = "deflate")]
        if let Some((agreed, settings, _)) = agreed {
            return Ok(connection.with_deflate(agreed, &settings));
        }
        Ok(connection)
    }

    /// What is agreed about compression and the header that says so, if it is on and offered.
    #[cfg(feature = "deflate")]
    fn choose_deflate(&self, config: &Config) -> Option<(Agreement, Deflate, String)> {
        let settings = config.deflate?;
        // `check` has found the lines to follow their grammar
        let lines = self.head.all("sec-websocket-extensions");
        let (agreed, answer) = deflate::choose(lines, &settings).ok()??;
        Some((agreed, settings, answer))
    }
}

impl Accept<'_> {
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
        check_headers(self.headers, |name| is_websocket(name) || is_framing(name))
    }
}

/// A request could not be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcceptError {
    /// The client's handshake is not valid. The answer is in the send buffer.
    Peer(HandshakeError),
    /// The [`Accept`] is not valid. Nothing was written.
    Usage(UsageError),
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(error) => error.fmt(f),
            Self::Usage(error) => error.fmt(f),
        }
    }
}

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

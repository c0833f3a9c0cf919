use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::Request;
use crate::config::Config;
#[cfg(feature = "deflate")]
use crate::handshake::deflate;
use crate::handshake::head::{Count, Head};
use crate::handshake::key::{KEY_LEN, accept_key};
use crate::handshake::reader::StatusLine;
use crate::handshake::{HandshakeError, extensions, list};

/// What a response has to fit, for the request that it answers.
#[derive(Clone)]
pub(super) struct Expected {
    pub(super) config: Config,
    /// `None` over HTTP/2 and HTTP/3, where there is no key.
    accept: Option<[u8; 28]>,
    subprotocols: Vec<String>,
    requires_subprotocol: bool,
}

impl Expected {
    pub(super) fn new(request: &Request, key: Option<[u8; KEY_LEN]>, config: &Config) -> Self {
        Self {
            config: config.clone(),
            accept: key.map(accept_key),
            subprotocols: request.subprotocols.clone(),
            requires_subprotocol: request.requires_subprotocol,
        }
    }

    /// Returns the status that accepts.
    pub(super) const fn status(&self) -> u16 {
        if self.accept.is_some() { 101 } else { 200 }
    }

    /// Returns whether a response with this status accepts.
    pub(super) fn is_accepted_by(&self, status: u16) -> bool {
        match self.accept {
            Some(_) => status == 101,
            // RFC 9110 §9.3.6: "Any 2xx (Successful) response indicates that the sender (and all
            // inbound proxies) will switch to tunnel mode".
            None => matches!(status, 200..=299),
        }
    }

    /// Checks a response that accepts, in the order of RFC 6455 §4.1.
    pub(super) fn check(&self, head: &Head, line: &StatusLine) -> Result<(), HandshakeError> {
        if let Some(accept) = &self.accept {
            check_upgrade(head, line, accept)?;
        }
        // "If the response includes a |Sec-WebSocket-Extensions| header field and this header field
        // indicates the use of an extension that was not present in the client's handshake (the
        // server has indicated an extension not requested by the client), the client MUST _Fail the
        // WebSocket Connection_."
        self.check_extensions(head)?;
        self.check_subprotocol(head)
    }

    fn check_extensions(&self, head: &Head) -> Result<(), HandshakeError> {
        let lines = head.all("sec-websocket-extensions");
        #[cfg(feature = "deflate")]
        if let Some(settings) = &self.config.deflate {
            return deflate::confirm(lines, settings).map(drop);
        }
        let mut unoffered = false;
        for extension in extensions::parse(lines) {
            extension.map_err(|_| HandshakeError::InvalidExtensions)?;
            unoffered = true;
        }
        if unoffered { Err(HandshakeError::UnofferedExtension) } else { Ok(()) }
    }

    /// "If the response includes a |Sec-WebSocket-Protocol| header field and this header field
    /// indicates the use of a subprotocol that was not present in the client's handshake (the
    /// server has indicated a subprotocol not requested by the client), the client MUST _Fail the
    /// WebSocket Connection_."
    fn check_subprotocol(&self, head: &Head) -> Result<(), HandshakeError> {
        let lines = head.all("sec-websocket-protocol");
        if list::is_hollow(lines.clone()) {
            return Err(HandshakeError::InvalidSubprotocol);
        }
        // One that is empty says that none was chosen.
        let mut lines = list::without_empty(lines);
        match (lines.next(), lines.next()) {
            (None, _) if self.requires_subprotocol => Err(HandshakeError::MissingSubprotocol),
            (None, _) => Ok(()),
            // RFC 6455 §11.3.4: "the |Sec-WebSocket-Protocol| header field MUST NOT appear more
            // than once in an HTTP response."
            (Some(_), Some(_)) => Err(HandshakeError::InvalidSubprotocol),
            (Some(value), _) if !list::is_token(value) => Err(HandshakeError::InvalidSubprotocol),
            (Some(value), _) if self.subprotocols.iter().any(|it| it.as_bytes() == value) => Ok(()),
            (Some(_), _) => Err(HandshakeError::UnofferedSubprotocol),
        }
    }
}

/// Checks what only a response of HTTP/1.1 has to say.
fn check_upgrade(head: &Head, line: &StatusLine, accept: &[u8; 28]) -> Result<(), HandshakeError> {
    if line.http_1_0 {
        return Err(HandshakeError::ResponseHttpVersion);
    }
    // "If the response lacks an |Upgrade| header field or the |Upgrade| header field contains a
    // value that is not an ASCII case-insensitive match for the value "websocket", the client
    // MUST _Fail the WebSocket Connection_."
    match head.only("upgrade") {
        Ok(value) if value.eq_ignore_ascii_case(b"websocket") => {}
        _ => return Err(HandshakeError::ResponseNotUpgrade),
    }
    // "If the response lacks a |Connection| header field or the |Connection| header field
    // doesn't contain a token that is an ASCII case-insensitive match for the value "Upgrade",
    // the client MUST _Fail the WebSocket Connection_."
    if !list::contains(head.all("connection"), "upgrade") {
        return Err(HandshakeError::ConnectionNotUpgrade);
    }
    // "If the response lacks a |Sec-WebSocket-Accept| header field or the
    // |Sec-WebSocket-Accept| contains a value other than the base64-encoded SHA-1 of the
    // concatenation [...] but ignoring any leading and trailing whitespace, the client MUST
    // _Fail the WebSocket Connection_."
    match head.only("sec-websocket-accept") {
        Ok(value) if value == accept => {}
        Ok(_) => return Err(HandshakeError::WrongAccept),
        Err(Count::None) => return Err(HandshakeError::MissingAccept),
        Err(Count::Several) => return Err(HandshakeError::RepeatedAccept),
    }
    Ok(())
}

impl fmt::Debug for Expected {
    /// Without the subprotocols, one of which may be a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expected").field("config", &self.config).finish_non_exhaustive()
    }
}

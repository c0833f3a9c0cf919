use crate::handshake::HandshakeError;
use crate::handshake::head::Count;
use crate::handshake::{key, list};

use super::Request;
use super::request::Version;

impl Request {
    /// Returns whether this is a valid WebSocket handshake. [`accept`](Self::accept) checks the
    /// same, and answers what is wrong.
    ///
    /// # Errors
    ///
    /// The first rule of RFC 6455 §4.2.1, or RFC 8441 §5, that is broken.
    pub fn check(&self) -> Result<(), HandshakeError> {
        self.checked.clone()
    }

    pub(super) fn check_all(&self) -> Result<(), HandshakeError> {
        self.check_request()?;
        self.check_version()?;
        // RFC 8441 §5: "Implementations using this extended CONNECT to bootstrap WebSockets do not
        // do the processing of the Sec-WebSocket-Key and Sec-WebSocket-Accept header fields".
        if !self.is_extended_connect() {
            self.check_key()?;
        }
        self.check_subprotocols()?;
        // RFC 6455 §9.1: "If a value is received by either the client or the server during
        // negotiation that does not conform to the ABNF below, the recipient of such malformed data
        // MUST immediately _Fail the WebSocket Connection_."
        if self.extensions().any(|extension| extension.is_err()) {
            return Err(HandshakeError::InvalidExtensions);
        }
        Ok(())
    }

    /// RFC 6455 §4.2.1: "An HTTP/1.1 or higher GET request", with "An |Upgrade| header field
    /// containing the value "websocket", treated as an ASCII case-insensitive value" and "A
    /// |Connection| header field that includes the token "Upgrade", treated as an ASCII
    /// case-insensitive value."
    fn check_request(&self) -> Result<(), HandshakeError> {
        // RFC 9110 §7.8: "A server MUST ignore an Upgrade header field that is received in an
        // HTTP/1.0 request."
        if self.version == Version::Http10 {
            return Err(match self.head.has("sec-websocket-key") && !self.head.has("upgrade") {
                true => HandshakeError::ProxyHttpVersion,
                false => HandshakeError::UnsupportedHttpVersion,
            });
        }
        // RFC 8441 §5: "This request replaces the GET-based request in [RFC6455]".
        if self.version == Version::Http2 {
            return match self.is_extended_connect() {
                false => Err(HandshakeError::NotExtendedConnect),
                true if self.has_body => Err(HandshakeError::UnexpectedBody),
                true => Ok(()),
            };
        }
        if self.method() != "GET" {
            return Err(HandshakeError::InvalidMethod);
        }
        if !self.upgrade_is_websocket() {
            return Err(match self.head.has("sec-websocket-key") && !self.head.has("upgrade") {
                true => HandshakeError::UpgradeRemoved,
                false => HandshakeError::NotAnUpgrade,
            });
        }
        if !list::contains(self.head.all("connection"), "upgrade") {
            return Err(HandshakeError::ConnectionNotUpgrade);
        }
        // The body would be taken for frames, by us or by a proxy that has another opinion.
        if self.has_body {
            return Err(HandshakeError::UnexpectedBody);
        }
        Ok(())
    }

    fn check_version(&self) -> Result<(), HandshakeError> {
        // RFC 6455 §11.3.5: "the |Sec-WebSocket-Version| header field MUST NOT appear more than
        // once in an HTTP request."
        match self.head.only("sec-websocket-version") {
            Ok(b"13") => Ok(()),
            Ok(_) if self.is_extended_connect() => Err(HandshakeError::UnsupportedConnectVersion),
            Ok(_) => Err(HandshakeError::UnsupportedVersion),
            Err(Count::None) => Err(HandshakeError::MissingVersion),
            Err(Count::Several) => Err(HandshakeError::RepeatedVersion),
        }
    }

    fn check_key(&self) -> Result<(), HandshakeError> {
        // RFC 6455 §11.3.1: "The |Sec-WebSocket-Key| header field MUST NOT appear more than once in
        // an HTTP request."
        match self.head.only("sec-websocket-key") {
            Ok(value) if key::is_key(value) => Ok(()),
            Ok(_) => Err(HandshakeError::InvalidKey),
            Err(Count::None) => Err(HandshakeError::MissingKey),
            Err(Count::Several) => Err(HandshakeError::RepeatedKey),
        }
    }

    fn check_subprotocols(&self) -> Result<(), HandshakeError> {
        let lines = self.head.all("sec-websocket-protocol");
        // RFC 6455 §4.1: "The elements that comprise this value MUST be non-empty strings with
        // characters in the range U+0021 to U+007E not including separator characters as defined in
        // [RFC2616] and MUST all be unique strings." A list without elements, which clients send
        // that were given none, offers nothing (RFC 9110 §5.6.1.2).
        let mut seen = alloc::collections::BTreeSet::new();
        let valid = !list::is_hollow(lines.clone())
            && list::elements(lines).all(|item| list::is_token(item) && seen.insert(item));
        if valid { Ok(()) } else { Err(HandshakeError::InvalidSubprotocols) }
    }
}

use alloc::vec::Vec;

use super::Request;
use super::request::Version;
use crate::config::Config;
use crate::handshake::parts::Parts;
use crate::handshake::reader::Kind;
use crate::handshake::usage::is_of_connection;
use crate::handshake::{HandshakeError, list};

impl Request {
    /// Makes a request that another HTTP stack has read and taken apart, over HTTP/1.1 (over HTTP/2
    /// and HTTP/3: [`from_connect`](Self::from_connect)). `headers` are all header lines in their
    /// order, with repeated names as often as they came.
    ///
    /// ```
    /// use sansws::Config;
    /// use sansws::handshake::server::{Accept, Request};
    ///
    /// let headers = [
    ///     ("Host", "example.com"),
    ///     ("Upgrade", "websocket"),
    ///     ("Connection", "keep-alive, Upgrade"),
    ///     ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ///     ("Sec-WebSocket-Version", "13"),
    /// ];
    /// let config = Config::new();
    /// let request = Request::from_parts("GET", "/chat?room=7", headers, &config)?;
    /// assert_eq!(request.path(), "/chat");
    /// let upgrade = request.upgrade(&Accept::default(), &config)?;
    /// assert!(upgrade.headers().any(|(name, value)| {
    ///     (name, value) == ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    /// }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// The parts are put together and read as any other request, so that the rules and the limits
    /// of `config` are the same; that costs two copies of the head.
    ///
    /// # Errors
    ///
    /// The parts make no valid head. Whether they ask for a WebSocket is left to
    /// [`upgrade`](Self::upgrade).
    pub fn from_parts<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        method: &str,
        target: &str,
        headers: impl IntoIterator<Item = (N, V)>,
        config: &Config,
    ) -> Result<Self, HandshakeError> {
        let line = (Version::Http11, method, target);
        Self::read(line, None, headers, config)
    }

    /// Makes a request for a WebSocket over HTTP/2 or HTTP/3, which another HTTP stack has read: an
    /// extended CONNECT (RFC 8441 for HTTP/2, RFC 9220 for HTTP/3). `protocol`, `authority` and
    /// `path` are the pseudo-header fields of these names, `headers` all other fields.
    ///
    /// The server has to allow it in its settings first (`SETTINGS_ENABLE_CONNECT_PROTOCOL`); its
    /// stack does that. What follows is as over HTTP/1.1, on a stream in place of a TCP connection:
    /// [`upgrade`](Self::upgrade), then a response with the [status](super::Upgrade::status) 200,
    /// and frames both ways, which a client masks here too. The end of what one end sends is the
    /// flag `END_STREAM` (with HTTP/3, the FIN of the stream), which the stream's `shutdown` has to
    /// send.
    ///
    /// ```
    /// use sansws::Config;
    /// use sansws::handshake::server::{Accept, Request};
    ///
    /// let headers = [("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat")];
    /// let config = Config::new();
    /// let request = Request::from_connect("websocket", "h.example", "/?7", headers, &config)?;
    /// assert_eq!((request.host(), request.query()), ("h.example", Some("7")));
    /// let upgrade = request.upgrade(&Accept::new().subprotocol("chat"), &config)?;
    /// assert_eq!(upgrade.status(), 200);
    /// assert!(upgrade.headers().eq([("sec-websocket-protocol", "chat")]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`from_parts`](Self::from_parts), and [`HandshakeError::UnsupportedProtocol`] for another
    /// protocol. None of them, nor of those of [`upgrade`](Self::upgrade), has headers that HTTP/2
    /// forbids.
    pub fn from_connect<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        protocol: &str,
        authority: &str,
        path: &str,
        headers: impl IntoIterator<Item = (N, V)>,
        config: &Config,
    ) -> Result<Self, HandshakeError> {
        // RFC 8441 §5: "The :protocol pseudo-header field MUST be included in the CONNECT request,
        // and it MUST have a value of websocket to initiate a WebSocket connection on an HTTP/2
        // stream." RFC 9220 §3: "If a server [...] receives an Extended CONNECT request with a
        // ":protocol" value that is unknown or is not supported, the server SHOULD respond to the
        // request with a 501 (Not Implemented) status code".
        if protocol != "websocket" {
            return Err(HandshakeError::UnsupportedProtocol);
        }
        Self::read((Version::Http2, "CONNECT", path), Some(authority), headers, config)
    }

    /// Reads what its parts make. With an authority, `Host` says it.
    pub(in crate::handshake) fn read<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        (version, method, target): (Version, &str, &str),
        authority: Option<&str>,
        headers: impl IntoIterator<Item = (N, V)>,
        config: &Config,
    ) -> Result<Self, HandshakeError> {
        if !list::is_token(method.as_bytes()) {
            return Err(HandshakeError::MalformedStartLine);
        }
        // of an absolute target the authority is a part of its own in HTTP/2
        let is_path = version != Version::Http2 || target.starts_with('/');
        if !is_path || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(HandshakeError::InvalidTarget);
        }
        let number = if version == Version::Http10 { b" HTTP/1.0" } else { b" HTTP/1.1" };
        let mut parts = Parts::new(&[method.as_bytes(), b" ", target.as_bytes(), number]);
        if let Some(authority) = authority {
            parts.header(b"Host", authority.as_bytes()).map_err(|_| HandshakeError::InvalidHost)?;
        }
        let mut cookies = Vec::new();
        for (name, value) in headers {
            let (name, value) = (name.as_ref(), value.as_ref());
            // RFC 9113 §8.2.3: "If there are multiple Cookie header fields after decompression,
            // these MUST be concatenated into a single octet string using the two-octet delimiter
            // of 0x3b, 0x20 (the ASCII string "; ") before being passed into a non-HTTP/2 context".
            if version == Version::Http2 && name.eq_ignore_ascii_case(b"cookie") {
                if !cookies.is_empty() {
                    cookies.extend_from_slice(b"; ");
                }
                cookies.extend_from_slice(value);
                continue;
            }
            if version == Version::Http2 && is_of_connection(name) {
                return Err(HandshakeError::ConnectionHeader);
            }
            if let Some(authority) = authority
                && name.eq_ignore_ascii_case(b"host")
            {
                // RFC 9113 §8.3.1: "A server SHOULD treat a request as malformed if it contains a
                // Host header field that identifies an entity that differs from the entity in the
                // ":authority" pseudo-header field."
                match without_port(value).eq_ignore_ascii_case(without_port(authority.as_bytes())) {
                    true => continue,
                    false => return Err(HandshakeError::InvalidHost),
                }
            }
            parts.header(name, value)?;
        }
        if !cookies.is_empty() {
            parts.header(b"cookie", &cookies)?;
        }
        let (head, line) = parts.read(Kind::Request, config)?.take_request()?;
        Self::of_version(version, head, line)
    }
}

/// Removes a port that a scheme has by default: with and without it is the same entity.
fn without_port(authority: &[u8]) -> &[u8] {
    let without = [":443", ":80"].iter().find_map(|port| authority.strip_suffix(port.as_bytes()));
    without.unwrap_or(authority)
}

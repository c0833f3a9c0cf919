use crate::wire::errors;

errors! {
    /// The peer's opening handshake is invalid.
    ///
    /// On a server the HTTP answer to it, with [`status`](Self::status), is already in the send
    /// buffer when one of these is returned: send it, then close. On a client there is no answer:
    /// close.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum HandshakeError;

    /// The HTTP status with which a server answers this; `None` if there is nothing to answer.
    answer: status -> Option<u16>;

    /// The connection ended before the handshake did.
    Incomplete => None, "RFC 9112 §8",
        "the connection ended before the handshake was complete";
    /// [`Config::handshake_timeout`](crate::Config::handshake_timeout) has passed.
    TimedOut => Some(408), "RFC 9110 §15.5.9",
        "the handshake took longer than Config::handshake_timeout";

    /// The first byte of a request is that of a TLS record.
    TlsBytes => Some(400), "RFC 9112 §3",
        "TLS bytes on a plain `ws://` port";
    /// The answer to a request without TLS is a TLS record, such as an alert.
    TlsAnswer => None, "RFC 9112 §4",
        "the answer is TLS, not HTTP: the port is one for `wss://`";
    /// The answer is a SETTINGS frame, with which every server of HTTP/2 begins.
    Http2Answer => None, "RFC 9113 §3.4",
        "the answer is HTTP/2, and a WebSocket is opened by HTTP/1.1: turn that on for this \
         port, or take another one";
    /// The answer begins with a head of the PROXY protocol, version 1 or 2.
    ProxyProtocolAnswer => None, "RFC 9112 §4",
        "the answer begins with a head of the PROXY protocol: a load balancer sends it to a \
         server that does not expect it; turn it off there (haproxy: `send-proxy`), or on in \
         the server";
    /// The first line is not that of an HTTP request or response.
    MalformedStartLine => Some(400), "RFC 9112 §3",
        "the first line is not HTTP/1.1";
    /// A line feed without a carriage return before it.
    BareLineFeed => Some(400), "RFC 9112 §2.2",
        "line feed without carriage return";
    /// A carriage return without a line feed behind it.
    BareCarriageReturn => Some(400), "RFC 9112 §2.2",
        "carriage return without line feed";
    /// A header line that begins with white space.
    FoldedHeader => Some(400), "RFC 9112 §5.2",
        "header line begins with white space";
    /// A header line without a valid name, with white space before the colon, or with a control
    /// character.
    MalformedHeader => Some(400), "RFC 9112 §5",
        "malformed header line";
    /// The head is longer than [`Config::max_head_len`](crate::Config::max_head_len).
    HeadTooLong {
        /// The limit, in bytes.
        limit: usize,
    } => Some(431), "RFC 9110 §5.4",
        "head is over max_head_len {limit}; raise Config::max_head_len";
    /// The head has more lines than [`Config::max_headers`](crate::Config::max_headers).
    TooManyHeaders {
        /// The limit.
        limit: usize,
    } => Some(431), "RFC 9110 §5.4",
        "more than {limit} header lines; raise Config::max_headers";

    /// The request's method is longer than any there is.
    MethodTooLong => Some(501), "RFC 9112 §3",
        "method is too long";
    /// The request target is longer than
    /// [`Config::max_target_len`](crate::Config::max_target_len).
    TargetTooLong {
        /// The limit, in bytes.
        limit: usize,
    } => Some(414), "RFC 9112 §3",
        "request target is over max_target_len {limit}; raise Config::max_target_len";
    /// The request target is no path and no absolute URI, or has a character no URI has.
    InvalidTarget => Some(400), "RFC 9112 §3.2",
        "request target is no path and no absolute URI";
    /// The request is of another major version, or is a handshake in HTTP/1.0.
    UnsupportedHttpVersion => Some(505), "RFC 6455 §4.2.1",
        "HTTP version must be 1.1; if a reverse proxy in front lowered it: nginx needs \
         `proxy_http_version 1.1`";
    /// The request is HTTP/1.0 and has a `Sec-WebSocket-Key` but no `Upgrade`: a proxy sent it.
    ProxyHttpVersion => Some(505), "RFC 6455 §4.2.1",
        "the Upgrade header is missing although this is a WebSocket handshake: a reverse \
         proxy in front removed it; nginx needs `proxy_http_version 1.1`, \
         `proxy_set_header Upgrade $http_upgrade`, \
         `proxy_set_header Connection $connection_upgrade`";
    /// `Host` is missing, repeated or no host and port.
    InvalidHost => Some(400), "RFC 9112 §3.2",
        "Host must be there once and be a host with an optional port";
    /// `Content-Length` is no number, contradicts another one, or stands beside
    /// `Transfer-Encoding`.
    InvalidContentLength => Some(400), "RFC 9112 §6.3",
        "Content-Length is invalid or ambiguous";

    /// The method is not GET.
    InvalidMethod => Some(405), "RFC 6455 §4.2.1",
        "method of a WebSocket handshake must be GET";
    /// The request does not ask for an upgrade to `websocket`.
    NotAnUpgrade => Some(426), "RFC 6455 §4.2.1",
        "the request does not ask for an upgrade to `websocket`";
    /// There is a `Sec-WebSocket-Key` but no `Upgrade`: a proxy removed it.
    UpgradeRemoved => Some(426), "RFC 6455 §4.2.1",
        "the Upgrade header is missing although this is a WebSocket handshake: a reverse \
         proxy in front removed it; nginx needs `proxy_http_version 1.1`, \
         `proxy_set_header Upgrade $http_upgrade`, \
         `proxy_set_header Connection $connection_upgrade`";
    /// The request to upgrade has a body.
    UnexpectedBody => Some(400), "RFC 9112 §6.3",
        "a request to upgrade must not have a body";
    /// `Connection` does not list `upgrade`. From either peer.
    ConnectionNotUpgrade => Some(426), "RFC 6455 §4.2.1",
        "Connection does not list `upgrade`; if a reverse proxy in front replaced it: \
         nginx needs `proxy_set_header Connection $connection_upgrade`";
    /// `Sec-WebSocket-Version` is missing.
    MissingVersion => Some(400), "RFC 6455 §4.2.1",
        "Sec-WebSocket-Version is missing";
    /// `Sec-WebSocket-Version` stands there more than once.
    RepeatedVersion => Some(400), "RFC 6455 §11.3.5",
        "Sec-WebSocket-Version is repeated";
    /// `Sec-WebSocket-Version` is not 13.
    UnsupportedVersion => Some(426), "RFC 6455 §4.4",
        "Sec-WebSocket-Version is not 13";
    /// `Sec-WebSocket-Version` of an extended CONNECT is not 13.
    UnsupportedConnectVersion => Some(400), "RFC 6455 §4.4",
        "Sec-WebSocket-Version is not 13";
    /// The request is HTTP/2 or HTTP/3, and no extended CONNECT.
    NotExtendedConnect => Some(400), "RFC 8441 §5",
        "a WebSocket over HTTP/2 or HTTP/3 is opened by an extended CONNECT";
    /// `:protocol` of an extended CONNECT is not `websocket`.
    UnsupportedProtocol => Some(501), "RFC 9220 §3",
        "the protocol of an extended CONNECT must be `websocket`";
    /// A request of HTTP/2 or HTTP/3 has a header that is about a connection of HTTP/1.1, such as
    /// `Connection` or `Upgrade`.
    ConnectionHeader => Some(400), "RFC 9113 §8.2.2",
        "a request of HTTP/2 or HTTP/3 must not have headers about a connection";
    /// `Sec-WebSocket-Key` is missing.
    MissingKey => Some(400), "RFC 6455 §4.2.1",
        "Sec-WebSocket-Key is missing";
    /// `Sec-WebSocket-Key` stands there more than once.
    RepeatedKey => Some(400), "RFC 6455 §11.3.1",
        "Sec-WebSocket-Key is repeated";
    /// `Sec-WebSocket-Key` is not 16 bytes in base64.
    InvalidKey => Some(400), "RFC 6455 §4.2.1",
        "Sec-WebSocket-Key is not 16 bytes in base64";
    /// `Sec-WebSocket-Protocol` in a request is not a list of distinct tokens.
    InvalidSubprotocols => Some(400), "RFC 6455 §11.3.4",
        "Sec-WebSocket-Protocol is not a list of tokens, each there once";
    /// `Sec-WebSocket-Extensions` does not follow its grammar. From either peer.
    InvalidExtensions => Some(400), "RFC 6455 §9.1",
        "Sec-WebSocket-Extensions is malformed";

    /// More responses with a status of 1xx than
    /// [`MAX_INTERIM_RESPONSES`](super::client::Handshake::MAX_INTERIM_RESPONSES).
    TooManyInterimResponses => None, "RFC 9110 §15.2",
        "too many responses with a status of 1xx";
    /// A response with status 101 that is not HTTP/1.1.
    ResponseHttpVersion => None, "RFC 6455 §4.1",
        "response with status 101 is not HTTP/1.1";
    /// `Upgrade` in the response is not `websocket`.
    ResponseNotUpgrade => None, "RFC 6455 §4.1",
        "Upgrade in the response is not `websocket`";
    /// `Sec-WebSocket-Accept` is missing.
    MissingAccept => None, "RFC 6455 §4.1",
        "Sec-WebSocket-Accept is missing";
    /// `Sec-WebSocket-Accept` stands there more than once.
    RepeatedAccept => None, "RFC 6455 §11.3.3",
        "Sec-WebSocket-Accept is repeated";
    /// `Sec-WebSocket-Accept` does not belong to the key that was sent.
    WrongAccept => None, "RFC 6455 §4.1",
        "Sec-WebSocket-Accept does not belong to the key that was sent";
    /// The server chose an extension that was not offered.
    UnofferedExtension => None, "RFC 6455 §4.1",
        "server chose an extension that was not offered";
    /// The server's answer about permessage-deflate is invalid, or not what was offered.
    InvalidDeflate => None, "RFC 7692 §7.1",
        "server's answer about permessage-deflate is invalid or not what was offered";
    /// The server chose a subprotocol that was not offered.
    UnofferedSubprotocol => None, "RFC 6455 §4.1",
        "server chose a subprotocol that was not offered";
    /// `Sec-WebSocket-Protocol` in the response is not one token.
    InvalidSubprotocol => None, "RFC 6455 §11.3.4",
        "Sec-WebSocket-Protocol in the response is not one token";
    /// The server chose no subprotocol, and the request
    /// [requires one](super::client::Request::require_subprotocol).
    MissingSubprotocol => None, "RFC 6455 §4.1",
        "server chose no subprotocol, and one is required";
}

impl HandshakeError {
    /// Returns the headers that such an answer needs besides those of every response.
    pub const fn headers(&self) -> &'static [(&'static str, &'static str)] {
        match self.status() {
            // RFC 9110 §15.5.6: "The origin server MUST generate an Allow header field in a 405
            // response".
            Some(405) => &[("Allow", "GET")],
            // RFC 9110 §15.5.22: "The server MUST send an Upgrade header field in a 426 response to
            // indicate the required protocol(s)". §7.8: "A sender of Upgrade MUST also send an
            // "Upgrade" connection option".
            Some(426) => &[("Connection", "Upgrade"), ("Upgrade", "websocket"), VERSION],
            // RFC 6455 §4.4: "If the server doesn't support the requested version, it MUST respond
            // with a |Sec-WebSocket-Version| header field [...] containing all versions it is
            // willing to use."
            _ => match self {
                Self::MissingVersion | Self::RepeatedVersion | Self::UnsupportedConnectVersion => {
                    &[VERSION]
                }
                _ => &[],
            },
        }
    }
}

const VERSION: (&str, &str) = ("Sec-WebSocket-Version", "13");

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn texts_name_the_rule_and_the_section() {
        assert_eq!(
            HandshakeError::TlsBytes.to_string(),
            "TLS bytes on a plain `ws://` port (RFC 9112 §3)"
        );
        assert_eq!(
            HandshakeError::UpgradeRemoved.to_string(),
            "the Upgrade header is missing although this is a WebSocket handshake: a reverse proxy \
             in front removed it; nginx needs `proxy_http_version 1.1`, \
             `proxy_set_header Upgrade $http_upgrade`, \
             `proxy_set_header Connection $connection_upgrade` (RFC 6455 §4.2.1)"
        );
        assert_eq!(
            HandshakeError::HeadTooLong { limit: 16384 }.to_string(),
            "head is over max_head_len 16384; raise Config::max_head_len (RFC 9110 §5.4)"
        );
        assert_eq!(
            HandshakeError::WrongAccept.to_string(),
            "Sec-WebSocket-Accept does not belong to the key that was sent (RFC 6455 §4.1)"
        );
    }
}

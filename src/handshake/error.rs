use core::fmt;

/// The peer's opening handshake is not one.
///
/// On a server the HTTP answer to it, with [`status`](Self::status), is already in the send buffer
/// when one of these is returned: send it, then close. On a client there is no answer: close.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The connection ended before the handshake did.
    Incomplete,
    /// [`Config::handshake_timeout`](crate::proto::Config::handshake_timeout) has passed.
    TimedOut,

    /// The first byte is that of a TLS record.
    TlsBytes,
    /// The first line is not that of an HTTP request or response.
    MalformedStartLine,
    /// A line feed without a carriage return before it.
    BareLineFeed,
    /// A carriage return without a line feed behind it.
    BareCarriageReturn,
    /// A header line that begins with white space.
    FoldedHeader,
    /// A header line without a valid name, with white space before the colon, or with a control
    /// character.
    MalformedHeader,
    /// The head is longer than [`Config::max_head_len`](crate::proto::Config::max_head_len).
    HeadTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The head has more lines than [`Config::max_headers`](crate::proto::Config::max_headers).
    TooManyHeaders {
        /// The limit.
        limit: usize,
    },

    /// The request's method is longer than any there is.
    MethodTooLong,
    /// The request target is longer than
    /// [`Config::max_target_len`](crate::proto::Config::max_target_len).
    TargetTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The request target is no path and no absolute URI, or has a character no URI has.
    InvalidTarget,
    /// The request is of another major version, or is a handshake in HTTP/1.0.
    UnsupportedHttpVersion,
    /// The request is HTTP/1.0 and has a `Sec-WebSocket-Key` but no `Upgrade`: a proxy sent it.
    ProxyHttpVersion,
    /// `Host` is missing, repeated or no host and port.
    InvalidHost,
    /// `Content-Length` is no number, contradicts another one, or stands beside
    /// `Transfer-Encoding`.
    InvalidContentLength,

    /// The method is not GET.
    InvalidMethod,
    /// The request does not ask for an upgrade to `websocket`.
    NotAnUpgrade,
    /// There is a `Sec-WebSocket-Key` but no `Upgrade`: a proxy removed it.
    UpgradeRemoved,
    /// The request to upgrade has a body.
    UnexpectedBody,
    /// `Connection` does not list `upgrade`. From either peer.
    ConnectionNotUpgrade,
    /// `Sec-WebSocket-Version` is missing.
    MissingVersion,
    /// `Sec-WebSocket-Version` stands there more than once.
    RepeatedVersion,
    /// `Sec-WebSocket-Version` is not 13.
    UnsupportedVersion,
    /// `Sec-WebSocket-Key` is missing.
    MissingKey,
    /// `Sec-WebSocket-Key` stands there more than once.
    RepeatedKey,
    /// `Sec-WebSocket-Key` is not 16 bytes in base64.
    InvalidKey,
    /// `Sec-WebSocket-Protocol` in a request is not a list of distinct tokens.
    InvalidSubprotocols,
    /// `Sec-WebSocket-Extensions` does not follow its grammar. From either peer.
    InvalidExtensions,

    /// More responses with a status of 1xx than
    /// [`MAX_INTERIM_RESPONSES`](super::client::Handshake::MAX_INTERIM_RESPONSES).
    TooManyInterimResponses,
    /// A response with status 101 that is not HTTP/1.1.
    ResponseHttpVersion,
    /// `Upgrade` in the response is not `websocket`.
    ResponseNotUpgrade,
    /// `Sec-WebSocket-Accept` is missing.
    MissingAccept,
    /// `Sec-WebSocket-Accept` stands there more than once.
    RepeatedAccept,
    /// `Sec-WebSocket-Accept` does not belong to the key that was sent.
    WrongAccept,
    /// The server chose an extension that was not offered.
    UnofferedExtension,
    /// What the server says about permessage-deflate is invalid, or not what was offered.
    InvalidDeflate,
    /// The server chose a subprotocol that was not offered.
    UnofferedSubprotocol,
    /// `Sec-WebSocket-Protocol` in the response is not one token.
    InvalidSubprotocol,
    /// The server chose no subprotocol, and the request
    /// [requires one](super::client::Request::require_subprotocol).
    MissingSubprotocol,
}

impl HandshakeError {
    /// The HTTP status with which a server answers this; `None` if there is nothing to answer.
    pub const fn status(&self) -> Option<u16> {
        Some(match self {
            Self::Incomplete
            | Self::TooManyInterimResponses
            | Self::ResponseHttpVersion
            | Self::ResponseNotUpgrade
            | Self::MissingAccept
            | Self::RepeatedAccept
            | Self::WrongAccept
            | Self::UnofferedExtension
            | Self::InvalidDeflate
            | Self::UnofferedSubprotocol
            | Self::InvalidSubprotocol
            | Self::MissingSubprotocol => return None,
            Self::TimedOut => 408,
            Self::InvalidMethod => 405,
            Self::TargetTooLong { .. } => 414,
            Self::NotAnUpgrade
            | Self::UpgradeRemoved
            | Self::ConnectionNotUpgrade
            | Self::UnsupportedVersion => 426,
            Self::HeadTooLong { .. } | Self::TooManyHeaders { .. } => 431,
            Self::MethodTooLong => 501,
            Self::UnsupportedHttpVersion | Self::ProxyHttpVersion => 505,
            Self::TlsBytes
            | Self::MalformedStartLine
            | Self::BareLineFeed
            | Self::BareCarriageReturn
            | Self::FoldedHeader
            | Self::MalformedHeader
            | Self::InvalidTarget
            | Self::InvalidHost
            | Self::InvalidContentLength
            | Self::UnexpectedBody
            | Self::MissingVersion
            | Self::RepeatedVersion
            | Self::MissingKey
            | Self::RepeatedKey
            | Self::InvalidKey
            | Self::InvalidSubprotocols
            | Self::InvalidExtensions => 400,
        })
    }

    /// The headers that such an answer needs besides those of every response.
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
            _ if matches!(self, Self::MissingVersion | Self::RepeatedVersion) => &[VERSION],
            _ => &[],
        }
    }

    /// The section that holds the broken rule, such as `"RFC 6455 §4.2.1"`.
    pub const fn section(&self) -> &'static str {
        match self {
            Self::BareLineFeed | Self::BareCarriageReturn => "RFC 9112 §2.2",
            Self::MethodTooLong
            | Self::TargetTooLong { .. }
            | Self::MalformedStartLine
            | Self::TlsBytes => "RFC 9112 §3",
            Self::InvalidTarget => "RFC 9112 §3.2",
            Self::InvalidHost => "RFC 9112 §3.2",
            Self::MalformedHeader => "RFC 9112 §5",
            Self::FoldedHeader => "RFC 9112 §5.2",
            Self::HeadTooLong { .. } | Self::TooManyHeaders { .. } => "RFC 9110 §5.4",
            Self::InvalidContentLength | Self::UnexpectedBody => "RFC 9112 §6.3",
            Self::Incomplete => "RFC 9112 §8",
            Self::TimedOut => "RFC 9110 §15.5.9",
            Self::TooManyInterimResponses => "RFC 9110 §15.2",
            Self::UnsupportedHttpVersion
            | Self::ProxyHttpVersion
            | Self::InvalidMethod
            | Self::NotAnUpgrade
            | Self::UpgradeRemoved
            | Self::ConnectionNotUpgrade
            | Self::MissingVersion
            | Self::MissingKey
            | Self::InvalidKey => "RFC 6455 §4.2.1",
            Self::UnsupportedVersion => "RFC 6455 §4.4",
            Self::RepeatedVersion => "RFC 6455 §11.3.5",
            Self::RepeatedKey => "RFC 6455 §11.3.1",
            Self::InvalidSubprotocols | Self::InvalidSubprotocol => "RFC 6455 §11.3.4",
            Self::InvalidExtensions => "RFC 6455 §9.1",
            Self::RepeatedAccept => "RFC 6455 §11.3.3",
            Self::InvalidDeflate => "RFC 7692 §7.1",
            Self::ResponseHttpVersion
            | Self::ResponseNotUpgrade
            | Self::MissingAccept
            | Self::WrongAccept
            | Self::UnofferedExtension
            | Self::UnofferedSubprotocol
            | Self::MissingSubprotocol => "RFC 6455 §4.1",
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::HeadTooLong { limit } => {
                write!(f, "head is over max_head_len {limit}; raise Config::max_head_len")?;
                ""
            }
            Self::TooManyHeaders { limit } => {
                write!(f, "more than {limit} header lines; raise Config::max_headers")?;
                ""
            }
            Self::TargetTooLong { limit } => {
                write!(
                    f,
                    "request target is over max_target_len {limit}; raise Config::max_target_len"
                )?;
                ""
            }
            Self::Incomplete => "the connection ended before the handshake was complete",
            Self::TimedOut => "the handshake took longer than Config::handshake_timeout",
            Self::TlsBytes => "TLS bytes on a plain `ws://` port",
            Self::MalformedStartLine => "the first line is not HTTP/1.1",
            Self::BareLineFeed => "line feed without carriage return",
            Self::BareCarriageReturn => "carriage return without line feed",
            Self::FoldedHeader => "header line begins with white space",
            Self::MalformedHeader => "malformed header line",
            Self::MethodTooLong => "method is too long",
            Self::InvalidTarget => "request target is no path and no absolute URI",
            Self::UnsupportedHttpVersion => {
                "HTTP version must be 1.1; if a reverse proxy in front lowered it: nginx needs \
                 `proxy_http_version 1.1`"
            }
            Self::InvalidHost => "Host must be there once and be a host with an optional port",
            Self::InvalidContentLength => "Content-Length is invalid or ambiguous",
            Self::InvalidMethod => "method of a WebSocket handshake must be GET",
            Self::NotAnUpgrade => "the request does not ask for an upgrade to `websocket`",
            Self::UpgradeRemoved | Self::ProxyHttpVersion => {
                "the Upgrade header is missing although this is a WebSocket handshake: a reverse \
                 proxy in front removed it; nginx needs `proxy_http_version 1.1`, \
                 `proxy_set_header Upgrade $http_upgrade`, \
                 `proxy_set_header Connection $connection_upgrade`"
            }
            Self::UnexpectedBody => "a request to upgrade must not have a body",
            Self::ConnectionNotUpgrade => {
                "Connection does not list `upgrade`; if a reverse proxy in front replaced it: \
                 nginx needs `proxy_set_header Connection $connection_upgrade`"
            }
            Self::MissingVersion => "Sec-WebSocket-Version is missing",
            Self::RepeatedVersion => "Sec-WebSocket-Version is repeated",
            Self::UnsupportedVersion => "Sec-WebSocket-Version is not 13",
            Self::MissingKey => "Sec-WebSocket-Key is missing",
            Self::RepeatedKey => "Sec-WebSocket-Key is repeated",
            Self::InvalidKey => "Sec-WebSocket-Key is not 16 bytes in base64",
            Self::InvalidSubprotocols => {
                "Sec-WebSocket-Protocol is not a list of tokens, each there once"
            }
            Self::InvalidExtensions => "Sec-WebSocket-Extensions is malformed",
            Self::TooManyInterimResponses => "too many responses with a status of 1xx",
            Self::ResponseHttpVersion => "response with status 101 is not HTTP/1.1",
            Self::ResponseNotUpgrade => "Upgrade in the response is not `websocket`",
            Self::MissingAccept => "Sec-WebSocket-Accept is missing",
            Self::RepeatedAccept => "Sec-WebSocket-Accept is repeated",
            Self::WrongAccept => "Sec-WebSocket-Accept does not belong to the key that was sent",
            Self::UnofferedExtension => "server chose an extension that was not offered",
            Self::InvalidDeflate => {
                "server's answer about permessage-deflate is invalid or not what was offered"
            }
            Self::UnofferedSubprotocol => "server chose a subprotocol that was not offered",
            Self::InvalidSubprotocol => "Sec-WebSocket-Protocol in the response is not one token",
            Self::MissingSubprotocol => "server chose no subprotocol, and one is required",
        };
        write!(f, "{text} ({})", self.section())
    }
}

impl core::error::Error for HandshakeError {}

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

use alloc::boxed::Box;
use core::fmt;

use super::list;

/// Fault of the application: it asked for something that cannot be in a handshake. Nothing was
/// written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UsageError {
    /// The name of a header is not a token.
    InvalidHeaderName(Box<str>),
    /// The value of this header has a control character in it, such as a line break.
    InvalidHeaderValue(Box<str>),
    /// This header is written by the library.
    ReservedHeader(Box<str>),
    /// The subprotocol is not a token.
    InvalidSubprotocol(Box<str>),
    /// The subprotocol is in the request already.
    RepeatedSubprotocol(Box<str>),
    /// The client did not offer this subprotocol.
    UnofferedSubprotocol(Box<str>),
    /// A subprotocol is required but none is offered.
    NoSubprotocols,
    /// A request is rejected with a status outside 200–599.
    InvalidStatus(u16),
    /// A request of HTTP/2 or HTTP/3 is to be answered in bytes.
    NotHttp1,
    /// There is no request to answer: none has come, or it has been answered.
    NoRequest,
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidHeaderName(name) => write!(
                f,
                "header name {name:?} is not a token; use letters, digits and \"-\" (RFC 9110 §5.1)"
            ),
            Self::InvalidHeaderValue(name) => write!(
                f,
                "value of header {name:?} has a control character; remove it or encode it \
                 (RFC 9110 §5.5)"
            ),
            Self::ReservedHeader(name) => {
                write!(f, "header {name:?} is written by the library; remove it (RFC 6455 §4)")
            }
            Self::InvalidSubprotocol(name) => write!(
                f,
                "subprotocol {name:?} is not a token; use letters, digits and any of \
                 !#$%&'*+-.^_`|~ (RFC 6455 §4.1)"
            ),
            Self::RepeatedSubprotocol(name) => {
                write!(f, "subprotocol {name:?} is offered twice; offer it once (RFC 6455 §4.1)")
            }
            Self::UnofferedSubprotocol(name) => write!(
                f,
                "subprotocol {name:?} was not offered by the client; choose one of \
                 Request::subprotocols() or none (RFC 6455 §4.2.2)"
            ),
            Self::NoSubprotocols => f.write_str(
                "a subprotocol is required but none is offered; add one with \
                 Request::subprotocol (RFC 6455 §4.1)",
            ),
            Self::InvalidStatus(status) => write!(
                f,
                "a request cannot be rejected with status {status}; use 200 to 599, \
                 or Request::accept for 101 (RFC 9110 §15)"
            ),
            Self::NotHttp1 => f.write_str(
                "a request of HTTP/2 or HTTP/3 is answered by the HTTP stack that has read it; \
                 give that the status and the headers of Request::upgrade (RFC 8441 §5)",
            ),
            Self::NoRequest => f.write_str(
                "there is no request to answer; accept or reject what Step::Request brings, once",
            ),
        }
    }
}

impl core::error::Error for UsageError {}

/// Checks headers that are to be written: nothing in them may end a line, and none may be
/// `reserved`.
pub(super) fn check_headers(
    headers: &[(&str, &str)],
    reserved: impl Fn(&str) -> bool,
) -> Result<(), UsageError> {
    headers.iter().try_for_each(|&(name, value)| check_header(name, value, &reserved))
}

pub(super) fn check_header(
    name: &str,
    value: &str,
    reserved: impl Fn(&str) -> bool,
) -> Result<(), UsageError> {
    if !list::is_token(name.as_bytes()) {
        return Err(UsageError::InvalidHeaderName(name.into()));
    }
    if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        return Err(UsageError::InvalidHeaderValue(name.into()));
    }
    if reserved(name) {
        return Err(UsageError::ReservedHeader(name.into()));
    }
    Ok(())
}

/// Returns whether `name` says how long a message is or what becomes of the connection.
pub(super) fn is_framing(name: &str) -> bool {
    ["connection", "content-length", "transfer-encoding"]
        .iter()
        .any(|reserved| reserved.eq_ignore_ascii_case(name))
}

/// Returns whether a header is about a connection of HTTP/1.1.
///
/// RFC 9113 §8.2.2: "An endpoint MUST NOT generate an HTTP/2 message containing connection-specific
/// header fields. This includes the Connection header field and those listed as having
/// connection-specific semantics [...]. Any message containing connection-specific header fields
/// MUST be treated as malformed". RFC 8441 §5 says it again of `Connection` and `Upgrade`.
pub(super) fn is_of_connection(name: &[u8]) -> bool {
    ["connection", "upgrade", "keep-alive", "proxy-connection", "transfer-encoding"]
        .iter()
        .any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
}

/// Returns whether `name` is one of the headers that make a WebSocket handshake.
pub(super) fn is_websocket(name: &str) -> bool {
    name.eq_ignore_ascii_case("upgrade")
        || name.get(..PREFIX.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(PREFIX))
}

const PREFIX: &str = "sec-websocket-";

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    /// P-26, P-14
    #[test]
    fn nothing_can_end_a_line() {
        let check = |name, value| check_header(name, value, |_| false);
        assert_eq!(check("X-Any", "a\tb caf\u{e9}"), Ok(()));
        for name in ["", "X Y", "X:", "X\r\nY", "X\0", "caf\u{e9}"] {
            assert_eq!(check(name, "a"), Err(UsageError::InvalidHeaderName(name.into())));
        }
        for value in ["a\r\nY: b", "a\n", "a\r", "\0", "\x7f", "\x1b"] {
            assert_eq!(check("X", value), Err(UsageError::InvalidHeaderValue("X".into())));
        }
    }

    #[test]
    fn reserved_names() {
        assert!(is_websocket("UPGRADE"));
        assert!(is_websocket("sec-webSocket-anything"));
        assert!(!is_websocket("sec-websocke"));
        assert!(is_framing("Content-LENGTH"));
        assert!(!is_framing("Content-Type"));
    }

    #[test]
    fn texts_say_what_to_do() {
        assert_eq!(
            UsageError::UnofferedSubprotocol("foo".into()).to_string(),
            "subprotocol \"foo\" was not offered by the client; choose one of \
             Request::subprotocols() or none (RFC 6455 §4.2.2)"
        );
        assert_eq!(
            UsageError::ReservedHeader("Host".into()).to_string(),
            "header \"Host\" is written by the library; remove it (RFC 6455 §4)"
        );
    }
}

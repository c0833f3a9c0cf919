use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::Error;
use crate::handshake::HandshakeError;
use crate::proto::{CloseInfo, Message};
use crate::way::ProxyFailure;
use crate::wire::CloseCode;

/// What happens to a client that connects again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ReconnectEvent {
    /// There is a connection, the first or a new one. The server knows nothing of the one before.
    Connected,
    /// A message of the server.
    Message(Message),
    /// There is no connection, or none any more; the next attempt comes by itself.
    Lost {
        /// Why.
        why: Lost,
        /// The time to the next attempt, counted from when the connection was lost.
        delay: Duration,
        /// The messages that were taken and not written, in order, where such are not kept for the
        /// next connection.
        unsent: Vec<Message>,
    },
}

/// The reason why there is no connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Lost {
    /// The server closed with this code and reason. The reason comes from the peer: the text of
    /// this type escapes it.
    Closed(CloseCode, Box<str>),
    /// Connecting failed, or the connection broke.
    Failed(Error),
}

impl Lost {
    /// Returns the code in the server's Close frame, if one came.
    pub fn close_code(&self) -> Option<CloseCode> {
        match self {
            Self::Closed(code, _) => Some(*code),
            Self::Failed(_) => None,
        }
    }

    /// Returns why a connection is over that has ended like this: `None` if it was closed without a
    /// code.
    pub(crate) fn of(info: Option<CloseInfo<'_>>, end: Result<(), Error>) -> Option<Self> {
        // A Close frame says more than what happened to the transport behind it.
        let code = info.as_ref().and_then(|info| CloseCode::new(info.code));
        match (info, code, end) {
            (_, _, Err(error @ Error::Protocol(_))) => Some(Self::Failed(error)),
            (Some(info), Some(code), _) => Some(Self::Closed(code, info.reason.into())),
            (_, _, Err(error)) => Some(Self::Failed(error)),
            (_, _, Ok(())) => None,
        }
    }

    /// Returns whether another attempt may succeed, and would be welcome.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            // RFC 6455 §7.4.1 and the IANA registry: the server goes away, has a fault of its own,
            // restarts, has too much to do, or something is wrong behind it. Any other code would
            // come again.
            Self::Closed(code, _) => matches!(code.as_u16(), 1001 | 1011..=1014),
            Self::Failed(error) => is_transient(error),
        }
    }

    /// Returns how long the server, or a proxy, asks to be left alone (RFC 9110 §10.2.3). A date is
    /// compared with the clock of this machine.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let response = match self {
            Self::Failed(Error::Refused(response)) => response,
            Self::Failed(Error::Proxy(error)) => match error.failure() {
                ProxyFailure::Refused(response) => response,
                _ => return None,
            },
            _ => return None,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(response.retry_after()?.delay(now))
    }

    /// Returns what it means that no other attempt follows: that all was said, or an error.
    pub(crate) fn into_end(self) -> Result<(), Error> {
        match self {
            Self::Closed(CloseCode::NORMAL, _) => Ok(()),
            Self::Closed(code, _) => Err(Error::Closed(code)),
            Self::Failed(error) => Err(error),
        }
    }
}

/// What is a fault of this program, or of the server's, stays one: only what the network does, and
/// what a server says of its load, passes.
fn is_transient(error: &Error) -> bool {
    match error {
        Error::Disconnected(_) | Error::Timeout(_) | Error::HandshakeTimeout => true,
        Error::Handshake(error) => {
            matches!(error, HandshakeError::Incomplete | HandshakeError::TimedOut)
        }
        Error::Refused(response) => is_transient_status(response.status()),
        Error::Proxy(error) => match error.failure() {
            ProxyFailure::Unreachable(_) | ProxyFailure::Disconnected(_) => true,
            ProxyFailure::Refused(response) => is_transient_status(response.status()),
            // RFC 1928 §6: "general SOCKS server failure", "Network unreachable", "Host
            // unreachable", "Connection refused", "TTL expired"
            ProxyFailure::Reply(code) => matches!(code, 1 | 3..=6),
            _ => false,
        },
        // a name that cannot be resolved has no kind of its own
        Error::Io(error) => !matches!(
            error.kind(),
            io::ErrorKind::InvalidInput
                | io::ErrorKind::InvalidData
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::Unsupported
        ),
        _ => false,
    }
}

/// RFC 9110 §15.5.9: "If the client has an outstanding request in transit, it MAY repeat that
/// request on a new connection." RFC 6585 §4: 429 is for too many requests.
const fn is_transient_status(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(code, reason) if reason.is_empty() => {
                write!(f, "the server closed with {code}")
            }
            Self::Closed(code, reason) => write!(f, "the server closed with {code}: {reason:?}"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::handshake::client::{Request, UrlError};
    use crate::proto::{SendError, Timeout};
    use crate::tls::TlsFailure;
    use crate::way::ProxyError;
    use crate::wire::ProtocolError;

    fn refused(status: u16, headers: &str) -> Lost {
        use crate::buf::{RecvBuffer, SendBuffer};
        use crate::config::Config;
        use crate::handshake::client::{Handshake, Response};

        let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
        let request = Request::new("ws://h").unwrap();
        let mut it = Handshake::start(&request, [1; 16], &Config::new(), &mut tx).unwrap();
        let head = alloc::format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n{headers}\r\n");
        rx.extend_from_slice(head.as_bytes());
        match it.read_response(&mut rx) {
            Ok(Some(Response::Refused(refused))) => Lost::Failed(refused.into()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn close_codes() {
        for code in (0..=u16::MAX).filter_map(CloseCode::new) {
            let again = matches!(code.as_u16(), 1001 | 1011 | 1012 | 1013 | 1014);
            assert_eq!(Lost::Closed(code, "".into()).is_transient(), again, "{code}");
        }
    }

    #[test]
    fn statuses() {
        for status in 300..=599 {
            let again = matches!(status, 408 | 429 | 500..);
            assert_eq!(refused(status, "").is_transient(), again, "{status}");
        }
    }

    #[test]
    fn errors() {
        let io = |kind| Error::from(io::Error::from(kind));
        let name = io::Error::other("failed to lookup address information");
        for error in [
            Error::Disconnected(None),
            Error::HandshakeTimeout,
            Timeout::KeepAlive.into(),
            HandshakeError::Incomplete.into(),
            io(io::ErrorKind::ConnectionRefused),
            io(io::ErrorKind::ConnectionReset),
            io(io::ErrorKind::TimedOut),
            name.into(),
        ] {
            assert!(Lost::Failed(error.clone()).is_transient(), "{error:?}");
        }
        for error in [
            UrlError::Fragment.into(),
            TlsFailure::CertificateExpired.into(),
            TlsFailure::WrongHost("h".into()).into(),
            TlsFailure::UnknownAuthority.into(),
            TlsFailure::FeatureOff.into(),
            ProtocolError::MaskedFrame.into(),
            SendError::NotOpen.into(),
            HandshakeError::WrongAccept.into(),
            HandshakeError::TlsBytes.into(),
            io(io::ErrorKind::PermissionDenied),
        ] {
            assert!(!Lost::Failed(error.clone()).is_transient(), "{error:?}");
        }
    }

    #[test]
    fn proxies() {
        let lost = |failure| {
            let (proxy, target) = ("http://p:1".into(), "h:80".into());
            Lost::Failed(ProxyError { proxy, target, has_credentials: true, failure }.into())
        };
        let answered = |status, headers| match refused(status, headers) {
            Lost::Failed(Error::Refused(response)) => lost(ProxyFailure::Refused(response)),
            other => panic!("{other:?}"),
        };
        assert!(lost(ProxyFailure::Disconnected(None)).is_transient());
        for (status, again) in [(403, false), (407, false), (429, true), (502, true), (504, true)] {
            assert_eq!(answered(status, "").is_transient(), again, "{status}");
        }
        let asks = answered(503, "Retry-After: 7\r\n");
        assert_eq!(asks.retry_after(), Some(Duration::from_secs(7)));
        for (code, again) in (0..10).zip([0, 1, 0, 1, 1, 1, 1, 0, 0, 0]) {
            assert_eq!(lost(ProxyFailure::Reply(code)).is_transient(), again == 1, "{code}");
        }
        for failure in [
            ProxyFailure::Url("no host"),
            ProxyFailure::NoMethod,
            ProxyFailure::Credentials,
            ProxyFailure::Socks("another version"),
        ] {
            assert!(!lost(failure.clone()).is_transient(), "{failure:?}");
        }
    }

    #[test]
    fn retry_after() {
        assert_eq!(refused(503, "").retry_after(), None);
        let asks = refused(503, "Retry-After: 120\r\n");
        assert_eq!(asks.retry_after(), Some(Duration::from_secs(120)));
        assert_eq!(refused(503, "Retry-After: soon\r\n").retry_after(), None);
        let past = refused(503, "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
        assert_eq!(past.retry_after(), Some(Duration::ZERO));
        let far = refused(503, "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n");
        assert!(far.retry_after() > Some(Duration::from_secs(1 << 32)));
    }

    #[test]
    fn a_close_frame_says_more_than_what_follows_it() {
        use crate::proto::Initiator;

        let info = |code| CloseInfo {
            initiator: Initiator::Peer,
            code,
            reason: "x\n".into(),
            clean: false,
            sent_code: None,
            error: None,
        };
        let broken = || Err(Error::Disconnected(None));
        let lost = Lost::of(Some(info(4001)), broken()).unwrap();
        assert_eq!(lost.to_string(), r#"the server closed with 4001 (private use): "x\n""#);
        assert!(Lost::of(Some(info(1005)), Ok(())).is_none());
        assert!(matches!(Lost::of(Some(info(1006)), broken()), Some(Lost::Failed(_))));
        assert!(matches!(Lost::of(None, broken()), Some(Lost::Failed(_))));
    }
}

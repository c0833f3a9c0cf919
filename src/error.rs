#![forbid(unsafe_code)]

use alloc::sync::Arc;
use core::fmt;
use std::io;

use crate::config::ConfigError;
use crate::endpoint::EndpointError;
use crate::handshake::client::{Refused, UrlError};
use crate::handshake::server::AcceptError;
use crate::handshake::{HandshakeError, UsageError};
use crate::proto::{SendError, Timeout};
use crate::tls::TlsFailure;
use crate::way::{ProxyError, ProxyFailure, RedirectError};
use crate::wire::{CloseCode, ProtocolError};

/// Whatever can go wrong on a socket of the adapters.
///
/// Ask [`is_disconnect`](Self::is_disconnect) and [`is_timeout`](Self::is_timeout) for what a
/// server meets every day; match on the variants for the rest. Cheap to clone.
///
/// The text says all there is to say, that of a wrapped error included; so
/// [`source`](core::error::Error::source) is what that error has for a source, not that error
/// itself, and no report prints a thing twice.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The connection broke, or ended without a closing handshake (close code 1006). `None` stands
    /// for an end of file.
    Disconnected(Option<Arc<io::Error>>),
    /// The transport failed before there was a connection.
    Io(Arc<io::Error>),
    /// The peer broke a rule of RFC 6455; it has been told so.
    Protocol(ProtocolError),
    /// The message was not taken. Nothing was sent; the connection goes on.
    Send(SendError),
    /// The peer did not answer a ping or a Close in time.
    Timeout(Timeout),
    /// The opening handshake failed. [`HandshakeError::Incomplete`], the end of the stream in the
    /// middle of it, is a [disconnect](Self::is_disconnect) too.
    Handshake(HandshakeError),
    /// The opening handshake was not over in time. [`HandshakeError::TimedOut`] becomes this.
    HandshakeTimeout,
    /// The server refused the connection with this response.
    Refused(Arc<Refused>),
    /// The URL cannot be used.
    Url(UrlError),
    /// A header, a subprotocol or a status cannot be used in a handshake.
    Usage(UsageError),
    /// A setting cannot be used.
    Config(ConfigError),
    /// There is no TLS connection with the server of a `wss://` URL; the text says what to do.
    Tls(TlsFailure),
    /// There is no way to the server through the proxy, or its URL cannot be used.
    Proxy(Arc<ProxyError>),
    /// The server redirected to where it is not followed.
    Redirect(RedirectError),
    /// The peer closed a byte stream with a code that does not stand for the end of its data, such
    /// as 1001 or 1011.
    Closed(CloseCode),
    /// A text message came on a byte stream, which is made of binary ones; the peer has been told
    /// so (1003).
    UnexpectedText,
    /// `recv` was called in the middle of a message that `next_chunk` has begun. Nothing is lost:
    /// the next chunk still comes.
    PartialMessage,
}

impl Error {
    /// Returns whether the transport broke, or ended without a closing handshake or within the
    /// opening one.
    pub fn is_disconnect(&self) -> bool {
        match self {
            Self::Disconnected(_) | Self::Handshake(HandshakeError::Incomplete) => true,
            Self::Proxy(error) => matches!(error.failure(), ProxyFailure::Disconnected(_)),
            _ => false,
        }
    }

    /// Returns whether the peer, or the network, took too long.
    pub fn is_timeout(&self) -> bool {
        // the last one can only be written by hand
        matches!(
            self,
            Self::Timeout(_) | Self::HandshakeTimeout | Self::Handshake(HandshakeError::TimedOut)
        )
    }

    /// Returns the code of the Close frame that told the peer about this, if one did.
    pub fn close_code(&self) -> Option<CloseCode> {
        match self {
            Self::Protocol(error) => Some(error.close_code()),
            Self::UnexpectedText => Some(CloseCode::UNSUPPORTED_DATA),
            Self::Disconnected(_)
            | Self::Io(_)
            | Self::Send(_)
            | Self::Timeout(_)
            | Self::Handshake(_)
            | Self::HandshakeTimeout
            | Self::Refused(_)
            | Self::Url(_)
            | Self::Usage(_)
            | Self::Config(_)
            | Self::Tls(_)
            | Self::Proxy(_)
            | Self::Redirect(_)
            | Self::Closed(_)
            | Self::PartialMessage => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected(None) => {
                f.write_str("the connection ended without a closing handshake (1006)")
            }
            Self::Disconnected(Some(error)) => write!(f, "the connection broke (1006): {error}"),
            Self::Io(error) => error.fmt(f),
            Self::Protocol(error) => error.fmt(f),
            Self::Send(error) => error.fmt(f),
            Self::Timeout(error) => error.fmt(f),
            Self::Handshake(error) => error.fmt(f),
            Self::HandshakeTimeout => f.write_str(
                "the opening handshake was not over in time; see Config::handshake_timeout",
            ),
            Self::Refused(response) => response.fmt(f),
            Self::Url(error) => error.fmt(f),
            Self::Usage(error) => error.fmt(f),
            Self::Config(error) => error.fmt(f),
            Self::Tls(failure) => failure.fmt(f),
            Self::Proxy(error) => error.fmt(f),
            Self::Redirect(error) => error.fmt(f),
            Self::Closed(code) => {
                write!(f, "the peer closed with {code}, so its data may be incomplete")
            }
            Self::UnexpectedText => f.write_str(
                "a text message on a byte stream (1003): the peer has to send binary messages",
            ),
            Self::PartialMessage => {
                f.write_str("next_chunk has begun this message: take the rest of it before recv")
            }
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Disconnected(Some(error)) | Self::Io(error) => error.source(),
            Self::Protocol(error) => error.source(),
            Self::Send(error) => error.source(),
            Self::Timeout(error) => error.source(),
            Self::Handshake(error) => error.source(),
            Self::Refused(response) => response.source(),
            Self::Url(error) => error.source(),
            Self::Usage(error) => error.source(),
            Self::Config(error) => error.source(),
            Self::Tls(failure) => failure.source(),
            Self::Proxy(error) => error.source(),
            Self::Redirect(error) => error.source(),
            Self::Disconnected(None)
            | Self::HandshakeTimeout
            | Self::Closed(_)
            | Self::UnexpectedText
            | Self::PartialMessage => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

impl From<ProtocolError> for Error {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Self {
        Self::Send(error)
    }
}

impl From<Timeout> for Error {
    fn from(error: Timeout) -> Self {
        Self::Timeout(error)
    }
}

impl From<HandshakeError> for Error {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::TimedOut => Self::HandshakeTimeout,
            error => Self::Handshake(error),
        }
    }
}

impl From<AcceptError> for Error {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Peer(error) => error.into(),
            AcceptError::Usage(error) => error.into(),
        }
    }
}

impl From<Refused> for Error {
    fn from(response: Refused) -> Self {
        Self::Refused(Arc::new(response))
    }
}

impl From<EndpointError> for Error {
    fn from(failure: EndpointError) -> Self {
        match failure {
            EndpointError::Handshake(error) => error.into(),
            EndpointError::Refused(response) => Self::Refused(response),
            EndpointError::Protocol(error) => error.into(),
            EndpointError::Timeout(timeout) => timeout.into(),
            EndpointError::Disconnected => Self::Disconnected(None),
        }
    }
}

impl From<UrlError> for Error {
    fn from(error: UrlError) -> Self {
        Self::Url(error)
    }
}

impl From<UsageError> for Error {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<TlsFailure> for Error {
    fn from(failure: TlsFailure) -> Self {
        Self::Tls(failure)
    }
}

impl From<ProxyError> for Error {
    fn from(error: ProxyError) -> Self {
        Self::Proxy(Arc::new(error))
    }
}

impl From<RedirectError> for Error {
    fn from(error: RedirectError) -> Self {
        Self::Redirect(error)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Disconnected(Some(source)) | Error::Io(source) => source.kind(),
            Error::Disconnected(None) | Error::Handshake(HandshakeError::Incomplete) => {
                io::ErrorKind::UnexpectedEof
            }
            Error::Timeout(_)
            | Error::HandshakeTimeout
            | Error::Handshake(HandshakeError::TimedOut) => io::ErrorKind::TimedOut,
            Error::Tls(failure) if !failure.is_usage() => io::ErrorKind::InvalidData,
            Error::Protocol(_) | Error::Handshake(_) | Error::UnexpectedText => {
                io::ErrorKind::InvalidData
            }
            Error::Send(SendError::NotOpen) => io::ErrorKind::BrokenPipe,
            // later it may be taken
            Error::Send(SendError::BufferFull { .. }) => io::ErrorKind::WouldBlock,
            Error::Send(
                SendError::ControlTooLong { .. }
                | SendError::ReasonTooLong { .. }
                | SendError::MessageUnfinished
                | SendError::NoMessage
                | SendError::InvalidUtf8,
            ) => io::ErrorKind::InvalidInput,
            Error::Closed(_) => io::ErrorKind::ConnectionAborted,
            Error::Refused(_) | Error::Redirect(_) => io::ErrorKind::ConnectionRefused,
            Error::Proxy(error) => error.io_kind(),
            Error::Url(_)
            | Error::Usage(_)
            | Error::Config(_)
            | Error::Tls(_)
            | Error::PartialMessage => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

/// The texts of an error and of all its sources, for tests: each says something new, and each error
/// that is wrapped is said.
#[cfg(test)]
pub(crate) fn check_chain(error: &dyn core::error::Error, wrapped: Option<&str>) {
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    let chain = core::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = chain.map(ToString::to_string).collect();
    for (i, text) in texts.iter().enumerate() {
        assert!(!text.is_empty(), "{error:?}");
        let others = texts.iter().enumerate().filter(|(j, _)| *j != i);
        others.for_each(|(_, other)| assert!(!other.contains(text), "said twice: {texts:?}"));
    }
    let Some(wrapped) = wrapped else { return };
    let times: usize = texts.iter().map(|text| text.matches(wrapped).count()).sum();
    assert_eq!(times, 1, "{wrapped:?} is not said once: {texts:?}");
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;
    use crate::config::Config;

    /// Returns an error of the operating system's kind that has a source, as TLS libraries make
    /// them.
    fn broken() -> io::Error {
        #[derive(Debug)]
        struct Outer(UsageError);

        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("cable pulled")
            }
        }

        impl core::error::Error for Outer {
            fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
                Some(&self.0)
            }
        }

        io::Error::new(io::ErrorKind::ConnectionReset, Outer(UsageError::NoSubprotocols))
    }

    /// Every variant, with the text of what it wraps and the kind that it has as an `io::Error`.
    fn all() -> Vec<(Error, Option<alloc::string::String>, io::ErrorKind)> {
        use io::ErrorKind::*;

        let io = || Arc::new(broken());
        let full = SendError::BufferFull { unsent: 2, limit: 1 };
        let config = Config::new().max_message_len(0).max_fragments(0).check().unwrap_err();
        let protocol = ProtocolError::MaskedFrame;
        let handshake = HandshakeError::WrongAccept;
        let timeout = Timeout::KeepAlive;
        let cable = || Some("cable pulled".to_string());
        let said = |error: &dyn core::error::Error| Some(error.to_string());
        let mut all = vec![
            (Error::Disconnected(None), None, UnexpectedEof),
            (Error::Disconnected(Some(io())), cable(), ConnectionReset),
            (Error::Io(io()), cable(), ConnectionReset),
            (protocol.into(), said(&protocol), InvalidData),
            (timeout.into(), said(&timeout), TimedOut),
            (handshake.clone().into(), said(&handshake), InvalidData),
            (HandshakeError::Incomplete.into(), said(&HandshakeError::Incomplete), UnexpectedEof),
            (HandshakeError::TimedOut.into(), None, TimedOut),
            (Error::Handshake(HandshakeError::TimedOut), None, TimedOut),
            (Error::HandshakeTimeout, None, TimedOut),
            (UrlError::Fragment.into(), said(&UrlError::Fragment), InvalidInput),
            (UsageError::NoSubprotocols.into(), said(&UsageError::NoSubprotocols), InvalidInput),
            (config.into(), said(&config), InvalidInput),
            (TlsFailure::FeatureOff.into(), said(&TlsFailure::FeatureOff), InvalidInput),
            (TlsFailure::NotTls.into(), said(&TlsFailure::NotTls), InvalidData),
            (Error::Closed(CloseCode::GOING_AWAY), None, ConnectionAborted),
            (Error::UnexpectedText, None, InvalidData),
            (Error::PartialMessage, None, InvalidInput),
        ];
        for (error, kind) in [
            (SendError::NotOpen, BrokenPipe),
            (full, WouldBlock),
            (SendError::ControlTooLong { len: 126 }, InvalidInput),
            (SendError::ReasonTooLong { len: 124 }, InvalidInput),
            (SendError::MessageUnfinished, InvalidInput),
            (SendError::NoMessage, InvalidInput),
            (SendError::InvalidUtf8, InvalidInput),
        ] {
            all.push((error.into(), said(&error), kind));
        }
        let refused = refused();
        let text = said(&refused);
        all.push((refused.into(), text, ConnectionRefused));
        let too_many = RedirectError::TooMany { limit: 1, location: "/".into() };
        let text = said(&too_many);
        all.push((too_many.into(), text, ConnectionRefused));
        for (failure, wrapped, kind) in [
            (ProxyFailure::Url("no"), None, InvalidInput),
            (ProxyFailure::Unreachable(io()), cable(), ConnectionReset),
            (ProxyFailure::Disconnected(Some(io())), cable(), ConnectionReset),
            (ProxyFailure::Disconnected(None), None, UnexpectedEof),
            (ProxyFailure::Http(handshake.clone()), said(&handshake), InvalidData),
            (ProxyFailure::Refused(Arc::new(self::refused())), None, ConnectionRefused),
            (ProxyFailure::NoMethod, None, ConnectionRefused),
            (ProxyFailure::Credentials, None, ConnectionRefused),
            (ProxyFailure::Reply(1), None, ConnectionRefused),
            (ProxyFailure::Socks("no"), None, InvalidData),
        ] {
            let (proxy, target) = ("http://h:1".into(), "h:443".into());
            let error = ProxyError { proxy, target, has_credentials: false, failure };
            all.push((error.into(), wrapped, kind));
        }
        all
    }

    fn refused() -> Refused {
        use crate::buf::{RecvBuffer, SendBuffer};
        use crate::handshake::client::{Handshake, Request, Response};

        let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
        let request = Request::new("ws://h").unwrap();
        let mut it = Handshake::start(&request, [1; 16], &Config::new(), &mut tx).unwrap();
        rx.extend_from_slice(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        match it.read_response(&mut rx) {
            Ok(Some(Response::Refused(refused))) => refused,
            other => panic!("{other:?}"),
        }
    }

    /// However a report is made, of the text alone or of the chain, it says each thing once.
    #[test]
    fn nothing_is_said_twice_and_nothing_is_left_out() {
        for (error, wrapped, kind) in all() {
            check_chain(&error, wrapped.as_deref());
            let io = io::Error::from(error.clone());
            assert_eq!(io.kind(), kind, "{error:?}");
            check_chain(&io, wrapped.as_deref());
        }
        // what an error of the transport has for a source is still there
        for error in [Error::Disconnected(Some(Arc::new(broken()))), broken().into()] {
            let source = core::error::Error::source(&error).unwrap();
            assert_eq!(source.to_string(), UsageError::NoSubprotocols.to_string());
        }
    }

    fn is_before_a_connection(error: &Error) -> bool {
        match error {
            Error::Proxy(error) => matches!(error.failure(), ProxyFailure::Unreachable(_)),
            other => matches!(other, Error::Io(_)),
        }
    }

    /// The two predicates agree on one event, whichever value tells of it.
    #[test]
    fn events_have_one_answer() {
        for (error, _, kind) in all() {
            let timed_out = kind == io::ErrorKind::TimedOut;
            let gone =
                matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
                    && !is_before_a_connection(&error);
            assert_eq!((error.is_timeout(), error.is_disconnect()), (timed_out, gone), "{error:?}");
        }
        assert!(matches!(HandshakeError::TimedOut.into(), Error::HandshakeTimeout));
    }
}

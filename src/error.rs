use alloc::sync::Arc;
use core::fmt;
use std::io;

use crate::handshake::client::{Refused, UrlError};
use crate::handshake::{HandshakeError, UsageError};
use crate::proto::{ConfigError, SendError, Timeout};
use crate::wire::{CloseCode, ProtocolError};

/// Whatever can go wrong on a socket of the adapters.
///
/// Ask [`is_disconnect`](Self::is_disconnect) and [`is_timeout`](Self::is_timeout) for what a server
/// meets every day; match on the variants for the rest. Cheap to clone.
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
    /// The opening handshake failed.
    Handshake(HandshakeError),
    /// The opening handshake was not over in time.
    HandshakeTimeout,
    /// The server refused the connection with this response.
    Refused(Arc<Refused>),
    /// The URL cannot be used.
    Url(UrlError),
    /// A header, a subprotocol or a status cannot be used in a handshake.
    Usage(UsageError),
    /// A setting cannot be used.
    Config(ConfigError),
    /// `wss://` without TLS; the text says what to do.
    Tls(&'static str),
    /// The peer closed a byte stream with a code that does not stand for the end of its data, such as
    /// 1001 or 1011.
    Closed(CloseCode),
    /// A text message came on a byte stream, which is made of binary ones; the peer has been told so
    /// (1003).
    UnexpectedText,
    /// `recv` was called on a connection with [`Delivery::Chunks`](crate::proto::Delivery::Chunks).
    ChunkedDelivery,
}

impl Error {
    /// Whether the transport broke or ended without a closing handshake.
    pub fn is_disconnect(&self) -> bool {
        matches!(self, Self::Disconnected(_))
    }

    /// Whether the peer, or the network, took too long.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::HandshakeTimeout)
    }

    /// The code of the Close frame that told the peer about this, if one did.
    pub fn close_code(&self) -> Option<CloseCode> {
        match self {
            Self::Protocol(error) => Some(error.close_code()),
            Self::UnexpectedText => Some(CloseCode::UNSUPPORTED_DATA),
            _ => None,
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
            Self::Tls(text) => f.write_str(text),
            Self::Closed(code) => {
                write!(f, "the peer closed with {code}, so its data may be incomplete")
            }
            Self::UnexpectedText => f.write_str(
                "a text message on a byte stream (1003): the peer has to send binary messages",
            ),
            Self::ChunkedDelivery => {
                f.write_str("recv delivers whole messages: with Delivery::Chunks take next_event")
            }
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Disconnected(Some(error)) | Self::Io(error) => Some(&**error),
            _ => None,
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
        Self::Handshake(error)
    }
}

impl From<Refused> for Error {
    fn from(response: Refused) -> Self {
        Self::Refused(Arc::new(response))
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

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Disconnected(Some(source)) | Error::Io(source) => source.kind(),
            Error::Disconnected(None) => io::ErrorKind::UnexpectedEof,
            Error::Protocol(_) | Error::Handshake(_) | Error::UnexpectedText => {
                io::ErrorKind::InvalidData
            }
            Error::Send(SendError::NotOpen) => io::ErrorKind::BrokenPipe,
            Error::Closed(_) => io::ErrorKind::ConnectionAborted,
            Error::Timeout(_) | Error::HandshakeTimeout => io::ErrorKind::TimedOut,
            Error::Refused(_) => io::ErrorKind::ConnectionRefused,
            _ => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

/// For the adapters' `connect`.
pub(crate) const WSS_NEEDS_TLS: &str = "`wss://` needs TLS, which this crate does not bring: \
    connect a TLS stream to the host and hand it to `client`";

#![forbid(unsafe_code)]

use alloc::boxed::Box;
use core::fmt;
use std::io;

use super::backplane::PublishError;
use super::http::route::PathError;
use crate::config::ConfigError;
use crate::handshake::UsageError;
use crate::proto::SendError;
#[cfg(feature = "rustls")]
use crate::tls::TlsError;

/// An invalid set-up, or the want of a socket: a server cannot run.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerError {
    /// The address is none of `ws://HOST:PORT`, `wss://HOST:PORT` and `HOST:PORT`.
    Address(Box<str>),
    /// A listener is for `wss://`, and there is no certificate for it: `Server::tls` was not
    /// called, or the feature `rustls` is off.
    Tls,
    /// There are certificates, and no listener is for `wss://`: all would be in the clear.
    #[cfg(feature = "rustls")]
    UnusedTls,
    /// A certificate that cannot be used.
    #[cfg(feature = "rustls")]
    Certificate(TlsError),
    /// The operating system gave no socket for the address.
    Io(io::Error),
    /// An invalid path of a route or page.
    Path(PathError),
    /// A string that is not an origin.
    Origin(Box<str>),
    /// A string that is not the name of a subprotocol.
    Subprotocol(Box<str>),
    /// A string that is not a host.
    Host(Box<str>),
    /// A string that is neither an address nor a network.
    Network(Box<str>),
    /// A response that cannot be sent.
    Page {
        /// The path that it is for.
        path: Box<str>,
        /// The reason.
        error: UsageError,
    },
    /// An invalid setting.
    Config(ConfigError),
    /// An invalid setting of a route.
    Route {
        /// The path that it is for.
        path: Box<str>,
        /// What is wrong.
        error: Box<Self>,
    },
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(
                f,
                "{address:?} is no address to listen on: write `ws://HOST:PORT` or \
                 `wss://HOST:PORT` without a path, such as `ws://127.0.0.1:8181`"
            ),
            Self::Tls => f.write_str(match cfg!(feature = "rustls") {
                true => {
                    "`wss://` needs a certificate: call `Server::tls` with \
                     `Tls::from_pem_files(CERTIFICATE, KEY)`, or listen on `ws://` behind a proxy \
                     that ends TLS"
                }
                false => {
                    "`wss://` needs the feature `rustls` of this crate: turn it on and call \
                     `Server::tls`, or listen on `ws://` behind a proxy that ends TLS"
                }
            }),
            #[cfg(feature = "rustls")]
            Self::UnusedTls => f.write_str(
                "`Server::tls` was called, and all listeners are without TLS: listen on \
                 `wss://HOST:PORT`, or take a listener with `Server::from_tls_listener`",
            ),
            #[cfg(feature = "rustls")]
            Self::Certificate(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
            Self::Path(error) => error.fmt(f),
            Self::Origin(origin) => write!(
                f,
                "{origin:?} is no origin: write `https://HOST` or `https://HOST:PORT`, without a \
                 path and without a slash at the end"
            ),
            Self::Subprotocol(name) => write!(
                f,
                "{name:?} is no name of a subprotocol: write letters, digits, `.`, `-` and their \
                 like, without spaces and commas"
            ),
            Self::Host(host) => write!(
                f,
                "{host:?} is no host: write `example.com`, `example.com:8181`, or `*.example.com` \
                 for all names under it, without a scheme"
            ),
            Self::Network(network) => write!(
                f,
                "{network:?} is no network: write an address, or the first address and the number \
                 of bits that all have in common, such as `10.0.0.0/8`"
            ),
            Self::Page { path, error } => write!(f, "the page at {path:?}: {error}"),
            Self::Config(error) => error.fmt(f),
            Self::Route { path, error } => write!(f, "the route at {path:?}: {error}"),
        }
    }
}

impl core::error::Error for ServerError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        // the texts have those of the wrapped errors in them
        match self {
            Self::Io(error) => error.source(),
            Self::Path(error) => error.source(),
            Self::Page { error, .. } => error.source(),
            Self::Config(error) => error.source(),
            Self::Route { error, .. } => error.source(),
            #[cfg(feature = "rustls")]
            Self::Certificate(error) => error.source(),
            #[cfg(feature = "rustls")]
            Self::UnusedTls => None,
            Self::Address(_)
            | Self::Tls
            | Self::Origin(_)
            | Self::Subprotocol(_)
            | Self::Host(_)
            | Self::Network(_) => None,
        }
    }
}

impl From<io::Error> for ServerError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[cfg(feature = "rustls")]
impl From<TlsError> for ServerError {
    fn from(error: TlsError) -> Self {
        Self::Certificate(error)
    }
}

impl From<PathError> for ServerError {
    fn from(error: PathError) -> Self {
        Self::Path(error)
    }
}

impl From<ConfigError> for ServerError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<ServerError> for io::Error {
    fn from(error: ServerError) -> Self {
        match error {
            ServerError::Io(error) => error,
            error => Self::new(io::ErrorKind::InvalidInput, error),
        }
    }
}

/// The reason why a message or a Close was not queued for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TrySendError {
    /// The client is closing or gone. Drop what was kept of it.
    Closed,
    /// So much waits for the client already: it reads too slowly, or it was sent too much at once.
    Full {
        /// The messages that wait.
        messages: usize,
        /// Their bytes, and 64 for each of them.
        bytes: usize,
    },
    /// No connection could send it.
    Invalid(SendError),
    /// It is for a client of another server, which could not be told by the backplane. Whether the
    /// client is still there is not known.
    NotPublished(PublishError),
}

impl fmt::Display for TrySendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the client is closing or gone: forget it"),
            Self::Full { messages, bytes } => write!(
                f,
                "{messages} messages of together {bytes} bytes wait for the client: send it less, \
                 wait for Client::writable, or raise Server::max_queued_bytes and \
                 Server::max_burst_bytes"
            ),
            Self::Invalid(error) => error.fmt(f),
            Self::NotPublished(error) => {
                write!(f, "the server of the client was not told: ")?;
                match error {
                    PublishError::Away => f.write_str("the backplane is not connected"),
                    PublishError::Full { queued, limit } => {
                        write!(f, "{queued} bytes wait for the backplane where {limit} may")
                    }
                    PublishError::Subject => f.write_str("the backplane cannot have its subject"),
                    PublishError::Length { len, limit } => {
                        write!(f, "the message takes {len} bytes where the backplane takes {limit}")
                    }
                }
            }
        }
    }
}

impl core::error::Error for TrySendError {}

/// The reason why a client did not enter a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JoinError {
    /// The client is gone.
    Closed,
    /// It is in as many rooms as
    /// [`Server::max_rooms_per_client`](super::Server::max_rooms_per_client) allows.
    TooManyRooms {
        /// The limit.
        limit: usize,
    },
    /// The name is longer than [`Server::max_room_name_len`](super::Server::max_room_name_len)
    /// allows.
    NameTooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit.
        limit: usize,
    },
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the client is gone: forget it"),
            Self::TooManyRooms { limit } => write!(
                f,
                "the client is in {limit} rooms: leave one first, or raise \
                 Server::max_rooms_per_client"
            ),
            Self::NameTooLong { len, limit } => write!(
                f,
                "the name of a room has {len} bytes where {limit} are allowed: choose a shorter \
                 one, or raise Server::max_room_name_len"
            ),
        }
    }
}

impl core::error::Error for JoinError {}

/// The reason why a stream was not taken by [`ServerHandle::accept`](super::ServerHandle::accept).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServeError {
    /// The server does not run yet, shuts down, or is over.
    NotRunning,
    /// [`Server::max_pending`](super::Server::max_pending) handshakes are under way, and none of
    /// them gives way.
    TooManyPending,
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRunning => {
                "the server does not run: call Server::run first, and accept nothing \
                                 once it shuts down"
            }
            Self::TooManyPending => {
                "too many handshakes are under way: drop the stream, or raise \
                                     Server::max_pending"
            }
        })
    }
}

impl core::error::Error for ServeError {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::config::Config;
    use crate::error::check_chain;

    #[test]
    fn nothing_is_said_twice_and_nothing_is_left_out() {
        let config = Config::new().max_fragments(0).check().unwrap_err();
        let usage = UsageError::InvalidStatus(99);
        let (usage_text, config_text) = (usage.to_string(), config.to_string());
        for (error, wrapped) in [
            (ServerError::Address("x y".into()), Some("x y")),
            (ServerError::Tls, None),
            (io::Error::other("address in use").into(), Some("address in use")),
            (ServerError::Origin("y".into()), Some("\"y\"")),
            (ServerError::Page { path: "/p".into(), error: usage }, Some(&*usage_text)),
            (config.into(), Some(&*config_text)),
        ] {
            check_chain(&error, wrapped);
            check_chain(&io::Error::from(error), wrapped);
        }
        let full = SendError::BufferFull { unsent: 2, limit: 1 };
        check_chain(&TrySendError::Invalid(full), Some(&full.to_string()));
    }
}

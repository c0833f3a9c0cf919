use core::fmt;
use core::net::SocketAddr;
use std::io;

use crate::error::Error;
#[cfg(feature = "rustls")]
use crate::tls::TlsError;

/// An event for the log; see [`Server::on_log`](crate::server::Server::on_log). Its `Display` is
/// one line.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum LogEvent<'a> {
    /// A request that is not HTTP, or not a valid handshake, or came too slowly. Port scanners and
    /// probes of load balancers do this all day.
    BadRequest {
        /// The address that it came from: a proxy, if there is one.
        peer_addr: SocketAddr,
        /// The reason. [`Error::Disconnected`] and
        /// [`HandshakeError::Incomplete`](crate::handshake::HandshakeError::Incomplete) mean that
        /// the peer has left.
        error: &'a Error,
    },
    /// A connection from a network of
    /// [`Server::proxy_protocol`](crate::server::Server::proxy_protocol) did not begin with a valid
    /// header, or not in time. It was closed.
    BadProxyHeader {
        /// The address that it came from: that of the proxy.
        peer_addr: SocketAddr,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A connection to a listener for `wss://` did not become one of TLS, or not in time. Port
    /// scanners do this all day; so does a client that does not know the certificate authority.
    #[cfg(feature = "rustls")]
    TlsFailed {
        /// The address that it came from: a proxy, if there is one.
        peer_addr: SocketAddr,
        /// The reason.
        reason: &'a str,
    },
    /// The files of a certificate have changed and cannot be used. The certificate stays as it was,
    /// and the files are tried again.
    #[cfg(feature = "rustls")]
    CertificateNotReloaded(&'a TlsError),
    /// A valid handshake was refused, by the server or by a handler.
    Refused {
        /// The address that it came from: a proxy, if there is one.
        peer_addr: SocketAddr,
        /// The path it asked for.
        path: &'a str,
        /// The status of the answer: 400 for what a trusted proxy should not have said, 403 for the
        /// origin, 404 for a path without a route, 421 for another host, 429 and 503 for too many
        /// connections, or what the handler said.
        status: u16,
    },
    /// Connections cannot be accepted, most likely for want of descriptors. Logged once in ten
    /// seconds; the server tries again until it succeeds.
    AcceptFailed(&'a io::Error),
    /// A handler panicked. Its message is printed by the panic hook.
    Panic {
        /// The address of the other end: of a proxy, if there is one.
        peer_addr: SocketAddr,
        /// The path that the client asked for.
        path: &'a str,
    },
    /// The connection to the engine of the [backplane](crate::server::backplane) is lost: messages
    /// reach the clients of this server alone, and those of other servers are lost to them. It is
    /// made again as soon as possible.
    BackplaneDown {
        /// What the engine says.
        reason: &'a str,
    },
    /// The connection is there again, with all subscriptions.
    BackplaneUp,
    /// Messages of another server have not arrived by the backplane: it could not publish them, or
    /// they were lost on their way. Logged when a later one comes to the same room, at most once
    /// in ten seconds for each server; [`BackplaneStats::missed`] counts all.
    ///
    /// [`BackplaneStats::missed`]: crate::server::backplane::BackplaneStats::missed
    BackplaneMissed {
        /// The upper half of the ids of its clients.
        server: u32,
        /// How many, since the log was told of that server last.
        messages: u64,
    },
}

/// The importance of a [`LogEvent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Level {
    /// Happens all day on any open port.
    Debug,
    /// A client that speaks the protocol was turned away; or something is well again.
    Info,
    /// Something that an operator has to look at, such as the want of descriptors.
    Warn,
    /// A mistake in the program.
    Error,
}

impl LogEvent<'_> {
    /// Returns how much it matters.
    pub fn level(&self) -> Level {
        match self {
            Self::BadRequest { .. } => Level::Debug,
            #[cfg(feature = "rustls")]
            Self::TlsFailed { .. } => Level::Debug,
            #[cfg(feature = "rustls")]
            Self::CertificateNotReloaded(_) => Level::Warn,
            Self::Refused { status: 429 | 503, .. }
            | Self::AcceptFailed(_)
            | Self::BadProxyHeader { .. }
            | Self::BackplaneDown { .. }
            | Self::BackplaneMissed { .. } => Level::Warn,
            Self::Refused { status: 500, .. } | Self::Panic { .. } => Level::Error,
            Self::Refused { .. } | Self::BackplaneUp => Level::Info,
        }
    }
}

impl fmt::Display for LogEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRequest { peer_addr, error } => {
                write!(f, "{peer_addr}: no valid request: {error}")
            }
            Self::BadProxyHeader { peer_addr, reason } => {
                write!(f, "{peer_addr}: no PROXY header: {reason}")
            }
            #[cfg(feature = "rustls")]
            Self::TlsFailed { peer_addr, reason } => write!(f, "{peer_addr}: no TLS: {reason}"),
            #[cfg(feature = "rustls")]
            Self::CertificateNotReloaded(error) => {
                write!(f, "a certificate stays as it was: {error}")
            }
            Self::Refused { peer_addr, path, status } => {
                write!(f, "{peer_addr} at {path:?}: refused with status {status}")
            }
            Self::AcceptFailed(error) => {
                write!(f, "connections cannot be accepted, trying again: {error}")
            }
            Self::Panic { peer_addr, path } => {
                write!(f, "{peer_addr} at {path:?}: a handler panicked")
            }
            Self::BackplaneDown { reason } => {
                write!(f, "the backplane is away, other servers are not reached: {reason}")
            }
            Self::BackplaneUp => f.write_str("the backplane is back, other servers are reached"),
            Self::BackplaneMissed { server, messages } => {
                write!(f, "{messages} messages of server {server:08x} did not arrive")
            }
        }
    }
}

use core::fmt;
use core::net::SocketAddr;
use std::io;

use crate::error::Error;

/// Something for the log; see [`Server::on_log`](crate::server::Server::on_log). Its `Display` is one line.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum LogEvent<'a> {
    /// What came was no request of HTTP, or no valid handshake, or came too slowly. Port scanners and
    /// probes of load balancers do this all day.
    BadRequest {
        /// Who sent it: a proxy, if there is one.
        peer_addr: SocketAddr,
        /// What was wrong with it. [`Error::Disconnected`] and
        /// [`HandshakeError::Incomplete`](crate::handshake::HandshakeError::Incomplete) are those who left.
        error: &'a Error,
    },
    /// A valid handshake was refused, by the server or by a handler.
    Refused {
        /// Who sent it: a proxy, if there is one.
        peer_addr: SocketAddr,
        /// The path it asked for.
        path: &'a str,
        /// What it was answered: 400 for what a trusted proxy should not have said, 403 for the origin,
        /// 404 for a path without a route, 421 for another host, 429 and 503 for too many connections, or
        /// what the handler said.
        status: u16,
    },
    /// Connections cannot be accepted, most likely for want of descriptors. Told once in ten seconds; the
    /// server tries again until it succeeds.
    AcceptFailed(&'a io::Error),
    /// A handler panicked. What it said is printed by the panic hook.
    Panic {
        /// Whose connection it was: a proxy's, if there is one.
        peer_addr: SocketAddr,
        /// The path that the client asked for.
        path: &'a str,
    },
}

/// How much a [`LogEvent`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Level {
    /// Happens all day on any open port.
    Debug,
    /// Somebody who speaks the protocol was turned away.
    Info,
    /// The server is short of something.
    Warn,
    /// A mistake in the program.
    Error,
}

impl LogEvent<'_> {
    /// How much it matters.
    pub fn level(&self) -> Level {
        match self {
            Self::BadRequest { .. } => Level::Debug,
            Self::Refused { status: 429 | 503, .. } | Self::AcceptFailed(_) => Level::Warn,
            Self::Refused { status: 500, .. } | Self::Panic { .. } => Level::Error,
            Self::Refused { .. } => Level::Info,
        }
    }
}

impl fmt::Display for LogEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRequest { peer_addr, error } => {
                write!(f, "{peer_addr}: no valid request: {error}")
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
        }
    }
}

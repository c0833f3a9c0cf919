#[cfg(not(target_has_atomic = "ptr"))]
use alloc::rc::Rc as Arc; // such a target has one core, and no `Arc`
#[cfg(target_has_atomic = "ptr")]
use alloc::sync::Arc;
use core::fmt;

use crate::handshake::HandshakeError;
use crate::handshake::client::Refused;
use crate::proto::Timeout;
use crate::wire::ProtocolError;

/// The way a WebSocket ended, other than by a closing handshake.
///
/// The text says all there is to say, that of the wrapped error included. Cheap to clone.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EndpointError {
    /// The opening handshake failed.
    Handshake(HandshakeError),
    /// The server refused the connection with this response.
    Refused(Arc<Refused>),
    /// The peer broke a rule of RFC 6455; it has been told so.
    Protocol(ProtocolError),
    /// The peer did not answer a ping or a Close in time, or a message did not come on.
    Timeout(Timeout),
    /// The transport ended without a closing handshake (close code 1006).
    Disconnected,
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(error) => error.fmt(f),
            Self::Refused(response) => response.fmt(f),
            Self::Protocol(error) => error.fmt(f),
            Self::Timeout(error) => error.fmt(f),
            Self::Disconnected => {
                f.write_str("the connection ended without a closing handshake (1006)")
            }
        }
    }
}

impl core::error::Error for EndpointError {}

impl From<HandshakeError> for EndpointError {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

impl From<Refused> for EndpointError {
    fn from(response: Refused) -> Self {
        Self::Refused(Arc::new(response))
    }
}

impl From<ProtocolError> for EndpointError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<Timeout> for EndpointError {
    fn from(timeout: Timeout) -> Self {
        Self::Timeout(timeout)
    }
}

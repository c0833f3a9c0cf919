//! The connection after its opening handshake: messages, control frames, closing, time-outs.
//!
//! [`Connection`] is the whole of it for one owner; [`Receiver`] and [`Sender`] are its two
//! directions for two owners. There is one type for both roles, and nothing in it reads a clock,
//! draws a random number or touches a socket.

mod closing;

mod connection;
#[cfg(feature = "deflate")]
mod deflation;
mod error;
pub(crate) mod event;
mod mask_keys;
pub(crate) mod message;
pub(crate) mod prepared;
mod receiver;
mod reply;
mod sender;
pub(crate) mod text;
mod timers;
mod writer;

pub use closing::{CloseInfo, Initiator, Outcome, State, Transport};
pub use connection::Connection;
pub use error::{SendError, Timeout};
pub(crate) use event::Event;
pub use event::{Binary, Chunk, Text};
pub(crate) use message::Message;
#[cfg(feature = "server")]
pub(crate) use message::PayloadRef;
pub use message::{MessageKind, MessageRef};
pub(crate) use prepared::PreparedMessage;
pub use receiver::Receiver;
pub(crate) use receiver::{MAX_DRAINED, Ready};
pub use reply::Reply;
pub use sender::Sender;
pub(crate) use text::Utf8Bytes;
pub use timers::Arrived;
pub(crate) use timers::LINGER;
pub use writer::MessageWriter;

/// Which end of the connection this is: it decides who masks and who closes TCP first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums)] // RFC 6455 knows these two
pub enum Role {
    /// The end that opened the connection. It masks what it sends.
    Client,
    /// The end that accepted the connection.
    Server,
}

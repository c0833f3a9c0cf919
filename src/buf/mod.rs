//! The two buffers of a connection. The caller owns them; the cursors live inside.
//!
//! Bytes are read straight into a [`RecvBuffer`] and written straight from a [`SendBuffer`], so
//! there is no copy between the socket and the protocol, and no byte can be unmasked twice or sent
//! twice. Both may be pooled: neither holds memory before it is first used.

mod memory;
mod recv;
mod send;

#[cfg(feature = "deflate")]
pub(crate) use recv::FIRST_PIECE;
pub(crate) use recv::Payload;
pub use recv::RecvBuffer;
pub use send::SendBuffer;

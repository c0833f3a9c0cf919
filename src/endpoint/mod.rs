//! One end of a WebSocket from its first byte to its last: the opening handshake, messages, closing
//! and the result as one state machine that does no I/O.
//!
//! [`Endpoint`] says what to do next with the transport ([`Step`]); its documentation has the loop.
//! The adapters of this crate run on it, and so can any other runtime, a game loop or a device. For
//! less than that, the layers below can be used alone: [`handshake`](crate::handshake) and
//! [`Connection`](crate::proto::Connection).
//!
#![forbid(unsafe_code)]
#![cfg_attr(feature = "getrandom", doc = include_str!("embedding.md"))] // its programs use it

#[allow(clippy::module_inception)] // the file is named after what it holds
mod endpoint;
mod error;
mod flow;
mod step;

pub use endpoint::Endpoint;
pub use error::EndpointError;
#[cfg(feature = "std")]
pub(crate) use flow::{Action, Flow, Unsent};
pub use step::Step;

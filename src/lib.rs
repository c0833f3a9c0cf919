//! RFC 6455 WebSockets without IO.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(unnameable_types, unreachable_pub)]
#![warn(clippy::alloc_instead_of_core, clippy::std_instead_of_alloc, clippy::std_instead_of_core)]
#![warn(clippy::unwrap_used)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

#[cfg(feature = "std")]
pub mod blocking;
pub mod buf;
#[cfg(feature = "std")]
mod entropy;
#[cfg(feature = "std")]
mod error;
pub mod handshake;
pub mod proto;
#[cfg(feature = "std")]
mod session;
#[cfg(feature = "tokio")]
pub mod tokio;
pub mod wire;

pub use bytes;
#[cfg(feature = "std")]
pub use error::Error;
pub use proto::{Config, Event, Message, PreparedMessage, Utf8Bytes};
pub use wire::{CloseCode, CloseFrame, ProtocolError};

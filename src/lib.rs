//! RFC 6455 WebSockets without IO.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod buf;
pub mod handshake;
pub mod proto;
pub mod wire;

pub use bytes;

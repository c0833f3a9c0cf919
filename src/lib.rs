//! RFC 6455 WebSockets: a sans-IO core, thin adapters for `std::net` and tokio, and an event
//! server.
//!
//! ```text
//! wire  <-  buf  <-  proto  <-  handshake  <-  endpoint      the core: no_std + alloc
//!            ^       /                            ^
//!            deflate            blocking (std)   tokio (feature)  <-  server (feature)
//! ```
//!
//! Arrows point at what a layer may use. Take what fits:
//!
//! - [`server`]: a server with events, clients that can be sent to from anywhere, rooms, and pages
//!   on the same port. Start there for a server.
//! - [`tokio`] and [`blocking`]: a socket with `recv` and `send`. Start there for a client; each
//!   has a client and a server in its first lines. [`client`] has what a client may set.
//! - [`endpoint::Endpoint`] between a [`buf::RecvBuffer`] and a [`buf::SendBuffer`]: a connection
//!   from its first byte to its last, for a runtime, a game loop or a device of your own. Its
//!   documentation is the manual for that.
//! - [`handshake`] and [`proto::Connection`]: its two halves by themselves, where another library
//!   does the rest.
//! - `deflate` (feature `deflate`): compressed messages, off until [`Config`] turns them on.
//! - [`wire`]: frame headers, masking, UTF-8 and close codes as plain functions.
//!
//! # What is where
//!
//! The caller owns the two buffers; the cursors live inside them. An [`Event`] borrows the receive
//! buffer only, so an answer can be written while it is held. Owning a message is one call away
//! ([`proto::Event::into_message`]) and copies only what is small.
//!
//! Errors come in two families. The peer was wrong: [`ProtocolError`], which knows its close code,
//! and [`handshake::HandshakeError`], which knows its HTTP status; the answer is in the send buffer
//! already. You were wrong: [`proto::SendError`], [`handshake::UsageError`],
//! [`crate::ConfigError`]; nothing was written, and the text says what to do instead. The adapters
//! have one [`Error`] for all of them.
//!
//! Every limit is a field of [`Config`].
//!
//! # Features
//!
//! - `std` (default): [`blocking`], randomness from the operating system, UTF-8 validation with
//!   vector instructions;
//! - `tokio` (default): [`tokio`];
//! - `server` (default): [`server`];
//! - `rustls`: `wss://` for clients, and TLS in [`server`];
//! - `rustls-no-provider`: `wss://` for clients, by a provider of cryptography that you hand over;
//! - `deflate` (default): compressed messages, RFC 7692. Its engine, `zlib-rs`, allocates through
//!   std, so this turns on `std`;
//! - `http`: requests and responses as the types of the crate `http`, for axum, hyper and h2: see
//!   [there](handshake#inside-another-http-stack);
//! - `tracing`: a span of the `tracing` crate for each connection of the event server, and its log
//!   as events;
//! - `cli`: the program `sansws`, for a command line. It brings nothing for other programs.
//!
//! A feature adds API and never changes behaviour.
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
mod cidr;
#[cfg(feature = "std")]
pub mod client;
mod config;
#[cfg(feature = "deflate")]
pub mod deflate;
#[cfg(feature = "std")]
mod driver;
pub mod endpoint;
#[cfg(feature = "std")]
mod entropy;
#[cfg(feature = "std")]
mod error;
pub mod handshake;
#[cfg(feature = "std")]
mod intake;
#[cfg(feature = "std")]
mod io;
#[cfg(feature = "std")]
mod opening;
#[cfg(feature = "std")]
mod parts;
#[cfg(feature = "std")]
mod pool;
pub mod proto;
#[cfg(feature = "std")]
mod race;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "std")]
mod tls;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(feature = "std")]
mod way;
pub mod wire;

pub use bytes;
pub use config::{Config, ConfigError, KeepAlive};
#[cfg(feature = "std")]
pub use error::Error;
#[cfg(feature = "std")]
pub use parts::Parts;
pub use proto::event::Event;
pub use proto::message::Message;
pub use proto::prepared::PreparedMessage;
pub use proto::text::Utf8Bytes;
pub use wire::close::{CloseCode, CloseFrame};
pub use wire::error::ProtocolError;

/// The programs in the README.
#[cfg(all(doctest, feature = "server"))]
#[doc = include_str!("../README.md")]
struct Readme;

//! RFC 6455 WebSockets: a sans-IO core, thin adapters for `std::net` and tokio, and an event
//! server.
//!
//! ```text
//! wire  <-  buf  <-  proto  <-  handshake  <-  endpoint      the core: no_std + alloc
//!            ^       /                            ^
//!            deflate            blocking (std)   tokio (feature)  <-  server (feature)
//! ```
//!
//! Arrows point at what a layer may use. The [guides](guide) are pages to read:
//! [Getting started](guide::getting_started) is ten minutes, and if you know another library there
//! is [a table](guide::coming_from).
//!
#![doc = include_str!("map.md")]
//!
//! # What is where
//!
//! The caller owns the two buffers; the cursors live inside them. An [`Event`] borrows the receive
//! buffer only, so an answer can be written while it is held. Owning a message is one call away
//! ([`proto::Event::into_message`]) and copies only what is small. A steady echo allocates nothing,
//! and large messages go back out without a copy.
//!
//! Errors come in two families. The peer was wrong: [`ProtocolError`], which knows its close code,
//! and [`handshake::HandshakeError`], which knows its HTTP status; the answer is in the send buffer
//! already. You were wrong: [`proto::SendError`], [`handshake::UsageError`],
//! [`ConfigError`]; nothing was written, and the text says what to do instead. The adapters
//! have one [`Error`] for all of them.
//!
//! Each limit of a connection is a field of [`Config`]; the event server has others.
//!
//! # Features
//!
//! - `std` (default): [`blocking`], UTF-8 validation with vector instructions;
//! - `getrandom` (default, and with `tokio`): randomness from the operating system, for clients.
//!   Without it they take that of [`client::set_random_source`], and the core a seed;
//! - `tokio` (default): [`tokio`];
//! - `server` (default): [`server`];
//! - `rustls`: `wss://` for clients, and TLS in [`server`];
//! - `rustls-no-provider`: `wss://` for clients, by a provider of cryptography that you hand over;
//! - `deflate` (default): compressed messages, RFC 7692. Its engine, `zlib-rs`, allocates through
//!   std, so this turns on `std`;
//! - `http`: requests and responses as the types of the crate `http`, for axum, hyper and h2: see
//!   [there](handshake#inside-another-http-stack);
//! - `redis`, `nats`: engines of the backplane, which joins event servers;
//! - `tracing`: a span of the `tracing` crate for each connection of the event server, and its log
//!   as events;
//! - `cli`: the program `sansws`, for a command line. It brings nothing for other programs.
//!
//! A feature adds API and never changes behaviour, but for `getrandom`: without it clients need
//! `client::set_random_source`.
//!
//! # Targets
//!
//! Without features all that is needed is an allocator: `thumbv7em-none-eabihf`,
//! `wasm32-unknown-unknown` and 32 bits are built for every change. [`endpoint`] says what else a
//! host has to have, and how large it gets.
//!
//! - **No compare-and-swap** (`thumbv6m-none-eabi`, `riscv32imc`): turn on `bytes/extra-platforms`
//!   in your program, and one of the features of `portable-atomic` that say how it is done there
//!   (`unsafe-assume-single-core`, `critical-section`); `examples/embedded/Cargo.toml` does. What
//!   the crate has in an `Arc` is in an `Rc` then, and so not `Send`.
//! - **WebAssembly in a browser**: `default-features = false` with `std` and `deflate` as you like
//!   compiles as it is. For clients, give [`client::set_random_source`] or the core
//!   `crypto.getRandomValues`, or turn on `getrandom` here and `getrandom = { version = "0.4",
//!   features = ["wasm_js"] }` in your program. `wasm32-wasip1` needs none of that.
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
#[cfg(all(any(doc, doctest), feature = "server", feature = "deflate"))]
pub mod guide;
pub mod handshake;
#[cfg(feature = "std")]
mod intake;
#[cfg(feature = "std")]
mod io;
#[cfg(all(test, sansws_model))]
#[path = "../tests/models/explore.rs"]
mod models;
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
mod sync;
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

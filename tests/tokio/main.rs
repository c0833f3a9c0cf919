//! The tokio adapter: over TCP, over pipes in memory, and over transports that misbehave.
#![allow(missing_docs)]

#[path = "../adapters_support/wire.rs"]
mod wire;

mod bounds;
mod byte_stream;
mod cancel;
#[cfg(feature = "deflate")]
mod compression;
mod corners;
#[cfg(feature = "deflate")]
mod encoding;
mod ends;
mod faulty;
mod flushing;
mod handshake;
mod liveness;
mod messages;
mod peer;
mod sizes;
mod stream_sink;
mod turns;
mod two_tasks;
mod upgrade;

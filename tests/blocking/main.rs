//! The blocking adapter: over TCP and Unix sockets, and over streams that misbehave.
#![allow(missing_docs)]

#[path = "../adapters_support/wire.rs"]
mod wire;

mod both_ways;
mod byte_stream;
mod cannot;
mod corners;
mod ends;
mod faulty;
mod handshake;
mod messages;
mod nonblocking;

mod peer;
mod script;
mod timeouts;
mod upgrade;

//! The state machine over handshake, messages, closing and the end, driven in memory.
#![allow(missing_docs, clippy::unwrap_used)]

mod driver;
mod handshake;
mod messages;
mod the_end;
mod transports;

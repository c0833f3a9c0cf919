//! The event server, over loopback: with the crate's own client, and byte by byte.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../adapters_support/wire.rs"]
mod wire;

mod ageing;
mod crowd;
mod descriptors;
mod events;
mod forwarded;
mod handshakes;
mod hosts;
mod hub;
mod pages;
mod pending;
#[path = "../support/mod.rs"]
mod processes;
mod receiving;
mod runtimes;
mod sending;
mod settings;
mod shutdown;
mod slow;
mod streams;
mod support;
mod turns;
mod waiting;

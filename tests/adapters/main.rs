//! The adapters, each with its sockets whole and in halves: over real sockets, over pipes in
//! memory, and over transports that misbehave.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

#[cfg(feature = "std")]
mod blocking;
#[cfg(all(unix, feature = "tokio"))]
mod contracts;
#[cfg(feature = "std")]
mod parts;
#[cfg(feature = "std")]
mod stampede;
#[cfg(feature = "tokio")]
mod tokio;

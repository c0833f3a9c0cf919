//! The examples as they are started by hand, against programs that others have written.
//!
//! `cargo test` builds the examples; `cargo test --test programs` does not. `tests/attacks.rs` has
//! the programs that mean harm: they take all of the machine, so nothing runs beside them.
#![allow(missing_docs, clippy::unwrap_used)]

#[cfg(all(feature = "server", feature = "deflate"))]
mod backplane;
#[cfg(all(feature = "server", feature = "deflate"))]
mod browser;
#[cfg(all(feature = "server", feature = "deflate"))]
mod deflate;
#[cfg(feature = "std")]
mod embedded;
#[cfg(feature = "tokio")]
mod interop;
#[cfg(all(feature = "server", target_os = "linux"))] // where the kernel spreads connections
mod reuse_port;
#[cfg(all(feature = "server", target_os = "linux"))] // which has systemd, and resets queues
mod service;

//! The core and the opening handshake, in memory: no sockets, no clocks.
//!
//! | module | tests |
//! |---|---|
//! | `rfc6455` | RFC 6455, section by section |
//! | `rfc7692` | RFC 7692, compressed messages; `zlib` holds them against C zlib |
//! | `handshake` | the opening handshake, both ends |
//! | `endpoint` | both of them in one state machine |
//! | `properties` | what holds for any input |
//! | `texts`, `values` | what a person reads, and what a program compares |
//! | `fuzz` | what the fuzzers check, on their seeds |
//!
//! An id like F-12 or D-31 is a row of `tests/conformance/map.txt`.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod endpoint;
mod fuzz;
mod handshake;
mod properties;
mod rfc6455;
#[cfg(feature = "deflate")]
mod rfc7692;
mod texts;
mod values;
#[cfg(feature = "deflate")]
mod zlib;

//! How much memory things take, by the account of an allocator that counts.
//!
//! The account is the process's: each of these tests starts the program again and runs in a process
//! of its own, one after the other.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

#[cfg(all(feature = "tokio", target_os = "linux"))]
mod adapters;
mod allocations;
#[cfg(all(feature = "tokio", target_os = "linux"))]
mod bounded;
mod completion;
#[cfg(feature = "deflate")]
mod deflate;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "rustls")]
mod tls;

#[global_allocator]
static ALLOCATOR: sansws_test::counting::Counting = sansws_test::counting::Counting;

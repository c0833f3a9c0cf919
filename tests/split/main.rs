//! The halves of a split socket, in tasks and in threads of their own.
#![cfg(feature = "tokio")]
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod answers;
mod backlog;
mod endings;
mod full_duplex;
mod peer;
mod senders;
mod threads;
mod threads_endings;
mod timeouts;
mod wire;

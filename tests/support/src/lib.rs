//! What the tests of `sansws` share.
//!
//! | module | holds |
//! |---|---|
//! | [`wire`] | [`Frame`]s: made and read without the crate under test |
//! | [`pair`] | [`End`](pair::End) and [`Pair`](pair::Pair): connections in memory, for the core |
//! | [`peer`] | a [`Peer`](peer::Peer) on an asynchronous stream, and [`within`] |
//! | [`blocking`] | the same on a blocking stream |
//! | [`process`] | programs, the examples among them, and what tests do without them |
//! | [`system`] | what Linux tells about processes |
//! | [`certificates`] | an [`Authority`](certificates::Authority) and what it signs, by openssl |
//! | [`counting`] | an allocator that counts |
//! | [`inflate`] | DEFLATE, read without the crate under test |
//!
//! It depends on the core alone, so that the tests of any set of features can use it. What makes
//! sockets of an adapter stands with the tests of that adapter.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)] // it is for tests

pub mod blocking;
pub mod certificates;
pub mod counting;
pub mod inflate;
mod log;
pub mod pair;
pub mod peer;
pub mod process;
pub mod system;
pub mod wire;

pub use log::Log;
pub use peer::{set_patience, within};
pub use wire::Frame;

//! The program `sansws`: in pipes, and in a terminal as a person uses it.
#![cfg(feature = "cli")]
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod bench;
mod check;
mod connect;
mod serve;
mod support;
mod terminal;

//! Properties that hold for all inputs, checked on random ones, in both roles.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

#[path = "../rfc6455/pair.rs"]
#[allow(dead_code)] // every test target uses a part of it
mod pair;

mod closing;
mod emitted;
mod mask_keys;
mod messages;
mod reference;
mod splits;
mod wire;

//! The source against its own rules: which layer may know which, that every rule of the RFCs has a
//! test, where `unsafe` may stand, how long a line may be, and that links lead somewhere.
#![allow(missing_docs, clippy::unwrap_used)]

mod conformance;
mod layering;
mod links;
mod parity;
mod unsafety;
mod width;

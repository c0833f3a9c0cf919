//! The source against its own rules: which layer may know which, that every rule of the RFCs has a
//! test and every promise a proof, where `unsafe` may stand, how long a line may be, that links
//! lead somewhere, that pages are whole, and that the index of the examples is complete.
#![allow(missing_docs, clippy::unwrap_used)]

mod conformance;
mod examples;
mod guide;
mod layering;
mod links;
mod parity;
mod promises;
mod unsafety;
mod width;

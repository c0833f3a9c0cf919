//! The source against its own rules: which layer may know which, that every rule of the RFCs has a
//! test, how long a line may be, that links lead somewhere, and that pages are whole.
#![allow(missing_docs, clippy::unwrap_used)]

mod conformance;
mod guide;
mod layering;
mod links;
mod parity;
mod width;

//! Log events and counters.
#![forbid(unsafe_code)]

pub(crate) mod event;
mod openmetrics;
pub(crate) mod stats;
mod table;
pub(crate) mod tally;
#[cfg(feature = "tracing")]
pub(crate) mod trace;

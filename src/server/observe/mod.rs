//! Log events and counters.

pub(crate) mod event;
pub(crate) mod stats;

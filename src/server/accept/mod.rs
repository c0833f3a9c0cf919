//! Admission: from an accepted stream to a connection or an answer.
#![forbid(unsafe_code)]

#[allow(clippy::module_inception)] // the file is named after what it holds
pub(crate) mod accept;
pub(crate) mod acceptor;
pub(crate) mod external;
pub(crate) mod lifecycle;
mod network;
pub(crate) mod pending;
pub(crate) mod permits;
pub(crate) mod plain;
pub(crate) mod proxy;
pub(crate) mod refusal;
#[cfg(feature = "rustls")]
mod secure;
mod slab;

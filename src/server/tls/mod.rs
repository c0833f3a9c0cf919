//! TLS on the server's own port: certificates, and how they are renewed while it runs.
#![forbid(unsafe_code)]

pub(crate) mod certificate;
#[allow(clippy::module_inception)] // the file is named after what it holds
pub(crate) mod tls;

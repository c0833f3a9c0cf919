//! Certificates and keys in PEM form, for the event server and for clients, and why a client has no
//! TLS.
#![forbid(unsafe_code)]

#[cfg(feature = "rustls-no-provider")]
mod error;
mod failure;
#[cfg(feature = "rustls-no-provider")]
pub(crate) mod pem;

#[cfg(feature = "rustls-no-provider")]
pub use error::TlsError;
pub use failure::TlsFailure;

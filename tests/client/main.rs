//! Clients with settings, in both adapters: TLS, proxies, redirects, coming back. Over loopback,
//! against the event server and against programs that are not ours.
#![cfg(feature = "server")]
#![allow(missing_docs, clippy::unwrap_used)]

#[cfg(feature = "rustls")]
mod certificates;
#[cfg(feature = "rustls")]
mod peers;
mod support;
#[cfg(feature = "rustls")]
mod tls;

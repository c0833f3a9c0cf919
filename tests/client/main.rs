//! Clients in both adapters, over loopback: TLS, proxies, redirections, and what refusals say;
//! against the event server, and against programs that are not ours.
#![cfg(feature = "server")]
#![allow(missing_docs, clippy::unwrap_used)]

#[cfg(feature = "rustls")]
mod certificates;
#[cfg(feature = "rustls")]
mod peers;
mod proxies;
mod redirects;
mod streams;
mod support;
mod texts;
#[cfg(feature = "rustls")]
mod tls;

//! Clients with TLS, in both adapters, over loopback: against the event server, and against
//! programs that are not ours.
#![cfg(all(feature = "server", feature = "rustls"))]
#![allow(missing_docs, clippy::unwrap_used)]

mod certificates;
mod peers;
mod support;
mod tls;

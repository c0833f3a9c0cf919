//! The event server, over loopback: with the crate's own client, and byte by byte.
#![cfg(feature = "server")]
#![allow(missing_docs, clippy::unwrap_used)]

mod ageing;
mod backplane;
mod broadcasts;
mod comebacks;
mod crowd;
mod descriptors;
mod detached;
mod events;
mod forwarded;
mod guards;
mod handshakes;
mod hosts;
mod hub;
mod metrics;
mod openmetrics;
mod pages;
mod pending;
mod prometheus;
#[cfg(target_os = "linux")] // which has more than one address on its loopback interface
mod proxies;
#[cfg(target_os = "linux")] // as `proxies`
mod proxy_protocol;
mod publish;
mod rates;
mod receiving;
#[cfg(target_os = "linux")] // whose queues are reset with their listeners
mod restarts;
mod routes;
mod runtimes;
mod sending;
mod settings;
mod shutdown;
mod slow;
mod streams;
mod support;
#[cfg(feature = "rustls")]
mod tls;
mod topics;
#[cfg(feature = "tracing")]
mod tracing;
mod turns;
mod waiting;

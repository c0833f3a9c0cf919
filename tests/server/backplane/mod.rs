//! Servers that are joined by a backplane. What any engine has to do is in `common` and
//! `scenarios`.

mod altered;
#[cfg(any(feature = "redis", feature = "nats"))]
mod broker;
#[cfg(all(unix, any(feature = "redis", feature = "nats")))] // which has signals
mod cluster;
mod common;
mod cutting;
mod gaps;
mod memory;
#[cfg(feature = "nats")]
mod nats;
#[cfg(any(feature = "redis", feature = "nats"))]
mod outages;
mod presence;
#[cfg(feature = "redis")]
mod redis;
mod remembering;
#[cfg(any(feature = "redis", feature = "nats"))]
mod scenarios;
#[cfg(any(all(feature = "redis", feature = "rustls"), feature = "nats"))]
mod tls;

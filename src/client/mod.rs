//! A client with settings: TLS, headers, limits, one [`Connector`] for both adapters.
//!
//! For a URL and nothing else [`tokio::connect`](crate::tokio::connect) and
//! [`blocking::connect`](crate::blocking::connect) are enough, `wss://` included with the feature
//! `rustls`. A [`Connector`] has the rest, and connects as often as it is asked to:
//!
//! ```no_run
//! use sansws::client::Connector;
//! use sansws::Config;
//!
//! # fn run() -> Result<(), sansws::Error> {
//! let connector = Connector::new("wss://example.com/feed")?
//!     .bearer_auth("abc")
//!     .cookie("session", "41")
//!     .subprotocol("feed.v2")
//!     .config(Config::new().max_message_len(1 << 20));
//! let mut ws = connector.connect_blocking()?; // or `connect().await`
//! ws.send("hello")?;
//! # Ok(())
//! # }
//! ```
//!
//! # Connecting again
//!
//! `Reconnecting` of either adapter connects again when the connection is lost and the reason may
//! pass: [`tokio::Reconnecting`](crate::tokio::Reconnecting),
//! [`blocking::Reconnecting`](crate::blocking::Reconnecting). The delays are those of a
//! [`Backoff`], and [`Retries`] decides, without a clock, for any runtime.

mod connector;
mod reconnect;
#[cfg(feature = "rustls")]
pub(crate) mod tls;

#[cfg(feature = "rustls")]
pub use crate::tls::TlsError;
pub use crate::tls::TlsFailure;
pub use connector::Connector;
pub(crate) use connector::Way;
pub(crate) use reconnect::Outbox;
pub use reconnect::{Backoff, Lost, ReconnectEvent, Retries};
#[cfg(feature = "rustls")]
pub use tls::Tls;

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

mod connector;
#[cfg(feature = "rustls")]
pub(crate) mod tls;

#[cfg(feature = "rustls")]
pub use crate::tls::TlsError;
pub use crate::tls::TlsFailure;
pub use connector::Connector;
pub(crate) use connector::Way;
#[cfg(feature = "rustls")]
pub use tls::Tls;

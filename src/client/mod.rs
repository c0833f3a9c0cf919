//! A client with settings: TLS, proxies, redirections, headers, limits; one [`Connector`] for both
//! adapters.
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
//! - **Proxies**: [`Connector::proxy`] with [`Proxy::http`] (CONNECT), [`Proxy::socks5`], or, since
//!   a library should not do so by itself, [`Proxy::from_env`]. They work for `ws://` and `wss://`;
//!   an [`Error::Proxy`](crate::Error::Proxy) names the proxy and says what that answered.
//! - **Redirections** are followed on request, [`Connector::follow_redirects`], without taking
//!   secrets along or giving up TLS.
//! - **Refusals**: an [`Error::Refused`](crate::Error::Refused) has the status, the headers and the
//!   beginning of the body of the answer, and
//!   [`retry_after`](crate::handshake::client::Refused::retry_after) says when to come again. An
//!   answer in TLS, HTTP/2 or the PROXY protocol is named in the text of the error.
//! - **URLs** are `ws://` or `wss://`, a host and perhaps a port, path and query: no fragment, no
//!   user name or password ([`Connector::basic_auth`] has them), no zone behind an IPv6 address,
//!   and a `%` only where something is percent-encoded. The text of an error says what to do
//!   instead.
//! - **One time for all**: looking up names, connecting, proxies, TLS, the handshake and
//!   redirections together have [`Config::handshake_timeout`](crate::Config::handshake_timeout).
//!
//! # Connecting again
//!
//! `Reconnecting` of either adapter connects again when the connection is lost and the reason may
//! pass: [`tokio::Reconnecting`](crate::tokio::Reconnecting),
//! [`blocking::Reconnecting`](crate::blocking::Reconnecting). The delays are those of a
//! [`Backoff`], and [`Retries`] decides, without a clock, for any runtime.
#![forbid(unsafe_code)]

mod connector;
mod proxy;
mod reconnect;
mod redirect;
#[cfg(feature = "rustls-no-provider")]
pub(crate) mod tls;

pub use crate::entropy::set_random_source;
#[cfg(feature = "rustls-no-provider")]
pub use crate::tls::TlsError;
pub use crate::tls::TlsFailure;
pub use crate::way::{ProxyError, ProxyFailure, RedirectError};
pub use connector::Connector;
pub(crate) use connector::Way;
pub use proxy::Proxy;
pub(crate) use proxy::{Server, Tunnel};
pub use reconnect::{Backoff, Lost, ReconnectEvent, Retries};
pub(crate) use reconnect::{Next, Outbox};
#[cfg(feature = "rustls-no-provider")]
pub use tls::Tls;

//! WebSockets on tokio, over anything that is [`AsyncRead`](::tokio::io::AsyncRead) +
//! [`AsyncWrite`](::tokio::io::AsyncWrite).
//!
//! A client:
//!
//! ```no_run
//! # async fn run() -> Result<(), sansws::Error> {
//! let mut ws = sansws::tokio::connect("ws://127.0.0.1:9001/").await?;
//! ws.send("hello").await?;
//! println!("{:?}", ws.recv().await?);
//! ws.close(sansws::CloseCode::NORMAL, "").await?;
//! # Ok(())
//! # }
//! ```
//!
//! A server, for one connection:
//!
//! ```no_run
//! # async fn run(stream: tokio::net::TcpStream) -> Result<(), sansws::Error> {
//! let mut ws = sansws::tokio::accept(stream).await?;
//! while let Some(message) = ws.recv().await? {
//!     ws.feed(message)?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Who flushes
//!
//! [`send`](WebSocket::send) writes and flushes. [`feed`](WebSocket::feed) queues; the next
//! [`recv`](WebSocket::recv) or [`next_event`](WebSocket::next_event) writes what is queued before
//! it waits, so a burst of messages that arrived together is answered with one write. Pongs and the
//! reply to a Close leave the same way, without any call for them.
//!
//! # Time
//!
//! The runtime needs its time driver (`enable_time`, which `#[tokio::main]` has). Keep-alive pings go
//! out every 20 s unless [`Config::keep_alive`] says otherwise, while somebody waits in `recv`,
//! `next_event` or `send`.

mod accept;
mod connect;
mod halves;
mod lent;
mod link;
mod shared;
mod socket;
mod split;
mod stream;
mod timer;

use core::time::Duration;

pub use accept::{Incoming, accept, accept_with, read_request};
pub use connect::{client, connect, connect_with};
pub use halves::{Locked, LockedHalf, SplitStream};
pub use socket::{Outgoing, WebSocket};
pub use split::{Receiver, ReuniteError, Sender};

use crate::proto::{Config, KeepAlive};

/// The interval of keep-alive pings where [`KeepAlive::Auto`] stands.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// The configuration with the defaults of this adapter filled in.
const fn with_defaults(config: &Config) -> Config {
    match config.keep_alive {
        KeepAlive::Auto => config.keep_alive(KeepAlive::Every(PING_INTERVAL)),
        _ => *config,
    }
}

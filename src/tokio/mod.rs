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
//! # Reading ahead
//!
//! While [`Config::max_unsent`] bytes wait to be written, `recv` and `next_event` deliver nothing,
//! as there is no room for an answer. They go on reading meanwhile: 16 KiB to see that the peer
//! lives, and, where this end has read less than it has to send, as many bytes as were unsent. So
//! two ends that have both filled their buffers free each other, and an echo to a peer that never
//! reads holds no more for that.
//!
//! # Two tasks
//!
//! [`into_split`](WebSocket::into_split) (for `TcpStream`, `UnixStream` and `ClientStream`) and
//! [`split`](WebSocket::split) (for everything) give a [`Receiver`] and a [`Sender`] that can be
//! cloned. A task that only receives still answers pings and the peer's Close. Whole messages never
//! interleave, and no lock is held while anything waits.
//!
//! ```no_run
//! # type WebSocket = sansws::tokio::WebSocket<tokio::net::TcpStream>;
//! # async fn run(ws: WebSocket) -> Result<(), sansws::Error> {
//! let (mut receiver, sender) = ws.into_split();
//! tokio::spawn(async move { sender.send("from another task").await });
//! while let Some(message) = receiver.recv().await? {
//!     println!("{message:?}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! `StreamExt::split` of the `futures` crate works as well; a [`Sender`] is a `Sink` too. For a
//! `Sink` that takes pings and a Close beside messages, see [`WithControl`].
//!
//! # Turns
//!
//! A task that finds the next message in its buffer each time would keep its thread. So what is
//! received uses up tokio's [cooperative budget](::tokio::task::coop): 2 000 messages, or half a
//! megabyte that is parsed or inflated, and the task gives way. What a handler of yours computes is
//! not counted.
//!
//! # Beside the crate `tokio`
//!
//! Import the items of this module, not the module: `use sansws::tokio::{WebSocket, accept};`
//! leaves the name `tokio` to the crate. Where the module itself is wanted, rename it:
//! `use sansws::tokio as ws;`.
//!
//! # What sending says
//!
//! A socket in one piece and its halves say the same:
//!
//! | the connection | `feed`, `send` | `flush` | `close` |
//! |---|---|---|---|
//! | is open | `Ok` | `Ok` | `Ok` |
//! | is closing | [`NotOpen`](crate::proto::SendError::NotOpen) | `Ok` | `Ok` |
//! | was closed in good order | the same | `Ok` | `Ok` |
//! | has failed | how | how | how |
//!
//! Where both ends have closed in good order before all was written that this end had queued,
//! `feed` and `flush` say `Disconnected` from then on.
//!
//! `close` of a socket in one piece waits for the end and says how that came. That of a [`Sender`]
//! is done once everything is written, and the rest is for the [`Receiver`].
//!
//! `send` is `Ok` if the transport has taken the whole message, even if the connection failed
//! behind it; that the peer has it is for the peer to say. After
//! [`Error::Send`](crate::Error::Send) nothing of the message was taken. After any other error it
//! may have left whole, in part, or not at all.
//!
//! # A stream of bytes
//!
//! [`into_byte_stream`](WebSocket::into_byte_stream) makes an [`AsyncRead`](::tokio::io::AsyncRead)
//! and [`AsyncWrite`](::tokio::io::AsyncWrite) of the binary messages, for other protocols inside.
//!
//! # Another HTTP stack
//!
//! [`accept_with_prefix`] and [`read_request_with_prefix`] go on where another HTTP server has read
//! the request.
//! [`WebSocket::from_upgrade`] is for a server that reads the request and writes the response
//! itself, and [`WebSocket::from_accepted`] for a client that does the like, hyper and axum among
//! them: see [there](crate::handshake#inside-another-http-stack).
//!
//! # Dropping a future
//!
//! All state is in the socket and none in its futures, so every method may stand in a `select!`
//! loop. Dropping `recv` or `next_event` loses nothing. Dropping `send` never tears a frame: the
//! message was not taken, or it is queued whole and leaves with the next call.
//!
//! # When the network dies
//!
//! A keep-alive ping goes out every 20 s unless [`Config::keep_alive`] says otherwise. If no byte
//! comes in the 20 s of [`Config::pong_timeout`] after it, the call that waits ends with an error
//! whose [`is_timeout`](crate::Error::is_timeout) is true: 40 s after the cable was pulled at the
//! latest. This works while somebody waits in `recv`, `next_event` or `send`, also when a write is
//! blocked. [`round_trip`](WebSocket::round_trip) is measured on the way.
//!
//! An end of file without a closing handshake, and a connection reset, end in an error whose
//! [`is_disconnect`](crate::Error::is_disconnect) is true; with TLS, a stream that was cut off
//! without `close_notify` shows as [`Error::Disconnected`](crate::Error::Disconnected) with
//! [`UnexpectedEof`](std::io::ErrorKind::UnexpectedEof) inside, an orderly end without anything
//! inside.
//!
//! The timers need the runtime's time driver (`enable_time`, which `#[tokio::main]` has). A socket
//! stays with the runtime that it has waited in, and panics in its timers once that is dropped: to
//! move one, take it apart and put it together there (`into_parts`, `from_parts`).
//!
//! # Other runtimes
//!
//! What needs a running tokio: the timers of everything here, and the sockets of [`connect()`] and
//! the event server. The traits [`AsyncRead`](::tokio::io::AsyncRead) and
//! [`AsyncWrite`](::tokio::io::AsyncWrite) need none. So on smol, async-std or another runtime
//! whose streams have the traits of `futures-io`, the crate `async-compat` has both: `Compat::new`
//! of a stream gives it these traits, `Compat::new` of a future lends it the timers of a tokio in a
//! thread of its own.
//!
//! ```ignore
//! let stream = smol::net::TcpStream::connect("127.0.0.1:9001").await?;
//! let ws = async_compat::Compat::new(async {
//!     sansws::tokio::client(async_compat::Compat::new(stream), &request, &config).await
//! });
//! ```
//!
//! Every later call goes into such a future too; the whole task is the best place for it. (The
//! wrapper of `tokio_util` has the traits alone: the timers panic, "there is no reactor running".)
//! `examples/runtimes` has it as a program, `smol_compat`, and without any tokio, on
//! [`Endpoint`](crate::endpoint::Endpoint): `smol`.
//!
//! # Memory
//!
//! An idle socket holds no buffer: buffers are lent from a small pool of the thread while something
//! is in them. With its task, its timer and tokio's own part it costs about 1.5 KB of resident
//! memory (`cargo bench --bench idle_memory`), also after large messages. A thread keeps up to
//! eight buffers of each direction that no socket needs, of at most 256 KiB each, and one of up to
//! 4 MiB. What a peer can make it hold more is bounded: a message of [`Config::max_message_len`]
//! that is arriving, in a buffer of at most twice what has arrived, and [`Config::max_unsent`]
//! bytes and one message that it does not read. What is [read ahead](#reading-ahead) then is 16 KiB
//! or as many bytes as are unsent.
//!
//! Sizes on a 64-bit platform, in bytes, held to by a test:
//!
//! | | bytes |
//! |---|---|
//! | `WebSocket<TcpStream>` | 376 |
//! | `ByteStream<TcpStream>` | 392 |
//! | future of [`recv`](WebSocket::recv), [`flush`](WebSocket::flush) | 24 |
//! | future of [`next_event`](WebSocket::next_event) | 64 |
//! | future of [`send`](WebSocket::send) with a `&str` | 64 |
//! | the same with a [`Message`](crate::Message) | 112 |
//! | future of [`accept`] (the rest in a box, until it is done) | 48 |
#![forbid(unsafe_code)]

mod accept;
mod bytes;
mod client_stream;
mod connect;
#[cfg(feature = "server")]
mod exchange;
mod halves;
mod link;
#[cfg(all(test, sansws_model))]
#[path = "../../tests/models/tokio.rs"]
mod models;
mod opening;
mod pooled;
mod proxy;
mod reconnecting;
mod sending;
mod shared;
mod socket;
mod split;
mod stream;
mod timer;
mod tune;
mod turn;
mod waiting;
mod with_control;

use core::time::Duration;

#[cfg(feature = "server")]
pub(crate) use accept::Reading;
pub use accept::{
    Incoming, accept, accept_with, accept_with_prefix, read_request, read_request_with_prefix,
};
pub use bytes::ByteStream;
pub use client_stream::{ClientReadHalf, ClientStream, ClientWriteHalf};
pub use connect::{client, client_with_response, connect, connect_with, connect_with_response};
#[cfg(feature = "server")]
pub(crate) use exchange::Exchange;
pub use halves::{Locked, LockedHalf, SplitStream};
#[cfg(feature = "server")]
pub(crate) use link::Burst;
pub use reconnecting::Reconnecting;
pub use socket::{Outgoing, WebSocket};
pub use split::{Receiver, ReuniteError, Sender};
pub use tune::{tune, tune_listener};
pub use with_control::{Outbound, WithControl};

use crate::config::{Config, KeepAlive};

/// The interval of keep-alive pings, unless the application sets it. Twice within a minute: the
/// idle time-out of proxies, load balancers and NATs is seldom less.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Returns the settings with the defaults of this adapter filled in.
fn with_defaults(config: &Config) -> Config {
    config.clone().or(&Config::new().keep_alive(KeepAlive::Every(PING_INTERVAL)))
}

//! WebSockets on blocking streams: `std::net`, and anything that is [`Read`](std::io::Read) +
//! [`Write`](std::io::Write).
//!
//! A client:
//!
//! ```no_run
//! let mut ws = sansws::blocking::connect("ws://127.0.0.1:9001/")?;
//! ws.send("hello")?;
//! println!("{:?}", ws.recv()?);
//! ws.close(sansws::CloseCode::NORMAL, "")?;
//! # Ok::<(), sansws::Error>(())
//! ```
//!
//! A server, a thread for each connection:
//!
//! ```no_run
//! let listener = std::net::TcpListener::bind("127.0.0.1:9001")?;
//! for stream in listener.incoming() {
//!     let stream = stream?;
//!     std::thread::spawn(move || {
//!         let mut ws = sansws::blocking::accept(stream)?;
//!         while let Some(message) = ws.recv()? {
//!             ws.feed(message)?;
//!         }
//!         Ok::<(), sansws::Error>(())
//!     });
//! }
//! # Ok::<(), sansws::Error>(())
//! ```
//!
//! # Who flushes
//!
//! [`send`](WebSocket::send) writes and flushes. [`feed`](WebSocket::feed) queues; the next
//! [`recv`](WebSocket::recv) or [`next_event`](WebSocket::next_event) writes what is queued before
//! it waits. Pongs and the reply to a Close leave the same way, without any call for them.
//!
//! # Time
//!
//! A blocking stream can only be interrupted by the time-outs of its socket. [`Transport`] is how
//! they are set; for `TcpStream` and `UnixStream` that works by itself, so the handshake and closing
//! time-outs hold, and keep-alive does when [`Config::keep_alive`](crate::proto::Config::keep_alive)
//! turns it on. Other streams go in through [`Plain`], without time-outs, or bring a [`Transport`]
//! of their own.

mod accept;
mod connect;
mod link;
mod socket;
mod split;
mod transport;

pub use accept::{Incoming, accept, accept_with, read_request};
pub use connect::{client, connect, connect_with};
pub use socket::{Outgoing, WebSocket};
pub use split::{Receiver, ReuniteError, Sender, SplitTransport};
pub use transport::{Plain, Transport};

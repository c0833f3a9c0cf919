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
//! # Two threads
//!
//! [`split`](WebSocket::split) gives a [`Receiver`] and a [`Sender`] that can be cloned, for
//! `TcpStream`, `UnixStream` and any [`SplitTransport`]. A thread that only receives still answers
//! pings and the peer's Close; a thread that only sends learns from its next call that the connection
//! is over. Whole messages never interleave, and no lock is held during IO.
//!
//! ```no_run
//! # fn run(ws: sansws::blocking::WebSocket<std::net::TcpStream>) -> Result<(), sansws::Error> {
//! let (mut receiver, sender) = ws.split();
//! std::thread::spawn(move || sender.send("from another thread"));
//! while let Some(message) = receiver.recv()? {
//!     println!("{message:?}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # A stream of bytes
//!
//! [`into_byte_stream`](WebSocket::into_byte_stream) makes a [`Read`](std::io::Read),
//! [`BufRead`](std::io::BufRead) and [`Write`](std::io::Write) of the binary messages, for other protocols
//! inside.
//!
//! # Another HTTP server
//!
//! [`accept_upgraded`] and [`read_upgraded`] go on where another HTTP server has read the request.
//! [`WebSocket::from_upgrade`] is for a server that reads the request and writes the response itself, with
//! [`Request::from_parts`](crate::handshake::server::Request::from_parts).
//!
//! # When the network dies
//!
//! A blocking stream can only be interrupted by the time-outs of its socket. [`Transport`] is how
//! they are set; for `TcpStream` and `UnixStream` that works by itself, so the handshake and closing
//! time-outs hold. Keep-alive is off unless
//! [`Config::keep_alive`](crate::proto::Config::keep_alive) turns it on: without it, `recv` on a dead
//! network waits for ever, as a blocking `read` does. With it, the call that waits ends with an error
//! whose [`is_timeout`](crate::Error::is_timeout) is true, an eighth later at most than interval and
//! time-out say.
//!
//! Other streams go in through [`Plain`], without time-outs, or bring a [`Transport`] of their own.
//! A time-out that you set on the stream yourself ends `recv` with
//! [`Error::Io`](crate::Error::Io); nothing is lost, and it can be called again.
//!
//! An end of file without a closing handshake, and a connection reset, end in an error whose
//! [`is_disconnect`](crate::Error::is_disconnect) is true.
//!
//! # Memory
//!
//! A socket that waits in `read` holds its receive buffer,
//! [`Config::read_ahead`](crate::proto::Config::read_ahead) bytes; the thread's stack costs more. What
//! a peer can make it hold besides is bounded: a message of
//! [`Config::max_message_len`](crate::proto::Config::max_message_len) that is arriving, in a buffer of
//! at most twice what has arrived, and [`Config::max_unsent`](crate::proto::Config::max_unsent) bytes
//! and one message that it does not read.

mod accept;
mod bytes;
mod connect;
mod limit;
mod link;
mod shared_io;
mod socket;
mod split;
mod transport;

pub use accept::{Incoming, accept, accept_upgraded, accept_with, read_request, read_upgraded};
pub use bytes::{ByteReader, ByteStream, ByteWriter};
pub use connect::{client, connect, connect_with};
pub use shared_io::SplitTransport;
pub use socket::{Outgoing, WebSocket};
pub use split::{Receiver, ReuniteError, Sender};
pub use transport::{Plain, Transport};

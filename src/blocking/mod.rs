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
//! # Both directions
//!
//! No call waits for one direction while the other could get on. [`recv`](WebSocket::recv) goes on
//! reading while what is queued cannot be written, and [`send`](WebSocket::send) takes in what
//! arrives while the peer does not read, so that two ends that send to each other get through. What
//! is taken in has a bound: as many bytes as a message may have
//! ([`Config::max_message_len`](crate::Config::max_message_len)), 64 KiB where messages are
//! delivered in pieces. Two ends that both send more than that before they receive wait for each
//! other, as they would on TCP: take [`split`](WebSocket::split) and two threads there.
//!
//! # Streams that do not wait
//!
//! On a stream that is non-blocking every method does what can be done at once and then returns
//! [`Error::Io`](crate::Error::Io) with [`WouldBlock`](std::io::ErrorKind::WouldBlock). Nothing is
//! lost: make the same call again when the stream is ready. Only `send` does two things, of which
//! the first may be done: take [`feed`](WebSocket::feed), which takes the message or says that
//! there is no room, and [`flush`](WebSocket::flush).
//! The opening handshake is the exception: it waits, and asks such a stream every few milliseconds,
//! up to [`Config::handshake_timeout`](crate::Config::handshake_timeout). Make the stream
//! non-blocking after it if there are others to be served meanwhile.
//!
//! # Two threads
//!
//! [`split`](WebSocket::split) gives a [`Receiver`] and a [`Sender`] that can be cloned, for
//! `TcpStream`, `UnixStream` and any [`SplitTransport`]. A thread that only receives still answers
//! pings and the peer's Close; a thread that only sends learns from its next call that the
//! connection is over. Whole messages never interleave, and no lock is held during IO.
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
//! [`Error::Io`](crate::Error::Io) is the time-out that you set on the stream, or that it does not
//! wait: what was taken stays queued.
//!
//! # A stream of bytes
//!
//! [`into_byte_stream`](WebSocket::into_byte_stream) makes a [`Read`](std::io::Read),
//! [`BufRead`](std::io::BufRead) and [`Write`](std::io::Write) of the binary messages, for other
//! protocols inside.
//!
//! # Another HTTP stack
//!
//! [`accept_with_prefix`] and [`read_request_with_prefix`] go on where another HTTP server has read
//! the request.
//! [`WebSocket::from_upgrade`] is for a server that reads the request and writes the response
//! itself, and [`WebSocket::from_accepted`] for a client that does the like, hyper and axum among
//! them: see [there](crate::handshake#inside-another-http-stack).
//!
//! # When the network dies
//!
//! A blocking stream can only be interrupted by the time-outs of its socket. [`Transport`] is how
//! they are set; for `TcpStream` and `UnixStream` that works by itself, so the handshake and
//! closing time-outs hold. Keep-alive is off unless
//! [`Config::keep_alive`](crate::Config::keep_alive) turns it on: without it, `recv` on a dead
//! network waits for ever, as a blocking `read` does. With it, the call that waits ends with an
//! error whose [`is_timeout`](crate::Error::is_timeout) is true, an eighth later at most than
//! interval and time-out say.
//!
//! TLS of the crate `rustls` has a stream here, `TlsStream` (feature `rustls-no-provider`), for
//! both ends and for two threads. Other streams go in through [`Plain`], without time-outs, or
//! bring a [`Transport`] of their own, which a stream of a TLS library should: its `close_notify`
//! is sent there, and a stream that was cut off without one shows as
//! [`Error::Disconnected`](crate::Error::Disconnected) with
//! [`UnexpectedEof`](std::io::ErrorKind::UnexpectedEof) inside.
//! A time-out that you set on the stream yourself stays as it is, also beside keep-alive. It ends
//! `recv` (reading) or `send` and `flush` (writing) with [`Error::Io`](crate::Error::Io); nothing
//! is lost, and they can be called again. The opening handshake has its own time-out and no other.
//!
//! An end of file without a closing handshake, and a connection reset, end in an error whose
//! [`is_disconnect`](crate::Error::is_disconnect) is true.
//!
//! # Memory
//!
//! A socket that waits in `read` holds its receive buffer,
//! [`Config::read_ahead`](crate::Config::read_ahead) bytes; the thread's stack costs more. What
//! a peer can make it hold besides is bounded: a message of
//! [`Config::max_message_len`](crate::Config::max_message_len) that is arriving, in a buffer of
//! at most twice what has arrived, and [`Config::max_unsent`](crate::Config::max_unsent) bytes
//! and one message that it does not read. A `send` that waits for a peer that does not read holds
//! up to `max_message_len` bytes of what that one sends meanwhile, and a `recv` that has no room
//! for answers as many as are unsent.
#![forbid(unsafe_code)]

mod accept;
mod bytes;
mod client_stream;
mod connect;
mod deadline;
mod limit;
mod link;
#[cfg(all(test, sansws_model))]
#[path = "../../tests/models/blocking.rs"]
mod models;
mod opening;
mod proxy;
mod reconnecting;
mod shared_io;
mod socket;
mod split;
#[cfg(feature = "rustls-no-provider")]
mod tls_stream;
mod transport;

pub use accept::{
    Incoming, accept, accept_with, accept_with_prefix, read_request, read_request_with_prefix,
};
pub use bytes::{ByteReader, ByteStream, ByteWriter};
pub use client_stream::ClientStream;
pub use connect::{client, client_with_response, connect, connect_with, connect_with_response};
pub use reconnecting::Reconnecting;
pub use shared_io::SplitTransport;
pub use socket::{Outgoing, WebSocket};
pub use split::{Receiver, ReuniteError, Sender};
#[cfg(feature = "rustls-no-provider")]
pub use tls_stream::TlsStream;
pub use transport::{Plain, Transport};

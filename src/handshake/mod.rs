//! The opening handshake of RFC 6455 section 4, for both ends.
//!
//! Each end has a `Handshake`: a small state machine between a [`RecvBuffer`] and a [`SendBuffer`].
//! It has no socket and no clock. Whatever follows the head of the request or response stays in
//! the receive buffer: those bytes are the first frames, and the
//! [`Connection`](crate::proto::Connection) finds them there.
//!
//! - [`server`]: read a request, look at it, then accept or reject it;
//! - [`client`]: write a request, then read what the server says to it;
//! - [inside another HTTP stack](#inside-another-http-stack), such as hyper or axum, over HTTP/1.1,
//!   HTTP/2 and HTTP/3: [`server::Request::from_parts`], [`server::Request::upgrade`] and
//!   [`client::Request::offer`]; or piece by piece [`accept_key`], [`extensions`] and `deflate`
//!   (feature `deflate`).
//!
//! ```
//! use sansws::buf::{RecvBuffer, SendBuffer};
//! use sansws::handshake::{client, server};
//! use sansws::Config;
//!
//! let config = Config::new();
//! let (mut to_server, mut to_client) = (RecvBuffer::new(), RecvBuffer::new());
//! let (mut client_tx, mut server_tx) = (SendBuffer::new(), SendBuffer::new());
//!
//! let request = client::Request::new("ws://example.com/chat")?.subprotocol("chat");
//! let nonce = [7; 16]; // from the operating system's random source
//! let mut client = client::Handshake::start(&request, nonce, &config, &mut client_tx)?;
//!
//! to_server.extend_from_slice(&client_tx.take_chunk().unwrap()); // the network
//! let mut server = server::Handshake::new(&config);
//! if let Some(request) = server.read_request(&mut to_server, &mut server_tx)? {
//!     assert_eq!(request.path(), "/chat");
//!     let accept = server::Accept::new().subprotocol("chat");
//!     let connection = request.accept(&accept, &config, &mut server_tx)?;
//! }
//!
//! to_client.extend_from_slice(&server_tx.take_chunk().unwrap()); // the network
//! match client.read_response(&mut to_client)? {
//!     Some(client::Response::Accepted(accepted)) => {
//!         assert_eq!(accepted.subprotocol(), Some("chat"));
//!         let connection = accepted.into_connection([9; 32]); // random as well
//!     }
//!     Some(client::Response::Refused(refused)) => println!("{refused}"),
//!     _ => println!("read more and ask again"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What is read strictly, because leniency there has let requests be smuggled past proxies: line
//! ends are CR LF, header lines are not folded (in requests), no space stands before a colon, no
//! control character stands anywhere, and a request to upgrade has no body. What is read leniently,
//! because RFC 9110 asks for it: case and order of header names, space around values, empty list
//! elements, lists spread over several lines, bytes above 127 in values.
//!
//! The time a head takes to parse is linear in its length, however it is cut into reads.
//!
//! [`RecvBuffer`]: crate::buf::RecvBuffer
//! [`SendBuffer`]: crate::buf::SendBuffer
//!
#![forbid(unsafe_code)]
#![doc = include_str!("stacks.md")]

mod authority;
pub mod client;
mod deadline;
#[cfg(feature = "deflate")]
pub mod deflate;
mod error;
pub mod extensions;
mod head;
#[cfg(feature = "http")]
pub(crate) mod http;
mod key;
mod list;
mod origin;
mod parts;
mod reader;
pub mod server;
mod status;
mod usage;

pub use error::HandshakeError;
pub use head::Headers;
pub use key::accept_key;
#[cfg(feature = "server")]
pub(crate) use list::is_token;
pub use origin::{Origin, OriginError};
pub use usage::UsageError;

/// Returns the host and the port of a `host[:port]`, if it is one.
#[cfg(feature = "server")]
pub(crate) fn split_authority(text: &str) -> Option<(&str, Option<u16>)> {
    authority::Authority::parse(text).ok().map(|authority| (authority.host, authority.port))
}

//! The client's end of the opening handshake.
//!
//! ```
//! use sansws::buf::{RecvBuffer, SendBuffer};
//! use sansws::handshake::client::{Handshake, Request, Response};
//! use sansws::Config;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
//!
//! let request = Request::new("wss://example.com/chat")?
//!     .subprotocol("chat")
//!     .header("Authorization", "Bearer abc");
//! // connect to this; with TLS, for this host
//! let (host, port, tls) = (request.host(), request.port(), request.is_secure());
//!
//! let config = Config::new();
//! let nonce = [7; 16]; // from the operating system's random source
//! let mut handshake = Handshake::start(&request, nonce, &config, &mut tx)?;
//! # rx.extend_from_slice(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
//! // send what is in `tx`; then after every read:
//! match handshake.read_response(&mut rx)? {
//!     None => { /* read more */ }
//!     Some(Response::Accepted(accepted)) => {
//!         let connection = accepted.into_connection([9; 32]); // random as well
//!     }
//!     Some(Response::Refused(refused)) => {
//!         assert_eq!(
//!             refused.to_string(),
//!             "server answered 404 Not Found instead of 101 Switching Protocols"
//!         );
//!     }
//!     Some(_) => { /* no other kind of response yet */ }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Where another HTTP stack writes the request and reads the response, [`Request::offer`] and
//! [`Offer::confirm`] do the same from data to data: see [there](super#inside-another-http-stack).
//!
//! RFC 6455 §4.1 lets a client have one connection to a host in the CONNECTING state at a time.
//! That rule is for browsers, which know about all of them; a program that opens many connections
//! has to keep it itself. Redirects are not followed here: the answer says where to.

mod body;
#[cfg(feature = "std")]
mod connect;
mod expected;
mod handshake;
mod offer;
#[cfg(feature = "std")]
mod redirect;
mod request;
mod response;
mod retry;
mod url;

#[cfg(feature = "std")]
pub(crate) use connect::{Answer, Connect};
pub use handshake::Handshake;
pub use offer::Offer;
pub use request::Request;
pub use response::{Accepted, Refused, Response};
#[cfg(feature = "std")]
pub(crate) use response::{Details, Escaped, Title};
pub use retry::RetryAfter;
pub use url::UrlError;
#[cfg(feature = "std")]
pub(crate) use url::{basic, decode, parse_authority};

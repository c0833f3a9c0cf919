//! The opening handshake through its public interface, without sockets.
//!
//! The ids in the names and comments (P-4, H-11, C-13 …) are the rows of a list of everything RFC
//! 6455 §4 and HTTP/1.1 ask of a handshake: P for parsing, H for the server, C for the client.

mod answers;
mod client;
mod connect;
mod http;
#[cfg(feature = "http")]
mod http_crate;
mod offers;
mod pairs;
mod parts;
mod properties;
mod refusals;
mod server;
mod support;
mod timers;

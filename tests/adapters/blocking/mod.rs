//! The blocking adapter: over TCP and Unix sockets, and over streams that misbehave.
mod both_ways;
mod byte_stream;
mod cannot;
mod chunks;
mod corners;
mod ends;
mod faulty;
mod handshake;
mod messages;
mod nonblocking;
mod peer;
mod reconnecting;
mod script;
#[cfg(unix)]
mod sent;
mod split;
mod timeouts;
mod upgrade;

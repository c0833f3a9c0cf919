//! The connection state machine of RFC 6455, from the end of the opening handshake on.
mod config;
mod connection;

pub use config::{Config, ConfigError, Delivery, KeepAlive};
pub use connection::Connection;

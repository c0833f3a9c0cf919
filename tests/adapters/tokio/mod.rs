//! The tokio adapter: over TCP, over pipes in memory, and over transports that misbehave.

mod both_ways;
mod bounds;
mod byte_stream;
mod cancel;
mod chunks;
#[cfg(feature = "deflate")]
mod compression;
mod corners;
#[cfg(feature = "deflate")]
mod encoding;
mod ends;
mod faulty;
mod flushing;
mod handshake;
mod liveness;
mod messages;
mod peer;
mod reconnecting;
mod sizes;
mod split;
mod stream_sink;
mod turns;
mod two_tasks;
mod upgrade;
mod with_control;

//! The state machine over handshake, messages, closing and the end, driven in memory.

mod driver;
mod handshake;
mod messages;
mod the_end;
#[cfg(feature = "std")] // over Read and Write
mod transports;

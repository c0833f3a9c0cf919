//! Connecting again: what the adapters share, none of it with a socket or a clock.

mod backoff;
mod event;
mod outbox;

pub use backoff::{Backoff, Retries};
pub use event::{Lost, ReconnectEvent};
pub(crate) use outbox::Outbox;

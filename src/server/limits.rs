#[cfg(feature = "deflate")]
use crate::deflate::Deflate;
use crate::wire::CloseCode;

/// What becomes of a client that reads more slowly than it is sent to, once its queue is full.
///
/// The queue is what waits beside the [`max_unsent`](crate::Config::max_unsent) bytes of the send
/// buffer. Pongs, keep-alive pings and Close frames do not pass through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowClients {
    /// It is closed with this code, and what waits for it is forgotten. The default, with
    /// [`TRY_AGAIN_LATER`](CloseCode::TRY_AGAIN_LATER) (1013): a client that comes back starts from a
    /// state that is whole.
    Close(CloseCode),
    /// The messages that have waited longest are dropped for the new one. For streams of states
    /// where the newest counts.
    DropOldest,
    /// The new message is dropped, and whoever sends it gets
    /// [`NotSent::QueueFull`](super::NotSent::QueueFull).
    DropNewest,
}

/// The limits on what waits for one client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) max_queued_bytes: usize,
    pub(super) max_queued_messages: usize,
    pub(super) slow_clients: SlowClients,
    /// How broadcasts are compressed.
    #[cfg(feature = "deflate")]
    pub(super) deflate: Option<Deflate>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_queued_bytes: 1024 * 1024,
            max_queued_messages: 4096,
            slow_clients: SlowClients::Close(CloseCode::TRY_AGAIN_LATER),
            #[cfg(feature = "deflate")]
            deflate: None,
        }
    }
}

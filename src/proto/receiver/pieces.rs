//! Payloads taken piece by piece, for owners to whom messages are a stream of bytes.

use super::{Ready, Receiver};
use crate::buf::RecvBuffer;
use crate::proto::{Delivery, MessageKind};

impl Receiver {
    /// From now on payloads are delivered as they arrive, also that of a message under way.
    pub(crate) fn deliver_chunks(&mut self) {
        self.delivery = Delivery::Chunks;
        self.refresh();
    }

    /// How many bytes may be taken in before anybody asks for them: as many as a message may have,
    /// where messages are held whole anyway.
    pub(crate) fn max_ahead(&self) -> usize {
        match self.delivery {
            Delivery::Messages => {
                usize::try_from(self.max_message_len).unwrap_or(usize::MAX).max(SOME_AHEAD)
            }
            Delivery::Chunks => SOME_AHEAD,
        }
    }

    /// The data that was found and not yet taken whole.
    pub(crate) fn held(&self) -> Option<Ready> {
        self.ready.filter(|ready| !ready.is_control())
    }

    /// What is left of the payload of `ready`, which is [held](Self::held).
    pub(crate) fn held_payload(rx: &RecvBuffer, ready: Ready) -> &[u8] {
        if ready.is_inflated() { inflated(rx) } else { rx.assembled() }
    }

    /// Counts the first `n` bytes of that as consumed. With the last of them the event is over.
    pub(crate) fn consume_held(&mut self, rx: &mut RecvBuffer, ready: Ready, n: usize) {
        if n >= Self::held_payload(rx, ready).len() {
            self.ready = None;
        }
        #[cfg(feature = "deflate")]
        if ready.is_inflated() {
            return rx.consume_inflated(n);
        }
        rx.consume_assembled(n);
    }
}

impl Ready {
    /// Whether it is data, and of which kind.
    pub(crate) fn kind(self) -> Option<MessageKind> {
        match self {
            Self::Message(kind) | Self::Chunk { kind, .. } => Some(kind),
            #[cfg(feature = "deflate")]
            Self::InflatedMessage(kind) | Self::InflatedChunk { kind, .. } => Some(kind),
            Self::Ping(_) | Self::Pong(_) | Self::Close(_) => None,
        }
    }

    fn is_inflated(self) -> bool {
        #[cfg(feature = "deflate")]
        return matches!(self, Self::InflatedMessage(_) | Self::InflatedChunk { .. });
        #[cfg(not(feature = "deflate"))]
        false
    }
}

fn inflated(rx: &RecvBuffer) -> &[u8] {
    #[cfg(feature = "deflate")]
    return rx.inflated();
    #[cfg(not(feature = "deflate"))]
    {
        let _ = rx;
        &[]
    }
}

/// Bytes that may be taken in ahead where nothing is held whole: what a busy connection's buffer
/// has.
const SOME_AHEAD: usize = 4 * RecvBuffer::DEFAULT_READ_AHEAD;

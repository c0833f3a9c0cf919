#![forbid(unsafe_code)]

use crate::proto::MessageKind;
use crate::wire::CloseFrame;

/// An event that lies complete in the receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    Message(MessageKind),
    Chunk {
        kind: MessageKind,
        first: bool,
        last: bool,
    },
    /// The same in the second region of the buffer, where compressed messages are inflated to.
    #[cfg(feature = "deflate")]
    InflatedMessage(MessageKind),
    #[cfg(feature = "deflate")]
    InflatedChunk {
        kind: MessageKind,
        first: bool,
        last: bool,
    },
    Ping(u8),
    Pong(u8),
    Close(u8),
}

impl Ready {
    /// Returns whether the peer is owed something for it.
    #[inline]
    pub(crate) fn is_control(self) -> bool {
        matches!(self, Self::Ping(_) | Self::Pong(_) | Self::Close(_))
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn is_ping_or_pong(self) -> bool {
        matches!(self, Self::Ping(_) | Self::Pong(_))
    }
}

/// Reads the payload of [`Ready::Close`], which was parsed without error when it was found.
pub(crate) fn close_frame(payload: &[u8]) -> Option<CloseFrame<'_>> {
    let parsed = CloseFrame::parse(payload);
    debug_assert!(parsed.is_ok(), "{payload:?}");
    parsed.unwrap_or(None)
}

#![forbid(unsafe_code)]

use alloc::boxed::Box;
use core::mem;

use crate::wire::CloseCode;

/// The state of the way in: whether messages are taken, and how the connection ends.
#[derive(Default)]
pub(super) enum Gate {
    #[default]
    Open,
    /// The peer has closed or is gone. What waits is sent if it can be, and the handler is still
    /// told of what had arrived.
    PeerClosed,
    /// This end closes: a Close frame is to be sent behind all messages. From here on the handler
    /// is told of no event.
    Closing(Box<(CloseCode, Box<str>)>),
    /// The Close frame is on its way.
    Closed,
    /// The task is to end at once.
    Aborted,
}

impl Gate {
    pub(super) const fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// Returns whether this end closes: nothing that comes is delivered.
    pub(super) const fn is_closing(&self) -> bool {
        matches!(self, Self::Closing(_) | Self::Closed | Self::Aborted)
    }

    pub(super) const fn is_aborted(&self) -> bool {
        matches!(self, Self::Aborted)
    }

    /// Takes the Close frame that is to be sent.
    pub(super) fn take_close(&mut self) -> Option<Box<(CloseCode, Box<str>)>> {
        match mem::take(self) {
            Self::Closing(close) => {
                *self = Self::Closed;
                Some(close)
            }
            other => {
                *self = other;
                None
            }
        }
    }

    /// Notes that nothing reaches the peer any more, or is to.
    pub(super) fn end(&mut self) {
        match self {
            Self::Open => *self = Self::PeerClosed,
            Self::Closing(_) => *self = Self::Closed,
            Self::PeerClosed | Self::Closed | Self::Aborted => {}
        }
    }
}

#![forbid(unsafe_code)]

use alloc::boxed::Box;

use super::Event;
use crate::wire::{CloseCode, MAX_CONTROL_PAYLOAD, ProtocolError};

/// Answer that a [`Receiver`](super::Receiver) owes to the peer. Hand it to [`Sender::reply`].
///
/// [`Sender::reply`]: super::Sender::reply
#[derive(Debug)]
#[must_use = "the peer waits for this: hand it to `Sender::reply`"]
pub struct Reply(pub(super) Owed);

#[derive(Debug)]
pub(super) enum Owed {
    Nothing,
    Pong {
        payload: [u8; MAX_CONTROL_PAYLOAD],
        len: u8,
    },
    /// Nothing for the peer; the sender measures the round trip. The payloads of our own pings are
    /// as long as this.
    PongCame {
        payload: [u8; 4],
        len: u8,
    },
    Close(Option<(CloseCode, Box<str>)>),
    Violation(ProtocolError),
}

impl Reply {
    /// Returns whether there is nothing to hand over.
    pub fn is_none(&self) -> bool {
        matches!(self.0, Owed::Nothing)
    }

    pub(crate) fn none() -> Self {
        Self(Owed::Nothing)
    }

    /// Makes the answer to an event.
    #[inline]
    pub(crate) fn to(event: &Event<'_>) -> Self {
        Self(match event {
            Event::Ping(ping) => {
                let mut payload = [0; MAX_CONTROL_PAYLOAD];
                payload[..ping.len()].copy_from_slice(ping);
                Owed::Pong { payload, len: ping.len() as u8 }
            }
            Event::Pong(pong) => {
                let payload = (*pong).try_into();
                let len = if payload.is_ok() { 4 } else { 0 };
                Owed::PongCame { payload: payload.unwrap_or_default(), len }
            }
            Event::Close(close) => {
                Owed::Close(close.map(|close| (close.code, close.reason.into())))
            }
            _ => Owed::Nothing,
        })
    }
}

/// The Close frame that tells the peer which kind of rule it broke.
impl From<ProtocolError> for Reply {
    fn from(error: ProtocolError) -> Self {
        Self(Owed::Violation(error))
    }
}

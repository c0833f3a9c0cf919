//! Decisions of the reading side of byte streams. The adapters differ in how they wait only.
#![forbid(unsafe_code)]

use crate::buf::RecvBuffer;
use crate::driver::take_event;
use crate::error::Error;
use crate::proto::{MessageKind, Ready, Receiver, Reply};

/// Intake of a byte stream: what the peer's messages are to it.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    /// A text message came, and was refused: there is no more data.
    refused: bool,
}

/// Consequence of what was found.
pub(crate) enum Verdict {
    /// There is data.
    Data(Ready),
    /// There is none, and none will come: it is to be checked whether it is complete.
    End,
    /// A text message came: the peer is to be told.
    RefuseText,
    /// This is to be dropped, and the next looked for.
    Drop(Ready),
}

impl Intake {
    /// Returns whether a text message came: there is no more data.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused
    }

    /// Returns data that has arrived. It is there until it was read, whatever becomes of the
    /// connection.
    pub(crate) fn held(&self, receiver: &Receiver, rx: &RecvBuffer) -> Option<Ready> {
        let ready = receiver.held().filter(|_| !self.refused)?;
        let is_data = ready.kind() == Some(MessageKind::Binary);
        (is_data && !Receiver::held_payload(rx, ready).is_empty()).then_some(ready)
    }

    /// Takes an event in: returns it if it is data or a text message. Empty messages are dropped,
    /// and control frames answered by `pay`.
    pub(crate) fn take_in(
        receiver: &mut Receiver,
        rx: &mut RecvBuffer,
        ready: Ready,
        pay: impl FnOnce(Reply),
    ) -> Option<Ready> {
        match ready.kind() {
            Some(MessageKind::Binary) if Receiver::held_payload(rx, ready).is_empty() => {
                receiver.consume_held(rx, ready, 0);
                None
            }
            Some(_) => Some(ready),
            None => {
                take_event(receiver, rx, ready, pay);
                None
            }
        }
    }

    /// Decides about what was found behind all that was [taken in](Self::take_in).
    pub(crate) fn judge(&mut self, found: Result<Option<Ready>, Error>) -> Result<Verdict, Error> {
        if self.refused {
            return match found {
                Ok(Some(ready)) => Ok(Verdict::Drop(ready)),
                // a time-out of the user's: the wait for the peer's Close goes on
                Err(Error::Io(error)) => Err(Error::Io(error)),
                Ok(None) | Err(_) => Err(Error::UnexpectedText),
            };
        }
        Ok(match found? {
            None => Verdict::End,
            Some(ready) if ready.kind() == Some(MessageKind::Text) => {
                self.refused = true;
                Verdict::RefuseText
            }
            Some(ready) => Verdict::Data(ready),
        })
    }

    /// Takes data out, from `ready` on: as many messages as are there, until `put`, which returns
    /// how many bytes it has taken, takes less than it was given.
    pub(crate) fn read(
        &self,
        receiver: &mut Receiver,
        rx: &mut RecvBuffer,
        ready: Option<Ready>,
        mut put: impl FnMut(&[u8]) -> usize,
    ) {
        let mut held = ready;
        while let Some(ready) = held {
            let payload = Receiver::held_payload(rx, ready);
            let len = payload.len();
            let n = put(payload);
            receiver.consume_held(rx, ready, n);
            if n < len {
                break;
            }
            // what is wrong is found again by the next read
            let _ = receiver.advance(rx);
            held = self.held(receiver, rx);
        }
    }
}

use bytes::{Bytes, BytesMut};

use super::{MessageRef, SendError};
use crate::wire::{FrameHeader, MAX_CONTROL_PAYLOAD, Opcode};

/// A message encoded once, for many connections.
///
/// On a server's connection it is queued as it is: N receivers cost N reference counts (or, below
/// a few hundred bytes, N small copies, which cost less). A client has to mask every frame
/// with a key of its own, so there only the message is shared.
///
/// Cloning costs a reference count.
#[derive(Clone, Debug)]
pub struct PreparedMessage {
    pub(crate) opcode: Opcode,
    /// The whole frame as a server sends it.
    pub(crate) frame: Bytes,
    /// Where its payload begins.
    pub(crate) payload_at: usize,
}

impl PreparedMessage {
    /// Encodes a message. Costs one allocation and one copy of the payload.
    ///
    /// # Errors
    ///
    /// [`SendError::ControlTooLong`] for a ping or pong of more than 125 bytes.
    pub fn new<'a>(message: impl Into<MessageRef<'a>>) -> Result<Self, SendError> {
        let message = message.into();
        let payload = message.payload.as_slice();
        if message.opcode.is_control() && payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(SendError::ControlTooLong { len: payload.len() });
        }
        let header = FrameHeader::new(message.opcode, payload.len() as u64, None).encode();
        let mut frame = BytesMut::with_capacity(header.len() + payload.len());
        frame.extend_from_slice(&header);
        frame.extend_from_slice(payload);
        Ok(Self { opcode: message.opcode, frame: frame.freeze(), payload_at: header.len() })
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.frame[self.payload_at..]
    }
}

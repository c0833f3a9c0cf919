#![forbid(unsafe_code)]

#[cfg(not(target_has_atomic = "ptr"))]
use alloc::rc::Rc as Arc; // such a target has one core, and no `Arc`
#[cfg(target_has_atomic = "ptr")]
use alloc::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::{MessageRef, SendError};
#[cfg(feature = "deflate")]
use crate::deflate::{self, CompressorKind, Deflate};
use crate::wire::{FrameHeader, Opcode};

/// A message encoded once, for many connections: a `&PreparedMessage` is sent wherever a message
/// is.
///
/// On a server's connection it is queued as it is: N receivers cost N reference counts (or, below
/// a few hundred bytes, N small copies, which cost less). A client has to mask every frame
/// with a key of its own, so there only the message is shared.
///
/// Made with [`new`](Self::new) it is sent as it is on every connection, also where messages are
/// compressed. With `with_deflate` (feature `deflate`) it is compressed as well, once for all.
///
/// Cloning costs a reference count.
#[derive(Clone, Debug)]
pub struct PreparedMessage(pub(crate) Arc<Prepared>);

#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) opcode: Opcode,
    /// The whole frame as a server sends it.
    pub(crate) frame: Bytes,
    /// Where its payload begins.
    pub(crate) payload_at: usize,
    #[cfg(feature = "deflate")]
    pub(crate) compressed: Option<Compressed>,
}

/// The same message compressed.
#[cfg(feature = "deflate")]
#[derive(Clone, Debug)]
pub(crate) struct Compressed {
    /// The whole frame as a server sends it.
    pub(crate) frame: Bytes,
    pub(crate) payload_at: usize,
    /// No distance in it is longer than 2 to the power of this.
    pub(crate) window_bits: u8,
}

impl PreparedMessage {
    /// Encodes a message. Costs one allocation and one copy of the payload.
    ///
    /// # Errors
    ///
    /// [`SendError::ControlTooLong`] for a ping or pong of more than 125 bytes.
    pub fn new<'a>(message: impl Into<MessageRef<'a>>) -> Result<Self, SendError> {
        Ok(Self(Arc::new(Prepared::new(&message.into())?)))
    }

    /// Encodes a message twice: as it is, and compressed for the connections that agreed on
    /// permessage-deflate, if that makes it smaller.
    ///
    /// Level, threshold and window are those of `settings`. What is compressed serves all
    /// connections whose window is as large, or as large as the message; on others the message goes
    /// plain, which any peer has to take (RFC 7692 §6). It refers to nothing that was sent before.
    /// On a connection with context takeover, what is compressed next does not either, as the
    /// compressor there has not seen it.
    ///
    /// All of it is done in this call, for which a message of 16 MiB needs tens of milliseconds: on
    /// an event loop that is for messages of up to some hundred KiB.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    #[cfg(feature = "deflate")]
    pub fn with_deflate<'a>(
        message: impl Into<MessageRef<'a>>,
        settings: &Deflate,
    ) -> Result<Self, SendError> {
        let message = message.into();
        let mut this = Prepared::new(&message)?;
        let is_data = !message.plain && !this.opcode.is_control();
        if is_data && this.payload().len() >= settings.threshold.max(1) {
            this.compressed = this.compress(&settings.clamped());
        }
        Ok(Self(Arc::new(this)))
    }

    /// Returns the payload.
    pub fn payload(&self) -> &[u8] {
        self.0.payload()
    }

    /// Returns the frame as a server sends it, not compressed.
    #[cfg(feature = "server")]
    pub(crate) fn frame(&self) -> &Bytes {
        &self.0.frame
    }

    /// Returns whether it is a ping or pong.
    #[cfg(feature = "server")]
    pub(crate) fn is_control(&self) -> bool {
        self.0.opcode.is_control()
    }

    /// Returns whether there is a compressed form of it.
    #[cfg(feature = "server")]
    pub(crate) fn is_compressed(&self) -> bool {
        #[cfg(feature = "deflate")]
        return self.0.compressed.is_some();
        #[cfg(not(feature = "deflate"))]
        false
    }

    /// Returns the bytes of its frames.
    #[cfg(feature = "server")]
    pub(crate) fn encoded_len(&self) -> usize {
        #[cfg(feature = "deflate")]
        let compressed = self.0.compressed.as_ref().map_or(0, |it| it.frame.len());
        #[cfg(not(feature = "deflate"))]
        let compressed = 0;
        self.0.frame.len() + compressed
    }
}

impl Prepared {
    fn new(message: &MessageRef<'_>) -> Result<Self, SendError> {
        let payload = message.payload.as_slice();
        SendError::check_len(message.opcode, payload.len())?;
        let (frame, payload_at) = encode(message.opcode, false, payload);
        Ok(Self {
            opcode: message.opcode,
            frame,
            payload_at,
            #[cfg(feature = "deflate")]
            compressed: None,
        })
    }

    #[cfg(feature = "deflate")]
    fn compress(&self, settings: &Deflate) -> Option<Compressed> {
        let payload = self.payload();
        let client_bits = settings.client_max_window_bits.unwrap_or(15);
        // no distance is longer than what there is
        let len_bits = payload.len().next_power_of_two().ilog2().clamp(8, 15) as u8;
        let window_bits = settings.server_max_window_bits.min(client_bits).min(len_bits);
        let mut compressor = deflate::take_compressor(CompressorKind::new(settings, window_bits));
        let mut compressed = alloc::vec::Vec::new();
        let smaller = compressor.message(payload, &mut compressed);
        deflate::keep_compressor(compressor);
        smaller.then(|| {
            let (frame, payload_at) = encode(self.opcode, true, &compressed);
            Compressed { frame, payload_at, window_bits }
        })
    }

    fn payload(&self) -> &[u8] {
        &self.frame[self.payload_at..]
    }
}

/// Returns a frame as a server sends it, and where its payload begins.
fn encode(opcode: Opcode, compressed: bool, payload: &[u8]) -> (Bytes, usize) {
    let mut header = FrameHeader::new(opcode, payload.len() as u64, None);
    header.rsv1 = compressed;
    let header = header.encode();
    let mut frame = BytesMut::with_capacity(header.len() + payload.len());
    frame.extend_from_slice(&header);
    frame.extend_from_slice(payload);
    (frame.freeze(), header.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It may be kept for long, so it has no more memory than it needs.
    #[test]
    fn a_frame_and_no_more() {
        for len in [0, 1, 1000, 70_000] {
            let (frame, at) = encode(Opcode::Binary, false, &alloc::vec![7; len]);
            assert_eq!(frame.len(), at + len);
            assert_eq!(frame.try_into_mut().unwrap().capacity(), at + len);
        }
    }
}

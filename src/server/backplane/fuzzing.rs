//! A door for the fuzzers: see [`crate::server::fuzzing`].

use alloc::vec::Vec;

use bytes::Bytes;

use super::envelope::{Content, Envelope};

/// Returns what was published, encoded again, and the opcode and the payload if it is a message;
/// `None` for what is dropped.
#[allow(clippy::type_complexity)] // as it is
pub fn envelope(published: &[u8]) -> Option<(Vec<u8>, Option<(u8, Vec<u8>)>)> {
    let envelope = Envelope::decode(Bytes::copy_from_slice(published))?;
    let again = envelope.encode().to_vec();
    assert_eq!(Envelope::decode(again.clone().into()), Some(envelope.clone()));
    let message = match envelope.content {
        Content::Message { opcode, payload, .. } => Some((opcode as u8, payload.to_vec())),
        Content::Close { .. } | Content::Notice(_) | Content::Kept { .. } => None,
    };
    Some((again, message))
}

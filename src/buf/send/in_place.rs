//! Frames whose payload is made in the send buffer.

use alloc::vec::Vec;

use super::SendBuffer;
use crate::wire::{FrameHeader, apply_mask};

impl SendBuffer {
    /// Appends a frame whose payload `make` appends to what it is given, about `likely_len` bytes.
    /// `header` gets their number, and tells by then whether the frame is masked. Appends nothing
    /// and returns `false` if `make` does.
    pub(crate) fn put_frame_with(
        &mut self,
        likely_len: usize,
        make: impl FnOnce(&mut Vec<u8>) -> bool,
        header: impl FnOnce(usize) -> FrameHeader,
        masked: bool,
    ) -> bool {
        self.settle();
        let at = self.flat.len();
        let length_field = match likely_len {
            0..126 => 0,
            126..=0xFFFF => 2,
            _ => 8,
        };
        let room = 2 + length_field + if masked { 4 } else { 0 };
        self.flat.resize(at + room, 0);
        if !make(&mut self.flat) {
            self.flat.truncate(at);
            return false;
        }
        let len = self.flat.len() - at - room;
        let header = header(len);
        let encoded = header.encode();
        let payload_at = at + encoded.len();
        // A length of another class than the likely one: the payload moves by a few bytes.
        if encoded.len() < room {
            self.flat.copy_within(at + room.., payload_at);
        } else if encoded.len() > room {
            self.flat.resize(payload_at + len, 0);
            self.flat.copy_within(at + room..at + room + len, payload_at);
        }
        self.flat.truncate(payload_at + len);
        self.flat[at..payload_at].copy_from_slice(&encoded);
        if let Some(key) = header.mask {
            apply_mask(&mut self.flat[payload_at..], key, 0);
        }
        true
    }
}

#[cfg(test)]
mod tests {

    use bytes::Buf;

    use super::*;
    use crate::wire::Opcode;

    /// Whatever length was expected, the frame is that of a payload that was there before.
    #[test]
    fn the_same_frames_as_from_a_payload() {
        const LENGTHS: [usize; 7] = [0, 1, 125, 126, 0xFFFF, 0x10000, 70_000];
        for mask in [None, Some([0x37, 0xfa, 0x21, 0x3d])] {
            for likely_len in LENGTHS {
                for len in LENGTHS {
                    let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
                    let header = |len| FrameHeader::new(Opcode::Binary, len as u64, mask);
                    let (mut made, mut put) = (SendBuffer::new(), SendBuffer::new());
                    for tx in [&mut made, &mut put] {
                        tx.put_slice(b"before");
                    }
                    put.put_frame(&header(len), &payload);
                    let make = |out: &mut Vec<u8>| {
                        out.extend_from_slice(&payload);
                        true
                    };
                    assert!(made.put_frame_with(likely_len, make, header, mask.is_some()));
                    assert!(made.chunk() == put.chunk(), "{likely_len} {len}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_made_leaves_nothing() {
        let mut tx = SendBuffer::new();
        tx.put_slice(b"before");
        let make = |out: &mut Vec<u8>| {
            out.extend_from_slice(&[0; 1000]);
            false
        };
        let header = |len| FrameHeader::new(Opcode::Binary, len as u64, None);
        assert!(!tx.put_frame_with(1000, make, header, false));
        assert_eq!(tx.chunk(), b"before");
    }
}

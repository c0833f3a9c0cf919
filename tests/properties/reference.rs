//! A second reading of RFC 6455 §5.2, as plain as can be, that shares nothing with the crate.

/// A frame, its payload unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefFrame {
    pub fin: bool,
    pub opcode: u8,
    pub key: Option<[u8; 4]>,
    pub payload: Vec<u8>,
}

/// Reads a whole stream of frames as an endpoint must send them: `masked` says whether it is a
/// client's. Panics at the first thing that is not as the RFC wants it.
pub fn read_frames(bytes: &[u8], masked: bool) -> Vec<RefFrame> {
    let mut frames = Vec::new();
    let mut at = 0;
    let mut message_open = false;
    let mut closed = false;
    while at < bytes.len() {
        let mut next = |n: usize| {
            at += n;
            &bytes[at - n..at]
        };
        let first = next(1)[0];
        assert_eq!(first & 0b0111_0000, 0, "a reserved bit is set");
        let (fin, opcode) = (first >= 128, first % 16);
        let second = next(1)[0];
        assert_eq!(second >= 128, masked, "the mask bit does not fit the role");
        let mut len = u64::from(second % 128);
        if len == 126 {
            len = next(2).iter().fold(0, |len, byte| len * 256 + u64::from(*byte));
            assert!(len > 125, "length {len} in two bytes");
        } else if len == 127 {
            len = next(8).iter().fold(0, |len, byte| len * 256 + u64::from(*byte));
            assert!(len > 65_535, "length {len} in eight bytes");
        }
        let key = masked.then(|| [next(1)[0], next(1)[0], next(1)[0], next(1)[0]]);
        let mut payload = next(len as usize).to_vec();
        for (i, byte) in payload.iter_mut().enumerate() {
            *byte ^= key.map_or(0, |key| key[i % 4]);
        }
        // a pong may still answer a ping: the peer has not closed yet (§5.5.2)
        assert!(!closed || opcode == 10, "opcode {opcode} after a Close");
        match opcode {
            0 => {
                assert!(message_open, "a continuation of nothing");
                message_open = !fin;
            }
            1 | 2 => {
                assert!(!message_open, "a message inside a message");
                message_open = !fin;
            }
            8..=10 => {
                assert!(fin && len <= 125, "a control frame in fragments, or too long");
                closed |= opcode == 8;
                if opcode == 8 {
                    assert_ne!(len, 1, "half a close code");
                }
            }
            reserved => panic!("opcode {reserved} is reserved"),
        }
        frames.push(RefFrame { fin, opcode, key, payload });
    }
    frames
}

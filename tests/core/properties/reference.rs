//! What the frames of one endpoint must be together, beside what each of them must be.

use sansws_test::wire::{self, Frame};

/// Reads a whole stream of frames as an endpoint must send them: `masked` says whether it is a
/// client's. Panics at the first thing that is not as the RFC wants it.
pub fn read_frames(bytes: &[u8], masked: bool) -> Vec<Frame> {
    let frames = wire::frames(bytes);
    let mut message_open = false;
    let mut closed = false;
    for frame in &frames {
        assert_eq!(frame.mask.is_some(), masked, "the mask bit does not fit the role");
        // a pong may still answer a ping: the peer has not closed yet (§5.5.2)
        assert!(!closed || frame.opcode == wire::PONG, "{frame:?} after a Close");
        match frame.opcode {
            wire::CONTINUATION => {
                assert!(message_open, "a continuation of nothing");
                message_open = !frame.fin;
            }
            wire::TEXT | wire::BINARY => {
                assert!(!message_open, "a message inside a message");
                message_open = !frame.fin;
            }
            wire::CLOSE => {
                closed = true;
                assert_ne!(frame.payload.len(), 1, "half a close code");
            }
            _ => {}
        }
    }
    frames
}

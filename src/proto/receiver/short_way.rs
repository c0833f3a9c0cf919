//! The short way of a message that is there whole, without a state between the steps.
#![forbid(unsafe_code)]

use super::Receiver;
use crate::buf::RecvBuffer;
use crate::proto::{MessageKind, Role};
use crate::wire::is_utf8;

impl Receiver {
    /// Takes the common case by itself: the next message is there in one frame, header and all,
    /// and there is nothing wrong with it. Anything else is left as it was.
    ///
    /// What it returns is to be given to [`take_message`](Self::take_message) at once.
    #[inline]
    pub(crate) fn assemble_whole(&mut self, rx: &mut RecvBuffer) -> Option<MessageKind> {
        debug_assert_eq!(self.between_messages, self.is_between_messages());
        if !self.between_messages || self.ready.is_some() {
            return None;
        }
        let buf = rx.unparsed();
        let [first, second, ..] = *buf else { return None };
        let kind = match first {
            0x81 => MessageKind::Text,
            0x82 => MessageKind::Binary,
            _ => return None,
        };
        let (len, len_end) = match second & 0x7F {
            126 => {
                let [_, _, high, low, ..] = *buf else { return None };
                (usize::from(u16::from_be_bytes([high, low])), 4)
            }
            127 => return None, // 64 KiB and more pay for the long way
            len => (usize::from(len), 2),
        };
        let masked = second & 0x80 != 0;
        let header_len = if masked { len_end + 4 } else { len_end };
        if masked != (self.role == Role::Server)
            || buf.len() < header_len + len
            || len as u64 > self.max_message_len
            || (len_end == 4 && len < 126)
        {
            return None;
        }
        let mask = if masked { buf[len_end..].first_chunk::<4>().copied() } else { None };
        let payload = rx.take_frame(header_len, len, mask);
        if kind == MessageKind::Text && !is_utf8(payload) {
            rx.put_frame_back(header_len, len, mask);
            return None;
        }
        self.arrived = self.arrived.saturating_add((header_len + len) as u32); // below 64 KiB
        self.seen = 0;
        Some(kind)
    }

    /// Returns whether the next byte begins a frame that is no continuation.
    #[cfg(feature = "server")]
    #[inline]
    pub(crate) fn takes_short_way(&self) -> bool {
        self.between_messages
    }
}

use bytes::{BufMut, Bytes, BytesMut};

use crate::wire::{CloseCode, Opcode};

/// What one server tells others, as its bytes are documented in the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    /// The server that has sent it; 0 for one without an envelope.
    pub(super) node: u64,
    /// The client to leave out, or, on the subject of a node, the only one that is meant; 0 for
    /// none.
    pub(super) client: u64,
    pub(super) content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Message {
        opcode: Opcode,
        /// Not to be compressed.
        plain: bool,
        payload: Bytes,
    },
    Close {
        code: CloseCode,
        reason: Bytes,
    },
}

/// No text begins with it: UTF-8 has no such byte.
const MARK: u8 = 0xFF;
const VERSION: u8 = 1;
const MESSAGE: u8 = 1;
const CLOSE: u8 = 2;
/// In the byte of the opcode.
const PLAIN: u8 = 0x80;
/// The bytes in front of the payload.
pub(super) const HEADER: usize = 20;

impl Envelope {
    pub(super) fn encode(&self) -> Bytes {
        let (kind, opcode, len) = match &self.content {
            Content::Message { opcode, plain, payload } => {
                let plain = if *plain { PLAIN } else { 0 };
                (MESSAGE, *opcode as u8 | plain, payload.len())
            }
            Content::Close { reason, .. } => (CLOSE, Opcode::Close as u8, 2 + reason.len()),
        };
        let mut bytes = BytesMut::with_capacity(HEADER + len);
        bytes.put_slice(&[MARK, VERSION, kind, opcode]);
        bytes.put_u64(self.node);
        bytes.put_u64(self.client);
        match &self.content {
            Content::Message { payload, .. } => bytes.put_slice(payload),
            Content::Close { code, reason } => {
                bytes.put_u16(code.as_u16());
                bytes.put_slice(reason);
            }
        }
        bytes.freeze()
    }

    /// Returns what was published: an envelope, or else a text, or else a binary message. `None`
    /// for an envelope that is malformed, or of a later version.
    pub(super) fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.first() != Some(&MARK) {
            let is_text = core::str::from_utf8(&bytes).is_ok();
            let opcode = if is_text { Opcode::Text } else { Opcode::Binary };
            let content = Content::Message { opcode, plain: false, payload: bytes };
            return Some(Self { node: 0, client: 0, content });
        }
        if bytes.len() < HEADER || bytes[1] != VERSION {
            return None;
        }
        let header = bytes.split_to(HEADER);
        let number = |at: usize| header[at..at + 8].try_into().map(u64::from_be_bytes).ok();
        let opcode = Opcode::from_bits(header[3] & !PLAIN & 0x0F).ok()?;
        let content = match header[2] {
            MESSAGE => Self::message(opcode, header[3] & PLAIN != 0, bytes)?,
            CLOSE => Self::close(&bytes)?,
            _ => return None,
        };
        Some(Self { node: number(4)?, client: number(12)?, content })
    }

    fn message(opcode: Opcode, plain: bool, payload: Bytes) -> Option<Content> {
        let valid = match opcode {
            Opcode::Text => core::str::from_utf8(&payload).is_ok(),
            Opcode::Binary => true,
            // RFC 6455 §5.5
            Opcode::Ping | Opcode::Pong => payload.len() <= 125,
            Opcode::Continuation | Opcode::Close => false,
        };
        valid.then_some(Content::Message { opcode, plain, payload })
    }

    fn close(bytes: &Bytes) -> Option<Content> {
        let (code, reason) = bytes.split_first_chunk::<2>()?;
        let code = CloseCode::new(u16::from_be_bytes(*code))?;
        // RFC 6455 §5.5.1: the reason is UTF-8, and all fits into a control frame
        let valid = reason.len() <= 123 && core::str::from_utf8(reason).is_ok();
        valid.then(|| Content::Close { code, reason: bytes.slice(2..) })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn message(opcode: Opcode, plain: bool, payload: &'static [u8]) -> Envelope {
        let content = Content::Message { opcode, plain, payload: Bytes::from_static(payload) };
        Envelope { node: 0x0102_0304_0506_0708, client: 9, content }
    }

    #[test]
    fn what_is_documented_is_what_is_sent() {
        let bytes = message(Opcode::Binary, true, b"\0x").encode();
        let header = [0xFF, 1, 1, 0x82, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 9];
        assert_eq!(bytes, [&header[..], b"\0x"].concat());
        let content = Content::Close {
            code: CloseCode::SERVICE_RESTART,
            reason: Bytes::from_static(b"soon"),
        };
        let close = Envelope { node: 1, client: 0, content };
        let bytes = close.encode();
        assert_eq!(bytes[2..4], [2, 8]);
        assert_eq!(bytes[20..], *b"\x03\xf4soon");
        assert_eq!(Envelope::decode(bytes), Some(close));
    }

    #[test]
    fn all_messages_come_back() {
        for opcode in [Opcode::Text, Opcode::Binary, Opcode::Ping, Opcode::Pong] {
            for plain in [false, true] {
                let it = message(opcode, plain, b"hello");
                assert_eq!(Envelope::decode(it.encode()), Some(it));
            }
        }
    }

    #[test]
    fn what_has_no_envelope_is_a_message() {
        for (bytes, kind) in
            [(&b""[..], Opcode::Text), (b"hi", Opcode::Text), (b"\xFE", Opcode::Binary)]
        {
            let decoded = Envelope::decode(Bytes::from_static(bytes)).unwrap();
            let payload = Bytes::from_static(bytes);
            let content = Content::Message { opcode: kind, plain: false, payload };
            assert_eq!(decoded, Envelope { node: 0, client: 0, content });
        }
    }

    #[test]
    fn what_is_malformed_is_dropped() {
        let good: Vec<u8> = message(Opcode::Text, false, b"hi").encode().to_vec();
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        let long = [&with(3, 9)[..HEADER], &[0; 126]].concat();
        for bytes in [
            good[..HEADER - 1].to_vec(),
            with(1, 2),     // a later version
            with(2, 3),     // a kind that is not known
            with(3, 0),     // a continuation
            with(3, 3),     // a reserved opcode
            with(3, 8),     // a Close is no message
            with(20, 0xC0), // no UTF-8
            with(2, 2),     // no close code
            long,
        ] {
            assert_eq!(Envelope::decode(bytes.clone().into()), None, "{bytes:?}");
        }
    }
}

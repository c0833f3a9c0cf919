use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::notice::Notice;
use super::numbers::Number;
use crate::server::client::history::Position;
use crate::wire::{CloseCode, Opcode};

/// What one server tells others, as its bytes are documented in the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    /// The server that has sent it; 0 for one without an envelope.
    pub(super) node: u64,
    /// The client to leave out, or, on the subject of a node, the only one that is meant; 0 for
    /// none.
    pub(super) client: u64,
    /// The place among those of its server and subject; `None` of what other programs publish.
    pub(super) number: Option<Number>,
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
    /// Who is where, between servers.
    Notice(Notice),
    /// A message that the engine has kept.
    Kept {
        position: Position,
        /// As it is kept: an envelope or the bytes of a message.
        message: Bytes,
    },
}

/// No text begins with it: UTF-8 has no such byte.
const MARK: u8 = 0xFF;
const VERSION: u8 = 1;
const MESSAGE: u8 = 1;
const CLOSE: u8 = 2;
const KEPT: u8 = 9;
/// In the byte of the opcode: not to be compressed.
const PLAIN: u8 = 0x80;
/// In the byte of the opcode: a number follows the header.
const NUMBERED: u8 = 0x40;
/// The bytes in front of the number, or of the payload.
const HEADER: usize = 20;
const NUMBER: usize = 12;

impl Envelope {
    /// Returns the bytes to publish. A number that is known later takes the place of the one in
    /// them: [`put_number`].
    pub(super) fn encode(&self) -> BytesMut {
        let (kind, opcode, len) = match &self.content {
            Content::Message { opcode, plain, payload } => {
                let plain = if *plain { PLAIN } else { 0 };
                (MESSAGE, *opcode as u8 | plain, payload.len())
            }
            Content::Close { reason, .. } => (CLOSE, Opcode::Close as u8, 2 + reason.len()),
            Content::Notice(notice) => (notice.kind(), 0, notice.len()),
            Content::Kept { message, .. } => (KEPT, 0, 16 + message.len()),
        };
        let numbered = if self.number.is_some() { NUMBERED } else { 0 };
        let mut bytes = BytesMut::with_capacity(HEADER + NUMBER + len);
        bytes.put_slice(&[MARK, VERSION, kind, opcode | numbered]);
        bytes.put_u64(self.node);
        bytes.put_u64(self.client);
        if let Some(number) = self.number {
            bytes.put_u32(number.stream);
            bytes.put_u64(number.at);
        }
        match &self.content {
            Content::Message { payload, .. } => bytes.put_slice(payload),
            Content::Close { code, reason } => {
                bytes.put_u16(code.as_u16());
                bytes.put_slice(reason);
            }
            Content::Notice(notice) => notice.put(&mut bytes),
            Content::Kept { position, message } => {
                bytes.put_u64(position.epoch);
                bytes.put_u64(position.offset);
                bytes.put_slice(message);
            }
        }
        bytes
    }

    /// Returns what was published: an envelope, or else a text, or else a binary message. `None`
    /// for an envelope that is malformed, or of a later version.
    pub(super) fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.first() != Some(&MARK) {
            let is_text = core::str::from_utf8(&bytes).is_ok();
            let opcode = if is_text { Opcode::Text } else { Opcode::Binary };
            let content = Content::Message { opcode, plain: false, payload: bytes };
            return Some(Self { node: 0, client: 0, number: None, content });
        }
        if bytes.len() < HEADER || bytes[1] != VERSION {
            return None;
        }
        let header = bytes.split_to(HEADER);
        let field = |at: usize| header[at..at + 8].try_into().map(u64::from_be_bytes).ok();
        let number = match header[3] & NUMBERED {
            0 => None,
            _ if bytes.len() < NUMBER => return None,
            _ => Some(Number { stream: bytes.get_u32(), at: bytes.get_u64() }),
        };
        let opcode = header[3] & !(PLAIN | NUMBERED);
        if opcode > 0x0F {
            return None;
        }
        let opcode = Opcode::from_bits(opcode).ok()?;
        let content = match header[2] {
            MESSAGE => Self::message(opcode, header[3] & PLAIN != 0, bytes)?,
            CLOSE => Self::close(&bytes)?,
            KEPT => {
                let (epoch, offset) = (bytes.try_get_u64().ok()?, bytes.try_get_u64().ok()?);
                Content::Kept { position: Position { epoch, offset }, message: bytes }
            }
            kind => Content::Notice(Notice::parse(kind, bytes)?),
        };
        Some(Self { node: field(4)?, client: field(12)?, number, content })
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

/// Puts a number into an envelope that was encoded with one.
pub(super) fn put_number(envelope: &mut BytesMut, number: Number) {
    let mut place = &mut envelope[HEADER..HEADER + NUMBER];
    place.put_u32(number.stream);
    place.put_u64(number.at);
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::server::backplane::notice::tests::any_notice;

    fn message(opcode: Opcode, plain: bool, payload: &'static [u8]) -> Envelope {
        let content = Content::Message { opcode, plain, payload: Bytes::from_static(payload) };
        Envelope { node: 0x0102_0304_0506_0708, client: 9, number: None, content }
    }

    fn decode(bytes: impl Into<Bytes>) -> Option<Envelope> {
        Envelope::decode(bytes.into())
    }

    #[test]
    fn what_is_documented_is_what_is_sent() {
        let mut sent = message(Opcode::Binary, true, b"\0x");
        let mut header = [0xFF, 1, 1, 0x82, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 9];
        assert_eq!(sent.encode(), [&header[..], b"\0x"].concat());
        header[3] = 0xC2;
        sent.number = Some(Number { stream: 0, at: 0 });
        let mut bytes = sent.encode();
        let number = Number { stream: 0x0A0B_0C0D, at: 7 };
        put_number(&mut bytes, number);
        let number_bytes = [10, 11, 12, 13, 0, 0, 0, 0, 0, 0, 0, 7];
        assert_eq!(bytes, [&header[..], &number_bytes, b"\0x"].concat());
        assert_eq!(decode(bytes), Some(Envelope { number: Some(number), ..sent }));
        let content = Content::Close {
            code: CloseCode::SERVICE_RESTART,
            reason: Bytes::from_static(b"soon"),
        };
        let close = Envelope { node: 1, client: 0, number: None, content };
        let bytes = close.encode();
        assert_eq!(bytes[2..4], [2, 8]);
        assert_eq!(bytes[20..], *b"\x03\xf4soon");
        assert_eq!(decode(bytes), Some(close));
        let content = Content::Kept {
            position: Position { epoch: 0x0102_0304_0506_0708, offset: 0x090A },
            message: Bytes::from_static(b"kept"),
        };
        let kept = Envelope { node: 1, client: 0, number: None, content };
        let bytes = kept.encode();
        assert_eq!(bytes[2..4], [9, 0]);
        assert_eq!(bytes[20..], *b"\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\0\0\0\x09\x0Akept");
        assert_eq!(
            decode(Bytes::copy_from_slice(&bytes[..35])),
            None,
            "without its whole position"
        );
        assert_eq!(decode(bytes), Some(kept));
    }

    #[test]
    fn all_messages_come_back() {
        for opcode in [Opcode::Text, Opcode::Binary, Opcode::Ping, Opcode::Pong] {
            for plain in [false, true] {
                let it = message(opcode, plain, b"hello");
                assert_eq!(decode(it.encode()), Some(it));
            }
        }
    }

    #[test]
    fn what_has_no_envelope_is_a_message() {
        for (bytes, kind) in
            [(&b""[..], Opcode::Text), (b"hi", Opcode::Text), (b"\xFE", Opcode::Binary)]
        {
            let decoded = decode(bytes).unwrap();
            let payload = Bytes::from_static(bytes);
            let content = Content::Message { opcode: kind, plain: false, payload };
            assert_eq!(decoded, Envelope { node: 0, client: 0, number: None, content });
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
            with(2, 9),     // no whole position
            with(2, 10),    // a kind that is not known
            with(3, 0),     // a continuation
            with(3, 3),     // a reserved opcode
            with(3, 0x11),  // a reserved bit
            with(3, 0x41),  // no number
            with(3, 8),     // a Close is no message
            with(20, 0xC0), // no UTF-8
            with(2, 2),     // no close code
            long,
        ] {
            assert_eq!(decode(bytes.clone()), None, "{bytes:?}");
        }
    }

    fn any_content() -> impl Strategy<Value = Content> {
        let text = (any::<String>(), any::<bool>()).prop_map(|(text, plain)| Content::Message {
            opcode: Opcode::Text,
            plain,
            payload: text.into(),
        });
        let opcode = prop::sample::select(&[Opcode::Binary, Opcode::Ping, Opcode::Pong][..]);
        let bytes = (opcode, any::<bool>(), vec(any::<u8>(), 0..126)).prop_map(
            |(opcode, plain, payload)| Content::Message { opcode, plain, payload: payload.into() },
        );
        let close = (3000u16..5000, "[a-zé]{0,60}").prop_map(|(code, reason)| Content::Close {
            code: CloseCode::new(code).unwrap(),
            reason: reason.into(),
        });
        let notice = any_notice().prop_map(Content::Notice);
        let kept = (any::<u64>(), any::<u64>(), vec(any::<u8>(), 0..80));
        let kept = kept.prop_map(|(epoch, offset, message)| Content::Kept {
            position: Position { epoch, offset },
            message: message.into(),
        });
        prop_oneof![text, bytes, close, notice, kept]
    }

    fn any_envelope() -> impl Strategy<Value = Envelope> {
        let number = prop::option::of((any::<u32>(), any::<u64>()));
        let number = number.prop_map(|it| it.map(|(stream, at)| Number { stream, at }));
        (any::<u64>(), any::<u64>(), number, any_content())
            .prop_map(|(node, client, number, content)| Envelope { node, client, number, content })
    }

    /// Bytes that are more often an envelope than any would be.
    fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
        let bytes = || vec(any::<u8>(), 0..80);
        let like = (any::<u8>(), any::<u8>(), bytes()).prop_map(|(kind, opcode, rest)| {
            [&[MARK, VERSION, kind % 12, opcode], &*rest].concat()
        });
        let broken = (any_envelope(), any::<prop::sample::Index>(), any::<u8>()).prop_map(
            |(envelope, at, byte)| {
                let mut bytes = envelope.encode().to_vec();
                let at = at.index(bytes.len());
                bytes[at] = byte;
                bytes
            },
        );
        let cut = (any_envelope(), any::<prop::sample::Index>()).prop_map(|(envelope, at)| {
            let bytes = envelope.encode();
            bytes[..at.index(bytes.len())].to_vec()
        });
        prop_oneof![bytes(), like, broken, cut]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn any_envelope_comes_back(envelope in any_envelope()) {
            prop_assert_eq!(decode(envelope.encode()), Some(envelope));
        }

        /// What is taken for an envelope, is one; and nothing panics.
        #[test]
        fn any_bytes_are_an_envelope_or_a_message_or_nothing(bytes in any_bytes()) {
            if let Some(envelope) = decode(bytes.clone()) {
                if bytes.first() == Some(&MARK) {
                    prop_assert_eq!(decode(envelope.encode()), Some(envelope));
                } else {
                    let Content::Message { payload, .. } = envelope.content else {
                        panic!("{:?}", envelope.content)
                    };
                    prop_assert_eq!(payload, bytes);
                }
            }
        }
    }
}

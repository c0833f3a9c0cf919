#![forbid(unsafe_code)]

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::sender::BY_REFERENCE;
use super::{PreparedMessage, Text, Utf8Bytes};
use crate::buf::Payload;
use crate::wire::Opcode;

/// A message of its own, independent of any buffer. Cloning costs a reference count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums)] // RFC 6455 §5.6 has these two data frames
pub enum Message {
    /// Text.
    Text(Utf8Bytes),
    /// Arbitrary bytes.
    Binary(Bytes),
}

impl Message {
    /// Returns the length of the payload, in bytes.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Returns whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// Returns the text, if this is a text message.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// Returns the payload, whichever kind of message this is.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// Returns the payload, without a copy.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Utf8Bytes> for Message {
    fn from(text: Utf8Bytes) -> Self {
        Self::Text(text)
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        Self::Binary(Bytes::copy_from_slice(bytes))
    }
}

/// The two kinds of message (RFC 6455 §5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums)] // RFC 6455 §5.6 has these two data frames
pub enum MessageKind {
    /// UTF-8.
    Text,
    /// Arbitrary bytes.
    Binary,
}

impl MessageKind {
    #[inline]
    pub(crate) const fn opcode(self) -> Opcode {
        match self {
            Self::Text => Opcode::Text,
            Self::Binary => Opcode::Binary,
        }
    }
}

/// Something to send: a text, a binary message, a ping or a pong; borrowed or owned.
///
/// Strings become text, bytes become binary, and pings and pongs are made with
/// [`ping`](Self::ping) and [`pong`](Self::pong). A server queues an owned payload of 16 KiB or
/// more by reference; everything else is copied into the send buffer.
#[derive(Clone, Debug)]
pub struct MessageRef<'a> {
    pub(crate) opcode: Opcode,
    pub(crate) payload: PayloadRef<'a>,
    /// Not to be compressed.
    pub(crate) plain: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum PayloadRef<'a> {
    Borrowed(&'a [u8]),
    Owned(Bytes),
    /// Encoded already.
    Prepared(&'a PreparedMessage),
}

impl PayloadRef<'_> {
    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
            Self::Prepared(message) => message.payload(),
        }
    }
}

/// It is sent as it was encoded.
impl<'a> From<&'a PreparedMessage> for MessageRef<'a> {
    fn from(message: &'a PreparedMessage) -> Self {
        let payload = PayloadRef::Prepared(message);
        Self { opcode: message.0.opcode, payload, plain: false }
    }
}

impl<'a> MessageRef<'a> {
    /// Makes a text message.
    #[inline]
    pub const fn text(text: &'a str) -> Self {
        Self::borrowed(Opcode::Text, text.as_bytes())
    }

    /// Makes a binary message.
    #[inline]
    pub const fn binary(bytes: &'a [u8]) -> Self {
        Self::borrowed(Opcode::Binary, bytes)
    }

    /// Makes a ping with at most 125 bytes. The peer sends them back in a pong.
    pub const fn ping(payload: &'a [u8]) -> Self {
        Self::borrowed(Opcode::Ping, payload)
    }

    /// Makes an unsolicited pong with at most 125 bytes: a heartbeat that asks for no answer. Pings
    /// are answered without it.
    pub const fn pong(payload: &'a [u8]) -> Self {
        Self::borrowed(Opcode::Pong, payload)
    }

    /// Returns the opcode of the frame that it becomes.
    pub const fn opcode(&self) -> Opcode {
        self.opcode
    }

    /// Returns the payload, before any compression.
    pub fn payload(&self) -> &[u8] {
        self.payload.as_slice()
    }

    /// Keeps the message from being compressed, on a connection that compresses.
    ///
    /// For messages that carry a secret beside something an attacker can choose: the length of the
    /// compressed message would tell how much of the one is in the other (RFC 7692 §8, CRIME and
    /// BREACH). Also for what is compressed already, such as pictures; that is found out otherwise
    /// by trying. Without compression this changes nothing.
    #[must_use]
    pub const fn uncompressed(mut self) -> Self {
        self.plain = true;
        self
    }

    #[inline]
    const fn borrowed(opcode: Opcode, payload: &'a [u8]) -> Self {
        Self { opcode, payload: PayloadRef::Borrowed(payload), plain: false }
    }

    /// Returns what is in a receive buffer: handed over where it would be queued by reference.
    #[inline]
    pub(super) fn from_payload(kind: MessageKind, payload: Payload<'a>) -> Self {
        let payload = match payload.into_bytes_or_slice(BY_REFERENCE) {
            Ok(bytes) => PayloadRef::Owned(bytes),
            Err(slice) => PayloadRef::Borrowed(slice),
        };
        Self { opcode: kind.opcode(), payload, plain: false }
    }

    const fn owned(opcode: Opcode, bytes: Bytes) -> Self {
        Self { opcode, payload: PayloadRef::Owned(bytes), plain: false }
    }
}

impl<'a> From<&'a str> for MessageRef<'a> {
    #[inline]
    fn from(text: &'a str) -> Self {
        Self::text(text)
    }
}

impl<'a> From<&'a String> for MessageRef<'a> {
    fn from(text: &'a String) -> Self {
        Self::text(text)
    }
}

impl<'a> From<&'a Text<'_>> for MessageRef<'a> {
    #[inline]
    fn from(text: &'a Text<'_>) -> Self {
        Self::text(text)
    }
}

impl From<String> for MessageRef<'_> {
    fn from(text: String) -> Self {
        Self::owned(Opcode::Text, text.into())
    }
}

impl From<Utf8Bytes> for MessageRef<'_> {
    fn from(text: Utf8Bytes) -> Self {
        Self::owned(Opcode::Text, text.into_bytes())
    }
}

impl<'a> From<&'a [u8]> for MessageRef<'a> {
    #[inline]
    fn from(bytes: &'a [u8]) -> Self {
        Self::binary(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for MessageRef<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::binary(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for MessageRef<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::binary(bytes)
    }
}

impl<'a> From<&'a super::Binary<'_>> for MessageRef<'a> {
    #[inline]
    fn from(binary: &'a super::Binary<'_>) -> Self {
        Self::binary(binary)
    }
}

impl From<Vec<u8>> for MessageRef<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::owned(Opcode::Binary, bytes.into())
    }
}

impl From<Bytes> for MessageRef<'_> {
    fn from(bytes: Bytes) -> Self {
        Self::owned(Opcode::Binary, bytes)
    }
}

impl From<Message> for MessageRef<'_> {
    fn from(message: Message) -> Self {
        match message {
            Message::Text(text) => text.into(),
            Message::Binary(bytes) => bytes.into(),
        }
    }
}

/// Costs a reference count, so that a large payload can be queued without a copy.
impl From<&Message> for MessageRef<'_> {
    fn from(message: &Message) -> Self {
        message.clone().into()
    }
}

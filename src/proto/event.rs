// `Text` is a `str` without a second look at its bytes; see `text.rs`.
#![allow(unsafe_code)]

use core::fmt;
use core::ops::Deref;

use bytes::Bytes;

use super::text::str_unchecked;
use super::{Message, MessageKind, MessageRef, Utf8Bytes};
use crate::buf::Payload;
use crate::wire::CloseFrame;

/// Event of a connection: a message, a control frame. It borrows the receive buffer only: the
/// connection and the send buffer stay free for an answer while the payload is held.
///
/// An event has been consumed when it is returned; dropping it loses nothing but its payload.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'b> {
    /// A whole text message.
    Text(Text<'b>),
    /// A whole binary message.
    Binary(Binary<'b>),
    /// A part of a message, for who asks for it: [`Connection::poll_chunk`],
    /// `next_chunk` of the adapters.
    ///
    /// [`Connection::poll_chunk`]: super::Connection::poll_chunk
    Chunk(Chunk<'b>),
    /// A ping. Its pong is in the send buffer already.
    Ping(&'b [u8]),
    /// A pong.
    Pong(&'b [u8]),
    /// The peer's Close frame, `None` when it had no payload. The reply is in the send buffer
    /// already, unless this is the answer to a Close of ours. No event follows it.
    Close(Option<CloseFrame<'b>>),
}

impl<'b> Event<'b> {
    /// Returns the message in this event, as something that can be sent.
    ///
    /// `None` for chunks and control frames.
    #[inline]
    pub fn as_message_ref(&self) -> Option<MessageRef<'_>> {
        match self {
            Self::Text(text) => Some(MessageRef::text(text)),
            Self::Binary(binary) => Some(MessageRef::binary(binary)),
            _ => None,
        }
    }

    /// Returns the message in this event as something that can be sent, in the cheapest way: a
    /// large payload that fills most of the receive buffer is handed over and needs no copy to be
    /// queued, anything else stays where it is.
    ///
    /// `None` for chunks and control frames.
    #[inline]
    pub fn into_message_ref(self) -> Option<MessageRef<'b>> {
        match self {
            Self::Text(text) => Some(text.into()),
            Self::Binary(binary) => Some(binary.into()),
            _ => None,
        }
    }

    /// Returns the message in this event, owned: a small payload is copied, a large one is handed
    /// over.
    ///
    /// `None` for chunks and control frames.
    pub fn into_message(self) -> Option<Message> {
        match self {
            Self::Text(text) => Some(Message::Text(text.into_owned())),
            Self::Binary(binary) => Some(Message::Binary(binary.into_bytes())),
            _ => None,
        }
    }
}

/// A text message in the receive buffer; a `str` in all but name.
pub struct Text<'b>(Payload<'b>);

impl<'b> Text<'b> {
    /// # Safety
    ///
    /// The payload must be UTF-8.
    pub(super) unsafe fn new_unchecked(payload: Payload<'b>) -> Self {
        debug_assert!(core::str::from_utf8(payload.as_slice()).is_ok());
        Self(payload)
    }

    /// Returns the text.
    #[inline]
    pub fn as_str(&self) -> &str {
        self
    }

    /// Returns the text for as long as the receive buffer is borrowed.
    #[inline]
    pub fn into_str(self) -> &'b str {
        // SAFETY: `new_unchecked` has the promise that the payload is UTF-8.
        unsafe { str_unchecked(self.0.into_slice()) }
    }

    /// Returns the text, owned: copied when it is small, handed over without a copy when it fills
    /// most of the buffer. A small text never keeps a large buffer alive.
    pub fn into_owned(self) -> Utf8Bytes {
        // SAFETY: `new_unchecked` has the promise that the payload is UTF-8.
        unsafe { Utf8Bytes::from_bytes_unchecked(self.0.into_bytes()) }
    }
}

impl<'b> From<Text<'b>> for MessageRef<'b> {
    #[inline]
    fn from(text: Text<'b>) -> Self {
        Self::from_payload(MessageKind::Text, text.0)
    }
}

impl Deref for Text<'_> {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        // SAFETY: `new_unchecked` has the promise that the payload is UTF-8.
        unsafe { str_unchecked(self.0.as_slice()) }
    }
}

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        self
    }
}

impl AsRef<[u8]> for Text<'_> {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

/// A binary message in the receive buffer; a byte slice in all but name.
pub struct Binary<'b>(Payload<'b>);

impl<'b> Binary<'b> {
    pub(super) fn new(payload: Payload<'b>) -> Self {
        Self(payload)
    }

    /// Returns the payload.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        self
    }

    /// Returns the payload for as long as the receive buffer is borrowed.
    #[inline]
    pub fn into_slice(self) -> &'b [u8] {
        self.0.into_slice()
    }

    /// Returns the payload, owned: copied when it is small, handed over without a copy when it
    /// fills most of the buffer. A small payload never keeps a large buffer alive.
    pub fn into_bytes(self) -> Bytes {
        self.0.into_bytes()
    }
}

impl<'b> From<Binary<'b>> for MessageRef<'b> {
    #[inline]
    fn from(binary: Binary<'b>) -> Self {
        Self::from_payload(MessageKind::Binary, binary.0)
    }
}

impl Deref for Binary<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl AsRef<[u8]> for Binary<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq<[u8]> for Binary<'_> {
    fn eq(&self, other: &[u8]) -> bool {
        **self == *other
    }
}

impl PartialEq<&[u8]> for Binary<'_> {
    fn eq(&self, other: &&[u8]) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Binary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// A part of a message as it arrived: where it is cut means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Chunk<'b> {
    /// Kind of the message.
    pub kind: MessageKind,
    /// This part begins the message.
    pub first: bool,
    /// This part ends the message. It may be empty; no other part is.
    pub last: bool,
    /// The payload. Of a text message it may end inside a code point; what has been delivered so
    /// far is always the beginning of valid UTF-8.
    pub payload: &'b [u8],
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use bytes::Buf;

    use super::*;
    use crate::Config;
    use crate::buf::{RecvBuffer, SendBuffer};
    use crate::proto::Connection;

    /// Receives a text and looks at it in each way; the buffer is used again for the next one.
    fn check(ends: [Connection; 2]) {
        let [mut client, mut server] = ends;
        let (mut tx, mut rx) = (SendBuffer::new(), RecvBuffer::new());
        // some stay while others come, in memory that was handed over or is lent
        let mut kept = Vec::new();
        // Miri takes its time
        let lens = if cfg!(miri) { [0, 1, 130, 300, 700] } else { [0, 1, 200, 5_000, 40_000] };
        for len in lens {
            let text: String = "a\u{e4}\u{20ac}\u{1d11e}".chars().cycle().take(len).collect();
            for way in 0..4 {
                client.feed(&mut tx, &*text).unwrap();
                let middle = tx.remaining() / 2;
                for n in [middle, tx.remaining() - middle] {
                    rx.extend_from_slice(&tx.copy_to_bytes(n));
                    let event = server.poll_event(&mut rx, &mut SendBuffer::new()).unwrap();
                    let Some(Event::Text(received)) = event else { continue };
                    match way {
                        0 => assert_eq!(received.as_str(), text),
                        1 => assert_eq!(received.into_str(), text),
                        2 => kept.push((received.into_owned(), text.clone())),
                        _ => {
                            let message = Event::Text(received).into_message().unwrap();
                            assert_eq!(message.as_text(), Some(&*text));
                        }
                    }
                }
                assert!(server.poll_event(&mut rx, &mut tx).unwrap().is_none());
            }
        }
        assert_eq!(kept.len(), 5);
        kept.iter().for_each(|(received, text)| assert_eq!(received.as_str(), text));
    }

    #[test]
    fn a_text_is_the_one_that_was_sent() {
        let config = Config::new();
        check([Connection::client(&config, [1; 32]), Connection::server(&config)]);
    }

    #[cfg(feature = "deflate")]
    #[test]
    fn a_text_that_was_compressed_is_too() {
        use crate::deflate::{Agreement, Deflate};

        let config = Config::new();
        let ends = [Connection::client(&config, [1; 32]), Connection::server(&config)];
        check(ends.map(|it| it.with_deflate(Agreement::new(), &Deflate::new())));
    }
}

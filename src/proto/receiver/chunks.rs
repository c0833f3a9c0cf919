//! Messages delivered as they arrive, in chunks.
#![forbid(unsafe_code)]

use super::{MessageProgress, Ready, Receiver};
use crate::buf::RecvBuffer;
#[cfg(feature = "std")]
use crate::proto::MessageKind;

impl Receiver {
    /// Chooses how the next message is delivered.
    pub(crate) fn deliver(&mut self, in_chunks: bool, rx: &RecvBuffer) {
        match in_chunks {
            true => self.deliver_chunks(rx),
            false => self.deliver_messages(),
        }
    }

    /// From now on payloads are delivered as they arrive, also that of a message under way: what
    /// has arrived of it is the first chunk.
    pub(crate) fn deliver_chunks(&mut self, rx: &RecvBuffer) {
        if !self.in_chunks {
            self.in_chunks = true;
            self.refresh();
            self.ready = match self.ready {
                Some(Ready::Message(kind)) => Some(Ready::Chunk { kind, first: true, last: true }),
                #[cfg(feature = "deflate")]
                Some(Ready::InflatedMessage(kind)) => {
                    Some(Ready::InflatedChunk { kind, first: true, last: true })
                }
                None => self.first_chunk(rx),
                ready => ready,
            };
        }
    }

    /// Returns what had arrived of a message before chunks were asked for, as its first one. A
    /// compressed one follows with the next byte, when it is inflated on.
    pub(super) fn first_chunk(&mut self, rx: &RecvBuffer) -> Option<Ready> {
        let MessageProgress { begun, kind, .. } = self.message;
        if !self.in_chunks || begun || self.message.is_compressed() || rx.assembled().is_empty() {
            return None;
        }
        let kind = kind?;
        self.message.begun = true;
        Some(Ready::Chunk { kind, first: true, last: false })
    }

    /// From now on messages are delivered whole, once the one that was begun in chunks has ended.
    #[inline]
    pub(crate) fn deliver_messages(&mut self) {
        if self.in_chunks && !self.is_inside_chunks() {
            self.in_chunks = false;
            self.refresh();
        }
    }

    /// Returns whether a part of a message was delivered, or lies there to be taken.
    fn is_inside_chunks(&self) -> bool {
        self.message.kind.is_some() && self.message.begun || self.ready.is_some_and(Ready::is_chunk)
    }

    /// Returns how many bytes may be taken in before anybody asks for them: as many as a message
    /// may have, where messages are held whole anyway.
    #[cfg(feature = "std")]
    pub(crate) fn max_ahead(&self) -> usize {
        if self.in_chunks {
            return SOME_AHEAD;
        }
        usize::try_from(self.max_message_len).unwrap_or(usize::MAX).max(SOME_AHEAD)
    }
}

#[cfg(feature = "std")]
impl Receiver {
    /// Returns the data that was found and not yet taken whole.
    pub(crate) fn held(&self) -> Option<Ready> {
        self.ready.filter(|ready| !ready.is_control())
    }

    /// Returns what is left of the payload of `ready`, which is [held](Self::held).
    pub(crate) fn held_payload(rx: &RecvBuffer, ready: Ready) -> &[u8] {
        if ready.is_inflated() { inflated(rx) } else { rx.assembled() }
    }

    /// Counts the first `n` bytes of that as consumed. With the last of them the event is over.
    pub(crate) fn consume_held(&mut self, rx: &mut RecvBuffer, ready: Ready, n: usize) {
        if n >= Self::held_payload(rx, ready).len() {
            self.ready = None;
        }
        #[cfg(feature = "deflate")]
        if ready.is_inflated() {
            return rx.consume_inflated(n);
        }
        rx.consume_assembled(n);
    }
}

impl Ready {
    pub(crate) fn is_chunk(self) -> bool {
        #[cfg(feature = "deflate")]
        return matches!(self, Self::Chunk { .. } | Self::InflatedChunk { .. });
        #[cfg(not(feature = "deflate"))]
        matches!(self, Self::Chunk { .. })
    }
}

#[cfg(feature = "std")]
impl Ready {
    /// Returns whether it is data, and of which kind.
    pub(crate) fn kind(self) -> Option<MessageKind> {
        match self {
            Self::Message(kind) | Self::Chunk { kind, .. } => Some(kind),
            #[cfg(feature = "deflate")]
            Self::InflatedMessage(kind) | Self::InflatedChunk { kind, .. } => Some(kind),
            Self::Ping(_) | Self::Pong(_) | Self::Close(_) => None,
        }
    }

    fn is_inflated(self) -> bool {
        #[cfg(feature = "deflate")]
        return matches!(self, Self::InflatedMessage(_) | Self::InflatedChunk { .. });
        #[cfg(not(feature = "deflate"))]
        false
    }
}

#[cfg(feature = "std")]
fn inflated(rx: &RecvBuffer) -> &[u8] {
    #[cfg(feature = "deflate")]
    return rx.inflated();
    #[cfg(not(feature = "deflate"))]
    {
        let _ = rx;
        &[]
    }
}

/// Bytes that may be taken in ahead where nothing is held whole: what a busy connection's buffer
/// has.
#[cfg(feature = "std")]
const SOME_AHEAD: usize = 4 * RecvBuffer::DEFAULT_READ_AHEAD;

#[cfg(test)]
#[cfg(feature = "std")]
mod tests {
    use bytes::Buf;

    use super::*;
    use crate::buf::SendBuffer;
    use crate::config::Config;
    use crate::proto::{Connection, Event, MessageRef, Role};

    /// What can be read as bytes is held until its last byte is consumed; a ping is not.
    fn check(mut peer: Connection, receiver: &mut Receiver) {
        let text = "Hello world ".repeat(20); // shorter compressed
        let (mut tx, mut rx) = (SendBuffer::new(), RecvBuffer::new());
        for in_chunks in [false, true, false] {
            for parts in [&[100, 140][..], &[240], &[1, 0, 1000]] {
                peer.feed(&mut tx, &text).unwrap();
                peer.feed(&mut tx, MessageRef::ping(b"?")).unwrap();
                rx.extend_from_slice(&tx.copy_to_bytes(tx.remaining()));
                receiver.deliver(in_chunks, &rx);
                let ready = receiver.advance(&mut rx).unwrap().unwrap();
                assert_eq!((ready.kind(), ready.is_chunk()), (Some(MessageKind::Text), in_chunks));
                let mut left = text.as_bytes();
                for &n in parts {
                    assert_eq!(receiver.held(), Some(ready));
                    assert_eq!(Receiver::held_payload(&rx, ready), left);
                    receiver.consume_held(&mut rx, ready, n);
                    left = &left[n.min(left.len())..];
                }
                assert_eq!(receiver.held(), None);
                let ready = receiver.advance(&mut rx).unwrap().unwrap();
                assert_eq!((ready, ready.kind(), receiver.held()), (Ready::Ping(1), None, None));
                receiver.take_event(&mut rx, ready);
                assert_eq!(receiver.advance(&mut rx), Ok(None));
            }
        }
        assert!(rx.is_idle());
    }

    #[test]
    fn held_data() {
        let config = Config::new();
        let client = || Connection::client(&config, [7; 32]);
        check(client(), &mut Receiver::new(Role::Server, &config));
        check(Connection::server(&config), &mut Receiver::new(Role::Client, &config));
        #[cfg(feature = "deflate")]
        {
            use crate::deflate::{Agreement, Deflate};

            let (agreed, settings) = (Agreement::new(), Deflate::new().threshold(0));
            let mut receiver = Receiver::new(Role::Server, &config);
            receiver.set_deflate(agreed);
            check(client().with_deflate(agreed, &settings), &mut receiver);
        }
    }

    /// What has arrived of a message is a chunk at once, also behind a control frame.
    #[test]
    fn chunks_are_asked_for_behind_a_control_frame() {
        let config = Config::new();
        let mut peer = Connection::server(&config);
        let mut receiver = Receiver::new(Role::Client, &config);
        let (mut tx, mut rx) = (SendBuffer::new(), RecvBuffer::new());
        peer.start_message(MessageKind::Text).unwrap().write(&mut tx, b"first").unwrap();
        peer.feed(&mut tx, MessageRef::ping(b"?")).unwrap();
        rx.extend_from_slice(&tx.copy_to_bytes(tx.remaining()));
        assert_eq!(receiver.advance(&mut rx), Ok(Some(Ready::Ping(1))));
        receiver.deliver(true, &rx);
        receiver.take_event(&mut rx, Ready::Ping(1));
        for (expected, first) in [("first", true), ("last", false)] {
            let ready = receiver.advance(&mut rx).unwrap().unwrap();
            let kind = MessageKind::Text;
            assert_eq!(ready, Ready::Chunk { kind, first, last: !first });
            let Event::Chunk(chunk) = receiver.take_event(&mut rx, ready) else { panic!() };
            assert_eq!(chunk.payload, expected.as_bytes());
            assert_eq!(receiver.advance(&mut rx), Ok(None));
            if first {
                peer.resume_message().unwrap().finish(&mut tx, b"last").unwrap();
                rx.extend_from_slice(&tx.copy_to_bytes(tx.remaining()));
            }
        }
    }

    /// As much as a message may have; where none is held whole, it is the same for all.
    #[test]
    fn what_may_be_taken_in_ahead() {
        for (limit, ahead) in [(1, SOME_AHEAD), (SOME_AHEAD + 1, SOME_AHEAD + 1)] {
            let config = Config::new().max_message_len(limit);
            let mut receiver = Receiver::new(Role::Client, &config);
            assert_eq!(receiver.max_ahead(), ahead);
            receiver.deliver(true, &RecvBuffer::new());
            assert_eq!(receiver.max_ahead(), SOME_AHEAD);
        }
    }
}

#![forbid(unsafe_code)]

use super::sender::Sender;
use super::{MessageKind, SendError};
use crate::buf::SendBuffer;
use crate::wire::{Opcode, Utf8Validator};

/// Sends one message in fragments (RFC 6455 §5.4). Made by
/// [`Connection::start_message`](super::Connection::start_message).
///
/// Every [`write`](Self::write) becomes one frame. The length of the message need not be known
/// beforehand. Dropping the writer does not end the message: until
/// [`finish`](Self::finish) other messages are refused, while pings, pongs and a Close may pass
/// between its fragments; [`Connection::resume_message`](super::Connection::resume_message) makes a
/// new writer for the rest.
#[derive(Debug)]
pub struct MessageWriter<'a> {
    sender: &'a mut Sender,
}

/// The state of a message sent in fragments.
#[derive(Debug)]
pub(super) struct Fragments {
    kind: MessageKind,
    /// The first fragment is out: the next ones are continuations.
    begun: bool,
    utf8: Utf8Validator,
    /// Treatment of the fragments: intended before the first one, settled from then on.
    #[cfg(feature = "deflate")]
    compress: bool,
}

impl Fragments {
    pub(super) fn new(kind: MessageKind) -> Self {
        Self {
            kind,
            begun: false,
            utf8: Utf8Validator::new(),
            #[cfg(feature = "deflate")]
            compress: true,
        }
    }
}

impl<'a> MessageWriter<'a> {
    pub(super) fn new(sender: &'a mut Sender) -> Self {
        Self { sender }
    }

    /// Keeps the message from being compressed, on a connection that compresses; for the reasons
    /// why, see [`MessageRef::uncompressed`](super::MessageRef::uncompressed). Does nothing once
    /// the first fragment is out.
    #[must_use]
    pub fn uncompressed(self) -> Self {
        #[cfg(feature = "deflate")]
        if let Some(fragments) = &mut self.sender.fragments
            && !fragments.begun
        {
            fragments.compress = false;
        }
        self
    }

    /// Sends a fragment. Nothing is written for an empty one.
    ///
    /// A fragment of a text message may end inside a code point. On a connection that compresses,
    /// each fragment is compressed so that the peer can inflate all of it: fragments should not be
    /// small.
    ///
    /// # Errors
    ///
    /// [`SendError::BufferFull`] or [`SendError::InvalidUtf8`]; nothing was written then, and the
    /// message can go on.
    pub fn write(&mut self, tx: &mut SendBuffer, payload: &[u8]) -> Result<(), SendError> {
        if payload.is_empty() {
            return Ok(());
        }
        self.put(tx, payload, false)
    }

    /// Sends the last fragment, which may be empty, and ends the message.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write); the message is then still unfinished.
    pub fn finish(mut self, tx: &mut SendBuffer, payload: &[u8]) -> Result<(), SendError> {
        self.put(tx, payload, true)
    }

    fn put(&mut self, tx: &mut SendBuffer, payload: &[u8], fin: bool) -> Result<(), SendError> {
        // nobody else can have closed it: this writer has the sender
        self.sender.finish(tx);
        self.sender.check_room(tx)?;
        let Some(fragments) = &mut self.sender.fragments else { return Err(SendError::NoMessage) };
        if fragments.kind == MessageKind::Text {
            let mut utf8 = fragments.utf8.clone();
            utf8.update(payload).map_err(|_| SendError::InvalidUtf8)?;
            if fin {
                utf8.finish().map_err(|_| SendError::InvalidUtf8)?;
            }
            fragments.utf8 = utf8;
        }
        // RFC 6455 §5.4: the first fragment has "an opcode other than 0", the others "the opcode
        // set to 0", and the last one "the FIN bit set".
        let opcode = if fragments.begun { Opcode::Continuation } else { fragments.kind.opcode() };
        let first = !core::mem::replace(&mut fragments.begun, true);
        #[cfg(feature = "deflate")]
        if self.compresses(first, fin, payload.len()) {
            if fin {
                self.sender.fragments = None;
            }
            self.sender.compress_fragment(tx, opcode, fin, payload);
            return Ok(());
        }
        #[cfg(not(feature = "deflate"))]
        let _ = first;
        if fin {
            self.sender.fragments = None;
        }
        let mut header = self.sender.header(opcode, payload.len());
        header.fin = fin;
        tx.put_frame(&header, payload);
        Ok(())
    }

    /// Returns whether the next fragment goes out compressed. The first one decides for all of
    /// them.
    #[cfg(feature = "deflate")]
    fn compresses(&mut self, first: bool, fin: bool, len: usize) -> bool {
        // The length of the message is known only if its first fragment is also its last.
        let least = if fin { len } else { usize::MAX };
        let worth = !first || self.sender.is_worth_compressing(least);
        let Some(fragments) = &mut self.sender.fragments else { return false };
        fragments.compress &= worth;
        fragments.compress && self.sender.deflation.is_some()
    }
}

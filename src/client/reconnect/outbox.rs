use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::error::Error;
use crate::proto::{Message, SendError};

/// The messages that were taken and are not written: one at a time is handed to a connection, so
/// that it is known of each whether the server can have it.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Message>,
    /// Of their payloads.
    bytes: usize,
    /// How much is kept while there is no connection.
    keep: Option<Limits>,
    /// The first one is in the hands of the connection.
    is_fed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    messages: usize,
    bytes: usize,
}

impl Outbox {
    /// Keeps messages for the next connection, up to these limits.
    pub(crate) fn keep(&mut self, messages: usize, bytes: usize) {
        self.keep = Some(Limits { messages, bytes });
    }

    pub(crate) fn keeps(&self) -> bool {
        self.keep.is_some()
    }

    /// Takes a message for a connection that has nothing else to send.
    pub(crate) fn push(&mut self, message: Message) {
        self.bytes += message.len();
        self.queue.push_back(message);
    }

    /// Takes a message while there is no connection.
    pub(crate) fn push_offline(&mut self, message: Message) -> Result<(), SendError> {
        let Limits { messages, bytes } = self.keep.ok_or(SendError::NotOpen)?;
        let unsent = self.bytes.saturating_add(message.len());
        if self.queue.len() >= messages || unsent > bytes {
            return Err(SendError::BufferFull { unsent: self.bytes, limit: bytes });
        }
        self.push(message);
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Returns the message that is to be fed; `None` if there is none, or it has been.
    pub(crate) fn to_feed(&self) -> Option<&Message> {
        if self.is_fed { None } else { self.queue.front() }
    }

    /// Takes note of what became of that message. One that no connection would take is dropped:
    /// the caller is told.
    pub(crate) fn note_fed(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        match &result {
            Ok(()) => self.is_fed = true,
            Err(Error::Send(error)) if *error != SendError::NotOpen => self.drop_first(),
            Err(_) => {} // for another connection
        }
        result
    }

    /// Takes note that the only message, and the newest, was not written.
    pub(crate) fn not_written(&mut self, error: Error) -> Result<(), Error> {
        match error {
            Error::Send(fault) if fault != SendError::NotOpen => Err(error), // it is dropped
            _ if self.keeps() => Ok(()),
            _ => {
                self.is_fed = false;
                self.drop_first();
                Err(error)
            }
        }
    }

    /// Takes note that the transport has all that was fed.
    pub(crate) fn note_written(&mut self) {
        if core::mem::take(&mut self.is_fed) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        self.bytes -= self.queue.pop_front().map_or(0, |message| message.len());
    }

    /// Takes note that the connection is gone. What it had begun to write has not arrived as a
    /// message: it is unsent again.
    pub(crate) fn ended(&mut self) {
        self.is_fed = false;
    }

    /// Takes what is not kept for the next connection.
    pub(crate) fn take_lost(&mut self) -> Vec<Message> {
        if self.keeps() { Vec::new() } else { self.take() }
    }

    /// Takes the messages of which no byte was handed to a connection.
    pub(crate) fn take(&mut self) -> Vec<Message> {
        let taken: Vec<_> = self.queue.drain(usize::from(self.is_fed)..).collect();
        self.bytes -= taken.iter().map(Message::len).sum::<usize>();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(outbox: &Outbox) -> Option<&str> {
        outbox.to_feed().and_then(Message::as_text)
    }

    #[test]
    fn what_was_not_written_is_sent_again_or_returned() {
        for keeps in [false, true] {
            let mut outbox = Outbox::default();
            if keeps {
                outbox.keep(8, 100);
            }
            outbox.push("a".into());
            outbox.push("b".into());
            assert_eq!(text(&outbox), Some("a"));
            outbox.note_fed(Ok(())).unwrap();
            assert_eq!(text(&outbox), None, "one at a time");
            outbox.note_written();
            outbox.note_written();
            assert_eq!(text(&outbox), Some("b"));
            outbox.note_fed(Ok(())).unwrap();
            assert_eq!(outbox.take(), []);
            outbox.ended();
            let unsent = outbox.take_lost();
            if keeps {
                assert_eq!((unsent.len(), text(&outbox)), (0, Some("b")));
                assert_eq!(outbox.take(), ["b".into()]);
            } else {
                assert_eq!((unsent, text(&outbox)), (Vec::from(["b".into()]), None));
            }
            assert_eq!((outbox.len(), outbox.bytes), (0, 0));
        }
    }

    #[test]
    fn limits() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push_offline("a".into()), Err(SendError::NotOpen));
        outbox.keep(2, 5);
        outbox.push_offline("abc".into()).unwrap();
        let full = SendError::BufferFull { unsent: 3, limit: 5 };
        assert_eq!(outbox.push_offline("def".into()), Err(full));
        outbox.push_offline("de".into()).unwrap();
        assert!(outbox.push_offline("".into()).is_err(), "a third message");
        outbox.drop_first();
        outbox.push_offline("fgh".into()).unwrap();
    }
}

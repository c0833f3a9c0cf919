#![forbid(unsafe_code)]

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use crate::driver::Driver;
use crate::pool::{self, Pool, PooledTx};
use crate::proto::{MessageRef, PayloadRef, PreparedMessage, Sender};
use crate::server::observe::tally;
use crate::wire::Opcode;

/// The messages that wait for one client, in order. An empty one that was [released](Self::release)
/// holds no memory.
#[derive(Default)]
pub(crate) struct Queue {
    /// Comes before the rest. A broadcast to a client that keeps up needs nothing else: a reference
    /// count, and no memory.
    first: Option<PreparedMessage>,
    rest: Option<Box<Ring>>,
    /// The sum of what the messages in both are [charged](charge).
    bytes: usize,
}

impl Queue {
    /// Returns the number of messages.
    pub(crate) fn len(&self) -> usize {
        let rest = self.rest.as_ref().map_or(0, |ring| ring.messages.len());
        usize::from(self.first.is_some()) + rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns what the messages are charged, in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, message: MessageRef<'_>) {
        self.bytes += charge_of(&message);
        match message {
            MessageRef { payload: PayloadRef::Prepared(message), plain: false, .. }
                if self.is_empty() =>
            {
                self.first = Some(message.clone());
            }
            message => self.rest.get_or_insert_with(fetch).push(message),
        }
    }

    /// Moves the first message to the send buffer of its connection.
    pub(crate) fn send_first(&mut self, driver: &mut Driver) {
        self.take_first(|message| feed(driver, message));
    }

    /// Moves the first message to a send buffer, as one frame that is not compressed.
    pub(crate) fn put_first(&mut self, tx: &mut PooledTx) {
        self.take_first(|message| put(tx, message));
    }

    /// Takes a broadcast that waits alone. It counts as sent.
    pub(crate) fn take_lone(&mut self) -> Option<PreparedMessage> {
        if self.len() != 1 {
            return None;
        }
        let message = self.first.take()?;
        self.bytes = 0;
        if !message.is_control() {
            tally::sent(message.payload().len());
        }
        Some(message)
    }

    fn take_first(&mut self, take: impl FnOnce(MessageRef<'_>)) {
        let mut len = 0;
        if let Some(message) = self.first.take() {
            len = message.payload().len();
            take((&message).into());
        } else if let Some(rest) = &mut self.rest {
            len = rest.take_first(take);
        }
        self.bytes -= charge(len);
    }

    /// Drops the first message.
    pub(crate) fn drop_first(&mut self) {
        if let Some(message) = self.first.take() {
            self.bytes -= charge(message.payload().len());
        } else if let Some(rest) = &mut self.rest {
            self.bytes -= charge(rest.drop_first());
        }
    }

    /// Drops all messages.
    pub(crate) fn clear(&mut self) {
        self.first = None;
        self.bytes = 0;
        if let Some(rest) = &mut self.rest {
            rest.messages.clear();
            rest.flat.clear();
        }
        self.release();
    }

    /// Gives the memory of an empty queue back to the thread's pool.
    pub(crate) fn release(&mut self) {
        if let Some(rest) = self.rest.take_if(|rest| rest.messages.is_empty()) {
            Pool::keep(&POOL, rest);
        }
    }
}

std::thread_local! {
    static POOL: Pool<Ring> = const { Pool::new() };
}

fn fetch() -> Box<Ring> {
    Pool::take(&POOL).unwrap_or_default()
}

/// Messages in order. Small payloads lie one behind the other in one piece of memory.
#[derive(Default)]
struct Ring {
    messages: VecDeque<Queued>,
    flat: BytesMut,
}

/// A message in a [`Ring`].
enum Queued {
    /// The next `len` bytes of `flat`.
    Flat {
        opcode: Opcode,
        len: usize,
        plain: bool,
    },
    Owned {
        opcode: Opcode,
        bytes: Bytes,
        plain: bool,
    },
    Prepared {
        message: PreparedMessage,
        plain: bool,
    },
}

impl Ring {
    fn push(&mut self, message: MessageRef<'_>) {
        let MessageRef { opcode, payload, plain } = message;
        let queued = match payload {
            PayloadRef::Prepared(message) => Queued::Prepared { message: message.clone(), plain },
            PayloadRef::Owned(bytes) if bytes.len() >= BY_REFERENCE => {
                Queued::Owned { opcode, bytes, plain }
            }
            payload if payload.as_slice().len() >= BY_REFERENCE => {
                let bytes = Bytes::copy_from_slice(payload.as_slice());
                Queued::Owned { opcode, bytes, plain }
            }
            payload => {
                self.flat.extend_from_slice(payload.as_slice());
                Queued::Flat { opcode, len: payload.as_slice().len(), plain }
            }
        };
        self.messages.push_back(queued);
    }

    /// Takes the first message out. Returns its length.
    fn take_first(&mut self, take: impl FnOnce(MessageRef<'_>)) -> usize {
        match self.messages.pop_front() {
            None => 0,
            Some(Queued::Flat { opcode, len, plain }) => {
                let payload = PayloadRef::Borrowed(&self.flat[..len]);
                take(MessageRef { opcode, payload, plain });
                self.flat.advance(len);
                len
            }
            Some(Queued::Owned { opcode, bytes, plain }) => {
                let len = bytes.len();
                let payload = PayloadRef::Owned(bytes);
                take(MessageRef { opcode, payload, plain });
                len
            }
            Some(Queued::Prepared { message, plain }) => {
                take(MessageRef { plain, ..(&message).into() });
                message.payload().len()
            }
        }
    }

    /// Drops the first message. Returns its length.
    fn drop_first(&mut self) -> usize {
        match self.messages.pop_front() {
            None => 0,
            Some(Queued::Flat { len, .. }) => {
                self.flat.advance(len);
                len
            }
            Some(Queued::Owned { bytes, .. }) => bytes.len(),
            Some(Queued::Prepared { message, .. }) => message.payload().len(),
        }
    }
}

impl pool::Buffer for Ring {
    fn capacity(&self) -> usize {
        self.flat.capacity() + self.messages.capacity() * size_of::<Queued>()
    }
}

/// Puts a message into the send buffer, which fails if the connection is closing: so do all behind
/// it.
fn feed(driver: &mut Driver, message: MessageRef<'_>) {
    let (len, is_control) = (message.payload.as_slice().len(), message.opcode.is_control());
    if driver.feed(message).is_ok() && !is_control {
        tally::sent(len);
    }
}

/// Puts a message into a send buffer as it is.
fn put(tx: &mut PooledTx, message: MessageRef<'_>) {
    if !message.opcode.is_control() {
        tally::sent(message.payload.as_slice().len());
    }
    Sender::feed_plainly(tx.fetch(), message);
}

/// Returns what a message counts for.
#[inline]
pub(crate) fn charge_of(message: &MessageRef<'_>) -> usize {
    charge(message.payload.as_slice().len())
}

/// Returns what a message of this length counts for: with what keeps track of it, so that a limit
/// on bytes is one on messages too.
const fn charge(len: usize) -> usize {
    len.saturating_add(CHARGE)
}

/// Bytes for the entry that keeps track of a message: up to twice 40, as a ring doubles.
const CHARGE: usize = 64;

/// The length from which on payloads are kept by reference, as the send buffer does.
const BY_REFERENCE: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::Config;
    use crate::driver::Rest;
    use crate::proto::Connection;

    /// Whoever writes for a client writes the bytes that its task would.
    #[test]
    fn both_ways_out_are_the_same() {
        let prepared = PreparedMessage::new("prepared").unwrap();
        let large = PreparedMessage::new(MessageRef::binary(&[1; 100_000])).unwrap();
        let [mut by_task, mut by_another] = [(); 2].map(|()| {
            let mut queue = Queue::default();
            queue.push((&prepared).into());
            queue.push(MessageRef::text("text"));
            queue.push(MessageRef::binary(&[3; 200]));
            queue.push(Bytes::from(vec![2; 50_000]).into());
            queue.push(MessageRef::ping(b"ping"));
            queue.push((&large).into());
            queue.push(MessageRef::text("").uncompressed());
            queue
        });
        let (_, sender) = Connection::server(&Config::new()).split();
        let mut driver = Driver::from_parts(sender, PooledTx::default(), Rest::new());
        let mut tx = PooledTx::default();
        while !by_task.is_empty() {
            by_task.send_first(&mut driver);
            by_another.put_first(&mut tx);
            assert_eq!(by_task.bytes(), by_another.bytes());
        }
        assert!(by_another.is_empty() && by_another.bytes() == 0);
        let (_, mut driven, _) = driver.into_parts();
        let mut tx = tx.into_inner();
        assert!(driven.len() > 150_000);
        assert_eq!(driven.copy_to_bytes(driven.remaining()), tx.copy_to_bytes(tx.remaining()));
    }
}

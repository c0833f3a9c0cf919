use alloc::boxed::Box;
use alloc::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use crate::driver::Driver;
use crate::pool::{self, Pool};
use crate::proto::{MessageRef, PayloadRef, PreparedMessage};
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

    /// Moves the first message to the send buffer.
    pub(crate) fn send_first(&mut self, driver: &mut Driver) {
        let mut len = 0;
        if let Some(message) = self.first.take() {
            len = message.payload().len();
            feed(driver, (&message).into());
        } else if let Some(rest) = &mut self.rest {
            len = rest.send_first(driver);
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

    /// Moves the first message to the send buffer. Returns its length.
    fn send_first(&mut self, driver: &mut Driver) -> usize {
        match self.messages.pop_front() {
            None => 0,
            Some(Queued::Flat { opcode, len, plain }) => {
                let payload = PayloadRef::Borrowed(&self.flat[..len]);
                feed(driver, MessageRef { opcode, payload, plain });
                self.flat.advance(len);
                len
            }
            Some(Queued::Owned { opcode, bytes, plain }) => {
                let len = bytes.len();
                let payload = PayloadRef::Owned(bytes);
                feed(driver, MessageRef { opcode, payload, plain });
                len
            }
            Some(Queued::Prepared { message, plain }) => {
                feed(driver, MessageRef { plain, ..(&message).into() });
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

/// Returns what a message counts for.
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

#![forbid(unsafe_code)]

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::mem;

use bytes::{Buf, Bytes, BytesMut};

use super::run::Piece;
use crate::driver::Driver;
use crate::pool::{self, Pool, PooledTx};
use crate::proto::{MessageRef, PayloadRef, PreparedMessage, Sender};
use crate::server::observe::tally;
use crate::wire::Opcode;

/// The messages that wait for one client, in order. An empty one that was [released](Self::release)
/// holds no memory.
///
/// The memory of a message may be the user's ([`Bytes::from_owner`]), and do anything when it is
/// dropped. None is dropped in here, where a lock is held: it is returned.
#[derive(Default)]
pub(crate) struct Queue {
    /// Comes before the rest. Broadcasts to a client that keeps up need nothing else: a reference
    /// count, and no memory.
    first: Option<Piece>,
    rest: Option<Box<Ring>>,
    /// The sum of what the messages in both are [charged](charge).
    bytes: usize,
}

impl Queue {
    /// Returns the number of messages.
    pub(crate) fn len(&self) -> usize {
        let rest = self.rest.as_ref().map_or(0, |ring| ring.len);
        self.first.as_ref().map_or(0, Piece::len) + rest
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none() && self.has_no_rest()
    }

    #[inline]
    fn has_no_rest(&self) -> bool {
        self.rest.as_ref().is_none_or(|ring| ring.len == 0)
    }

    /// Returns what the messages are charged, in bytes.
    #[inline]
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, message: &MessageRef<'_>) {
        self.bytes += charge_of(message);
        self.rest.get_or_insert_with(fetch).push(message);
    }

    /// Adds a broadcast, which is charged so much.
    #[inline]
    pub(crate) fn push_broadcast(&mut self, piece: &Piece, charge: usize) {
        self.bytes += charge;
        if self.has_no_rest() {
            match &mut self.first {
                None => {
                    self.first = Some(piece.clone());
                    return;
                }
                Some(first) => {
                    if first.extend(piece) {
                        return;
                    }
                }
            }
        }
        self.rest.get_or_insert_with(fetch).push_broadcast(piece);
    }

    /// Moves the first message to the send buffer of its connection. Returns its memory.
    pub(crate) fn send_first(&mut self, driver: &mut Driver) -> Option<Bytes> {
        self.take_first(|message| feed(driver, message))
    }

    /// Moves the first message to a send buffer, as one frame that is not compressed. Returns its
    /// memory.
    pub(crate) fn put_first(&mut self, tx: &mut PooledTx) -> Option<Bytes> {
        self.take_first(|message| put(tx, message))
    }

    /// Takes broadcasts of one run that wait alone.
    #[inline]
    pub(crate) fn take_lone(&mut self) -> Option<Piece> {
        if !self.has_no_rest() {
            return None;
        }
        let piece = self.first.take()?;
        self.bytes = 0;
        Some(piece)
    }

    fn take_first(&mut self, take: impl FnOnce(MessageRef<'_>)) -> Option<Bytes> {
        debug_assert!(!self.is_empty());
        let (len, memory) = if self.first.is_some() {
            (take_of_piece(&mut self.first, take), None)
        } else {
            self.rest.as_mut().map_or((0, None), |rest| rest.take_first(take))
        };
        self.bytes -= charge(len);
        memory
    }

    /// Takes the first message out. Returns its memory.
    pub(crate) fn drop_first(&mut self) -> Option<Bytes> {
        self.take_first(|_| {})
    }

    /// Takes all messages out.
    pub(crate) fn clear(&mut self) -> Self {
        self.release();
        mem::take(self)
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
    /// The number of messages: a piece has several.
    len: usize,
    /// The number of pieces.
    pieces: usize,
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
    /// Never empty.
    Broadcasts(Piece),
}

impl Ring {
    fn push(&mut self, message: &MessageRef<'_>) {
        let MessageRef { opcode, payload, plain } = message;
        let (opcode, plain) = (*opcode, *plain);
        let queued = match payload {
            &PayloadRef::Prepared(message) => Queued::Prepared { message: message.clone(), plain },
            PayloadRef::Owned(bytes) if bytes.len() >= BY_REFERENCE => {
                Queued::Owned { opcode, bytes: bytes.clone(), plain }
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
        self.len += 1;
    }

    fn push_broadcast(&mut self, piece: &Piece) {
        self.len += piece.len();
        if let Some(Queued::Broadcasts(last)) = self.messages.back_mut()
            && last.extend(piece)
        {
            return;
        }
        if self.pieces < MAX_PIECES {
            self.pieces += 1;
            self.messages.push_back(Queued::Broadcasts(piece.clone()));
        } else {
            let alone = |message: &PreparedMessage| Queued::Prepared {
                message: message.clone(),
                plain: false,
            };
            self.messages.extend(piece.messages().map(alone));
        }
    }

    /// Takes the first message out. Returns its length, and its memory.
    fn take_first(&mut self, take: impl FnOnce(MessageRef<'_>)) -> (usize, Option<Bytes>) {
        let Some(queued) = self.messages.pop_front() else { return (0, None) };
        self.len -= 1;
        let len = match queued {
            Queued::Flat { opcode, len, plain } => {
                let payload = PayloadRef::Borrowed(&self.flat[..len]);
                take(MessageRef { opcode, payload, plain });
                self.flat.advance(len);
                len
            }
            Queued::Owned { opcode, bytes, plain } => {
                let payload = PayloadRef::Owned(bytes.clone());
                take(MessageRef { opcode, payload, plain });
                return (bytes.len(), Some(bytes));
            }
            Queued::Prepared { message, plain } => {
                take(MessageRef { plain, ..(&message).into() });
                message.payload().len()
            }
            Queued::Broadcasts(piece) => {
                let mut piece = Some(piece);
                let len = take_of_piece(&mut piece, take);
                match piece {
                    Some(rest) => self.messages.push_front(Queued::Broadcasts(rest)),
                    None => self.pieces -= 1,
                }
                len
            }
        };
        (len, None)
    }
}

/// Takes the first message out of a piece, and that away with its last. Returns its length.
fn take_of_piece(piece: &mut Option<Piece>, take: impl FnOnce(MessageRef<'_>)) -> usize {
    let mut len = 0;
    if let Some(message) = piece.as_ref().and_then(Piece::first) {
        len = message.payload().len();
        take(message.into());
    }
    drop(piece.take_if(|piece| !piece.advance()));
    len
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

/// The most pieces of runs in a ring, as each may keep messages alive that others had and this
/// client had not, or has no more: one that has more of them waiting does not keep up anyway.
const MAX_PIECES: usize = 4;

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::super::run::piece_of;
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
            let piece = |message| (piece_of(message, &[], None), charge_of(&message.into()));
            for message in [&prepared, &prepared, &large] {
                let (piece, charge) = piece(message);
                queue.push_broadcast(&piece, charge);
            }
            queue.push(&(&prepared).into());
            queue.push(&MessageRef::text("text"));
            queue.push(&MessageRef::binary(&[3; 200]));
            queue.push(&Bytes::from(vec![2; 50_000]).into());
            queue.push(&MessageRef::ping(b"ping"));
            queue.push(&(&large).into());
            queue.push(&MessageRef::text("").uncompressed());
            for message in [&prepared, &prepared] {
                let (piece, charge) = piece(message);
                queue.push_broadcast(&piece, charge);
            }
            assert_eq!(queue.len(), 12);
            queue
        });
        let (_, sender) = Connection::server(&Config::new()).split();
        let mut driver = Driver::from_parts(sender, PooledTx::default(), Rest::new());
        let mut tx = PooledTx::default();
        while !by_task.is_empty() {
            by_task.send_first(&mut driver);
            by_another.put_first(&mut tx);
            assert_eq!(by_task.bytes(), by_another.bytes());
            assert_eq!(by_task.len(), by_another.len());
        }
        assert!(by_another.is_empty() && by_another.bytes() == 0);
        let (_, mut driven, _) = driver.into_parts();
        let mut tx = tx.into_inner();
        assert!(driven.len() > 250_000);
        assert_eq!(driven.copy_to_bytes(driven.remaining()), tx.copy_to_bytes(tx.remaining()));
    }

    /// A client that refuses what others take keeps few runs, with what it has refused, alive.
    #[test]
    fn a_queue_with_gaps_keeps_few_runs() {
        let mut queue = Queue::default();
        for _ in 0..2 {
            for n in 0..100 {
                let message = PreparedMessage::new(MessageRef::binary(&[n])).unwrap();
                let piece = piece_of(&message, &[], None);
                if n % 2 == 0 {
                    queue.push_broadcast(&piece, charge(1));
                }
            }
            assert_eq!((queue.len(), queue.bytes()), (50, 50 * charge(1)));
            let entries = &queue.rest.as_ref().unwrap().messages;
            let pieces = entries.iter().filter(|it| matches!(it, Queued::Broadcasts(_))).count();
            assert_eq!(pieces, MAX_PIECES);
            for n in 0..50 {
                queue.take_first(|message| assert_eq!(message.payload.as_slice(), [2 * n]));
            }
            assert!(queue.is_empty());
        }
    }
}

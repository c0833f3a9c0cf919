#![forbid(unsafe_code)]

use alloc::sync::{Arc, Weak};
use core::cell::RefCell;
use std::sync::OnceLock;

use bytes::Buf;

use super::client::Client;
use super::line::Borrowed;
use crate::pool::PooledTx;
use crate::proto::PreparedMessage;
use crate::server::observe::tally;

/// Broadcasts to the same clients, one after the other. A queue that has several of them in a row
/// counts them: one reference is enough, and what was gathered to be written serves all clients.
#[derive(Default)]
pub(crate) struct Run {
    messages: [OnceLock<PreparedMessage>; MAX_MESSAGES],
}

impl Run {
    /// Returns a run of one message.
    fn of(message: &PreparedMessage) -> Arc<Self> {
        let this = Self::default();
        let _ = this.messages[0].set(message.clone()); // it is empty
        Arc::new(this)
    }

    /// Returns a message that was put in; otherwise `None`.
    pub(super) fn get(&self, at: u8) -> Option<&PreparedMessage> {
        self.messages.get(usize::from(at))?.get()
    }
}

/// Some messages of a [`Run`], in a row.
#[derive(Clone)]
pub(crate) struct Piece {
    run: Arc<Run>,
    from: u8,
    to: u8,
}

impl Piece {
    /// Adds the message behind these, if `other` is it. Otherwise returns `false`.
    #[inline]
    pub(super) fn extend(&mut self, other: &Self) -> bool {
        let is_next = self.to == other.from && Arc::ptr_eq(&self.run, &other.run);
        if is_next {
            self.to = other.to;
        }
        is_next
    }

    /// Returns the number of messages.
    #[inline]
    pub(super) fn len(&self) -> usize {
        usize::from(self.to - self.from)
    }

    /// Returns whether these are the same messages, at the same place.
    #[inline]
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.run, &other.run) && (self.from, self.to) == (other.from, other.to)
    }

    /// Returns the messages.
    pub(super) fn messages(&self) -> impl Iterator<Item = &PreparedMessage> {
        (self.from..self.to).filter_map(|at| self.run.get(at))
    }

    /// Returns the first message.
    #[inline]
    pub(super) fn first(&self) -> Option<&PreparedMessage> {
        self.messages().next()
    }

    /// Drops the first message. Returns whether there are more.
    pub(super) fn advance(&mut self) -> bool {
        self.from += 1;
        self.from < self.to
    }
}

/// The frames of a piece, one behind the other, for all clients for which the same piece waits.
#[derive(Default)]
pub(crate) struct Frames {
    /// What was gathered.
    piece: Option<Piece>,
    gathered: PooledTx,
    /// The number of messages in it, and the bytes of their payloads.
    counts: (usize, usize),
}

impl Frames {
    /// Writes a piece to a client. What the socket does not take is in `tx` then, which was empty.
    pub(super) fn write(
        &mut self,
        piece: Piece,
        borrowed: &Borrowed<'_>,
        tx: &mut PooledTx,
    ) -> usize {
        if piece.len() == 1
            && let Some(message) = piece.first()
        {
            if !message.is_control() {
                tally::sent(message.payload().len());
            }
            let frame = message.frame();
            let written = borrowed.write(&mut &frame[..]);
            if written < frame.len() {
                tx.fetch().put_owned(frame.slice(written..));
            }
            return written;
        }
        if !self.piece.as_ref().is_some_and(|known| known.is(&piece)) {
            self.gather(piece);
        }
        tally::sent_many(self.counts.0, self.counts.1);
        let frames = self.gathered.get().map_or(&[][..], Buf::chunk);
        let written = borrowed.write(&mut &frames[..]);
        if written < frames.len() {
            tx.fetch().put_slice(&frames[written..]);
        }
        written
    }

    fn gather(&mut self, piece: Piece) {
        self.release();
        for message in piece.messages() {
            self.gathered.fetch().put_slice(message.frame());
            if !message.is_control() {
                self.counts.0 += 1;
                self.counts.1 += message.payload().len();
            }
        }
        self.piece = Some(piece);
    }

    /// Forgets what was gathered, before a wait.
    pub(super) fn release(&mut self) {
        if self.piece.take().is_some() {
            let tx = self.gathered.fetch();
            tx.advance(tx.remaining());
            self.gathered.release();
            self.counts = (0, 0);
        }
    }
}

/// The memory goes back to the pool.
impl Drop for Frames {
    fn drop(&mut self) {
        self.release();
    }
}

/// The run that this thread may add to.
struct Open {
    run: Weak<Run>,
    len: u8,
    bytes: usize,
    /// The list of clients that its messages are for, by its address, and who is excepted. A list
    /// in the place of another one does no harm: each queue sees whether a message is the next.
    list: usize,
    except: Option<u64>,
}

std::thread_local! {
    static OPEN: RefCell<Open> = const {
        RefCell::new(Open { run: Weak::new(), len: 0, bytes: 0, list: 0, except: None })
    };
}

/// Returns a message as a piece of a run: that of the last message to the same clients, as long as
/// one of them has that still to be written, and both are small.
///
/// A piece may keep messages alive that its client has no more, or never had, as its queue was
/// full: less than [`MAX_BYTES`]. A queue holds few pieces, so that this is bounded.
pub(super) fn piece_of(message: &PreparedMessage, list: &[Client], except: Option<u64>) -> Piece {
    let list = list.as_ptr().addr();
    let begin = |open: &mut Open| {
        let run = Run::of(message);
        let (first, bytes) = (Arc::downgrade(&run), message.encoded_len());
        *open = Open { run: first, len: 1, bytes, list, except };
        Piece { run, from: 0, to: 1 }
    };
    let find = |open: &RefCell<Open>| {
        let open = &mut *open.borrow_mut();
        let bytes = open.bytes.saturating_add(message.encoded_len());
        let fits = bytes <= MAX_BYTES && usize::from(open.len) < MAX_MESSAGES;
        if !fits || (open.list, open.except) != (list, except) {
            return begin(open);
        }
        let Some(run) = open.run.upgrade() else { return begin(open) };
        let from = open.len;
        let _ = run.messages[usize::from(from)].set(message.clone()); // this thread alone adds
        (open.len, open.bytes) = (from + 1, bytes);
        Piece { run, from, to: from + 1 }
    };
    // at the end of a thread there is no place to remember it
    OPEN.try_with(find).unwrap_or_else(|_| Piece { run: Run::of(message), from: 0, to: 1 })
}

/// As many as a client has waiting that keeps up with a busy sender.
const MAX_MESSAGES: usize = 16;

/// The most bytes of a run of more than one message: what is copied to be written at once.
const MAX_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(piece: &Piece) -> alloc::vec::Vec<u8> {
        piece.messages().map(|message| message.payload()[0]).collect()
    }

    fn message(number: u8, len: usize) -> PreparedMessage {
        PreparedMessage::new(&*alloc::vec![number; len]).unwrap()
    }

    #[test]
    fn pieces_of_one_run_join() {
        let mut piece = piece_of(&message(0, 10), &[], None);
        let second = piece_of(&message(1, 10), &[], None);
        let third = piece_of(&message(2, 10), &[], None);
        assert!(!piece.extend(&third), "one is missing between");
        assert!(piece.extend(&second) && piece.extend(&third) && !piece.extend(&third));
        assert_eq!((piece.len(), numbers(&piece)), (3, [0, 1, 2].into()));
        let mut rest = third.clone();
        assert!(piece.advance() && piece.advance() && piece.is(&third));
        assert!(!piece.advance() && !rest.advance());
    }

    /// Other clients, one that is excepted, and what is large begin another run, as do those whose
    /// messages are written.
    #[test]
    fn runs_end() {
        let mut piece = piece_of(&message(0, 10), &[], None);
        assert!(!piece.extend(&piece_of(&message(1, 10), &[], Some(1))));
        assert!(!piece.extend(&piece_of(&message(1, 10), &[], None)), "there was another");

        let mut piece = piece_of(&message(0, 10), &[], None);
        let many = (1..100).map(|n| piece_of(&message(n, 10), &[], None));
        let joined = many.filter(|next| piece.extend(next)).count();
        assert_eq!(joined + 1, MAX_MESSAGES);

        let mut piece = piece_of(&message(0, 10), &[], None);
        let large = piece_of(&message(1, MAX_BYTES), &[], None);
        assert!(!piece.extend(&large), "together they are too large");
        assert_eq!(numbers(&large), [1]);

        let gone = piece_of(&message(0, 10), &[], None);
        let run = Arc::downgrade(&gone.run);
        drop(gone);
        assert_eq!(piece_of(&message(1, 10), &[], None).from, 0);
        assert_eq!(run.strong_count(), 0);
    }
}

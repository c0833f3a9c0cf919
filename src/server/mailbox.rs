use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes, BytesMut};

use super::error::NotSent;
use super::limits::{Limits, SlowClients};
use super::stats::Counters;
use crate::pool::{self, Shelf};
use crate::proto::{MessageRef, PayloadRef, PreparedMessage, SendError};
use crate::session::Session;
use crate::wire::{CloseCode, Opcode};

/// What waits to be sent to one client. Any thread puts messages in, the connection's task takes them
/// out into the send buffer of the socket.
///
/// An empty one has allocated nothing while the task waits.
#[derive(Default)]
pub(super) struct Mailbox {
    state: Mutex<State>,
    /// The task should look in before it takes the next event: the queue is half full, or this is the
    /// end. It may look in without that, and does before it waits.
    pressing: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Comes before the queue. A broadcast to a client that keeps up needs nothing else.
    first: Option<Arc<PreparedMessage>>,
    /// Not there while it would be empty and the task waits.
    queue: Option<Box<Queue>>,
    /// The payloads of both, in bytes.
    bytes: usize,
    /// To be sent behind all messages.
    close: Option<Box<(CloseCode, Box<str>)>>,
    /// The connection's task.
    waker: Option<Waker>,
    /// The task has to be woken to notice anything.
    parked: bool,
    /// The task has waited while messages did.
    behind: bool,
    /// Nothing is taken any more.
    closed: bool,
    /// The task is to end at once.
    cut: bool,
}

/// Something to put into a mailbox.
pub(super) enum Letter<'a> {
    Message(MessageRef<'a>),
    Prepared(&'a Arc<PreparedMessage>),
}

/// What the task does after [`Mailbox::drain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drained {
    /// Go on.
    Open,
    /// Go on; messages had to wait, and now none does. Until [`Mailbox::note_caught_up`].
    CaughtUp,
    /// Go on to the end: nobody wants to hear any more.
    Closed,
    /// End now.
    Cut,
}

impl Mailbox {
    /// Puts a message in. Nothing is taken over the limits.
    pub(super) fn push(
        &self,
        letter: Letter<'_>,
        limits: &Limits,
        counters: &Counters,
    ) -> Result<(), NotSent> {
        letter.check().map_err(NotSent::Invalid)?;
        let mut state = self.lock();
        if state.closed {
            return Err(NotSent::Closed);
        }
        let len = letter.len();
        while state.is_full(len, limits) {
            match limits.slow_clients {
                SlowClients::DropOldest if state.messages() > 0 => {
                    state.drop_first();
                    Counters::add(&counters.dropped);
                }
                SlowClients::Close(code) => {
                    let full = state.full();
                    state.forget();
                    self.shut(&mut state);
                    state.close = Some(Box::new((code, "the client reads too slowly".into())));
                    Counters::add(&counters.slow_closed);
                    self.wake(state);
                    return Err(full);
                }
                _ => {
                    Counters::add(&counters.dropped);
                    return Err(state.full());
                }
            }
        }
        state.put(letter, len);
        if state.is_half_full(limits) {
            self.pressing.store(true, Ordering::Relaxed);
        }
        self.wake(state);
        Ok(())
    }

    /// Asks for a Close frame behind the messages that wait. Whether this was the first to ask.
    pub(super) fn close(&self, code: CloseCode, reason: &str) -> Result<(), NotSent> {
        SendError::check_reason(reason).map_err(NotSent::Invalid)?;
        let mut state = self.lock();
        if state.closed {
            return Err(NotSent::Closed);
        }
        self.shut(&mut state);
        state.close = Some(Box::new((code, reason.into())));
        self.wake(state);
        Ok(())
    }

    /// Ends the connection without a closing handshake.
    pub(super) fn cut(&self) {
        let mut state = self.lock();
        self.shut(&mut state);
        state.cut = true;
        self.wake(state);
    }

    /// Takes nothing any more, and forgets what waits.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        self.shut(&mut state);
        state.close = None;
        state.waker = None;
        state.forget();
    }

    /// Whether the task should [`drain`](Self::drain) at once. Costs no lock.
    #[inline]
    pub(super) fn is_pressing(&self) -> bool {
        self.pressing.load(Ordering::Relaxed)
    }

    /// Whether messages are taken.
    pub(super) fn is_open(&self) -> bool {
        !self.lock().closed
    }

    /// The bytes that wait.
    pub(super) fn queued(&self) -> usize {
        self.lock().bytes
    }

    /// Moves what waits to the send buffer, as far as there is room. For the task.
    ///
    /// Locked for a few small messages at a time: those who broadcast do not wait for a long one that is
    /// being compressed and for all behind it.
    pub(super) fn drain(&self, session: &mut Session) -> Drained {
        loop {
            let mut state = self.lock();
            state.parked = false;
            if state.cut {
                return Drained::Cut;
            }
            if state.messages() > 0 && session.check_writable().is_err() {
                state.forget(); // nothing reaches the peer
            }
            let mut moved = 0;
            while state.messages() > 0 && moved < MOVED_AT_ONCE {
                if !session.has_room() {
                    return state.drained();
                }
                moved += match session.compresses() {
                    true => state.send_first(session).max(MOVED_AT_ONCE),
                    false => state.send_first(session),
                };
            }
            if state.messages() > 0 {
                continue;
            }
            if let Some(close) = state.close.take() {
                // fails if the peer was faster
                let _ = session.start_close(close.0, &close.1);
            }
            if !state.closed {
                self.pressing.store(false, Ordering::Relaxed);
            }
            return state.drained();
        }
    }

    /// The handler is being told of [`Drained::CaughtUp`].
    pub(super) fn note_caught_up(&self) {
        self.lock().behind = false;
    }

    /// Before the task waits: whether it may. From then on it is woken for what comes.
    pub(super) fn park(&self, waker: &Waker, has_room: bool) -> bool {
        let mut state = self.lock();
        let ready = match state.messages() {
            0 => state.close.is_some(),
            _ => has_room,
        };
        if state.cut || ready {
            return false;
        }
        state.release();
        if state.waker.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        state.parked = true;
        state.behind |= state.messages() > 0;
        true
    }

    /// [`park`](Self::park) behind the end: whether the task may wait. Only [`cut`](Self::cut) wakes it.
    pub(super) fn park_for_cut(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        state.waker = Some(waker.clone());
        state.parked = true;
        !state.cut
    }

    /// Takes nothing any more.
    fn shut(&self, state: &mut State) {
        state.closed = true;
        self.pressing.store(true, Ordering::Relaxed);
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        if !core::mem::take(&mut state.parked) {
            return;
        }
        let waker = state.waker.clone();
        drop(state); // the task wants the lock at once
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn messages(&self) -> usize {
        usize::from(self.first.is_some())
            + self.queue.as_ref().map_or(0, |queue| queue.letters.len())
    }

    /// Whether a message of `len` bytes would go over a limit. One message is always taken, so that
    /// any message can be sent.
    fn is_full(&self, len: usize, limits: &Limits) -> bool {
        let messages = self.messages();
        messages > 0
            && (messages >= limits.max_queued_messages
                || self.bytes.saturating_add(len) > limits.max_queued_bytes)
    }

    fn is_half_full(&self, limits: &Limits) -> bool {
        self.messages() > limits.max_queued_messages / 2 || self.bytes > limits.max_queued_bytes / 2
    }

    fn drained(&self) -> Drained {
        match self.closed {
            true => Drained::Closed,
            false if self.behind && self.messages() == 0 => Drained::CaughtUp,
            false => Drained::Open,
        }
    }

    fn full(&self) -> NotSent {
        NotSent::QueueFull { messages: self.messages(), bytes: self.bytes }
    }

    fn put(&mut self, letter: Letter<'_>, len: usize) {
        self.bytes += len;
        match letter {
            Letter::Prepared(message) if self.messages() == 0 => {
                self.first = Some(Arc::clone(message));
            }
            letter => self.queue.get_or_insert_with(fetch).put(letter),
        }
    }

    /// Moves the first message to the send buffer; returns its length.
    fn send_first(&mut self, session: &mut Session) -> usize {
        let mut len = 0;
        if let Some(message) = self.first.take() {
            len = message.frame.len();
            // fails if the connection is closing, and so do all behind it
            let _ = session.feed_prepared(&message);
        } else if let Some(queue) = &mut self.queue {
            len = queue.send_first(session);
        }
        self.bytes -= len;
        len
    }

    fn drop_first(&mut self) {
        if let Some(message) = self.first.take() {
            self.bytes -= message.frame.len();
        } else if let Some(queue) = &mut self.queue {
            self.bytes -= queue.drop_first();
        }
    }

    fn forget(&mut self) {
        self.first = None;
        self.bytes = 0;
        if let Some(queue) = &mut self.queue {
            queue.letters.clear();
            queue.flat.clear();
        }
        self.release();
    }

    /// Gives the memory of an empty queue back.
    fn release(&mut self) {
        if let Some(queue) = self.queue.take_if(|queue| queue.letters.is_empty()) {
            Shelf::keep(&SHELF, queue);
        }
    }
}

std::thread_local! {
    static SHELF: Shelf<Queue> = const { Shelf::new() };
}

fn fetch() -> Box<Queue> {
    Shelf::take(&SHELF).unwrap_or_default()
}

/// Messages in order. Small payloads lie one behind the other in one piece of memory.
#[derive(Default)]
struct Queue {
    letters: VecDeque<Kept>,
    flat: BytesMut,
}

enum Kept {
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
    Prepared(Arc<PreparedMessage>),
}

impl Queue {
    fn put(&mut self, letter: Letter<'_>) {
        let kept = match letter {
            Letter::Prepared(message) => Kept::Prepared(Arc::clone(message)),
            Letter::Message(MessageRef { opcode, payload, plain }) => match payload {
                PayloadRef::Owned(bytes) if bytes.len() >= BY_REFERENCE => {
                    Kept::Owned { opcode, bytes, plain }
                }
                payload if payload.as_slice().len() >= BY_REFERENCE => {
                    let bytes = Bytes::copy_from_slice(payload.as_slice());
                    Kept::Owned { opcode, bytes, plain }
                }
                payload => {
                    self.flat.extend_from_slice(payload.as_slice());
                    Kept::Flat { opcode, len: payload.as_slice().len(), plain }
                }
            },
        };
        self.letters.push_back(kept);
    }

    /// Moves the first message to the send buffer; returns its length.
    fn send_first(&mut self, session: &mut Session) -> usize {
        // What fails here fails because the connection is closing, and so does all behind it.
        match self.letters.pop_front() {
            None => 0,
            Some(Kept::Flat { opcode, len, plain }) => {
                let payload = PayloadRef::Borrowed(&self.flat[..len]);
                let _ = session.feed(MessageRef { opcode, payload, plain });
                self.flat.advance(len);
                len
            }
            Some(Kept::Owned { opcode, bytes, plain }) => {
                let len = bytes.len();
                let payload = PayloadRef::Owned(bytes);
                let _ = session.feed(MessageRef { opcode, payload, plain });
                len
            }
            Some(Kept::Prepared(message)) => {
                let _ = session.feed_prepared(&message);
                message.frame.len()
            }
        }
    }

    fn drop_first(&mut self) -> usize {
        match self.letters.pop_front() {
            None => 0,
            Some(Kept::Flat { len, .. }) => {
                self.flat.advance(len);
                len
            }
            Some(Kept::Owned { bytes, .. }) => bytes.len(),
            Some(Kept::Prepared(message)) => message.frame.len(),
        }
    }
}

impl pool::Buffer for Queue {
    fn capacity(&self) -> usize {
        self.flat.capacity() + self.letters.capacity() * size_of::<Kept>()
    }
}

impl Letter<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Message(message) => message.payload.as_slice().len(),
            Self::Prepared(message) => message.frame.len(),
        }
    }

    fn check(&self) -> Result<(), SendError> {
        match self {
            Self::Message(message) => SendError::check_len(message.opcode, self.len()),
            Self::Prepared(_) => Ok(()), // it was looked at
        }
    }
}

/// After that many bytes others get at the mailbox. A copy of as many takes a few hundred nanoseconds.
const MOVED_AT_ONCE: usize = 4 * 1024;

/// Payloads from here on are kept by reference, as the send buffer does.
const BY_REFERENCE: usize = 16 * 1024;

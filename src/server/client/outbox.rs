use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes, BytesMut};
use tokio::sync::Notify;
use tokio::task::coop;

use super::limits::{Limits, SlowClients};
use crate::pool::{self, Shelf};
use crate::proto::{MessageRef, PayloadRef, PreparedMessage, SendError};
use crate::server::error::NotSent;
use crate::server::observe::stats::Counters;
use crate::session::Session;
use crate::wire::{CloseCode, Opcode};

/// What waits to be sent to one client. Any thread puts messages in, the connection's task takes them
/// out into the send buffer of the socket.
///
/// An empty one has allocated nothing while the task waits.
#[derive(Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// The task should look in before it takes the next event: the queue is half full, or this is the
    /// end. It may look in without that, and does before it waits.
    urgent: AtomicBool,
}

/// What may be waited for.
#[derive(Default)]
pub(crate) struct Signals {
    /// Nothing is taken any more.
    pub(crate) closed: Notify,
    /// That, or there is room.
    pub(crate) room: Notify,
}

#[derive(Default)]
struct State {
    /// Comes before the queue. A broadcast to a client that keeps up needs nothing else.
    first: Option<Arc<PreparedMessage>>,
    /// Not there while it would be empty and the task waits.
    queue: Option<Box<Queue>>,
    /// What the messages in both are [charged](Outbound::charge).
    bytes: usize,
    /// To be sent behind all messages.
    close: Option<Box<(CloseCode, Box<str>)>>,
    /// The connection's task.
    waker: Option<Waker>,
    /// There once somebody has waited for something.
    signals: Option<Arc<Signals>>,
    parked: Parked,
    /// The transport took no more when the task last had its turn.
    refused: bool,
    /// The task has waited while messages did.
    behind: bool,
    /// Nothing is taken any more.
    closed: bool,
    /// The handler is told of no further event.
    deaf: bool,
    /// The task is to end at once.
    cut: bool,
}

/// What has to wake the task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Parked {
    /// Nothing: it will look in.
    #[default]
    Not,
    /// Anything.
    Idle,
    /// It waits for the transport, and a message more is nothing new to it.
    Blocked,
}

/// Something to put into a mailbox.
pub(crate) enum Outbound<'a> {
    Message(MessageRef<'a>),
    Prepared(&'a Arc<PreparedMessage>),
}

/// What the task does after [`Outbox::drain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DrainOutcome {
    /// Go on.
    Open,
    /// Go on; messages had to wait, and now none does. Until [`Outbox::note_caught_up`].
    CaughtUp,
    /// Go on to the end: nobody wants to hear any more.
    Closed,
    /// End now.
    Cut,
}

/// What the task does after [`Outbox::park`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nothing: there is something to do.
    Not,
    /// Wait.
    Woken,
    /// Wait, but not for ever: the client is slow unless its transport takes something.
    Doubted,
}

std::thread_local! {
    /// What this thread has put into mailboxes, in bytes as they are charged; wraps around.
    static PRODUCED: Cell<u32> = const { Cell::new(0) };
}

/// How much this thread has put into mailboxes so far: the difference counts.
#[inline]
pub(crate) fn produced() -> u32 {
    PRODUCED.get()
}

impl Outbox {
    /// Puts a message in. Nothing is taken over the limits.
    pub(crate) fn push(
        &self,
        message: Outbound<'_>,
        limits: &Limits,
        counters: &Counters,
    ) -> Result<(), NotSent> {
        message.check().map_err(NotSent::Invalid)?;
        let charge = message.charge();
        PRODUCED.set(PRODUCED.get().wrapping_add(u32::try_from(charge).unwrap_or(u32::MAX / 2)));
        let mut state = self.lock();
        if state.closed {
            return Err(NotSent::Closed);
        }
        let ceiling = state.ceiling(limits);
        while state.is_full(charge, ceiling) {
            match limits.slow_clients {
                SlowClients::DropOldest => {
                    state.drop_first();
                    Counters::add(&counters.dropped);
                }
                SlowClients::DropNewest => {
                    Counters::add(&counters.dropped);
                    return Err(state.full());
                }
                SlowClients::Close(code) => {
                    let full = state.full();
                    self.close_slow(state, code, counters);
                    return Err(full);
                }
            }
        }
        let before = state.bytes;
        state.put(message, charge);
        if state.bytes > limits.max_queued_bytes / 2 {
            self.urgent.store(true, Ordering::Relaxed);
        }
        match state.parked {
            Parked::Not => {}
            // it knows of no doubt yet
            Parked::Blocked if before > limits.max_queued_bytes || !state.is_over(limits) => {}
            Parked::Idle | Parked::Blocked => self.wake(state),
        }
        Ok(())
    }

    /// Asks for a Close frame behind the messages that wait. Whether this was the first to ask.
    pub(crate) fn close(&self, code: CloseCode, reason: &str) -> Result<(), NotSent> {
        SendError::check_reason(reason).map_err(NotSent::Invalid)?;
        let mut state = self.lock();
        if state.closed {
            return Err(NotSent::Closed);
        }
        state.deaf = true;
        state.close = Some(Box::new((code, reason.into())));
        self.shut(state);
        Ok(())
    }

    /// Closes a client whose transport has taken nothing for too long. For the task.
    pub(crate) fn give_up(&self, limits: &Limits, counters: &Counters) {
        let state = self.lock();
        if let SlowClients::Close(code) = limits.slow_clients
            && !state.closed
        {
            self.close_slow(state, code, counters);
        }
    }

    fn close_slow(&self, mut state: MutexGuard<'_, State>, code: CloseCode, counters: &Counters) {
        state.forget();
        state.deaf = true;
        state.close = Some(Box::new((code, "the client reads too slowly".into())));
        Counters::add(&counters.slow_closed);
        self.shut(state);
    }

    /// Ends the connection without a closing handshake.
    pub(crate) fn cut(&self) {
        let mut state = self.lock();
        state.deaf = true;
        state.cut = true;
        self.shut(state);
    }

    /// Takes nothing any more. What waits is still sent.
    pub(crate) fn refuse(&self) {
        self.shut(self.lock());
    }

    /// Takes nothing any more, and forgets what waits. For the task, of a peer that is gone.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.close = None;
        state.forget();
        state.waker = None;
        state.parked = Parked::Not;
        self.shut(state);
    }

    /// Whether the task should [`drain`](Self::drain) at once. Costs no lock.
    #[inline]
    pub(crate) fn is_urgent(&self) -> bool {
        self.urgent.load(Ordering::Relaxed)
    }

    /// Whether messages are taken.
    pub(crate) fn is_open(&self) -> bool {
        !self.lock().closed
    }

    /// Whether less than half of what may wait does; an error once nothing is taken any more.
    pub(crate) fn has_room(&self, limits: &Limits) -> Result<bool, NotSent> {
        let state = self.lock();
        match state.closed {
            true => Err(NotSent::Closed),
            false => Ok(state.bytes < limits.room()),
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().messages() == 0
    }

    /// What can be waited for.
    pub(crate) fn signals(&self) -> Arc<Signals> {
        Arc::clone(self.lock().signals.get_or_insert_default())
    }

    /// The bytes that wait, as they are charged.
    pub(crate) fn queued(&self) -> usize {
        self.lock().bytes
    }

    /// Moves what waits to the send buffer, as far as there is room, or a part of it if it is much. For
    /// the task.
    ///
    /// Locked for a few small messages at a time: those who broadcast do not wait for a long one that is
    /// being compressed and for all behind it.
    pub(crate) fn drain(&self, session: &mut Session, limits: &Limits) -> DrainOutcome {
        let mut left = DRAINED_AT_ONCE;
        let state = loop {
            let mut state = self.lock();
            state.parked = Parked::Not;
            if state.cut {
                return DrainOutcome::Cut;
            }
            if state.messages() > 0 && session.check_writable().is_err() {
                state.forget(); // nothing reaches the peer
            }
            let before = state.bytes;
            let at_once = if session.compresses() { 1 } else { MOVED_AT_ONCE };
            while state.messages() > 0 && before - state.bytes < at_once && session.has_room() {
                state.send_first(session);
            }
            left = left.saturating_sub(before - state.bytes);
            if state.messages() == 0 || !session.has_room() || left == 0 {
                break state;
            }
        };
        self.leave(state, session, limits)
    }

    /// The end of [`drain`](Self::drain).
    fn leave(
        &self,
        mut state: MutexGuard<'_, State>,
        session: &mut Session,
        limits: &Limits,
    ) -> DrainOutcome {
        if state.messages() == 0 {
            state.refused = false;
            if let Some(close) = state.close.take() {
                // fails if the peer was faster
                let _ = session.start_close(close.0, &close.1);
            }
            if !state.closed {
                self.urgent.store(false, Ordering::Relaxed);
            }
        }
        let has_room = state.bytes < limits.room();
        let drained = match state.deaf {
            true => DrainOutcome::Closed,
            false if state.behind && !state.closed && state.messages() == 0 => {
                DrainOutcome::CaughtUp
            }
            false => DrainOutcome::Open,
        };
        let signals = state.signals.clone().filter(|_| has_room);
        drop(state);
        if let Some(signals) = signals {
            signals.room.notify_waiters();
        }
        drained
    }

    /// The handler is being told of [`DrainOutcome::CaughtUp`].
    pub(crate) fn note_caught_up(&self) {
        self.lock().behind = false;
    }

    /// Before the task waits: whether it may. From then on it is woken for what comes.
    pub(crate) fn park(&self, waker: &Waker, has_room: bool, limits: &Limits) -> Wait {
        let mut state = self.lock();
        let waiting = state.messages() > 0;
        let ready = if waiting { has_room } else { state.close.is_some() };
        if state.cut || ready {
            return Wait::Not;
        }
        state.release();
        if state.waker.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        // A task that has had its share of time was not told that the transport takes no more.
        state.refused = waiting && coop::has_budget_remaining();
        state.parked = if state.refused { Parked::Blocked } else { Parked::Idle };
        state.behind |= waiting;
        if state.refused && state.is_over(limits) { Wait::Doubted } else { Wait::Woken }
    }

    /// [`park`](Self::park) behind the end: whether the task may wait. Only [`cut`](Self::cut) wakes it.
    pub(crate) fn park_for_cut(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        state.waker = Some(waker.clone());
        state.parked = Parked::Idle;
        !state.cut
    }

    /// Takes nothing any more, and tells all who wait for something.
    fn shut(&self, mut state: MutexGuard<'_, State>) {
        state.closed = true;
        self.urgent.store(true, Ordering::Relaxed);
        let signals = state.signals.clone();
        self.wake(state);
        if let Some(signals) = signals {
            signals.closed.notify_waiters();
            signals.room.notify_waiters();
        }
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        if core::mem::take(&mut state.parked) == Parked::Not {
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
            + self.queue.as_ref().map_or(0, |queue| queue.messages.len())
    }

    /// How many bytes may wait at the moment.
    ///
    /// Messages are dropped for a client whose transport takes no more, but only for new ones: a burst
    /// that was taken while it did is not the less worth for that.
    fn ceiling(&self, limits: &Limits) -> usize {
        match limits.slow_clients {
            SlowClients::DropOldest | SlowClients::DropNewest if self.refused => {
                limits.max_queued_bytes.max(self.bytes).min(limits.burst())
            }
            _ => limits.burst(),
        }
    }

    /// Whether a message would go over a limit. One message is always taken, so that any message can
    /// be sent.
    fn is_full(&self, charge: usize, ceiling: usize) -> bool {
        self.bytes.saturating_add(charge) > ceiling && self.messages() > 0
    }

    /// Whether so much waits that a transport that takes nothing makes the client slow.
    fn is_over(&self, limits: &Limits) -> bool {
        self.bytes > limits.max_queued_bytes
            && !self.closed
            && matches!(limits.slow_clients, SlowClients::Close(_))
    }

    fn full(&self) -> NotSent {
        NotSent::QueueFull { messages: self.messages(), bytes: self.bytes }
    }

    fn put(&mut self, message: Outbound<'_>, charge: usize) {
        self.bytes += charge;
        match message {
            Outbound::Prepared(message) if self.messages() == 0 => {
                self.first = Some(Arc::clone(message));
            }
            message => self.queue.get_or_insert_with(fetch).put(message),
        }
    }

    /// Moves the first message to the send buffer.
    fn send_first(&mut self, session: &mut Session) {
        let mut len = 0;
        if let Some(message) = self.first.take() {
            len = message.payload().len();
            // fails if the connection is closing, and so do all behind it
            let _ = session.feed_prepared(&message);
        } else if let Some(queue) = &mut self.queue {
            len = queue.send_first(session);
        }
        self.bytes -= charge(len);
    }

    fn drop_first(&mut self) {
        if let Some(message) = self.first.take() {
            self.bytes -= charge(message.payload().len());
        } else if let Some(queue) = &mut self.queue {
            self.bytes -= charge(queue.drop_first());
        }
    }

    fn forget(&mut self) {
        self.first = None;
        self.bytes = 0;
        if let Some(queue) = &mut self.queue {
            queue.messages.clear();
            queue.flat.clear();
        }
        self.release();
    }

    /// Gives the memory of an empty queue back.
    fn release(&mut self) {
        if let Some(queue) = self.queue.take_if(|queue| queue.messages.is_empty()) {
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
    messages: VecDeque<Queued>,
    flat: BytesMut,
}

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
    Prepared(Arc<PreparedMessage>),
}

impl Queue {
    fn put(&mut self, message: Outbound<'_>) {
        let kept = match message {
            Outbound::Prepared(message) => Queued::Prepared(Arc::clone(message)),
            Outbound::Message(MessageRef { opcode, payload, plain }) => match payload {
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
            },
        };
        self.messages.push_back(kept);
    }

    /// Moves the first message to the send buffer; returns its length.
    fn send_first(&mut self, session: &mut Session) -> usize {
        // What fails here fails because the connection is closing, and so does all behind it.
        match self.messages.pop_front() {
            None => 0,
            Some(Queued::Flat { opcode, len, plain }) => {
                let payload = PayloadRef::Borrowed(&self.flat[..len]);
                let _ = session.feed(MessageRef { opcode, payload, plain });
                self.flat.advance(len);
                len
            }
            Some(Queued::Owned { opcode, bytes, plain }) => {
                let len = bytes.len();
                let payload = PayloadRef::Owned(bytes);
                let _ = session.feed(MessageRef { opcode, payload, plain });
                len
            }
            Some(Queued::Prepared(message)) => {
                let _ = session.feed_prepared(&message);
                message.payload().len()
            }
        }
    }

    fn drop_first(&mut self) -> usize {
        match self.messages.pop_front() {
            None => 0,
            Some(Queued::Flat { len, .. }) => {
                self.flat.advance(len);
                len
            }
            Some(Queued::Owned { bytes, .. }) => bytes.len(),
            Some(Queued::Prepared(message)) => message.payload().len(),
        }
    }
}

impl pool::Buffer for Queue {
    fn capacity(&self) -> usize {
        self.flat.capacity() + self.messages.capacity() * size_of::<Queued>()
    }
}

impl Outbound<'_> {
    fn charge(&self) -> usize {
        charge(self.len())
    }

    fn len(&self) -> usize {
        match self {
            Self::Message(message) => message.payload.as_slice().len(),
            Self::Prepared(message) => message.payload().len(),
        }
    }

    fn check(&self) -> Result<(), SendError> {
        match self {
            Self::Message(message) => SendError::check_len(message.opcode, self.len()),
            Self::Prepared(_) => Ok(()), // it was looked at
        }
    }
}

/// What a message of this length counts for: with what keeps track of it, so that a limit on bytes is one
/// on messages too.
const fn charge(len: usize) -> usize {
    len.saturating_add(CHARGE)
}

/// What keeps track of a message in the queue takes up to twice 40 bytes.
const CHARGE: usize = 64;

/// After that much, as it is charged, the task writes and looks at the time. Some 4 000 tiny messages take
/// it 0.1 ms.
const DRAINED_AT_ONCE: usize = 256 * 1024;

/// After that much, as it is charged, others get at the mailbox. To move as much takes a microsecond or two.
const MOVED_AT_ONCE: usize = 4 * 1024;

/// Payloads from here on are kept by reference, as the send buffer does.
const BY_REFERENCE: usize = 16 * 1024;

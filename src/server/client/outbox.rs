#![forbid(unsafe_code)]

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::task::Waker;
use core::time::Duration;
use std::sync::PoisonError;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::coop;

use super::gate::Gate;
use super::limits::{Limits, SlowClients};
use super::line::{Borrowed, Line};
use super::queue::{Queue, charge_of};
use super::run::{Frames, Piece};
use super::waiter::{Parked, Waiter};
use crate::driver::Driver;
use crate::pool::{PooledTx, TakenTx};
use crate::proto::{MessageRef, PreparedMessage, SendError};
use crate::server::context::Context;
use crate::server::error::TrySendError;
use crate::server::observe::stats::Counters;
use crate::server::observe::tally;
use crate::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use crate::sync::{Mutex, MutexGuard};
use crate::wire::CloseCode;

/// The messages and the Close that wait to be sent to one client. Any thread puts them in, the
/// connection's task takes them out into the send buffer of the socket.
///
/// An empty one has allocated nothing while the task waits. Its lock is the innermost of the
/// server: nothing else is locked, and no task is woken, while it is held.
#[derive(Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// What a look into the outbox would find, changed under the lock. It saves the lock where that
    /// is nothing. `Relaxed` suffices: what a thread has put in before it told another, that sees;
    /// and of what comes at the same time the task is told by being woken.
    news: AtomicU8,
    /// The right to write to the socket.
    line: Line,
    /// What the task tells of the connection: its last round-trip time in microseconds, or 0. Here
    /// because it takes no memory here.
    round_trip: AtomicU32,
}

/// What there is for the task in its outbox.
struct News;

impl News {
    /// Nothing: no message waits, and the gate is open.
    const NONE: u8 = 0;
    /// Messages wait.
    const SOME: u8 = 1;
    /// The task should drain before it takes the next event: the queue is half full, or the gate is
    /// no longer open.
    const URGENT: u8 = 2;
}

#[derive(Default)]
struct State {
    gate: Gate,
    queue: Queue,
    /// What another task could not write in place of this one: comes before the queue.
    rest: Option<TakenTx>,
    waiter: Waiter,
    /// There once a task has waited for something.
    signals: Option<Arc<Signals>>,
    /// The transport took no more when the task last had its turn.
    stalled: bool,
    /// The task has waited while messages did.
    lagging: bool,
}

/// The ways to have a queued message sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The task looks into the outbox anyway, behind the call of the client's own handler.
    Never,
    /// The task is woken.
    Always,
    /// The task is woken, or somebody else writes: see [`Outbox::write`].
    OrRelieve,
}

/// The changes that may be waited for.
#[derive(Default)]
pub(crate) struct Signals {
    /// The gate is no longer open.
    pub(crate) closed: Notify,
    /// That, or there is room.
    pub(crate) room: Notify,
}

/// The result of [`Outbox::drain`]: what the task does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// Go on.
    Open,
    /// Go on; messages had to wait, and now none does. Until [`Outbox::note_caught_up`].
    CaughtUp,
    /// Go on to the end: the handler is told of no further event.
    Closed,
    /// End now.
    Aborted,
}

/// The result of [`Outbox::park`]: what the task does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Go on: there is something to do.
    Not,
    /// Wait.
    Parked,
    /// Wait, but not for ever: the client is slow unless its transport takes something.
    Doubted,
}

impl Outbox {
    /// Queues a message, whose length was checked. Nothing is queued over the limits.
    ///
    /// Returns whether somebody else has to [`write`](Self::write) it, which only happens if the
    /// task may be relieved of it.
    pub(crate) fn push(
        &self,
        message: MessageRef<'_>,
        wake: Wake,
        context: &Context,
    ) -> Result<bool, TrySendError> {
        let charge = charge_of(&message);
        self.push_with(|queue| queue.push(&message), charge, wake, context)
    }

    /// Queues a broadcast, which is [charged](charge_of) so much, as [`push`](Self::push) does.
    #[inline]
    pub(crate) fn push_broadcast(
        &self,
        piece: &Piece,
        charge: usize,
        wake: Wake,
        context: &Context,
    ) -> Result<bool, TrySendError> {
        self.push_with(|queue| queue.push_broadcast(piece, charge), charge, wake, context)
    }

    #[inline]
    fn push_with(
        &self,
        push: impl FnOnce(&mut Queue),
        charge: usize,
        wake: Wake,
        context: &Context,
    ) -> Result<bool, TrySendError> {
        let limits = context.limits();
        let mut dropped = Vec::new(); // when the lock is free again
        let mut state = self.lock();
        if !state.gate.is_open() {
            return Err(TrySendError::Closed);
        }
        // no ceiling is lower than this
        if state.is_full(charge, limits.max_queued_bytes) {
            state = self.make_room(state, charge, context, &mut dropped)?;
        }
        let before = state.queue.bytes();
        push(&mut state.queue);
        self.note_queued(&state, context);
        match state.waiter.parked {
            _ if wake == Wake::Never => {}
            Parked::Running | Parked::Relieved => {}
            Parked::Idle if wake == Wake::OrRelieve && self.line.is_free() => {
                state.waiter.parked = Parked::Relieved;
                return Ok(true);
            }
            // a message more is news only if it is the one that makes the client doubtful
            Parked::Blocked if before > limits.max_queued_bytes || !state.is_over(limits) => {}
            Parked::Idle | Parked::Blocked => unpark(state),
        }
        Ok(false)
    }

    /// Makes room for a message if it would go over a limit, or does otherwise as it is set. Adds
    /// the memory of those that it drops for that.
    #[cold]
    fn make_room<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        charge: usize,
        context: &Context,
        dropped: &mut Vec<Bytes>,
    ) -> Result<MutexGuard<'a, State>, TrySendError> {
        let (limits, counters) = (context.limits(), &context.counters);
        let ceiling = state.ceiling(limits);
        while state.is_full(charge, ceiling) {
            match limits.slow_clients {
                SlowClients::DropOldest => {
                    dropped.extend(state.queue.drop_first());
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
        Ok(state)
    }

    /// Writes what is queued to the socket, in place of the task, if that was relieved and has not
    /// come meanwhile. Returns the bytes that were written; what the socket does not take at once
    /// is left to the task. `tx` is empty before and after.
    pub(crate) fn write(&self, tx: &mut PooledTx, frames: &mut Frames, limits: &Limits) -> usize {
        let Some((borrowed, lone)) = self.begin_write(tx) else { return 0 };
        let torn = AbortOnPanic(self); // as the end of the task would be
        let written = match lone {
            Some(piece) => frames.write(piece, &borrowed, tx),
            None => borrowed.write(tx.fetch()),
        };
        mem::forget(torn);
        tally::written(written);
        self.end_write(borrowed, tx, limits);
        written
    }

    /// Takes what is queued, and the right to write it: nobody waits for a system call. Broadcasts
    /// alone, which are the most frequent, need not be copied for each client.
    fn begin_write(&self, tx: &mut PooledTx) -> Option<(Borrowed<'_>, Option<Piece>)> {
        let mut state = self.lock();
        if state.waiter.parked != Parked::Relieved {
            return None;
        }
        let Some(borrowed) = self.line.borrow() else {
            unpark(state);
            return None;
        };
        if let Some(lone) = state.queue.take_lone() {
            return Some((borrowed, Some(lone)));
        }
        while !state.queue.is_empty() && tx.fetch().len() < WRITTEN_AT_ONCE {
            drop(state.queue.put_first(tx)); // `tx` has it, until it is written
        }
        Some((borrowed, None))
    }

    fn end_write(&self, borrowed: Borrowed<'_>, tx: &mut PooledTx, limits: &Limits) {
        let mut state = self.lock();
        if tx.get().is_some_and(|tx| !tx.is_empty()) {
            state.rest = tx.take_out();
            self.raise(News::SOME);
            borrowed.hand_over(); // before the task runs
            return unpark(state);
        }
        drop(borrowed);
        if !state.queue.is_empty() {
            return unpark(state);
        }
        state.queue.release();
        // A task that was woken meanwhile is no longer parked, and must not find it quiet.
        if state.waiter.parked == Parked::Relieved {
            state.waiter.parked = Parked::Idle;
            if state.gate.is_open() && !state.lagging {
                self.news.store(News::NONE, Ordering::Relaxed);
            }
        }
        notify_of_room(state, limits);
    }

    /// Leaves what is queued to the task, if that was relieved of it.
    pub(crate) fn write_not(&self) {
        let state = self.lock();
        if state.waiter.parked == Parked::Relieved {
            unpark(state);
        }
    }

    /// Returns the right to write.
    #[inline]
    pub(crate) fn line(&self) -> &Line {
        &self.line
    }

    /// Queues messages that were kept, so that no more than
    /// [`max_queued_bytes`](Limits::max_queued_bytes) wait, but one at least: the newest that fit,
    /// or all of them or none (`whole`). Returns how many.
    pub(crate) fn push_kept(
        &self,
        messages: &[PreparedMessage],
        whole: bool,
        wake: Wake,
        context: &Context,
    ) -> Result<usize, TrySendError> {
        let limits = context.limits();
        let mut state = self.lock();
        if !state.gate.is_open() {
            return Err(TrySendError::Closed);
        }
        let mut bytes = state.queue.bytes();
        let fits = |message: &&PreparedMessage| {
            let is_first = bytes == 0;
            bytes = bytes.saturating_add(charge_of(&MessageRef::from(*message)));
            bytes <= limits.max_queued_bytes || is_first
        };
        let count = messages.iter().rev().take_while(fits).count();
        if whole && count < messages.len() {
            let charge = |message| charge_of(&MessageRef::from(message));
            let bytes = messages.iter().map(charge).sum::<usize>() + state.queue.bytes();
            return Err(TrySendError::Full { messages: state.queue.len(), bytes });
        }
        if count == 0 {
            return Ok(0);
        }
        for message in &messages[messages.len() - count..] {
            state.queue.push(&message.into());
        }
        self.note_queued(&state, context);
        if wake != Wake::Never && state.waiter.parked != Parked::Running {
            unpark(state);
        }
        Ok(count)
    }

    /// Notes that more waits than before.
    #[inline]
    fn note_queued(&self, state: &State, context: &Context) {
        let bytes = state.queue.bytes();
        context.counters.note_queued(bytes);
        let urgent = bytes > context.limits().max_queued_bytes / 2;
        self.raise(if urgent { News::URGENT } else { News::SOME });
    }

    /// Asks for a Close frame behind the messages that wait.
    ///
    /// # Errors
    ///
    /// The gate is not open, or the reason is too long.
    pub(crate) fn close(&self, code: CloseCode, reason: &str) -> Result<(), TrySendError> {
        SendError::check_reason(reason).map_err(TrySendError::Invalid)?;
        let state = self.lock();
        if !state.gate.is_open() {
            return Err(TrySendError::Closed);
        }
        self.shut(state, Gate::Closing(Box::new((code, reason.into()))));
        Ok(())
    }

    /// Closes a client whose transport has taken nothing for too long. For the task.
    pub(crate) fn give_up(&self, context: &Context) {
        let state = self.lock();
        if let SlowClients::Close(code) = context.limits().slow_clients
            && state.gate.is_open()
        {
            self.close_slow(state, code, &context.counters);
        }
    }

    fn close_slow(&self, mut state: MutexGuard<'_, State>, code: CloseCode, counters: &Counters) {
        let dropped = state.queue.clear();
        Counters::add(&counters.slow_closed);
        self.shut(state, Gate::Closing(Box::new((code, "the client reads too slowly".into()))));
        drop(dropped);
    }

    /// Ends the connection without a closing handshake.
    pub(crate) fn abort(&self) {
        self.shut(self.lock(), Gate::Aborted);
    }

    /// Takes nothing any more. What waits is still sent. For the task, of a peer that has closed.
    pub(crate) fn refuse(&self) {
        let mut state = self.lock();
        let gate = match mem::take(&mut state.gate) {
            Gate::Open => Gate::PeerClosed,
            gate => gate,
        };
        self.shut(state, gate);
    }

    /// Takes nothing any more, and drops what waits. For the task, of a peer that is gone.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        let dropped = (state.queue.clear(), state.rest.take());
        state.waiter = Waiter::default();
        let mut gate = mem::take(&mut state.gate);
        gate.end();
        self.shut(state, gate);
        drop(dropped);
    }

    /// Sets a gate that is no longer open, and tells all who wait for something.
    fn shut(&self, mut state: MutexGuard<'_, State>, gate: Gate) {
        state.gate = gate;
        self.raise(News::URGENT);
        let signals = state.signals.clone();
        unpark(state);
        if let Some(signals) = signals {
            signals.closed.notify_waiters();
            signals.room.notify_waiters();
        }
    }

    /// Returns whether the task should [`drain`](Self::drain) at once. Costs no lock.
    #[inline]
    pub(crate) fn is_urgent(&self) -> bool {
        self.news.load(Ordering::Relaxed) == News::URGENT
    }

    /// Returns whether nothing waits and messages are taken. Costs no lock.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.news.load(Ordering::Relaxed) == News::NONE
    }

    /// Notes that there is something. For those who hold the lock.
    fn raise(&self, news: u8) {
        let before = self.news.load(Ordering::Relaxed);
        self.news.store(before.max(news), Ordering::Relaxed);
    }

    /// Notes the last round-trip time. For the task.
    pub(crate) fn note_round_trip(&self, time: Option<Duration>) {
        let micros = time.map_or(0, |time| u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
        self.round_trip.store(micros, Ordering::Relaxed);
    }

    /// Returns the last round-trip time, if one is known.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        let micros = self.round_trip.load(Ordering::Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros.into()))
    }

    /// Returns whether messages are taken.
    pub(crate) fn is_open(&self) -> bool {
        self.lock().gate.is_open()
    }

    /// Returns whether this end closes, so that nothing that comes is delivered.
    pub(crate) fn is_closing(&self) -> bool {
        self.lock().gate.is_closing()
    }

    /// Returns whether less than half of what may wait does; an error once nothing is taken any
    /// more.
    pub(crate) fn has_room(&self, limits: &Limits) -> Result<bool, TrySendError> {
        let state = self.lock();
        match state.gate.is_open() {
            true => Ok(state.queue.bytes() < limits.room()),
            false => Err(TrySendError::Closed),
        }
    }

    /// Returns whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        let state = self.lock();
        state.queue.is_empty() && state.rest.is_none()
    }

    /// Returns the signals to wait for.
    pub(crate) fn signals(&self) -> Arc<Signals> {
        Arc::clone(self.lock().signals.get_or_insert_default())
    }

    /// Returns the bytes that wait, as they are charged.
    pub(crate) fn queued(&self) -> usize {
        self.lock().queue.bytes()
    }

    /// Moves what waits to the send buffer, as far as there is room, or a part of it if it is much.
    /// For the task.
    ///
    /// Locked for a few small messages at a time: those who broadcast do not wait for a long one
    /// that is being compressed and for all behind it.
    pub(crate) fn drain(&self, driver: &mut Driver, limits: &Limits) -> Drained {
        let mut left = DRAINED_AT_ONCE;
        let mut taken = Taken::default();
        let state = loop {
            taken.clear();
            let mut state = self.lock();
            state.waiter.parked = Parked::Running;
            if state.gate.is_aborted() {
                return Drained::Aborted;
            }
            if let Some(rest) = state.rest.take() {
                driver.take_over(rest);
            }
            let queue = &mut state.queue;
            if !queue.is_empty() && driver.check_writable().is_err() {
                taken.all = queue.clear(); // nothing reaches the peer
            }
            let before = queue.bytes();
            let at_once = if driver.compresses() { 1 } else { MOVED_AT_ONCE };
            while !queue.is_empty() && before - queue.bytes() < at_once && driver.has_room() {
                taken.first = queue.send_first(driver);
            }
            left = left.saturating_sub(before - queue.bytes());
            if queue.is_empty() || !driver.has_room() || left == 0 {
                break state;
            }
        };
        self.end_drain(state, driver, limits)
    }

    fn end_drain(
        &self,
        mut state: MutexGuard<'_, State>,
        driver: &mut Driver,
        limits: &Limits,
    ) -> Drained {
        let empty = state.queue.is_empty();
        if empty {
            // it need not come back to park if nothing comes until it waits
            state.waiter.park_again();
            state.queue.release();
            state.stalled = false;
            if let Some(close) = state.gate.take_close() {
                // fails if the peer was faster
                let _ = driver.start_close(close.0, &close.1);
            }
            // one that has caught up is told so by a drain
            if state.gate.is_open() && !state.lagging {
                self.news.store(News::NONE, Ordering::Relaxed);
            }
        }
        let drained = match state.gate {
            Gate::Open if state.lagging && empty => Drained::CaughtUp,
            Gate::Open | Gate::PeerClosed => Drained::Open,
            Gate::Closing(_) | Gate::Closed => Drained::Closed,
            Gate::Aborted => Drained::Aborted,
        };
        notify_of_room(state, limits);
        drained
    }

    /// Notes that the handler is being told of [`Drained::CaughtUp`].
    pub(crate) fn note_caught_up(&self) {
        self.lock().lagging = false;
    }

    /// Returns, before the task waits, whether it may. From then on it is woken for what comes
    /// whenever the outbox is [quiet](Self::is_quiet): it need not park again then.
    pub(crate) fn park(&self, waker: &Waker, has_room: bool, limits: &Limits) -> Wait {
        let mut state = self.lock();
        let waiting = !state.queue.is_empty();
        let ready = match &state.gate {
            Gate::Aborted => true,
            _ if waiting => has_room,
            gate => matches!(gate, Gate::Closing(_)),
        };
        if ready {
            return Wait::Not;
        }
        state.queue.release();
        // A task that has had its share of time was not told that the transport takes no more.
        state.stalled = waiting && coop::has_budget_remaining();
        state.lagging |= waiting;
        let parked = if state.stalled { Parked::Blocked } else { Parked::Idle };
        state.waiter.park(waker, parked);
        if state.stalled && state.is_over(limits) { Wait::Doubted } else { Wait::Parked }
    }

    /// Returns whether a task may wait that has nothing to do with the queue any more. Only
    /// [`abort`](Self::abort) wakes it.
    pub(crate) fn park_for_abort(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        state.waiter.park(waker, Parked::Idle);
        !state.gate.is_aborted()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is taken out of a queue while the lock is held, and dropped when it is free.
#[derive(Default)]
struct Taken {
    /// The last message of a round. Only that is [kept by reference](Queue::push).
    first: Option<Bytes>,
    all: Queue,
}

impl Taken {
    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Ends a connection whose frame may be torn.
struct AbortOnPanic<'a>(&'a Outbox);

impl Drop for AbortOnPanic<'_> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tells those who wait for room, if there is some.
fn notify_of_room(state: MutexGuard<'_, State>, limits: &Limits) {
    let has_room = state.queue.bytes() < limits.room();
    let signals = state.signals.clone().filter(|_| has_room);
    drop(state);
    if let Some(signals) = signals {
        signals.room.notify_waiters();
    }
}

/// Wakes the task if it waits.
fn unpark(mut state: MutexGuard<'_, State>) {
    let waker = state.waiter.unpark();
    drop(state); // the task wants the lock at once
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl State {
    /// Returns how many bytes may wait at the moment.
    ///
    /// Messages are dropped for a client whose transport takes no more, but only for new ones: a
    /// burst that was taken while it did is not the less worth for that.
    fn ceiling(&self, limits: &Limits) -> usize {
        match limits.slow_clients {
            SlowClients::DropOldest | SlowClients::DropNewest if self.stalled => {
                limits.max_queued_bytes.max(self.queue.bytes()).min(limits.burst())
            }
            _ => limits.burst(),
        }
    }

    /// Returns whether a message would go over a limit. One message is always taken, so that any
    /// message can be sent.
    fn is_full(&self, charge: usize, ceiling: usize) -> bool {
        self.queue.bytes().saturating_add(charge) > ceiling && !self.queue.is_empty()
    }

    /// Returns whether so much waits that a transport that takes nothing makes the client slow.
    fn is_over(&self, limits: &Limits) -> bool {
        self.queue.bytes() > limits.max_queued_bytes
            && self.gate.is_open()
            && matches!(limits.slow_clients, SlowClients::Close(_))
    }

    fn full(&self) -> TrySendError {
        TrySendError::Full { messages: self.queue.len(), bytes: self.queue.bytes() }
    }
}

/// After that many bytes, as they are charged, the task writes and looks at the time. Some 4 000
/// tiny messages take it 0.1 ms.
const DRAINED_AT_ONCE: usize = 256 * 1024;

/// After that many bytes another task writes in place of the client's own: more is not what a
/// client has waiting that keeps up.
const WRITTEN_AT_ONCE: usize = 64 * 1024;

/// After that many bytes, as they are charged, others get at the outbox. To move as much takes a
/// microsecond or two.
const MOVED_AT_ONCE: usize = 4 * 1024;

#[cfg(all(test, sansws_model))]
#[path = "../../../tests/models/outbox.rs"]
mod models;

#[cfg(test)]
mod tests {
    use super::super::run::piece_of;
    use super::*;

    fn close(outbox: &Outbox) {
        let _ = outbox.close(CloseCode::NORMAL, "");
    }

    fn name(gate: &Gate) -> &'static str {
        match gate {
            Gate::Open => "open",
            Gate::PeerClosed => "peer closed",
            Gate::Closing(_) => "closing",
            Gate::Closed => "closed",
            Gate::Aborted => "aborted",
        }
    }

    /// What each call makes of each gate: the one that was closed first stays, but for an abort.
    #[test]
    fn gates() {
        type Call = fn(&Outbox);
        const CALLS: [Call; 4] = [close, Outbox::refuse, Outbox::end, Outbox::abort];
        let closing = || Gate::Closing(Box::new((CloseCode::NORMAL, "".into())));
        for (gate, expected) in [
            (Gate::default, ["closing", "peer closed", "peer closed", "aborted"]),
            (|| Gate::PeerClosed, ["peer closed", "peer closed", "peer closed", "aborted"]),
            (closing, ["closing", "closing", "closed", "aborted"]),
            (|| Gate::Closed, ["closed", "closed", "closed", "aborted"]),
            (|| Gate::Aborted, ["aborted"; 4]),
        ] as [(fn() -> Gate, [&str; 4]); 5]
        {
            for (call, expected) in CALLS.iter().zip(expected) {
                let outbox = Outbox::default();
                let before = gate();
                let from = name(&before);
                outbox.lock().gate = before;
                call(&outbox);
                assert_eq!(name(&outbox.lock().gate), expected, "from {from}");
                assert_eq!(outbox.is_open(), expected == "open");
                assert!(outbox.is_urgent() || from == expected, "{from}: the task looks in");
            }
        }
    }

    /// A task that is woken while somebody writes for it, and has nothing to do then, is woken
    /// again by what comes next.
    #[cfg(unix)] // elsewhere nobody writes for it
    #[test]
    fn a_task_that_is_woken_during_a_write_parks_again() {
        struct Woken(AtomicU32);
        impl alloc::task::Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let woken = Arc::new(Woken(AtomicU32::new(0)));
        let waker = Waker::from(Arc::clone(&woken));
        let (outbox, context) = (Outbox::default(), Context::default());
        let limits = context.limits();
        outbox.line.open_any();
        let message = PreparedMessage::new("hello").unwrap();
        let push = || {
            let piece = piece_of(&message, &[], None);
            outbox.push_broadcast(&piece, 69, Wake::OrRelieve, &context).unwrap()
        };

        assert_eq!(outbox.park(&waker, true, limits), Wait::Parked);
        outbox.line.leave();
        assert!(push(), "somebody else writes it");
        let mut tx = PooledTx::default();
        let (borrowed, lone) = outbox.begin_write(&mut tx).unwrap();
        assert!(lone.is_some());
        outbox.write_not(); // another batch, which leaves it to the task
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(outbox.line.take(), None);
        tx = PooledTx::default(); // as if it were written
        outbox.end_write(borrowed, &mut tx, limits);

        assert!(outbox.line.take().is_some());
        assert!(!outbox.is_quiet(), "the task parks again");
        assert_eq!(outbox.park(&waker, true, limits), Wait::Parked);
        outbox.line.leave();
        assert!(push(), "and is relieved again");
        outbox.write_not();
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_close_is_taken_once() {
        let mut gate = Gate::Closing(Box::new((CloseCode::NORMAL, "".into())));
        assert!(gate.take_close().is_some());
        assert!(gate.take_close().is_none());
        assert_eq!(name(&gate), "closed");
    }
}

//! The sending side of a split socket: one driver and one side to write to, shared by all halves.

use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker, ready};
use core::time::Duration;
use std::sync::PoisonError;

use bytes::Buf;
use tokio::io::AsyncWrite;

use super::halves::SplitStream;
use super::link::{Link, poll_read_some, poll_write_some};
use super::socket::Subprotocol;
use super::timer::Timer;
use super::turn::poll_part;
use crate::buf::{RecvBuffer, SendBuffer};
use crate::driver::{Driver, Parsed, check_written};
use crate::endpoint::Action;
use crate::error::Error;
use crate::proto::{Receiver, Reply};
use crate::sync::{Mutex, MutexGuard};

/// What the halves share.
///
/// `state` is locked for moments, never across IO. `write_side` is locked for single writes that do
/// not wait. Where both are needed, `write_side` is locked first.
pub(super) struct Shared<W> {
    state: Mutex<State>,
    write_side: Mutex<WriteSide<W>>,
    /// Apart, because the transport keeps a reference to it: together it would be a cycle.
    wakers: Arc<Wakers>,
    pub(super) subprotocol: Subprotocol,
}

pub(super) struct State {
    pub(super) driver: Driver,
    /// The receiving half has read all there was and waits for more.
    receiver_waits: bool,
}

impl State {
    /// Returns whether something has not reached the end of the transport.
    pub(super) fn is_unsent(&self) -> bool {
        !self.driver.has_left()
    }
}

struct WriteSide<W> {
    io: W,
    /// Taken out of the driver to be written; what is queued meanwhile comes after it.
    unwritten: SendBuffer,
}

impl<W> Shared<W> {
    pub(super) fn new(io: W, driver: Driver, subprotocol: Subprotocol) -> Self {
        Self {
            state: Mutex::new(State { driver, receiver_waits: false }),
            write_side: Mutex::new(WriteSide { io, unwritten: SendBuffer::new() }),
            wakers: Arc::new(Wakers::default()),
            subprotocol,
        }
    }

    /// Asks something of the write half, between two writes.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&W) -> T) -> T {
        question(&self.write_side.lock().unwrap_or_else(PoisonError::into_inner).io)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // nothing in here panics half-way through a change
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the write half and the driver, which has everything unsent in its `tx` again.
    pub(super) fn into_parts(self) -> (W, Driver, Subprotocol) {
        let State { mut driver, .. } = into_inner(self.state);
        let WriteSide { io, unwritten } = into_inner(self.write_side);
        driver.take_back(unwritten);
        (io, driver, self.subprotocol)
    }

    /// Pays what is owed to the peer.
    pub(super) fn reply(&self, reply: Reply) {
        self.change(|driver| driver.reply(reply));
    }

    /// Does what may begin to close the connection. Those who are blocked have to look at the
    /// timers then: the receiving half may never do it again.
    fn change<T>(&self, change: impl FnOnce(&mut Driver) -> T) -> T {
        let mut state = self.lock();
        let before = state.driver.sender.state();
        let result = change(&mut state.driver);
        let changed = state.driver.sender.state() != before;
        drop(state);
        if changed {
            self.wakers.wake_waiting();
        }
        result
    }

    /// Returns a place in the line of those who wait to write.
    pub(super) fn place(&self) -> Place<'_> {
        Place { wakers: &self.wakers, number: self.new_place() }
    }

    /// Returns the number of a place, to be [left](Self::leave) in the end.
    pub(super) fn new_place(&self) -> u64 {
        let mut lists = self.wakers.lock();
        lists.places += 1;
        lists.places
    }

    /// Leaves a place.
    pub(super) fn leave(&self, place: u64) {
        self.wakers.leave_to_receiver(place);
    }

    /// Wakes the receiving half, which has to write.
    pub(super) fn wake_receiver(&self) {
        self.wakers.wake_receiver();
    }

    /// Wakes everyone: the connection is over, or has a deadline that it had not before.
    pub(super) fn wake_all(&self) {
        self.wakers.wake_waiting();
        self.wakers.wake_receiver();
    }
}

impl<W: AsyncWrite + Unpin> Shared<W> {
    /// Waits until there is room for a message: does something with it at once, before somebody
    /// else can.
    pub(super) fn poll_room<T>(
        &self,
        place: u64,
        timer: &mut Timer,
        cx: &mut Context<'_>,
        mut take: impl FnMut(&mut State) -> Result<T, Error>,
    ) -> Poll<Result<T, Error>> {
        loop {
            {
                let mut state = self.lock();
                if state.driver.check_room()? {
                    return Poll::Ready(take(&mut state));
                }
            }
            if self.poll_write(place, cx).is_pending() {
                ready!(self.poll_timer(timer, cx));
            }
        }
    }

    /// Waits until what is queued is all in the send buffer: how many bytes will have been written
    /// in all when everything is that is queued then.
    pub(super) fn poll_end_of_queue(
        &self,
        place: u64,
        timer: &mut Timer,
        cx: &mut Context<'_>,
    ) -> Poll<Result<u64, Error>> {
        loop {
            if let Some(until) = self.lock().driver.end_of_queue()? {
                return Poll::Ready(Ok(until));
            }
            if self.poll_encoded(place, cx).is_pending() {
                ready!(self.poll_timer(timer, cx));
            }
        }
    }

    /// Waits until a message that was taken is compressed, if one is. Whoever comes does a part of
    /// it.
    fn poll_encoded(&self, place: u64, cx: &mut Context<'_>) -> Poll<()> {
        while self.lock().driver.is_encoding() {
            if poll_part(cx).is_pending() {
                // in line: the rest is for the receiving half if this task gives up
                self.wakers.wait(place, cx.waker());
                return Poll::Pending;
            }
            self.lock().driver.encode_part();
        }
        Poll::Ready(())
    }

    /// Waits until so many bytes have been written in all. However the connection ends, it is no
    /// error if they were.
    pub(super) fn poll_written(
        &self,
        until: u64,
        place: u64,
        timer: &mut Timer,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        loop {
            {
                let state = self.lock();
                // a pong among them may have given way to a shorter one meanwhile
                if state.driver.is_sent(until) || state.driver.check_flushed()? {
                    return Poll::Ready(Ok(()));
                }
            }
            if self.poll_write(place, cx).is_pending() {
                ready!(self.poll_timer(timer, cx));
            }
        }
    }

    /// Acts on the time for the receiving half; ready when that changed something, or when the
    /// connection is over. `deaf`: there may be bytes that it has not read before this.
    fn poll_receivers_timer(
        &self,
        timer: &mut Timer,
        cx: &mut Context<'_>,
        deaf: bool,
    ) -> Poll<()> {
        let mut state = self.lock();
        let due = state.driver.sender.poll_timeout();
        let Poll::Ready(now) = timer.poll(cx, due) else {
            state.receiver_waits = !deaf;
            return Self::wait(state);
        };
        self.handle_timeout(state, now, deaf);
        Poll::Ready(())
    }

    /// Does the same, for a sender.
    ///
    /// What has come is for the receiving half to read, so that goes first if it waits for more.
    pub(super) fn poll_timer(&self, timer: &mut Timer, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        let mut due = state.driver.sender.poll_timeout();
        if state.receiver_waits {
            due = due.map(|due| if due.is_zero() { due } else { due + GRACE });
        }
        let Poll::Ready(now) = timer.poll(cx, due) else { return Self::wait(state) };
        state.receiver_waits = false; // it was given up, or its task is late
        self.handle_timeout(state, now, true);
        Poll::Ready(())
    }

    fn wait(mut state: MutexGuard<'_, State>) -> Poll<()> {
        if state.driver.is_over() {
            return Poll::Ready(());
        }
        state.driver.release_memory();
        Poll::Pending
    }

    fn handle_timeout(&self, mut state: MutexGuard<'_, State>, now: Duration, deaf: bool) {
        state.driver.handle_timeout(now, deaf);
        if state.driver.is_over() {
            let end_output = state.driver.is_timed_out();
            drop(state);
            if end_output {
                let _ = self.try_write(); // if the transport takes it
            }
            self.wake_all();
        }
    }

    /// Writes once; `Pending` when the transport takes nothing. The task is woken when it does, or
    /// when it has passed on what it kept in a buffer of its own.
    pub(super) fn poll_write(&self, place: u64, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_encoded(place, cx));
        let first = self.try_write();
        if first.is_ready() && !self.lock().driver.flush_pending {
            return Poll::Ready(());
        }
        // The transport remembers one waker only, so it gets one that wakes all who wait. In line
        // first, then another look: room that came in between would be news for nobody.
        self.wakers.wait(place, cx.waker());
        let second = self.try_write();
        if first.is_ready() { first } else { second }
    }

    /// Writes once, as far as that goes without waiting; `Pending` when it does not go anywhere.
    pub(super) fn try_write(&self) -> Poll<()> {
        let waker = Waker::from(Arc::clone(&self.wakers));
        let mut cx = Context::from_waker(&waker);
        let mut write_side = self.write_side.lock().unwrap_or_else(PoisonError::into_inner);
        let WriteSide { io, unwritten } = &mut *write_side;
        if unwritten.is_empty() {
            self.lock().driver.take_unsent(unwritten);
        }
        let idle = unwritten.is_empty();
        if !idle {
            let written = poll_write_some(io, &mut cx, unwritten);
            let mut state = self.lock();
            let result = match written {
                Poll::Pending => {
                    state.driver.write_stalled();
                    return Poll::Pending;
                }
                Poll::Ready(Ok(n)) => check_written(n, unwritten.remaining()).map(|()| n),
                Poll::Ready(Err(error)) => Err(error),
            };
            match result {
                Ok(n) => {
                    unwritten.advance(n);
                    state.driver.in_flight = unwritten.remaining();
                    state.driver.write_went_through(n);
                }
                Err(error) => {
                    *unwritten = SendBuffer::new();
                    state.driver.write_failed(error);
                }
            }
            drop(state);
            self.wakers.wake_waiting();
        }
        if unwritten.is_empty() {
            // for streams with a buffer of their own; a socket has nothing to do here
            let flushed = Pin::new(io).poll_flush(&mut cx);
            let mut state = self.lock();
            let still_pending = flushed.is_pending();
            let was_pending = mem::replace(&mut state.driver.flush_pending, still_pending);
            state.driver.note_flush(matches!(flushed, Poll::Ready(Ok(()))));
            match flushed {
                Poll::Pending if idle => return Poll::Pending,
                Poll::Pending | Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => state.driver.write_failed(error),
            }
            drop(state);
            if was_pending && !still_pending {
                self.wakers.wake_waiting();
            }
        }
        Poll::Ready(())
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut write_side = self.write_side.lock().unwrap_or_else(PoisonError::into_inner);
        // an error means that the other end is gone, which reading will show
        let _ = ready!(Pin::new(&mut write_side.io).poll_shutdown(cx));
        self.lock().driver.was_shut_down();
        Poll::Ready(())
    }
}

/// The receiving half's way to its transport.
pub(super) struct SharedLink<S: SplitStream> {
    pub(super) read: S::ReadHalf,
    pub(super) shared: Arc<Shared<S::WriteHalf>>,
    pub(super) timer: Timer,
}

impl<S: SplitStream> Link for SharedLink<S> {
    fn before_parsing(&mut self, write_blocked: bool) -> Option<Action> {
        // The senders make their own way through a full buffer; receiving does not wait for them.
        let state = self.shared.lock();
        match state.driver.is_over() {
            true => Some(Action::End),
            // for a Close, which would have to wait for all of that at once
            false if state.driver.is_encoding() => {
                Some(if write_blocked { Action::Wait } else { Action::Write })
            }
            false => None,
        }
    }

    fn after_parsing(&mut self, parsed: Parsed, write_blocked: bool) -> Action {
        let step = self.shared.change(|driver| driver.after_parsing(parsed, write_blocked));
        if step == Action::End {
            self.shared.wake_all();
        }
        step
    }

    fn result(&mut self) -> Result<(), Error> {
        self.shared.lock().driver.result()
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, rx: &mut RecvBuffer) -> Poll<()> {
        let result = ready!(poll_read_some(&mut self.read, cx, rx));
        self.shared.lock().receiver_waits = false;
        match result {
            Ok(0) => self.shared.lock().driver.read_eof(),
            Ok(_) => {}
            Err(error) => {
                self.shared.lock().driver.read_failed(error);
                self.shared.wake_all();
            }
        }
        Poll::Ready(())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.poll_write(RECEIVERS_PLACE, cx)
    }

    fn note_unparsed(&mut self, receiver: &mut Receiver, rx: &RecvBuffer) {
        let arrived = receiver.look_at(rx);
        self.shared.lock().driver.sender.note_arrived(arrived);
    }

    fn poll_flush_pending(&mut self, cx: &mut Context<'_>) {
        if self.shared.lock().driver.flush_pending {
            let _ = self.shared.poll_write(RECEIVERS_PLACE, cx);
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.poll_shutdown(cx)
    }

    fn try_shutdown(&mut self, cx: &mut Context<'_>) {
        if self.shared.poll_shutdown(cx).is_pending() {
            self.shared.lock().driver.was_shut_down();
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, deaf: bool) -> Poll<()> {
        // in line first, then the look: what a sender changes in between would go unnoticed
        if self.shared.wakers.receive(cx.waker()) {
            return Poll::Ready(());
        }
        self.shared.poll_receivers_timer(&mut self.timer, cx, deaf)
    }
}

/// Who waits for what.
#[derive(Default)]
struct Wakers(Mutex<WakerLists>);

#[derive(Default)]
struct WakerLists {
    /// Those who wait for room in the transport, by their places. All are woken when there is some.
    waiting: Vec<(u64, Waker)>,
    /// The last place that was given to a sender.
    places: u64,
    receiver: Option<Waker>,
    /// The receiving half was called since it last was about to wait: before it was in line, or by
    /// a waker that is none any more.
    is_called: bool,
}

const RECEIVERS_PLACE: u64 = 0;

/// The time by which a sender lets the receiving half go first when a deadline has come.
const GRACE: Duration = Duration::from_millis(100);

/// A sender's place in the line of those who wait for room. It is left when this is dropped: the
/// waker of a task that gave up would keep the task's memory for as long as there is no room. What
/// it has queued, and perhaps written half of, is left to the receiving half then.
pub(super) struct Place<'a> {
    wakers: &'a Wakers,
    pub(super) number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.wakers.leave_to_receiver(self.number);
    }
}

impl Wakers {
    fn lock(&self) -> MutexGuard<'_, WakerLists> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, place: u64, waker: &Waker) {
        let mut lists = self.lock();
        let known = lists.waiting.iter_mut().find(|(other, _)| *other == place);
        let replaced = match known {
            Some((_, known)) if known.will_wake(waker) => None,
            Some((_, known)) => Some(mem::replace(known, waker.clone())),
            None => {
                lists.waiting.push((place, waker.clone()));
                None
            }
        };
        drop(lists);
        drop(replaced);
    }

    /// Leaves the line. If the place was in it, its owner has given up, and the receiving half sees
    /// to what is unsent.
    fn leave_to_receiver(&self, place: u64) {
        let mut lists = self.lock();
        let at = lists.waiting.iter().position(|(other, _)| *other == place);
        let left = at.map(|at| lists.waiting.swap_remove(at));
        drop(lists);
        if left.is_some() {
            self.wake_receiver();
        }
        drop(left); // unlocked: it may be the last of its task, which may have a place itself
    }

    /// Puts the receiving half in line, and says whether it was called meanwhile: it has to look
    /// again what there is to do.
    fn receive(&self, waker: &Waker) -> bool {
        let mut lists = self.lock();
        let replaced = match &lists.receiver {
            Some(known) if known.will_wake(waker) => None,
            _ => lists.receiver.replace(waker.clone()),
        };
        let was_called = mem::take(&mut lists.is_called);
        drop(lists);
        drop(replaced);
        was_called
    }

    fn wake_waiting(&self) {
        let waiting = mem::take(&mut self.lock().waiting);
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn wake_receiver(&self) {
        let receiver = {
            let mut lists = self.lock();
            lists.is_called = true;
            lists.receiver.take()
        };
        if let Some(waker) = receiver {
            waker.wake();
        }
    }
}

/// What the transport calls when it takes bytes again. The receiving half is among those it is for:
/// whoever waited to write may have given up, and half a frame may be left.
impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_waiting();
        self.wake_receiver();
    }
}

fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}

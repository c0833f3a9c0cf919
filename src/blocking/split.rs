use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::PoisonError;
use std::time::Instant;

use bytes::Buf;

use super::limit::{Done, Limit, POLL_TIMEOUT, TICK, read_some, write_some};
use super::link::{Clock, Direct, Link, MEANWHILE, Over, ready_event};
use super::shared_io::{SharedIo, SplitTransport};
use super::transport::is_cannot;
use super::{ClientStream, WebSocket};
use crate::buf::{RecvBuffer, SendBuffer};
use crate::driver::{Driver, Parsed, check_written, take_event, take_message};
use crate::endpoint::Action;
use crate::error::Error;
use crate::proto::{self, CloseInfo, Event, Message, MessageRef, SendError, State};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::wire::CloseCode;

impl<S: SplitTransport> WebSocket<S> {
    /// Takes the socket apart into two halves for two threads.
    ///
    /// A thread that only receives still answers pings and the peer's Close; a thread that only
    /// sends learns from its next call that the connection is over. No lock is held during IO.
    /// Dropping one half does not disturb the other; the stream goes when both are gone.
    ///
    /// What a `send` leaves behind because your own write time-out has passed is written by the
    /// half that receives, if that is receiving: it notices within that time, or
    /// [`Config::close_timeout`](crate::Config::close_timeout) for a time-out that you set later.
    pub fn split(self) -> (Receiver<S>, Sender<S>) {
        let Self { mut rx, receiver, mut link, subprotocol } = self;
        link.hand_over(&mut rx);
        let Direct { io, mut driver, clock, read_limit, mut write_limit, .. } = link;
        // halves are of transports that keep nothing back: what those have taken has left
        driver.flush_pending = false;
        driver.note_flush(true);
        let time_left = driver.sender.close_timeout();
        let users = write_limit.users(&io).unwrap_or(time_left);
        let shared = Arc::new(Shared {
            io,
            subprotocol,
            clock,
            look_up: time_left.min(users).max(MEANWHILE),
            reading: AtomicBool::new(false),
            state: Mutex::new(SharedState {
                driver,
                unwritten: Some(SendBuffer::new()),
                grace: Duration::ZERO,
                waiting: 0,
                write_limit,
            }),
            changed: Condvar::new(),
        });
        let sender = Sender { shared: Arc::clone(&shared) };
        let link = SharedLink { shared, read_limit, stalled: None };
        (Receiver { rx, receiver, link }, sender)
    }
}

/// What the halves share. `state` is locked for moments, never during IO.
struct Shared<S> {
    io: S,
    subprotocol: Option<Box<str>>,
    clock: Clock,
    /// How long the receiving half reads at most before it looks at what has become of the
    /// connection: a sender that closes leaves the wait for the answer to it, and one whose write
    /// took too long for its user leaves the rest of the bytes.
    look_up: Duration,
    /// The receiving half reads, so that nothing lies unread in the transport.
    reading: AtomicBool,
    state: Mutex<SharedState>,
    /// Bytes were written, or the connection is over.
    changed: Condvar,
}

struct SharedState {
    driver: Driver,
    /// What is to be written next. Whoever takes it is the one who writes.
    unwritten: Option<SendBuffer>,
    /// Whoever is writing judges the peer, as nobody else knows how he gets on: the others give him
    /// so much more time.
    grace: Duration,
    /// Threads that wait for their bytes to be written.
    waiting: usize,
    write_limit: Limit,
}

impl<S> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, SharedState> {
        // nothing in here panics half-way through a change
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: SplitTransport> Shared<S> {
    /// Waits until that is so or everything is written, and writes if nobody else does.
    fn write_until(&self, until: impl Fn(&Driver) -> Result<bool, Error>) -> Result<(), Error> {
        let mut state = self.lock();
        loop {
            if until(&state.driver)? || state.driver.check_flushed()? {
                break;
            }
            match state.unwritten.take() {
                Some(unwritten) => state = self.write(state, unwritten, None)?,
                None => {
                    state.waiting += 1;
                    state = self.wait(state);
                    state.waiting -= 1;
                }
            }
        }
        // What came in meanwhile, such as a pong, must not be left lying about.
        while state.waiting == 0 && !state.driver.is_flushed() && !state.driver.is_over() {
            let Some(unwritten) = state.unwritten.take() else { break };
            // what is waited for is done, whatever becomes of this
            let Ok(written) = self.write(state, unwritten, None) else { break };
            state = written;
        }
        Ok(())
    }

    /// Waits until so many bytes have been written in all. However the connection ends, it is no
    /// error if they were.
    fn write_to(&self, end: Option<u64>) -> Result<(), Error> {
        self.write_until(|driver| Ok(end.is_some_and(|end| driver.is_sent(end))))
    }

    /// Does what may begin to close the connection. Those who wait have to look at that.
    fn change<T>(&self, change: impl FnOnce(&mut Driver) -> T) -> T {
        let mut state = self.lock();
        let before = state.driver.sender.state();
        let result = change(&mut state.driver);
        if state.driver.sender.state() != before {
            self.changed.notify_all();
        }
        result
    }

    /// Writes once, unlocked, as the only one who does; waits for the transport, `at_most` so long.
    ///
    /// The error is that of a user's time-out, or of a stream that does not wait.
    fn write<'s>(
        &'s self,
        mut state: MutexGuard<'s, SharedState>,
        mut unwritten: SendBuffer,
        at_most: Option<Duration>,
    ) -> Result<MutexGuard<'s, SharedState>, Error> {
        if unwritten.is_empty() {
            state.driver.take_unsent(&mut unwritten);
        }
        let Ok(deadline) = self.clock.time_left_to_write(&mut state.driver) else {
            state.unwritten = Some(unwritten);
            drop(state);
            self.end_output();
            return Ok(self.lock());
        };
        if unwritten.is_empty() {
            state.unwritten = Some(unwritten);
            return Ok(state);
        }
        // However it has begun, the connection may begin to close while it lasts.
        let turn = at_most.map_or(self.look_up, |at_most| at_most.min(self.look_up));
        let wait = deadline.map_or(turn, |deadline| deadline.min(turn));
        state.grace = wait / 7 + TICK; // it may end an eighth late
        let mut limit = core::mem::replace(&mut state.write_limit, Limit::write());
        drop(state);

        let start = Instant::now();
        let result = limit
            .bound_turn(&self.io, deadline, Some(turn))
            .map(|bound| write_some(&mut &SharedIo(&self.io), &unwritten, bound));

        let mut state = self.lock();
        let mut failure = None;
        match result {
            Ok(Done::Nothing) => {
                limit.waited(start);
                state.driver.write_stalled();
                let deaf = !self.reading.load(Ordering::Relaxed);
                if let Err(Over) = self.clock.time_left(&mut state.driver, deaf) {
                    self.over(); // the socket is full: there is no room for a last word
                }
            }
            Ok(Done::Bytes(n)) => match check_written(n, unwritten.remaining()) {
                Ok(()) => {
                    limit.rewind();
                    unwritten.advance(n);
                    state.driver.in_flight = unwritten.remaining();
                    if start.elapsed() >= POLL_TIMEOUT {
                        state.driver.write_stalled(); // until it did not
                    }
                    state.driver.write_went_through(n);
                }
                Err(error) => state.driver.write_failed(error),
            },
            Ok(Done::Failed(error)) => state.driver.write_failed(error),
            Ok(Done::Expired(error) | Done::WouldBlock(error)) => {
                limit.expired();
                state.driver.write_stalled();
                failure = Some(error.into());
            }
            Err(error) => failure = Some(error),
        }
        state.write_limit = limit;
        state.grace = Duration::ZERO;
        if state.driver.in_flight == 0 {
            unwritten = SendBuffer::new();
        }
        state.unwritten = Some(unwritten);
        self.changed.notify_all();
        match failure {
            Some(error) => Err(error),
            None => Ok(state),
        }
    }

    /// After a time-out: tells the peer, if nobody is writing and the transport takes it at
    /// once.
    fn end_output(&self) {
        let mut state = self.lock();
        let unwritten = state.unwritten.take().map(|mut unwritten| {
            if unwritten.is_empty() {
                state.driver.take_unsent(&mut unwritten);
            }
            unwritten
        });
        let timed_out = state.driver.is_timed_out();
        drop(state);
        if let Some(unwritten) = unwritten.filter(|unwritten| timed_out && !unwritten.is_empty())
            && let Ok(bound) = Limit::write().bound(&self.io, Some(POLL_TIMEOUT))
        {
            let _ = write_some(&mut &SharedIo(&self.io), &unwritten, bound);
        }
        self.over();
    }

    /// Waits for a change, or for the time to bring one about.
    fn wait<'s>(&'s self, mut state: MutexGuard<'s, SharedState>) -> MutexGuard<'s, SharedState> {
        match self.time_left(&mut state) {
            Ok(Some(wait)) => match self.changed.wait_timeout(state, wait) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            },
            Ok(None) => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Err(Over) => {
                drop(state);
                self.end_output();
                self.lock()
            }
        }
    }

    /// As [`Clock::time_left`], for those who neither read nor write.
    fn time_left(&self, state: &mut SharedState) -> Result<Option<Duration>, Over> {
        let deaf = !self.reading.load(Ordering::Relaxed);
        self.clock.time_left_with(&mut state.driver, deaf, state.grace)
    }

    /// Tells those who wait, and wakes those who read or write.
    fn over(&self) {
        let _ = self.io.shutdown(Shutdown::Both);
        self.changed.notify_all();
    }
}

/// The receiving half's way to its transport.
pub(super) struct SharedLink<S> {
    shared: Arc<Shared<S>>,
    read_limit: Limit,
    /// When the transport last took nothing.
    stalled: Option<Instant>,
}

impl<S: SplitTransport> Link for SharedLink<S> {
    fn before_parsing(&mut self, _write_blocked: bool) -> Option<Action> {
        // The senders make their own way through a full buffer; receiving does not wait for them.
        self.shared.lock().driver.is_over().then_some(Action::End)
    }

    fn after_parsing(&mut self, parsed: Parsed, write_blocked: bool) -> Action {
        let step = self.shared.change(|driver| driver.after_parsing(parsed, write_blocked));
        if step == Action::End {
            self.shared.over();
        }
        step
    }

    fn result(&mut self) -> Result<(), Error> {
        self.shared.lock().driver.result()
    }

    fn read(&mut self, rx: &mut RecvBuffer) -> Result<(), Error> {
        let shared = &*self.shared;
        let wait = {
            let mut state = shared.lock();
            // Whoever was writing may have come to the end of it since this half looked: then
            // there is something else to do than to read, such as to shut down.
            if state.driver.after_parsing(Parsed::default(), true) != Action::Read {
                return Ok(());
            }
            let unsent = state.driver.unsent();
            let grace = state.grace;
            let wait = shared.clock.time_left_with(&mut state.driver, false, grace);
            if wait.is_ok() && state.driver.unsent() > unsent {
                return Ok(()); // a ping, which has to leave before the wait for its pong
            }
            // whoever is writing takes along what is unsent; without anybody, it waits for this
            // half
            let is_unsent = !state.driver.is_flushed();
            let is_mine = state.unwritten.is_some() && is_unsent;
            // and after it there is a direction to shut down
            let is_ending = state.driver.sender.transport() != proto::Transport::KeepOpen;
            let at_most =
                if is_mine || is_ending && is_unsent { MEANWHILE } else { shared.look_up };
            wait.map(|wait| wait.map_or(at_most, |wait| wait.min(at_most)))
        };
        let Ok(wait) = wait else {
            shared.end_output();
            return Ok(());
        };
        let bound = self.read_limit.bound(&shared.io, Some(wait))?;
        let start = Instant::now();
        shared.reading.store(true, Ordering::Relaxed);
        let done = read_some(&mut &SharedIo(&shared.io), rx, bound);
        shared.reading.store(false, Ordering::Relaxed);
        match done {
            Done::Nothing => {
                self.read_limit.waited(start);
                return Ok(());
            }
            Done::Expired(error) | Done::WouldBlock(error) => {
                self.read_limit.expired();
                return Err(error.into());
            }
            Done::Bytes(0) => shared.lock().driver.read_eof(),
            Done::Bytes(_) => {}
            Done::Failed(error) => {
                shared.lock().driver.read_failed(error);
                shared.over();
            }
        }
        self.read_limit.rewind();
        Ok(())
    }

    fn wait_for_writer(&mut self) -> Result<(), Error> {
        let shared = &*self.shared;
        let state = shared.lock();
        if state.unwritten.is_some() {
            return Ok(()); // it has gone already
        }
        drop(shared.wait(state));
        Ok(())
    }

    fn write(&mut self) -> Result<bool, Error> {
        if self.stalled.is_some_and(|at| at.elapsed() < MEANWHILE) {
            return Ok(false);
        }
        let mut state = self.shared.lock();
        // whoever is writing takes it along
        let Some(unwritten) = state.unwritten.take() else { return Ok(false) };
        let before = state.driver.written;
        self.stalled = None;
        match self.shared.write(state, unwritten, Some(POLL_TIMEOUT)) {
            Ok(state) if state.driver.written > before || state.driver.is_flushed() => Ok(true),
            Ok(_) => {
                // It must not wait for a peer that does the same: two such ends would never read
                // again.
                self.stalled = Some(Instant::now());
                Ok(false)
            }
            // A stream that does not wait costs nothing to ask, and reading has the last word about
            // it.
            Err(_) => Ok(false),
        }
    }

    fn shutdown_write(&mut self) {
        let shut = self.shared.io.shutdown(Shutdown::Write);
        let mut state = self.shared.lock();
        state.driver.was_shut_down();
        match shut {
            // Nothing tells the peer that this is the end but the end of the stream.
            Err(error) if is_cannot(&error) => state.driver.read_eof(),
            // any other error means that the other end is gone, which reading will show
            _ => {}
        }
        self.shared.changed.notify_all();
    }

    fn driver<T>(&mut self, act: impl FnOnce(&mut Driver) -> T) -> T {
        self.shared.change(act)
    }
}

/// The receiving half of a socket that was split.
///
/// ```
/// # fn run(stream: std::net::TcpStream) -> Result<(), sansws::Error> {
/// use sansws::blocking::accept;
///
/// let (mut receiver, sender) = accept(stream)?.split();
/// let clock = sender.clone();
/// std::thread::spawn(move || {
///     while clock.send("tick").is_ok() {
///         std::thread::sleep(std::time::Duration::from_secs(1));
///     }
/// });
/// while let Some(message) = receiver.recv()? {
///     sender.send(message)?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct Receiver<S> {
    rx: RecvBuffer,
    receiver: proto::Receiver,
    link: SharedLink<S>,
}

impl<S> Receiver<S> {
    /// Returns what it is made of.
    pub(super) fn parts(&mut self) -> (&mut RecvBuffer, &mut proto::Receiver, &mut SharedLink<S>) {
        (&mut self.rx, &mut self.receiver, &mut self.link)
    }
}

impl<S: SplitTransport> Receiver<S> {
    /// Returns the next message, owned. See [`WebSocket::recv`].
    ///
    /// Also answers pings, and does its part of the closing handshake.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::recv`].
    pub fn recv(&mut self) -> Result<Option<Message>, Error> {
        let Self { rx, receiver, link, .. } = self;
        receiver.deliver_messages();
        while let Some(ready) = ready_event(receiver, rx, link)? {
            let pay = |reply| link.driver(|driver| driver.reply(reply));
            if let Some(message) = take_message(receiver, rx, ready, pay)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// Returns the next event, borrowed from the receive buffer. See [`WebSocket::next_event`];
    /// answers go through the [`Sender`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::recv`].
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>, Error> {
        self.receiver.deliver_messages();
        self.take_next()
    }

    /// Returns the next event, the payload of a message as it arrives. See
    /// [`WebSocket::next_chunk`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::recv`].
    pub fn next_chunk(&mut self) -> Result<Option<Event<'_>>, Error> {
        self.receiver.deliver_chunks(&self.rx);
        self.take_next()
    }

    fn take_next(&mut self) -> Result<Option<Event<'_>>, Error> {
        let Self { rx, receiver, link, .. } = self;
        let Some(ready) = ready_event(receiver, rx, link)? else { return Ok(None) };
        let pay = |reply| link.driver(|driver| driver.reply(reply));
        Ok(Some(take_event(receiver, rx, ready, pay)))
    }

    /// Returns the subprotocol that the handshake agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.link.shared.subprotocol.as_deref()
    }

    /// Returns how the connection closed; `None` while it is open.
    pub fn close_info(&self) -> Option<CloseInfo<'static>> {
        self.link.shared.lock().driver.sender.close_info().map(CloseInfo::into_owned)
    }

    /// Returns the time from the last keep-alive ping to its pong; `None` until one was answered.
    pub fn round_trip(&self) -> Option<Duration> {
        self.link.shared.lock().driver.sender.round_trip()
    }

    /// Returns what can still happen on the connection.
    pub fn state(&self) -> State {
        self.link.shared.lock().driver.sender.state()
    }

    /// Returns what the handshake agreed on about compression; `None` if messages are not
    /// compressed.
    #[cfg(feature = "deflate")]
    pub fn deflate(&self) -> Option<crate::deflate::Agreement> {
        self.link.shared.lock().driver.sender.deflate()
    }

    /// Puts the halves together again.
    ///
    /// # Errors
    ///
    /// Both halves, when `sender` belongs to another socket or has clones elsewhere.
    pub fn reunite(self, sender: Sender<S>) -> Result<WebSocket<S>, ReuniteError<S>> {
        if !Arc::ptr_eq(&self.link.shared, &sender.shared) || Arc::strong_count(&sender.shared) > 2
        {
            return Err(ReuniteError(Box::new((self, sender))));
        }
        drop(sender);
        let Self { rx, receiver, link } = self;
        // this half has the only reference now: the other one could not be cloned meanwhile
        let SharedLink { shared, read_limit, .. } = link;
        let Some(shared) = Arc::into_inner(shared) else { unreachable!("the halves were counted") };
        let Shared { io, subprotocol, clock, state, .. } = shared;
        let SharedState { mut driver, unwritten, write_limit, .. } =
            state.into_inner().unwrap_or_else(PoisonError::into_inner);
        driver.take_back(unwritten.unwrap_or_default());
        let link = Direct::new(io, driver, receiver.max_ahead());
        let link = Direct { clock, read_limit, write_limit, ..link };
        Ok(WebSocket { rx, receiver, link, subprotocol })
    }
}

impl<S> fmt::Debug for Receiver<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("rx", &self.rx).finish_non_exhaustive()
    }
}

/// The sending half of a socket that was split. Cloning it costs a reference count.
///
/// All clones may send at the same time: messages go out whole, one after the other, and replies to
/// the peer pass between them. One thread writes for all; no lock is held while it does.
///
/// [`Receiver`] has an example with both.
pub struct Sender<S> {
    shared: Arc<Shared<S>>,
}

impl<S: SplitTransport> Sender<S> {
    /// Sends a message, and waits until it is written.
    ///
    /// Waits for room first while [`Config::max_unsent`](crate::Config::max_unsent) bytes wait to
    /// be sent.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send`].
    pub fn send<'m>(&self, message: impl Into<MessageRef<'m>>) -> Result<(), Error> {
        let message = message.into();
        self.queue(|driver| driver.feed(message))
    }

    /// Queues a message. It leaves with the next call that writes, on any of the halves.
    ///
    /// # Errors
    ///
    /// [`SendError::BufferFull`] while [`Config::max_unsent`](crate::Config::max_unsent) bytes
    /// wait, and as [`WebSocket::send`].
    pub fn feed<'m>(&self, message: impl Into<MessageRef<'m>>) -> Result<(), Error> {
        self.shared.lock().driver.feed(message.into())
    }

    /// Waits until everything that is queued now is written.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::flush`].
    pub fn flush(&self) -> Result<(), Error> {
        let end = self.shared.lock().driver.end_of_queue()?;
        self.shared.write_to(end)
    }

    /// Sends everything that is queued and a Close frame, and returns once that is written. The
    /// receiving half finishes the closing handshake and reports the end; a peer that does not
    /// answer is given up there after [`Config::close_timeout`](crate::Config::close_timeout).
    /// Without a thread that receives, nobody waits for the peer.
    ///
    /// # Errors
    ///
    /// [`SendError::ReasonTooLong`]; otherwise as [`flush`](Self::flush). On a connection that is
    /// closing already this is a flush, and on one that has ended it says how.
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        let queued = self.shared.change(|driver| {
            if let Some(end) = driver.end() {
                return Err(end);
            }
            match driver.start_close(code, reason) {
                // the latter: is closing already
                Ok(()) | Err(Error::Send(SendError::NotOpen)) => driver.end_of_queue().map_err(Err),
                Err(error) => Err(Err(error)),
            }
        });
        match queued {
            Ok(end) => self.shared.write_to(end),
            Err(end) => end,
        }
    }

    /// Sends the beginning of `bytes` as a binary message, and says how many bytes that were.
    pub(super) fn send_piece(&self, bytes: &[u8]) -> Result<usize, Error> {
        let mut taken = None;
        let sent = self.queue(|driver| {
            taken = Some(driver.feed_piece(bytes)?);
            Ok(())
        });
        match (sent, taken) {
            // it was taken, so it must not be sent again: it leaves with the next call
            (Ok(()) | Err(Error::Io(_)), Some(n)) => Ok(n),
            (sent, _) => sent.map(|()| 0),
        }
    }

    /// Returns the unsent bytes: of all senders, and replies to the peer.
    pub fn unsent(&self) -> usize {
        self.shared.lock().driver.unsent()
    }

    /// Returns the subprotocol that the handshake agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.shared.subprotocol.as_deref()
    }

    /// Returns what the handshake agreed on about compression; `None` if messages are not
    /// compressed.
    #[cfg(feature = "deflate")]
    pub fn deflate(&self) -> Option<crate::deflate::Agreement> {
        self.shared.lock().driver.sender.deflate()
    }

    /// Returns what can still happen on the connection.
    pub fn state(&self) -> State {
        self.shared.lock().driver.sender.state()
    }

    /// Returns the time from the last keep-alive ping to its pong; `None` until one was answered.
    pub fn round_trip(&self) -> Option<Duration> {
        self.shared.lock().driver.sender.round_trip()
    }

    /// Returns how the connection closed; `None` while it is open.
    pub fn close_info(&self) -> Option<CloseInfo<'static>> {
        self.shared.lock().driver.sender.close_info().map(CloseInfo::into_owned)
    }

    /// Waits for room, queues with `feed`, and waits until that is written.
    fn queue(&self, feed: impl FnOnce(&mut Driver) -> Result<(), Error>) -> Result<(), Error> {
        let end = loop {
            self.shared.write_until(Driver::check_room)?;
            let mut state = self.shared.lock();
            // another thread may have been faster
            if state.driver.check_room()? {
                feed(&mut state.driver)?;
                break state.driver.end_of_queue()?;
            }
        };
        self.shared.write_to(end)
    }
}

impl<S> Clone for Sender<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S> fmt::Debug for Sender<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// The halves are not of one socket, or the sender has clones.
pub struct ReuniteError<S>(Box<(Receiver<S>, Sender<S>)>);

impl<S> ReuniteError<S> {
    /// Returns the halves.
    pub fn into_halves(self) -> (Receiver<S>, Sender<S>) {
        *self.0
    }
}

impl<S> fmt::Debug for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReuniteError")
    }
}

impl<S> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are not of one socket, or the sender has clones: drop those first")
    }
}

impl<S> core::error::Error for ReuniteError<S> {}

impl Receiver<TcpStream> {
    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// The socket is not connected any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.link.shared.io.peer_addr()
    }
}

impl Sender<TcpStream> {
    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// The socket is not connected any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.shared.io.peer_addr()
    }
}

impl Receiver<ClientStream> {
    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// The socket is not connected any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.link.shared.io.tcp().peer_addr()
    }
}

impl Sender<ClientStream> {
    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// The socket is not connected any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.shared.io.tcp().peer_addr()
    }
}

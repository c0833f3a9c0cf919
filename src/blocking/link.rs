//! How a connection gets bytes in and out, and the one loop that waits for events.

use core::fmt;
use core::time::Duration;
use std::io;
use std::time::Instant;

use super::Transport;
use super::limit::{Bound, Done, Limit, POLL_TIMEOUT, flush, read_some, write_some};
use super::transport::is_cannot;
use crate::buf::RecvBuffer;
use crate::driver::{Driver, Parsed, parse};
use crate::endpoint::Action;
use crate::error::Error;
use crate::proto::{MessageRef, Ready, Receiver, State};

/// The way between a receiving half and its transport: alone with it, or shared with senders.
pub(super) trait Link {
    /// As [`Driver::before_parsing`].
    fn before_parsing(&mut self, write_blocked: bool) -> Option<Action>;

    /// As [`Driver::after_parsing`].
    fn after_parsing(&mut self, parsed: Parsed, write_blocked: bool) -> Action;

    /// As [`Driver::result`].
    fn result(&mut self) -> Result<(), Error>;

    /// Reads once into `rx`.
    fn read(&mut self, rx: &mut RecvBuffer) -> Result<(), Error>;

    /// Writes once; `false` when that gets nowhere now, and reading goes on meanwhile.
    fn write(&mut self) -> Result<bool, Error>;

    /// Waits until whoever is writing has got on.
    fn wait_for_writer(&mut self) -> Result<(), Error>;

    /// Shuts down the sending direction.
    fn shutdown_write(&mut self);

    /// Does something to the driver.
    fn driver<T>(&mut self, act: impl FnOnce(&mut Driver) -> T) -> T;
}

/// Waits until there is an event to take, or the connection is over in good order (`None`).
pub(super) fn ready_event(
    receiver: &mut Receiver,
    rx: &mut RecvBuffer,
    link: &mut impl Link,
) -> Result<Option<Ready>, Error> {
    let mut write_blocked = false;
    loop {
        let step = match link.before_parsing(write_blocked) {
            Some(step) => step,
            None => match parse(receiver, rx) {
                Ok(ready) => return Ok(Some(ready)),
                Err(parsed) => link.after_parsing(parsed, write_blocked),
            },
        };
        match step {
            Action::End => return link.result().map(|()| None),
            Action::Write => write_blocked = !link.write()?,
            Action::Wait => {
                link.wait_for_writer()?;
                write_blocked = false;
            }
            Action::ShutdownWrite | Action::TryShutdown => link.shutdown_write(),
            Action::Again => {}
            Action::Read => {
                link.read(rx)?;
                write_blocked = false;
            }
        }
    }
}

/// A transport and a driver with one owner.
pub(super) struct Direct<S> {
    pub(super) io: S,
    pub(super) driver: Driver,
    pub(super) clock: Clock,
    pub(super) read_limit: Limit,
    pub(super) write_limit: Limit,
    /// A deadline has passed, and what had arrived by then has been taken in.
    pub(super) drained: bool,
    /// What arrived while a write had to wait; it is read before anything else.
    pub(super) ahead: RecvBuffer,
    /// How much of that may be held, in bytes.
    pub(super) max_ahead: usize,
    /// The most that was unsent since all had left, in bytes, as far as a `recv` had to wait for
    /// it.
    pub(super) most_unsent: usize,
    /// All bytes ever read.
    pub(super) read: u64,
    /// All bytes ever written.
    pub(super) written: u64,
    /// How reading ended, behind `ahead`.
    pub(super) ended: Option<io::Result<()>>,
    /// How long a write waits before it is time to look for what has arrived.
    pub(super) turn: Duration,
    /// When a write that went along with reading last got nowhere.
    pub(super) stalled: Option<Instant>,
}

impl<S> Direct<S> {
    pub(super) fn new(io: S, driver: Driver, max_ahead: usize) -> Self {
        Self {
            io,
            driver,
            clock: Clock::new(),
            read_limit: Limit::read(),
            write_limit: Limit::write(),
            drained: false,
            ahead: RecvBuffer::new(),
            max_ahead,
            most_unsent: 0,
            read: 0,
            written: 0,
            ended: None,
            turn: POLL_TIMEOUT,
            stalled: None,
        }
    }
}

impl<S> Direct<S> {
    /// Moves what was read ahead into `rx`, and tells the driver how reading ended.
    pub(super) fn hand_over(&mut self, rx: &mut RecvBuffer) {
        rx.extend_from_slice(self.ahead.unparsed());
        self.ahead = RecvBuffer::new();
        match self.ended.take() {
            None => {}
            Some(Ok(())) => self.driver.read_eof(),
            Some(Err(error)) => {
                // behind what has arrived before it
                self.driver.write_failed(error);
                self.driver.read_eof();
            }
        }
    }
}

/// How one write went.
enum Progress {
    /// Something was written, or the driver knows that nothing can be.
    Made,
    /// The transport took nothing for as long as that was waited for.
    Blocked,
    /// The transport takes nothing now, and does not wait.
    WouldBlock(io::Error),
}

impl<S: Transport> Direct<S> {
    pub(super) fn send(&mut self, message: MessageRef<'_>) -> Result<(), Error> {
        self.make_room()?;
        self.driver.feed(message)?;
        self.write_message()
    }

    /// Writes everything, for a message that is the last of it.
    pub(super) fn write_message(&mut self) -> Result<(), Error> {
        let end = self.driver.end_of_queue()?;
        let flushed = self.write_all();
        self.driver.sent(end, flushed)
    }

    pub(super) fn make_room(&mut self) -> Result<(), Error> {
        loop {
            if self.driver.check_room()? {
                return Ok(());
            }
            self.write_and_take_in(self.max_ahead)?;
        }
    }

    pub(super) fn write_all(&mut self) -> Result<(), Error> {
        while !self.driver.check_flushed()? {
            self.write_and_take_in(self.max_ahead)?;
        }
        Ok(())
    }

    /// Writes once, and if that has to wait, takes in what arrives meanwhile: the peer may be
    /// waiting for that before it reads. Holds up to `max` bytes.
    fn write_and_take_in(&mut self, max: usize) -> Result<(), Error> {
        if self.driver.sender.state() != State::Open && self.clock.is_late(&self.driver) {
            self.take_in(max)?; // before the time-out strikes
        }
        let at_most = self.can_take_in(max).then_some(self.turn);
        let start = Instant::now();
        match self.write_once(at_most)? {
            Progress::Made => {
                self.write_limit.rewind();
                self.turn = POLL_TIMEOUT;
            }
            Progress::Blocked => {
                self.write_limit.waited(start);
                self.turn = if self.take_in(max)? { POLL_TIMEOUT } else { MEANWHILE };
                // not before that look: there may have been a pong that nobody had read
                let deaf = !self.ahead.is_idle() || !self.can_take_in(max);
                let _ = self.time_left(deaf);
            }
            Progress::WouldBlock(error) => {
                // Whether the stream does not wait, or the time that the user has set is up, is
                // told by the time that it took.
                match start.elapsed() < POLL_TIMEOUT {
                    true => self.take_in_at_once(max),
                    false => drop(self.take_in(max)?),
                }
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Returns how much to hold of what arrives while nothing can be answered, in bytes.
    fn most_to_hold(&self) -> usize {
        // Of two ends that wait for each other to read, one has read less than it has sent, ever:
        // if neither had, each would have read more than the other has written. That one takes in
        // what frees the other.
        let sent = self.written + self.driver.unsent() as u64;
        let owed = usize::try_from(sent.saturating_sub(self.read)).unwrap_or(usize::MAX);
        // A peer of another kind may write everything before it reads: for that one, no more than
        // what it leaves here.
        self.ahead.unparsed().len().saturating_add(owed).max(self.most_unsent)
    }

    fn can_take_in(&self, max: usize) -> bool {
        self.has_room_ahead(max) && !self.read_limit.is_impossible()
    }

    fn has_room_ahead(&self, max: usize) -> bool {
        self.ended.is_none() && self.ahead.unparsed().len() < max
    }

    /// Reads what has arrived on a stream that does not wait, as a write has just shown.
    fn take_in_at_once(&mut self, max: usize) {
        let before = self.ahead.unparsed().len();
        while self.has_room_ahead(max) && self.ahead.unparsed().len() - before < A_LOT {
            match read_some(&mut self.io, &mut self.ahead, Bound::NONE) {
                Done::Bytes(0) => self.ended = Some(Ok(())),
                Done::Bytes(_) => {}
                Done::Failed(error) => self.ended = Some(Err(error)),
                _ => break,
            }
        }
        let n = self.ahead.unparsed().len() - before;
        if n > 0 {
            self.read += n as u64;
            self.driver.unparsed_came(n);
        }
    }

    /// Reads what has arrived, and says whether that was anything.
    fn take_in(&mut self, max: usize) -> Result<bool, Error> {
        let before = self.ahead.unparsed().len();
        // A part of it, and then back to the write: the peer may have come to read.
        while self.can_take_in(max) && self.ahead.unparsed().len() - before < A_LOT {
            let bound = self.read_limit.bound(&self.io, Some(POLL_TIMEOUT))?;
            if self.read_limit.is_impossible() {
                break; // this might wait for ever
            }
            let room = self.ahead.space().len();
            match read_some(&mut self.io, &mut self.ahead, bound) {
                Done::Bytes(0) => self.ended = Some(Ok(())),
                Done::Bytes(n) if n == room => {}
                Done::Failed(error) => self.ended = Some(Err(error)),
                _ => break,
            }
        }
        let n = self.ahead.unparsed().len() - before;
        if n > 0 {
            self.read += n as u64;
            self.driver.unparsed_came(n);
        }
        Ok(n > 0)
    }

    /// Writes what is unsent, or flushes the stream, once and for `at_most` so long.
    fn write_once(&mut self, at_most: Option<Duration>) -> Result<Progress, Error> {
        let Ok(wait) = self.clock.time_left_to_write(&mut self.driver) else {
            return Ok(Progress::Made);
        };
        let bound = self.write_limit.bound_turn(&self.io, wait, at_most)?;
        let mut done = None;
        if !self.driver.is_flushed() {
            let start = Instant::now();
            let written = write_some(&mut self.io, self.driver.tx(), bound);
            if let Done::Bytes(n) = written {
                if start.elapsed() >= POLL_TIMEOUT {
                    self.driver.write_stalled(); // until it did not
                }
                self.driver.was_written(n);
                self.written += n as u64;
                self.driver.flush_pending = true;
            }
            done = Some(written);
        }
        if self.driver.is_flushed() && self.driver.flush_pending {
            self.most_unsent = 0;
            // A socket has nothing to do here. The bytes are taken: they leave with the next flush
            // if not with this one.
            let flushed = flush(&mut self.io, bound);
            self.driver.flush_pending = !matches!(flushed, Done::Bytes(_) | Done::Failed(_));
            self.driver.note_flush(matches!(flushed, Done::Bytes(_)));
            done = Some(flushed);
        }
        match done {
            None | Some(Done::Bytes(_)) => {}
            Some(Done::Nothing) => {
                self.driver.write_stalled();
                return Ok(Progress::Blocked);
            }
            Some(Done::WouldBlock(error)) => {
                self.driver.write_stalled();
                return Ok(Progress::WouldBlock(error));
            }
            Some(Done::Expired(error)) => {
                self.driver.write_stalled();
                self.write_limit.expired();
                return Err(error.into());
            }
            Some(Done::Failed(error)) => self.driver.write_failed(error),
        }
        Ok(Progress::Made)
    }

    /// Returns how long the next wait may take; `None` when the connection is over.
    fn time_left(&mut self, deaf: bool) -> Option<Option<Duration>> {
        if let Ok(wait) = self.clock.time_left(&mut self.driver, deaf) {
            return Some(wait);
        }
        if self.driver.is_timed_out() && !self.driver.is_flushed() {
            // a last word, if the transport takes it at once
            if let Ok(bound) = self.write_limit.bound(&self.io, Some(POLL_TIMEOUT))
                && !self.write_limit.is_impossible()
            {
                let _ = write_some(&mut self.io, self.driver.tx(), bound);
            }
        }
        None
    }
}

impl<S: Transport> Link for Direct<S> {
    fn before_parsing(&mut self, write_blocked: bool) -> Option<Action> {
        self.driver.before_parsing(write_blocked)
    }

    fn after_parsing(&mut self, parsed: Parsed, write_blocked: bool) -> Action {
        match self.driver.after_parsing(parsed, write_blocked) {
            // what has been written may still lie in the stream
            Action::Read | Action::ShutdownWrite if self.driver.flush_pending && !write_blocked => {
                Action::Write
            }
            Action::ShutdownWrite if self.driver.flush_pending => Action::Read,
            step => step,
        }
    }

    fn result(&mut self) -> Result<(), Error> {
        self.driver.result()
    }

    fn read(&mut self, rx: &mut RecvBuffer) -> Result<(), Error> {
        let ahead = self.ahead.unparsed();
        if !ahead.is_empty() {
            let n = ahead.len().min(A_LOT);
            rx.extend_from_slice(&ahead[..n]);
            self.ahead.skip(n);
            if self.ahead.is_idle() {
                self.ahead = RecvBuffer::new();
            }
            return Ok(());
        }
        match self.ended.take() {
            None => {}
            Some(Ok(())) => return self.read_done(Done::Bytes(0), None),
            Some(Err(error)) => return self.read_done(Done::Failed(error), None),
        }
        // What waits in the socket shows that the peer lives, however late somebody comes to read
        // it: a look at that before a look at the clock.
        self.drained = !self.drained && self.clock.is_late(&self.driver);
        let wait = if self.drained {
            Some(POLL_TIMEOUT)
        } else {
            let unsent = self.driver.unsent();
            let Some(wait) = self.time_left(false) else { return Ok(()) };
            if self.driver.unsent() > unsent {
                return Ok(()); // a ping has become due: it goes out before the wait for its pong
            }
            let is_unsent = !self.driver.has_left();
            [wait, is_unsent.then_some(MEANWHILE)].into_iter().flatten().min()
        };
        let bound = self.read_limit.bound(&self.io, wait)?;
        let has_left = self.driver.has_left();
        if self.read_limit.is_impossible() && self.driver.is_clean() && has_left {
            // RFC 6455 §7.1.1: the server closes TCP first, but a client "MAY close the connection
            // at any time" if it must; a wait without an end is no way to find out.
            self.driver.read_eof();
            return Ok(());
        }
        let start = Instant::now();
        let done = read_some(&mut self.io, rx, bound);
        self.read_done(done, Some(start))
    }

    fn write(&mut self) -> Result<bool, Error> {
        let is_waiting = self.stalled.is_some_and(|at| at.elapsed() < MEANWHILE);
        // the time-out of a peer that is closing waits for the look of `read`
        if is_waiting || !self.drained && self.clock.is_late(&self.driver) {
            return Ok(false);
        }
        let progress = self.write_once(Some(POLL_TIMEOUT))?;
        // a stream that does not wait costs nothing to ask
        self.stalled = matches!(progress, Progress::Blocked).then(Instant::now);
        Ok(matches!(progress, Progress::Made))
    }

    fn wait_for_writer(&mut self) -> Result<(), Error> {
        // There is no other.
        self.most_unsent = self.most_unsent.max(self.driver.unsent());
        self.write_and_take_in(self.max_ahead.min(self.most_to_hold()))
    }

    fn shutdown_write(&mut self) {
        let shut = self.io.shutdown_write();
        self.driver.was_shut_down();
        match shut {
            // Nothing tells the peer that this is the end but the end of the stream.
            Err(error) if is_cannot(&error) => self.driver.read_eof(),
            // any other error means that the other end is gone, which reading will show
            _ => {}
        }
    }

    fn driver<T>(&mut self, act: impl FnOnce(&mut Driver) -> T) -> T {
        act(&mut self.driver)
    }
}

impl<S> Direct<S> {
    fn read_done(&mut self, done: Done, start: Option<Instant>) -> Result<(), Error> {
        match done {
            Done::Nothing => {
                if let Some(start) = start {
                    self.read_limit.waited(start);
                }
                return Ok(());
            }
            Done::Bytes(0) => self.driver.read_eof(),
            Done::Bytes(n) => self.read += n as u64,
            Done::Failed(error) => self.driver.read_failed(error),
            Done::Expired(error) | Done::WouldBlock(error) => {
                self.read_limit.expired();
                return Err(error.into());
            }
        }
        self.read_limit.rewind();
        Ok(())
    }
}

impl<S: fmt::Debug> fmt::Debug for Direct<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direct").field("io", &self.io).finish_non_exhaustive()
    }
}

/// The clock of a connection.
#[derive(Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }

    /// Continues the time that began then.
    pub(super) const fn since(begin: Instant) -> Self {
        Self(begin)
    }

    pub(super) const fn begin(self) -> Instant {
        self.0
    }

    /// Lets the timers act, and says how long the next wait may take; `None` is for ever. `deaf`:
    /// nobody has read what may have come.
    pub(super) fn time_left(
        self,
        driver: &mut Driver,
        deaf: bool,
    ) -> Result<Option<Duration>, Over> {
        self.time_left_with(driver, deaf, Duration::ZERO)
    }

    /// Does the same, for somebody who leaves it to another one to be in time, but for `grace`.
    pub(super) fn time_left_with(
        self,
        driver: &mut Driver,
        deaf: bool,
        grace: Duration,
    ) -> Result<Option<Duration>, Over> {
        loop {
            if driver.is_over() {
                return Err(Over);
            }
            let Some(mut due) = driver.sender.poll_timeout() else { return Ok(None) };
            let now = self.0.elapsed();
            if !due.is_zero() {
                due += grace;
            }
            if due > now {
                return Ok(Some(due - now));
            }
            // at most one timer is due at a time, but arming one takes a turn
            driver.handle_timeout(now, deaf);
        }
    }

    /// Returns whether a deadline has passed.
    pub(super) fn is_late(self, driver: &Driver) -> bool {
        let due = driver.sender.poll_timeout();
        due.is_some_and(|due| !due.is_zero() && due <= self.0.elapsed())
    }

    /// As [`time_left`](Self::time_left), before a write.
    ///
    /// While the connection is open, the timers act only after a write that took too long: until
    /// then there may be a pong that nobody has read.
    pub(super) fn time_left_to_write(self, driver: &mut Driver) -> Result<Option<Duration>, Over> {
        if driver.is_over() || driver.sender.state() != State::Open {
            return self.time_left(driver, false);
        }
        let due = driver.sender.poll_timeout();
        Ok(due.map(|due| due.saturating_sub(self.0.elapsed()).max(POLL_TIMEOUT)))
    }
}

/// The connection is over: there is nothing to wait for, and the driver says how it ended.
#[derive(Debug)]
pub(super) struct Over;

/// While one direction is blocked, how long to wait for the other before trying again.
pub(super) const MEANWHILE: Duration = Duration::from_millis(20);

/// Bytes that are taken in before it is the other direction's turn.
const A_LOT: usize = 256 * 1024;

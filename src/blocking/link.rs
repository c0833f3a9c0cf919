//! How a connection gets bytes in and out, and the one loop that waits for events.

use core::fmt;
use core::time::Duration;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::time::Instant;

use bytes::Buf;

use super::Transport;
use crate::buf::{RecvBuffer, SendBuffer};
use crate::error::Error;
use crate::proto::{MessageRef, Ready, Receiver, State};
use crate::session::{Parsed, Session, Step, parse};

/// The way between a receiving half and its transport: alone with it, or shared with senders.
pub(super) trait Link {
    /// As [`Session::before_parsing`].
    fn before_parsing(&mut self, write_blocked: bool) -> Option<Step>;

    /// As [`Session::after_parsing`].
    fn after_parsing(&mut self, parsed: Parsed, write_blocked: bool) -> Step;

    /// As [`Session::result`].
    fn result(&mut self) -> Result<(), Error>;

    /// Reads once into `rx`.
    fn read(&mut self, rx: &mut RecvBuffer) -> Result<(), Error>;

    /// Writes once; `false` when that gets nowhere now, and reading goes on meanwhile.
    fn write(&mut self) -> Result<bool, Error>;

    /// Waits until whoever is writing has got on.
    fn wait_for_writer(&mut self) -> Result<(), Error>;

    /// Shuts down the sending direction.
    fn shutdown_write(&mut self);

    /// Does something to the session.
    fn session<T>(&mut self, act: impl FnOnce(&mut Session) -> T) -> T;
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
            Step::End => return link.result().map(|()| None),
            Step::Write => write_blocked = !link.write()?,
            Step::Wait => {
                link.wait_for_writer()?;
                write_blocked = false;
            }
            Step::ShutdownWrite | Step::HangUp => link.shutdown_write(),
            Step::Again => {}
            Step::Read => {
                link.read(rx)?;
                write_blocked = false;
            }
        }
    }
}

/// A transport and a session with one owner.
pub(super) struct Direct<S> {
    pub(super) io: S,
    pub(super) session: Session,
    pub(super) clock: Clock,
    pub(super) read_limit: Limit,
    pub(super) write_limit: Limit,
    /// The stream may have bytes in a buffer of its own.
    pub(super) flush_pending: bool,
    /// A deadline has passed, and what had arrived by then has been taken in.
    pub(super) looked: bool,
}

impl<S> Direct<S> {
    pub(super) fn new(io: S, session: Session) -> Self {
        Self {
            io,
            session,
            clock: Clock::new(),
            read_limit: Limit::default(),
            write_limit: Limit::default(),
            flush_pending: false,
            looked: false,
        }
    }
}

impl<S: Transport> Direct<S> {
    pub(super) fn send(&mut self, message: MessageRef<'_>) -> Result<(), Error> {
        self.make_room()?;
        self.session.feed(message)?;
        self.write_all()
    }

    pub(super) fn make_room(&mut self) -> Result<(), Error> {
        loop {
            self.session.check_writable()?;
            if self.session.has_room() {
                return Ok(());
            }
            self.write()?;
        }
    }

    pub(super) fn write_all(&mut self) -> Result<(), Error> {
        loop {
            self.session.check_flushed()?;
            if !self.session.is_flushed() {
                self.write()?;
            } else if self.flush_pending {
                self.flush()?;
            } else {
                return Ok(());
            }
        }
    }

    /// How long the next wait may take; `None` when the connection is over.
    fn patience(&mut self) -> Option<Option<Duration>> {
        if let Ok(wait) = self.clock.patience(&mut self.session) {
            return Some(wait);
        }
        if self.session.is_timed_out() && !self.session.is_flushed() {
            // a last word, if the transport takes it at once
            let _ = self.io.set_write_timeout(Some(GLANCE));
            let _ = write_some(&mut self.io, self.session.tx(), None);
        }
        None
    }

    /// Empties the stream's own buffer, if it has one; a socket has nothing to do here.
    fn flush(&mut self) -> Result<(), Error> {
        self.flush_pending = true;
        loop {
            match self.io.flush() {
                Ok(()) => self.flush_pending = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // the bytes are taken: they leave with the next flush
                Err(error) if is_wait(&error) => return Err(error.into()),
                Err(error) => self.session.write_failed(error),
            }
            return Ok(());
        }
    }
}

impl<S: Transport> Link for Direct<S> {
    fn before_parsing(&mut self, write_blocked: bool) -> Option<Step> {
        self.session.before_parsing(write_blocked)
    }

    fn after_parsing(&mut self, parsed: Parsed, write_blocked: bool) -> Step {
        self.session.after_parsing(parsed, write_blocked)
    }

    fn result(&mut self) -> Result<(), Error> {
        self.session.result()
    }

    fn read(&mut self, rx: &mut RecvBuffer) -> Result<(), Error> {
        // What waits in the socket shows that the peer lives, however late somebody comes to read it:
        // a look at that before a look at the clock.
        self.looked = !self.looked && self.clock.is_late(&self.session);
        let wait = if self.looked {
            Some(GLANCE)
        } else {
            let Some(wait) = self.patience() else { return Ok(()) };
            if !self.session.is_flushed() {
                return Ok(()); // a ping has become due: it goes out before the wait for its pong
            }
            wait
        };
        let limit = self.read_limit.set(wait, |wait| self.io.set_read_timeout(wait))?;
        match read_some(&mut self.io, rx, limit)? {
            Done::Nothing => {}
            Done::Bytes(0) => self.session.read_eof(),
            Done::Bytes(_) => {}
            Done::Failed(error) => self.session.read_failed(error),
        }
        Ok(())
    }

    fn write(&mut self) -> Result<bool, Error> {
        let Ok(wait) = self.clock.patience_to_write(&mut self.session) else { return Ok(true) };
        let limit = self.write_limit.set(wait, |wait| self.io.set_write_timeout(wait))?;
        match write_some(&mut self.io, self.session.tx(), limit)? {
            Done::Nothing => {
                self.session.write_stalled();
                let _ = self.patience();
            }
            Done::Bytes(n) => {
                self.session.was_written(n);
                if self.session.is_flushed() {
                    self.flush()?;
                }
            }
            Done::Failed(error) => self.session.write_failed(error),
        }
        Ok(true)
    }

    fn wait_for_writer(&mut self) -> Result<(), Error> {
        self.write().map(drop) // there is no other
    }

    fn shutdown_write(&mut self) {
        // an error means that the other end is gone, which reading will show
        let _ = self.io.shutdown(Shutdown::Write);
        self.session.was_shut_down();
    }

    fn session<T>(&mut self, act: impl FnOnce(&mut Session) -> T) -> T {
        act(&mut self.session)
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

    /// Lets the timers act, and says how long the next wait may take; `None` is for ever.
    pub(super) fn patience(self, session: &mut Session) -> Result<Option<Duration>, Over> {
        loop {
            if session.is_over() {
                return Err(Over);
            }
            let Some(due) = session.sender.poll_timeout() else { return Ok(None) };
            let now = self.0.elapsed();
            if due > now {
                return Ok(Some(due - now));
            }
            // at most one timer is due at a time, but arming one takes a turn
            session.handle_timeout(now, false);
        }
    }

    /// Whether a deadline has passed.
    pub(super) fn is_late(self, session: &Session) -> bool {
        let due = session.sender.poll_timeout();
        due.is_some_and(|due| !due.is_zero() && due <= self.0.elapsed())
    }

    /// As [`patience`](Self::patience), before a write.
    ///
    /// While the connection is open, the timers act only after a write that took too long: until then
    /// there may be a pong that nobody has read.
    pub(super) fn patience_to_write(self, session: &mut Session) -> Result<Option<Duration>, Over> {
        if session.is_over() || session.sender.state() != State::Open {
            return self.patience(session);
        }
        let due = session.sender.poll_timeout();
        Ok(due.map(|due| due.saturating_sub(self.0.elapsed()).max(GLANCE)))
    }
}

/// The connection is over: there is nothing to wait for, and the session says how it ended.
#[derive(Debug)]
pub(super) struct Over;

/// The time-out that is set on one direction of a stream.
#[derive(Default)]
pub(super) struct Limit(Option<Duration>);

impl Limit {
    /// Bounds the next wait. Setting a time-out is a system call, so a wait may end an eighth late
    /// instead. Returns what the stream has been told.
    pub(super) fn set(
        &mut self,
        wait: Option<Duration>,
        set: impl FnOnce(Option<Duration>) -> io::Result<()>,
    ) -> Result<Option<Duration>, Error> {
        let keep = match (self.0, wait) {
            (None, None) => true,
            (Some(limit), Some(wait)) => wait <= limit && wait >= limit - limit / 8,
            _ => false,
        };
        if !keep {
            set(wait)?;
            self.0 = wait;
        }
        Ok(self.0)
    }
}

/// How one read or write went.
pub(super) enum Done {
    /// It was interrupted, or its time was up.
    Nothing,
    Bytes(usize),
    /// The stream is broken.
    Failed(io::Error),
}

/// One read of as much as there is room for. `limit`: the time-out of ours that is set.
pub(super) fn read_some(
    io: &mut impl Read,
    rx: &mut RecvBuffer,
    limit: Option<Duration>,
) -> Result<Done, Error> {
    let space = rx.space();
    let room = space.len();
    let start = limit.map(|_| Instant::now());
    match io.read(space) {
        Ok(n) if n <= room => {
            rx.commit(n);
            Ok(Done::Bytes(n))
        }
        Ok(_) => Ok(Done::Failed(io::Error::new(
            io::ErrorKind::InvalidData,
            "the transport claims to have read more bytes than it was given room for",
        ))),
        Err(error) => done_with(error, limit, start),
    }
}

/// One write of as much as there is.
pub(super) fn write_some(
    io: &mut impl Write,
    tx: &SendBuffer,
    limit: Option<Duration>,
) -> Result<Done, Error> {
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let count = tx.chunks_vectored(&mut slices);
    let start = limit.map(|_| Instant::now());
    let result = match &slices[..count] {
        [] => return Ok(Done::Nothing),
        [one] => io.write(one),
        several => io.write_vectored(several),
    };
    match result {
        Ok(n) => Ok(Done::Bytes(n)),
        Err(error) => done_with(error, limit, start),
    }
}

fn done_with(
    error: io::Error,
    limit: Option<Duration>,
    start: Option<Instant>,
) -> Result<Done, Error> {
    if error.kind() == io::ErrorKind::Interrupted {
        return Ok(Done::Nothing);
    }
    if !is_wait(&error) {
        return Ok(Done::Failed(error));
    }
    // A time-out of ours, or one that the user has set and wants to hear about? Ours takes as long as
    // it was told, but for a tick of the kernel's clock.
    match (limit, start) {
        (Some(limit), Some(start)) if start.elapsed() + TICK >= limit / 2 => Ok(Done::Nothing),
        _ => Err(error.into()),
    }
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// The shortest wait that sockets know; they take no time-out of zero.
pub(super) const GLANCE: Duration = Duration::from_millis(1);

/// The longest that kernels take between two looks at their clock.
const TICK: Duration = Duration::from_millis(10);

/// Slices in one vectored write.
const MAX_SLICES: usize = 64;

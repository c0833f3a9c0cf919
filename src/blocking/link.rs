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
use crate::proto::{LINGER, MessageRef, Ready, Receiver};
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

    /// Writes once; `false` when somebody else is writing and does it.
    fn write(&mut self) -> Result<bool, Error>;

    /// Waits until whoever is writing has got on.
    fn wait_for_writer(&mut self) -> Result<(), Error>;

    /// Shuts down the sending direction.
    fn shutdown_write(&mut self);
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
    read_limit: Limit,
    write_limit: Limit,
}

impl<S> Direct<S> {
    pub(super) fn new(io: S, session: Session) -> Self {
        Self::with_clock(io, session, Clock::new())
    }

    pub(super) fn with_clock(io: S, session: Session, clock: Clock) -> Self {
        Self { io, session, clock, read_limit: Limit::default(), write_limit: Limit::default() }
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
            if self.session.is_flushed() {
                return Ok(());
            }
            self.write()?;
        }
    }

    /// How long the next wait may take; `None` when the connection is over.
    fn patience(&mut self) -> Option<Option<Duration>> {
        if let Ok(wait) = self.clock.patience(&mut self.session) {
            return Some(wait);
        }
        // a last word, if the transport takes it
        let _ = self.io.set_write_timeout(Some(LINGER));
        let _ = write_some(&mut self.io, self.session.tx(), true);
        None
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
        let Some(wait) = self.patience() else { return Ok(()) };
        let limited = self.read_limit.set(wait, |wait| self.io.set_read_timeout(wait))?;
        match read_some(&mut self.io, rx, limited)? {
            Done::Nothing => {}
            Done::Bytes(0) => self.session.read_eof(),
            Done::Bytes(_) => {}
            Done::Failed(error) => self.session.read_failed(error),
        }
        Ok(())
    }

    fn write(&mut self) -> Result<bool, Error> {
        let Some(wait) = self.patience() else { return Ok(true) };
        let limited = self.write_limit.set(wait, |wait| self.io.set_write_timeout(wait))?;
        match write_some(&mut self.io, self.session.tx(), limited)? {
            Done::Nothing => self.session.write_stalled(),
            Done::Bytes(n) => {
                self.session.was_written(n);
                if self.session.is_flushed()
                    && let Err(error) = self.io.flush()
                {
                    self.session.write_failed(error);
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
    ///
    /// An error ends the connection: it is in the session's result.
    pub(super) fn patience(self, session: &mut Session) -> Result<Option<Duration>, Error> {
        // at most one timer is due at a time, but arming one takes a turn
        while let Some(due) = session.sender.poll_timeout() {
            let now = self.0.elapsed();
            if due > now {
                return Ok(Some(due - now));
            }
            session.handle_timeout(now)?;
        }
        Ok(None)
    }
}

/// The time-out that is set on one direction of a stream.
#[derive(Default)]
pub(super) struct Limit(Option<Duration>);

impl Limit {
    /// Bounds the next wait. Setting a time-out is a system call, so a wait may end an eighth late
    /// instead. Says whether the stream has a time-out of ours.
    pub(super) fn set(
        &mut self,
        wait: Option<Duration>,
        set: impl FnOnce(Option<Duration>) -> io::Result<()>,
    ) -> Result<bool, Error> {
        let keep = match (self.0, wait) {
            (None, None) => true,
            (Some(limit), Some(wait)) => wait <= limit && wait >= limit - limit / 8,
            _ => false,
        };
        if !keep {
            set(wait)?;
            self.0 = wait;
        }
        Ok(wait.is_some())
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

/// One read of as much as there is room for. `limited`: a time-out of ours is set.
pub(super) fn read_some(
    io: &mut impl Read,
    rx: &mut RecvBuffer,
    limited: bool,
) -> Result<Done, Error> {
    let space = rx.space();
    let room = space.len();
    match io.read(space) {
        Ok(n) if n <= room => {
            rx.commit(n);
            Ok(Done::Bytes(n))
        }
        Ok(_) => Ok(Done::Failed(io::Error::new(
            io::ErrorKind::InvalidData,
            "the transport claims to have read more bytes than it was given room for",
        ))),
        Err(error) => done_with(error, limited),
    }
}

/// One write of as much as there is.
pub(super) fn write_some(
    io: &mut impl Write,
    tx: &SendBuffer,
    limited: bool,
) -> Result<Done, Error> {
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let count = tx.chunks_vectored(&mut slices);
    let result = match &slices[..count] {
        [] => return Ok(Done::Nothing),
        [one] => io.write(one),
        several => io.write_vectored(several),
    };
    match result {
        Ok(n) => Ok(Done::Bytes(n)),
        Err(error) => done_with(error, limited),
    }
}

fn done_with(error: io::Error, limited: bool) -> Result<Done, Error> {
    match error.kind() {
        io::ErrorKind::Interrupted => Ok(Done::Nothing),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            // a time-out of ours, or else one that the user has set and wants to hear about
            if limited { Ok(Done::Nothing) } else { Err(error.into()) }
        }
        _ => Ok(Done::Failed(error)),
    }
}

/// Slices in one vectored write.
const MAX_SLICES: usize = 64;

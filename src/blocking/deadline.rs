use core::time::Duration;
use std::thread;
use std::time::Instant;

use bytes::Buf;

use super::Transport;
use super::limit::{Done, Limit, POLL_TIMEOUT, flush, read_some, write_some};
use crate::buf::{RecvBuffer, SendBuffer};
use crate::driver::check_written;
use crate::error::Error;

/// The end of a handshake's time, and the time-outs of the stream until then.
///
/// What the user has set on the stream does not count here: the handshake has its own end, and
/// leaves the stream as it was.
pub(super) struct Deadline {
    begin: Instant,
    at: Instant,
    read_limit: Limit,
    write_limit: Limit,
}

impl Deadline {
    pub(super) fn after(timeout: Duration) -> Self {
        let now = Instant::now();
        // a time-out that the clock cannot hold is as good as a year
        let at = now.checked_add(timeout).unwrap_or(now + Duration::from_secs(365 * 24 * 60 * 60));
        Self { begin: now, at, read_limit: Limit::read(), write_limit: Limit::write() }
    }

    /// Returns the same end, for another stream.
    pub(super) fn again(&self) -> Self {
        let (read_limit, write_limit) = (Limit::read(), Limit::write());
        Self { begin: self.begin, at: self.at, read_limit, write_limit }
    }

    /// Returns the time since it was made.
    pub(super) fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Moves it to this time, counted as [`now`](Self::now).
    pub(super) fn set(&mut self, until: Duration) {
        self.at = self.begin.checked_add(until).unwrap_or(self.at);
    }

    /// Returns the time left.
    pub(super) fn left(&self) -> Result<Duration, Error> {
        let left = self.at.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(Error::HandshakeTimeout) } else { Ok(left) }
    }

    /// Does one read; zero is the end of file.
    pub(super) fn read<S: Transport>(
        &mut self,
        io: &mut S,
        rx: &mut RecvBuffer,
    ) -> Result<usize, Error> {
        let mut pause = POLL_TIMEOUT;
        loop {
            let bound = self.read_limit.bound(io, Some(self.left()?))?;
            if let Some(n) = self.done(read_some(io, rx, bound), &mut pause)? {
                return Ok(n);
            }
        }
    }

    /// Writes once, something.
    pub(super) fn write<S: Transport>(
        &mut self,
        io: &mut S,
        tx: &SendBuffer,
    ) -> Result<usize, Error> {
        let mut pause = POLL_TIMEOUT;
        loop {
            let bound = self.write_limit.bound(io, Some(self.left()?))?;
            if let Some(n) = self.done(write_some(io, tx, bound), &mut pause)? {
                check_written(n, tx.remaining())?;
                return Ok(n);
            }
        }
    }

    /// Empties a buffer of the stream's own, if it has one.
    pub(super) fn flush<S: Transport>(&mut self, io: &mut S) -> Result<(), Error> {
        let mut pause = POLL_TIMEOUT;
        loop {
            let bound = self.write_limit.bound(io, Some(self.left()?))?;
            if self.done(flush(io, bound), &mut pause)?.is_some() {
                return Ok(());
            }
        }
    }

    /// Returns what became of one try; `None` for another one.
    fn done(&self, done: Done, pause: &mut Duration) -> Result<Option<usize>, Error> {
        match done {
            Done::Bytes(n) => return Ok(Some(n)),
            Done::Nothing | Done::Expired(_) => {}
            Done::WouldBlock(_) => {
                thread::sleep(self.left()?.min(*pause));
                *pause = (*pause * 2).min(LONGEST_PAUSE);
            }
            Done::Failed(error) => return Err(error.into()),
        }
        Ok(None)
    }

    /// Gives the stream the time-outs back that the user has set.
    pub(super) fn release<S: Transport>(&mut self, io: &S) -> Result<(), Error> {
        let read = self.read_limit.restore(io);
        self.write_limit.restore(io)?;
        read
    }
}

/// How long to wait at most before a stream that does not wait by itself is asked again.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

//! One wait of a stream, and whose time-out ended it.

use core::mem;
use core::time::Duration;
use std::io::{self, IoSlice, Read, Write};
use std::time::Instant;

use bytes::Buf;

use super::Transport;
use super::transport::is_cannot;
use crate::buf::{RecvBuffer, SendBuffer};
use crate::error::Error;
use crate::io::MAX_SLICES;

/// The time-out of one direction of a stream: the user's own, and ours while that is shorter.
pub(super) struct Limit {
    side: Side,
    /// What the stream was last found to have; `None` before the first look.
    found: Option<Option<Duration>>,
    /// What the user has set.
    user: Option<Duration>,
    /// What the stream was last told.
    told: Option<Duration>,
    /// The stream takes no time-outs.
    cannot: bool,
    /// Since when the user's time-out has been running, over several waits of ours.
    since: Option<Instant>,
    /// The last wait took all its time.
    was_used_up: bool,
}

#[derive(Clone, Copy)]
enum Side {
    Read,
    Write,
}

/// What the next wait is bounded by.
#[derive(Clone, Copy)]
pub(super) struct Bound {
    /// `None`: by nothing that is known here. The user may have set something.
    limit: Option<Duration>,
    ours: bool,
}

impl Bound {
    /// By nothing: the stream does not wait.
    pub(super) const NONE: Self = Self { limit: None, ours: false };
}

impl Limit {
    pub(super) fn read() -> Self {
        Self::new(Side::Read)
    }

    pub(super) fn write() -> Self {
        Self::new(Side::Write)
    }

    fn new(side: Side) -> Self {
        Self {
            side,
            found: None,
            user: None,
            told: None,
            cannot: false,
            since: None,
            was_used_up: false,
        }
    }

    /// Bounds the next wait by `wait`, and by what the user has set. Setting a time-out costs
    /// system calls, so a wait may end an eighth late instead.
    pub(super) fn bound(
        &mut self,
        io: &impl Transport,
        wait: Option<Duration>,
    ) -> Result<Bound, Error> {
        self.bound_turn(io, wait, None)
    }

    /// Bounds it by `turn` as well, which most writes do not come to: without a `deadline` this
    /// asks the stream what the user has set only when there is something to tell it, or the last
    /// wait was used up.
    pub(super) fn bound_turn(
        &mut self,
        io: &impl Transport,
        deadline: Option<Duration>,
        turn: Option<Duration>,
    ) -> Result<Bound, Error> {
        // whoever sets another time-out takes ours off
        let looks = mem::take(&mut self.was_used_up) || deadline.is_some();
        if looks {
            self.look(io)?;
        }
        let wait = [deadline, turn].into_iter().flatten().min();
        if !self.is_near(self.shorter(wait)) {
            if !looks {
                self.look(io)?;
            }
            let limit = self.shorter(wait);
            self.tell(io, limit)?;
        }
        if self.cannot {
            return Ok(Bound { limit: None, ours: false });
        }
        let ours = wait.is_some_and(|wait| self.users_left().is_none_or(|left| wait < left));
        Ok(Bound { limit: self.told, ours })
    }

    /// Gives the stream the user's time-out back.
    pub(super) fn restore(&mut self, io: &impl Transport) -> Result<(), Error> {
        self.since = None;
        if self.told != self.user {
            self.look(io)?; // not over what has been set since
            self.tell(io, self.user)?;
        }
        Ok(())
    }

    /// Returns what the user has set, which is not what the stream has after a wait of ours.
    pub(super) fn users(&mut self, io: &impl Transport) -> Option<Duration> {
        // a stream that cannot tell has none
        self.look(io).ok().and(self.user)
    }

    /// Returns whether the stream is known to take no time-outs.
    pub(super) fn is_impossible(&self) -> bool {
        self.cannot
    }

    /// The user is told that the time-out of his own has passed, and may set another one.
    pub(super) fn expired(&mut self) {
        self.since = None;
        self.was_used_up = true;
    }

    /// What was waited for has come.
    pub(super) fn rewind(&mut self) {
        self.since = None;
    }

    /// A wait of ours that began then is over; the user's time-out goes on.
    pub(super) fn waited(&mut self, start: Instant) {
        self.was_used_up = true;
        if self.user.is_some() {
            self.since.get_or_insert(start);
        }
    }

    fn shorter(&self, wait: Option<Duration>) -> Option<Duration> {
        [wait, self.users_left()].into_iter().flatten().min()
    }

    fn users_left(&self) -> Option<Duration> {
        let waited = self.since.map_or(Duration::ZERO, |since| since.elapsed());
        self.user.map(|user| user.saturating_sub(waited).max(POLL_TIMEOUT))
    }

    fn is_near(&self, limit: Option<Duration>) -> bool {
        match (self.told, limit) {
            _ if self.cannot => true,
            (None, None) => true,
            (Some(told), Some(limit)) => limit <= told && limit >= told - told / 8,
            _ => false,
        }
    }

    /// Finds out whether the user has set something since the last look.
    fn look(&mut self, io: &impl Transport) -> Result<(), Error> {
        let found = match self.side {
            Side::Read => io.read_timeout(),
            Side::Write => io.write_timeout(),
        };
        match found {
            Ok(found) => {
                if self.found != Some(found) {
                    self.user = found;
                    self.told = found;
                    self.found = Some(found);
                }
                Ok(())
            }
            Err(error) if is_cannot(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn tell(&mut self, io: &impl Transport, limit: Option<Duration>) -> Result<(), Error> {
        if self.told == limit {
            return Ok(());
        }
        let set = match self.side {
            Side::Read => io.set_read_timeout(limit),
            Side::Write => io.set_write_timeout(limit),
        };
        match set {
            Ok(()) => {}
            Err(error) if is_cannot(&error) => {
                self.cannot = true;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        self.told = limit;
        // kernels round what they are told
        let found = match self.side {
            Side::Read => io.read_timeout(),
            Side::Write => io.write_timeout(),
        };
        self.found = found.ok();
        Ok(())
    }
}

/// How one read or write went.
pub(super) enum Done {
    Bytes(usize),
    /// It was interrupted, or the time that it was given here is up.
    Nothing,
    /// The user's time-out is up.
    Expired(io::Error),
    /// The stream does not wait at all.
    WouldBlock(io::Error),
    /// The stream is broken.
    Failed(io::Error),
}

/// Does one read of as much as there is room for.
pub(super) fn read_some(io: &mut impl Read, rx: &mut RecvBuffer, bound: Bound) -> Done {
    attempt(bound, || crate::io::read_some(io, rx))
}

/// Does one write of as much as there is, which must not be nothing, up to [`MAX_WRITE`].
pub(super) fn write_some(io: &mut impl Write, tx: &SendBuffer, bound: Bound) -> Done {
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let count = tx.chunks_vectored(&mut slices);
    let mut cut = [IoSlice::new(&[]); MAX_SLICES];
    let mut slices = &slices[..count];
    if slices.iter().map(|slice| slice.len()).sum::<usize>() > MAX_WRITE {
        let mut left = MAX_WRITE;
        for (cut, slice) in cut.iter_mut().zip(slices) {
            *cut = IoSlice::new(&slice[..slice.len().min(left)]);
            left -= cut.len();
        }
        slices = &cut[..count];
    }
    attempt(bound, || match slices {
        [one] => io.write(one),
        several => io.write_vectored(several),
    })
}

/// Empties a buffer of the stream's own, if it has one.
pub(super) fn flush(io: &mut impl Write, bound: Bound) -> Done {
    attempt(bound, || io.flush().map(|()| 0))
}

fn attempt(bound: Bound, mut act: impl FnMut() -> io::Result<usize>) -> Done {
    let mut again = true;
    loop {
        let start = Instant::now();
        let error = match act() {
            Ok(n) => return Done::Bytes(n),
            Err(error) => error,
        };
        if error.kind() == io::ErrorKind::Interrupted {
            return Done::Nothing;
        }
        if !is_wait(&error) {
            return Done::Failed(error);
        }
        let took = start.elapsed();
        let early = |error| {
            if took < POLL_TIMEOUT { Done::WouldBlock(error) } else { Done::Expired(error) }
        };
        let Some(limit) = bound.limit else { return early(error) };
        if took >= limit / 2 {
            return if bound.ours { Done::Nothing } else { Done::Expired(error) };
        }
        // Too early for what the stream was told. A short wait may have begun just before a tick of
        // the kernel's clock, but the next one does not.
        if took + TICK < limit / 2 || !again {
            return early(error);
        }
        again = false;
    }
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// The shortest wait that sockets know; they take no time-out of zero.
pub(super) const POLL_TIMEOUT: Duration = Duration::from_millis(1);

/// The longest that kernels take between two looks at their clock.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Bytes in one write. A kernel may keep a longer one for as long as the peer reads at all, and say
/// nothing about how much it has taken, by which a slow peer is told from a dead one.
const MAX_WRITE: usize = 128 * 1024;

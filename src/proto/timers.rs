#![forbid(unsafe_code)]

use core::time::Duration;

use super::closing::Phase;
use super::{Role, Timeout};
use crate::config::Config;

/// The deadlines of a connection, on the caller's monotonic clock.
///
/// Nothing here reads a clock: whatever begins a wait only makes [`poll`](Self::poll) say "now",
/// and the [`handle`](Self::handle) that follows sets the deadline.
///
/// A wait ends in a *look* at what has happened since the last one ([`Signs`]), and a look without
/// any sign of the peer is a verdict only after as many looks as the bytes before the frame that it
/// has to answer give it time to read ([`PER_LOOK`]). Signs put the verdict off, but a peer that
/// answers no ping is given up in the end ([`MAX_LOOKS`]).
///
/// Every idle connection holds one of these, so times are kept in microseconds in 8 bytes, and
/// waits in milliseconds in 4.
#[derive(Debug)]
pub(crate) struct Timers {
    /// In milliseconds; zero for no pings.
    ping_interval: u32,
    pong_timeout: u32,
    close_timeout: u32,
    role: Role,
    /// The phase that `deadline` belongs to; another one has none yet.
    armed_for: Option<Phase>,
    /// The pong to our ping came; the next look at the clock gives the round-trip time.
    pong_came: bool,
    /// Looks in a row without a sign of the peer.
    silent_looks: u8,
    /// Looks since the frame that the peer has to answer left.
    looks: u8,
    /// At the last look the peer was getting on with a frame.
    came_on: bool,
    /// Ping intervals in a row in which a message was under way and hardly came on.
    slow_intervals: u8,
    /// The transport took bytes after it had refused some, since the last look.
    pub(crate) progress: bool,
    /// Time-out that ended the connection, if one did.
    pub(crate) timed_out: Option<Timeout>,
    /// When the next ping is due, or the next look.
    deadline: Micros,
    /// When the last ping was sent, until its pong comes; [`Micros::NEVER`] before and after.
    ping_sent: Micros,
    /// In microseconds; zero for none measured.
    round_trip: u32,
    /// The number in the payload of the last ping.
    ping_number: u32,
    /// Bytes that were written since the last ping was queued, or all.
    written: u32,
    /// Bytes that still have to be written until the last ping, or the Close, has left.
    to_leave: u32,
    /// Looks without a sign that the peer may need to read what lies before that frame in the
    /// transport. The kernel takes megabytes, and tells nothing about them before a third has gone.
    allowance: u8,
}

/// Events since the last call of [`Timers::handle`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Signs {
    pub(crate) arrived: Arrived,
    /// The transport took bytes after it had refused some: the peer reads.
    pub(crate) progress: bool,
    /// Nobody has read what may lie in the transport.
    pub(crate) deaf: bool,
    /// Bytes that the transport has not taken.
    pub(crate) unsent: usize,
}

/// Input from the peer. See [`Receiver::take_arrived`](super::Receiver::take_arrived).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    pub(crate) bytes: u32,
    /// The peer is in the middle of a frame, so that it can send no control frame.
    pub(crate) in_frame: bool,
    /// A message is under way that is to be delivered whole.
    pub(crate) in_message: bool,
}

impl Arrived {
    /// Returns whether anything has come.
    pub const fn is_any(self) -> bool {
        self.bytes > 0
    }

    /// Both one after the other.
    pub(crate) fn and_then(self, later: Self) -> Self {
        Self { bytes: self.bytes.saturating_add(later.bytes), ..later }
    }
}

/// Outcome of a look at the clock.
pub(crate) enum Due {
    Nothing,
    /// Send a ping with this payload.
    Ping([u8; 4]),
    /// The wait of this phase is over.
    GiveUp,
    /// The peer is gone.
    Expired(Timeout),
}

impl Timers {
    pub(crate) fn new(role: Role, config: &Config) -> Self {
        Self {
            ping_interval: config.ping_interval().map_or(0, millis),
            pong_timeout: millis(config.pong_timeout),
            close_timeout: millis(config.close_timeout),
            role,
            armed_for: None,
            pong_came: false,
            silent_looks: 0,
            looks: 0,
            came_on: false,
            slow_intervals: 0,
            progress: false,
            timed_out: None,
            deadline: Micros::ZERO,
            ping_sent: Micros::NEVER,
            round_trip: 0,
            ping_number: 0,
            written: 0,
            to_leave: 0,
            allowance: 0,
        }
    }

    /// When to call [`handle`](Self::handle); zero is at once.
    pub(crate) fn poll(&self, phase: Phase) -> Option<Duration> {
        match phase {
            Phase::Closed { .. } => None,
            Phase::Open if self.pong_came => Some(Duration::ZERO),
            Phase::Open if self.ping_interval == 0 => None,
            _ if self.armed_for != Some(phase) => Some(Duration::ZERO),
            _ => Some(self.deadline.into()),
        }
    }

    /// Takes note of bytes that the transport has taken.
    #[inline]
    pub(crate) fn note_written(&mut self, n: usize) {
        let n = saturated(n);
        self.written = self.written.saturating_add(n);
        if self.to_leave > 0 {
            self.leave(n);
        }
    }

    /// Of what is to be answered, or is before it, so many bytes have left.
    #[cold]
    fn leave(&mut self, n: u32) {
        self.to_leave = self.to_leave.saturating_sub(n);
        if self.to_leave == 0 && matches!(self.armed_for, Some(Phase::CloseSent | Phase::CloseDone))
        {
            self.armed_for = None; // the wait begins now
        }
    }

    /// Returns whether [`handle`](Self::handle) judges by the signs, which begin anew then.
    pub(crate) fn is_due(&self, now: Duration, phase: Phase) -> bool {
        let deadline = match self.pong_came {
            true => self.ping_sent.after(self.ping_interval),
            false => self.deadline,
        };
        self.armed_for != Some(phase) || Micros::from(now) >= deadline
    }

    pub(crate) fn handle(&mut self, now: Duration, phase: Phase, signs: Signs) -> Due {
        let now = Micros::from(now);
        match phase {
            Phase::Closed { .. } => Due::Nothing,
            Phase::Open => self.keep_alive(now, signs),
            phase => self.closing(now, phase, signs),
        }
    }

    fn closing(&mut self, now: Micros, phase: Phase, signs: Signs) -> Due {
        if self.armed_for != Some(phase) {
            let unproven = match self.armed_for {
                Some(Phase::Open) if self.ping_sent != Micros::NEVER => self.allowance,
                Some(Phase::CloseSent) => {
                    self.written = 0; // the answer to our Close shows that it has read all
                    0
                }
                None => self.allowance, // of the same wait, which begins once more
                _ => 0,
            };
            self.armed_for = Some(phase);
            let written = self.written;
            self.wait_for_answer(signs.unsent);
            let looks = (written / PER_LOOK).saturating_add(unproven.into());
            self.allowance = looks.min(MAX_CLOSING_LOOKS.into()) as u8;
            self.deadline = now.after(self.patience(phase, signs.unsent));
            return Due::Nothing;
        }
        if now < self.deadline {
            return Due::Nothing;
        }
        let goes_on = match phase {
            // nothing is promised to those who break rules
            Phase::Failed => false,
            // What was queued before the Close is still on its way.
            _ if signs.progress => {
                self.silent_looks = 0;
                true
            }
            // RFC 6455 §5.5.1: "An endpoint MAY delay sending a Close frame until its current
            // message is sent".
            Phase::CloseSent if self.comes_on(signs.arrived, self.close_timeout) => true,
            _ => {
                self.silent_looks = self.silent_looks.saturating_add(1);
                self.silent_looks <= self.allowance
            }
        };
        if goes_on {
            self.deadline = now.after(self.patience(phase, signs.unsent));
            return Due::Nothing;
        }
        match phase {
            Phase::CloseSent => Due::Expired(Timeout::Closing),
            _ => Due::GiveUp,
        }
    }

    /// Time to the next look in a phase of closing, in milliseconds.
    fn patience(&self, phase: Phase, unsent: usize) -> u32 {
        match (phase, self.role) {
            // what has to be read before the end is not even written
            (Phase::CloseDone, _) if unsent > 0 => self.close_timeout,
            // A server has shut down its direction and only keeps the peer's last bytes from
            // turning into a reset. A client waits for the server to close TCP.
            (Phase::CloseDone | Phase::Failed, Role::Server) => {
                self.close_timeout.min(millis(LINGER))
            }
            _ => self.close_timeout,
        }
    }

    fn keep_alive(&mut self, now: Micros, signs: Signs) -> Due {
        if self.pong_came {
            self.pong_came = false;
            let micros = now.0.saturating_sub(self.ping_sent.0).max(1);
            self.round_trip = u32::try_from(micros).unwrap_or(u32::MAX);
            self.deadline = self.ping_sent.after(self.ping_interval);
            self.ping_sent = Micros::NEVER;
        }
        if self.ping_interval == 0 {
            return Due::Nothing;
        }
        if self.armed_for != Some(Phase::Open) {
            self.armed_for = Some(Phase::Open);
            // From now on and not from the last deadline: after a suspended night one ping is due,
            // not thousands.
            self.deadline = now.after(self.ping_interval);
            return Due::Nothing;
        }
        if now < self.deadline {
            return Due::Nothing;
        }
        if self.is_message_stuck(signs.arrived) {
            return Due::Expired(Timeout::Message);
        }
        if self.ping_sent != Micros::NEVER {
            return self.look_for_pong(now, signs);
        }
        // the ping is due
        self.deadline = now.after(self.pong_timeout);
        self.ping_sent = now;
        self.ping_number = self.ping_number.wrapping_add(1);
        self.wait_for_answer(signs.unsent.saturating_add(PING_LEN));
        Due::Ping(self.ping_number.to_be_bytes())
    }

    /// Judges a pong that has not come by now.
    fn look_for_pong(&mut self, now: Micros, signs: Signs) -> Due {
        let has_left = signs.unsent == 0 || self.to_leave == 0;
        let any_sign = signs.progress || signs.arrived.is_any();
        self.silent_looks = if any_sign { 0 } else { self.silent_looks.saturating_add(1) };
        if signs.progress && !has_left {
            self.looks = 0; // the peer reads, and the ping is still to come
        } else if !signs.progress || self.written > MOST_IN_TRANSPORT {
            self.looks = self.looks.saturating_add(1);
        }
        let comes_on = self.comes_on(signs.arrived, self.pong_timeout);
        let allowance = self.allowance;
        // what nobody has read may be the pong
        let silent_allowance = if signs.deaf { DEAF_LOOKS + allowance } else { allowance };
        if self.silent_looks > silent_allowance {
            return Due::Expired(Timeout::KeepAlive);
        }
        if self.looks > MAX_LOOKS + allowance && !comes_on {
            return Due::Expired(Timeout::KeepAlive);
        }
        self.deadline = now.after(self.pong_timeout);
        Due::Nothing
    }

    /// A frame was queued that the peer has to answer, and so many bytes with it are unsent. They
    /// show when they leave; what was written before does not show any more.
    fn wait_for_answer(&mut self, unsent: usize) {
        self.to_leave = saturated(unsent);
        self.allowance = (self.written / PER_LOOK).min(MAX_ALLOWANCE.into()) as u8;
        (self.written, self.silent_looks, self.looks) = (0, 0, 0);
        self.came_on = false;
    }

    /// Returns whether the peer gets on with a frame, before the end of which it cannot answer, or
    /// has just come to its end.
    fn comes_on(&mut self, arrived: Arrived, window: u32) -> bool {
        let came_on = self.came_on;
        self.came_on = arrived.in_frame && arrived.bytes >= least(window);
        self.came_on || came_on && !arrived.in_frame
    }

    /// Returns whether a message that is under way has not come on for too long, at the end of an
    /// interval.
    fn is_message_stuck(&mut self, arrived: Arrived) -> bool {
        let window =
            if self.ping_sent == Micros::NEVER { self.ping_interval } else { self.pong_timeout };
        let is_slow = arrived.in_message && arrived.bytes < least(window);
        self.slow_intervals = if is_slow { self.slow_intervals.saturating_add(1) } else { 0 };
        self.slow_intervals > MAX_LOOKS
    }

    /// Takes note of a pong. That to our own last ping tells the round-trip time. Any other shows
    /// too that the peer answers pings: RFC 6455 §5.5.3 lets it answer the most recent one only.
    pub(crate) fn pong(&mut self, payload: &[u8]) {
        if self.ping_sent == Micros::NEVER {
            return;
        }
        if payload == self.ping_number.to_be_bytes() {
            self.pong_came = true;
        } else {
            self.looks = 0;
        }
    }

    #[cfg(feature = "std")]
    pub(crate) fn close_timeout(&self) -> Duration {
        Duration::from_millis(self.close_timeout.into())
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        (self.round_trip != 0).then(|| Duration::from_micros(self.round_trip.into()))
    }
}

/// Returns the fewest bytes of a frame under way that have to come in a window of so many
/// milliseconds.
fn least(window: u32) -> u32 {
    (window / 1000).saturating_mul(LEAST_RATE).max(LEAST_RATE)
}

fn saturated(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// A peer is given one more look for each so many bytes, in front of what it has to answer, of
/// which it is not known whether it has read them. With the defaults of 20 s and 10 s, that is
/// somebody who reads 0.8 KB/s, or 1.6 KB/s while the connection closes. Transports tell of less
/// than this when they are emptied as seldom.
const PER_LOOK: u32 = 16 * 1024;

/// The most of them: beyond some hundred KiB, no transport keeps for long to itself that it is
/// emptied. Four minutes, with the default of 20 s.
const MAX_ALLOWANCE: u8 = 12;

/// A peer that has shown signs all the time but has answered nothing for so many looks answers no
/// pings. Five minutes, with the default of 20 s.
const MAX_LOOKS: u8 = 16;

/// The most of them while the connection closes, where an application waits: 40 s with the default
/// of 10 s.
const MAX_CLOSING_LOOKS: u8 = 3;

/// No transport keeps more than so many bytes to itself: once it has taken them, the ping before
/// them has been read.
const MOST_IN_TRANSPORT: u32 = 16 * 1024 * 1024;

/// The looks that a peer gets on top when nobody reads: its pong may have come.
const DEAF_LOOKS: u8 = 4;

/// Bytes a second of a message that is under way: less than the slowest of modems, and more than
/// somebody cares to pay who wants to keep the memory of others busy.
const LEAST_RATE: u32 = 64;

/// The bytes of a ping, with the key of a client.
const PING_LEN: usize = 10;

/// A time on the caller's clock, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Micros(u64);

impl Micros {
    const ZERO: Self = Self(0);
    const NEVER: Self = Self(u64::MAX);

    fn after(self, millis: u32) -> Self {
        Self(self.0.saturating_add(u64::from(millis) * 1000))
    }
}

impl From<Duration> for Micros {
    fn from(time: Duration) -> Self {
        Self(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
    }
}

impl From<Micros> for Duration {
    fn from(time: Micros) -> Self {
        Self::from_micros(time.0)
    }
}

/// Whole milliseconds, rounded up; what is over 49 days is 49 days.
fn millis(wait: Duration) -> u32 {
    u32::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

/// Time to read on after the last bytes were written, so that the peer gets to see them: several
/// round trips of any network; RFC 9112 §9.6 asks for "a brief period".
pub(crate) const LINGER: Duration = Duration::from_secs(1);

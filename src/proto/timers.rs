use core::time::Duration;

use super::closing::Phase;
use super::{Config, Role, Timeout};

/// The deadlines of a connection, on the caller's monotonic clock.
///
/// Nothing here reads a clock: whatever begins a wait only makes [`poll`](Self::poll) say "now", and
/// the [`handle`](Self::handle) that follows sets the deadline.
///
/// Every idle connection holds one of these, so times are kept in microseconds in 8 bytes and waits
/// in milliseconds in 4.
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
    /// After a ping, until any byte comes: the peer is given up unless it shows life in time.
    silent: bool,
    /// In Open the next ping is due, later it is the end of the wait.
    deadline: Micros,
    /// When the last ping was sent, until its pong comes; [`Micros::NEVER`] before and after.
    ping_sent: Micros,
    /// In microseconds; zero for none measured.
    round_trip: u32,
    /// The number in the payload of the last ping.
    ping_number: u32,
}

/// What a look at the clock led to.
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
            silent: false,
            deadline: Micros::ZERO,
            ping_sent: Micros::NEVER,
            round_trip: 0,
            ping_number: 0,
        }
    }

    /// When to call [`handle`](Self::handle); zero is at once.
    pub(crate) fn poll(&self, phase: Phase) -> Option<Duration> {
        let armed = self.armed_for == Some(phase);
        match phase {
            Phase::Closed { .. } => None,
            Phase::Open if self.pong_came => Some(Duration::ZERO),
            Phase::Open if self.ping_interval == 0 => None,
            _ if !armed => Some(Duration::ZERO),
            Phase::Open => Some(self.deadline.min(self.pong_deadline()).into()),
            _ => Some(self.deadline.into()),
        }
    }

    /// `alive`: a byte came since the last call.
    pub(crate) fn handle(&mut self, now: Duration, phase: Phase, alive: bool) -> Due {
        let now = Micros::from(now);
        match phase {
            Phase::Closed { .. } => Due::Nothing,
            Phase::Open => self.keep_alive(now, alive),
            phase if self.armed_for != Some(phase) => {
                self.armed_for = Some(phase);
                self.deadline = now.after(self.patience(phase));
                Due::Nothing
            }
            _ if now < self.deadline => Due::Nothing,
            Phase::CloseSent => Due::Expired(Timeout::Closing),
            _ => Due::GiveUp,
        }
    }

    /// How long to wait in a phase of closing, in milliseconds.
    fn patience(&self, phase: Phase) -> u32 {
        match (phase, self.role) {
            // A server has shut down its direction and only keeps the peer's last bytes from turning
            // into a reset. A client waits for the server to close TCP.
            (Phase::CloseDone | Phase::Failed, Role::Server) => {
                self.close_timeout.min(millis(LINGER))
            }
            _ => self.close_timeout,
        }
    }

    fn keep_alive(&mut self, now: Micros, alive: bool) -> Due {
        if self.pong_came {
            self.pong_came = false;
            let micros = now.0.saturating_sub(self.ping_sent.0).max(1);
            self.round_trip = u32::try_from(micros).unwrap_or(u32::MAX);
            self.ping_sent = Micros::NEVER;
            self.silent = false;
        }
        if alive {
            self.silent = false;
        }
        if self.ping_interval == 0 {
            return Due::Nothing;
        }
        if self.silent && now >= self.pong_deadline() {
            return Due::Expired(Timeout::KeepAlive);
        }
        if self.armed_for == Some(Phase::Open) && now < self.deadline {
            return Due::Nothing;
        }
        // From now on and not from the last deadline: after a suspended night one ping is due, not
        // thousands.
        self.deadline = now.after(self.ping_interval);
        let first = self.armed_for.replace(Phase::Open) != Some(Phase::Open);
        if first || self.silent {
            return Due::Nothing; // nothing is due yet, or a ping is under way and has time left
        }
        self.ping_sent = now;
        self.silent = true;
        self.ping_number = self.ping_number.wrapping_add(1);
        Due::Ping(self.ping_number.to_be_bytes())
    }

    /// [`Micros::NEVER`] while no sign of life is waited for.
    fn pong_deadline(&self) -> Micros {
        if self.silent { self.ping_sent.after(self.pong_timeout) } else { Micros::NEVER }
    }

    /// Takes note of a pong; only the answer to our own last ping matters.
    pub(crate) fn pong(&mut self, payload: &[u8]) {
        if self.ping_sent != Micros::NEVER && payload == self.ping_number.to_be_bytes() {
            self.pong_came = true;
        }
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        (self.round_trip != 0).then(|| Duration::from_micros(self.round_trip.into()))
    }
}

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

/// How long to read on after the last word, so that the peer gets to see it: several round trips of
/// any network; RFC 9112 §9.6 asks for "a brief period".
pub(crate) const LINGER: Duration = Duration::from_secs(1);

use core::time::Duration;

use super::closing::Phase;
use super::{Config, Role, Timeout};

/// The deadlines of a connection, on the caller's monotonic clock.
///
/// Nothing here reads a clock: whatever begins a wait only makes [`poll`](Self::poll) say "now", and
/// the [`handle`](Self::handle) that follows sets the deadline.
#[derive(Debug)]
pub(crate) struct Timers {
    ping_interval: Option<Duration>,
    pong_timeout: Duration,
    close_timeout: Duration,
    linger: Duration,
    next_ping: Option<Duration>,
    /// When the ping that is not yet answered was sent.
    ping_sent: Option<Duration>,
    /// The answer to it came; the next look at the clock gives the round-trip time.
    pong_came: bool,
    round_trip: Option<Duration>,
    /// The number in the payload of the last ping.
    ping_number: u64,
    /// The phase whose deadline is running, and when it ends.
    closing: Option<(Phase, Duration)>,
}

/// What a look at the clock led to.
pub(crate) enum Due {
    Nothing,
    /// Send a ping with this payload.
    Ping([u8; 8]),
    /// The wait of this phase is over.
    GiveUp,
    /// The peer is gone.
    Expired(Timeout),
}

impl Timers {
    pub(crate) fn new(role: Role, config: &Config) -> Self {
        Self {
            ping_interval: config.ping_interval(),
            pong_timeout: config.pong_timeout,
            close_timeout: config.close_timeout,
            linger: match role {
                // A client waits for the server to close TCP. A server has shut down its direction
                // and only keeps the peer's last bytes from turning into a reset.
                Role::Client => config.close_timeout,
                Role::Server => config.close_timeout.min(LINGER),
            },
            next_ping: None,
            ping_sent: None,
            pong_came: false,
            round_trip: None,
            ping_number: 0,
            closing: None,
        }
    }

    /// When to call [`handle`](Self::handle); zero is at once.
    pub(crate) fn poll(&self, phase: Phase) -> Option<Duration> {
        match phase {
            Phase::Open => {
                if self.pong_came {
                    return Some(Duration::ZERO);
                }
                self.ping_interval?;
                let Some(next_ping) = self.next_ping else { return Some(Duration::ZERO) };
                let expiry = self.ping_sent.map(|sent| sent.saturating_add(self.pong_timeout));
                Some(expiry.map_or(next_ping, |expiry| expiry.min(next_ping)))
            }
            Phase::CloseSent | Phase::CloseDone | Phase::Failed => match self.closing {
                Some((running, deadline)) if running == phase => Some(deadline),
                _ => Some(Duration::ZERO),
            },
            Phase::Closed { .. } => None,
        }
    }

    /// `alive`: a byte came since the last call.
    pub(crate) fn handle(&mut self, now: Duration, phase: Phase, alive: bool) -> Due {
        match phase {
            Phase::Open => self.keep_alive(now, alive),
            Phase::CloseSent | Phase::CloseDone | Phase::Failed => match self.closing {
                Some((running, deadline)) if running == phase => {
                    if now < deadline {
                        Due::Nothing
                    } else if phase == Phase::CloseSent {
                        Due::Expired(Timeout::Closing)
                    } else {
                        Due::GiveUp
                    }
                }
                _ => {
                    let wait =
                        if phase == Phase::CloseSent { self.close_timeout } else { self.linger };
                    self.closing = Some((phase, now.saturating_add(wait)));
                    Due::Nothing
                }
            },
            Phase::Closed { .. } => Due::Nothing,
        }
    }

    fn keep_alive(&mut self, now: Duration, alive: bool) -> Due {
        if self.pong_came {
            self.pong_came = false;
            self.round_trip = self.ping_sent.map(|sent| now.saturating_sub(sent));
        }
        if alive {
            self.ping_sent = None;
        }
        let Some(interval) = self.ping_interval else { return Due::Nothing };
        if self.ping_sent.is_some_and(|sent| now >= sent.saturating_add(self.pong_timeout)) {
            return Due::Expired(Timeout::KeepAlive);
        }
        match self.next_ping {
            Some(next) if now >= next => {
                // From now on and not from `next`: after a suspended night one ping is due, not
                // thousands.
                self.next_ping = Some(now.saturating_add(interval));
                if self.ping_sent.is_some() {
                    return Due::Nothing; // one is under way and has time left
                }
                self.ping_sent = Some(now);
                self.ping_number = self.ping_number.wrapping_add(1);
                Due::Ping(self.ping_number.to_be_bytes())
            }
            Some(_) => Due::Nothing,
            None => {
                self.next_ping = Some(now.saturating_add(interval));
                Due::Nothing
            }
        }
    }

    /// Takes note of a pong; only the answer to our own last ping matters.
    pub(crate) fn pong(&mut self, payload: &[u8]) {
        if self.ping_sent.is_some() && payload == self.ping_number.to_be_bytes() {
            self.pong_came = true;
        }
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }
}

/// How long to read on after the last word, so that the peer gets to see it: several round trips of
/// any network; RFC 9112 §9.6 asks for "a brief period".
pub(crate) const LINGER: Duration = Duration::from_secs(1);

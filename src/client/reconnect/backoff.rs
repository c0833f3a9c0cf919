use alloc::vec::Vec;
use core::time::Duration;

use super::Lost;
use crate::wire::CloseCode;

/// The delays before a client connects again, and what it connects again after.
///
/// Full jitter: a delay is chosen evenly between zero and a bound, which doubles with each attempt
/// that fails, so that the clients of a server that restarts come back spread over that time.
///
/// Another attempt is made after the close codes 1001 and 1011 to 1014, a connection that broke
/// (1006), time-outs, errors of the network and of name resolution, and the statuses 408, 429 and
/// 5xx. It is not made after 1000, any other code or status, what breaks a rule of the protocol, a
/// certificate that is not trusted, or a fault in what was set: those would come again.
#[derive(Clone, Debug)]
#[must_use]
pub struct Backoff {
    first_delay: Duration,
    max_delay: Duration,
    stable_after: Duration,
    max_attempts: Option<u32>,
    max_retry_after: Duration,
    codes: Vec<CloseCode>,
}

impl Backoff {
    /// Returns the defaults.
    pub const fn new() -> Self {
        Self {
            // RFC 6455 §7.2.3: "The first reconnect attempt SHOULD be delayed by a random amount
            // of time. [...] a value chosen randomly between 0 and 5 seconds is a reasonable
            // initial delay".
            first_delay: Duration::from_secs(5),
            max_delay: Duration::from_secs(60),
            stable_after: Duration::from_secs(60),
            max_attempts: None,
            max_retry_after: Duration::from_secs(3600),
            codes: Vec::new(),
        }
    }

    /// Limits the first delay, which is chosen between zero and this. Default 5 s, as RFC 6455
    /// §7.2.3 suggests: ten thousand clients come back at 2 000 a second. A client with few others
    /// beside it may take less.
    pub const fn first_delay(mut self, delay: Duration) -> Self {
        self.first_delay = delay;
        self
    }

    /// Limits each delay, however many attempts have failed. Default 60 s.
    pub const fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// Sets how long a connection has to last until the delays begin small again. Default 60 s. A
    /// server that accepts and then closes at once is not tried ever faster.
    pub const fn stable_after(mut self, time: Duration) -> Self {
        self.stable_after = time;
        self
    }

    /// Gives up after so many attempts in a row without a connection that lasted. Default: never.
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// Limits the time that a server may ask for by `Retry-After`. Default one hour, because a
    /// client that sleeps longer than that is taken for dead. A delay of the client's own is added
    /// to it, or all that were told the same time would come at once.
    pub const fn max_retry_after(mut self, time: Duration) -> Self {
        self.max_retry_after = time;
        self
    }

    /// Connects again after this close code too: servers have codes of their own, from 4000 on.
    pub fn retry_code(mut self, code: CloseCode) -> Self {
        self.codes.push(code);
        self
    }

    fn tries_again(&self, lost: &Lost) -> bool {
        lost.is_transient() || lost.close_code().is_some_and(|code| self.codes.contains(&code))
    }

    /// The bound of the delay after so many failures in a row, which are at least one.
    fn bound(&self, failures: u32) -> Duration {
        // of nothing, no doubling makes more
        let first = self.first_delay.max(Duration::from_millis(1));
        let factor = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
        first.saturating_mul(factor).min(self.max_delay)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

/// The decision whether and when to connect again: [`Backoff`] at work, for one client.
///
/// It has no clock and no randomness: the time comes in as the time since any fixed moment, and the
/// delay goes out. The adapters have `Reconnecting`, which asks it; with another runtime, ask it
/// yourself.
///
/// ```
/// use core::time::Duration;
/// use sansws::client::{Backoff, Lost, Retries};
///
/// let mut retries = Retries::new(Backoff::new());
/// let broken = Lost::Failed(sansws::Error::Disconnected(None));
/// let random = u32::MAX / 2; // from the operating system
/// let delay = retries.lost(Duration::from_secs(100), &broken, random).unwrap();
/// assert_eq!(delay.as_millis(), 2_499);
/// ```
#[derive(Clone, Debug)]
pub struct Retries {
    backoff: Backoff,
    /// In a row.
    failures: u32,
    connected: Option<Duration>,
}

impl Retries {
    /// Begins with no attempt made.
    pub const fn new(backoff: Backoff) -> Self {
        Self { backoff, failures: 0, connected: None }
    }

    /// Takes note that there is a connection.
    pub const fn connected(&mut self, now: Duration) {
        self.connected = Some(now);
    }

    /// Takes note that there is none, and returns the time until the next attempt; `None` if there
    /// is to be none. `random` is spread evenly, and not the same for all clients.
    pub fn lost(&mut self, now: Duration, lost: &Lost, random: u32) -> Option<Duration> {
        let connected = self.connected.take();
        if connected.is_some_and(|at| now.saturating_sub(at) >= self.backoff.stable_after) {
            self.failures = 0;
        }
        let max = self.backoff.max_attempts.unwrap_or(u32::MAX);
        if self.failures >= max || !self.backoff.tries_again(lost) {
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        let asked = lost.retry_after().unwrap_or_default().min(self.backoff.max_retry_after);
        Some(asked.saturating_add(part(self.backoff.bound(self.failures), random)))
    }

    /// Returns how many times in a row connecting failed, or led to a connection that did not last.
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

/// As much of `whole` as `random` is of all numbers.
fn part(whole: Duration, random: u32) -> Duration {
    let nanos = (whole.as_nanos() * u128::from(random)) >> 32;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    const NEVER: Duration = Duration::ZERO;

    fn broken() -> Lost {
        Lost::Failed(Error::Disconnected(None))
    }

    fn closed(code: u16) -> Lost {
        Lost::Closed(CloseCode::new(code).unwrap(), "".into())
    }

    /// The bound of the next delay, rounded to milliseconds.
    fn bound(retries: &mut Retries, now: u64) -> u64 {
        let delay = retries.lost(Duration::from_secs(now), &broken(), u32::MAX).unwrap();
        u64::try_from(delay.as_micros().div_ceil(1000)).unwrap()
    }

    #[test]
    fn delays_double_up_to_a_bound() {
        let mut retries = Retries::new(Backoff::new());
        let bounds: Vec<_> = (0..7).map(|_| bound(&mut retries, 0)).collect();
        assert_eq!(bounds, [5_000, 10_000, 20_000, 40_000, 60_000, 60_000, 60_000]);
        for _ in 0..100 {
            assert_eq!(bound(&mut retries, 0), 60_000);
        }
        assert_eq!(retries.failures(), 107);
        // all of it, down to nothing
        assert_eq!(retries.lost(NEVER, &broken(), 0), Some(Duration::ZERO));
        assert_eq!(retries.lost(NEVER, &broken(), 1 << 31), Some(Duration::from_secs(30)));
    }

    #[test]
    fn extremes() {
        let long = Backoff::new().first_delay(Duration::MAX).max_delay(Duration::MAX);
        let mut retries = Retries::new(long);
        assert!(retries.lost(NEVER, &broken(), u32::MAX) > Some(Duration::from_secs(1 << 30)));
        // nothing at all would be a loop without rest
        let mut retries = Retries::new(Backoff::new().first_delay(Duration::ZERO));
        let bounds: Vec<_> = (0..4).map(|_| bound(&mut retries, 0)).collect();
        assert_eq!(bounds, [1, 2, 4, 8]);
    }

    #[test]
    fn a_stable_connection_lets_delays_begin_again() {
        let mut retries = Retries::new(Backoff::new());
        assert_eq!([bound(&mut retries, 0), bound(&mut retries, 0)], [5_000, 10_000]);
        retries.connected(Duration::from_secs(10));
        assert_eq!(bound(&mut retries, 69), 20_000, "that was too short");
        assert_eq!(bound(&mut retries, 900), 40_000, "there was none");
        retries.connected(Duration::from_secs(1_000));
        assert_eq!(bound(&mut retries, 1_060), 5_000);
    }

    #[test]
    fn giving_up() {
        let mut retries = Retries::new(Backoff::new().max_attempts(2));
        for more in [true, true, false, false] {
            assert_eq!(retries.lost(NEVER, &broken(), 0).is_some(), more);
        }
        retries.connected(Duration::from_secs(5));
        assert!(retries.lost(Duration::from_secs(65), &broken(), 0).is_some());
        // what would come again
        let mut retries = Retries::new(Backoff::new());
        assert_eq!(retries.lost(NEVER, &closed(1008), 0), None);
        assert!(retries.lost(NEVER, &closed(1012), 0).is_some());
        assert_eq!(retries.lost(NEVER, &closed(4001), 0), None);
        let code = CloseCode::new(4001).unwrap();
        let mut retries = Retries::new(Backoff::new().retry_code(code));
        assert!(retries.lost(NEVER, &closed(4001), 0).is_some());
        assert_eq!(retries.lost(NEVER, &closed(4002), 0), None);
    }
}

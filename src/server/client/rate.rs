#![forbid(unsafe_code)]

use core::time::Duration;

use tokio::time::Instant;

use crate::config::ConfigError;
use crate::wire::CloseCode;

/// The rate at which a client may send: messages and payload bytes per second, each with a limit of
/// its own or none. For [`Server::client_rate`](crate::server::Server::client_rate) and
/// [`Route::client_rate`](crate::server::Route::client_rate).
///
/// A client that has been silent may send a [burst](Self::burst) at once. Control frames are not
/// counted.
///
/// ```
/// use sansws::CloseCode;
/// use sansws::server::{Excess, RateLimit};
///
/// // for a game: 60 inputs a second, and a client that sends more is not one of ours
/// let rate = RateLimit::new().messages(60).beyond(Excess::Close(CloseCode::POLICY_VIOLATION));
/// // for uploads: as fast as that, whatever the client tries
/// let rate = RateLimit::new().bytes(1024 * 1024);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct RateLimit {
    messages: Option<u32>,
    bytes: Option<u32>,
    burst: Duration,
    beyond: Excess,
}

/// What happens to a client that sends more than a [`RateLimit`] allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Excess {
    /// Nothing more is read from it until it is within its rate again; what is sent to it goes on.
    /// The message that was too much is delivered. The default: TCP slows the client down, and who
    /// is not in a hurry does not notice.
    ///
    /// The rate also holds for what a client that has ended left behind: it counts as connected
    /// until that is delivered. It is dropped instead where a single pause lasts longer than the
    /// end of a connection may, some seconds.
    #[default]
    Pause,
    /// It is closed with this code, as a rule
    /// [`POLICY_VIOLATION`](CloseCode::POLICY_VIOLATION) (1008), and the message is not delivered.
    Close(CloseCode),
}

impl RateLimit {
    /// Returns one without limits, with bursts of a second, and [`Excess::Pause`] beyond them.
    pub const fn new() -> Self {
        let burst = Duration::from_secs(1);
        Self { messages: None, bytes: None, burst, beyond: Excess::Pause }
    }

    /// Sets the messages per second. Default: no limit.
    pub const fn messages(mut self, per_second: u32) -> Self {
        self.messages = Some(per_second);
        self
    }

    /// Sets the bytes of payload per second, inflated ones as they come out. Default: no limit.
    /// They count when their message is whole. One that is longer than a burst is beyond it in any
    /// case.
    pub const fn bytes(mut self, per_second: u32) -> Self {
        self.bytes = Some(per_second);
        self
    }

    /// Sets the burst: what the rate comes to in this time may arrive at once, and at least one
    /// message may. Default 1 s.
    pub const fn burst(mut self, time: Duration) -> Self {
        self.burst = time;
        self
    }

    /// Sets what happens beyond the rate.
    pub const fn beyond(mut self, beyond: Excess) -> Self {
        self.beyond = beyond;
        self
    }

    /// Validates the limits, and returns them if they can be meant.
    ///
    /// # Errors
    ///
    /// A rate of nothing.
    pub const fn check(self) -> Result<Self, ConfigError> {
        match self {
            Self { messages: Some(0), .. } | Self { bytes: Some(0), .. } => Err(ConfigError(
                "client_rate must be at least 1 message and 1 byte per second; leave one out for \
                 no limit",
            )),
            limit => Ok(limit),
        }
    }

    /// Returns whether there is a limit at all.
    pub(crate) const fn is_limited(&self) -> bool {
        self.messages.is_some() || self.bytes.is_some()
    }
}

impl Default for RateLimit {
    fn default() -> Self {
        Self::new()
    }
}

/// What one client has sent, against its rate: a bucket of tokens for each limit, kept as the time
/// at which it will be full again, so that nothing has to refill it.
#[derive(Debug)]
pub(crate) struct RateMeter {
    limit: RateLimit,
    messages_full: Instant,
    bytes_full: Instant,
}

/// The verdict on a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Deliver,
    /// Deliver it, and read nothing for so long: then the client is within its rate again.
    Pause(Duration),
    Close(CloseCode),
}

impl RateMeter {
    pub(crate) const fn new(limit: RateLimit, now: Instant) -> Self {
        Self { limit, messages_full: now, bytes_full: now }
    }

    /// Counts a message.
    pub(crate) fn count(&mut self, len: usize, now: Instant) -> Verdict {
        let RateLimit { messages, bytes, burst, beyond } = self.limit;
        let of_messages = charge(&mut self.messages_full, messages, 1, burst, now);
        let of_bytes = charge(&mut self.bytes_full, bytes, len, burst, now);
        match (of_messages.max(of_bytes), beyond) {
            (Duration::ZERO, _) => Verdict::Deliver,
            (over, Excess::Pause) => Verdict::Pause(over),
            (_, Excess::Close(code)) => Verdict::Close(code),
        }
    }
}

/// Takes tokens out of a bucket, and returns how long it takes until it has as many as were wanted.
pub(crate) fn charge(
    full: &mut Instant,
    rate: Option<u32>,
    tokens: usize,
    burst: Duration,
    now: Instant,
) -> Duration {
    // 0 was told of before there are clients
    let Some(rate) = rate.map(|rate| u64::from(rate.max(1))) else { return Duration::ZERO };
    let one = 1_000_000_000 / rate; // at least 0: a rate beyond that is none
    let takes = (tokens as u64).saturating_mul(1_000_000_000) / rate;
    let takes = Duration::from_nanos(takes.min(LONGEST));
    *full = (*full).max(now) + takes;
    // a burst of less than a token would let none pass
    let burst = burst.min(Duration::from_nanos(LONGEST)).max(Duration::from_nanos(one));
    full.saturating_duration_since(now).saturating_sub(burst)
}

/// An hour, in nanoseconds: a client that is paused for so long is as good as closed.
const LONGEST: u64 = 3_600_000_000_000;

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    /// How long a client is paused for a message.
    fn pause(meter: &mut RateMeter, len: usize, now: Instant) -> Duration {
        match meter.count(len, now) {
            Verdict::Deliver => Duration::ZERO,
            Verdict::Pause(time) => time,
            Verdict::Close(code) => panic!("{code:?}"),
        }
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let start = Instant::now();
        let mut meter = RateMeter::new(RateLimit::new().messages(10), start);
        for _ in 0..10 {
            assert_eq!(pause(&mut meter, 1 << 40, start), Duration::ZERO);
        }
        assert_eq!(pause(&mut meter, 0, start), S / 10);
        // as long as it was told, and it is within its rate with the next one only then
        assert_eq!(pause(&mut meter, 0, start + S / 10), S / 10);
        assert_eq!(pause(&mut meter, 0, start + S * 3 / 10), Duration::ZERO);
        // a long silence is worth one burst
        let later = start + 100 * S;
        let within = (0..100).filter(|_| pause(&mut meter, 0, later).is_zero()).count();
        assert_eq!(within, 10);
    }

    #[test]
    fn bytes_have_a_bucket_of_their_own() {
        let start = Instant::now();
        let code = CloseCode::POLICY_VIOLATION;
        let limit = RateLimit::new().messages(2).bytes(1000).burst(2 * S);
        let mut meter = RateMeter::new(limit.beyond(Excess::Close(code)), start);
        assert_eq!(pause(&mut meter, 2000, start), Duration::ZERO);
        assert_eq!(meter.count(1, start), Verdict::Close(code));
        let mut meter = RateMeter::new(limit, start);
        assert_eq!(pause(&mut meter, 5000, start), 3 * S);
        assert_eq!(pause(&mut meter, 0, start + 3 * S), Duration::ZERO);
    }

    #[test]
    fn extremes() {
        let start = Instant::now();
        for limit in [
            RateLimit::new(),
            RateLimit::default().burst(Duration::ZERO),
            RateLimit::new().messages(u32::MAX).bytes(u32::MAX).burst(Duration::MAX),
        ] {
            let mut meter = RateMeter::new(limit, start);
            assert_eq!(pause(&mut meter, 1000, start), Duration::ZERO);
            let _ = meter.count(usize::MAX, start);
        }
        let mut meter = RateMeter::new(RateLimit::new().messages(1).burst(Duration::ZERO), start);
        assert_eq!(pause(&mut meter, 0, start), Duration::ZERO);
        assert_eq!(pause(&mut meter, 0, start), S);
        let mut meter = RateMeter::new(RateLimit::new().bytes(1), start);
        assert_eq!(pause(&mut meter, usize::MAX, start), 3599 * S);
        for nothing in [RateLimit::new().messages(0), RateLimit::new().messages(1).bytes(0)] {
            assert!(nothing.check().unwrap_err().to_string().starts_with("client_rate "));
            let _ = RateMeter::new(nothing, start).count(1, start);
        }
        assert_eq!(RateLimit::new().check(), Ok(RateLimit::new()));
    }
}

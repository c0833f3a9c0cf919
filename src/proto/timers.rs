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
#[derive(Debug, PartialEq, Eq)]
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
        // a pong that comes with the end of the phase is no sign for the next
        let deadline = match self.pong_came && phase == Phase::Open {
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
        if self.is_message_stuck(&signs) {
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
    /// interval. One that this end does not read may have.
    fn is_message_stuck(&mut self, signs: &Signs) -> bool {
        if signs.deaf {
            return false;
        }
        let arrived = signs.arrived;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KeepAlive;

    const SECOND: Duration = Duration::from_secs(1);
    const KIB: usize = 1024;
    const NEVER: Option<(u32, Due)> = None;

    fn timers(role: Role) -> Timers {
        let config = Config::new().keep_alive(KeepAlive::Every(20 * SECOND));
        let mut timers =
            Timers::new(role, &config.pong_timeout(10 * SECOND).close_timeout(10 * SECOND));
        assert_eq!(timers.handle(Duration::ZERO, Phase::Open, Signs::default()), Due::Nothing);
        timers
    }

    /// Those that wait for a pong since second 20: before the ping so many bytes were written, and
    /// so many waited in front of it.
    fn pinged(written: usize, unsent: usize) -> Timers {
        let mut timers = timers(Role::Server);
        timers.note_written(written);
        let due = timers.handle(20 * SECOND, Phase::Open, Signs { unsent, ..Signs::default() });
        assert_eq!(due, Due::Ping([0, 0, 0, 1]));
        timers
    }

    /// Those that wait in a phase of closing since second 100.
    fn closing(mut timers: Timers, phase: Phase, unsent: usize) -> Timers {
        let due = timers.handle(100 * SECOND, phase, Signs { unsent, ..Signs::default() });
        assert_eq!(due, Due::Nothing);
        timers
    }

    /// Looks at each deadline: which look is the verdict, and what that is.
    fn verdict(
        timers: &mut Timers,
        phase: Phase,
        mut signs: impl FnMut(u32, &mut Timers) -> Signs,
    ) -> Option<(u32, Due)> {
        (1..100).find_map(|look| {
            let (now, signs) = (timers.poll(phase).unwrap(), signs(look, timers));
            Some((look, timers.handle(now, phase, signs))).filter(|it| it.1 != Due::Nothing)
        })
    }

    fn bytes(bytes: u32) -> Signs {
        let arrived = Arrived { bytes, ..Arrived::default() };
        Signs { arrived, ..Signs::default() }
    }

    fn in_message(signs: Signs) -> Signs {
        Signs { arrived: Arrived { in_message: true, ..signs.arrived }, ..signs }
    }

    fn in_frame(bytes: u32, in_message: bool) -> Signs {
        let arrived = Arrived { bytes, in_frame: true, in_message };
        Signs { arrived, ..Signs::default() }
    }

    /// The transport took bytes, and has not taken so many.
    fn progress(unsent: usize) -> Signs {
        Signs { progress: true, unsent, ..Signs::default() }
    }

    /// How many looks a peer gets that answers no ping, by what it does instead.
    #[test]
    fn a_missing_pong() {
        let lost = |look| Some((look, Due::Expired(Timeout::KeepAlive)));
        let waited = |mut timers: Timers, signs: fn(u32, &mut Timers) -> Signs| {
            verdict(&mut timers, Phase::Open, signs)
        };
        // nothing: one look, and one for each 16 KiB before the ping
        for (written, look) in [(0, 1), (16 * KIB - 1, 1), (16 * KIB, 2), (1024 * KIB, 13)] {
            assert_eq!(waited(pinged(written, 0), |_, _| Signs::default()), lost(look));
        }
        // four more where nobody reads
        for (written, look) in [(0, 5), (32 * KIB, 7)] {
            let deaf = |_, _: &mut Timers| Signs { deaf: true, ..Signs::default() };
            assert_eq!(waited(pinged(written, 0), deaf), lost(look));
        }
        // bytes: 16 more; any sign begins the silent looks anew
        assert_eq!(waited(pinged(0, 0), |_, _| bytes(1)), lost(17));
        assert_eq!(waited(pinged(32 * KIB, 0), |_, _| bytes(1)), lost(19));
        for sign in [bytes(1), progress(0)] {
            let once = |look, _: &mut Timers| if look == 3 { sign } else { Signs::default() };
            assert_eq!(verdict(&mut pinged(32 * KIB, 0), Phase::Open, once), lost(6));
        }
        // a frame that comes on, with 64 bytes a second, to its end and no further
        assert_eq!(waited(pinged(0, 0), |_, _| in_frame(640, false)), NEVER);
        assert_eq!(waited(pinged(0, 0), |_, _| in_frame(639, false)), lost(17));
        let frame = |look, _: &mut Timers| if look < 30 { in_frame(640, false) } else { bytes(1) };
        assert_eq!(waited(pinged(0, 0), frame), lost(31));
        // a pong to another ping
        let other = |look, timers: &mut Timers| {
            if look == 11 {
                timers.pong(b"other");
            }
            bytes(1)
        };
        assert_eq!(waited(pinged(0, 0), other), lost(10 + 17));
    }

    /// Somebody who reads is waited for while the ping is in this end's buffer, or may be in the
    /// transport.
    #[test]
    fn a_peer_that_reads() {
        let lost = |look| Some((look, Due::Expired(Timeout::KeepAlive)));
        for unsent in [0, 1000] {
            assert_eq!(
                verdict(&mut pinged(0, unsent), Phase::Open, |_, _| progress(unsent)),
                NEVER
            );
        }
        let most = MOST_IN_TRANSPORT as usize;
        for (written, expected) in [(most, NEVER), (most + 1, lost(17))] {
            let mut timers = pinged(0, 0);
            timers.note_written(written);
            assert_eq!(verdict(&mut timers, Phase::Open, |_, _| progress(0)), expected);
        }
        // looks without an answer are forgotten if the ping was not there to be answered
        for (left, unsent, look) in
            [(0, 1000, 11 + 17), (1009, 1, 11 + 17), (1010, 1, 18), (0, 0, 18)]
        {
            let mut timers = pinged(0, 1000);
            timers.note_written(left);
            let once = |look, _: &mut Timers| if look == 11 { progress(unsent) } else { bytes(1) };
            assert_eq!(verdict(&mut timers, Phase::Open, once), lost(look), "{left} {unsent}");
        }
        // and that it has left begins no other wait
        let mut timers = pinged(0, 0);
        timers.note_written(PING_LEN);
        assert_eq!(timers.poll(Phase::Open), Some(30 * SECOND));
    }

    /// A message has to come on in each interval, or while a pong is waited for in the time for
    /// that, with 64 bytes a second.
    #[test]
    fn a_message_under_way() {
        let stuck = |look| Some((look, Due::Expired(Timeout::Message)));
        for (bytes, expected) in [(1280, NEVER), (1279, stuck(17))] {
            let mut timers = timers(Role::Client);
            let signs = in_frame(bytes, true);
            let verdict = (1..100).find_map(|interval| {
                let now = timers.poll(Phase::Open).unwrap();
                match timers.handle(now, Phase::Open, signs) {
                    Due::Ping(payload) => {
                        timers.pong(&payload);
                        assert!(!timers.is_due(now + SECOND, Phase::Open), "signs are for later");
                        assert_eq!(timers.handle(now, Phase::Open, Signs::default()), Due::Nothing);
                        None
                    }
                    due => Some((interval, due)),
                }
            });
            assert_eq!(verdict, expected);
        }
        for (bytes, expected) in [(640, NEVER), (639, stuck(17))] {
            let signs = |_, _: &mut Timers| in_frame(bytes, true);
            assert_eq!(verdict(&mut pinged(0, 0), Phase::Open, signs), expected);
        }
        // one that nobody reads may be coming, while the peer takes what is sent
        let deaf = |_, _: &mut Timers| Signs { deaf: true, ..in_message(progress(1000)) };
        assert_eq!(verdict(&mut pinged(0, 1000), Phase::Open, deaf), NEVER);
    }

    /// Signs are judged at the end of a wait; a pong that came does not end the interval.
    #[test]
    fn when_signs_are_judged() {
        let mut timers = pinged(0, 0);
        let due =
            |timers: &Timers, millis| timers.is_due(Duration::from_millis(millis), Phase::Open);
        assert!(!due(&timers, 29_999) && due(&timers, 30_000));
        timers.pong(&[0, 0, 0, 1]);
        assert!(!due(&timers, 39_999) && due(&timers, 40_000));
        assert!(timers.is_due(Duration::ZERO, Phase::CloseSent), "a wait that has not begun");
        // nor does it begin another one, if closing has begun before it is looked at
        let timers = closing(timers, Phase::CloseSent, 0);
        let deadline = timers.deadline;
        let due = |at| timers.is_due(Duration::from_micros(at), Phase::CloseSent);
        assert!(!due(deadline.0 - 1) && due(deadline.0));
    }

    /// How many looks a peer gets that does not answer our Close.
    #[test]
    fn a_missing_close() {
        use Phase::CloseSent;
        let lost = |look| Some((look, Due::Expired(Timeout::Closing)));
        let silent = |_, _: &mut Timers| Signs::default();
        for (written, look) in [(0, 1), (16 * KIB - 1, 1), (32 * KIB, 3), (1024 * KIB, 4)] {
            let mut timers = timers(Role::Client);
            timers.note_written(written);
            let mut timers = closing(timers, CloseSent, 0);
            assert_eq!(verdict(&mut timers, CloseSent, silent), lost(look));
        }
        // what is before a ping that was not answered counts too
        for (answered, look) in [(false, 4), (true, 2)] {
            let mut timers = pinged(32 * KIB, 0);
            timers.note_written(16 * KIB);
            if answered {
                timers.pong(&[0, 0, 0, 1]);
                timers.handle(21 * SECOND, Phase::Open, Signs::default());
            }
            let mut timers = closing(timers, CloseSent, 0);
            assert_eq!(verdict(&mut timers, CloseSent, silent), lost(look), "{answered}");
        }
        // the wait begins once more when the Close has left, and not again
        let mut timers = timers(Role::Server);
        timers.note_written(16 * KIB);
        let mut timers = closing(timers, CloseSent, 16 * KIB);
        timers.note_written(16 * KIB - 1);
        assert_eq!(timers.poll(CloseSent), Some(110 * SECOND));
        timers.note_written(1);
        assert_eq!(timers.poll(CloseSent), Some(Duration::ZERO));
        let mut timers = closing(timers, CloseSent, 0);
        timers.note_written(100);
        assert_eq!(timers.poll(CloseSent), Some(110 * SECOND));
        assert_eq!(verdict(&mut timers, CloseSent, silent), lost(3));
        // signs of life
        let started = || {
            let mut timers = self::timers(Role::Server);
            timers.note_written(32 * KIB);
            closing(timers, CloseSent, 0)
        };
        assert_eq!(verdict(&mut started(), CloseSent, |_, _| progress(0)), NEVER);
        assert_eq!(verdict(&mut started(), CloseSent, |_, _| in_frame(640, false)), NEVER);
        assert_eq!(verdict(&mut started(), CloseSent, |_, _| in_frame(639, false)), lost(3));
        let once = |look, _: &mut Timers| if look == 3 { progress(0) } else { Signs::default() };
        assert_eq!(verdict(&mut started(), CloseSent, once), lost(6));
    }

    /// And one that does not close the transport, behind both Close frames or a violation.
    #[test]
    fn a_missing_end() {
        use Phase::{CloseDone, CloseSent, Failed};
        let over = |look| Some((look, Due::GiveUp));
        let silent = |_, _: &mut Timers| Signs::default();
        for (role, wait) in [(Role::Server, SECOND), (Role::Client, 10 * SECOND)] {
            let started = |phase, unsent| {
                let mut timers = timers(role);
                timers.note_written(32 * KIB);
                closing(timers, phase, unsent)
            };
            assert_eq!(started(CloseDone, 0).poll(CloseDone), Some(100 * SECOND + wait));
            assert_eq!(started(CloseDone, 1).poll(CloseDone), Some(110 * SECOND));
            assert_eq!(started(Failed, 1).poll(Failed), Some(100 * SECOND + wait));
            assert_eq!(verdict(&mut started(CloseDone, 0), CloseDone, silent), over(3));
            let signs = |_, _: &mut Timers| in_frame(640, false);
            assert_eq!(verdict(&mut started(CloseDone, 0), CloseDone, signs), over(3));
            let signs = |_, _: &mut Timers| progress(0);
            assert_eq!(verdict(&mut started(CloseDone, 0), CloseDone, signs), NEVER);
            assert_eq!(verdict(&mut started(Failed, 0), Failed, signs), over(1));
            // the answer to our Close shows that all before it was read
            let mut timers = started(CloseSent, 0);
            timers.note_written(32 * KIB);
            let mut timers = closing(timers, CloseDone, 0);
            assert_eq!(verdict(&mut timers, CloseDone, silent), over(1));
        }
    }
}

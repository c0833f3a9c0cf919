#![forbid(unsafe_code)]

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll};
use std::sync::OnceLock;

use tokio::task::yield_now;
use tokio::time::Instant;

use super::direct::{begin_turn, produced, reached};

/// A bound on what a connection's task does before others get their turn.
///
/// A turn is what the task does until it waits. It ends after a quarter of a millisecond, or when
/// so much was put into queues that the tasks that are to send it should come first. The time is
/// taken by the handler, of which nothing is known beforehand: the clock is looked at between
/// events, rarely as long as they are quick, since a look costs half as much as a small message.
/// One event in a turn costs no look at all.
///
/// A turn in which messages go to many clients may be longer, by a part of the time in which they
/// are written: what came together is written at once, and every message alone otherwise.
#[derive(Default)]
pub(crate) struct Turn {
    /// There was an event in this turn.
    begun: bool,
    /// One event was as long as a turn may be: from then on each has a turn of its own.
    single: bool,
    /// Events until the next look at the clock, and from one look to the next.
    until_look: u8,
    stride: u8,
    /// The most that `stride` may be, in powers of two below [`MAX_STRIDE`]; more than zero after a
    /// look that came much too late.
    caution: u8,
    /// Looks since then that came in time.
    calm: u16,
    /// The clock was looked at in this turn.
    looked: bool,
    /// [`produced`] when the turn began.
    produced: u32,
    /// The first and the last look at the clock, by [`now`]. Four bytes each: every idle connection
    /// holds one of these.
    first: u32,
    last: u32,
}

impl Turn {
    /// Returns, when there is an event or something else to do, whether that is part of this turn.
    /// If not, it is the first thing in the next one.
    #[inline]
    pub(crate) fn goes_on(&mut self) -> bool {
        if !self.begun {
            self.begin();
            return true;
        }
        let produced = produced().wrapping_sub(self.produced);
        if produced > MAX_PRODUCED && produced > reached().saturating_mul(MAX_PRODUCED_FOR_EACH) {
            return false;
        }
        if self.until_look > 1 {
            self.until_look -= 1;
            return true;
        }
        self.look()
    }

    /// Returns whether there was an event in this turn.
    #[inline]
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Ends the turn: the task waits now.
    #[inline]
    pub(crate) fn end(&mut self) {
        self.begun = false;
        self.looked = false;
    }

    #[inline]
    fn begin(&mut self) {
        self.begun = true;
        self.produced = begin_turn();
        self.until_look = 0;
        if self.single {
            self.look_first();
        }
    }

    #[cold]
    fn look(&mut self) -> bool {
        if !self.looked {
            self.look_first();
            self.stride = self.stride.clamp(1, self.max_stride());
            self.until_look = self.stride;
            return true;
        }
        let now = now();
        let took = now.wrapping_sub(self.last);
        let turn = TURN.max(reached().saturating_mul(TURN_FOR_EACH).min(MAX_TURN));
        let single = turn / 2;
        let events = if self.single { 1 } else { self.stride };
        self.single = took >= single && took >= single * u32::from(events);
        if took >= turn && events > 1 && !self.single {
            self.caution = (self.caution + 1).min(MAX_STRIDE.ilog2() as u8);
            self.calm = 0;
        } else if self.caution > 0 {
            self.calm += 1;
            if self.calm == RECOVERY {
                self.caution -= 1;
                self.calm = 0;
            }
        }
        // a fifth of a turn at the most, if they go on like this
        self.stride = match took {
            _ if took <= turn / 10 => self.stride.saturating_mul(2),
            _ if took <= turn / 5 => self.stride,
            _ => self.stride / 4,
        };
        self.stride = self.stride.clamp(1, self.max_stride());
        self.until_look = self.stride;
        self.last = now;
        now.wrapping_sub(self.first) < turn && !self.single
    }

    fn look_first(&mut self) {
        self.looked = true;
        self.first = now();
        self.last = self.first;
    }

    fn max_stride(&self) -> u8 {
        MAX_STRIDE >> self.caution
    }
}

/// Lets all other tasks that are ready have their turn before this one goes on, and the runtime
/// look for what arrived and which alarms went off.
pub(crate) fn give_way(cx: &mut Context<'_>) {
    // What it does it does when it is polled first: the task is woken once all others have run.
    let polled: Poll<()> = pin!(yield_now()).poll(cx);
    debug_assert!(polled.is_pending());
}

/// Returns the time in microseconds, of which only differences matter; wraps around after an hour.
fn now() -> u32 {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    EPOCH.get_or_init(Instant::now).elapsed().as_micros() as u32
}

/// The length of a turn in microseconds: ten connections that always have something to do keep an
/// eleventh waiting for less than 3 ms.
const TURN: u32 = 250;

/// The same for each client that a message goes to: half of what it takes to write to one. So the
/// others wait for it, and for what is written then, half as long again as for one message alone,
/// however many messages there are.
const TURN_FOR_EACH: u32 = 2;

/// The longest of all turns in microseconds: that of ten thousand clients.
const MAX_TURN: u32 = 20_000;

/// The most bytes that a turn puts into queues, as they are charged there.
const MAX_PRODUCED: u32 = 256 * 1024;

/// The same for each client that a message goes to: what one write sends of small messages. The
/// queues share the bytes themselves.
const MAX_PRODUCED_FOR_EACH: u32 = 8 * 1024;

/// The most events between two looks at the clock.
const MAX_STRIDE: u8 = 32;

/// The number of looks in time that make up for one that was late.
const RECOVERY: u16 = 1024;

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    fn busy(time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time {}
    }

    /// Events that go into one turn.
    fn events(turn: &mut Turn, each: Duration) -> usize {
        turn.end();
        let mut events = 0;
        while events < 100_000 && turn.goes_on() {
            events += 1;
            busy(each);
        }
        events
    }

    #[test]
    fn turns_end() {
        let mut turn = Turn::default();
        assert!(events(&mut turn, Duration::from_micros(100)) <= 8);
        assert!(events(&mut turn, Duration::from_millis(1)) <= 2);
        assert_eq!(events(&mut turn, Duration::from_millis(1)), 1);
        assert_eq!(events(&mut turn, Duration::from_millis(1)), 1);
        // quick ones get whole turns again, unless another process needed the processor
        assert!((0..100).any(|_| events(&mut turn, Duration::ZERO) > 100));
        // one that was quick for long does not get far beyond
        let slow = events(&mut turn, Duration::from_millis(1));
        assert!(slow <= usize::from(2 * MAX_STRIDE), "{slow}");
    }
}

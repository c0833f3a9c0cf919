//! Numbers that messages have, by which those that are lost or come twice are told.

use alloc::collections::BTreeMap;
use core::mem;
use core::time::Duration;

use tokio::time::Instant;

/// The place of a message among those that its server has published to its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    /// Another one whenever the server begins to count anew, because it had forgotten the subject.
    pub(super) stream: u32,
    /// From 1.
    pub(super) at: u64,
}

/// What a server counts of its own messages. Subjects stand for themselves by a hash.
pub(super) struct Outgoing {
    last: Recent<u64, Number>,
    streams: u32,
}

impl Outgoing {
    pub(super) const fn new() -> Self {
        Self { last: Recent::new(), streams: 0 }
    }

    /// Returns the number of the next message to a subject.
    pub(super) fn next(&mut self, subject: u64) -> Number {
        let last = self.last.get_or_insert_with(subject, || {
            self.streams = self.streams.wrapping_add(1);
            Number { stream: self.streams, at: 0 }
        });
        last.at += 1;
        *last
    }
}

/// What a server knows of the messages of others.
pub(super) struct Incoming {
    /// By subject, and then by server.
    last: Recent<(u64, u64), Number>,
    /// What the log was not told of yet, by server.
    gaps: BTreeMap<u64, Gap>,
}

struct Gap {
    told: Instant,
    missed: u64,
}

/// What the number of a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It is the first one that is known of, or the next one.
    Next,
    /// So many before it have not come.
    After(u64),
    /// It has come before, or those behind it have.
    Again,
}

impl Incoming {
    pub(super) const fn new() -> Self {
        Self { last: Recent::new(), gaps: BTreeMap::new() }
    }

    /// Notes a message that has come.
    pub(super) fn note(&mut self, subject: u64, node: u64, number: Number) -> Arrival {
        let mut is_first = false;
        let last = self.last.get_or_insert_with((subject, node), || {
            is_first = true;
            number
        });
        // a stream that is new has begun after whatever came before
        let before = if last.stream == number.stream { last.at } else { 0 };
        if is_first {
            return Arrival::Next;
        }
        if number.at <= before {
            return Arrival::Again;
        }
        *last = number;
        match number.at - before - 1 {
            0 => Arrival::Next,
            missed => Arrival::After(missed),
        }
    }

    /// Forgets a subject: what is published to it does not come any more.
    pub(super) fn forget(&mut self, subject: u64) {
        for some in [&mut self.last.young, &mut self.last.old] {
            while let Some((key, _)) = some.range((subject, 0)..=(subject, u64::MAX)).next() {
                let key = *key;
                some.remove(&key);
            }
        }
    }

    /// Notes that messages of a server have not come. Returns how many the log is to be told of.
    pub(super) fn note_gap(&mut self, node: u64, missed: u64, now: Instant) -> Option<u64> {
        let is_over = |gap: &Gap| now.saturating_duration_since(gap.told) >= LOG_INTERVAL;
        if let Some(gap) = self.gaps.get_mut(&node) {
            gap.missed = gap.missed.saturating_add(missed);
            if !is_over(gap) {
                return None;
            }
            gap.told = now;
            return Some(mem::take(&mut gap.missed));
        }
        if self.gaps.len() >= MAX_LOGGED {
            self.gaps.retain(|_, gap| !is_over(gap));
        }
        if self.gaps.len() >= MAX_LOGGED {
            return None;
        }
        self.gaps.insert(node, Gap { told: now, missed: 0 });
        Some(missed)
    }
}

/// A map that forgets what was not used for long: it has what was used since [`MOST`] others were,
/// and at most twice as much as that.
struct Recent<K, V> {
    young: BTreeMap<K, V>,
    old: BTreeMap<K, V>,
}

impl<K: Ord + Copy, V> Recent<K, V> {
    const fn new() -> Self {
        Self { young: BTreeMap::new(), old: BTreeMap::new() }
    }

    fn get_or_insert_with(&mut self, key: K, value: impl FnOnce() -> V) -> &mut V {
        if !self.young.contains_key(&key) && self.young.len() >= MOST {
            // what is looked for is taken along below
            let older = mem::replace(&mut self.old, mem::take(&mut self.young));
            drop_but(older, &mut self.old, key);
        }
        let Self { young, old } = self;
        young.entry(key).or_insert_with(|| old.remove(&key).unwrap_or_else(value))
    }
}

/// Drops a map but for one entry, which is put into another one.
fn drop_but<K: Ord + Copy, V>(mut from: BTreeMap<K, V>, to: &mut BTreeMap<K, V>, key: K) {
    if let Some(value) = from.remove(&key) {
        to.insert(key, value);
    }
}

/// The subjects that are in use at a time: those of servers with more rooms than that are counted
/// anew at times, and then a gap between is not seen. They take some 3 MB, and twice that at most.
const MOST: usize = 65_536;

/// The least time between two log events about one server, as for other things that go on.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The servers of which the log is told within that time.
const MAX_LOGGED: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_duplicates_are_told_apart() {
        let mut outgoing = Outgoing::new();
        let mut incoming = Incoming::new();
        let sent: [Number; 9] = core::array::from_fn(|_| outgoing.next(1));
        assert_eq!(sent[8], Number { stream: 1, at: 9 });
        assert_eq!(outgoing.next(2), Number { stream: 2, at: 1 });
        // whoever subscribes in the middle has missed nothing
        for (at, arrival) in [
            (3, Arrival::Next),
            (4, Arrival::Next),
            (4, Arrival::Again),
            (7, Arrival::After(2)),
            (6, Arrival::Again), // late: what was sent comes in that order, or not at all
            (8, Arrival::Next),
        ] {
            assert_eq!(incoming.note(1, 77, sent[at]), arrival, "{at}");
        }
        // servers and subjects do not concern each other
        assert_eq!(incoming.note(1, 78, sent[0]), Arrival::Next);
        assert_eq!(incoming.note(2, 77, sent[0]), Arrival::Next);
        incoming.forget(1);
        assert_eq!(incoming.note(1, 77, sent[0]), Arrival::Next);
        assert_eq!(incoming.note(1, 78, sent[5]), Arrival::Next);
        assert_eq!(incoming.note(2, 77, sent[2]), Arrival::After(1));
    }

    /// A subject that its server has forgotten is counted anew, and that is no gap.
    #[test]
    fn what_is_not_used_is_forgotten() {
        let (mut outgoing, mut incoming) = (Outgoing::new(), Incoming::new());
        let most = MOST as u64;
        for round in 1..=2 {
            for _ in 0..5 {
                let number = outgoing.next(0);
                assert_eq!(incoming.note(0, 1, number), Arrival::Next, "{round}");
            }
            for subject in 1..=2 * most {
                outgoing.next(subject);
            }
        }
        assert_ne!(outgoing.next(0).stream, 1);
        assert!(outgoing.last.young.len() + outgoing.last.old.len() <= 2 * MOST);
        // of a stream that is new, the first ones are missed
        outgoing.next(0);
        assert_eq!(incoming.note(0, 1, outgoing.next(0)), Arrival::After(2));
        // one that is in use stays, whatever else comes
        let mut outgoing = Outgoing::new();
        for at in 1..=most + most / 2 {
            outgoing.next(at);
            if at % 1000 == 0 {
                assert_eq!(outgoing.next(0), Number { stream: 1001, at: at / 1000 });
            }
        }
    }

    #[test]
    fn the_log_is_told_at_times() {
        let mut incoming = Incoming::new();
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(incoming.note_gap(1, 5, begin), Some(5));
        assert_eq!(incoming.note_gap(1, 2, after(1)), None);
        assert_eq!(incoming.note_gap(2, 3, after(1)), Some(3));
        assert_eq!(incoming.note_gap(1, u64::MAX, after(9)), None);
        assert_eq!(incoming.note_gap(1, 1, after(10)), Some(u64::MAX));
        for node in (3..).take(MAX_LOGGED - 2) {
            incoming.note_gap(node, 1, after(15));
        }
        assert_eq!(incoming.note_gap(1000, 1, after(16)), Some(1), "the second is over");
        assert_eq!(incoming.note_gap(1001, 1, after(16)), None);
        assert_eq!(incoming.note_gap(1001, 1, after(25)), Some(1));
    }
}

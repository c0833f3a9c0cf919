//! What is known of other servers.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Bound;
use core::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::notice::{Head, Rows};

/// The other servers, by their node numbers, with the rooms where they have members.
///
/// Each row has the revision of its server that it is from, and of two the later one counts: so the
/// changes and the parts of a state may come in any order.
pub(super) struct Peers {
    by_node: BTreeMap<u64, Peer>,
    /// The rows of all.
    rows: usize,
    max_rows: usize,
}

struct Peer {
    clients: u64,
    /// When it is gone, unless more is heard of it.
    until: Instant,
    rooms: BTreeMap<Box<str>, Row>,
    /// The changes that have come are those from here on, with those before that a state had.
    first: u64,
    /// Up to here.
    last: u64,
    /// The revision of the last state that has come whole: it has all changes up to here, and what
    /// comes of those later is over.
    base: u64,
    /// A state that is coming.
    state: Option<Progress>,
    /// When it was asked for its state, or has sent a part of it.
    asked: Option<Instant>,
    /// Some rows found no room.
    is_cut: bool,
}

/// A room; with no members while a state may come that still has some.
#[derive(Clone, Copy)]
struct Row {
    count: u32,
    revision: u64,
}

/// The parts of a state that have come.
struct Progress {
    /// The earliest revision that one of them is from.
    revision: u64,
    /// Where the next one begins.
    next: Bytes,
}

/// A server as it is known.
pub(super) struct Known {
    pub(super) node: u64,
    pub(super) clients: u64,
    pub(super) rooms: usize,
    /// All its rooms are known, as they were a moment ago.
    pub(super) is_complete: bool,
}

impl Peer {
    /// Returns a server of which nothing is known but that it is there; what comes next is compared
    /// with this revision.
    fn new(revision: u64, until: Instant) -> Self {
        Self {
            clients: 0,
            until,
            rooms: BTreeMap::new(),
            first: revision.saturating_add(1),
            last: revision,
            base: 0,
            state: None,
            asked: None,
            is_cut: false,
        }
    }

    /// Returns whether all changes since it was started have come, or are in a state that has.
    const fn has_all(&self) -> bool {
        self.first == 1
    }
}

impl Peers {
    pub(super) const fn new(max_rows: usize) -> Self {
        Self { by_node: BTreeMap::new(), rows: 0, max_rows }
    }

    /// Notes what a server says of itself. Returns `None` if it is one too many.
    fn hear(&mut self, node: u64, head: &Head, revision: u64, now: Instant) -> Option<&mut Peer> {
        if self.by_node.len() >= MAX_SERVERS && !self.by_node.contains_key(&node) {
            return None;
        }
        let until = now + head.expiry().clamp(MIN_EXPIRY, MAX_EXPIRY);
        let peer = self.by_node.entry(node).or_insert_with(|| Peer::new(revision, until));
        peer.until = until;
        Some(peer)
    }

    /// Takes a change. Returns whether the server is to be asked for its state.
    pub(super) fn change(
        &mut self,
        node: u64,
        head: Head,
        rows: &Rows,
        retry: Duration,
        now: Instant,
    ) -> bool {
        let (max_rows, mut total) = (self.max_rows, self.rows);
        // a server starts with nothing, at 0: who is there from its first change on knows all
        let Some(peer) = self.hear(node, &head, 0, now) else { return false };
        if head.revision > peer.last {
            if head.revision > peer.last + 1 {
                peer.first = head.revision;
            }
            peer.last = head.revision;
            peer.clients = head.clients;
        }
        if head.revision > peer.base {
            for (name, count) in rows.iter() {
                peer.put(name, Row { count, revision: head.revision }, &mut total, max_rows);
            }
        }
        let asks = !peer.has_all()
            && peer.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= retry);
        if asks {
            peer.asked = Some(now);
        }
        self.rows = total;
        asks
    }

    /// Takes a part of a state.
    pub(super) fn state(
        &mut self,
        node: u64,
        head: Head,
        (from, until): (Bytes, Option<Bytes>),
        rows: &Rows,
        now: Instant,
    ) {
        let (max_rows, mut total) = (self.max_rows, self.rows);
        let Some(peer) = self.hear(node, &head, head.revision, now) else { return };
        if peer.has_all() {
            return;
        }
        peer.asked = Some(now);
        if from.is_empty() {
            peer.state = Some(Progress { revision: head.revision, next: Bytes::new() });
        }
        // one of another state, or behind one that is lost
        let Some(progress) = peer.state.as_mut().filter(|it| it.next == from) else { return };
        progress.revision = progress.revision.min(head.revision);
        let revision = progress.revision;
        progress.next = until.clone().unwrap_or_default();
        if head.revision >= peer.last {
            peer.clients = head.clients;
        }
        for (name, count) in rows.iter() {
            peer.put(name, Row { count, revision: head.revision }, &mut total, max_rows);
        }
        peer.forget_all_but(rows, &from, until.as_deref(), head.revision, &mut total);
        if until.is_none() {
            peer.state = None;
            if peer.first <= revision.saturating_add(1) {
                peer.first = 1;
                peer.last = peer.last.max(revision);
                peer.base = revision;
                let before = peer.rooms.len();
                // what is older, and not in the state, came late
                peer.rooms.retain(|_, row| row.count > 0 && row.revision >= revision);
                total -= before - peer.rooms.len();
            }
        }
        self.rows = total;
    }

    /// Forgets a server that is over. Returns whether it was known.
    pub(super) fn remove(&mut self, node: u64) -> bool {
        let removed = self.by_node.remove(&node);
        self.rows -= removed.as_ref().map_or(0, |peer| peer.rooms.len());
        removed.is_some()
    }

    /// Forgets the servers of which nothing was heard for too long, and returns them.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<u64> {
        self.remove_if(|peer| peer.until <= now)
    }

    /// Forgets all servers, and returns them.
    pub(super) fn clear(&mut self) -> Vec<u64> {
        self.remove_if(|_| true)
    }

    fn remove_if(&mut self, is_over: impl Fn(&Peer) -> bool) -> Vec<u64> {
        let over = self.by_node.iter().filter(|(_, peer)| is_over(peer));
        let nodes: Vec<u64> = over.map(|(node, _)| *node).collect();
        for node in &nodes {
            self.remove(*node);
        }
        nodes
    }

    /// Returns the number of clients of other servers, all or those in a room.
    pub(super) fn count(&self, room: Option<&str>) -> u64 {
        self.by_node.values().map(|peer| peer.count(room)).fold(0, u64::saturating_add)
    }

    /// Returns the numbers of clients of each server that has any, all or those in a room.
    pub(super) fn counts(&self, room: Option<&str>) -> Vec<(u64, u64)> {
        let counts = self.by_node.iter().map(|(node, peer)| (*node, peer.count(room)));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// Returns the servers that have clients, in a room or at all, or may have some.
    pub(super) fn to_ask(&self, room: Option<&str>) -> Vec<u64> {
        let may = |peer: &Peer| peer.count(room) > 0 || !peer.has_all() || peer.is_cut;
        self.by_node.iter().filter(|it| may(it.1)).map(|it| *it.0).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.by_node.len()
    }

    pub(super) fn known(&self) -> Vec<Known> {
        let known = |(node, peer): (&u64, &Peer)| Known {
            node: *node,
            clients: peer.clients,
            rooms: peer.rooms_len(),
            is_complete: peer.has_all() && !peer.is_cut,
        };
        self.by_node.iter().map(known).collect()
    }
}

impl Peer {
    fn count(&self, room: Option<&str>) -> u64 {
        match room {
            None => self.clients,
            Some(name) => self.rooms.get(name).map_or(0, |row| u64::from(row.count)),
        }
    }

    /// Returns the number of rooms with members.
    fn rooms_len(&self) -> usize {
        if self.has_all() {
            return self.rooms.len(); // none is empty
        }
        self.rooms.values().filter(|row| row.count > 0).count()
    }

    /// Puts in a row, unless there is a later one, or too many are there in all.
    fn put(&mut self, name: &str, row: Row, total: &mut usize, max_rows: usize) {
        if let Some(before) = self.rooms.get_mut(name) {
            if before.revision > row.revision {
                return;
            }
            if row.count == 0 && self.first == 1 {
                self.rooms.remove(name);
                *total -= 1;
            } else {
                *before = row;
            }
        } else if row.count > 0 || self.first != 1 {
            // a state may come that still has a room which is empty now
            if *total < max_rows {
                self.rooms.insert(name.into(), row);
                *total += 1;
            } else {
                self.is_cut |= row.count > 0;
            }
        }
    }

    /// Forgets the rooms in a part of a state that it does not have.
    fn forget_all_but(
        &mut self,
        rows: &Rows,
        from: &[u8],
        until: Option<&[u8]>,
        revision: u64,
        total: &mut usize,
    ) {
        let mut there = rows.iter().map(|(name, _)| name).peekable();
        // they are UTF-8, whose order is that of its bytes
        let from = core::str::from_utf8(from).unwrap_or_default();
        let until = until.map(|until| core::str::from_utf8(until).unwrap_or_default());
        let within = self.rooms.range::<str, _>((Bound::Included(from), Bound::Unbounded));
        let within = within.take_while(|it| until.is_none_or(|until| &**it.0 < until));
        let mut gone: Vec<Box<str>> = Vec::new();
        for (name, row) in within {
            while there.next_if(|next| *next < &**name).is_some() {}
            let is_there = there.peek().is_some_and(|next| *next == &**name);
            if !is_there && row.revision <= revision {
                gone.push(name.clone());
            }
        }
        for name in gone {
            self.rooms.remove(&*name);
            *total -= 1;
        }
    }
}

/// More servers are not kept account of: nobody runs as many, and whoever can publish could make
/// them up.
const MAX_SERVERS: usize = 1024;

/// What servers may say about when they are gone.
const MIN_EXPIRY: Duration = Duration::from_millis(100);
const MAX_EXPIRY: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::string::{String, ToString};

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const RETRY: Duration = Duration::from_secs(5);

    fn head(revision: u64) -> Head {
        Head { revision, clients: revision * 10, expiry: 15_000 }
    }

    fn rows(rows: &[(&str, usize)]) -> Rows {
        Rows::new(rows.iter().copied())
    }

    fn complete(peers: &Peers) -> bool {
        peers.known().iter().all(|known| known.is_complete)
    }

    #[test]
    fn who_is_there_from_the_beginning_asks_nothing() {
        let (mut peers, now) = (Peers::new(100), Instant::now());
        assert!(!peers.change(1, head(1), &rows(&[("a", 2)]), RETRY, now));
        assert!(!peers.change(1, head(2), &rows(&[("a", 3), ("b", 1)]), RETRY, now));
        assert!(!peers.change(2, head(1), &rows(&[("a", 5)]), RETRY, now));
        assert_eq!((peers.count(Some("a")), peers.count(Some("b"))), (8, 1));
        assert_eq!(peers.count(None), 30);
        assert_eq!(peers.counts(Some("b")), [(1, 1)]);
        assert!(complete(&peers));
        // what comes twice, or late, changes nothing
        assert!(!peers.change(1, head(1), &rows(&[("a", 2)]), RETRY, now));
        assert_eq!((peers.count(Some("a")), peers.count(None)), (8, 30));
        peers.change(1, head(3), &rows(&[("a", 0)]), RETRY, now);
        assert_eq!((peers.count(Some("a")), peers.rows), (5, 2));
        assert!(peers.remove(1) && !peers.remove(1));
        assert_eq!((peers.count(Some("a")), peers.count(Some("b")), peers.rows), (5, 0, 1));
        assert!(peers.expire(now + Duration::from_secs(14)).is_empty());
        assert_eq!(peers.expire(now + Duration::from_secs(15)), [2]);
        assert_eq!((peers.len(), peers.rows), (0, 0));
    }

    #[test]
    fn who_misses_a_change_asks() {
        let (mut peers, now) = (Peers::new(100), Instant::now());
        assert!(!peers.change(1, head(1), &rows(&[("a", 2), ("b", 2)]), RETRY, now));
        assert!(peers.change(1, head(3), &rows(&[("c", 1)]), RETRY, now));
        assert!(!complete(&peers));
        assert_eq!(peers.to_ask(Some("nobody")), [1], "it may have some");
        // not again at once
        assert!(!peers.change(1, head(4), &rows(&[]), RETRY, now + RETRY / 2));
        assert!(peers.change(1, head(5), &rows(&[]), RETRY, now + RETRY));
        // the state is from between; a change that has come is later than it
        let later = now + RETRY;
        assert!(!peers.change(1, head(6), &rows(&[("c", 0), ("d", 4)]), RETRY, later));
        let part = |from: &'static str, until: Option<&'static str>| {
            (Bytes::from(from), until.map(Bytes::from))
        };
        peers.state(1, head(5), part("", Some("c")), &rows(&[("b", 7)]), later);
        assert!(!complete(&peers));
        peers.state(1, head(5), part("c", None), &rows(&[("c", 1)]), later);
        assert!(complete(&peers));
        let counts = ["a", "b", "c", "d"].map(|room| peers.count(Some(room)));
        assert_eq!(counts, [0, 7, 0, 4]);
        assert_eq!((peers.rows, peers.count(None)), (2, 60));
        // one that has all takes no state that comes late
        peers.state(1, head(5), part("", None), &rows(&[("c", 1)]), later);
        assert_eq!(peers.count(Some("c")), 0);
    }

    #[test]
    fn a_state_with_a_part_lost_counts_for_nothing_more() {
        let (mut peers, now) = (Peers::new(100), Instant::now());
        let part = |from: &'static str, until: Option<&'static str>| {
            (Bytes::from(from), until.map(Bytes::from))
        };
        peers.state(1, head(4), part("", Some("c")), &rows(&[("b", 7)]), now);
        peers.state(1, head(4), part("m", None), &rows(&[("z", 1)]), now);
        assert!(!complete(&peers));
        assert!(!peers.change(1, head(5), &rows(&[]), RETRY, now + RETRY / 2));
        assert!(peers.change(1, head(6), &rows(&[]), RETRY, now + RETRY));
        // a change that is missed while it comes
        peers.state(1, head(6), part("", Some("c")), &rows(&[("b", 7)]), now);
        peers.change(1, head(8), &rows(&[]), RETRY, now);
        peers.state(1, head(6), part("c", None), &rows(&[]), now);
        assert!(!complete(&peers));
        peers.state(1, head(8), part("", None), &rows(&[("b", 7)]), now);
        assert!(complete(&peers));
    }

    #[test]
    fn a_change_that_comes_behind_a_state_with_it_is_over() {
        let (mut peers, now) = (Peers::new(100), Instant::now());
        peers.change(1, head(1), &rows(&[("a", 1)]), RETRY, now);
        assert!(peers.change(1, head(3), &rows(&[]), RETRY, now), "the second is lost");
        peers.state(1, head(5), (Bytes::new(), None), &rows(&[("b", 1)]), now);
        assert!(complete(&peers));
        // the fifth, in which "a" was left, is lost as well
        assert!(!peers.change(1, head(4), &rows(&[("a", 7)]), RETRY, now));
        assert!(!peers.change(1, head(6), &rows(&[]), RETRY, now));
        assert!(complete(&peers));
        assert_eq!((peers.count(Some("a")), peers.count(Some("b")), peers.rows), (0, 1, 1));
    }

    #[test]
    fn all_is_bounded() {
        let (mut peers, now) = (Peers::new(3), Instant::now());
        peers.change(1, head(1), &rows(&[("a", 1), ("b", 1)]), RETRY, now);
        assert!(complete(&peers));
        peers.change(2, head(1), &rows(&[("a", 1), ("b", 1), ("c", 1)]), RETRY, now);
        assert_eq!((peers.count(Some("a")), peers.count(Some("b")), peers.rows), (2, 1, 3));
        assert!(!complete(&peers));
        assert_eq!(peers.to_ask(Some("c")), [2]);
        peers.change(1, head(2), &rows(&[("a", 0), ("b", 5)]), RETRY, now);
        peers.change(2, head(2), &rows(&[("b", 1)]), RETRY, now);
        assert_eq!((peers.count(Some("b")), peers.rows), (6, 3));
        for node in 0..2000 {
            let forged = Head { revision: u64::MAX, clients: u64::MAX, expiry: u32::MAX };
            peers.change(node, forged, &rows(&[]), RETRY, now);
            peers.state(node, forged, (Bytes::new(), None), &rows(&[]), now);
        }
        assert_eq!((peers.len(), peers.count(None)), (MAX_SERVERS, u64::MAX));
        peers.expire(now + MAX_EXPIRY);
        assert_eq!((peers.len(), peers.rows), (0, 0));
    }

    /// What a server does, and what becomes of what it says.
    #[derive(Clone, Debug)]
    enum Step {
        Change(Vec<(u8, u8)>),
        /// The next thing that is on its way comes, and one in some is lost instead.
        Deliver {
            of_state: bool,
            lost: bool,
        },
        Ask,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        let deliver = || (any::<bool>(), prop::bool::weighted(0.15));
        prop_oneof![
            3 => vec((0u8..6, 0u8..3), 0..3).prop_map(Step::Change),
            6 => deliver().prop_map(|(of_state, lost)| Step::Deliver { of_state, lost }),
            1 => Just(Step::Ask),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Whatever is lost, and however changes and parts of states overtake each other: a table
        /// that is said to be complete is right as soon as all changes have come.
        #[test]
        fn what_is_complete_is_right(steps in vec(any_step(), 0..60)) {
            let now = Instant::now();
            let mut peers = Peers::new(100);
            let mut truth = BTreeMap::<String, usize>::new();
            let mut revision = 0;
            // in order each, but not among each other
            let (mut changes, mut parts) = (Vec::new(), Vec::new());
            for step in steps {
                match step {
                    Step::Change(rooms) => {
                        revision += 1;
                        let names: BTreeSet<_> = rooms.iter().map(|it| it.0.to_string()).collect();
                        for (room, count) in rooms {
                            truth.insert(room.to_string(), count.into());
                        }
                        let rows = Rows::new(names.iter().map(|it| (&**it, truth[it])));
                        changes.push((head(revision), rows));
                    }
                    Step::Ask => {
                        let there: Vec<_> = truth.iter().filter(|it| *it.1 > 0).collect();
                        let mut from = Bytes::new();
                        for at in (0..there.len().max(1)).step_by(2) {
                            let some = there[at.min(there.len())..].iter().take(2);
                            let rows = Rows::new(some.map(|it| (&**it.0, *it.1)));
                            let until = there.get(at + 2).map(|it| Bytes::from(it.0.clone()));
                            let range = (from, until.clone());
                            from = until.unwrap_or_default();
                            parts.push((head(revision), range, rows));
                        }
                    }
                    Step::Deliver { of_state: false, lost } if !changes.is_empty() => {
                        let (head, rows) = changes.remove(0);
                        if !lost {
                            peers.change(7, head, &rows, RETRY, now);
                        }
                    }
                    Step::Deliver { of_state: true, lost } if !parts.is_empty() => {
                        let (head, range, rows) = parts.remove(0);
                        if !lost {
                            peers.state(7, head, range, &rows, now);
                        }
                    }
                    Step::Deliver { .. } => {}
                }
            }
            for (head, rows) in changes {
                peers.change(7, head, &rows, RETRY, now);
            }
            // the next one shows whether the last ones were lost
            peers.change(7, head(revision + 1), &rows(&[]), RETRY, now);
            if complete(&peers) {
                for (room, count) in &truth {
                    prop_assert_eq!(peers.count(Some(room)), *count as u64, "{}", room);
                }
                let there = truth.values().filter(|it| **it > 0).count();
                prop_assert_eq!(peers.rows, there);
            }
            // and a state that comes whole makes it so
            let all = Rows::new(truth.iter().filter(|it| *it.1 > 0).map(|it| (&**it.0, *it.1)));
            peers.state(7, head(revision + 1), (Bytes::new(), None), &all, now);
            prop_assert!(complete(&peers));
            for (room, count) in &truth {
                prop_assert_eq!(peers.count(Some(room)), *count as u64, "{}", room);
            }
        }
    }
}

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::engine::PublishError;
use super::notice::{Head, Ids, Notice, Rows};
use super::peers::Peers;
use super::plane::{Plane, lock};
use super::presence::Presence;
use super::subject::Place;
use crate::server::client::hub::Hub;

/// Who is where on all servers: what this one tells the others, and what they have told.
pub(super) struct Roster {
    settings: Presence,
    /// Locked for moments, also while the hub is.
    changed: Mutex<Changed>,
    peers: Mutex<Peers>,
    /// The servers that have asked for the state, with what they have got of it.
    asked: Mutex<BTreeMap<u64, Asked>>,
    questions: Mutex<Questions>,
    /// The others are to be told soon that this server is there.
    hurry: AtomicBool,
}

/// What has changed since it was announced.
#[derive(Default)]
struct Changed {
    rooms: BTreeSet<Arc<str>>,
    /// There was too much of it: the others have to ask for all.
    too_many: bool,
}

struct Asked {
    /// When it gets the next part.
    due: Instant,
    /// The name where that begins.
    from: Arc<str>,
}

/// What this server has told of itself.
struct Own {
    revision: u64,
    clients: Option<u64>,
    /// When the others have to hear of it again.
    due: Instant,
    /// It has asked all others for what they have.
    has_asked: bool,
}

#[derive(Default)]
struct Questions {
    open: BTreeMap<u64, Open>,
    next: u64,
}

/// A question for the ids of clients.
struct Open {
    /// The servers that have not sent all yet, with how many ids they have.
    awaited: BTreeMap<u64, usize>,
    ids: Vec<u64>,
    is_complete: bool,
    answered: Arc<Notify>,
}

impl Roster {
    pub(super) fn new(settings: Presence) -> Self {
        let peers = Mutex::new(Peers::new(settings.max_rooms));
        Self {
            settings,
            changed: Mutex::default(),
            peers,
            asked: Mutex::default(),
            questions: Mutex::default(),
            hurry: AtomicBool::new(false),
        }
    }

    /// Notes that the number of members of a room has changed. Called while the hub is locked.
    pub(super) fn note(&self, room: &Arc<str>) {
        lock(&self.changed).add(room, self.max_changed());
    }

    fn max_changed(&self) -> usize {
        MAX_CHANGED.min(self.settings.max_rooms)
    }

    /// Tells the others soon that this server is there: they may have been away.
    pub(super) fn hurry(&self) {
        self.hurry.store(true, Ordering::Relaxed);
    }

    /// Returns the number of other servers that are known.
    pub(super) fn servers(&self) -> usize {
        lock(&self.peers).len()
    }

    /// Looks at what is known of other servers.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Peers) -> T) -> T {
        look(&lock(&self.peers))
    }

    /// Tells the others what changes, and forgets those that are gone, for ever.
    pub(super) async fn drive(&self, plane: &Plane, hub: &Hub) {
        let mut own = Own { revision: 0, clients: None, due: Instant::now(), has_asked: false };
        let mut clock = interval(self.settings.tick());
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            let now = Instant::now();
            let gone = lock(&self.peers).expire(now);
            gone.into_iter().for_each(|node| self.give_up(node));
            if !own.has_asked {
                own.has_asked = plane.tell(&Place::Presence, Notice::Ask).is_ok();
            }
            self.announce(&mut own, plane, hub, now);
            self.answer(&own, plane, hub, now);
        }
    }

    /// Announces what has changed, or that the server is there.
    fn announce(&self, own: &mut Own, plane: &Plane, hub: &Hub, now: Instant) {
        let clients = hub.all().len() as u64;
        let Changed { rooms, too_many } = mem::take(&mut *lock(&self.changed));
        let hurries = self.hurry.swap(false, Ordering::Relaxed);
        let is_due = hurries || now >= own.due || own.clients != Some(clients);
        if rooms.is_empty() && !too_many && !is_due {
            return;
        }
        // a number that nobody gets
        own.revision += u64::from(too_many);
        let mut rooms = rooms.into_iter().peekable();
        loop {
            let mut some = Vec::new();
            let mut bytes = 0;
            while let Some(name) = rooms.next_if(|_| bytes < PART) {
                bytes += name.len();
                let count = hub.room(&name).len();
                some.push((name, count));
            }
            let rows = Rows::new(some.iter().map(|(name, count)| (&**name, *count)));
            let head = self.head(own.revision + 1, clients);
            let told = plane.tell(&Place::Presence, Notice::Change { head, rows });
            if told == Err(PublishError::Away) {
                // nobody has missed it, so that nobody has to ask
                let untold = some.into_iter().map(|(name, _)| name).chain(rooms);
                let mut changed = lock(&self.changed);
                untold.for_each(|name| changed.add(&name, self.max_changed()));
                return;
            }
            own.revision += 1;
            if rooms.peek().is_none() {
                break;
            }
        }
        own.clients = Some(clients);
        // those that were started together do not go on together
        let beat = self.settings.beat();
        own.due = now + beat - beat / 4000 * plane.share();
    }

    fn head(&self, revision: u64, clients: u64) -> Head {
        let expiry = self.settings.until_gone().as_millis();
        Head { revision, clients, expiry: u32::try_from(expiry).unwrap_or(u32::MAX) }
    }

    /// Sends a few parts of the state to those who have asked for it.
    fn answer(&self, own: &Own, plane: &Plane, hub: &Hub, now: Instant) {
        let mut due = BTreeMap::new();
        lock(&self.asked).retain(|node, asked| {
            let is_due = asked.due <= now;
            if is_due {
                due.insert(*node, Arc::clone(&asked.from));
            }
            !is_due
        });
        for (node, from) in due {
            if let Some(from) = self.send_state(own, plane, hub, node, from) {
                // unless it has asked again
                lock(&self.asked).entry(node).or_insert(Asked { due: now, from });
            }
        }
    }

    /// Sends a few parts of the state to a server. Returns where the next one begins.
    fn send_state(
        &self,
        own: &Own,
        plane: &Plane,
        hub: &Hub,
        node: u64,
        mut from: Arc<str>,
    ) -> Option<Arc<str>> {
        for _ in 0..PARTS_AT_ONCE {
            let (rooms, until) = hub.rooms_from(&from, ROWS_OF_PART, PART, MAX_NAME);
            let name = |name: &Arc<str>| Bytes::copy_from_slice(name.as_bytes());
            let notice = Notice::State {
                head: self.head(own.revision, hub.all().len() as u64),
                from: name(&from),
                until: until.as_ref().map(name),
                rows: Rows::new(rooms.iter().map(|(name, count)| (&**name, *count))),
            };
            // if it does not get there, it asks again
            plane.tell(&Place::of(node), notice).ok()?;
            from = until?;
        }
        Some(from)
    }

    /// Takes what another server says.
    pub(super) fn take(&self, plane: &Plane, hub: &Hub, node: u64, notice: Notice) {
        let now = Instant::now();
        match notice {
            Notice::Change { head, rows } => {
                let asks = lock(&self.peers).change(node, head, &rows, self.settings.beat(), now);
                if asks {
                    // if it does not get there, it is asked again
                    let _ = plane.tell(&Place::of(node), Notice::Ask);
                }
            }
            Notice::State { head, from, until, rows } => {
                lock(&self.peers).state(node, head, (from, until), &rows, now);
            }
            Notice::Ask => {
                let due = now + self.settings.beat() / 4000 * plane.share();
                let mut asked = lock(&self.asked);
                if asked.len() < MAX_ASKED {
                    // a state that is under way counts for nothing, or it would not ask
                    asked.insert(node, Asked { due, from: Arc::default() });
                }
            }
            Notice::Goodbye => {
                if lock(&self.peers).remove(node) {
                    self.give_up(node);
                }
            }
            Notice::Question { token, room } => self.reply(plane, hub, node, token, room),
            Notice::Answer { token, is_last, is_cut, before, ids } => {
                let max_ids = self.settings.max_ids;
                if let Some(open) = lock(&self.questions).open.get_mut(&token) {
                    open.take(node, (before as usize, &ids), is_last, is_cut, max_ids);
                }
            }
        }
    }

    /// Tells another server the ids of clients.
    fn reply(&self, plane: &Plane, hub: &Hub, node: u64, token: u64, room: Option<Bytes>) {
        // it was checked
        let room = room.as_deref().map(|room| core::str::from_utf8(room).unwrap_or_default());
        let most = self.settings.max_ids;
        let mut ids: Vec<u64> = hub.select(room, |members| {
            members.take(most.saturating_add(1)).map(|client| client.id()).collect()
        });
        let is_cut = ids.len() > most;
        ids.truncate(most);
        let mut before = 0;
        loop {
            let (some, rest) = ids.split_at((before + IDS_OF_PART).min(ids.len()));
            let is_last = rest.is_empty();
            let part = Ids::new(&some[before..]);
            let at = u32::try_from(before).unwrap_or(u32::MAX);
            let notice = Notice::Answer { token, is_last, is_cut, before: at, ids: part };
            if plane.tell(&Place::of(node), notice).is_err() || is_last {
                return;
            }
            before = some.len();
        }
    }

    /// Asks all servers that may have clients, in a room or at all, for their ids.
    pub(super) fn ask(&self, plane: &Plane, room: Option<&str>) -> Question<'_> {
        let nodes = lock(&self.peers).to_ask(room);
        let answered = Arc::new(Notify::new());
        let mut questions = lock(&self.questions);
        let token = questions.next;
        questions.next += 1;
        let asks = questions.open.len() < MAX_QUESTIONS;
        let awaited = nodes.iter().filter(|_| asks).map(|node| (*node, 0)).collect();
        questions.open.insert(
            token,
            Open {
                awaited,
                ids: Vec::new(),
                is_complete: asks || nodes.is_empty(),
                answered: Arc::clone(&answered),
            },
        );
        drop(questions);
        for node in nodes.into_iter().filter(|_| asks) {
            let room = room.map(|room| Bytes::copy_from_slice(room.as_bytes()));
            if plane.tell(&Place::of(node), Notice::Question { token, room }).is_err() {
                self.give_up(node);
            }
        }
        Question { roster: self, token, answered }
    }

    /// Forgets all other servers: nothing is heard of them any more.
    pub(super) fn end(&self) {
        let nodes = lock(&self.peers).clear();
        nodes.into_iter().for_each(|node| self.give_up(node));
    }

    /// Waits for the answers of a server no longer.
    fn give_up(&self, node: u64) {
        for open in lock(&self.questions).open.values_mut() {
            if open.awaited.remove(&node).is_some() {
                open.is_complete = false;
                open.answered.notify_one();
            }
        }
    }
}

impl Changed {
    fn add(&mut self, room: &Arc<str>, most: usize) {
        if self.rooms.len() >= most {
            self.rooms.clear();
            self.too_many = true;
        }
        self.rooms.insert(Arc::clone(room));
    }
}

impl Open {
    /// Takes a part of what a server has answered.
    fn take(
        &mut self,
        node: u64,
        (before, ids): (usize, &Ids),
        is_last: bool,
        is_cut: bool,
        max_ids: usize,
    ) {
        let Some(got) = self.awaited.get_mut(&node) else { return };
        if before < *got {
            return; // it came before
        }
        let room = max_ids.saturating_sub(*got);
        self.ids.extend(ids.iter().take(room));
        // a part is missing, or there is too much
        self.is_complete &= before == *got && !is_cut && ids.len() <= room;
        *got = before.saturating_add(ids.len());
        if is_last {
            self.awaited.remove(&node);
            self.answered.notify_one();
        }
    }
}

/// A question that was asked; dropping it gives it up.
pub(super) struct Question<'a> {
    roster: &'a Roster,
    token: u64,
    answered: Arc<Notify>,
}

impl Question<'_> {
    /// Waits until all servers have answered.
    pub(super) async fn answered(&self) {
        let is_open = || {
            let questions = lock(&self.roster.questions);
            questions.open.get(&self.token).is_some_and(|open| !open.awaited.is_empty())
        };
        while is_open() {
            self.answered.notified().await;
        }
    }

    /// Returns the ids that have come, and whether they are all.
    pub(super) fn finish(self) -> (Vec<u64>, bool) {
        let open = lock(&self.roster.questions).open.remove(&self.token);
        open.map_or_else(Default::default, |it| (it.ids, it.is_complete && it.awaited.is_empty()))
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        lock(&self.roster.questions).open.remove(&self.token);
    }
}

/// The bytes of names in an announcement or a part of a state, and one name more: brokers take
/// messages of 1 MB and more, and others have to get past it.
const PART: usize = 32 * 1024;

/// As many rooms as are looked at while the hub is locked: some 20 µs.
const ROWS_OF_PART: usize = 512;

/// The parts of a state that are sent to one server at a time.
const PARTS_AT_ONCE: usize = 16;

const IDS_OF_PART: usize = 4096;

/// The rooms that may have changed since the last announcement, as far as the others may keep
/// account of as many: if more have, they ask for all instead.
const MAX_CHANGED: usize = 65_536;

/// The servers that are answered at a time: as many as are kept account of.
const MAX_ASKED: usize = 1024;

/// The questions that may be open: beyond them the ids of this server are all there is.
const MAX_QUESTIONS: usize = 1024;

/// The longest name that others are told.
const MAX_NAME: usize = u16::MAX as usize;

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Open {
        let awaited = [(1, 0), (2, 0)].into();
        Open { awaited, ids: Vec::new(), is_complete: true, answered: Arc::default() }
    }

    #[test]
    fn answers_are_put_together() {
        let mut all = open();
        all.take(1, (0, &Ids::new(&[10, 11])), false, false, 5);
        all.take(1, (0, &Ids::new(&[10, 11])), false, false, 5); // twice
        all.take(2, (0, &Ids::new(&[])), true, false, 5);
        all.take(3, (0, &Ids::new(&[99])), true, false, 5); // not asked
        assert_eq!(all.awaited.len(), 1);
        all.take(1, (2, &Ids::new(&[12])), true, false, 5);
        all.take(1, (3, &Ids::new(&[99])), true, false, 5); // it has said all
        assert!(all.awaited.is_empty() && all.is_complete);
        assert_eq!(all.ids, [10, 11, 12]);
    }

    #[test]
    fn what_is_missing_in_an_answer_is_noticed() {
        // a part is lost
        let mut lost = open();
        lost.take(1, (1, &Ids::new(&[11])), true, false, 5);
        assert!(!lost.is_complete);
        assert_eq!((lost.ids, lost.awaited.len()), ([11].into(), 1));
        // there are more
        let mut cut = open();
        cut.take(1, (0, &Ids::new(&[11])), true, true, 5);
        assert!(!cut.is_complete);
        // more than are taken
        let mut over = open();
        for before in (0..10).step_by(2) {
            over.take(1, (before, &Ids::new(&[1, 2])), false, false, 5);
        }
        assert_eq!((over.ids.len(), over.is_complete), (5, false));
    }

    #[test]
    fn changes_are_bounded() {
        let mut changed = Changed::default();
        let name = |at: usize| Arc::from(alloc::format!("{at}"));
        (0..100).for_each(|at| changed.add(&name(at), 100));
        assert!(!changed.too_many);
        changed.add(&name(0), 100);
        assert!(changed.too_many, "also if it is there already: that is not looked for");
        assert_eq!(changed.rooms.len(), 1);
    }
}

//! What a server knows of topics whose history is in the engine, and how it keeps up with them.
//!
//! The engine gives the order, alone. A server knows, for each such topic that it uses, up to which
//! position its members have everything: its `last`. A message that the engine has kept is told to
//! the other servers by its room's subject, with its position. The one behind `last` is delivered,
//! one that is further on waits a moment for those between, and what does not come is read from the
//! engine. So what is told saves time, and nothing depends on it: whatever is lost on its way is
//! found when the next one comes, when the connection is there again, or when the server looks, at
//! the latest after [`LOOK_INTERVAL`].
//!
//! Locks: a follower, then what the hub locks. Whoever has a turn of the hub does not lock a
//! follower.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::hash::BuildHasher;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::task::Poll;
use core::time::Duration;
use std::hash::RandomState;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::{Notify, RwLock as Turn, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::envelope::{Content, Envelope};
use super::plane::{Plane, lock};
use super::store::{HistoryError, Page, Read};
use crate::proto::{MessageRef, PayloadRef, PreparedMessage};
use crate::server::client::history::{History, Log, Position};
use crate::server::client::hub::Hub;

/// The topics of all servers that this one uses.
pub(crate) struct Followers {
    all: Mutex<BTreeMap<Arc<str>, Arc<Follower>>>,
    /// Something is due.
    hurry: Notify,
    /// All are to be looked at.
    is_doubted: AtomicBool,
    /// How many clients may come back at a time: what each reads is in memory.
    pub(crate) comebacks: Semaphore,
    /// The bytes of the messages that wait for the engine.
    waiting: AtomicUsize,
}

/// One topic.
pub(crate) struct Follower {
    name: Arc<str>,
    state: Mutex<State>,
    /// Shared by those who send, and held alone for what has its own position: those of one server
    /// do not get in its way.
    pub(crate) turn: Turn<()>,
}

/// How far the members on this server are.
pub(crate) struct State {
    /// What was delivered last, and some of the messages before it; `None` before anything is
    /// known.
    pub(crate) tail: Option<Log>,
    /// What has come before its time, of the same epoch.
    early: BTreeMap<u64, Bytes>,
    /// When to look into the engine.
    due: Instant,
    /// How often to look soon, because the room is subscribed to from some moment on.
    young: u32,
}

/// Messages and bytes that are at hand for those who come back from a short absence, for each room
/// that has members here.
const TAIL: History = History::last(256).max_bytes(64 * 1024);

/// The most messages that wait for those before them, and their bytes.
const MAX_EARLY: usize = 256;
const MAX_EARLY_BYTES: usize = 1024 * 1024;

/// How long they do: the way of a message, several times.
const EARLY_WAIT: Duration = Duration::from_millis(50);

/// The time between two looks: how late a message may be at the worst.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// The time between looks while a room is young, after an error, and between looks at all rooms.
const SOON: Duration = Duration::from_millis(300);
const YOUNG: u32 = 4;

/// The rooms that are looked at at a time: one of them may be slow.
const LOOKS: usize = 16;

/// The pages of one look: the other rooms have their turn then.
const LOOK_PAGES: usize = 8;

/// The messages of one read.
pub(crate) const PAGE: usize = 128;

/// What may wait for the engine, as in other queues to it.
const MAX_WAITING: usize = 16 * 1024 * 1024;

/// What a message is charged beside its bytes, as in the queue of a client.
const CHARGE: usize = 64;

const MAX_COMEBACKS: usize = 64;

/// The room that a message takes while it waits for the engine.
pub(crate) struct Waits<'a>(&'a AtomicUsize, usize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

/// A number for an epoch, should one begin.
pub(crate) fn random_epoch() -> u64 {
    RandomState::new().hash_one(0)
}

impl Followers {
    pub(super) fn new() -> Self {
        Self {
            all: Mutex::default(),
            hurry: Notify::new(),
            is_doubted: AtomicBool::new(false),
            comebacks: Semaphore::new(MAX_COMEBACKS),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Takes the room of a message that is to wait for the engine.
    pub(crate) fn wait(&self, bytes: usize) -> Result<Waits<'_>, HistoryError> {
        let bytes = bytes + CHARGE;
        let waiting = self.waiting.fetch_add(bytes, Ordering::Relaxed);
        let waits = Waits(&self.waiting, bytes);
        // one always has room
        if waiting > 0 && waiting + bytes > MAX_WAITING {
            return Err(HistoryError::Full { waiting, limit: MAX_WAITING });
        }
        Ok(waits)
    }

    /// Returns what is known of a topic.
    pub(crate) fn get(&self, name: &str) -> Arc<Follower> {
        let mut all = lock(&self.all);
        if let Some(follower) = all.get(name) {
            return Arc::clone(follower);
        }
        let name: Arc<str> = name.into();
        let follower = Arc::new(Follower {
            name: Arc::clone(&name),
            state: Mutex::new(State {
                tail: None,
                early: BTreeMap::new(),
                due: Instant::now() + LOOK_INTERVAL,
                young: 0,
            }),
            turn: Turn::new(()),
        });
        all.insert(name, Arc::clone(&follower));
        follower
    }

    /// Takes what another server has told of.
    pub(super) fn told(&self, hub: &Hub, name: &str, position: Position, message: Bytes) {
        if !hub.room(name).is_empty() {
            self.get(name).take(self, hub, position, message);
        }
    }

    /// Looks at all topics soon: something may have been lost.
    pub(super) fn doubt(&self) {
        self.is_doubted.store(true, Ordering::Relaxed);
        self.hurry.notify_one();
    }

    /// Looks into the engine whenever that is due, for ever.
    pub(super) async fn drive(&self, plane: &Plane, hub: &Hub) {
        let mut next_doubt = Instant::now();
        loop {
            let now = Instant::now();
            let mut next = now + LOOK_INTERVAL;
            let is_doubted = now >= next_doubt && self.is_doubted.swap(false, Ordering::Relaxed);
            if is_doubted {
                next_doubt = now + SOON;
            } else if self.is_doubted.load(Ordering::Relaxed) {
                next = next_doubt;
            }
            // one of them may be locked for longer than the list may be
            let all: Vec<_> = lock(&self.all).values().cloned().collect();
            let mut due = Vec::new();
            for follower in all {
                let at = follower.lock().due;
                if is_doubted || at <= now {
                    due.push(follower);
                } else {
                    next = next.min(at);
                }
            }
            if due.is_empty() {
                let _ = timeout_at(next, self.hurry.notified()).await;
            } else {
                self.look_at(plane, hub, due).await;
            }
        }
    }

    /// Looks at some topics, several at a time.
    async fn look_at(&self, plane: &Plane, hub: &Hub, due: Vec<Arc<Follower>>) {
        let mut due = due.into_iter();
        let mut looks: Vec<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = Vec::new();
        poll_fn(|cx| {
            loop {
                looks.retain_mut(|look| look.as_mut().poll(cx).is_pending());
                let before = looks.len();
                let more = due.by_ref().take(LOOKS - before);
                looks.extend(more.map(|it| Box::pin(self.look(plane, hub, it)) as _));
                if looks.is_empty() {
                    return Poll::Ready(());
                }
                if looks.len() == before {
                    return Poll::Pending;
                }
            }
        })
        .await;
    }

    async fn look(&self, plane: &Plane, hub: &Hub, follower: Arc<Follower>) {
        let name = Arc::clone(&follower.name);
        if hub.room(&name).is_empty() {
            follower.lock().due = Instant::now() + LOOK_INTERVAL;
            drop(follower);
            let mut all = lock(&self.all);
            // nobody else has it: who wants it asks the map, which is locked
            if all.get(&name).is_some_and(|it| Arc::strong_count(it) == 1) {
                all.remove(&name);
            }
            return;
        }
        // before it is read, so that what is to be looked at meanwhile is
        follower.lock().due = Instant::now() + LOOK_INTERVAL;
        let mut is_all = Ok(false);
        for _ in 0..LOOK_PAGES {
            is_all = follower.read_page(plane, hub).await;
            if is_all != Ok(false) {
                break;
            }
        }
        let mut state = follower.lock();
        let now = Instant::now();
        if is_all == Ok(false) {
            state.due = now;
            return;
        }
        if is_all.is_err() || state.young > 0 {
            state.due = state.due.min(now + SOON);
        }
        if is_all.is_ok() {
            state.young = state.young.saturating_sub(1);
        }
    }
}

impl Follower {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Returns the last position that is known.
    pub(crate) fn last(&self) -> Option<Position> {
        self.lock().last()
    }

    /// Has the engine looked at soon.
    pub(crate) fn doubt(&self, followers: &Followers) {
        self.lock().due = Instant::now() + EARLY_WAIT;
        followers.hurry.notify_one();
    }

    /// Takes a message that was kept, and delivers it in its turn.
    pub(crate) fn take(&self, by: &Followers, hub: &Hub, position: Position, message: Bytes) {
        let mut state = self.lock();
        let last = state.tail.get_or_insert_with(|| before(position)).last();
        if last.epoch == position.epoch && position.offset <= last.offset {
            return;
        }
        if hub.room(&self.name).is_empty() {
            // nobody misses what is between, and nobody would ask for it
            state.tail = Some(Log::at(TAIL, position));
            state.early.clear();
            return;
        }
        let now = Instant::now();
        let early = message.len() + state.early.values().map(Bytes::len).sum::<usize>();
        let is_next = position.offset == last.offset + 1;
        let has_room = is_next || state.early.len() < MAX_EARLY && early <= MAX_EARLY_BYTES;
        if last.epoch != position.epoch || !has_room {
            state.due = now;
            by.hurry.notify_one();
            return;
        }
        state.early.insert(position.offset, message);
        if is_next {
            state.deliver_early(hub, &self.name);
        }
        if !state.early.is_empty() && state.due > now + EARLY_WAIT {
            state.due = now + EARLY_WAIT;
            by.hurry.notify_one();
        }
    }

    /// Reads all that the members on this server do not have, and delivers it.
    pub(crate) async fn catch_up(&self, plane: &Plane, hub: &Hub) -> Result<(), HistoryError> {
        while !self.read_page(plane, hub).await? {}
        Ok(())
    }

    /// Reads some of what the members on this server do not have, and delivers it. Returns whether
    /// that was all.
    async fn read_page(&self, plane: &Plane, hub: &Hub) -> Result<bool, HistoryError> {
        let store = plane.store().ok_or(HistoryError::Unsupported)?;
        let after = self.last();
        let page = store.read(Read {
            subject: plane.topic_subject(&self.name),
            epoch: random_epoch(),
            after,
            most: PAGE,
            max_age: Duration::MAX,
        });
        let page = page.await?;
        let missed = self.lock().advance(hub, &self.name, after, page);
        plane.note_missed(missed.unwrap_or(0));
        Ok(missed.is_none())
    }
}

/// An empty tail right before a position.
fn before(position: Position) -> Log {
    Log::at(TAIL, Position { offset: position.offset.saturating_sub(1), ..position })
}

impl State {
    pub(crate) fn last(&self) -> Option<Position> {
        self.tail.as_ref().map(Log::last)
    }

    /// Returns whether nothing is on its way that is not known of.
    pub(crate) const fn is_settled(&self) -> bool {
        self.young == 0
    }

    /// Notes that the first member comes.
    pub(crate) fn begin(&mut self, followers: &Followers) {
        self.young = YOUNG;
        self.due = Instant::now();
        followers.hurry.notify_one();
    }

    /// Drops what is too old for those who come.
    pub(crate) fn expire(&mut self, max_age: Duration) {
        if let Some(tail) = &mut self.tail {
            tail.set(TAIL.max_age(max_age), Instant::now());
        }
    }

    /// Delivers what was read. Returns `None` if that was all, and otherwise how many messages were
    /// not there any more.
    fn advance(
        &mut self,
        hub: &Hub,
        name: &str,
        after: Option<Position>,
        page: Page,
    ) -> Option<u64> {
        let Page { last: end, messages } = page;
        let last = match self.last() {
            // something has come meanwhile, maybe of a later epoch
            last if last.map(|it| it.epoch) != after.map(|it| it.epoch) => return Some(0),
            Some(last) => last,
            None => {
                self.tail = Some(Log::at(TAIL, end));
                return None;
            }
        };
        let mut missed = 0;
        if last.epoch != end.epoch {
            // another history: what of it is kept is new to all
            let offset = messages.first().map_or(end.offset, |(first, _)| first - 1);
            self.tail = Some(Log::at(TAIL, Position { epoch: end.epoch, offset }));
            self.early.clear();
        }
        let mut is_empty = true;
        for (offset, message) in messages {
            is_empty = false;
            missed += self.skip_to(hub, name, Position { epoch: end.epoch, offset });
            if self.last().is_some_and(|last| offset == last.offset + 1) {
                self.deliver(hub, name, Position { epoch: end.epoch, offset }, message);
            }
        }
        if is_empty {
            let position = Position { epoch: end.epoch, offset: end.offset + 1 };
            missed += self.skip_to(hub, name, position);
        }
        self.deliver_early(hub, name);
        let is_behind = self.last().is_some_and(|last| last.offset < end.offset);
        (is_behind || missed > 0).then_some(missed)
    }

    /// Goes on right before a position, if that is further on, with what has come of the messages
    /// between. Returns how many are left out.
    fn skip_to(&mut self, hub: &Hub, name: &str, position: Position) -> u64 {
        let mut missed = 0;
        while let Some(first) = self.early.first_entry()
            && *first.key() < position.offset
        {
            let (offset, message) = first.remove_entry();
            let position = Position { offset, ..position };
            missed += self.leave_out(position);
            if self.last().is_some_and(|last| offset == last.offset + 1) {
                self.deliver(hub, name, position, message);
            }
        }
        missed + self.leave_out(position)
    }

    /// Goes on right before a position, if that is further on. Returns how many are left out.
    fn leave_out(&mut self, position: Position) -> u64 {
        let next = self.last().map_or(position.offset, |last| last.offset + 1);
        let missed = position.offset.saturating_sub(next);
        if missed > 0 {
            self.tail = Some(before(position));
        }
        missed
    }

    /// Delivers what has come before its time and is next now.
    fn deliver_early(&mut self, hub: &Hub, name: &str) {
        while let Some(last) = self.last()
            && let Some(first) = self.early.first_entry()
        {
            let offset = *first.key();
            if offset > last.offset + 1 {
                return;
            }
            let message = first.remove();
            if offset == last.offset + 1 {
                self.deliver(hub, name, Position { offset, ..last }, message);
            }
        }
    }

    /// Queues the next message for the members on this server.
    fn deliver(&mut self, hub: &Hub, name: &str, position: Position, message: Bytes) {
        let tail = self.tail.get_or_insert_with(|| before(position));
        let Some((message, except)) = prepare(hub, message) else {
            // it has its place nevertheless
            *tail = Log::at(TAIL, position);
            return;
        };
        let target = hub.room(name);
        let target = if except == 0 { target } else { target.except(except) };
        // it does not fail: the length was checked
        let _ = target.send_here((&message).into());
        if hub.room(name).is_empty() {
            *tail = Log::at(TAIL, position);
        } else {
            tail.append(&message, Instant::now());
        }
    }
}

/// Encodes a message that was kept for clients, and returns the one to leave out. `None` if it is
/// none, or of a later version.
pub(crate) fn prepare(hub: &Hub, message: Bytes) -> Option<(PreparedMessage, u64)> {
    let Envelope { client, content, .. } = Envelope::decode(message)?;
    let Content::Message { opcode, plain, payload } = content else { return None };
    let message = MessageRef { opcode, payload: PayloadRef::Owned(payload), plain };
    Some((hub.prepare(message).ok()?, client))
}

/// Returns the bytes by which a message is kept: of a text its own, so that any program can read
/// them, and of all else an envelope.
pub(crate) fn stored(message: &PreparedMessage, plain: bool, except: Option<u64>) -> Bytes {
    let message = &message.0;
    let (opcode, payload) = (message.opcode, message.frame.slice(message.payload_at..));
    if opcode == crate::wire::Opcode::Text && !plain && except.is_none() {
        return payload;
    }
    let content = Content::Message { opcode, plain, payload };
    let client = except.unwrap_or(0);
    Envelope { node: 0, client, number: None, content }.encode().freeze()
}

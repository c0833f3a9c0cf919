#![forbid(unsafe_code)]

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, TryLockError};

use tokio::task::yield_now;
use tokio::time::Instant;

use super::client::Client;
use super::history::{History, Log, Position};
use super::hub::{Hub, Room, State};
use crate::proto::PreparedMessage;
use crate::server::error::JoinError;
use crate::server::observe::stats::Counters;
use crate::sync::Mutex;

/// What a topic remembers. It is written to by those who have the turn of the room; its lock is
/// held for moments, and nothing else is locked under it.
pub(crate) struct Memory {
    log: Mutex<Log>,
    /// Its place in [`Topics`]; changed while the state of the hub is locked.
    used: AtomicU64,
}

impl Memory {
    /// Looks at the log or changes it, and counts what it is charged.
    pub(super) fn with<T>(&self, counters: &Counters, look: impl FnOnce(&mut Log) -> T) -> T {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let before = log.bytes();
        let result = look(&mut log);
        // wraps around if there are less
        let more = log.bytes().wrapping_sub(before);
        counters.history_bytes.fetch_add(more, Ordering::Relaxed);
        result
    }
}

/// The names of the rooms that remember, those that were not used for longest first.
#[derive(Default)]
pub(super) struct Topics {
    by_use: BTreeMap<u64, Arc<str>>,
    next: u64,
}

impl Topics {
    /// Puts one behind all others.
    fn insert(&mut self, name: Arc<str>) -> u64 {
        let used = self.next;
        self.next += 1;
        self.by_use.insert(used, name);
        used
    }

    /// Notes that one was used, unless it was forgotten.
    fn note_use(&mut self, memory: &Memory) {
        let used = memory.used.load(Ordering::Relaxed);
        if used + 1 == self.next {
            return;
        }
        if let Some(name) = self.by_use.remove(&used) {
            memory.used.store(self.insert(name), Ordering::Relaxed);
        }
    }

    /// Takes out the one that was not used for longest, another than this one.
    fn take_oldest_but(&mut self, own: &Memory) -> Option<Arc<str>> {
        let own = own.used.load(Ordering::Relaxed);
        let oldest = *self.by_use.keys().find(|used| **used != own)?;
        self.by_use.remove(&oldest)
    }
}

impl State {
    /// Returns the room of a topic and its memory, and makes them if they are not there.
    fn topic(
        &mut self,
        name: &str,
        history: History,
        counters: &Counters,
    ) -> (&mut Room, Arc<Memory>) {
        let name = match self.rooms.get_key_value(name) {
            Some((name, _)) => Arc::clone(name),
            None => Arc::from(name),
        };
        let room = self.rooms.entry(Arc::clone(&name)).or_default();
        let memory = room.memory.get_or_insert_with(|| {
            counters.topics.fetch_add(1, Ordering::Relaxed);
            counters.history_bytes.fetch_add(charge(&name), Ordering::Relaxed);
            let log = Mutex::new(Log::new(history));
            Arc::new(Memory { log, used: AtomicU64::new(self.topics.insert(name)) })
        });
        let memory = Arc::clone(memory);
        self.topics.note_use(&memory);
        (room, memory)
    }

    /// Takes the memory of a room. Returns what was in it: to be dropped when the state is not
    /// locked any more.
    fn forget(&mut self, name: &str, counters: &Counters) -> Option<impl Sized + use<>> {
        let room = self.rooms.get_mut(name)?;
        let memory = room.memory.take()?;
        if room.members.is_empty() {
            self.rooms.remove(name);
        }
        self.topics.by_use.remove(&memory.used.load(Ordering::Relaxed));
        counters.topics.fetch_sub(1, Ordering::Relaxed);
        counters.history_bytes.fetch_sub(charge(name), Ordering::Relaxed);
        Some(memory.with(counters, Log::forget))
    }
}

/// The bytes that a topic is charged beside its messages: of its room, its log and its place among
/// the others.
fn charge(name: &str) -> usize {
    512 + name.len()
}

impl Hub {
    /// Calls a closure with the clients in the room of a topic and its memory, in turn, as
    /// [`in_turn`](Self::in_turn) does.
    pub(super) fn in_turn_of_topic<T>(
        &self,
        name: &str,
        history: History,
        then: impl FnOnce(&[Client], &Arc<Memory>) -> T,
    ) -> T {
        let counters = &self.context().counters;
        {
            let _turn = self.turn_of_separate();
            let of_room = Arc::clone(&self.lock().topic(name, history, counters).0.turn);
            let _held = of_room.lock().unwrap_or_else(PoisonError::into_inner);
            let mut state = self.lock();
            let (room, memory) = state.topic(name, history, counters);
            // it may have been forgotten, and there is a new one
            if let Some(members) = room.members_if_separate(&of_room) {
                drop(state);
                return then(&members, &memory);
            }
        }
        let _turn = self.turn_of_all();
        let (members, memory) = {
            let mut state = self.lock();
            let (room, memory) = state.topic(name, history, counters);
            (room.members.list(), memory)
        };
        then(&members, &memory)
    }

    /// Puts a client into the room of a topic, and calls a closure with the memory before anything
    /// is sent to the room: with whether the client was not there before.
    pub(super) fn join_in_turn<T>(
        &self,
        client: &Client,
        name: &str,
        history: History,
        then: impl FnOnce(bool, &Arc<Memory>) -> T,
    ) -> Result<T, JoinError> {
        let (limits, counters) = (self.context().limits(), &self.context().counters);
        limits.check_room_name(name)?;
        {
            // to send to the room takes this and the turn of the room, or the turn of all
            let _turn = self.turn_of_separate();
            let of_room = Arc::clone(&self.lock().topic(name, history, counters).0.turn);
            let _held = of_room.lock().unwrap_or_else(PoisonError::into_inner);
            let mut state = self.lock();
            let (room, memory) = state.topic(name, history, counters);
            if Arc::ptr_eq(&room.turn, &of_room) {
                let is_new = state.join(client, name, limits, self.plane())?;
                drop(state);
                return Ok(then(is_new, &memory));
            }
        }
        let _turn = self.turn_of_all();
        let (is_new, memory) = {
            let mut state = self.lock();
            let memory = state.topic(name, history, counters).1;
            (state.join(client, name, limits, self.plane())?, memory)
        };
        Ok(then(is_new, &memory))
    }

    /// Keeps a message that is sent to a topic. Whoever calls has the turn. Returns its position;
    /// of a ping or pong, which is not kept, that of the last message.
    pub(super) fn keep(
        &self,
        memory: &Arc<Memory>,
        message: &PreparedMessage,
        history: History,
    ) -> Position {
        let position = memory.with(&self.context().counters, |log| {
            let now = Instant::now();
            log.set(history, now);
            if !message.is_control() {
                log.append(message, now);
            }
            log.last()
        });
        self.make_room(memory);
        position
    }

    /// Forgets topics until all are within their limit: those that were not used for longest, and
    /// then the oldest messages of the one that is in use.
    pub(super) fn make_room(&self, own: &Memory) {
        let counters = &self.context().counters;
        let limit = self.context().limits().max_history_bytes;
        let over = || counters.history_bytes.load(Ordering::Relaxed).saturating_sub(limit);
        if over() == 0 {
            return;
        }
        let mut forgotten = Vec::new();
        let mut state = self.lock();
        while over() > 0
            && let Some(name) = state.topics.take_oldest_but(own)
        {
            forgotten.push(state.forget(&name, counters));
        }
        drop(state);
        let over = over();
        own.with(counters, |log| {
            let rest = log.bytes().saturating_sub(over);
            while log.bytes() > rest && log.drop_first() {}
        });
    }

    /// Forgets a topic. Returns whether there was one.
    pub(super) fn forget_topic(&self, name: &str) -> bool {
        let mut state = self.lock();
        let forgotten = state.forget(name, &self.context().counters);
        drop(state);
        forgotten.is_some()
    }

    /// Returns the memory of a topic.
    pub(super) fn memory_of(&self, name: &str) -> Option<Arc<Memory>> {
        self.lock().rooms.get(name)?.memory.clone()
    }

    /// Drops messages that are too old, and topics of which nothing is left: no message, and no
    /// client in the room.
    pub(crate) async fn forget_expired(&self) {
        let counters = &self.context().counters;
        let mut from = 0;
        loop {
            let some: Vec<(Arc<str>, Arc<Memory>)> = {
                let state = self.lock();
                let some = state.topics.by_use.range(from..).take(LOOKED_AT_AT_ONCE);
                let some: Vec<_> = some.collect();
                let Some((last, _)) = some.last() else { return };
                from = *last + 1;
                let memory = |name: &Arc<str>| state.rooms.get(name)?.memory.clone();
                some.into_iter().filter_map(|(_, it)| Some((it.clone(), memory(it)?))).collect()
            };
            let now = Instant::now();
            for (name, memory) in some {
                memory.with(counters, |log| log.trim(now));
                self.forget_if_empty(&name);
            }
            yield_now().await;
        }
    }

    /// Forgets a topic of which nothing is left, unless somebody has its turn or waits for one.
    fn forget_if_empty(&self, name: &str) {
        let counters = &self.context().counters;
        let Some(_turn) = self.try_turn_of_separate() else { return };
        let mut state = self.lock();
        let Some(room) = state.rooms.get(name).filter(|room| room.members.is_empty()) else {
            return;
        };
        let of_room = Arc::clone(&room.turn);
        // the other way round than all others, but it does not wait
        let _held = match of_room.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if room.memory.as_ref().is_some_and(|memory| memory.with(counters, |log| log.is_empty())) {
            drop(state.forget(name, counters)); // nothing is in it
        }
    }
}

/// The number of topics that are looked at before others get at the hub.
const LOOKED_AT_AT_ONCE: usize = 64;

std::thread_local! {
    /// This thread is in a closure that makes a message in its turn.
    static COMPOSES: Cell<bool> = const { Cell::new(false) };
}

/// Calls a closure that makes a message, by which no turn may be asked for.
pub(super) fn compose<T>(message: impl FnOnce() -> T) -> T {
    struct Guard;

    impl Drop for Guard {
        fn drop(&mut self) {
            COMPOSES.set(false);
        }
    }

    COMPOSES.set(true);
    let _guard = Guard;
    message()
}

/// Panics in a closure that makes a message: it would wait for itself.
#[inline]
pub(super) fn check_composes_not() {
    assert!(
        !COMPOSES.get(),
        "the closure of Topic::send_with sends to a room or to all, or enters a topic: do that \
         before or after the call"
    );
}

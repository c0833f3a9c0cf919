#![forbid(unsafe_code)]

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::{self, Entry};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::sync::{OnceLock, PoisonError, TryLockError};

use tokio::runtime::Handle;

use super::client::Client;
use super::limits::Limits;
use super::target::Target;
use super::topics::{Memory, Topics, check_composes_not};
use crate::proto::{MessageRef, PayloadRef, PreparedMessage, SendError};
use crate::server::backplane::{Plane, Presence};
use crate::server::context::Context;
use crate::server::error::{JoinError, TrySendError};
use crate::server::observe::stats::{Counters, Stats};
use crate::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use crate::wire::CloseCode;

/// A registry of all clients of a server, and of the rooms they are in. Cloning it costs a
/// reference count; it may be used from any task or thread, and outlives the server.
///
/// A broadcast is encoded once, and compressed once if the server compresses; a client that keeps
/// up costs a reference count then and nothing else. One that does not never delays the others:
/// each has a queue of its own. Broadcasts reach all clients in the same order, from whatever
/// thread they are sent: one is put into the queues after the other, which takes a fraction of a
/// microsecond for each client. Those to rooms whose members are in no other room do not wait for
/// each other. Nobody waits for a message that is being encoded, or for a socket.
///
/// ```
/// use sansws::CloseCode;
/// use sansws::server::Hub;
///
/// /// From any thread, or from a handler by `client.hub()`.
/// fn use_it(hub: &Hub) -> Result<(), Box<dyn std::error::Error>> {
///     hub.all().send("to everybody")?;
///     let reached = hub.room("lobby").except(17).send("to all in the room but one")?;
///     println!("sent to {reached}, {} are here", hub.all().len());
///     hub.send_to(17, "to that one")?;
///     hub.close(17, CloseCode::POLICY_VIOLATION, "out")?;
///     Ok(())
/// }
/// # let _ = use_it;
/// ```
#[derive(Clone, Default)]
pub struct Hub(Arc<Inner>);

/// Locks in this order: `turn`, that of a room, `state`, that of an outbox or of a memory. The
/// state is not locked while messages are put into outboxes.
#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    /// Held while a broadcast is put into the queues: shared by those to rooms that have no member
    /// in common with another room, alone by all others.
    turn: RwLock<()>,
    context: Arc<Context>,
    /// What joins the server to others, if anything does.
    plane: OnceLock<Plane>,
    /// The runtime that the server runs in, in which broadcasts are written.
    runtime: OnceLock<Handle>,
    /// Who is where is to be kept account of on all of them.
    presence: OnceLock<Presence>,
}

/// Clients by id, and all of them as a list for broadcasts, which would otherwise look at each to
/// note that somebody has it.
#[derive(Default)]
pub(super) struct Clients {
    by_id: BTreeMap<u64, Client>,
    /// There from a broadcast until somebody comes or goes. Eight bytes for each client.
    list: Option<Arc<[Client]>>,
}

impl Clients {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    fn get(&self, id: u64) -> Option<&Client> {
        self.by_id.get(&id)
    }

    /// Returns the clients, the oldest first.
    pub(super) fn values(&self) -> btree_map::Values<'_, u64, Client> {
        self.by_id.values()
    }

    fn insert(&mut self, client: &Client) {
        self.list = None;
        self.by_id.insert(client.id(), client.clone());
    }

    fn remove(&mut self, id: u64) -> Option<Client> {
        let client = self.by_id.remove(&id)?;
        self.list = None;
        Some(client)
    }

    /// Returns them as a list, which costs a reference count if there is one.
    pub(super) fn list(&mut self) -> Arc<[Client]> {
        let Self { by_id, list } = self;
        Arc::clone(list.get_or_insert_with(|| by_id.values().cloned().collect()))
    }
}

#[derive(Default)]
pub(super) struct State {
    clients: Clients,
    /// Those that have a member or a memory.
    pub(super) rooms: BTreeMap<Arc<str>, Room>,
    /// The rooms of those who are in any.
    joined: BTreeMap<u64, Joined>,
    /// Those whose handlers still run or are being told of the end, with the rooms they were in.
    left: BTreeMap<u64, (Client, Joined)>,
    pub(super) topics: Topics,
    newcomers: Newcomers,
}

#[derive(Default)]
pub(super) struct Room {
    pub(super) members: Clients,
    /// Held while a broadcast to this room alone is put into the queues.
    pub(super) turn: Arc<Mutex<()>>,
    /// The number of members that are in other rooms too.
    pub(super) shared: usize,
    /// What a topic remembers.
    pub(super) memory: Option<Arc<Memory>>,
}

/// The treatment of clients that register.
#[derive(Clone, Default)]
enum Newcomers {
    #[default]
    Stay,
    /// The server shuts down.
    Close(CloseCode, Box<str>),
    /// Its deadline has passed.
    Abort,
}

/// The rooms that a client is in.
#[derive(Default)]
struct Joined {
    /// Each with a number, in the order in which it has entered them.
    rooms: BTreeMap<Arc<str>, u64>,
    next: u64,
}

impl Joined {
    fn add(&mut self, room: Arc<str>) {
        self.rooms.insert(room, self.next);
        self.next += 1;
    }
}

impl Hub {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self(Arc::new(Inner { context, ..Inner::default() }))
    }

    /// Returns the client of this server with this id; `None` once it is gone, and for one of
    /// another server, which [`send_to`](Self::send_to) and [`close`](Self::close) reach.
    pub fn get(&self, id: u64) -> Option<Client> {
        self.lock().clients.get(id).cloned()
    }

    /// Selects all clients.
    pub fn all(&self) -> Target<'_> {
        Target::new(self, None)
    }

    /// Selects the clients in a room: none, if it is empty.
    pub fn room<'a>(&'a self, name: &'a str) -> Target<'a> {
        Target::new(self, Some(name))
    }

    /// Queues a message for the client with this id, which may be one of another server that is
    /// joined by a [backplane](crate::server::backplane).
    ///
    /// # Errors
    ///
    /// As [`Client::send`]; [`TrySendError::Closed`] if the id can only be that of a client of this
    /// server, and there is none; [`TrySendError::NotPublished`] if another server could not be
    /// told. Success for a client of another server means that the message was put on its way
    /// there, and neither that the client was there nor that its queue had room.
    pub fn send_to<'m>(
        &self,
        id: u64,
        message: impl Into<MessageRef<'m>>,
    ) -> Result<(), TrySendError> {
        if let Some(client) = self.get(id) {
            return client.send(message);
        }
        let plane = self.plane_of(id).ok_or(TrySendError::Closed)?;
        let message = message.into();
        SendError::check_len(message.opcode, message.payload.as_slice().len())
            .map_err(TrySendError::Invalid)?;
        plane.send_one(id, message).map_err(TrySendError::NotPublished)
    }

    /// Closes the connection of the client with this id, which may be one of another server that is
    /// joined by a [backplane](crate::server::backplane).
    ///
    /// # Errors
    ///
    /// As [`Client::close`]; [`TrySendError::Closed`] if the id can only be that of a client of
    /// this server, and there is none; [`TrySendError::NotPublished`] if another server could not
    /// be told. Success for a client of another server means that the server is told, and not that
    /// the client was there.
    pub fn close(&self, id: u64, code: CloseCode, reason: &str) -> Result<(), TrySendError> {
        if let Some(client) = self.get(id) {
            return client.close(code, reason);
        }
        SendError::check_reason(reason).map_err(TrySendError::Invalid)?;
        let plane = self.plane_of(id).ok_or(TrySendError::Closed)?;
        plane.close_one(id, code, reason).map_err(TrySendError::NotPublished)
    }

    /// Returns what leads to the server of a client, if that may be another one.
    fn plane_of(&self, id: u64) -> Option<&Plane> {
        // no server has a part of 0
        self.plane().filter(|plane| id >> 32 != 0 && !plane.is_own(id))
    }

    /// Puts a client into a room, which is there while anybody is in it. Returns whether it was not
    /// there before.
    ///
    /// It leaves the room when it closes.
    ///
    /// # Errors
    ///
    /// [`JoinError::Closed`] for a client that is gone, [`JoinError::TooManyRooms`],
    /// [`JoinError::NameTooLong`].
    pub fn join(&self, client: &Client, room: &str) -> Result<bool, JoinError> {
        let limits = self.context().limits();
        limits.check_room_name(room)?;
        self.lock().join(client, room, limits, self.plane())
    }

    /// Takes a client out of a room. Returns whether it was there.
    pub fn leave(&self, client: &Client, room: &str) -> bool {
        let mut state = self.lock();
        let State { rooms, joined, .. } = &mut *state;
        let Entry::Occupied(mut theirs) = joined.entry(client.id()) else { return false };
        if theirs.get_mut().rooms.remove(room).is_none() {
            return false;
        }
        let left = theirs.get().rooms.len();
        if left == 1
            && let Some(last) =
                theirs.get().rooms.keys().next().and_then(|name| rooms.get_mut(name))
        {
            last.shared -= 1;
        }
        if left == 0 {
            theirs.remove();
        }
        state.leave(client.id(), room, left > 0, self.plane());
        true
    }

    /// Returns the rooms that are not empty, by name, with how many are in each.
    pub fn rooms(&self) -> Vec<(String, usize)> {
        let rooms: Vec<_> = {
            let state = self.lock();
            let rooms = state.rooms.iter().filter(|(_, it)| !it.members.is_empty());
            rooms.map(|(name, it)| (Arc::clone(name), it.members.len())).collect()
        };
        // copied when nobody waits for the lock any more
        rooms.into_iter().map(|(name, count)| (String::from(&*name), count)).collect()
    }

    /// Returns the rooms of a client, in the order in which it has entered them; those that it was
    /// in, while its handler is told of the end.
    pub(crate) fn rooms_of(&self, id: u64) -> Vec<String> {
        let rooms = {
            let state = self.lock();
            let theirs = state.joined.get(&id);
            let theirs = theirs.or_else(|| state.left.get(&id).map(|(_, theirs)| theirs));
            theirs.map(|theirs| theirs.rooms.clone())
        };
        let mut rooms: Vec<_> = rooms.unwrap_or_default().into_iter().collect();
        rooms.sort_unstable_by_key(|(_, number)| *number);
        rooms.into_iter().map(|(name, _)| String::from(&*name)).collect()
    }

    /// Returns what the server has counted.
    pub fn stats(&self) -> Stats {
        let context = self.context();
        let mut stats = context.counters.snapshot();
        stats.pending = context.pending();
        stats.rooms = self.lock().rooms.len();
        stats.backplane = self.plane().map(Plane::stats);
        stats
    }

    pub(crate) fn context(&self) -> &Context {
        &self.0.context
    }

    /// Returns what joins the server to others, if anything does.
    #[inline]
    pub(crate) fn plane(&self) -> Option<&Plane> {
        self.0.plane.get()
    }

    /// Has clients written to in the runtime of the caller, that of the server: the first call
    /// counts.
    pub(super) fn write_here(&self) {
        self.0.runtime.get_or_init(Handle::current);
    }

    /// Returns the runtime in which clients are written to, once there was one.
    pub(super) fn runtime(&self) -> Option<&Handle> {
        self.0.runtime.get()
    }

    /// Joins the server to others, once.
    pub(crate) fn set_plane(&self, plane: Plane) {
        let _ = self.0.plane.set(plane);
    }

    /// Sets that who is where is kept account of on all servers, once.
    pub(crate) fn set_presence(&self, presence: Presence) {
        let _ = self.0.presence.set(presence);
    }

    pub(crate) fn presence(&self) -> Option<&Presence> {
        self.0.presence.get()
    }

    /// Shows all clients, or those in a room.
    pub(crate) fn select<T>(
        &self,
        room: Option<&str>,
        look: impl FnOnce(btree_map::Values<'_, u64, Client>) -> T,
    ) -> T {
        let state = self.lock();
        let empty = Clients::default();
        let members = match room {
            None => &state.clients,
            Some(room) => state.rooms.get(room).map_or(&empty, |room| &room.members),
        };
        look(members.values())
    }

    /// Calls a closure with the clients that a broadcast is for, those in a room or all, in turn:
    /// those that two broadcasts have in common get one of them before the other, and all of them
    /// the same one.
    pub(crate) fn in_turn<T>(&self, room: Option<&str>, then: impl FnOnce(&[Client]) -> T) -> T {
        if let Some(name) = room {
            let turn = self.turn_of_separate();
            let of_room = self.lock().rooms.get(name).map(|room| Arc::clone(&room.turn));
            let Some(of_room) = of_room else { return then(&[]) };
            let held = of_room.lock().unwrap_or_else(PoisonError::into_inner);
            let members = self.lock().members_of_separate(name, &of_room);
            if let Some(members) = members {
                return then(&members);
            }
            drop(held);
            drop(turn);
        }
        let _turn = self.turn_of_all();
        let members = {
            let mut state = self.lock();
            match room {
                None => Some(state.clients.list()),
                Some(room) => state.rooms.get_mut(room).map(|room| room.members.list()),
            }
        };
        then(&members.unwrap_or_default())
    }

    /// Holds the turn together with those who broadcast to other rooms, each with that of its room.
    pub(super) fn turn_of_separate(&self) -> RwLockReadGuard<'_, ()> {
        check_composes_not();
        self.0.turn.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the turn alone.
    pub(super) fn turn_of_all(&self) -> RwLockWriteGuard<'_, ()> {
        check_composes_not();
        self.0.turn.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does as [`turn_of_separate`](Self::turn_of_separate), unless it had to wait.
    pub(super) fn try_turn_of_separate(&self) -> Option<RwLockReadGuard<'_, ()>> {
        match self.0.turn.try_read() {
            Ok(turn) => Some(turn),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Encodes a message for many clients.
    pub(crate) fn prepare(&self, message: MessageRef<'_>) -> Result<PreparedMessage, SendError> {
        if let PayloadRef::Prepared(prepared) = message.payload {
            return Ok(prepared.clone());
        }
        #[cfg(feature = "deflate")]
        if let Some(deflate) = &self.context().limits().deflate {
            return PreparedMessage::with_deflate(message, deflate);
        }
        PreparedMessage::new(message)
    }

    /// Registers a client.
    pub(crate) fn insert(&self, client: &Client) {
        Counters::add(&self.context().counters.opened);
        let mut state = self.lock();
        state.clients.insert(client);
        let newcomers = state.newcomers.clone();
        drop(state);
        match newcomers {
            Newcomers::Stay => {}
            Newcomers::Close(code, reason) => {
                let _ = client.close(code, &reason); // it may be closing already
            }
            Newcomers::Abort => client.abort(),
        }
    }

    /// Takes a client out, and out of its rooms, unless that was done before: one whose handler
    /// waits is taken out at once. It is known until [`forget`](Self::forget) all the same.
    pub(crate) fn remove(&self, client: &Client) {
        let mut state = self.lock();
        let Some(client) = state.clients.remove(client.id()) else { return };
        let id = client.id();
        let theirs = state.joined.remove(&id).unwrap_or_default();
        state.left.insert(id, (client, Joined::default()));
        let shared = theirs.rooms.len() > 1;
        let mut rooms = theirs.rooms.keys();
        loop {
            for room in rooms.by_ref().take(LEFT_AT_ONCE) {
                state.leave(id, room, shared, self.plane());
            }
            if rooms.len() == 0 {
                break;
            }
            drop(state);
            // others that wait for the hub get it between
            state = self.lock();
        }
        if let Some((_, rooms)) = state.left.get_mut(&id) {
            *rooms = theirs;
        }
        drop(state);
        Counters::add(&self.context().counters.closed);
    }

    /// Forgets a client that was taken out: its handler has been told of the end.
    pub(crate) fn forget(&self, client: &Client) {
        let left = self.lock().left.remove(&client.id());
        drop(left); // when nobody waits for the lock any more
    }

    /// Closes all clients that still come. Returns those that are here, which are left to the
    /// caller.
    pub(crate) fn close_newcomers(&self, code: CloseCode, reason: &str) -> Vec<Client> {
        let mut state = self.lock();
        state.newcomers = Newcomers::Close(code, reason.into());
        state.clients.values().cloned().collect()
    }

    /// Closes those that have been open for `lifetime`, some up to a tenth earlier: clients that
    /// came together do not go together.
    pub(crate) fn close_older_than(&self, lifetime: Duration) {
        let earliest = lifetime - lifetime / 10;
        let age = |client: &Client| client.info().opened().elapsed();
        let state = self.lock();
        // in the order of their ids, which is about that of their ages
        let old = state.clients.values().take_while(|client| age(client) >= earliest);
        let over: Vec<_> = old
            .filter(|it| age(it) >= lifetime - lifetime / 10_000 * share(it.id()))
            .cloned()
            .collect();
        drop(state);
        for client in over {
            // it may be closing already
            let _ = client.close(CloseCode::GOING_AWAY, "the connection has served its time");
        }
    }

    /// Ends all connections, and all that still come, without a closing handshake; and the handlers
    /// of those that have ended, where they wait.
    pub(crate) fn abort_all(&self) {
        let mut state = self.lock();
        state.newcomers = Newcomers::Abort;
        let left = state.left.values().map(|(client, _)| client);
        let all: Vec<_> = state.clients.values().chain(left).cloned().collect();
        drop(state);
        for client in all {
            client.abort();
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Puts a client into a room, whose name was checked.
    pub(super) fn join(
        &mut self,
        client: &Client,
        room: &str,
        limits: &Limits,
        plane: Option<&Plane>,
    ) -> Result<bool, JoinError> {
        let Self { clients, rooms, joined, .. } = self;
        if clients.get(client.id()).is_none() {
            return Err(JoinError::Closed);
        }
        let theirs = joined.get(&client.id());
        if theirs.is_some_and(|theirs| theirs.rooms.contains_key(room)) {
            return Ok(false);
        }
        let limit = limits.max_rooms_per_client;
        if theirs.map_or(0, |theirs| theirs.rooms.len()) >= limit {
            return Err(JoinError::TooManyRooms { limit });
        }
        let name = match rooms.get_key_value(room) {
            Some((name, _)) => Arc::clone(name),
            None => Arc::from(room),
        };
        let theirs = joined.entry(client.id()).or_default();
        let room = rooms.entry(Arc::clone(&name)).or_default();
        if let Some(plane) = plane
            && room.members.is_empty()
        {
            plane.enter(&name);
        }
        room.members.insert(client);
        if let Some(plane) = plane {
            plane.note_members(&name);
        }
        room.shared += usize::from(!theirs.rooms.is_empty());
        if theirs.rooms.len() == 1
            && let Some(first) = theirs.rooms.keys().next().and_then(|name| rooms.get_mut(name))
        {
            first.shared += 1;
        }
        theirs.add(name);
        Ok(true)
    }

    /// Takes a member out of a room, which may have counted it as one that is in others too.
    fn leave(&mut self, id: u64, name: &str, shared: bool, plane: Option<&Plane>) {
        if let Some(plane) = plane.filter(|it| it.counts_members())
            && let Some((name, _)) = self.rooms.get_key_value(name)
        {
            plane.note_members(name);
        }
        let Some(room) = self.rooms.get_mut(name) else { return };
        if room.members.remove(id).is_some() && shared {
            room.shared -= 1;
        }
        if !room.members.is_empty() {
            return;
        }
        if room.memory.is_none() {
            self.rooms.remove(name);
        }
        if let Some(plane) = plane {
            plane.leave(name);
        }
    }

    /// Returns the members of a room, unless some are in other rooms too. Whoever calls holds the
    /// turn of the room, as far as it is still this one: all may have left it, and others may have
    /// entered a new one of its name.
    fn members_of_separate(&mut self, name: &str, turn: &Arc<Mutex<()>>) -> Option<Arc<[Client]>> {
        self.rooms.get_mut(name)?.members_if_separate(turn)
    }
}

impl Room {
    /// Returns the members, unless some are in other rooms too, or this is the turn of another
    /// room.
    pub(super) fn members_if_separate(&mut self, turn: &Arc<Mutex<()>>) -> Option<Arc<[Client]>> {
        let separate = self.shared == 0 && Arc::ptr_eq(&self.turn, turn);
        separate.then(|| self.members.list())
    }
}

/// The number of rooms that a client leaves before others get at the hub: some 50 µs.
const LEFT_AT_ONCE: usize = 64;

/// Returns a number from 0 to 999, about as often as any other for ids in a row (Knuth's
/// multiplicative hash).
fn share(id: u64) -> u32 {
    (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32 % 1000
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("clients", &self.all().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    /// A broadcast to one room goes on while one to another is being queued; one to all, or to a
    /// room with members of another one, comes after it.
    #[test]
    fn rooms_do_not_wait_for_each_other() {
        let hub = Hub::default();
        for (name, shared) in [("a", 0), ("b", 0), ("c", 1)] {
            hub.lock().rooms.insert(name.into(), Room { shared, ..Room::default() });
        }
        let (over, next) = channel();
        let others = [Some("b"), Some("c"), None].map(|room| (hub.clone(), room, over.clone()));
        let threads = hub.in_turn(Some("a"), |_| {
            let [separate, rest @ ..] = others;
            let begin = |(hub, room, over): (Hub, _, std::sync::mpsc::Sender<_>)| {
                thread::spawn(move || hub.in_turn(room, |_| over.send(room).unwrap()))
            };
            let first = begin(separate);
            assert_eq!(next.recv_timeout(Duration::from_secs(10)), Ok(Some("b")));
            let rest = rest.map(begin);
            assert!(hub.0.turn.try_write().is_err() && next.try_recv().is_err());
            (first, rest)
        });
        threads.0.join().unwrap();
        threads.1.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(next.try_iter().count(), 2);
    }

    /// Who waits for the turn of a room that is left by all meanwhile, and entered anew, does not
    /// send together with those who have the turn of the new one.
    #[test]
    fn a_turn_is_of_one_room_and_not_of_its_name() {
        let hub = Hub::default();
        hub.lock().rooms.insert("a".into(), Room::default());
        let old = Arc::clone(&hub.lock().rooms["a"].turn);
        let waiting = hub.in_turn(Some("a"), |_| {
            let held = Arc::strong_count(&old);
            let other = hub.clone();
            let waiting = thread::spawn(move || {
                other.in_turn(Some("a"), |_| other.0.turn.try_read().is_err())
            });
            while Arc::strong_count(&old) == held {
                thread::yield_now();
            }
            hub.lock().rooms.insert("a".into(), Room::default());
            waiting
        });
        assert!(waiting.join().unwrap(), "it has the turn of all");
    }
}

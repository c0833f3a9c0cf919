use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::client::Client;
use super::limits::Limits;
use super::outbox::Outbound;
use crate::proto::{MessageRef, PreparedMessage, SendError};
use crate::server::error::{NotJoined, NotSent};
use crate::server::observe::event::LogEvent;
use crate::server::observe::stats::{Counters, Stats};
use crate::wire::CloseCode;

/// All clients of a server, and the rooms they are in. Cloning it costs a reference count; it may be
/// used from any task or thread, and outlives the server.
///
/// A broadcast is encoded once, and compressed once if the server compresses; a client that keeps up
/// costs a reference count then and nothing else. One that does not never delays the others: each has
/// a queue of its own. Broadcasts reach all clients in the same order, whoever sends them: one is put into
/// the queues after the other, which takes a fraction of a microsecond for each client. Nobody waits for
/// a message that is being encoded, or for a socket.
#[derive(Clone, Default)]
pub struct Hub(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    /// Held while a broadcast is put into the queues.
    turn: Mutex<()>,
    limits: OnceLock<Limits>,
    log: OnceLock<Box<Log>>,
    counters: Counters,
}

/// Where notices go.
pub(crate) type Log = dyn Fn(&LogEvent<'_>) + Send + Sync;

type Clients = BTreeMap<u64, Client>;

#[derive(Default)]
struct State {
    clients: Clients,
    rooms: BTreeMap<Arc<str>, Clients>,
    /// The rooms of those who are in any.
    joined: BTreeMap<u64, Joined>,
    /// The server shuts down: what newcomers are told.
    closing: Option<(CloseCode, Box<str>)>,
    cut: bool,
}

/// The rooms that a client is in.
#[derive(Default)]
struct Joined {
    /// With numbers in the order in which it has entered them.
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
    /// The client with this id; `None` once it is gone.
    pub fn get(&self, id: u64) -> Option<Client> {
        self.lock().clients.get(&id).cloned()
    }

    /// All clients, the oldest first.
    pub fn clients(&self) -> Vec<Client> {
        self.lock().clients.values().cloned().collect()
    }

    /// The number of clients.
    pub fn len(&self) -> usize {
        self.lock().clients.len()
    }

    /// Whether there are no clients.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Queues a message for one client.
    ///
    /// # Errors
    ///
    /// As [`Client::send`]; [`NotSent::Closed`] if there is no client with this id.
    pub fn send_to<'m>(&self, id: u64, message: impl Into<MessageRef<'m>>) -> Result<(), NotSent> {
        self.get(id).ok_or(NotSent::Closed)?.send(message)
    }

    /// Queues a message for all clients. Returns for how many: those who are closing, and those whose
    /// queue is full, are left out.
    ///
    /// # Errors
    ///
    /// A ping or pong of more than 125 bytes; nothing was sent then.
    pub fn broadcast<'m>(&self, message: impl Into<MessageRef<'m>>) -> Result<usize, SendError> {
        Ok(self.deliver(&self.prepare(message.into())?, Self::clients))
    }

    /// [`broadcast`](Self::broadcast) to all but the client with this id, as a rule the one whose
    /// message is passed on.
    ///
    /// # Errors
    ///
    /// As [`broadcast`](Self::broadcast).
    pub fn broadcast_except<'m>(
        &self,
        id: u64,
        message: impl Into<MessageRef<'m>>,
    ) -> Result<usize, SendError> {
        Ok(self.deliver(&self.prepare(message.into())?, |hub| without(hub.clients(), id)))
    }

    /// [`broadcast`](Self::broadcast) of a message that is encoded already.
    pub fn broadcast_prepared(&self, message: &PreparedMessage) -> usize {
        self.deliver(&Arc::new(message.clone()), Self::clients)
    }

    /// Puts a client into a room, which is there while anybody is in it. Whether it was not there
    /// before.
    ///
    /// It leaves the room when it closes.
    ///
    /// # Errors
    ///
    /// [`NotJoined::Closed`] for a client that is gone, [`NotJoined::TooManyRooms`],
    /// [`NotJoined::NameTooLong`].
    pub fn join(&self, client: &Client, room: &str) -> Result<bool, NotJoined> {
        let limits = self.limits();
        if room.len() > limits.max_room_name_len {
            return Err(NotJoined::NameTooLong {
                len: room.len(),
                limit: limits.max_room_name_len,
            });
        }
        let mut state = self.lock();
        let State { clients, rooms, joined, .. } = &mut *state;
        if !clients.contains_key(&client.id()) {
            return Err(NotJoined::Closed);
        }
        let theirs = joined.get(&client.id());
        if theirs.is_some_and(|theirs| theirs.rooms.contains_key(room)) {
            return Ok(false);
        }
        let limit = limits.max_rooms_per_client;
        if theirs.map_or(0, |theirs| theirs.rooms.len()) >= limit {
            return Err(NotJoined::TooManyRooms { limit });
        }
        let name = match rooms.get_key_value(room) {
            Some((name, _)) => Arc::clone(name),
            None => Arc::from(room),
        };
        rooms.entry(Arc::clone(&name)).or_default().insert(client.id(), client.clone());
        joined.entry(client.id()).or_default().add(name);
        Ok(true)
    }

    /// Takes a client out of a room. Whether it was there.
    pub fn leave(&self, client: &Client, room: &str) -> bool {
        let mut state = self.lock();
        if !state.leave(client.id(), room) {
            return false;
        }
        if let Entry::Occupied(mut theirs) = state.joined.entry(client.id()) {
            theirs.get_mut().rooms.remove(room);
            if theirs.get().rooms.is_empty() {
                theirs.remove();
            }
        }
        true
    }

    /// The clients in a room, the oldest first.
    pub fn room(&self, room: &str) -> Vec<Client> {
        self.lock().rooms.get(room).map_or_else(Vec::new, |it| it.values().cloned().collect())
    }

    /// The rooms that somebody is in, by name, with how many are in each.
    pub fn rooms(&self) -> Vec<(Arc<str>, usize)> {
        self.lock().rooms.iter().map(|(name, them)| (Arc::clone(name), them.len())).collect()
    }

    pub(crate) fn rooms_of(&self, id: u64) -> Vec<Arc<str>> {
        let rooms = self.lock().joined.get(&id).map(|theirs| theirs.rooms.clone());
        let mut rooms: Vec<_> = rooms.unwrap_or_default().into_iter().collect();
        rooms.sort_unstable_by_key(|(_, number)| *number);
        rooms.into_iter().map(|(name, _)| name).collect()
    }

    /// [`broadcast`](Self::broadcast) to those in a room.
    ///
    /// # Errors
    ///
    /// As [`broadcast`](Self::broadcast).
    pub fn broadcast_room<'m>(
        &self,
        room: &str,
        message: impl Into<MessageRef<'m>>,
    ) -> Result<usize, SendError> {
        Ok(self.deliver(&self.prepare(message.into())?, |hub| hub.room(room)))
    }

    /// [`broadcast_room`](Self::broadcast_room) of a message that is encoded already.
    pub fn broadcast_room_prepared(&self, room: &str, message: &PreparedMessage) -> usize {
        self.deliver(&Arc::new(message.clone()), |hub| hub.room(room))
    }

    /// [`broadcast_room`](Self::broadcast_room) to all but the client with this id.
    ///
    /// # Errors
    ///
    /// As [`broadcast`](Self::broadcast).
    pub fn broadcast_room_except<'m>(
        &self,
        room: &str,
        id: u64,
        message: impl Into<MessageRef<'m>>,
    ) -> Result<usize, SendError> {
        Ok(self.deliver(&self.prepare(message.into())?, |hub| without(hub.room(room), id)))
    }

    /// Closes all connections that are open now; new ones are still accepted. To end a server, take
    /// [`ServerHandle::shutdown`](crate::server::ServerHandle::shutdown).
    ///
    /// # Errors
    ///
    /// [`SendError::ReasonTooLong`]; nothing was closed then.
    pub fn close_all(&self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        for client in self.clients() {
            // it may be closing already
            if let Err(NotSent::Invalid(error)) = client.close(code, reason) {
                return Err(error);
            }
        }
        Ok(())
    }

    /// What the server has counted.
    pub fn stats(&self) -> Stats {
        self.0.counters.snapshot()
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// The limits; from the first question on those that were set before it.
    pub(crate) fn limits(&self) -> &Limits {
        self.0.limits.get_or_init(Limits::default)
    }

    /// Sets the limits, once, before there are clients.
    pub(crate) fn set_limits(&self, limits: Limits) {
        let _ = self.0.limits.set(limits);
    }

    /// Sets where notices go, once.
    pub(crate) fn set_log(&self, log: Box<Log>) {
        let _ = self.0.log.set(log);
    }

    /// Tells the log. That it panics must not end the server; the panic hook has said so.
    pub(crate) fn log(&self, event: &LogEvent<'_>) {
        if let Some(log) = self.0.log.get() {
            let _ = catch_unwind(AssertUnwindSafe(|| log(event)));
        }
    }

    /// Counts and tells a panic of a handler.
    pub(crate) fn panicked(&self, peer_addr: SocketAddr, path: &str) {
        Counters::add(&self.0.counters.panics);
        self.log(&LogEvent::Panic { peer_addr, path });
    }

    pub(crate) fn insert(&self, client: &Client) {
        Counters::add(&self.0.counters.opened);
        let mut state = self.lock();
        state.clients.insert(client.id(), client.clone());
        let closing = state.closing.clone();
        let cut = state.cut;
        drop(state);
        if let Some((code, reason)) = closing {
            let _ = client.close(code, &reason);
        }
        if cut {
            client.outbox().cut();
        }
    }

    pub(crate) fn remove(&self, client: &Client) {
        let mut state = self.lock();
        let removed = state.clients.remove(&client.id());
        let mut rooms = state.joined.remove(&client.id()).unwrap_or_default().rooms.into_keys();
        loop {
            for room in rooms.by_ref().take(LEFT_AT_ONCE) {
                state.leave(client.id(), &room);
            }
            drop(state);
            if rooms.len() == 0 {
                break;
            }
            // whoever else waits for the hub gets it between
            state = self.lock();
        }
        if removed.is_some() {
            Counters::add(&self.0.counters.closed);
        }
    }

    /// Closes all that still come. Those who are here are left to the caller.
    pub(crate) fn close_newcomers(&self, code: CloseCode, reason: &str) -> Vec<Client> {
        let mut state = self.lock();
        state.closing = Some((code, reason.into()));
        state.clients.values().cloned().collect()
    }

    /// Closes those that have been open for `lifetime`, some up to a tenth earlier: clients that came
    /// together do not go together.
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
            let _ = client.close(CloseCode::GOING_AWAY, "the connection has served its time"); // again
        }
    }

    /// Ends all connections, and all that still come, without more ado.
    pub(crate) fn abort_all(&self) {
        self.lock().cut = true;
        for client in self.clients() {
            client.outbox().cut();
        }
    }

    /// Queues a message for those whom `to` names, and says for how many.
    fn deliver(
        &self,
        message: &Arc<PreparedMessage>,
        to: impl FnOnce(&Self) -> Vec<Client>,
    ) -> usize {
        // One broadcast after the other: all clients see them in the same order.
        let turn = self.0.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let clients = to(self);
        let taken = |client: &&Client| client.push(Outbound::Prepared(message)).is_ok();
        let count = clients.iter().filter(taken).count();
        drop(turn);
        count
    }

    fn prepare(&self, message: MessageRef<'_>) -> Result<Arc<PreparedMessage>, SendError> {
        #[cfg(feature = "deflate")]
        if let Some(deflate) = self.0.limits.get().and_then(|limits| limits.deflate) {
            return PreparedMessage::with_deflate(message, &deflate).map(Arc::new);
        }
        PreparedMessage::new(message).map(Arc::new)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn leave(&mut self, id: u64, room: &str) -> bool {
        let Some(members) = self.rooms.get_mut(room) else { return false };
        let left = members.remove(&id).is_some();
        if members.is_empty() {
            self.rooms.remove(room);
        }
        left
    }
}

/// Rooms that a client leaves before others get at the hub: some 50 µs.
const LEFT_AT_ONCE: usize = 64;

/// A number from 0 to 999, about as often as any other for ids in a row (Knuth's multiplicative hash).
fn share(id: u64) -> u32 {
    (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32 % 1000
}

fn without(mut clients: Vec<Client>, id: u64) -> Vec<Client> {
    clients.retain(|client| client.id() != id);
    clients
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("clients", &self.len()).finish_non_exhaustive()
    }
}

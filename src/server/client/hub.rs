use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::{self, Entry};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::client::Client;
use super::target::Target;
use crate::proto::{MessageRef, PayloadRef, PreparedMessage, SendError};
use crate::server::context::Context;
use crate::server::error::{JoinError, TrySendError};
use crate::server::observe::stats::{Counters, Stats};
use crate::wire::CloseCode;

/// A registry of all clients of a server, and of the rooms they are in. Cloning it costs a
/// reference count; it may be used from any task or thread, and outlives the server.
///
/// A broadcast is encoded once, and compressed once if the server compresses; a client that keeps
/// up costs a reference count then and nothing else. One that does not never delays the others:
/// each has a queue of its own. Broadcasts reach all clients in the same order, from whatever
/// thread they are sent: one is put into the queues after the other, which takes a fraction of a
/// microsecond for each client. Nobody waits for a message that is being encoded, or for a socket.
#[derive(Clone, Default)]
pub struct Hub(Arc<Inner>);

/// Locks in this order: `turn`, `state`, that of an outbox. The state is not locked while messages
/// are put into outboxes.
#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    /// Held while a broadcast is put into the queues.
    turn: Mutex<()>,
    context: Arc<Context>,
}

type Clients = BTreeMap<u64, Client>;

#[derive(Default)]
struct State {
    clients: Clients,
    rooms: BTreeMap<Arc<str>, Clients>,
    /// The rooms of those who are in any.
    joined: BTreeMap<u64, Joined>,
    newcomers: Newcomers,
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

    /// Returns the client with this id; `None` once it is gone.
    pub fn get(&self, id: u64) -> Option<Client> {
        self.lock().clients.get(&id).cloned()
    }

    /// Selects all clients.
    pub fn all(&self) -> Target<'_> {
        Target::new(self, None)
    }

    /// Selects the clients in a room: none, if it is empty.
    pub fn room<'a>(&'a self, name: &'a str) -> Target<'a> {
        Target::new(self, Some(name))
    }

    /// Queues a message for one client.
    ///
    /// # Errors
    ///
    /// As [`Client::send`]; [`TrySendError::Closed`] if there is no client with this id.
    pub fn send_to<'m>(
        &self,
        id: u64,
        message: impl Into<MessageRef<'m>>,
    ) -> Result<(), TrySendError> {
        self.get(id).ok_or(TrySendError::Closed)?.send(message)
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
        if room.len() > limits.max_room_name_len {
            return Err(JoinError::NameTooLong {
                len: room.len(),
                limit: limits.max_room_name_len,
            });
        }
        let mut state = self.lock();
        let State { clients, rooms, joined, .. } = &mut *state;
        if !clients.contains_key(&client.id()) {
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
        rooms.entry(Arc::clone(&name)).or_default().insert(client.id(), client.clone());
        joined.entry(client.id()).or_default().add(name);
        Ok(true)
    }

    /// Takes a client out of a room. Returns whether it was there.
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

    /// Returns the rooms that are not empty, by name, with how many are in each.
    pub fn rooms(&self) -> Vec<(String, usize)> {
        let rooms: Vec<_> = {
            let state = self.lock();
            state.rooms.iter().map(|(name, them)| (Arc::clone(name), them.len())).collect()
        };
        // copied when nobody waits for the lock any more
        rooms.into_iter().map(|(name, count)| (String::from(&*name), count)).collect()
    }

    /// Returns the rooms of a client, in the order in which it has entered them.
    pub(crate) fn rooms_of(&self, id: u64) -> Vec<String> {
        let rooms = self.lock().joined.get(&id).map(|theirs| theirs.rooms.clone());
        let mut rooms: Vec<_> = rooms.unwrap_or_default().into_iter().collect();
        rooms.sort_unstable_by_key(|(_, number)| *number);
        rooms.into_iter().map(|(name, _)| String::from(&*name)).collect()
    }

    /// Returns what the server has counted.
    pub fn stats(&self) -> Stats {
        self.context().counters.snapshot()
    }

    pub(crate) fn context(&self) -> &Context {
        &self.0.context
    }

    /// Shows all clients, or those in a room.
    pub(crate) fn select<T>(
        &self,
        room: Option<&str>,
        look: impl FnOnce(btree_map::Values<'_, u64, Client>) -> T,
    ) -> T {
        let state = self.lock();
        let empty = Clients::new();
        let members = match room {
            None => &state.clients,
            Some(room) => state.rooms.get(room).unwrap_or(&empty),
        };
        look(members.values())
    }

    /// Waits for the turn of a broadcast.
    pub(crate) fn lock_turn(&self) -> MutexGuard<'_, ()> {
        self.0.turn.lock().unwrap_or_else(PoisonError::into_inner)
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
        state.clients.insert(client.id(), client.clone());
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

    /// Takes a client out, and out of its rooms.
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
            // others that wait for the hub get it between
            state = self.lock();
        }
        if removed.is_some() {
            Counters::add(&self.context().counters.closed);
        }
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

    /// Ends all connections, and all that still come, without a closing handshake.
    pub(crate) fn abort_all(&self) {
        self.lock().newcomers = Newcomers::Abort;
        for client in self.all().clients() {
            client.abort();
        }
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

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::future::{Future, pending, poll_fn};
use core::hash::BuildHasher;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::hash::RandomState;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use tokio::task::consume_budget;
use tokio::time::Instant;

use super::engine::{Backplane, EngineEvent, PublishError};
use super::envelope::{Content, Envelope, put_number};
use super::follow::Followers;
use super::notice::Notice;
use super::numbers::{Arrival, Incoming, Number, Outgoing};
use super::roster::Roster;
use super::stats::BackplaneStats;
use super::store::Store;
use super::subject::{self, Place};
use crate::proto::{MessageRef, PayloadRef, PreparedMessage};
use crate::server::client::history::Position;
use crate::server::client::hub::Hub;
use crate::server::observe::event::LogEvent;
use crate::server::observe::stats::Counters;
use crate::wire::{CloseCode, Opcode};

/// The backplane of a server: its engine, and what passes through it.
pub(crate) struct Plane {
    engine: Box<dyn Backplane>,
    prefix: String,
    /// The number of this server among others, another one after each start.
    node: u64,
    /// Makes the numbers of subjects, and of this server.
    hasher: RandomState,
    /// Who is where on all servers, if that is kept account of: set before there are clients.
    roster: OnceLock<Roster>,
    /// What is known of topics whose history is in the engine.
    followers: Followers,
    /// Locked while a message is given to the engine, so that numbers grow in order.
    outgoing: Mutex<Outgoing>,
    /// Locked for moments, also while the hub is.
    incoming: Mutex<Incoming>,
    up: AtomicBool,
    published: AtomicU64,
    not_published: AtomicU64,
    received: AtomicU64,
    invalid: AtomicU64,
    lost: AtomicU64,
    missed: AtomicU64,
    duplicates: AtomicU64,
    outages: AtomicU64,
}

impl Plane {
    /// Subscribes to what concerns all clients, and to what is for single clients of this server.
    pub(super) fn new(prefix: &str, engine: impl Backplane) -> Self {
        let mut encoded = String::with_capacity(prefix.len());
        subject::encode(prefix, &mut encoded);
        let hasher = RandomState::new();
        let this = Self {
            engine: Box::new(engine),
            prefix: encoded,
            // never 0, nor with a part of 0: both stand for none
            node: hasher.hash_one(0) | 1 << 32,
            hasher,
            roster: OnceLock::new(),
            followers: Followers::new(),
            outgoing: Mutex::new(Outgoing::new()),
            incoming: Mutex::new(Incoming::new()),
            up: AtomicBool::new(true),
            published: AtomicU64::new(0),
            not_published: AtomicU64::new(0),
            received: AtomicU64::new(0),
            invalid: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            outages: AtomicU64::new(0),
        };
        for place in [Place::All, Place::Node(this.part())] {
            this.engine.subscribe(&place.subject(&this.prefix));
        }
        this
    }

    /// Keeps account of who is where from now on, if that is set.
    pub(crate) fn begin(&self, hub: &Hub) {
        if let Some(presence) = hub.presence()
            && self.roster.set(Roster::new(presence.clone())).is_ok()
        {
            self.engine.subscribe(&Place::Presence.subject(&self.prefix));
        }
    }

    pub(super) fn roster(&self) -> Option<&Roster> {
        self.roster.get()
    }

    /// Returns whether [`note_members`](Self::note_members) has an effect.
    #[inline]
    pub(crate) fn counts_members(&self) -> bool {
        self.roster.get().is_some()
    }

    /// Notes that somebody enters or leaves a room. Called while the hub is locked.
    pub(crate) fn note_members(&self, room: &Arc<str>) {
        if let Some(roster) = self.roster() {
            roster.note(room);
        }
    }

    /// Returns a number from 0 to 999, any as often as any other.
    pub(super) fn share(&self) -> u32 {
        (self.hasher.hash_one(Instant::now()) % 1000) as u32
    }

    /// Returns the upper half of the ids of all clients of this server.
    pub(super) fn part(&self) -> u32 {
        (self.node >> 32) as u32
    }

    /// Returns the id of the client with this number.
    pub(crate) fn client_id(&self, number: u64) -> u64 {
        // more than 2^32 go on in the next part, which is another server's once in 2^32
        (u64::from(self.part()) << 32).wrapping_add(number)
    }

    /// Returns whether an id can only be that of a client of this server.
    pub(crate) fn is_own(&self, id: u64) -> bool {
        (id >> 32) as u32 == self.part()
    }

    /// Notes that somebody has entered a room that was empty. Called while the hub is locked, so
    /// that it is in order with the next.
    pub(crate) fn enter(&self, room: &str) {
        let subject = subject::room(&self.prefix, room);
        // something may have come since nobody was there any more
        lock(&self.incoming).forget(self.hasher.hash_one(&*subject));
        self.engine.subscribe(&subject);
    }

    /// Notes that a room has become empty.
    pub(crate) fn leave(&self, room: &str) {
        let subject = subject::room(&self.prefix, room);
        self.engine.unsubscribe(&subject);
        lock(&self.incoming).forget(self.hasher.hash_one(&*subject));
    }

    /// Publishes a message to the clients of other servers, all or those in a room.
    pub(crate) fn send(
        &self,
        room: Option<&str>,
        except: Option<u64>,
        message: &PreparedMessage,
        plain: bool,
    ) -> Result<(), PublishError> {
        let message = &message.0;
        let payload = message.frame.slice(message.payload_at..);
        let content = Content::Message { opcode: message.opcode, plain, payload };
        self.publish(&self.subject(room), except.unwrap_or(0), content)
    }

    /// Publishes a message, whose length was checked, to one client.
    pub(crate) fn send_one(&self, id: u64, message: MessageRef<'_>) -> Result<(), PublishError> {
        let MessageRef { opcode, payload, plain } = message;
        // once here for the envelope, which is built as one piece of memory
        let payload = match payload {
            PayloadRef::Owned(bytes) => bytes,
            other => Bytes::copy_from_slice(other.as_slice()),
        };
        let content = Content::Message { opcode, plain, payload };
        self.publish(&self.subject_of(id), id, content)
    }

    /// Publishes the end of connections.
    pub(crate) fn close(
        &self,
        room: Option<&str>,
        except: Option<u64>,
        code: CloseCode,
        reason: &str,
    ) -> Result<(), PublishError> {
        let content = Content::Close { code, reason: Bytes::copy_from_slice(reason.as_bytes()) };
        self.publish(&self.subject(room), except.unwrap_or(0), content)
    }

    /// Publishes the end of the connection of one client.
    pub(crate) fn close_one(
        &self,
        id: u64,
        code: CloseCode,
        reason: &str,
    ) -> Result<(), PublishError> {
        let content = Content::Close { code, reason: Bytes::copy_from_slice(reason.as_bytes()) };
        self.publish(&self.subject_of(id), id, content)
    }

    /// Tells other servers who is where. It has no number, and is not counted.
    pub(super) fn tell(&self, place: &Place, notice: Notice) -> Result<(), PublishError> {
        let content = Content::Notice(notice);
        let envelope = Envelope { node: self.node, client: 0, number: None, content };
        self.engine.publish(&place.subject(&self.prefix), envelope.encode().freeze())
    }

    /// Returns the part of the engine that remembers.
    pub(crate) fn store(&self) -> Option<&dyn Store> {
        self.engine.store()
    }

    pub(crate) const fn followers(&self) -> &Followers {
        &self.followers
    }

    /// Returns where the history of a topic is kept.
    pub(crate) fn topic_subject(&self, name: &str) -> String {
        subject::topic(&self.prefix, name)
    }

    /// Tells other servers of a message that was kept. It has no number: who does not get it finds
    /// it in the engine.
    pub(crate) fn tell_kept(&self, room: &str, position: Position, message: Bytes) {
        let content = Content::Kept { position, message };
        let envelope = Envelope { node: self.node, client: 0, number: None, content };
        let subject = subject::room(&self.prefix, room);
        let published = self.engine.publish(&subject, envelope.encode().freeze());
        let counter = if published.is_ok() { &self.published } else { &self.not_published };
        Counters::add(counter);
    }

    /// Notes messages of topics that were not kept long enough to be delivered here.
    pub(super) fn note_missed(&self, messages: u64) {
        self.missed.fetch_add(messages, Ordering::Relaxed);
    }

    /// Returns the subject of the server of a client.
    fn subject_of(&self, id: u64) -> String {
        Place::of(id).subject(&self.prefix)
    }

    fn subject(&self, room: Option<&str>) -> String {
        match room {
            None => Place::All.subject(&self.prefix),
            Some(name) => subject::room(&self.prefix, name),
        }
    }

    fn publish(&self, subject: &str, client: u64, content: Content) -> Result<(), PublishError> {
        let number = Some(Number { stream: 0, at: 0 }); // a place for the one that it gets
        let mut bytes = Envelope { node: self.node, client, number, content }.encode();
        let subject_hash = self.hasher.hash_one(subject);
        let published = {
            let mut outgoing = lock(&self.outgoing);
            // also if it fails: it is missed by the others then
            put_number(&mut bytes, outgoing.next(subject_hash));
            self.engine.publish(subject, bytes.freeze())
        };
        let counter = if published.is_ok() { &self.published } else { &self.not_published };
        Counters::add(counter);
        published
    }

    /// Passes on what others publish, and tells them what they are to know, until it is dropped.
    pub(crate) async fn drive(&self, hub: &Hub) {
        let mut telling = pin!(async {
            if let Some(roster) = self.roster() {
                roster.drive(self, hub).await;
            }
            pending::<()>().await;
        });
        let mut following = pin!(async {
            if self.store().is_some() {
                self.followers.drive(self, hub).await;
            }
            pending::<()>().await;
        });
        let mut passing = pin!(self.pass_on(hub));
        poll_fn(|cx| {
            // neither has an end
            let _ = telling.as_mut().poll(cx);
            let _ = following.as_mut().poll(cx);
            passing.as_mut().poll(cx)
        })
        .await;
    }

    async fn pass_on(&self, hub: &Hub) {
        loop {
            consume_budget().await;
            match poll_fn(|cx| self.engine.poll_event(cx)).await {
                EngineEvent::Message { subject, message } => {
                    self.take(hub, &subject, message);
                }
                EngineEvent::Lost { messages } => {
                    self.lost.fetch_add(messages, Ordering::Relaxed);
                    self.followers.doubt();
                }
                EngineEvent::Up => {
                    self.followers.doubt();
                    if let Some(roster) = self.roster() {
                        roster.hurry();
                    }
                    if !self.up.swap(true, Ordering::Relaxed) {
                        hub.context().log(&LogEvent::BackplaneUp);
                    }
                }
                EngineEvent::Down { reason } => {
                    if self.up.swap(false, Ordering::Relaxed) {
                        Counters::add(&self.outages);
                        hub.context().log(&LogEvent::BackplaneDown { reason: &reason });
                    }
                }
            }
        }
    }

    /// Takes what was published to a subject.
    fn take(&self, hub: &Hub, subject: &str, message: Bytes) {
        let Some(place) = Place::parse(&self.prefix, subject) else {
            return Counters::add(&self.invalid);
        };
        match Envelope::decode(message) {
            Some(envelope) if envelope.node == self.node => {}
            Some(Envelope { node, content: Content::Notice(notice), .. }) => {
                match self.roster() {
                    Some(roster) if place.is_for_servers() && node >> 32 != 0 => {
                        roster.take(self, hub, node, notice);
                    }
                    // servers with presence among others
                    None => {}
                    Some(_) => Counters::add(&self.invalid),
                }
            }
            Some(Envelope { content: Content::Kept { position, message }, .. }) => match &place {
                Place::Room(name) => {
                    Counters::add(&self.received);
                    self.followers.told(hub, name, position, message);
                }
                _ => Counters::add(&self.invalid),
            },
            Some(envelope) if place != Place::Presence => {
                if self.is_new(hub, subject, &envelope) {
                    Counters::add(&self.received);
                    deliver(hub, &place, envelope);
                }
            }
            _ => Counters::add(&self.invalid),
        }
    }

    /// Looks at the number of a message. Returns whether it has not come before.
    fn is_new(&self, hub: &Hub, subject: &str, envelope: &Envelope) -> bool {
        let Some(number) = envelope.number else { return true };
        let mut incoming = lock(&self.incoming);
        let node = envelope.node;
        match incoming.note(self.hasher.hash_one(subject), node, number) {
            Arrival::Next => {}
            Arrival::After(missed) => {
                self.missed.fetch_add(missed, Ordering::Relaxed);
                let untold = incoming.note_gap(node, missed, Instant::now());
                drop(incoming);
                if let Some(messages) = untold {
                    let server = (node >> 32) as u32;
                    hub.context().log(&LogEvent::BackplaneMissed { server, messages });
                }
            }
            Arrival::Again => {
                Counters::add(&self.duplicates);
                return false;
            }
        }
        true
    }

    pub(crate) fn stats(&self) -> BackplaneStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        BackplaneStats {
            up: self.up.load(Ordering::Relaxed),
            published: read(&self.published),
            not_published: read(&self.not_published),
            received: read(&self.received),
            invalid: read(&self.invalid),
            lost: read(&self.lost),
            missed: read(&self.missed),
            duplicates: read(&self.duplicates),
            outages: read(&self.outages),
            servers: self.roster().map_or(0, Roster::servers),
        }
    }

    /// Ends the connection to the engine.
    pub(crate) fn end(&self) {
        if let Some(roster) = self.roster() {
            // without it, the others know after a time
            let _ = self.tell(&Place::Presence, Notice::Goodbye);
            roster.end();
        }
        self.engine.close();
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does for the clients of this server what another one has asked for.
fn deliver(hub: &Hub, place: &Place, envelope: Envelope) {
    let Envelope { client, content, .. } = envelope;
    let target = match place {
        Place::All => hub.all(),
        Place::Room(name) => hub.room(name),
        Place::Presence => return,
        Place::Node(_) => {
            let Some(client) = hub.get(client) else { return };
            // whoever has sent it does not learn whether the client is gone
            match content {
                Content::Message { opcode, plain, payload } => {
                    let _ = client.send(message(opcode, plain, payload));
                }
                Content::Close { code, reason } => {
                    let _ = client.close(code, text(&reason));
                }
                Content::Notice(_) | Content::Kept { .. } => {}
            }
            return;
        }
    };
    let target = if client == 0 { target } else { target.except(client) };
    // neither fails: the lengths were checked
    match content {
        Content::Message { opcode, plain, payload } => {
            let _ = target.send_here(message(opcode, plain, payload));
        }
        Content::Close { code, reason } => {
            let _ = target.close_here(code, text(&reason));
        }
        Content::Notice(_) | Content::Kept { .. } => {}
    }
}

fn message(opcode: Opcode, plain: bool, payload: Bytes) -> MessageRef<'static> {
    MessageRef { opcode, payload: PayloadRef::Owned(payload), plain }
}

/// Returns a reason, which was checked.
fn text(reason: &Bytes) -> &str {
    core::str::from_utf8(reason).unwrap_or_default()
}

impl fmt::Debug for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plane").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

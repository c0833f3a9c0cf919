#![forbid(unsafe_code)]

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout, timeout_at};

use super::client::Client;
use super::comeback::{Got, Start};
use super::history::{History, Position};
use super::hub::Hub;
use super::topic::{Published, ResumeError, Resumed, Topic, queue_kept};
use super::topics::compose;
use crate::proto::{MessageRef, PayloadRef, PreparedMessage, SendError};
use crate::server::backplane::follow::{self, Follower, PAGE};
use crate::server::backplane::{Append, Appended, HistoryError, Page, Plane, Read, Store};

/// A room that remembers its last messages on all servers: a client that comes back to any of them
/// gets what it missed, without a gap, nothing twice and in order, and then what is sent from now
/// on.
///
/// Made by [`Hub::shared_topic`]. It has the methods of a [`Topic`], and they wait: with a
/// [backplane](crate::server::backplane#rooms-that-remember) the history is in its engine, which
/// gives the order. Without one the history is in the server, and nothing waits: the same program
/// runs on one machine and on many.
///
/// ```
/// use sansws::server::{Client, Handler, History, Position, Received, ResumeError};
///
/// const LINES: History = History::last(200);
///
/// struct News;
///
/// impl Handler for News {
///     async fn on_open(&self, client: &Client) {
///         let news = client.hub().shared_topic("news", LINES);
///         // `?since=00c5b61fd03b4a29-17`
///         let since = client.info().query().and_then(|query| query.strip_prefix("since="));
///         if let Some(position) = since.and_then(|since| since.parse::<Position>().ok()) {
///             match news.join_since(client, position).await {
///                 Ok(_) => return,
///                 Err(ResumeError::Missed(missed)) => drop(client.send(format!("gap: {missed}"))),
///                 Err(_) => return, // it has gone already, or the engine is away
///             }
///         }
///         let _ = news.join_last(client, 20).await;
///     }
///
///     async fn on_message(&self, client: &Client, message: Received<'_>) {
///         if let Some(text) = message.as_text() {
///             let news = client.hub().shared_topic("news", LINES);
///             let sent = news.send_with(|position| format!("{position} {text}")).await;
///             if let Err(error) = sent {
///                 let _ = client.send(format!("not sent: {error}"));
///             }
///         }
///     }
/// }
/// ```
///
/// A room is either a `Topic` or a `SharedTopic`: each has a history of its own, so do not use both
/// with one name. What is sent to the room by [`Hub::room`] reaches the same clients and is not
/// kept; it is in no order with what is.
///
/// # Cost
///
/// Who sends waits for the engine: a way there and back. Nobody
/// else does, neither the members nor other rooms. Up to 16 MiB of messages wait at a time. A
/// server has 256 messages at hand, up to 64 KiB, for each such room with members on it, so that a
/// client that was away for moments costs the engine nothing; for others the engine is read 128
/// messages at a time, for 64 clients at a time.
#[derive(Clone, Copy)]
#[must_use = "a topic does nothing by itself"]
pub struct SharedTopic<'a> {
    hub: &'a Hub,
    name: &'a str,
    history: History,
    except: Option<u64>,
}

impl Hub {
    /// Selects a room that remembers its last messages on all servers. The engine of the backplane
    /// keeps the number and the age of the [`History`]; give all calls on all servers the same
    /// bounds, a constant.
    pub fn shared_topic<'a>(&'a self, name: &'a str, history: History) -> SharedTopic<'a> {
        SharedTopic { hub: self, name, history, except: None }
    }
}

/// What the methods work with when there is a backplane.
struct Shared<'a> {
    plane: &'a Plane,
    store: &'a dyn Store,
    follower: Arc<Follower>,
}

/// How long to wait for those who are before, and to try to send a message that has its own
/// position, when others are faster.
const PATIENCE: Duration = Duration::from_secs(10);

/// The reads for one client that comes back, beyond those of messages that were there when it came:
/// more are needed only where messages come faster than they can be read.
const EXTRA_READS: usize = 32;

impl SharedTopic<'_> {
    /// Leaves the client with this id out of those that a message is sent to, on whatever server it
    /// is. The message is kept all the same.
    pub const fn except(mut self, id: u64) -> Self {
        self.except = Some(id);
        self
    }

    /// Has a message kept by the engine, and queues it for all in the room, here and on the other
    /// servers. Everywhere messages come in the order of their positions.
    ///
    /// What one task sends, waiting for each, is kept in that order.
    ///
    /// # Errors
    ///
    /// [`TopicError::Invalid`] as [`Target::send`](crate::server::Target::send), and
    /// [`TopicError::History`] if the engine did not take the message: it was sent to nobody then,
    /// but for [`HistoryError::Unsure`], where nobody knows.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped while it waits, the message may have been kept, and is delivered
    /// then within 10 s.
    pub async fn send<'m>(
        &self,
        message: impl Into<MessageRef<'m>>,
    ) -> Result<Published, TopicError> {
        let message = message.into();
        let Some(shared) = self.shared()? else {
            return self.local().send(message).map_err(TopicError::Invalid);
        };
        let (message, plain) = self.prepare(message)?;
        if message.is_control() {
            return self.send_control(&shared, &message).await;
        }
        let deadline = Instant::now() + PATIENCE;
        let message = follow::stored(&message, plain, self.except);
        let _waits = shared.plane.followers().wait(message.len())?;
        let turn = timeout_at(deadline, shared.follower.turn.read()).await;
        let _turn = turn.map_err(|_| contended())?;
        let known = shared.follower.last();
        match self.append(&shared, message, known, false).await? {
            Appended::At(position) => Ok(self.published(position)),
            Appended::Behind(_) => Err(contended()),
        }
    }

    /// Makes a message that knows its own position, and sends it as [`send`](Self::send) does.
    ///
    /// If another server sends meanwhile, the closure is called again, with the position behind
    /// that, for up to 10 s. So a call waits for the engine more than once where several servers
    /// send to the same topic at once, and others of its own server wait for it. Where they do so
    /// all the time, take [`send`](Self::send) and have clients count: the first message has the
    /// offset behind [`Resumed::position`], less [`Resumed::messages`]. Without a backplane the
    /// closure is called once, as by [`Topic::send_with`], and the same holds for it.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`HistoryError::Contended`].
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    ///
    /// # Panics
    ///
    /// As [`Topic::send_with`].
    pub async fn send_with<'m, M: Into<MessageRef<'m>>>(
        &self,
        mut message: impl FnMut(Position) -> M,
    ) -> Result<Published, TopicError> {
        let Some(shared) = self.shared()? else {
            return self.local().send_with(message).map_err(TopicError::Invalid);
        };
        let deadline = Instant::now() + PATIENCE;
        let followers = shared.plane.followers();
        // the message, which is charged as well, is not known yet
        let waits = followers.wait(0)?;
        let turn = timeout_at(deadline, shared.follower.turn.write()).await;
        let _turn = turn.map_err(|_| contended())?;
        drop(waits);
        let mut last = match shared.follower.last() {
            Some(last) => last,
            None => self.read(&shared, None).await?.last,
        };
        while Instant::now() < deadline {
            let position = Position { offset: last.offset + 1, ..last };
            let (message, plain) = self.prepare(compose(|| message(position)).into())?;
            if message.is_control() {
                return self.send_control(&shared, &message).await;
            }
            let message = follow::stored(&message, plain, self.except);
            let _waits = followers.wait(message.len())?;
            match self.append(&shared, message, Some(last), true).await? {
                Appended::At(position) => return Ok(self.published(position)),
                Appended::Behind(position) => last = position,
            }
        }
        Err(contended())
    }

    /// Queues all messages behind a position for a client, and puts it into the room, behind which
    /// it gets what is sent from now on. The position may be from any server.
    ///
    /// For a client that is in the room already nothing is queued.
    ///
    /// # Errors
    ///
    /// As [`Topic::join_since`], and [`ResumeError::History`] if the engine did not answer. The
    /// client is not in the room then.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped while it waits, nothing has happened.
    pub async fn join_since(
        &self,
        client: &Client,
        position: Position,
    ) -> Result<Resumed, ResumeError> {
        match self.shared_to_join()? {
            None => self.local().join_since(client, position),
            Some(shared) => self.resume(&shared, client, Start::Position(position)).await,
        }
    }

    /// Queues the last messages for a client, up to so many, and puts it into the room, as
    /// [`Topic::join_last`] does.
    ///
    /// # Errors
    ///
    /// As [`Topic::join_last`], and [`ResumeError::History`] if the engine did not answer. The
    /// client is not in the room then.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped while it waits, nothing has happened.
    pub async fn join_last(
        &self,
        client: &Client,
        messages: usize,
    ) -> Result<Resumed, ResumeError> {
        match self.shared_to_join()? {
            None => Ok(self.local().join_last(client, messages)?),
            Some(shared) => self.resume(&shared, client, Start::Last(messages)).await,
        }
    }

    /// Returns the position of the last message; of a history that begins with this call, that
    /// before the first one.
    ///
    /// # Errors
    ///
    /// If the engine did not answer.
    pub async fn position(&self) -> Result<Option<Position>, HistoryError> {
        match self.shared_or_none()? {
            None => Ok(self.local().position()),
            Some(shared) => Ok(Some(self.read(&shared, None).await?.last)),
        }
    }

    /// Forgets the history: the next one has another epoch. Who is in the room stays there. Returns
    /// whether there was one.
    ///
    /// # Errors
    ///
    /// If the engine did not answer; it may have been forgotten then.
    pub async fn forget(&self) -> Result<bool, HistoryError> {
        match self.shared_or_none()? {
            None => Ok(self.local().forget()),
            Some(shared) => shared.store.forget(shared.plane.topic_subject(self.name)).await,
        }
    }

    /// Returns the topic of this server alone.
    fn local(&self) -> Topic<'_> {
        let topic = self.hub.topic(self.name, self.history);
        self.except.map_or(topic, |id| topic.except(id))
    }

    fn shared(&self) -> Result<Option<Shared<'_>>, TopicError> {
        self.shared_or_none().map_err(TopicError::History)
    }

    fn shared_to_join(&self) -> Result<Option<Shared<'_>>, ResumeError> {
        self.shared_or_none().map_err(ResumeError::History)
    }

    fn shared_or_none(&self) -> Result<Option<Shared<'_>>, HistoryError> {
        let Some(plane) = self.hub.plane() else { return Ok(None) };
        let store = plane.store().ok_or(HistoryError::Unsupported)?;
        let follower = plane.followers().get(self.name);
        Ok(Some(Shared { plane, store, follower }))
    }

    /// Encodes a message, and returns whether it must not be compressed.
    fn prepare(&self, message: MessageRef<'_>) -> Result<(PreparedMessage, bool), TopicError> {
        let plain = match &message.payload {
            PayloadRef::Prepared(_) => false,
            PayloadRef::Borrowed(_) | PayloadRef::Owned(_) => message.plain,
        };
        Ok((self.hub.prepare(message).map_err(TopicError::Invalid)?, plain))
    }

    /// Sends a ping or pong, which is not kept, as any room does.
    async fn send_control(
        &self,
        shared: &Shared<'_>,
        message: &PreparedMessage,
    ) -> Result<Published, TopicError> {
        let target = self.hub.room(self.name);
        let target = self.except.map_or(target, |id| target.except(id));
        let clients = target.send(message).map_err(TopicError::Invalid)?;
        let position = match shared.follower.last() {
            Some(last) => last,
            None => self.read(shared, None).await.map_err(TopicError::History)?.last,
        };
        Ok(Published { position, clients })
    }

    fn published(&self, position: Position) -> Published {
        let target = self.hub.room(self.name);
        Published { position, clients: self.except.map_or(target, |id| target.except(id)).len() }
    }

    /// Has the engine keep a message, and passes it on.
    async fn append(
        &self,
        shared: &Shared<'_>,
        message: Bytes,
        known: Option<Position>,
        exact: bool,
    ) -> Result<Appended, TopicError> {
        let Shared { plane, store, follower } = shared;
        let (max_messages, max_age) = self.history.bounds();
        let subject = plane.topic_subject(self.name);
        let epoch = follow::random_epoch();
        let append = Append {
            subject,
            message: message.clone(),
            epoch,
            known,
            exact,
            // what is sent in a burst is to be there until all servers have it
            max_messages: max_messages.max(MIN_KEPT),
            max_age,
        };
        // what is not known to be kept or not is looked for
        let doubt = Doubt { shared };
        let appended = store.append(append).await;
        if !matches!(appended, Err(HistoryError::Unsure { .. })) {
            mem::forget(doubt);
        }
        if let Ok(Appended::At(position)) = appended {
            plane.tell_kept(self.name, position, message.clone());
            follower.take(plane.followers(), self.hub, position, message);
        }
        Ok(appended?)
    }

    async fn read(
        &self,
        shared: &Shared<'_>,
        after: Option<Position>,
    ) -> Result<Page, HistoryError> {
        let (_, max_age) = self.history.bounds();
        let subject = shared.plane.topic_subject(self.name);
        let epoch = follow::random_epoch();
        shared.store.read(Read { subject, epoch, after, most: PAGE, max_age }).await
    }

    async fn resume(
        &self,
        shared: &Shared<'_>,
        client: &Client,
        from: Start,
    ) -> Result<Resumed, ResumeError> {
        let Shared { plane, follower, .. } = shared;
        // what is at hand takes no room, and waits for nobody who reads
        if self.is_settled(follower) && is_known(follower, from) {
            let (at, _) = self.start(follower, from)?;
            let mut got = Got::new(client, from, at);
            if let Some(resumed) = self.enter(shared, client, at, &mut got)? {
                return Ok(resumed);
            }
        }
        // it is never closed
        let permit = timeout(PATIENCE, plane.followers().comebacks.acquire()).await;
        let _permit = permit.map_err(|_| HistoryError::Contended)?;
        if !self.is_settled(follower) || !is_known(follower, from) {
            let caught_up = follower.catch_up(plane, self.hub).await;
            // what is at hand will do while the engine is away: the rest comes when it is back
            if !is_known(follower, from) {
                caught_up?;
            }
        }
        let (mut at, mut known) = self.start(follower, from)?;
        let mut got = Got::new(client, from, at);
        let mut extra = EXTRA_READS;
        while extra > 0 {
            if let Some(resumed) = self.enter(shared, client, at, &mut got)? {
                return Ok(resumed);
            }
            let page = self.read(shared, Some(at)).await?;
            if page.last.epoch != at.epoch && matches!(from, Start::Last(_)) {
                // another history has begun: its last messages are the last ones
                follower.catch_up(plane, self.hub).await?;
                (at, known) = self.start(follower, from)?;
                got = Got::new(client, from, at);
                extra -= 1;
                continue;
            }
            let before = at.offset;
            at = got.add(self.hub, at, page)?;
            if before >= known || at.offset <= before {
                extra -= 1;
            }
            if follower.last().is_none_or(|last| last.offset < at.offset) {
                follower.catch_up(plane, self.hub).await?;
            }
        }
        Err(HistoryError::Contended.into())
    }

    /// Returns behind which position the messages for a client are, and the offset of the last one
    /// that is known.
    fn start(&self, follower: &Follower, from: Start) -> Result<(Position, u64), ResumeError> {
        let (max_messages, max_age) = self.history.bounds();
        let mut state = follower.lock();
        state.expire(max_age);
        // whoever asks knows of one
        let last = state.last().ok_or(HistoryError::Away)?;
        Ok((from.behind(last, max_messages)?, last.offset))
    }

    /// Returns whether this server hears of all that is sent to the room.
    fn is_settled(&self, follower: &Follower) -> bool {
        follower.lock().is_settled() && !self.hub.room(self.name).is_empty()
    }

    /// Puts a client that has all up to a position into the room, if what is behind it is at hand.
    fn enter(
        &self,
        shared: &Shared<'_>,
        client: &Client,
        at: Position,
        got: &mut Got,
    ) -> Result<Option<Resumed>, ResumeError> {
        // while this is locked nothing is delivered
        let mut state = shared.follower.lock();
        let Some(tail) = &state.tail else { return Ok(None) };
        let Ok(rest) = tail.since(at) else { return Ok(None) };
        let position = tail.last();
        let is_first = self.hub.room(self.name).is_empty();
        if !self.hub.join(client, self.name)? {
            return Ok(Some(Resumed { position, messages: 0 }));
        }
        if is_first {
            state.begin(shared.plane.followers());
        }
        let mut messages: Vec<_> = mem::take(&mut got.messages).into();
        messages.extend(rest);
        match queue_kept(client, &messages, got.whole) {
            Ok(messages) => Ok(Some(Resumed { position, messages })),
            Err(error) => {
                self.hub.leave(client, self.name);
                Err(error)
            }
        }
    }
}

/// Returns whether a position is one that this server knows of.
fn is_known(follower: &Follower, start: Start) -> bool {
    follower.last().is_some_and(|last| match start {
        Start::Last(_) => true,
        Start::Position(it) => it.epoch == last.epoch && it.offset <= last.offset,
    })
}

/// What is kept at least, however little a history is to have: the messages that may be on their
/// way to other servers.
const MIN_KEPT: usize = 256;

/// Has the engine looked at, unless it is forgotten.
struct Doubt<'a> {
    shared: &'a Shared<'a>,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        self.shared.follower.doubt(self.shared.plane.followers());
    }
}

const fn contended() -> TopicError {
    TopicError::History(HistoryError::Contended)
}

impl fmt::Debug for SharedTopic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTopic")
            .field("name", &self.name)
            .field("history", &self.history)
            .field("except", &self.except)
            .finish()
    }
}

/// The reason why a message was not sent to a [`SharedTopic`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TopicError {
    /// The message cannot be sent to anybody.
    Invalid(SendError),
    /// The engine did not keep it.
    History(HistoryError),
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(error) => error.fmt(f),
            Self::History(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for TopicError {}

impl From<HistoryError> for TopicError {
    fn from(error: HistoryError) -> Self {
        Self::History(error)
    }
}

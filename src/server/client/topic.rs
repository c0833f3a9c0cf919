#![forbid(unsafe_code)]

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use tokio::time::Instant;

use super::client::Client;
use super::direct;
use super::history::{History, Log, Missed, Position};
use super::hub::Hub;
use super::target::Target;
use super::topics::{Memory, compose};
use crate::proto::{MessageRef, PreparedMessage, SendError};
use crate::server::backplane::HistoryError;
use crate::server::error::{JoinError, TrySendError};

/// A room that remembers its last messages, so that a client that comes back gets what it missed:
/// without a gap, nothing twice, in order, and then what is sent from now on.
///
/// Made by [`Hub::topic`]. It is no list and holds nothing: each call looks the room up, and the
/// first one that sends or lets a client in begins its history. From then on every message that is
/// sent to the topic is kept, as far as the [`History`] allows. What is sent to the room by
/// [`Hub::room`] reaches the same clients, in order with the rest, and is not kept: who is there,
/// who types, and whatever else is of use only now.
///
/// Each message has a [`Position`]: where a client is that has received it. A client that is to
/// come back has to know its own, so [`send_with`](Self::send_with) puts it into the message:
///
/// ```
/// use sansws::server::{Client, Handler, History, Position, Received, ResumeError, Topic};
///
/// const LINES: History = History::last(200);
///
/// struct News;
///
/// impl Handler for News {
///     async fn on_open(&self, client: &Client) {
///         let news = client.hub().topic("news", LINES);
///         // `?since=00c5b61fd03b4a29-17`
///         let since = client.info().query().and_then(|query| query.strip_prefix("since="));
///         if let Some(position) = since.and_then(|since| since.parse::<Position>().ok()) {
///             match news.join_since(client, position) {
///                 Ok(_) => return,
///                 Err(ResumeError::Missed(missed)) => drop(client.send(format!("gap: {missed}"))),
///                 Err(_) => return, // it has gone already
///             }
///         }
///         let _ = news.join_last(client, 20);
///     }
///
///     async fn on_message(&self, client: &Client, message: Received<'_>) {
///         if let Some(text) = message.as_text() {
///             let news = client.hub().topic("news", LINES);
///             let _ = news.send_with(|position| format!("{position} {text}"));
///         }
///     }
/// }
/// ```
///
/// # How long it lives
///
/// The history goes on while nobody is in the room. It is forgotten when nobody is in the room and
/// all messages have expired, by [`forget`](Self::forget), and when all topics together are charged
/// more than [`Server::max_history_bytes`](crate::server::Server::max_history_bytes) and no other
/// has been unused for longer. Then the next one begins anew, with another epoch.
/// [`Stats`](crate::server::Stats) has how many topics there are, and what they are charged.
///
/// A client that reads too slowly has no gap by this: it is closed, and comes back, unless
/// [`SlowClients`](crate::server::SlowClients) lets messages be dropped for it.
///
/// It is in memory, of this server alone: one that is started again has forgotten all. A
/// [`SharedTopic`](crate::server::SharedTopic) is one of several servers.
///
/// # Cost
///
/// A message costs a fraction of a microsecond more than in any room, and its frames are kept once
/// for all clients. A client that comes back holds up what is sent to its room until all that it
/// missed is in its queue, some 20 ns for a message.
#[derive(Clone, Copy)]
#[must_use = "a topic does nothing by itself"]
pub struct Topic<'a> {
    target: Target<'a>,
    hub: &'a Hub,
    name: &'a str,
    history: History,
}

impl Hub {
    /// Selects a room that remembers its last messages within these bounds. The last call that
    /// does something with it counts for the bounds: give all of them the same, a constant.
    pub fn topic<'a>(&'a self, name: &'a str, history: History) -> Topic<'a> {
        Topic { target: self.room(name), hub: self, name, history }
    }
}

impl Topic<'_> {
    /// Leaves the client with this id out of those that a message is sent to: see
    /// [`Target::except`]. The message is kept all the same.
    pub const fn except(mut self, id: u64) -> Self {
        self.target = self.target.except(id);
        self
    }

    /// Keeps a message and queues it for all in the room, as [`Target::send`] does.
    ///
    /// # Errors
    ///
    /// As [`Target::send`]; nothing was kept then.
    pub fn send<'m>(&self, message: impl Into<MessageRef<'m>>) -> Result<Published, SendError> {
        let message = self.hub.prepare(message.into())?;
        Ok(self.hub.in_turn_of_topic(self.name, self.history, |clients, memory| {
            let position = self.hub.keep(memory, &message, self.history);
            Published { position, clients: self.target.queue(&message, clients) }
        }))
    }

    /// Makes a message that knows its own position, and sends it as [`send`](Self::send) does.
    ///
    /// The closure is called in the turn of the room, and the message is encoded and compressed
    /// there: all who send to the room wait meanwhile, and if a member is in other rooms too, all
    /// who send to any room. Prepare beforehand what can be. It may send to single
    /// [clients](Client::send), but not to rooms. If it panics, nothing was sent, and the position
    /// is that of the next message.
    ///
    /// # Errors
    ///
    /// As [`Target::send`]; nothing was kept then.
    ///
    /// # Panics
    ///
    /// If the closure itself sends to a room or to all, or enters a topic, of any hub: it would
    /// wait for itself.
    pub fn send_with<'m, M: Into<MessageRef<'m>>>(
        &self,
        message: impl FnOnce(Position) -> M,
    ) -> Result<Published, SendError> {
        let counters = &self.hub.context().counters;
        self.hub.in_turn_of_topic(self.name, self.history, |clients, memory| {
            let position = memory.with(counters, |log| log.next());
            let message = compose(|| message(position));
            let message = self.hub.prepare(message.into())?;
            let position = self.hub.keep(memory, &message, self.history);
            Ok(Published { position, clients: self.target.queue(&message, clients) })
        })
    }

    /// Queues all messages behind a position for a client, and puts it into the room, behind which
    /// it gets what is sent from now on.
    ///
    /// For a client that is in the room already nothing is queued: it has all, or is about to get
    /// it. One that has just [left](Client::leave) it on the same connection may still get what was
    /// being sent at that moment.
    ///
    /// # Errors
    ///
    /// [`ResumeError::Missed`] if a message between is lost, or if they are more than may wait for
    /// the client: [`Server::max_queued_bytes`](crate::server::Server::max_queued_bytes), so that
    /// what is sent next finds room up to
    /// [`max_burst_bytes`](crate::server::Server::max_burst_bytes); one message always has room.
    /// [`ResumeError::Join`] as [`Hub::join`]. In either case nothing was queued, and the client is
    /// not in the room: [`join_last`](Self::join_last) begins anew.
    pub fn join_since(&self, client: &Client, position: Position) -> Result<Resumed, ResumeError> {
        self.resume(client, true, |log| log.since(position))
    }

    /// Queues the last messages for a client, up to so many, and puts it into the room, behind
    /// which it gets what is sent from now on. 0 is for what is sent from now on alone, and
    /// `usize::MAX` for all that is kept.
    ///
    /// Fewer are queued if fewer are kept, or if they are more than may wait for the client, as for
    /// [`join_since`](Self::join_since). None is queued for a client that is in the room already.
    ///
    /// # Errors
    ///
    /// As [`Hub::join`].
    pub fn join_last(&self, client: &Client, messages: usize) -> Result<Resumed, JoinError> {
        match self.resume(client, false, |log| Ok(log.newest(messages))) {
            Ok(resumed) => Ok(resumed),
            Err(ResumeError::Join(error)) => Err(error),
            // nothing was asked for that could be missed
            Err(ResumeError::Missed(_) | ResumeError::History(_)) => Err(JoinError::Closed),
        }
    }

    fn resume(
        &self,
        client: &Client,
        whole: bool,
        select: impl FnOnce(&Log) -> Result<Vec<PreparedMessage>, Missed>,
    ) -> Result<Resumed, ResumeError> {
        let counters = &self.hub.context().counters;
        let resume = |is_new: bool, memory: &Arc<Memory>| {
            self.hub.make_room(memory);
            let (position, messages) = memory.with(counters, |log| {
                log.set(self.history, Instant::now());
                (log.last(), if is_new { select(log) } else { Ok(Vec::new()) })
            });
            let queued = messages
                .map_err(ResumeError::Missed)
                .and_then(|messages| queue_kept(client, &messages, whole));
            if queued.is_err() && is_new {
                self.hub.leave(client, self.name);
            }
            Ok(Resumed { position, messages: queued? })
        };
        self.hub.join_in_turn(client, self.name, self.history, resume)?
    }

    /// Returns the position of the last message; `None` if there is no history.
    pub fn position(&self) -> Option<Position> {
        let memory = self.hub.memory_of(self.name)?;
        Some(memory.with(&self.hub.context().counters, |log| log.last()))
    }

    /// Forgets the history: the next one has another epoch. Who is in the room stays there. Returns
    /// whether there was one.
    pub fn forget(&self) -> bool {
        self.hub.forget_topic(self.name)
    }
}

/// Queues messages that were kept for one client. Returns how many.
pub(super) fn queue_kept(
    client: &Client,
    messages: &[PreparedMessage],
    whole: bool,
) -> Result<usize, ResumeError> {
    let context = client.context();
    let wake = direct::wake_of(client);
    let queued = match client.outbox().push_kept(messages, whole, wake, context) {
        Ok(queued) => queued,
        Err(TrySendError::Full { bytes, .. }) => {
            return Err(ResumeError::Missed(Missed::TooMuch {
                messages: messages.len(),
                bytes,
                limit: context.limits().max_queued_bytes,
            }));
        }
        Err(_) => return Err(ResumeError::Join(JoinError::Closed)),
    };
    let sent = &messages[messages.len() - queued..];
    sent.iter().for_each(|message| direct::note_produced(&message.into(), 1));
    Ok(queued)
}

impl fmt::Debug for Topic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic")
            .field("target", &self.target)
            .field("history", &self.history)
            .finish()
    }
}

/// The result of sending to a [`Topic`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Published {
    /// That of the message; of a ping or pong, which is not kept, that of the last message.
    pub position: Position,
    /// For how many clients the message was queued: those who are closing, and those whose queue is
    /// full, are left out.
    pub clients: usize,
}

/// The result of letting a client into a [`Topic`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Resumed {
    /// Where the client is, once it has received what was queued: the next message that is sent to
    /// it has the next offset.
    pub position: Position,
    /// How many messages were queued.
    pub messages: usize,
}

/// The reason why a client did not go on where it was.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResumeError {
    /// It would have missed something.
    Missed(Missed),
    /// It cannot enter the room.
    Join(JoinError),
    /// The engine of the backplane did not answer, or has no history: of a
    /// [`SharedTopic`](crate::server::SharedTopic).
    History(HistoryError),
}

impl fmt::Display for ResumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missed(missed) => missed.fmt(f),
            Self::Join(error) => error.fmt(f),
            Self::History(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ResumeError {}

impl From<Missed> for ResumeError {
    fn from(missed: Missed) -> Self {
        Self::Missed(missed)
    }
}

impl From<HistoryError> for ResumeError {
    fn from(error: HistoryError) -> Self {
        Self::History(error)
    }
}

impl From<JoinError> for ResumeError {
    fn from(error: JoinError) -> Self {
        Self::Join(error)
    }
}

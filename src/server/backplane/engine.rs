use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::task::{Context, Poll};

use bytes::Bytes;

use super::store::Store;

/// An engine that carries messages from one server to the others: a connection to a broker, as a
/// rule. One object belongs to one server.
///
/// Subjects are of letters, digits and `.`, `_`, `-`, `~`, `%`, and are to be compared byte by
/// byte; what is published is opaque. An engine promises to carry it at most once, and what one
/// server publishes to a subject in that order.
///
/// The first three methods are called by whoever sends or enters a room, some of them while the
/// hub is locked: they must not wait, neither for a network nor for a lock that is held for long,
/// and must not call the server. They put what they are told into a queue, and a task or thread
/// that the engine has brought along does the rest.
///
/// ```
/// use std::task::{Context, Poll};
///
/// use bytes::Bytes;
/// use sansws::server::backplane::{Backplane, EngineEvent, PublishError};
///
/// /// An engine that is never there.
/// struct Nowhere;
///
/// impl Backplane for Nowhere {
///     fn publish(&self, _subject: &str, _message: Bytes) -> Result<(), PublishError> {
///         Err(PublishError::Away)
///     }
///
///     fn subscribe(&self, _subject: &str) {}
///
///     fn unsubscribe(&self, _subject: &str) {}
///
///     fn poll_event(&self, _cx: &mut Context<'_>) -> Poll<EngineEvent> {
///         Poll::Pending
///     }
/// }
/// ```
pub trait Backplane: Send + Sync + 'static {
    /// Queues a message for all servers that have subscribed to a subject. This one need not get it
    /// back: it drops what comes from itself.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; the message is dropped then.
    fn publish(&self, subject: &str, message: Bytes) -> Result<(), PublishError>;

    /// Subscribes to a subject, soon: from some moment on its messages arrive, also after the
    /// connection to the engine was lost and made again. Not called for one that is subscribed to
    /// already.
    fn subscribe(&self, subject: &str);

    /// Ends a subscription, soon. Messages that come nevertheless are dropped by the server, if
    /// nobody is in the room.
    fn unsubscribe(&self, subject: &str);

    /// Returns what has happened next. One task calls it; if nothing has happened, it is woken by
    /// its waker later. Until the first event says otherwise the engine is up.
    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<EngineEvent>;

    /// Returns the part of the engine that remembers, for
    /// [`SharedTopic`](crate::server::SharedTopic). `None` by default: whoever sends to such a
    /// topic is told that there is none.
    fn store(&self) -> Option<&dyn Store> {
        None
    }

    /// Ends the connection to the engine: the server is over. Nothing is called after that but
    /// [`publish`](Self::publish) and the two for subscriptions, which have no effect. Does nothing
    /// by default.
    fn close(&self) {}
}

/// Something that has happened at an engine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EngineEvent {
    /// A message has come.
    Message {
        /// One of those that are subscribed to.
        subject: String,
        /// What was published.
        message: Bytes,
    },
    /// The connection to the engine is there, and all that is subscribed to is subscribed to again.
    Up,
    /// The connection is lost, or cannot be made. What others publish until it is there again is
    /// lost to this server.
    Down {
        /// The reason, in one line.
        reason: Box<str>,
    },
    /// Messages were lost that [`Backplane::publish`] had taken, or that had come: they found no
    /// room, or the connection was lost before the engine had confirmed them.
    Lost {
        /// How many.
        messages: u64,
    },
}

/// The reason why a message was not published to the other servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PublishError {
    /// The engine is not connected. Nothing is kept for when it is.
    Away,
    /// So much waits for the engine, or for one of the other servers, already.
    Full {
        /// The bytes that wait.
        queued: usize,
        /// The most that may.
        limit: usize,
    },
    /// The subject is one that this engine cannot have: the name of the room is too long for it, or
    /// empty.
    Subject,
    /// The message is longer than the engine takes.
    Length {
        /// Its bytes, and those of the envelope.
        len: usize,
        /// The most that the engine takes.
        limit: usize,
    },
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away => f.write_str(
                "the backplane is not connected: the message has reached the clients of this \
                 server alone",
            ),
            Self::Full { queued, limit } => write!(
                f,
                "{queued} bytes wait for the backplane where {limit} may: the message has reached \
                 the clients of this server alone"
            ),
            Self::Subject => f.write_str(
                "the backplane cannot have the subject of this room: its name is empty or too long",
            ),
            Self::Length { len, limit } => write!(
                f,
                "the message takes {len} bytes where the backplane takes {limit}: raise the limit \
                 of the engine, `max_payload` of NATS"
            ),
        }
    }
}

impl core::error::Error for PublishError {}

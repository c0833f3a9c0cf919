use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;

use bytes::Bytes;

use crate::server::client::history::Position;

/// What an engine answers later. The future does nothing until it is polled, and may be dropped:
/// what was asked for may happen nevertheless.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, HistoryError>> + Send>>;

/// The part of an engine that remembers: what is in it gives the order of a
/// [`SharedTopic`](crate::server::SharedTopic), and survives servers.
///
/// An engine keeps, for each subject, an epoch, the offset of the last message, and the last
/// messages with their offsets: 1, 2, 3 and so on. An epoch ends when the engine has forgotten the
/// offset; the next one is that of whoever appends or reads first. It is kept while messages are,
/// and for a day after the last call, or an hour less.
///
/// A call takes no longer than some 10 s, and then fails.
pub trait Store: Send + Sync {
    /// Gives a message the next offset and keeps it, both or nothing.
    fn append(&self, append: Append) -> Answer<Appended>;

    /// Returns a part of what is kept.
    fn read(&self, read: Read) -> Answer<Page>;

    /// Forgets a subject: the next call begins another epoch. Returns whether there was something.
    fn forget(&self, subject: String) -> Answer<bool>;
}

/// A message that is to be kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Append {
    /// Where.
    pub subject: String,
    /// What: opaque.
    pub message: Bytes,
    /// The epoch that begins, if there is none: a random number.
    pub epoch: u64,
    /// The last position that the server knows of. If the engine has this epoch and a lower offset,
    /// it has lost its last messages, and another epoch begins: no offset is given twice.
    pub known: Option<Position>,
    /// The message is to be kept only right behind [`known`](Self::known), which is in it; `None`
    /// there is never right then.
    pub exact: bool,
    /// How many messages the engine must keep. It may keep some more.
    pub max_messages: usize,
    /// How long it must keep them. It may keep them longer.
    pub max_age: Duration,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums)] // one or the other
pub enum Appended {
    /// It is kept, at this position.
    At(Position),
    /// Another one has come before it, this is the position of the last one. Nothing was kept.
    Behind(Position),
}

/// What is to be read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Read {
    /// From where.
    pub subject: String,
    /// The epoch that begins, if there is none: a random number.
    pub epoch: u64,
    /// Messages behind this position; those of the whole epoch if the engine has another one. With
    /// `None` only the position of the last message. If the engine has this epoch and a lower
    /// offset, it has lost its last messages, and another epoch begins.
    pub after: Option<Position>,
    /// How many messages at the most. The engine may return fewer, but not none if there are any.
    pub most: usize,
    /// Only messages that are not older; those before them are not kept any more.
    pub max_age: Duration,
}

/// What was read.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_structs)] // engines make it
pub struct Page {
    /// The position of the last message that was ever kept in this epoch.
    pub last: Position,
    /// Messages with their offsets, without a gap. What is missing between the position that was
    /// asked for and the first of them is not kept any more.
    pub messages: Vec<(u64, Bytes)>,
}

/// The reason why an engine could not keep a message, or give back what it has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HistoryError {
    /// The engine has no history.
    Unsupported,
    /// The engine is not connected. Nothing was kept.
    Away,
    /// The connection was lost, or there was no answer in time, before the engine had confirmed the
    /// message: it may be kept, or not.
    Unsure {
        /// What has happened.
        reason: Box<str>,
    },
    /// So much waits for the engine already. Nothing was kept.
    Full {
        /// The bytes that wait.
        waiting: usize,
        /// The most that may.
        limit: usize,
    },
    /// Others were always faster to send to the topic. Nothing was kept.
    Contended,
    /// The engine refuses it, or what it says makes no sense. Nothing was kept.
    Engine {
        /// What it has said.
        reason: Box<str>,
    },
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported => f.write_str(
                "the engine of the backplane has no history: take one that has, such as Redis, or \
                 Hub::topic for one server alone",
            ),
            Self::Away => {
                f.write_str("the engine of the backplane is not connected: try again later")
            }
            Self::Unsure { reason } => write!(
                f,
                "the engine of the backplane has not confirmed it: {reason}; the message may be \
                 kept: read before you send it again"
            ),
            Self::Full { waiting, limit } => write!(
                f,
                "{waiting} bytes wait for the engine of the backplane where {limit} may: wait for \
                 the sends before"
            ),
            Self::Contended => f.write_str(
                "others were always faster to send to this topic: try again, or send without the \
                 position",
            ),
            Self::Engine { reason } => {
                write!(f, "the engine of the backplane refuses it: {reason}")
            }
        }
    }
}

impl core::error::Error for HistoryError {}

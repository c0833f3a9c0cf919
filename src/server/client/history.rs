#![forbid(unsafe_code)]

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::hash::BuildHasher;
use core::str::FromStr;
use core::time::Duration;
use std::hash::RandomState;

use tokio::time::Instant;

use crate::proto::PreparedMessage;

/// The bounds of what a [`Topic`](crate::server::Topic) remembers: the last messages, as far as
/// they are not too many, too old or too long together. The oldest go first.
///
/// The last value, for whoever comes, is a history of one: `History::last(1)`.
///
/// ```
/// use std::time::Duration;
/// use sansws::server::History;
///
/// const LINES: History = History::last(200).max_age(Duration::from_secs(24 * 3600));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct History {
    messages: usize,
    max_age: Duration,
    max_bytes: usize,
}

impl History {
    /// Keeps up to so many messages. With 0, messages get their offsets and none is kept.
    pub const fn last(messages: usize) -> Self {
        Self { messages, max_age: MAX_AGE, max_bytes: MAX_BYTES }
    }

    /// Sets for how long a message is kept. 1 hour if it is not set.
    ///
    /// A message that is older is sent to nobody any more; its memory is given back within some 10
    /// s while the server runs.
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Sets how many bytes are kept: of payloads, plain and compressed, and 192 for each message.
    /// 512 KiB if it is not set: half of what may wait for a client by default, so that all of it
    /// can be queued for one that comes.
    ///
    /// The last message is kept however long it is, as far as
    /// [`Server::max_history_bytes`](crate::server::Server::max_history_bytes) allows.
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }
}

/// What engines are told.
impl History {
    pub(crate) const fn bounds(&self) -> (usize, Duration) {
        (self.messages, self.max_age)
    }
}

const MAX_AGE: Duration = Duration::from_secs(3600);
const MAX_BYTES: usize = 512 * 1024;

/// A place in the history of a [`Topic`](crate::server::Topic): that of a message, behind which a
/// client that comes back goes on.
///
/// As text it is `EPOCH-OFFSET`, 16 hexadecimal digits and a decimal number, which can stand in an
/// address as it is: `?since=00c5b61fd03b4a29-17`. Only what [`Display`](fmt::Display) writes is
/// read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs)] // its text has these two
pub struct Position {
    /// A random number that the history got when it began: one that begins anew, because it was
    /// forgotten or the server was started again, has another one.
    pub epoch: u64,
    /// The number of messages that were sent so far: the first one has 1, and 0 is before it.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.epoch, self.offset)
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let (epoch, offset) = text.split_once('-').ok_or(PositionError)?;
        let is_hex = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        let is_number = offset == "0" || !offset.starts_with('0');
        if epoch.len() != 16
            || !epoch.bytes().all(is_hex)
            || !offset.bytes().all(|c| c.is_ascii_digit())
            || !is_number
        {
            return Err(PositionError);
        }
        let epoch = u64::from_str_radix(epoch, 16).map_err(|_| PositionError)?;
        Ok(Self { epoch, offset: offset.parse().map_err(|_| PositionError)? })
    }
}

/// A text is no [`Position`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PositionError;

impl fmt::Display for PositionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "this is no position: write EPOCH-OFFSET, 16 hexadecimal digits and a decimal number, \
             such as 00c5b61fd03b4a29-17",
        )
    }
}

impl core::error::Error for PositionError {}

/// The reason why a client cannot go on where it was: something between is lost for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Missed {
    /// The messages behind its position are not kept any more.
    TooOld {
        /// How many: those after them are there.
        lost: u64,
    },
    /// The position is none of this history: it began anew since, and nobody knows what was sent
    /// between. Or the client made the position up.
    OtherEpoch,
    /// All messages are kept, but more than may wait for one client.
    TooMuch {
        /// The messages that it has missed.
        messages: usize,
        /// Their bytes and those that wait for the client already, as its queue counts them.
        bytes: usize,
        /// [`Server::max_queued_bytes`](crate::server::Server::max_queued_bytes).
        limit: usize,
    },
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooOld { lost } => write!(
                f,
                "{lost} messages since are not kept any more: begin anew, and raise the bounds of \
                 the History if clients are away for so long"
            ),
            Self::OtherEpoch => f.write_str("the position is that of another history: begin anew"),
            Self::TooMuch { messages, bytes, limit } => write!(
                f,
                "{messages} messages since would make {bytes} bytes wait where {limit} may: begin \
                 anew, keep less, or raise Server::max_queued_bytes"
            ),
        }
    }
}

impl core::error::Error for Missed {}

/// The last messages of a topic, in order and without a gap.
pub(crate) struct Log {
    history: History,
    /// That of the last message, also if it is not kept.
    last: Position,
    kept: VecDeque<Kept>,
    /// What the messages are charged.
    bytes: usize,
    /// It is in the hub no more: nothing is kept.
    is_forgotten: bool,
}

struct Kept {
    message: PreparedMessage,
    sent: Instant,
}

impl Kept {
    fn charge(&self) -> usize {
        self.message.encoded_len() + CHARGE
    }
}

/// The bytes that a message is charged beside those of its frames: three allocations, and its place
/// in the log.
const CHARGE: usize = 192;

impl Log {
    pub(super) fn new(history: History) -> Self {
        // the keys are random, so that the hash of anything is
        let epoch = RandomState::new().hash_one(0);
        Self::at(history, Position { epoch, offset: 0 })
    }

    /// Makes one that goes on behind a position.
    pub(crate) const fn at(history: History, last: Position) -> Self {
        Self { history, last, kept: VecDeque::new(), bytes: 0, is_forgotten: false }
    }

    /// Returns the position of the last message.
    pub(crate) const fn last(&self) -> Position {
        self.last
    }

    /// Returns the position that the next message gets.
    pub(super) const fn next(&self) -> Position {
        Position { epoch: self.last.epoch, offset: self.last.offset + 1 }
    }

    /// Returns what the messages are charged, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Sets the bounds, and drops what is beyond them.
    pub(crate) fn set(&mut self, history: History, now: Instant) {
        self.history = history;
        self.trim(now);
    }

    /// Gives a message the next position, and keeps it.
    pub(crate) fn append(&mut self, message: &PreparedMessage, now: Instant) {
        self.last = self.next();
        if self.is_forgotten {
            return;
        }
        let kept = Kept { message: message.clone(), sent: now };
        self.bytes += kept.charge();
        self.kept.push_back(kept);
        self.trim(now);
    }

    /// Drops what is beyond the bounds.
    pub(super) fn trim(&mut self, now: Instant) {
        let History { messages, max_age, max_bytes } = self.history;
        while let Some(first) = self.kept.front() {
            let count = self.kept.len();
            let is_old = now.saturating_duration_since(first.sent) >= max_age;
            if count <= messages && !is_old && (self.bytes <= max_bytes || count == 1) {
                break;
            }
            self.drop_first();
        }
    }

    /// Drops the oldest message. Returns whether there was one.
    pub(super) fn drop_first(&mut self) -> bool {
        let first = self.kept.pop_front();
        self.bytes -= first.as_ref().map_or(0, Kept::charge);
        first.is_some()
    }

    /// Takes out all messages, and keeps none from now on.
    pub(super) fn forget(&mut self) -> impl Sized + use<> {
        self.is_forgotten = true;
        self.bytes = 0;
        core::mem::take(&mut self.kept)
    }

    /// Returns the messages behind a position.
    pub(crate) fn since(&self, position: Position) -> Result<Vec<PreparedMessage>, Missed> {
        if position.epoch != self.last.epoch || position.offset > self.last.offset {
            return Err(Missed::OtherEpoch);
        }
        let behind = self.last.offset - position.offset;
        let lost = behind.saturating_sub(self.kept.len() as u64);
        match usize::try_from(behind) {
            Ok(behind) if lost == 0 => Ok(self.newest(behind)),
            _ => Err(Missed::TooOld { lost }),
        }
    }

    /// Returns the newest messages, up to a number of them, the oldest first.
    pub(super) fn newest(&self, count: usize) -> Vec<PreparedMessage> {
        let skipped = self.kept.len().saturating_sub(count);
        self.kept.iter().skip(skipped).map(|kept| kept.message.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};

    use super::*;

    fn filled(history: History, count: usize) -> (Log, Instant) {
        let (mut log, now) = (Log::new(history), Instant::now());
        for at in 1..=count {
            log.append(&PreparedMessage::new(at.to_string()).unwrap(), now);
        }
        (log, now)
    }

    fn texts(messages: Vec<PreparedMessage>) -> Vec<String> {
        messages.iter().map(|it| String::from_utf8(it.payload().to_vec()).unwrap()).collect()
    }

    #[test]
    fn positions_are_read_as_they_are_written() {
        for (epoch, offset) in [(0, 0), (1, 10), (u64::MAX, u64::MAX), (0xc5b6_1fd0_3b4a_2911, 7)] {
            let position = Position { epoch, offset };
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        let position = Position { epoch: 0xab, offset: 17 };
        assert_eq!(position.to_string(), "00000000000000ab-17");
        for text in [
            "",
            "-",
            "17",
            "ab-17",
            "00000000000000ab",
            "00000000000000ab-",
            "00000000000000AB-17",
            "00000000000000ab-017",
            "00000000000000ab-00",
            "00000000000000ab-+17",
            "00000000000000ab--17",
            "00000000000000ab-17 ",
            "00000000000000ab-18446744073709551616",
            "+0000000000000ab-17",
            "0000000000000000ab-17",
        ] {
            assert_eq!(text.parse::<Position>(), Err(PositionError), "{text:?}");
        }
    }

    #[test]
    fn epochs_differ() {
        let epochs: alloc::collections::BTreeSet<_> =
            (0..100).map(|_| Log::new(History::last(1)).last().epoch).collect();
        assert_eq!(epochs.len(), 100);
    }

    #[test]
    fn what_is_behind_a_position_is_there_or_said_to_be_lost() {
        let (log, _) = filled(History::last(3), 5);
        let at = |offset| Position { offset, ..log.last() };
        assert_eq!((log.last().offset, log.next().offset), (5, 6));
        assert_eq!(log.since(at(5)).map(texts), Ok(Vec::new()));
        assert_eq!(texts(log.since(at(3)).unwrap()), ["4", "5"]);
        assert_eq!(texts(log.since(at(2)).unwrap()), ["3", "4", "5"]);
        assert_eq!(log.since(at(1)).map(texts), Err(Missed::TooOld { lost: 1 }));
        assert_eq!(log.since(at(0)).map(texts), Err(Missed::TooOld { lost: 2 }));
        assert_eq!(log.since(at(6)).map(texts), Err(Missed::OtherEpoch));
        let other = Position { epoch: !log.last().epoch, offset: 3 };
        assert_eq!(log.since(other).map(texts), Err(Missed::OtherEpoch));
        assert_eq!(texts(log.newest(2)), ["4", "5"]);
        assert_eq!(texts(log.newest(usize::MAX)), ["3", "4", "5"]);
        assert_eq!(log.newest(0).len(), 0);
    }

    #[test]
    fn all_three_bounds_hold() {
        // a frame of a byte has three
        let (log, _) = filled(History::last(9).max_bytes(2 * (CHARGE + 3)), 5);
        assert_eq!((texts(log.newest(9)), log.bytes()), (["4", "5"].map(String::from).into(), 390));
        // the last one stays
        let (mut log, now) = filled(History::last(9).max_bytes(0), 5);
        assert_eq!(texts(log.newest(9)), ["5"]);
        // but not for ever
        let later = now + MAX_AGE - Duration::from_nanos(1);
        log.trim(later);
        assert_eq!(texts(log.newest(9)), ["5"]);
        log.trim(now + MAX_AGE);
        assert!(log.is_empty());
        assert_eq!((log.bytes(), log.last().offset), (0, 5), "offsets go on");
        let (log, _) = filled(History::last(0), 5);
        assert!(log.is_empty());
        assert_eq!(log.last().offset, 5);
        // narrower bounds hold at once
        let (mut log, now) = filled(History::last(9), 5);
        log.set(History::last(2), now);
        assert_eq!(texts(log.newest(9)), ["4", "5"]);
    }

    #[test]
    fn one_that_is_forgotten_keeps_nothing() {
        let (mut log, now) = filled(History::last(9), 5);
        drop(log.forget());
        log.append(&PreparedMessage::new("6").unwrap(), now);
        assert_eq!((log.is_empty(), log.bytes(), log.last().offset), (true, 0, 6));
        let before = Position { offset: 5, ..log.last() };
        assert_eq!(log.since(before).map(texts), Err(Missed::TooOld { lost: 1 }));
    }
}

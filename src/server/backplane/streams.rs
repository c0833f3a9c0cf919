//! History in Redis: a stream for each topic, whose ids are `EPOCH-OFFSET`.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use ::redis::aio::MultiplexedConnection;
use ::redis::{Cmd, RedisError, cmd};
use bytes::Bytes;

use super::keep::{ANSWER_TIMEOUT, NO_ANSWER};
use super::link::Link;
use super::store::{Answer, Append, Appended, HistoryError, Page, Read, Store};
use crate::server::client::history::Position;

/// The connection for scripts, while there is one: that on which is published.
#[derive(Clone, Default)]
pub(super) struct Slot(Arc<Mutex<Option<MultiplexedConnection>>>);

impl Slot {
    pub(super) fn set(&self, connection: &MultiplexedConnection) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
    }

    /// Gives up a connection that is over.
    pub(super) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn get(&self) -> Option<MultiplexedConnection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The part of [`Redis`](super::Redis) that remembers.
pub(super) struct Streams {
    slot: Slot,
    link: Arc<Link>,
}

/// What both scripts need: the last id, also of a stream whose messages are all gone; a stream that
/// begins, with an id before the first, also where a server knows of a later one than Redis, which
/// has lost its last messages then; and the time until a stream is gone, put off once an hour so
/// that a read is no write as a rule.
macro_rules! script {
    ($rest:literal) => {
        concat!(
            "local key = KEYS[1]
local function begin(epoch)
  redis.call('XGROUP', 'CREATE', key, 'begin', '$', 'MKSTREAM')
  redis.call('XGROUP', 'DESTROY', key, 'begin')
  redis.call('XSETID', key, epoch .. '-0')
  return epoch, 0
end
local function last(epoch)
  if redis.call('EXISTS', key) == 0 then return begin(epoch) end
  local info = redis.call('XINFO', 'STREAM', key)
  for at = 1, #info, 2 do
    if info[at] == 'last-generated-id' then
      local epoch, offset = string.match(info[at + 1], '^(%d+)-(%d+)$')
      return epoch, tonumber(offset)
    end
  end
end
local function current(new, known_epoch, known)
  local epoch, offset = last(new)
  if epoch ~= known_epoch or offset >= known then return epoch, offset end
  redis.call('DEL', key)
  return begin(new)
end
local function id(epoch, offset) return epoch .. '-' .. string.format('%.0f', offset) end
local function live(ttl)
  if redis.call('PTTL', key) < ttl - 3600000 then redis.call('PEXPIRE', key, ttl) end
end
local function field(entry, name)
  for at = 1, #entry[2], 2 do
    if entry[2][at] == name then return entry[2][at + 1] end
  end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function is_old(entry, age)
  local sent = tonumber(field(entry, 't'))
  return sent ~= nil and now - sent >= age
end
",
            $rest
        )
    };
}

/// Two old messages go for each that comes, so that those that are too old become fewer.
const APPEND: &str = script!(
    "local new, known_epoch, known, exact = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1'
local most, age, ttl, message = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
local epoch, offset = current(new, known_epoch, known)
if exact and not (epoch == known_epoch and offset == known) then
  live(ttl)
  return {0, id(epoch, offset)}
end
for _, entry in ipairs(redis.call('XRANGE', key, '-', '+', 'COUNT', 2)) do
  if is_old(entry, age) then redis.call('XDEL', key, entry[1]) end
end
local at = id(epoch, offset + 1)
redis.call('XADD', key, 'MAXLEN', '~', most, at, 't', string.format('%.0f', now), 'm', message)
live(ttl)
return {1, at}
"
);

/// A few messages at a time, until they are long enough together.
const READ: &str = script!(
    "local new, after_epoch, after = ARGV[1], ARGV[2], tonumber(ARGV[3])
local most, age, bytes = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local epoch, offset = current(new, after_epoch, after)
live(tonumber(ARGV[7]))
local found = {id(epoch, offset)}
if after_epoch == '' then return found end
if epoch ~= after_epoch then after = 0 end
local from = id(epoch, after + 1)
while most > 0 and bytes > 0 do
  local entries = redis.call('XRANGE', key, from, '+', 'COUNT', math.min(most, 16))
  if #entries == 0 then break end
  for _, entry in ipairs(entries) do
    local _, entry_offset = string.match(entry[1], '^(%d+)-(%d+)$')
    from = id(epoch, tonumber(entry_offset) + 1)
    if not is_old(entry, age) then
      local message = field(entry, 'm') or ''
      most, bytes = most - 1, bytes - #message
      found[#found + 1] = entry[1]
      found[#found + 1] = message
      if bytes <= 0 then break end
    end
  end
end
return found
"
);

/// The bytes of one read, but for the last message: little enough to hold up nobody.
const READ_BYTES: usize = 256 * 1024;

/// How long a stream is there behind its last message, or the last call.
const LINGER: Duration = Duration::from_secs(24 * 3600);

/// As long as nothing expires: a hundred years, of which all numbers in scripts are exact.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

fn millis(time: Duration) -> u64 {
    time.min(LONGEST).as_millis() as u64
}

impl Streams {
    pub(super) const fn new(slot: Slot, link: Arc<Link>) -> Self {
        Self { slot, link }
    }

    /// Runs a command; an answer that did not come is turned into an error by `lost`.
    fn run<T: ::redis::FromRedisValue + Send + 'static, U: 'static>(
        &self,
        command: Cmd,
        lost: fn(Box<str>) -> HistoryError,
        parse: impl FnOnce(T) -> Option<U> + Send + 'static,
    ) -> Answer<U> {
        let connection = self.slot.get().filter(|_| self.link.is_up());
        Box::pin(async move {
            let mut connection = connection.ok_or(HistoryError::Away)?;
            let answer =
                tokio::time::timeout(ANSWER_TIMEOUT, command.query_async::<T>(&mut connection));
            let value = match answer.await {
                Ok(Ok(value)) => value,
                Ok(Err(error)) if is_answer(&error) => {
                    return Err(HistoryError::Engine { reason: error.to_string().into() });
                }
                Ok(Err(error)) => return Err(lost(error.to_string().into())),
                Err(_) => return Err(lost(NO_ANSWER.into())),
            };
            parse(value).ok_or_else(|| HistoryError::Engine { reason: "this is no history".into() })
        })
    }
}

/// Returns whether Redis has answered, and has refused.
fn is_answer(error: &RedisError) -> bool {
    error.code().is_some()
}

impl Store for Streams {
    fn append(&self, append: Append) -> Answer<Appended> {
        let Append { subject, message, epoch, known, exact, max_messages, max_age } = append;
        let (known_epoch, known) = known.map_or((String::new(), 0), split);
        let mut command = cmd("EVAL");
        command.arg(APPEND).arg(1).arg(subject).arg(epoch.max(1)).arg(known_epoch).arg(known);
        let max_messages = i64::try_from(max_messages).unwrap_or(i64::MAX); // as Redis counts
        command.arg(u8::from(exact)).arg(max_messages).arg(millis(max_age));
        command.arg(millis(max_age) + millis(LINGER)).arg(&message[..]);
        drop(message);
        let lost = |reason| HistoryError::Unsure { reason };
        self.run(command, lost, |(is_kept, at): (u8, String)| {
            let at = parse(&at)?;
            Some(if is_kept == 1 { Appended::At(at) } else { Appended::Behind(at) })
        })
    }

    fn read(&self, read: Read) -> Answer<Page> {
        let Read { subject, epoch, after, most, max_age } = read;
        let (after_epoch, after) = after.map_or((String::new(), 0), split);
        let mut command = cmd("EVAL");
        command.arg(READ).arg(1).arg(subject).arg(epoch.max(1)).arg(after_epoch).arg(after);
        command.arg(most).arg(millis(max_age)).arg(READ_BYTES).arg(millis(LINGER));
        self.run(
            command,
            |_| HistoryError::Away,
            |found: Vec<Vec<u8>>| {
                let mut found = found.into_iter();
                let id = |bytes: &[u8]| parse(core::str::from_utf8(bytes).ok()?);
                let last = id(&found.next()?)?;
                let mut messages: Vec<(u64, Bytes)> = Vec::new();
                while let (Some(at), Some(message)) = (found.next(), found.next()) {
                    let offset = id(&at)?.offset;
                    // somebody has deleted one between: what is behind it is asked for again
                    if messages.last().is_some_and(|(before, _)| before + 1 != offset) {
                        break;
                    }
                    messages.push((offset, message.into()));
                }
                Some(Page { last, messages })
            },
        )
    }

    fn forget(&self, subject: String) -> Answer<bool> {
        let mut command = cmd("DEL");
        command.arg(subject);
        self.run(command, |_| HistoryError::Away, |count: u64| Some(count > 0))
    }
}

fn split(position: Position) -> (String, u64) {
    (format!("{}", position.epoch), position.offset)
}

fn parse(id: &str) -> Option<Position> {
    let (epoch, offset) = id.split_once('-')?;
    Some(Position { epoch: epoch.parse().ok()?, offset: offset.parse().ok()? })
}

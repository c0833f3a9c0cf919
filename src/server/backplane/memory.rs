use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::time::Instant;

use super::engine::{Backplane, EngineEvent, PublishError};
use super::store::{Answer, Append, Appended, HistoryError, Page, Read, Store};
use crate::server::client::history::Position;

/// An engine in memory: for several servers in one process, and for tests. Each clone is a
/// connection of its own to the same bus, for one server.
///
/// What waits for one server is bounded: [`max_queued`](Self::max_queued). A message that does not
/// fit for one of the servers reaches the others, and its sender is told
/// ([`PublishError::Full`]).
pub struct Memory {
    bus: Arc<Bus>,
    id: u64,
    own: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Bus {
    connections: Mutex<Connections>,
    kept: Mutex<BTreeMap<String, Kept>>,
}

#[derive(Default)]
struct Connections {
    queues: BTreeMap<u64, Arc<Mutex<Queue>>>,
    next: u64,
}

/// What a subject remembers.
struct Kept {
    last: Position,
    messages: VecDeque<(Instant, Bytes)>,
    expires: Instant,
}

/// What one server has subscribed to, and what waits for it.
struct Queue {
    subjects: BTreeSet<String>,
    messages: VecDeque<(String, Bytes)>,
    /// The bytes of the messages, each with [`CHARGE`].
    bytes: usize,
    limit: usize,
    waker: Option<Waker>,
}

/// What a message is charged beside its payload, as in the queue of a client.
const CHARGE: usize = 64;

/// As much as the queue to any other engine.
const DEFAULT_LIMIT: usize = 16 * 1024 * 1024;

impl Memory {
    /// Makes a bus, and the first connection to it.
    pub fn new() -> Self {
        Self::connection(Arc::default(), DEFAULT_LIMIT)
    }

    /// Sets the most bytes that may wait for the server of this connection, and of those that are
    /// cloned from it afterwards. Each message is charged its payload and 64 bytes. Default 16 MiB:
    /// it is reached where a server gets no processor for a time.
    #[must_use]
    pub fn max_queued(self, bytes: usize) -> Self {
        lock(&self.own).limit = bytes;
        self
    }

    fn connection(bus: Arc<Bus>, limit: usize) -> Self {
        let own = Arc::new(Mutex::new(Queue {
            subjects: BTreeSet::new(),
            messages: VecDeque::new(),
            bytes: 0,
            limit,
            waker: None,
        }));
        let mut connections = lock(&bus.connections);
        let id = connections.next;
        connections.next += 1;
        connections.queues.insert(id, Arc::clone(&own));
        drop(connections);
        Self { bus, id, own }
    }
}

impl Queue {
    /// Queues a message, if it is for this server. Returns whom to wake.
    fn push(&mut self, subject: &str, message: &Bytes) -> Result<Option<Waker>, PublishError> {
        if !self.subjects.contains(subject) {
            return Ok(None);
        }
        let bytes = CHARGE + message.len();
        // one message always has room
        if !self.messages.is_empty() && self.bytes + bytes > self.limit {
            return Err(PublishError::Full { queued: self.bytes, limit: self.limit });
        }
        self.bytes += bytes;
        self.messages.push_back((subject.into(), message.clone()));
        Ok(self.waker.take())
    }
}

impl Backplane for Memory {
    fn publish(&self, subject: &str, message: Bytes) -> Result<(), PublishError> {
        let mut result = Ok(());
        let mut wakers = Vec::new();
        {
            // held all along: what two servers publish comes to all others in the same order
            let connections = lock(&self.bus.connections);
            if !connections.queues.contains_key(&self.id) {
                return Err(PublishError::Away);
            }
            for (_, queue) in connections.queues.iter().filter(|(id, _)| **id != self.id) {
                match lock(queue).push(subject, &message) {
                    Ok(waker) => wakers.extend(waker),
                    Err(error) => result = Err(error),
                }
            }
        }
        wakers.into_iter().for_each(Waker::wake);
        result
    }

    fn subscribe(&self, subject: &str) {
        lock(&self.own).subjects.insert(subject.into());
    }

    fn unsubscribe(&self, subject: &str) {
        lock(&self.own).subjects.remove(subject);
    }

    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<EngineEvent> {
        let mut queue = lock(&self.own);
        let Some((subject, message)) = queue.messages.pop_front() else {
            queue.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        queue.bytes -= CHARGE + message.len();
        Poll::Ready(EngineEvent::Message { subject, message })
    }

    fn store(&self) -> Option<&dyn Store> {
        Some(self)
    }

    fn close(&self) {
        lock(&self.bus.connections).queues.remove(&self.id);
        let mut queue = lock(&self.own);
        queue.messages.clear();
        queue.bytes = 0;
    }
}

/// The history is that of the bus, and ends with it.
impl Store for Memory {
    fn append(&self, append: Append) -> Answer<Appended> {
        let Append { subject, message, epoch, known, exact, max_messages, max_age } = append;
        let now = Instant::now();
        let mut all = lock(&self.bus.kept);
        let kept = Kept::of(&mut all, subject, epoch, now);
        kept.know(known, epoch, now);
        if exact && known != Some(kept.last) {
            return ready(Ok(Appended::Behind(kept.last)));
        }
        kept.last.offset += 1;
        kept.messages.push_back((now, message));
        let is_old = |sent: &Instant| now.saturating_duration_since(*sent) >= max_age;
        while kept.messages.len() > max_messages
            || kept.messages.front().is_some_and(|(sent, _)| is_old(sent))
        {
            kept.messages.pop_front();
        }
        kept.expires = kept.expires.max(now + max_age.min(LONGEST) + LINGER);
        ready(Ok(Appended::At(kept.last)))
    }

    fn read(&self, read: Read) -> Answer<Page> {
        let Read { subject, epoch, after, most, max_age } = read;
        let now = Instant::now();
        let mut all = lock(&self.bus.kept);
        let kept = Kept::of(&mut all, subject, epoch, now);
        kept.know(after, epoch, now);
        kept.expires = kept.expires.max(now + LINGER);
        let last = kept.last;
        let Some(after) = after else { return ready(Ok(Page { last, messages: Vec::new() })) };
        let after = if after.epoch == last.epoch { after.offset } else { 0 };
        let first = last.offset + 1 - kept.messages.len() as u64;
        let messages = (first..).zip(&kept.messages).filter(|(offset, (sent, _))| {
            *offset > after && now.saturating_duration_since(*sent) < max_age
        });
        let messages = messages.take(most).map(|(at, (_, message))| (at, message.clone()));
        ready(Ok(Page { last, messages: messages.collect() }))
    }

    fn forget(&self, subject: String) -> Answer<bool> {
        ready(Ok(lock(&self.bus.kept).remove(&subject).is_some()))
    }
}

impl Kept {
    fn new(epoch: u64, now: Instant) -> Self {
        let last = Position { epoch, offset: 0 };
        Self { last, messages: VecDeque::new(), expires: now + LINGER }
    }

    /// Returns what a subject remembers, and begins with it if there is nothing or it has expired.
    fn of(
        all: &mut BTreeMap<String, Self>,
        subject: String,
        epoch: u64,
        now: Instant,
    ) -> &mut Self {
        if !all.contains_key(&subject) {
            all.retain(|_, kept| kept.expires > now);
        }
        let kept = all.entry(subject).or_insert_with(|| Self::new(epoch, now));
        if kept.expires <= now {
            *kept = Self::new(epoch, now);
        }
        kept
    }

    /// Begins with another epoch, if a server knows of a later position in this one.
    fn know(&mut self, known: Option<Position>, epoch: u64, now: Instant) {
        if known.is_some_and(|it| it.epoch == self.last.epoch && it.offset > self.last.offset) {
            *self = Self::new(epoch, now);
        }
    }
}

/// How long an epoch is kept behind the last message, or the last call.
const LINGER: Duration = Duration::from_secs(24 * 3600);

/// The longest age that there is a time of.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

fn ready<T: Send + 'static>(result: Result<T, HistoryError>) -> Answer<T> {
    Box::pin(core::future::ready(result))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Clone for Memory {
    fn clone(&self) -> Self {
        let limit = lock(&self.own).limit;
        Self::connection(Arc::clone(&self.bus), limit)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("queued", &lock(&self.own).bytes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(bus: &Memory, known: Option<Position>, exact: bool) -> Appended {
        let append = Append {
            subject: "a".into(),
            message: Bytes::from_static(b"x"),
            epoch: 7,
            known,
            exact,
            max_messages: 3,
            max_age: Duration::MAX,
        };
        answer(Store::append(bus, append))
    }

    fn read(bus: &Memory, after: Option<Position>, most: usize) -> Page {
        let (subject, max_age) = ("a".into(), Duration::MAX);
        answer(bus.read(Read { subject, epoch: 8, after, most, max_age }))
    }

    fn answer<T>(answer: Answer<T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(answer).unwrap()
    }

    const fn at(epoch: u64, offset: u64) -> Position {
        Position { epoch, offset }
    }

    #[test]
    fn positions_are_given_in_order_and_not_twice() {
        let bus = Memory::new();
        for offset in 1..=5 {
            assert_eq!(append(&bus, None, false), Appended::At(at(7, offset)));
        }
        assert_eq!(append(&bus, Some(at(7, 4)), true), Appended::Behind(at(7, 5)));
        assert_eq!(append(&bus, None, true), Appended::Behind(at(7, 5)));
        assert_eq!(append(&bus, Some(at(7, 5)), true), Appended::At(at(7, 6)));
        let offsets = |page: &Page| page.messages.iter().map(|it| it.0).collect::<Vec<_>>();
        let page = read(&bus, Some(at(7, 1)), 10);
        assert_eq!(page.last, at(7, 6));
        assert_eq!(offsets(&page), [4, 5, 6]);
        assert_eq!(offsets(&read(&bus, Some(at(7, 4)), 1)), [5]);
        assert_eq!(offsets(&read(&bus, Some(at(1, 5)), 10)), [4, 5, 6], "all of another epoch");
        assert_eq!(offsets(&read(&bus, None, 10)), [0_u64; 0]);
        // a server that knows more: the end was lost
        assert_eq!(append(&bus, Some(at(7, 9)), false), Appended::At(at(7, 1)));
        let page = read(&bus, Some(at(7, 9)), 10);
        assert_eq!((page.last, page.messages.len()), (at(8, 0), 0));
        assert!(answer(bus.forget("a".into())) && !answer(bus.forget("a".into())));
        assert_eq!(read(&bus, None, 10).last, at(8, 0));
    }
}

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::task::{Context, Poll, Waker};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::engine::{Backplane, EngineEvent, PublishError};

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
}

#[derive(Default)]
struct Connections {
    queues: BTreeMap<u64, Arc<Mutex<Queue>>>,
    next: u64,
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

    fn close(&self) {
        lock(&self.bus.connections).queues.remove(&self.id);
        let mut queue = lock(&self.own);
        queue.messages.clear();
        queue.bytes = 0;
    }
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

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::connect::Overflow;
use super::engine::{EngineEvent, PublishError};

/// What lies between a server, which never waits, and the task of an engine that does.
pub(super) struct Link {
    state: Mutex<State>,
    /// There is something to do for the task.
    work: Notify,
    /// It is closed.
    closed: Notify,
}

struct State {
    up: bool,
    closed: bool,
    /// The most bytes in each of both queues.
    limit: usize,
    overflow: Overflow,
    /// The longest message that the engine takes.
    max_message: usize,
    /// The longest subject that the engine takes.
    max_subject: usize,
    /// What the server wants, and what the task has been told and the server wants no longer.
    subjects: BTreeMap<String, Subscription>,
    /// Those of the subjects of which the task is to be told.
    changed: BTreeSet<String>,
    outgoing: Queue,
    incoming: Queue,
    /// At most a Down and an Up, in either order, each with the number of messages that come
    /// before it.
    notices: VecDeque<(u64, EngineEvent)>,
    /// Messages that were dropped since the server was told.
    lost: u64,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Default)]
struct Subscription {
    wanted: bool,
    /// On the connection that there is.
    told: bool,
}

/// Messages with their subjects.
#[derive(Default)]
struct Queue {
    messages: VecDeque<(String, Bytes)>,
    /// Their bytes, each with its subject and [`CHARGE`].
    bytes: usize,
    /// How many were ever taken out.
    taken: u64,
}

impl Queue {
    fn push(&mut self, subject: String, message: Bytes) {
        self.bytes += charge(&subject, &message);
        self.messages.push_back((subject, message));
    }

    fn pop(&mut self) -> Option<(String, Bytes)> {
        let (subject, message) = self.messages.pop_front()?;
        self.bytes -= charge(&subject, &message);
        self.taken += 1;
        Some((subject, message))
    }

    /// Returns whether one more fits; the first always does.
    fn has_room(&self, more: usize, limit: usize) -> bool {
        self.messages.is_empty() || self.bytes + more <= limit
    }

    fn clear(&mut self) -> u64 {
        let count = self.messages.len() as u64;
        self.messages = VecDeque::new();
        self.bytes = 0;
        self.taken += count;
        count
    }
}

fn charge(subject: &str, message: &Bytes) -> usize {
    CHARGE + subject.len() + message.len()
}

/// What a message is charged beside its bytes, as in the queue of a client.
const CHARGE: usize = 64;

/// Some seconds of a busy server: 16 000 messages of 1 KB.
const DEFAULT_LIMIT: usize = 16 * 1024 * 1024;

/// The most messages of one write, and their bytes but for the last: enough to make the cost of a
/// write small, little enough to be answered within milliseconds.
const BATCH: usize = 512;
const BATCH_BYTES: usize = 256 * 1024;

/// What the task of an engine has to do next.
#[derive(Default)]
pub(super) struct Work {
    /// Subjects, and whether to subscribe to them.
    pub(super) changes: Vec<(String, bool)>,
    pub(super) messages: Vec<(String, Bytes)>,
}

/// What the server calls.
impl Link {
    /// Makes one whose engine is connected.
    pub(super) fn new() -> Self {
        let state = State {
            up: true,
            closed: false,
            limit: DEFAULT_LIMIT,
            overflow: Overflow::default(),
            max_message: usize::MAX,
            max_subject: usize::MAX,
            subjects: BTreeMap::new(),
            changed: BTreeSet::new(),
            outgoing: Queue::default(),
            incoming: Queue::default(),
            notices: VecDeque::new(),
            lost: 0,
            waker: None,
        };
        Self { state: Mutex::new(state), work: Notify::new(), closed: Notify::new() }
    }

    pub(super) fn set_limit(&self, bytes: usize) {
        self.lock().limit = bytes;
    }

    pub(super) fn set_overflow(&self, overflow: Overflow) {
        self.lock().overflow = overflow;
    }

    /// Sets what the engine takes.
    #[cfg(any(feature = "nats", test))]
    pub(super) fn set_lengths(&self, message: usize, subject: usize) {
        let mut state = self.lock();
        (state.max_message, state.max_subject) = (message, subject);
    }

    pub(super) fn publish(&self, subject: &str, message: Bytes) -> Result<(), PublishError> {
        let mut state = self.lock();
        if !state.up || state.closed {
            return Err(PublishError::Away);
        }
        if subject.len() > state.max_subject {
            return Err(PublishError::Subject);
        }
        if message.len() > state.max_message {
            return Err(PublishError::Length { len: message.len(), limit: state.max_message });
        }
        let (limit, more) = (state.limit, charge(subject, &message));
        while !state.outgoing.has_room(more, limit) {
            if state.overflow == Overflow::DropNewest {
                return Err(PublishError::Full { queued: state.outgoing.bytes, limit });
            }
            state.outgoing.pop();
            state.lost += 1;
        }
        let had_lost = state.lost > 0;
        state.outgoing.push(subject.into(), message);
        if had_lost {
            Self::wake(state);
        } else {
            drop(state);
        }
        self.work.notify_one();
        Ok(())
    }

    pub(super) fn subscribe(&self, subject: &str, wanted: bool) {
        let mut state = self.lock();
        if state.closed || subject.len() > state.max_subject {
            return;
        }
        let subscription = state.subjects.entry(subject.into()).or_default();
        subscription.wanted = wanted;
        let Subscription { told, .. } = *subscription;
        if wanted == told {
            // what the task has not been told of yet, it need not be
            state.changed.remove(subject);
            if !wanted {
                state.subjects.remove(subject);
            }
            return;
        }
        state.changed.insert(subject.into());
        drop(state);
        self.work.notify_one();
    }

    pub(super) fn poll_event(&self, cx: &mut Context<'_>) -> Poll<EngineEvent> {
        let mut state = self.lock();
        if state.lost > 0 {
            let messages = core::mem::take(&mut state.lost);
            return Poll::Ready(EngineEvent::Lost { messages });
        }
        let taken = state.incoming.taken;
        if state.notices.front().is_some_and(|(before, _)| *before <= taken)
            && let Some((_, event)) = state.notices.pop_front()
        {
            return Poll::Ready(event);
        }
        if let Some((subject, message)) = state.incoming.pop() {
            return Poll::Ready(EngineEvent::Message { subject, message });
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Takes nothing any more. What waits for the engine may still leave: the last of it says that
    /// the server is gone.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.incoming.clear();
        state.subjects.clear();
        state.changed.clear();
        drop(state);
        self.work.notify_one();
        self.closed.notify_one();
    }

    /// Returns whether the engine is connected.
    pub(super) fn is_up(&self) -> bool {
        let state = self.lock();
        state.up && !state.closed
    }

    /// Returns the bytes that wait, to the engine and from it.
    pub(super) fn queued(&self) -> (usize, usize) {
        let state = self.lock();
        (state.outgoing.bytes, state.incoming.bytes)
    }
}

/// What the task of the engine calls.
impl Link {
    /// Returns whether it is closed.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Waits until it is closed. For one task.
    pub(super) async fn closed(&self) {
        while !self.is_closed() {
            self.closed.notified().await;
        }
    }

    /// Waits for something to do; `None` when it is closed and there is nothing.
    ///
    /// # Cancel safety
    ///
    /// Nothing is taken by a call that is dropped while it waits.
    pub(super) async fn work(&self) -> Option<Work> {
        loop {
            if let Some(work) = self.take_work() {
                return Some(work);
            }
            if self.is_closed() {
                return None;
            }
            self.work.notified().await;
        }
    }

    fn take_work(&self) -> Option<Work> {
        let mut state = self.lock();
        let changes = Self::take_changes(&mut state);
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while messages.len() < BATCH
            && bytes < BATCH_BYTES
            && let Some((subject, message)) = state.outgoing.pop()
        {
            bytes += message.len();
            messages.push((subject, message));
        }
        (!changes.is_empty() || !messages.is_empty()).then_some(Work { changes, messages })
    }

    fn take_changes(state: &mut State) -> Vec<(String, bool)> {
        let changed = core::mem::take(&mut state.changed);
        let changes: Vec<_> = changed
            .into_iter()
            .map(|subject| {
                let wanted = state.subjects.get(&subject).is_some_and(|it| it.wanted);
                (subject, wanted)
            })
            .collect();
        for (subject, wanted) in &changes {
            if !wanted {
                state.subjects.remove(subject);
            } else if let Some(subscription) = state.subjects.get_mut(subject) {
                subscription.told = true;
            }
        }
        changes
    }

    /// Returns all that is to be subscribed to, for a connection that is new.
    pub(super) fn start(&self) -> Vec<(String, bool)> {
        let mut state = self.lock();
        state.subjects.retain(|_, it| it.wanted);
        state.subjects.values_mut().for_each(|it| it.told = false);
        state.changed = state.subjects.keys().cloned().collect();
        Self::take_changes(&mut state)
    }

    /// Notes that the engine is connected, with the subscriptions of [`start`](Self::start).
    pub(super) fn up(&self) {
        let mut state = self.lock();
        if !state.up {
            state.up = true;
            Self::notice(&mut state, EngineEvent::Up);
        }
        Self::wake(state);
    }

    /// Notes that the engine is away, with so many messages that may not have arrived.
    pub(super) fn down(&self, reason: &str, unsure: u64) {
        let mut state = self.lock();
        let dropped = state.outgoing.clear();
        state.lost += dropped + unsure;
        if state.up {
            state.up = false;
            let reason: Box<str> = reason.into();
            Self::notice(&mut state, EngineEvent::Down { reason });
        }
        Self::wake(state);
    }

    /// Tells of an outage, or of its end, in its place among the messages.
    fn notice(state: &mut State, event: EngineEvent) {
        if state.notices.len() == 2 {
            // nobody has looked since the same was told: what was between is nothing new
            state.notices.pop_back();
            return;
        }
        let before = state.incoming.taken + state.incoming.messages.len() as u64;
        state.notices.push_back((before, event));
    }

    /// Queues what has come for the server; what finds no room is lost, and the server is told.
    pub(super) fn incoming(&self, subject: String, message: Bytes) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        let more = charge(&subject, &message);
        if state.incoming.has_room(more, state.limit) {
            state.incoming.push(subject, message);
        } else {
            state.lost += 1;
        }
        Self::wake(state);
    }

    /// Notes messages that did not get as far as [`incoming`](Self::incoming).
    #[cfg(feature = "nats")]
    pub(super) fn lost(&self, messages: u64) {
        let mut state = self.lock();
        state.lost += messages;
        Self::wake(state);
    }

    fn wake(mut state: MutexGuard<'_, State>) {
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use core::task::Waker;

    use super::*;

    fn event(link: &Link) -> Option<String> {
        match link.poll_event(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(EngineEvent::Message { subject, .. }) => Some(subject),
            Poll::Ready(EngineEvent::Lost { messages }) => Some(format!("lost {messages}")),
            Poll::Ready(EngineEvent::Down { reason }) => Some(format!("down {reason}")),
            Poll::Ready(EngineEvent::Up) => Some("up".into()),
            Poll::Pending => None,
        }
    }

    fn changes(link: &Link) -> Vec<(String, bool)> {
        link.take_work().map_or_else(Vec::new, |work| work.changes)
    }

    fn change(subject: &str, wanted: bool) -> (String, bool) {
        (subject.into(), wanted)
    }

    #[test]
    fn what_waits_is_bounded() {
        for (overflow, accepted, kept) in
            [(Overflow::DropNewest, 3, ["0", "1", "2"]), (Overflow::DropOldest, 5, ["2", "3", "4"])]
        {
            let link = Link::new();
            link.set_limit(3 * (CHARGE + 1));
            link.set_overflow(overflow);
            let names = ["0", "1", "2", "3", "4"];
            let published = names.map(|name| link.publish(name, Bytes::new()));
            assert_eq!(published.iter().filter(|it| it.is_ok()).count(), accepted);
            assert_eq!(link.queued(), (3 * (CHARGE + 1), 0));
            let work = link.take_work().unwrap();
            let subjects: Vec<_> = work.messages.iter().map(|it| &*it.0).collect();
            assert_eq!(subjects, kept);
            let lost = (overflow == Overflow::DropOldest).then(|| "lost 2".into());
            assert_eq!(event(&link), lost);
        }
        // and what has come
        let link = Link::new();
        link.set_limit(3 * (CHARGE + 1));
        for name in ["0", "1", "2", "3", "4"] {
            link.incoming(name.into(), Bytes::new());
        }
        assert_eq!(["", "", "", ""].map(|_| event(&link).unwrap()), ["lost 2", "0", "1", "2"]);
        assert_eq!(event(&link), None);
    }

    #[test]
    fn what_the_engine_cannot_take_is_refused() {
        let link = Link::new();
        link.set_lengths(3, 5);
        assert_eq!(link.publish("12345", Bytes::from_static(b"123")), Ok(()));
        assert_eq!(link.publish("123456", Bytes::new()), Err(PublishError::Subject));
        let error = PublishError::Length { len: 4, limit: 3 };
        assert_eq!(link.publish("1", Bytes::from_static(b"1234")), Err(error));
        link.subscribe("123456", true);
        link.subscribe("12345", true);
        assert_eq!(changes(&link), [change("12345", true)]);
    }

    /// Messages before an outage come before it; nothing of before is sent after it.
    #[test]
    fn an_outage_has_its_place() {
        let link = Link::new();
        link.subscribe("a", true);
        link.subscribe("b", true);
        link.publish("x", Bytes::new()).unwrap();
        link.incoming("a".into(), Bytes::new());
        link.down("gone", 2);
        assert_eq!(link.publish("x", Bytes::new()), Err(PublishError::Away));
        link.subscribe("b", false);
        assert_eq!(link.start(), [change("a", true)]);
        link.subscribe("c", true); // while the task subscribes
        link.subscribe("a", false);
        link.up();
        link.incoming("c".into(), Bytes::new());
        let events = ["lost 3", "a", "down gone", "up", "c"];
        assert_eq!(events.map(|_| event(&link).unwrap()), events);
        assert_eq!(event(&link), None);
        let work = link.take_work().unwrap();
        assert_eq!(work.changes, [change("a", false), change("c", true)]);
        assert!(work.messages.is_empty() && link.take_work().is_none());
    }

    #[test]
    fn what_nobody_hears_of_does_not_grow() {
        let link = Link::new();
        for round in 0..100 {
            // rooms that are left before the task looks
            let name = format!("{round}");
            link.subscribe(&name, true);
            link.subscribe(&name, false);
            link.down(&name, 1);
            link.start();
            link.up();
        }
        assert!(link.lock().subjects.is_empty() && link.lock().changed.is_empty());
        assert_eq!(["", "", ""].map(|_| event(&link).unwrap()), ["lost 100", "down 0", "up"]);
        assert_eq!(event(&link), None);
        // and those that it has been told of
        link.subscribe("a", true);
        assert_eq!(changes(&link), [change("a", true)]);
        link.subscribe("a", false);
        link.subscribe("a", true);
        assert!(changes(&link).is_empty());
        link.subscribe("a", false);
        assert_eq!(changes(&link), [change("a", false)]);
        assert!(link.lock().subjects.is_empty());
    }
}

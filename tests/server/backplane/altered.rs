//! Rooms that remember, on an engine in memory that answers as a test says.

use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use sansws::server::Position;
use sansws::server::backplane::{
    Answer, Append, Appended, Backplane, EngineEvent, HistoryError, Memory, Page, PublishError,
    Read, Store,
};

use super::remembering::{LINES, send, server, since, texts, topic, visit};
use crate::support::{text, until, within};

struct Altered<R, P> {
    bus: Memory,
    /// Answers instead of the bus.
    read: R,
    /// Says which messages come from other servers.
    passes: P,
}

impl<R, P> Backplane for Altered<R, P>
where
    R: Fn(&Memory, Read) -> Answer<Page> + Send + Sync + 'static,
    P: Fn(&[u8]) -> bool + Send + Sync + 'static,
{
    fn publish(&self, subject: &str, message: Bytes) -> Result<(), PublishError> {
        self.bus.publish(subject, message)
    }

    fn subscribe(&self, subject: &str) {
        self.bus.subscribe(subject);
    }

    fn unsubscribe(&self, subject: &str) {
        self.bus.unsubscribe(subject);
    }

    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<EngineEvent> {
        loop {
            match self.bus.poll_event(cx) {
                Poll::Ready(EngineEvent::Message { message, .. }) if !(self.passes)(&message) => {}
                other => return other,
            }
        }
    }

    fn store(&self) -> Option<&dyn Store> {
        Some(self)
    }
}

impl<R, P> Store for Altered<R, P>
where
    R: Fn(&Memory, Read) -> Answer<Page> + Send + Sync,
    P: Send + Sync,
{
    fn append(&self, append: Append) -> Answer<Appended> {
        self.bus.append(append)
    }

    fn read(&self, read: Read) -> Answer<Page> {
        (self.read)(&self.bus, read)
    }

    fn forget(&self, subject: String) -> Answer<bool> {
        self.bus.forget(subject)
    }
}

/// Waits until a server hears of all that is sent to a room with members on it.
async fn settled() {
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Pages are as long as the engine likes: of long messages they have few.
#[tokio::test]
async fn a_history_is_read_however_short_the_pages_are() {
    let bus = Memory::new();
    let read = |bus: &Memory, mut read: Read| {
        read.most = read.most.min(1);
        bus.read(read)
    };
    let one = server(bus.clone()).await;
    let two = server(Altered { bus, read, passes: |_: &[u8]| true }).await;
    let lines: Vec<_> = (1..=100).map(|at| at.to_string()).collect();
    for line in &lines {
        send(&one, line).await;
    }
    let (mut ws, client) = visit(&two).await;
    let resumed = within(topic(&two).join_last(&client, 100)).await.unwrap();
    assert_eq!((resumed.position.offset, resumed.messages), (100, 100));
    for line in &lines {
        assert_eq!(text(&mut ws).await, *line);
    }
    one.stop().await;
    two.stop().await;
}

/// What is not kept any more, but has come, is delivered in its place.
#[tokio::test]
async fn what_has_come_early_is_not_left_out() {
    let bus = Memory::new();
    let (away, gone) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (is_away, are_gone) = (Arc::clone(&away), Arc::clone(&gone));
    let read = move |bus: &Memory, read: Read| -> Answer<Page> {
        if is_away.load(Ordering::Relaxed) {
            return Box::pin(ready(Err(HistoryError::Away)));
        }
        let (page, gone) = (bus.read(read), are_gone.load(Ordering::Relaxed));
        Box::pin(async move {
            let mut page = page.await?;
            page.messages.retain(|(offset, _)| *offset > gone);
            Ok(page)
        })
    };
    let one = server(bus.clone()).await;
    let passes = |message: &[u8]| !message.ends_with(b"lost");
    let two = server(Altered { bus, read, passes }).await;
    let begin = within(topic(&one).position()).await.unwrap().unwrap();
    let (mut ws, _) = since(&two, begin).await;
    let stats = || two.hub.stats().backplane.unwrap();
    let before = stats().received;
    away.store(true, Ordering::Relaxed);
    for text in ["1 lost", "2", "3", "4 lost", "5 lost"] {
        send(&one, text).await;
    }
    until(|| stats().received == before + 2).await;
    gone.store(4, Ordering::Relaxed);
    away.store(false, Ordering::Relaxed);
    texts(&mut ws, &["2", "3", "5 lost"]).await;
    assert_eq!(stats().missed, 2);
    one.stop().await;
    two.stop().await;
}

/// A server without members hears of nothing, and knows its own messages.
#[tokio::test]
async fn a_server_without_members_knows_what_it_has_sent() {
    let bus = Memory::new();
    let (one, two) = (server(bus.clone()).await, server(bus).await);
    send(&one, "1").await;
    send(&two, "2").await;
    send(&one, "3").await;
    let mut positions = Vec::new();
    let topic = topic(&one);
    let sent = topic.send_with(|position| {
        positions.push(position.offset);
        "4"
    });
    assert_eq!(within(sent).await.unwrap().position.offset, 4);
    assert_eq!(positions, [4]);
    one.stop().await;
    two.stop().await;
}

/// What another server has forgotten is the end of no client that comes.
#[tokio::test]
async fn the_last_messages_are_those_of_the_history_that_there_is() {
    let bus = Memory::new();
    let (one, two) = (server(bus.clone()).await, server(bus).await);
    let begin = within(topic(&one).position()).await.unwrap().unwrap();
    let (mut here, _) = since(&one, begin).await;
    // more than is at hand
    let long = "x".repeat(50_000);
    for _ in 0..2 {
        send(&two, &long).await;
        texts(&mut here, &[&long]).await;
    }
    settled().await;
    assert_eq!(within(topic(&two).forget()).await, Ok(true));
    let (mut ws, client) = visit(&one).await;
    let resumed = within(topic(&one).join_last(&client, 2)).await.unwrap();
    assert_ne!(resumed.position.epoch, begin.epoch);
    assert_eq!((resumed.position.offset, resumed.messages), (0, 0));
    send(&two, "next").await;
    texts(&mut ws, &["next"]).await;
    texts(&mut here, &["next"]).await;
    one.stop().await;
    two.stop().await;
}

/// As many as may read at a time do so, and get no answer.
#[tokio::test]
async fn who_was_away_for_moments_waits_for_nobody_who_reads() {
    let read = |bus: &Memory, read: Read| -> Answer<Page> {
        if read.subject.ends_with("held") { Box::pin(pending()) } else { bus.read(read) }
    };
    let engine = Altered { bus: Memory::new(), read, passes: |_: &[u8]| true };
    let server = server(engine).await;
    let begin = within(topic(&server).position()).await.unwrap().unwrap();
    let (mut ws, _) = since(&server, begin).await;
    send(&server, "1").await;
    texts(&mut ws, &["1"]).await;
    settled().await;
    let (_held, client) = visit(&server).await;
    let held = (0..64).map(|at| {
        let (hub, client) = (server.hub.clone(), client.clone());
        tokio::spawn(async move {
            let name = format!("{at} held");
            hub.shared_topic(&name, LINES).join_last(&client, 1).await
        })
    });
    let held: Vec<_> = held.collect();
    tokio::task::yield_now().await;
    let (mut back, resumed) = since(&server, begin).await;
    assert_eq!((resumed.position, resumed.messages), (Position { offset: 1, ..begin }, 1));
    texts(&mut back, &["1"]).await;
    held.iter().for_each(tokio::task::JoinHandle::abort);
    server.stop().await;
}

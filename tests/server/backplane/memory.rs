use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use sansws::server::backplane::{Backplane, EngineEvent, Memory, PublishError};
use sansws::server::handler_fn;
use sansws::{CloseCode, Message};

use super::common::{joined, joined_with, member, next, rooms_span, spans};
use crate::support::{Log, bind, start, text, until, within};

#[tokio::test]
async fn rooms_span_servers_in_one_process() {
    let bus = Memory::new();
    let (one, two) = (joined(bus.clone()).await, joined(bus.clone()).await);
    rooms_span(&one, &two).await;
    // a third one that is over is not missed
    let three = joined(bus).await;
    three.stop().await;
    let (mut there, _) = member(&two, "later").await;
    spans(&one, "later", &mut there).await;
    one.stop().await;
    two.stop().await;
}

/// An engine that notes what it is told, and says what it is told to say.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    calls: Vec<String>,
    published: Vec<(String, Bytes)>,
    answer: Option<PublishError>,
    events: Vec<EngineEvent>,
    waker: Option<std::task::Waker>,
}

impl Script {
    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().calls)
    }

    fn event(&self, event: EngineEvent) {
        let mut told = self.0.lock().unwrap();
        told.events.push(event);
        if let Some(waker) = told.waker.take() {
            waker.wake();
        }
    }

    fn message(&self, subject: &str, message: impl Into<Bytes>) {
        let (subject, message) = (subject.into(), message.into());
        self.event(EngineEvent::Message { subject, message });
    }
}

impl Backplane for Script {
    fn publish(&self, subject: &str, message: Bytes) -> Result<(), PublishError> {
        let mut told = self.0.lock().unwrap();
        told.published.push((subject.into(), message));
        told.answer.map_or(Ok(()), Err)
    }

    fn subscribe(&self, subject: &str) {
        self.0.lock().unwrap().calls.push(format!("+{subject}"));
    }

    fn unsubscribe(&self, subject: &str) {
        self.0.lock().unwrap().calls.push(format!("-{subject}"));
    }

    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<EngineEvent> {
        let mut told = self.0.lock().unwrap();
        if told.events.is_empty() {
            told.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(told.events.remove(0))
    }

    fn close(&self) {
        self.0.lock().unwrap().calls.push("close".into());
    }
}

/// A server subscribes to a room while it has members there, and no longer.
#[tokio::test]
async fn subscriptions_follow_the_members() {
    let engine = Script::default();
    let server = joined(engine.clone()).await;
    let (mut one, id) = member(&server, "a").await;
    let node = format!("+sansws.node.{:08x}", id >> 32);
    assert_eq!(engine.calls(), ["+sansws.all", &node, "+sansws.room.a"]);
    let (two, _) = member(&server, "a").await;
    within(one.close(CloseCode::NORMAL, "")).await.unwrap();
    until(|| server.hub.room("a").len() == 1).await;
    assert_eq!(engine.calls(), [""; 0]);
    drop(two);
    until(|| server.hub.room("a").is_empty()).await;
    assert_eq!(engine.calls(), ["-sansws.room.a"]);
    // by the calls as well as by the end, and for a room that remembers
    let (_ws, id) = member(&server, "b").await;
    let client = server.hub.get(id).unwrap();
    client.join("c").unwrap();
    server.hub.topic("d", sansws::server::History::last(3)).join_last(&client, 1).unwrap();
    client.leave("c");
    client.leave("d");
    let calls = ["+sansws.room.b", "+sansws.room.c", "+sansws.room.d"];
    assert_eq!(engine.calls(), [&calls[..], &["-sansws.room.c", "-sansws.room.d"]].concat());
    server.stop().await;
    assert_eq!(engine.calls(), ["-sansws.room.b", "close"]);
}

/// What other programs publish, and what is malformed.
#[tokio::test]
async fn anybody_may_publish() {
    let engine = Script::default();
    let server = start(
        bind()
            .await
            .route("/{room}", super::common::rooms())
            .backplane_at("my app", engine.clone()),
    );
    let (mut ws, id) = member(&server, "a").await;
    assert!(engine.calls().contains(&"+my%20app.room.a".to_owned()));
    engine.message("my%20app.room.a", "hello");
    assert_eq!(text(&mut ws).await, "hello");
    engine.message("my%20app.all", &b"\xFE"[..]);
    let message = within(ws.recv()).await.unwrap().unwrap();
    assert_eq!(message, Message::Binary(b"\xFE".to_vec().into()));
    // an envelope that leaves nobody out, with a text
    let mut envelope = vec![0xFF, 1, 1, 1];
    envelope.extend([0; 16]);
    envelope.extend(b"from python");
    engine.message("my%20app.room.a", envelope.clone());
    assert_eq!(text(&mut ws).await, "from python");
    // what is malformed, of a later version, or of another subject
    engine.message("my%20app.room.a", &b"\xFF"[..]);
    engine.message("my%20app.room.%", "hello");
    engine.message("sansws.room.a", "hello");
    envelope[1] = 2;
    engine.message("my%20app.room.a", envelope.clone());
    // and for one client
    envelope[1] = 1;
    envelope[12..20].copy_from_slice(&id.to_be_bytes());
    engine.message("my%20app.room.a", envelope.clone()); // it is left out
    engine.message(&format!("my%20app.node.{:08x}", id >> 32), envelope);
    engine.message("my%20app.room.a", "last");
    assert_eq!(text(&mut ws).await, "from python");
    assert_eq!(text(&mut ws).await, "last");
    let stats = server.hub.stats().backplane.unwrap();
    assert_eq!((stats.received, stats.invalid), (6, 4));
    server.stop().await;
}

/// Local delivery goes on, and whoever sends, the log and the counters are told.
#[tokio::test]
async fn an_engine_that_is_away_is_told_of() {
    let (engine, log) = (Script::default(), Log::default());
    let lines = log.clone();
    let set_up = move |server: sansws::server::Server| {
        server.metrics("/metrics").on_log(move |event| lines.add(event.to_string()))
    };
    let server = joined_with(engine.clone(), set_up).await;
    let (mut ws, id) = member(&server, "a").await;
    let own = engine.0.lock().unwrap().published.len();
    assert_eq!(server.hub.room("a").send("one"), Ok(1));
    // what a server has published itself comes back from some engines
    let (subject, message) = engine.0.lock().unwrap().published[own].clone();
    assert_eq!(subject, "sansws.room.a");
    engine.message(&subject, message);

    engine.event(EngineEvent::Down { reason: "unplugged".into() });
    until(|| !server.hub.stats().backplane.unwrap().up).await;
    engine.0.lock().unwrap().answer = Some(PublishError::Away);
    let reach = server.hub.room("a").publish("two").unwrap();
    assert_eq!((reach.clients, reach.others), (1, Some(Err(PublishError::Away))));
    assert!(server.hub.close(id ^ 1 << 40, CloseCode::NORMAL, "").is_err());
    assert!(server.hub.close(id + 1000, CloseCode::NORMAL, "").is_err());
    let metrics = server.get("/metrics").await;
    assert!(metrics.contains("\nsansws_backplane_up 0\n"), "{metrics}");
    assert!(metrics.contains("\nsansws_backplane_not_published_total 2\n"), "{metrics}");

    engine.event(EngineEvent::Up);
    until(|| server.hub.stats().backplane.unwrap().up).await;
    engine.0.lock().unwrap().answer = None;
    assert_eq!(server.hub.room("a").send("three"), Ok(1));
    for expected in ["one", "two", "three"] {
        assert_eq!(next(&mut ws).await, expected);
    }
    let stats = server.hub.stats().backplane.unwrap();
    assert_eq!((stats.received, stats.not_published, stats.outages), (0, 2, 1));
    let down = "the backplane is away, other servers are not reached: unplugged";
    assert_eq!(log.lines(), [down, "the backplane is back, other servers are reached"]);
    server.stop().await;
}

/// A server that gets no processor holds up nobody, and takes no more memory than it may.
#[tokio::test]
async fn what_waits_for_a_server_is_bounded() {
    let bus = Memory::new().max_queued(1000);
    let deaf = bus.clone();
    deaf.subscribe("sansws.all");
    let server = joined(bus).await;
    let (mut ws, _) = member(&server, "a").await;
    let mut refused = None;
    for at in 0..20 {
        let reach = server.hub.all().publish("0123456789012345").unwrap();
        assert_eq!(reach.clients, 1);
        if let Some(Err(error)) = reach.others {
            refused.get_or_insert((at, error));
        }
        assert_eq!(text(&mut ws).await, "0123456789012345");
    }
    // each is charged 112: 16 of the text, 32 of the envelope and 64
    assert_eq!(refused, Some((8, PublishError::Full { queued: 896, limit: 1000 })));
    server.stop().await;
}

#[tokio::test]
async fn without_a_backplane_nothing_is_published() {
    let server = start(bind().await.route("/", handler_fn()));
    let reach = server.hub.all().publish("hello").unwrap();
    assert_eq!((reach.clients, reach.others), (0, None));
    assert_eq!(server.hub.stats().backplane, None);
    assert!(!server.get("/metrics").await.contains("backplane"));
    server.stop().await;
}

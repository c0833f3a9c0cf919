//! What holds for every broker, each on one of its own.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sansws::CloseCode;
use sansws::server::Server;
use sansws::server::backplane::{Backplane, BackplaneStats, EngineEvent, Presence, PublishError};
use sansws::tokio::{ClientStream, WebSocket};
use tokio::task::{JoinHandle, spawn_blocking, yield_now};

use super::broker::{Broker, Kind};
use super::common::{self, joined, joined_with, member, next, spans};
use crate::support::{Log, Running, text, until, within};

/// A test of each scenario, for an engine.
macro_rules! all {
    ($kind:ty) => {
        scenarios::each!($kind: rooms_span_servers, anybody_may_publish,
            rooms_without_members_are_not_subscribed_to, an_engine_that_is_killed,
            a_restart_finds_all_subscriptions, an_engine_that_stands_still,
            every_message_arrives_in_order, every_message_is_accounted_for,
            an_end_leaves_no_connection,
            an_end_is_told_to_the_others);
    };
}
pub(super) use all;

macro_rules! each {
    ($kind:ty: $($name:ident),*) => {$(
        #[tokio::test]
        async fn $name() {
            if let Some(broker) = Broker::<$kind>::start(None) {
                scenarios::$name(broker).await;
            }
        }
    )*};
}
pub(super) use each;

fn stats(server: &Running) -> BackplaneStats {
    server.hub.stats().backplane.unwrap()
}

/// A server whose log is kept.
async fn logged<K: Kind>(broker: &Broker<K>) -> (Running, Log) {
    let log = Log::default();
    let lines = log.clone();
    let set_up = move |server: Server| server.on_log(move |event| lines.add(event.to_string()));
    (joined_with(broker.engine().await, set_up).await, log)
}

/// Keeps what a client gets, until its connection ends.
fn keep(mut ws: WebSocket<ClientStream>) -> (Log, JoinHandle<()>) {
    let log = Log::default();
    let lines = log.clone();
    let task = tokio::spawn(async move {
        while let Ok(Some(message)) = ws.recv().await {
            lines.add(message.as_text().unwrap());
        }
    });
    (log, task)
}

pub async fn rooms_span_servers<K: Kind>(broker: Broker<K>) {
    let (one, two) = (joined(broker.engine().await).await, joined(broker.engine().await).await);
    common::rooms_span(&one, &two).await;
    one.stop().await;
    two.stop().await;
}

/// Other programs publish by what their broker has for that.
pub async fn anybody_may_publish<K: Kind>(broker: Broker<K>) {
    let server = joined(broker.engine().await).await;
    let (mut ws, _) = member(&server, "lobby").await;
    until(|| K::rooms(&broker) == ["sansws.room.lobby"]).await;
    for (at, mut command) in
        K::publishers(&broker, "sansws.room.lobby", "hello").into_iter().enumerate()
    {
        let ended = spawn_blocking(move || command.output().unwrap());
        let output = within(ended).await.unwrap();
        assert!(output.status.success(), "{at}: {output:?}");
        assert_eq!(text(&mut ws).await, "hello", "{at}");
    }
    server.stop().await;
}

pub async fn rooms_without_members_are_not_subscribed_to<K: Kind>(broker: Broker<K>) {
    let server = joined(broker.engine().await).await;
    let (mut one, _) = member(&server, "a").await;
    let (two, _) = member(&server, "b c").await;
    let rooms = || {
        let mut rooms = K::rooms(&broker);
        rooms.sort();
        rooms
    };
    until(|| rooms() == ["sansws.room.a", "sansws.room.b%20c"]).await;
    within(one.close(CloseCode::NORMAL, "")).await.unwrap();
    until(|| rooms() == ["sansws.room.b%20c"]).await;
    drop(two);
    until(|| rooms().is_empty()).await;
    server.stop().await;
}

/// Clients of the same server notice nothing; those of others miss what they are told of, and
/// nothing comes twice or out of order.
pub async fn an_engine_that_is_killed<K: Kind>(mut broker: Broker<K>) {
    let ((one, log_one), (two, log_two)) = (logged(&broker).await, logged(&broker).await);
    let (here, _) = member(&one, "a").await;
    let (mut there, _) = member(&two, "a").await;
    spans(&one, "a", &mut there).await;
    let ((here, end_here), (there, end_there)) = (keep(here), keep(there));
    // of numbers: what was published, and what was not
    let (mut published, mut refused) = (Vec::new(), Vec::new());
    let mut send = |count: usize| {
        for _ in 0..count {
            let at = published.len() + refused.len();
            let reach = one.hub.room("a").publish(&*format!("{at}")).unwrap();
            assert_eq!(reach.clients, 1, "{at}");
            match reach.others.unwrap() {
                Ok(()) => published.push(at),
                Err(error) => {
                    assert_eq!(error, PublishError::Away);
                    refused.push(at);
                }
            }
        }
        (published.len(), refused.len())
    };
    let has = |log: &Log, at: usize| log.lines().contains(&at.to_string());

    assert_eq!(send(100), (100, 0));
    until(|| has(&there, 99)).await;
    broker.kill();
    let mut down = false;
    within(async {
        while !down {
            down = !stats(&one).up && !stats(&two).up;
            send(1);
            yield_now().await;
        }
    })
    .await;
    let (sent, unsent) = send(100);
    assert!(unsent >= 100, "{sent} {unsent}");
    broker.restart();
    until(|| stats(&one).up && stats(&two).up).await;
    // at once: all subscriptions are there again
    let (after, still) = send(100);
    assert_eq!((after, still), (sent + 100, unsent));
    let last = after + still - 1;
    until(|| has(&there, last) && has(&here, last)).await;

    let numbers = |log: &Log| -> Vec<usize> {
        let lines = log.lines();
        lines.iter().filter_map(|it| it.parse().ok()).collect()
    };
    assert_eq!(numbers(&here), (0..=last).collect::<Vec<_>>(), "local clients get everything");
    let arrived = numbers(&there);
    assert!(arrived.is_sorted_by(|one, next| one < next), "in order, and none twice");
    assert!(arrived.iter().all(|at| published.contains(at)));
    // what was under way when the broker died, of which the log has told
    let missing: Vec<_> = published.iter().filter(|it| !arrived.contains(it)).collect();
    assert!(missing.iter().all(|at| (100..sent + unsent - 100).contains(at)), "{missing:?}");
    for (server, log) in [(&one, &log_one), (&two, &log_two)] {
        assert_eq!((stats(server).outages, stats(server).invalid), (1, 0));
        let lines = log.lines();
        let [down, up, missed @ ..] = &lines[..] else { panic!("{lines:?}") };
        assert!(missed.iter().all(|line| line.contains(" did not arrive")), "{missed:?}");
        assert!(down.starts_with("the backplane is away, other servers are not reached: "));
        assert_eq!(up, "the backplane is back, other servers are reached");
    }
    assert_eq!(stats(&one).not_published, refused.len() as u64);
    // the other server knows how many it has not got, those included that were never published
    assert_eq!((stats(&one).missed, stats(&two).missed), (0, (last + 1 - arrived.len()) as u64));
    one.stop().await;
    two.stop().await;
    end_here.await.unwrap();
    end_there.await.unwrap();
}

/// Many rooms, some of which come and go while the broker is away.
pub async fn a_restart_finds_all_subscriptions<K: Kind>(mut broker: Broker<K>) {
    let (one, two) = (joined(broker.engine().await).await, joined(broker.engine().await).await);
    let (ws, id) = member(&two, "first").await;
    let client = two.hub.get(id).unwrap();
    let room = |at: usize| format!("room {at}");
    for at in 0..1000 {
        client.join(&room(at)).unwrap();
    }
    until(|| K::rooms(&broker).len() == 1001).await;
    broker.kill();
    until(|| !stats(&one).up && !stats(&two).up).await;
    for at in 0..500 {
        client.leave(&room(at));
        client.join(&room(at + 1000)).unwrap();
    }
    broker.restart();
    until(|| stats(&one).up && stats(&two).up).await;
    let (log, end) = keep(ws);
    for at in 0..1500 {
        assert_eq!(one.hub.room(&room(at)).publish(&*room(at)).unwrap().others, Some(Ok(())));
    }
    one.hub.room("first").send("last").unwrap();
    until(|| log.lines().contains(&"last".to_owned()) && log.lines().len() >= 1001).await;
    let mut lines = log.lines();
    lines.sort();
    let mut expected: Vec<_> = (500..1500).map(room).chain(["last".into()]).collect();
    expected.sort();
    assert_eq!(lines, expected);
    one.stop().await;
    two.stop().await;
    end.await.unwrap();
}

/// What waits is bounded, local clients wait for nothing, and its return is found.
pub async fn an_engine_that_stands_still<K: Kind>(broker: Broker<K>) {
    const LIMIT: usize = 64 * 1024;
    let one = joined(K::max_queued(broker.engine().await, LIMIT)).await;
    let two = joined(broker.engine().await).await;
    let (mut here, _) = member(&one, "a").await;
    let (mut there, _) = member(&two, "a").await;
    spans(&one, "a", &mut there).await;
    broker.process().freeze();
    let payload = "x".repeat(1000);
    // at most what NATS is sent ahead: 8 batches of 256 KB
    let mut full = 0;
    for at in 0..10_000 {
        let message = format!("{at} {payload}");
        let reach = one.hub.room("a").publish(&*message).unwrap();
        assert_eq!(reach.clients, 1);
        assert_eq!(next(&mut here).await, message);
        match reach.others.unwrap() {
            Ok(()) => assert_eq!(full, 0, "{at}: there is no room again"),
            Err(PublishError::Full { queued, limit }) => {
                assert!(queued <= LIMIT && limit == LIMIT, "{queued} {limit}");
                full += 1;
            }
            Err(PublishError::Away) => panic!("{at}: it has been found out already"),
            Err(error) => panic!("{error:?}"),
        }
        if full == 100 {
            break;
        }
    }
    assert_eq!(full, 100);
    // it is found out
    until(|| !stats(&one).up && !stats(&two).up).await;
    let reach = one.hub.room("a").publish("nobody else").unwrap();
    assert_eq!((reach.clients, reach.others), (1, Some(Err(PublishError::Away))));
    assert_eq!(text(&mut here).await, "nobody else");
    assert!(stats(&one).lost > 0 && stats(&one).not_published == 101);
    broker.process().thaw();
    until(|| stats(&one).up && stats(&two).up).await;
    assert_eq!(one.hub.room("a").publish("again").unwrap().others, Some(Ok(())));
    // what was under way may come now
    let mut last = None;
    within(async {
        loop {
            let text = text(&mut there).await;
            if text == "again" {
                break;
            }
            let Some((number, _)) = text.split_once(" x") else { continue };
            let number: u64 = number.parse().unwrap();
            assert!(last < Some(number), "{last:?} {number}");
            last = Some(number);
        }
    })
    .await;
    one.stop().await;
    two.stop().await;
}

/// 100 000, both ways at the same time, with no more under way than fits.
pub async fn every_message_arrives_in_order<K: Kind>(broker: Broker<K>) {
    const EACH: usize = 50_000;
    const AHEAD: usize = 1000;
    let (one, two) = (joined(broker.engine().await).await, joined(broker.engine().await).await);
    let (mut here, _) = member(&one, "a").await;
    let (mut there, _) = member(&two, "b").await;
    spans(&one, "b", &mut there).await;
    spans(&two, "a", &mut here).await;
    let pass = async |from: &Running, room: &str, to: &mut WebSocket<ClientStream>| {
        for first in (0..EACH).step_by(AHEAD) {
            for at in first..first + AHEAD {
                let reach = from.hub.room(room).publish(&*at.to_string()).unwrap();
                assert_eq!((reach.clients, reach.others), (0, Some(Ok(()))));
            }
            for at in first..first + AHEAD {
                assert_eq!(next(to).await, at.to_string());
            }
        }
    };
    let (a, b) = (pass(&one, "b", &mut there), pass(&two, "a", &mut here));
    futures_util::future::join(a, b).await;
    for server in [&one, &two] {
        let stats = stats(server);
        assert_eq!((stats.not_published, stats.lost, stats.outages), (0, 0, 0));
        assert!(stats.published >= EACH as u64 && stats.received >= EACH as u64);
    }
    one.stop().await;
    two.stop().await;
}

/// 100 000 as fast as they come, with too little room for them: each has arrived, or somebody was
/// told.
pub async fn every_message_is_accounted_for<K: Kind>(broker: Broker<K>) {
    const COUNT: u64 = 100_000;
    const LIMIT: usize = 64 * 1024;
    // seconds of work, on a machine that may do much else
    sansws_test::set_patience(Duration::from_secs(180));
    let one = joined(K::max_queued(broker.engine().await, LIMIT)).await;
    let two = K::max_queued(broker.engine().await, LIMIT);
    two.subscribe("sansws.room.a");
    until(|| K::rooms(&broker) == ["sansws.room.a"]).await;
    let (counted, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(u64::MAX)));
    let receiver = {
        let (counted, done) = (Arc::clone(&counted), Arc::clone(&done));
        async move {
            let (mut arrived, mut lost) = (0, 0);
            while arrived + lost < done.load(Ordering::Relaxed) {
                match poll_fn(|cx| two.poll_event(cx)).await {
                    EngineEvent::Message { .. } => arrived += 1,
                    EngineEvent::Lost { messages } => lost += messages,
                    other => panic!("{other:?}"),
                }
                counted.store(arrived + lost, Ordering::Relaxed);
                tokio::task::consume_budget().await;
            }
            (arrived, lost)
        }
    };
    let receiver = tokio::spawn(receiver);
    let mut refused = 0;
    for at in 0..COUNT {
        match one.hub.room("a").publish(&*at.to_string()).unwrap().others.unwrap() {
            Ok(()) => {}
            Err(PublishError::Full { .. }) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
        // more than there is room for: nothing leaves before this
        if at % 2000 == 0 {
            yield_now().await;
        }
    }
    let (sent, total) = (stats(&one), COUNT - refused);
    assert_eq!((sent.published, sent.not_published), (total, refused));
    until(|| counted.load(Ordering::Relaxed) == total).await;
    // and one more, for nothing comes twice
    done.store(total + 1, Ordering::Relaxed);
    one.hub.room("a").send("last").unwrap();
    let (arrived, lost) = within(receiver).await.unwrap();
    assert_eq!(arrived + lost, total + 1);
    assert!(arrived > 0 && refused > 0, "{arrived} {lost} {refused}");
    assert_eq!((stats(&one).lost, stats(&one).outages), (0, 0));
    one.stop().await;
}

/// What a server says last leaves before its connection to the engine ends.
pub async fn an_end_is_told_to_the_others<K: Kind>(broker: Broker<K>) {
    // without a goodbye it would be known for an hour
    let presence = || Presence::new().expiry(Duration::from_secs(3600));
    let set_up = |server: Server| server.presence(presence());
    let stays = joined_with(broker.engine().await, set_up).await;
    let goes = joined_with(broker.engine().await, set_up).await;
    until(|| stays.hub.servers().len() == 2 && goes.hub.servers().len() == 2).await;
    goes.stop().await;
    until(|| stays.hub.servers().len() == 1).await;
    stays.stop().await;
}

/// However it ends: with its server, by itself, or while its broker stands still.
pub async fn an_end_leaves_no_connection<K: Kind>(mut broker: Broker<K>) {
    let none = |broker: &Broker<K>| K::connections(broker) == 0;
    until(|| none(&broker)).await; // but for that which has seen whether it listens
    let server = joined(broker.engine().await).await;
    assert!(K::connections(&broker) > 0);
    server.stop().await;
    until(|| none(&broker)).await;
    let engine = broker.engine().await;
    assert!(K::connections(&broker) > 0);
    drop(engine);
    until(|| none(&broker)).await;

    let server = joined(broker.engine().await).await;
    broker.process().freeze();
    for _ in 0..1000 {
        server.hub.all().send("x".repeat(1000)).unwrap();
    }
    server.stop().await;
    broker.process().thaw();
    until(|| none(&broker)).await;
    // and while it is away
    let server = joined(broker.engine().await).await;
    broker.kill();
    until(|| !stats(&server).up).await;
    server.stop().await;
    broker.restart();
    until(|| none(&broker)).await;
}

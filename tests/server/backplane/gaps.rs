//! Messages of other servers that are lost, or come twice.

use sansws::CloseCode;
use sansws::server::TrySendError;
use sansws::server::backplane::{Memory, PublishError};

use super::common::{joined, joined_with, member, next, spans};
use super::cutting::{Cutting, Way};
use crate::support::{Log, closed, until, within};

#[tokio::test]
async fn what_is_lost_between_servers_is_counted() {
    let bus = Memory::new();
    let (engine, log) = (Cutting::new(&bus), Log::default());
    let lines = log.clone();
    let one = joined(engine.clone()).await;
    let two = joined_with(bus, move |server| {
        server.on_log(move |event| lines.add(event.to_string())).metrics("/metrics")
    })
    .await;
    let (mut ws, _) = member(&two, "a").await;
    let (mut other, _) = member(&two, "b").await;
    let (_here, id) = member(&one, "a").await;
    spans(&one, "a", &mut ws).await;
    spans(&one, "b", &mut other).await;
    let counted = || {
        let stats = two.hub.stats().backplane.unwrap();
        (stats.missed, stats.duplicates)
    };
    assert_eq!(counted(), (0, 0));

    // silently, and because the engine is away: both are missed there
    one.hub.room("a").send("before").unwrap();
    engine.set(Way::Lost);
    one.hub.room("a").send("lost").unwrap();
    engine.set(Way::Away);
    one.hub.room("a").send("not published").unwrap();
    assert_eq!(one.hub.stats().backplane.unwrap().not_published, 1);
    engine.set(Way::Open);
    // another room does not concern this one
    one.hub.room("b").send("in b").unwrap();
    assert_eq!(next(&mut other).await, "in b");
    assert_eq!(counted(), (0, 0));
    one.hub.room("a").send("after").unwrap();
    assert_eq!(next(&mut ws).await, "before");
    assert_eq!(next(&mut ws).await, "after");
    assert_eq!(counted(), (2, 0));
    // what is more is logged later
    engine.set(Way::Lost);
    one.hub.room("b").send("lost").unwrap();
    engine.set(Way::Open);
    one.hub.room("b").send("in b again").unwrap();
    assert_eq!(next(&mut other).await, "in b again");
    let line = format!("2 messages of server {:08x} did not arrive", id >> 32);
    assert_eq!(log.lines(), [line]);

    // what comes twice is passed on once
    engine.set(Way::Twice);
    for at in 0..3 {
        one.hub.room("a").send(&*format!("twice {at}")).unwrap();
    }
    engine.set(Way::Open);
    one.hub.room("a").send("once").unwrap();
    for at in 0..3 {
        assert_eq!(next(&mut ws).await, format!("twice {at}"));
    }
    assert_eq!(next(&mut ws).await, "once");
    assert_eq!(counted(), (3, 3));
    let metrics = two.get("/metrics").await;
    assert!(metrics.contains("\nsansws_backplane_missed_total 3\n"), "{metrics}");
    assert!(metrics.contains("\nsansws_backplane_duplicates_total 3\n"), "{metrics}");
    one.stop().await;
    two.stop().await;
}

/// Servers that come in the middle, are started again, or leave a room and come back.
#[tokio::test]
async fn who_comes_later_has_missed_nothing() {
    let bus = Memory::new();
    let one = joined(bus.clone()).await;
    for _ in 0..5 {
        one.hub.room("a").send("nobody is there").unwrap();
        one.hub.all().send("nobody is there").unwrap();
    }
    let two = joined(bus.clone()).await;
    for round in 0..3 {
        let (mut ws, _) = member(&two, "a").await;
        let text = format!("round {round}");
        one.hub.room("a").send(&text).unwrap();
        one.hub.all().send("all").unwrap();
        assert_eq!(next(&mut ws).await, text);
        assert_eq!(next(&mut ws).await, "all");
        within(ws.close(CloseCode::NORMAL, "")).await.unwrap();
        until(|| two.hub.room("a").is_empty()).await;
        for _ in 0..5 {
            one.hub.room("a").send("nobody is there").unwrap();
        }
    }
    // one that is started again begins anew
    let (mut ws, _) = member(&two, "a").await;
    one.hub.room("a").send("one").unwrap();
    one.stop().await;
    let one = joined(bus).await;
    one.hub.room("a").send("one again").unwrap();
    assert_eq!(next(&mut ws).await, "one");
    assert_eq!(next(&mut ws).await, "one again");
    let stats = two.hub.stats().backplane.unwrap();
    assert_eq!((stats.missed, stats.duplicates, stats.invalid), (0, 0, 0));
    one.stop().await;
    two.stop().await;
}

/// Numbers are in order, whoever sends.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_send_without_a_gap() {
    const EACH: usize = 500;
    let bus = Memory::new();
    let (one, two) = (joined(bus.clone()).await, joined(bus).await);
    let (mut ws, _) = member(&two, "a").await;
    spans(&one, "a", &mut ws).await;
    let senders = [0, 1, 2, 3].map(|task| {
        let hub = one.hub.clone();
        tokio::spawn(async move {
            for at in 0..EACH {
                hub.room("a").send(&*format!("{task} {at}")).unwrap();
                tokio::task::yield_now().await;
            }
        })
    });
    let mut seen = [0; 4];
    for _ in 0..4 * EACH {
        let text = next(&mut ws).await;
        let (task, at) = text.split_once(' ').unwrap();
        let seen = &mut seen[task.parse::<usize>().unwrap()];
        assert_eq!(at, seen.to_string());
        *seen += 1;
    }
    for sender in senders {
        within(sender).await.unwrap();
    }
    let stats = two.hub.stats().backplane.unwrap();
    assert_eq!((stats.missed, stats.duplicates), (0, 0));
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn one_client_is_reached_wherever_it_is() {
    let bus = Memory::new();
    let engine = Cutting::new(&bus);
    let (one, two) = (joined(engine.clone()).await, joined(bus).await);
    let (mut here, id_here) = member(&one, "a").await;
    let (mut there, id_there) = member(&two, "a").await;
    let (mut other, _) = member(&two, "a").await;
    one.hub.send_to(id_there, "to there").unwrap();
    one.hub.send_to(id_there, &b"\xFF\x01\x01"[..]).unwrap();
    one.hub.send_to(id_here, "to here").unwrap();
    assert_eq!(next(&mut there).await, "to there");
    assert_eq!(within(there.recv()).await.unwrap().unwrap().as_bytes(), b"\xFF\x01\x01");
    assert_eq!(next(&mut here).await, "to here");
    let prepared = sansws::PreparedMessage::new("prepared").unwrap();
    one.hub.send_to(id_there, &prepared).unwrap();
    assert_eq!(next(&mut there).await, "prepared");
    assert!(one.hub.get(id_there).is_none(), "a handle is of this server");

    // what is known, and no more
    let ping = sansws::proto::MessageRef::ping(&[0; 126]);
    assert!(matches!(one.hub.send_to(id_there, ping), Err(TrySendError::Invalid(_))));
    assert_eq!(one.hub.send_to(id_here + 1000, "nobody"), Err(TrySendError::Closed));
    assert_eq!(one.hub.send_to(7, "nobody"), Err(TrySendError::Closed));
    assert_eq!(one.hub.send_to(id_there ^ 1 << 50, "who knows"), Ok(()));
    engine.set(Way::Away);
    let refused = one.hub.send_to(id_there, "away").unwrap_err();
    assert_eq!(refused, TrySendError::NotPublished(PublishError::Away));
    let text = "the server of the client was not told: the backplane is not connected";
    assert_eq!(refused.to_string(), text);
    assert_eq!(one.hub.close(id_there, CloseCode::NORMAL, ""), Err(refused));
    engine.set(Way::Open);
    one.hub.close(id_there, CloseCode::POLICY_VIOLATION, "you").unwrap();
    assert_eq!(closed(&mut there).await, (1008, "you".into(), true));
    assert_eq!(two.hub.stats().backplane.unwrap().missed, 2);
    two.hub.all().send("last").unwrap();
    assert_eq!(next(&mut other).await, "last");
    one.stop().await;
    two.stop().await;
}

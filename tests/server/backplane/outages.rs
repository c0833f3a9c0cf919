//! Rooms that remember on all servers while their broker is killed, stopped and started again.

use std::time::Duration;

use sansws::server::backplane::HistoryError;
use sansws::server::{Missed, Position, ResumeError, TopicError};

use super::broker::{Broker, Kind};
use super::remembering::{LINES, missed, send, server, since, texts, topic, visit};
use crate::support::{Running, text, until, within};

/// A test of each scenario, for an engine.
macro_rules! all {
    ($kind:ty) => {
        remembering::all!(Broker::<$kind>::start_lasting());

        #[tokio::test]
        async fn a_broker_that_is_killed_forgets_nothing() {
            if let Some(broker) = Broker::<$kind>::start_lasting() {
                outages::a_broker_that_is_killed(broker, true).await;
            }
        }

        #[tokio::test]
        async fn a_broker_that_forgets_begins_another_epoch() {
            if let Some(broker) = Broker::<$kind>::start_lasting() {
                outages::a_broker_that_is_killed(broker, false).await;
            }
        }

        #[tokio::test]
        async fn a_broker_that_stands_still_holds_up_no_other_room() {
            if let Some(broker) = Broker::<$kind>::start_lasting() {
                outages::a_broker_that_stands_still(broker).await;
            }
        }
    };
}
pub(super) use all;

fn is_up(server: &Running) -> bool {
    server.hub.stats().backplane.unwrap().up
}

pub async fn a_broker_that_is_killed<K: Kind>(mut broker: Broker<K>, lasts: bool) {
    let (one, two) = (server(broker.engine().await).await, server(broker.engine().await).await);
    let begin = within(topic(&one).position()).await.unwrap().unwrap();
    let at = |offset| Position { offset, ..begin };
    let (mut here, _) = since(&one, begin).await;
    let (mut there, _) = since(&two, begin).await;
    for text in ["1", "2", "3"] {
        send(&one, text).await;
    }
    texts(&mut here, &["1", "2", "3"]).await;
    texts(&mut there, &["1", "2", "3"]).await;
    broker.kill();
    until(|| !is_up(&one) && !is_up(&two)).await;
    // whoever sends is told, and nobody gets it
    let away = TopicError::History(HistoryError::Away);
    assert_eq!(within(topic(&one).send("lost")).await, Err(away.clone()));
    assert_eq!(within(topic(&two).send_with(|_| "lost")).await, Err(away));
    // other rooms go on
    one.hub.all().send("still here").unwrap();
    assert_eq!(text(&mut here).await, "still here");
    // and so does who was away for moments, where there are members
    let (mut back, resumed) = since(&one, at(1)).await;
    assert_eq!((resumed.position, resumed.messages), (at(3), 2));
    texts(&mut back, &["2", "3"]).await;
    let (_ws, client) = visit(&one).await;
    let other = one.hub.shared_topic("other", LINES);
    let error = within(other.join_since(&client, at(1))).await.unwrap_err();
    assert_eq!(error, ResumeError::History(HistoryError::Away));
    if !lasts {
        broker.forget();
    }
    broker.restart();
    until(|| is_up(&one) && is_up(&two)).await;
    let next = send(&two, "4").await;
    for ws in [&mut here, &mut there, &mut back] {
        texts(ws, &["4"]).await;
    }
    if lasts {
        assert_eq!(next, at(4));
    } else {
        assert_ne!(next.epoch, begin.epoch);
        assert_eq!(next.offset, 1);
        for server in [&one, &two] {
            assert_eq!(missed(server, LINES, at(3)).await, Missed::OtherEpoch);
        }
    }
    let three = server(broker.engine().await).await;
    if lasts {
        let (mut ws, resumed) = since(&three, at(2)).await;
        assert_eq!((resumed.position, resumed.messages), (at(4), 2));
        texts(&mut ws, &["3", "4"]).await;
    } else {
        assert_eq!(missed(&three, LINES, at(3)).await, Missed::OtherEpoch);
    }
    for server in [one, two, three] {
        server.stop().await;
    }
}

pub async fn a_broker_that_stands_still<K: Kind>(broker: Broker<K>) {
    let (one, two) = (server(broker.engine().await).await, server(broker.engine().await).await);
    let begin = within(topic(&one).position()).await.unwrap().unwrap();
    let (mut here, _) = since(&one, begin).await;
    let (mut there, _) = since(&two, begin).await;
    broker.process().freeze();
    let hub = one.hub.clone();
    let sent = tokio::spawn(async move { hub.shared_topic("t", LINES).send("late").await });
    for at in 0..100 {
        one.hub.room("t").send(&*format!("at once {at}")).unwrap();
        assert_eq!(text(&mut here).await, format!("at once {at}"));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!sent.is_finished(), "it waits for the engine");
    broker.process().thaw();
    assert_eq!(within(sent).await.unwrap().unwrap().position.offset, 1);
    assert_eq!(text(&mut here).await, "late");
    while text(&mut there).await != "late" {}
    one.stop().await;
    two.stop().await;
}

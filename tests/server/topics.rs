//! Rooms that remember: what is kept, for how long, and who gets it. `comebacks` has many at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use sansws::handshake::client::Request;
use sansws::proto::MessageRef;
use sansws::server::{
    Client, ExternalStream, History, JoinError, Missed, Position, ResumeError, Server, handler_fn,
};
use sansws::tokio::{WebSocket, client};
use sansws::{Config, KeepAlive, Message};
use tokio::io::{DuplexStream, duplex};
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::support::{Running, bind, start, within};

const FROM: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7);

pub type Socket = WebSocket<DuplexStream>;

/// A client in memory, once the server runs.
pub async fn visit(server: &Running, path: &str) -> Socket {
    let here = loop {
        let (here, there) = duplex(64 * 1024);
        match server.handle.accept(ExternalStream::new(there, FROM)) {
            Ok(()) => break here,
            Err(_) => yield_now().await, // until it runs
        }
    };
    let request = Request::new(&format!("ws://h{path}")).unwrap();
    within(client(here, &request, &Config::new())).await.unwrap()
}

pub async fn text(ws: &mut Socket) -> String {
    match within(ws.recv()).await.unwrap() {
        Some(Message::Text(text)) => text.to_string(),
        other => panic!("{other:?}"),
    }
}

/// A server, whose clients are in no room, and the first of them with its handle.
async fn one_client(server: Server) -> (Running, Socket, Client) {
    let server = start(server.route("/", handler_fn()));
    let ws = visit(&server, "/").await;
    let client = newest(&server, 1).await;
    (server, ws, client)
}

/// The handle on the client that came last, when there are so many.
pub async fn newest(server: &Running, count: usize) -> Client {
    within(async {
        while server.hub.all().len() < count {
            yield_now().await;
        }
    })
    .await;
    server.hub.all().clients().pop().unwrap()
}

/// Nothing else has been sent.
async fn nothing_more(ws: &mut Socket, client: &Client) {
    client.send("nothing more").unwrap();
    assert_eq!(text(ws).await, "nothing more");
}

#[tokio::test]
async fn whoever_comes_gets_the_last_messages_and_then_the_new_ones() {
    let (server, mut ws, client) = one_client(bind().await).await;
    let topic = server.hub.topic("t", History::last(3));
    assert_eq!(topic.position(), None);
    for at in 1..=5 {
        let sent = topic.send(format!("{at}")).unwrap();
        assert_eq!((sent.position.offset, sent.clients), (at, 0));
        assert_eq!(topic.position(), Some(sent.position));
    }
    assert_eq!(server.hub.rooms(), [], "nobody is there");
    let resumed = topic.join_last(&client, 2).unwrap();
    assert_eq!((resumed.position.offset, resumed.messages), (5, 2));
    // what is sent to the room, or is no message, is not kept
    assert_eq!(server.hub.room("t").send("for now"), Ok(1));
    assert_eq!(topic.send("6").unwrap().clients, 1);
    assert_eq!(server.hub.all().send("for all"), Ok(1));
    let ping = topic.send(MessageRef::ping(b"p")).unwrap();
    assert_eq!((ping.position.offset, ping.clients), (6, 1));
    assert_eq!(topic.except(client.id()).send("7").unwrap().clients, 0);
    for expected in ["4", "5", "for now", "6", "for all"] {
        assert_eq!(text(&mut ws).await, expected);
    }
    nothing_more(&mut ws, &client).await;

    // who is there gets nothing again
    let again = topic.join_last(&client, 9).unwrap();
    assert_eq!((again.position.offset, again.messages), (7, 0));
    let since = topic.join_since(&client, Position { offset: 0, ..again.position }).unwrap();
    assert_eq!((since.position.offset, since.messages), (7, 0));
    nothing_more(&mut ws, &client).await;

    assert!(client.leave("t"));
    assert_eq!(topic.join_last(&client, usize::MAX).unwrap().messages, 3);
    for expected in ["5", "6", "7"] {
        assert_eq!(text(&mut ws).await, expected);
    }
    assert!(client.leave("t"));
    assert_eq!(topic.join_last(&client, 0).unwrap().messages, 0);
    nothing_more(&mut ws, &client).await;
    server.stop().await;
}

/// What was sent before the server runs is kept, and changes none of its settings.
#[tokio::test]
async fn a_topic_may_be_filled_before_the_server_runs() {
    let server = bind().await.max_queued_bytes(100).max_history_bytes(1000).max_rooms_per_client(1);
    let hub = server.hub();
    for at in 1..=3 {
        assert_eq!(hub.topic("t", History::last(9)).send(format!("{at}")).unwrap().clients, 0);
    }
    let (server, mut ws, client) = one_client(server).await;
    let topic = server.hub.topic("t", History::last(9));
    // one message of 65 bytes may wait
    assert_eq!(topic.join_last(&client, 9).unwrap().messages, 1);
    assert_eq!(text(&mut ws).await, "3");
    assert_eq!(client.join("u"), Err(JoinError::TooManyRooms { limit: 1 }));
    topic.send("4").unwrap();
    assert!(server.hub.stats().history_bytes <= 1000);
    server.stop().await;
}

/// It is there at once, and a later one replaces it.
#[tokio::test]
async fn the_last_value_is_a_history_of_one() {
    let (server, mut ws, client) = one_client(bind().await).await;
    let price = server.hub.topic("price", History::last(1));
    for value in ["7", "8"] {
        price.send(value).unwrap();
    }
    // longer than all bounds of a history
    let long = "9".repeat(700_000);
    price.send(&long).unwrap();
    price.join_last(&client, 1).unwrap();
    price.send("10").unwrap();
    assert_eq!(text(&mut ws).await, long);
    assert_eq!(text(&mut ws).await, "10");
    server.stop().await;
}

#[tokio::test]
async fn what_was_lost_is_said_and_nothing_is_done() {
    let (server, mut ws, client) = one_client(bind().await).await;
    let topic = server.hub.topic("t", History::last(3));
    let first = topic.send("1").unwrap().position;
    for text in ["2", "3", "4"] {
        topic.send(text).unwrap();
    }
    let begin = Position { offset: 0, ..first };
    let other = Position { epoch: !first.epoch, ..first };
    let ahead = Position { offset: 5, ..first };
    for (position, missed) in [
        (begin, Missed::TooOld { lost: 1 }),
        (other, Missed::OtherEpoch),
        (ahead, Missed::OtherEpoch),
    ] {
        assert_eq!(topic.join_since(&client, position), Err(ResumeError::Missed(missed)));
        assert!(client.rooms().is_empty() && server.hub.rooms().is_empty());
    }
    assert_eq!(topic.join_since(&client, first).unwrap().messages, 3);
    for expected in ["2", "3", "4"] {
        assert_eq!(text(&mut ws).await, expected);
    }
    nothing_more(&mut ws, &client).await;

    // forgotten while somebody is there, who stays
    assert!(topic.forget() && !topic.forget());
    assert_eq!((topic.position(), client.rooms()), (None, vec!["t".to_owned()]));
    let anew = topic.send("anew").unwrap();
    assert_eq!((anew.position.offset, anew.clients), (1, 1));
    assert_ne!(anew.position.epoch, first.epoch);
    client.leave("t");
    let missed = Err(ResumeError::Missed(Missed::OtherEpoch));
    assert_eq!(topic.join_since(&client, first), missed);
    assert_eq!(text(&mut ws).await, "anew");
    server.stop().await;
}

/// As little as a client may be sent at once, and the settings of rooms, hold for topics.
#[tokio::test]
async fn what_is_queued_at_once_is_bounded() {
    let server = bind().await.max_queued_bytes(1000).max_rooms_per_client(1).max_room_name_len(3);
    let (server, mut ws, client) = one_client(server).await;
    let topic = server.hub.topic("t", History::last(100));
    let begin = Position { offset: 0, ..topic.send("1").unwrap().position };
    for at in 2..=20 {
        topic.send(format!("{at}")).unwrap();
    }
    // 64 and one or two for each
    let Err(ResumeError::Missed(missed)) = topic.join_since(&client, begin) else { panic!() };
    assert_eq!(missed, Missed::TooMuch { messages: 20, bytes: 1311, limit: 1000 });
    assert!(missed.to_string().contains("raise Server::max_queued_bytes"), "{missed}");
    assert!(client.rooms().is_empty());
    nothing_more(&mut ws, &client).await;
    // the newest that fit
    assert_eq!(topic.join_last(&client, 100).unwrap().messages, 15);
    for at in 6..=20 {
        assert_eq!(text(&mut ws).await, format!("{at}"));
    }
    let full = JoinError::TooManyRooms { limit: 1 };
    assert_eq!(server.hub.topic("u", History::last(1)).join_last(&client, 1), Err(full));
    let long = JoinError::NameTooLong { len: 4, limit: 3 };
    let named = server.hub.topic("long", History::last(1));
    assert_eq!(named.join_since(&client, begin), Err(ResumeError::Join(long)));
    // one message has room in any case
    client.leave("t");
    let large = "large".repeat(1000);
    let before = topic.position().unwrap();
    topic.send(&large).unwrap();
    assert_eq!(topic.join_since(&client, before).unwrap().messages, 1);
    assert_eq!(text(&mut ws).await, large);
    drop(ws);
    within(client.closed()).await;
    client.leave("t");
    let closed = Err(ResumeError::Join(JoinError::Closed));
    assert_eq!(topic.join_since(&client, before), closed);
    assert_eq!(topic.join_last(&client, 1), Err(JoinError::Closed));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn messages_expire() {
    const AGE: Duration = Duration::from_secs(60);
    // in whose name nobody answers pings
    let config = Server::default_config().keep_alive(KeepAlive::Off);
    let (server, mut ws, client) = one_client(bind().await.config(config)).await;
    let (hub, topic) = (&server.hub, server.hub.topic("t", History::last(9).max_age(AGE)));
    topic.send("old").unwrap();
    sleep(AGE / 2).await;
    let middle = topic.send("middle").unwrap().position;
    sleep(AGE / 2 - Duration::from_secs(1)).await;
    assert_eq!(topic.join_last(&client, 9).unwrap().messages, 2);
    client.leave("t");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(topic.join_last(&client, 9).unwrap().messages, 1);
    for expected in ["old", "middle", "middle"] {
        assert_eq!(text(&mut ws).await, expected);
    }
    // with somebody in it, offsets go on when nothing is left
    sleep(AGE).await;
    let held = hub.stats();
    assert_eq!((held.topics, held.history_bytes), (1, 513));
    assert_eq!(topic.position(), Some(middle));
    client.leave("t");
    assert_eq!(topic.join_since(&client, middle).unwrap().messages, 0);
    client.leave("t");
    sleep(Duration::from_secs(11)).await;
    let held = hub.stats();
    assert_eq!((held.topics, held.history_bytes, topic.position()), (0, 0, None));
    assert_ne!(topic.send("anew").unwrap().position.epoch, middle.epoch);
    // one that is used goes on for ever
    let kept = topic.position().unwrap();
    for _ in 0..5 {
        sleep(AGE - Duration::from_secs(1)).await;
        topic.send("on").unwrap();
    }
    assert_eq!(topic.position().unwrap().epoch, kept.epoch);
    // more than are looked at together
    for at in 0..200 {
        hub.topic(&format!("{at}"), History::last(1)).send("x").unwrap();
    }
    assert_eq!(hub.stats().topics, 201);
    sleep(Duration::from_secs(3600 + 11)).await;
    assert_eq!((hub.stats().topics, hub.stats().history_bytes), (0, 0));
    server.stop().await;
}

#[tokio::test]
async fn all_topics_together_are_bounded() {
    const LIMIT: usize = 10_000;
    let (server, mut ws, client) = one_client(bind().await.max_history_bytes(LIMIT)).await;
    let hub = &server.hub;
    let held = || hub.stats().history_bytes as usize;
    let topic = |name| hub.topic(name, History::last(100));
    let message = "m".repeat(300);
    for name in ["a", "b", "c"] {
        topic(name).send(&message).unwrap();
        topic(name).send(&message).unwrap();
    }
    // the name and 512; 300, the header and 192 twice
    assert_eq!((hub.stats().topics, held()), (3, 3 * (513 + 2 * 496)));
    // used again, by sending to the room and by entering it
    topic("a").send("a").unwrap();
    topic("b").join_last(&client, 0).unwrap();
    let in_b = topic("b").position().unwrap();
    for at in 0..10 {
        topic("d").send(format!("{message}{at}")).unwrap();
    }
    assert_eq!(topic("c").position(), None, "it was not used for longest");
    assert!(held() <= LIMIT && topic("a").position().is_some(), "{}", held());
    for at in 0..100 {
        topic("d").send(format!("{message}{at}")).unwrap();
        assert!(held() <= LIMIT, "{}", held());
    }
    // the only one left keeps as much as there is room for
    assert_eq!((hub.stats().topics, topic("b").position()), (1, None));
    let last = topic("d").join_last(&client, 100).unwrap().messages;
    assert_eq!((last, held()), (19, 513 + 19 * 498));
    for at in 81..100 {
        assert_eq!(text(&mut ws).await, format!("{message}{at}"));
    }
    // who is in a room that is forgotten stays there
    assert_eq!(client.rooms(), ["b", "d"]);
    assert_eq!(topic("b").send("b").unwrap().clients, 1);
    assert_ne!(topic("b").position().unwrap().epoch, in_b.epoch);
    // one that nothing is left of is none; one that is too long is not kept
    topic("e").send("e".repeat(LIMIT)).unwrap();
    assert_eq!((hub.stats().topics, held()), (1, 513));
    assert_eq!(topic("e").position().unwrap().offset, 1);
    // nor do empty ones get more
    for at in 0..1000 {
        let name = format!("{at}");
        hub.topic(&name, History::last(1)).join_last(&client, 1).unwrap();
        client.leave(&name);
        assert!(held() <= LIMIT, "{}", held());
    }
    server.stop().await;
}

/// A message that knows its position; a closure that panics, and one that does what it may not.
#[tokio::test]
async fn a_message_knows_its_position() {
    let (server, mut ws, client) = one_client(bind().await).await;
    let topic = server.hub.topic("t", History::last(9));
    let other = server.hub.topic("u", History::last(9));
    topic.join_last(&client, 0).unwrap();
    other.join_last(&client, 0).unwrap();
    let say = |text: &str| {
        let sent = topic.send_with(|position| format!("{position} {text}")).unwrap();
        assert_eq!(sent.clients, 1);
        format!("{} {text}", sent.position)
    };
    let mut said = vec![say("1"), say("2")];
    // which all leave everything as it was
    let panics = |call: &dyn Fn()| {
        let result = catch_unwind(AssertUnwindSafe(call));
        *result.unwrap_err().downcast::<&str>().unwrap()
    };
    let told = panics(&|| {
        let _ = topic.send_with(|_| -> &str { panic!("in the closure") });
    });
    assert_eq!(told, "in the closure");
    let not_allowed: [&dyn Fn() -> bool; 5] = [
        &|| topic.send("m").is_ok(),
        &|| other.send_with(|_| "m").is_ok(),
        &|| server.hub.all().send("m").is_ok(),
        &|| server.hub.room("none").send("m").is_ok(),
        &|| other.join_last(&client, 1).is_ok(),
    ];
    for call in not_allowed {
        let told = panics(&|| {
            let _ = topic.send_with(|_| if call() { "sent" } else { "not sent" });
        });
        assert!(told.starts_with("the closure of Topic::send_with sends"), "{told}");
    }
    let long = topic.send_with(|_| MessageRef::ping(&[0; 126]));
    assert!(long.is_err());
    let direct = topic.send_with(|position| {
        client.send("directly").unwrap();
        format!("{position} 3")
    });
    said.push("directly".into());
    said.push(format!("{} 3", direct.unwrap().position));
    said.push(say("4"));
    for said in said {
        assert_eq!(text(&mut ws).await, said);
    }
    assert_eq!(topic.position().unwrap().offset, 4);
    assert_eq!(server.hub.all().send("all"), Ok(1), "nothing is held");
    server.stop().await;
}

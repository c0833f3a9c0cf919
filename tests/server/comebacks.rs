//! Clients that come back to a topic, while many send to it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sansws::proto::MessageRef;
use sansws::server::{Client, Handler, History, Position, handler_fn};
use sansws::{CloseCode, Message};

use crate::support::{Running, bind, start, within};
use crate::topics::{newest, text, visit};

/// Joins the topics that the path names, behind a position for each.
struct Comeback;

const LONG: History = History::last(100_000).max_bytes(64 << 20);

impl Handler for Comeback {
    async fn on_open(&self, client: &Client) {
        let positions = client.info().query().unwrap().split('&');
        for (name, position) in ["a", "b"].into_iter().zip(positions) {
            let topic = client.hub().topic(name, LONG);
            let position = position.parse().unwrap();
            topic.join_since(client, position).unwrap();
        }
    }
}

/// Threads send to two topics, while clients come, receive some and break off; some are in one of
/// them, some in both, so that both kinds of turns are taken. Each client gets all, once and in
/// order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_that_come_back_miss_nothing_and_get_nothing_twice() {
    const SENDERS: u64 = 3;
    const EACH: u64 = 1500;
    const CLIENTS: u64 = 12;
    let server = Arc::new(start(bind().await.route("/", Comeback)));
    let begin = ["a", "b"].map(|name| {
        let position = server.hub.topic(name, LONG).send("0").unwrap().position;
        Position { offset: 0, ..position }
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| tokio::spawn(come_and_go(Arc::clone(&server), begin, number, SENDERS * EACH)))
        .collect();
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let hub = server.hub.clone();
            std::thread::spawn(move || {
                for at in 0..EACH {
                    for name in ["a", "b"] {
                        let say = |position: Position| format!("{name} {position}");
                        hub.topic(name, LONG).send_with(say).unwrap();
                    }
                    if at % 8 == 0 {
                        std::thread::sleep(Duration::from_micros(300));
                    }
                }
            })
        })
        .collect();
    let mut visits = 0;
    for client in clients {
        visits += within(client).await.unwrap();
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert!(visits > CLIENTS, "some came back");
    within(Arc::into_inner(server).unwrap().stop()).await;
}

/// Until it has all messages. Returns how often it came.
async fn come_and_go(server: Arc<Running>, begin: [Position; 2], number: u64, last: u64) -> u64 {
    let mut at = begin;
    let both = number.is_multiple_of(3);
    let mut random = number + 1;
    let last = last + 1; // the first one was there before
    let done = |at: &[Position; 2]| at[0].offset == last && (!both || at[1].offset == last);
    let mut visits = 0;
    while !done(&at) {
        visits += 1;
        let second = if both { format!("&{}", at[1]) } else { String::new() };
        let mut ws = visit(&server, &format!("/?{}{second}", at[0])).await;
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        for _ in 0..(random >> 33) % 1500 {
            if done(&at) {
                break;
            }
            let message = text(&mut ws).await;
            let (which, offset) = match message.split_once(' ') {
                None => (usize::from(at[0].offset > 0), 1), // the first one has no position in it
                Some((name, position)) => {
                    let which = usize::from(name == "b");
                    let position: Position = position.parse().unwrap();
                    assert_eq!(position.epoch, begin[which].epoch);
                    (which, position.offset)
                }
            };
            assert_eq!(offset, at[which].offset + 1, "{message} in {which}, visit {visits}");
            at[which].offset = offset;
        }
    }
    visits
}

/// To get what was missed and to be in the room is one step, however many send: between the marks
/// of a stay there is every message from its position on, once and in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_sent_while_a_client_comes_back() {
    const STAYS: usize = 4000;
    let server = start(bind().await.route("/", handler_fn()));
    let begin = server.hub.topic("t", LONG).send("first").unwrap().position;
    let done = Arc::new(AtomicBool::new(false));
    let mut guests = Vec::new();
    for number in 1..=3 {
        let mut ws = visit(&server, "/").await;
        let client = newest(&server, number).await;
        if number == 2 {
            client.join("elsewhere").unwrap(); // now and then all turns are taken
        }
        let stays = tokio::spawn(async move {
            let (mut position, hub) = (begin, client.hub());
            for _ in 0..STAYS {
                client.writable().await.unwrap();
                client.send(format!("from {}", position.offset)).unwrap();
                position = hub.topic("t", LONG).join_since(&client, position).unwrap().position;
                assert!(client.leave("t"));
                // until nobody has it in his list any more
                hub.room("t").send(MessageRef::ping(b"")).unwrap();
                client.send(format!("to {}", position.offset)).unwrap();
            }
            client.close(CloseCode::NORMAL, "").unwrap();
        });
        guests.push(tokio::spawn(async move {
            let (mut at, mut stays_seen) = (0, 0);
            while let Some(Message::Text(text)) = ws.recv().await.unwrap() {
                match text.split_once(' ') {
                    Some(("from", offset)) => at = offset.parse().unwrap(),
                    Some(("to", offset)) => {
                        assert!(at >= offset.parse::<u64>().unwrap(), "{at}, {text}");
                        stays_seen += 1;
                    }
                    _ => {
                        at += 1;
                        assert_eq!(text.parse(), Ok(at), "in stay {stays_seen}");
                    }
                }
            }
            stays.await.unwrap();
            stays_seen
        }));
    }
    let senders: Vec<_> = (0..2)
        .map(|_| {
            let (hub, done) = (server.hub.clone(), Arc::clone(&done));
            std::thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    hub.topic("t", LONG).send_with(|it| it.offset.to_string()).unwrap();
                    std::thread::yield_now();
                }
            })
        })
        .collect();
    for guest in guests {
        assert_eq!(within(guest).await.unwrap(), STAYS);
    }
    done.store(true, Ordering::Relaxed);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    server.stop().await;
}

/// What is sent to two topics from everywhere reaches their members in the same order, also
/// when a topic is forgotten all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_order_holds_while_topics_are_forgotten() {
    const MEMBERS: usize = 24;
    let server = Arc::new(start(bind().await.route("/", handler_fn())));
    let mut sockets = Vec::new();
    for _ in 0..MEMBERS {
        sockets.push(visit(&server, "/").await);
    }
    newest(&server, MEMBERS).await;
    let clients = server.hub.all().clients();
    for client in &clients {
        client.join("t").unwrap();
        client.join("u").unwrap();
    }
    let done = Arc::new(AtomicBool::new(false));
    let forget = {
        let (hub, done) = (server.hub.clone(), Arc::clone(&done));
        std::thread::spawn(move || {
            let mut forgotten = 0;
            while !done.load(Ordering::Relaxed) {
                forgotten += u64::from(hub.topic("t", LONG).forget());
                std::thread::yield_now();
            }
            forgotten
        })
    };
    let senders: Vec<_> = (0..3)
        .map(|sender| {
            let hub = server.hub.clone();
            std::thread::spawn(move || {
                for at in 0..1000 {
                    let text = format!("{sender} {at}");
                    let name = if at % 3 == 0 { "t" } else { "u" };
                    match at % 2 {
                        0 => {
                            assert_eq!(hub.topic(name, LONG).send(&text).unwrap().clients, MEMBERS)
                        }
                        _ => assert_eq!(hub.room(name).send(&text), Ok(MEMBERS)),
                    }
                }
            })
        })
        .collect();
    let mut seen = BTreeSet::new();
    for _ in 0..3000 {
        let first = text(&mut sockets[0]).await;
        for other in &mut sockets[1..] {
            assert_eq!(text(other).await, first);
        }
        assert!(seen.insert(first), "twice");
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    done.store(true, Ordering::Relaxed);
    assert!(forget.join().unwrap() > 0);
    within(Arc::into_inner(server).unwrap().stop()).await;
}

//! What those who broadcast and those who come and go share: the hub, its rooms and topics, and
//! what clients are told of room in their queues.
#![allow(clippy::unwrap_used)]

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::Poll;

use bytes::Buf;
use shuttle::future::block_on;
use shuttle::thread;

use super::client::{Client, Common};
use super::history::History;
use super::hub::Hub;
use super::info::ClientInfo;
use super::limits::Limits;
use super::outbox::{Drained, Wait};
use super::values::Values;
use crate::Config;
use crate::buf::SendBuffer;
use crate::driver::{Driver, Rest};
use crate::handshake::server::Request as Head;
use crate::models::{check_order, explore, frames};
use crate::pool::PooledTx;
use crate::proto::Connection;
use crate::server::context::Context;
use crate::server::http::forwarded::Forwarded;
use crate::server::http::request::{Peer, Request};
use crate::server::http::route::Pattern;

fn connect(hub: &Hub, limits: Limits) -> Client {
    let addr = ([127, 0, 0, 1], 1).into();
    let peer = Peer { addr, secure: false, own_tls: false, local: true };
    let http = Head::from_parts("GET", "/", [("Host", "a")], &Config::new()).unwrap();
    let request = Request::with(&http, peer, Forwarded::default(), None);
    let pattern = Arc::new(Pattern::parse("/").unwrap());
    let info = ClientInfo::new(&request, None, pattern, [].into(), 0);
    let context = Context::default().with_limits(limits);
    let client =
        Client::new(info, Values::default(), Arc::new(Common { hub: hub.clone(), context }));
    hub.insert(&client);
    client
}

fn driver() -> Driver {
    let (_, sender) = Connection::server(&Config::new()).split();
    Driver::from_parts(sender, PooledTx::default(), Rest::new())
}

/// Moves what waits for a client out of its queue.
fn drain(client: &Client, driver: &mut Driver, got: &mut Vec<u8>) -> Drained {
    let drained = client.outbox().drain(driver, client.context().limits());
    let mut tx = SendBuffer::new();
    driver.take_unsent(&mut tx);
    driver.in_flight = 0;
    got.extend_from_slice(&tx.copy_to_bytes(tx.remaining()));
    drained
}

/// Returns the messages that wait for a client.
fn messages(client: &Client) -> Vec<Vec<u8>> {
    let mut got = Vec::new();
    drain(client, &mut driver(), &mut got);
    frames(&got).into_iter().map(|(_, payload)| payload).collect()
}

fn spawn<T: Send + 'static>(
    hub: &Hub,
    run: impl FnOnce(&Hub) -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let hub = hub.clone();
    thread::spawn(move || run(&hub))
}

/// Checks that what two clients both got, both got in the same order.
fn check_same_order(one: &[Vec<u8>], other: &[Vec<u8>]) {
    let common = |these: &[Vec<u8>], those: &[Vec<u8>]| -> Vec<_> {
        these.iter().filter(|it| those.contains(it)).cloned().collect()
    };
    assert_eq!(common(one, other), common(other, one));
}

/// Broadcasts to all, to a room and to another one with a member in common, while a client moves
/// from one room to the other and a third one goes. Who was there all the time gets everything
/// once, and all that two clients have in common they get in the same order.
#[test]
fn rooms() {
    explore(|| {
        let hub = Hub::default();
        let clients = [(); 4].map(|()| connect(&hub, Limits::default()));
        let [in_both, in_one, moves, goes] = &clients;
        for (client, room) in [(in_both, "a"), (in_both, "b"), (in_one, "a"), (moves, "a")] {
            client.join(room).unwrap();
        }
        goes.join("b").unwrap();
        let (mover, goer) = (moves.clone(), goes.clone());
        let threads = [
            spawn(&hub, |hub| hub.room("a").send(&[1, 0]).map(drop).unwrap()),
            spawn(&hub, |hub| hub.room("b").send(&[2, 0]).map(drop).unwrap()),
            spawn(&hub, move |_| {
                assert!(mover.leave("a"));
                assert!(mover.join("b").unwrap());
            }),
            spawn(&hub, move |hub| {
                hub.remove(&goer);
                assert_eq!(goer.rooms(), ["b"], "known until it is forgotten");
                hub.forget(&goer);
                assert!(goer.rooms().is_empty());
            }),
        ];
        assert!(hub.all().send(&[3, 0]).unwrap() >= 3);
        threads.into_iter().for_each(|it| it.join().unwrap());
        let got = clients.clone().map(|it| messages(&it));
        for (at, got_one) in got.iter().enumerate() {
            got[..at].iter().for_each(|it| check_same_order(it, got_one));
            for number in 1..4 {
                assert!(got_one.iter().filter(|it| it[0] == number).count() <= 1);
            }
        }
        assert_eq!((got[0].len(), got[1].len()), (3, 2), "{got:?}");
        assert_eq!((hub.room("a").len(), hub.room("b").len()), (2, 2));
    });
}

/// A room is left by all and entered anew while others broadcast to it: whoever had the turn of the
/// old one has none of the new one. Two clients never disagree about the order.
#[test]
fn a_room_that_begins_anew() {
    explore(|| {
        let hub = Hub::default();
        let clients = [(); 2].map(|()| connect(&hub, Limits::default()));
        clients[0].join("a").unwrap();
        let [first, second] = clients.clone();
        let threads = [
            spawn(&hub, |hub| hub.room("a").send(&[1, 0]).map(drop).unwrap()),
            spawn(&hub, |hub| hub.room("a").send(&[2, 0]).map(drop).unwrap()),
            spawn(&hub, move |_| {
                first.leave("a");
                first.join("a").unwrap();
            }),
            spawn(&hub, move |_| assert!(second.join("a").unwrap())),
        ];
        threads.into_iter().for_each(|it| it.join().unwrap());
        let [one, other] = clients.map(|it| messages(&it));
        check_same_order(&one, &other);
    });
}

/// Clients come back to a topic while others send to it: each gets every message once, what it
/// missed before what is sent since, and all in the same order.
#[test]
fn who_comes_back_misses_nothing() {
    explore(|| {
        let hub = Hub::default();
        let history = History::last(10);
        let clients = [(); 2].map(|()| connect(&hub, Limits::default()));
        let [by_position, by_count] = clients.clone();
        let first = hub.topic("a", history).send(&[1, 0]).unwrap().position;
        let threads = [
            spawn(&hub, move |hub| {
                let topic = hub.topic("a", history);
                topic.send(&[1, 1]).unwrap();
                topic.send(&[1, 2]).unwrap();
            }),
            spawn(&hub, move |hub| assert!(hub.topic("a", history).send(&[2, 0]).is_ok())),
            spawn(&hub, move |hub| {
                hub.topic("a", history).join_since(&by_position, first).unwrap();
            }),
            spawn(&hub, move |hub| {
                hub.topic("a", history).join_last(&by_count, 10).unwrap();
            }),
        ];
        threads.into_iter().for_each(|it| it.join().unwrap());
        let [mut since, all] = clients.map(|it| messages(&it));
        since.insert(0, [1, 0].into());
        assert_eq!(since, all);
        check_order(&all, 1, 3);
        check_order(&all, 2, 1);
    });
}

/// Two tasks wait for room in the queue of a client, with room for one message, and a third one for
/// its end. All of them are told, whatever comes between.
#[test]
fn room_and_the_end() {
    explore(|| {
        let hub = Hub::default();
        let limits = Limits { max_queued_bytes: 130, ..Limits::default() };
        let client = connect(&hub, limits);
        let task = client.clone();
        let running = thread::spawn(move || {
            let (mut driver, mut got, mut parked) = (driver(), Vec::new(), false);
            block_on(poll_fn(|cx| {
                let outbox = task.outbox();
                loop {
                    if !(parked && outbox.is_quiet()) {
                        match drain(&task, &mut driver, &mut got) {
                            Drained::Open => {}
                            Drained::CaughtUp => {
                                outbox.note_caught_up();
                                continue;
                            }
                            Drained::Closed | Drained::Aborted => break,
                        }
                    }
                    if parked && outbox.is_quiet() {
                        return Poll::Pending;
                    }
                    match outbox.park(cx.waker(), driver.has_room(), task.context().limits()) {
                        Wait::Not => {}
                        Wait::Parked => {
                            parked = true;
                            return Poll::Pending;
                        }
                        Wait::Doubted => panic!("nobody is slow here"),
                    }
                }
                Poll::Ready(())
            }));
            frames(&got).into_iter().map(|(_, payload)| payload).collect::<Vec<_>>()
        });
        let sending = [1, 2].map(|number| {
            let client = client.clone();
            thread::spawn(move || {
                for n in 0..2 {
                    block_on(client.writable()).unwrap();
                    client.send(&[number, n]).unwrap();
                }
            })
        });
        let watcher = client.clone();
        let watching = thread::spawn(move || block_on(watcher.closed()));
        sending.into_iter().for_each(|it| it.join().unwrap());
        client.close(crate::CloseCode::NORMAL, "").unwrap();
        watching.join().unwrap();
        let mut messages = running.join().unwrap();
        assert_eq!(messages.pop().unwrap(), 1000_u16.to_be_bytes(), "the Close");
        check_order(&messages, 1, 2);
        check_order(&messages, 2, 2);
    });
}

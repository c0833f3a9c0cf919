//! Two ends that both have something to write, in one thread each: none may wait for one direction
//! only.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use sansws::blocking::{Transport, WebSocket};
use sansws::{Config, Error, Message};

use crate::blocking::peer::{Peer, client_on, server_on, tcp, within};
use sansws_test::wire;

/// Both ends of a connection, whatever it is made of.
fn both<S: Transport + Send + 'static>((near, far): (S, S), config: &Config) -> [WebSocket<S>; 2] {
    [server_on(near, config), client_on(far, config)]
}

/// Does the same at both ends at once.
fn at_both_ends<S: Transport + Send + 'static>(
    ends: [WebSocket<S>; 2],
    act: impl Fn(&mut WebSocket<S>) + Send + Clone + 'static,
) {
    // nobody goes before both are done: the end of one is no failure of the other
    let barrier = std::sync::Arc::new(std::sync::Barrier::new(2));
    let threads = ends.map(|mut ws| {
        let (act, barrier) = (act.clone(), barrier.clone());
        thread::spawn(move || {
            act(&mut ws);
            barrier.wait();
        })
    });
    for thread in threads {
        thread.join().unwrap();
    }
}

fn receive<S: Transport>(ws: &mut WebSocket<S>, count: usize, len: usize) {
    for number in 0..count {
        let Some(Message::Binary(payload)) = ws.recv().unwrap() else { panic!("no message") };
        assert_eq!((payload.len(), payload[0]), (len, number as u8));
    }
}

fn message(number: usize, len: usize) -> Vec<u8> {
    let mut payload = vec![0xA5; len];
    payload[0] = number as u8;
    payload
}

/// More is queued than the sockets hold, and nobody has any more to do than to receive.
#[test]
fn two_ends_that_have_queued_much_receive() {
    fn run<S: Transport + Send + 'static>(pair: (S, S)) {
        let ends = both(pair, &Config::new().max_unsent(64 << 20));
        at_both_ends(ends, |ws| {
            for number in 0..24 {
                ws.feed(message(number, 1 << 20)).unwrap();
            }
            receive(ws, 24, 1 << 20);
            ws.flush().unwrap();
        });
    }
    within(|| run(UnixStream::pair().unwrap()));
    within(|| run(tcp()));
}

/// The same where what is queued leaves no room for answers, so that nothing is delivered until
/// there is: a small message and a large one behind it.
#[test]
fn two_ends_without_room_for_answers_receive() {
    within(|| {
        let ends = both(UnixStream::pair().unwrap(), &Config::new().max_unsent(1000));
        at_both_ends(ends, |ws| {
            ws.feed(message(0, 10)).unwrap();
            ws.feed(message(1, 8 << 20)).unwrap();
            receive(ws, 1, 10);
            assert!(ws.unsent() < 1000, "{} bytes leave no room for an answer", ws.unsent());
            let Some(large) = ws.recv().unwrap() else { panic!("no message") };
            assert_eq!(large.len(), 8 << 20);
            ws.flush().unwrap();
        });
    });
}

/// Nobody has come to receive when both send.
#[test]
fn two_ends_that_send_at_once_get_through() {
    fn run<S: Transport + Send + 'static>(pair: (S, S), count: usize, len: usize) {
        at_both_ends(both(pair, &Config::new()), move |ws| {
            for number in 0..count {
                ws.send(message(number, len)).unwrap();
            }
            receive(ws, count, len);
        });
    }
    within(|| run(tcp(), 1, 15 << 20));
    within(|| run(UnixStream::pair().unwrap(), 3, 5 << 20));
    within(|| run(UnixStream::pair().unwrap(), 1000, 15_000));
}

/// An event is held while its answer is sent: there is no place for what arrives in the receive
/// buffer.
#[test]
fn two_ends_that_answer_while_they_hold_an_event_get_through() {
    within(|| {
        at_both_ends(both(UnixStream::pair().unwrap(), &Config::new()), |ws| {
            ws.send("begin").unwrap();
            let (event, mut out) = ws.next_event().unwrap().unwrap();
            out.send(message(0, 5 << 20)).unwrap();
            assert_eq!(event.into_message(), Some("begin".into()));
            receive(ws, 1, 5 << 20);
        });
    });
}

/// Byte streams hold a little only, as sockets do, but that much they take in.
#[test]
fn two_byte_streams_that_write_get_through() {
    use std::io::{Read, Write};
    within(|| {
        let (near, far) = UnixStream::pair().unwrap();
        let (near, far) = (server_on(near, &Config::new()), client_on(far, &Config::new()));
        let threads = [near, far].map(|ws| {
            thread::spawn(move || {
                let mut stream = ws.into_byte_stream();
                // in all more than the sockets hold
                for _ in 0..200 {
                    stream.write_all(&[7; 30_000]).unwrap();
                    stream.read_exact(&mut [0; 30_000]).unwrap();
                }
                stream
            })
        });
        let streams = threads.map(|thread| thread.join().unwrap());
        drop(streams);
    });
}

/// What a `send` takes in from a peer that talks and does not read has a bound, and it is there
/// afterwards.
#[test]
fn a_send_takes_in_what_a_message_may_have_and_no_more() {
    within(|| {
        let (near, far) = UnixStream::pair().unwrap();
        let config = Config::new().max_message_len(1 << 20);
        let mut ws = server_on(near, &config);
        let mut peer = Peer::new(far);
        let mut to = peer.io.try_clone().unwrap();
        let (progress, messages) = mpsc::channel();
        let flood = thread::spawn(move || {
            let frame = wire::client(wire::BINARY, &[8; 10_000]);
            for _ in 0..1000 {
                std::io::Write::write_all(&mut to, &frame).unwrap();
                progress.send(()).unwrap();
            }
        });
        let sending = thread::spawn(move || {
            ws.send(vec![1; 4 << 20]).unwrap();
            for _ in 0..1000 {
                assert_eq!(ws.recv().unwrap().map(|message| message.len()), Some(10_000));
            }
        });
        thread::sleep(Duration::from_millis(500));
        let count = messages.try_iter().count();
        // a message's worth, and what the sockets and one read hold
        assert!((100..300).contains(&count), "{count} messages went out");
        assert_eq!(peer.frame().unwrap().payload.len(), 4 << 20);
        flood.join().unwrap();
        sending.join().unwrap();
    });
}

/// The peer talks, reads nothing, and goes away: everything it said is delivered before its end
/// shows.
#[test]
fn what_came_in_during_a_send_is_delivered_before_the_end() {
    within(|| {
        let (near, far) = UnixStream::pair().unwrap();
        let mut ws = server_on(near, &Config::new());
        let sending = thread::spawn(move || {
            let error = ws.send(vec![1; 4 << 20]).unwrap_err();
            assert!(error.is_disconnect(), "{error:?}");
            for number in 0..100 {
                assert_eq!(ws.recv().unwrap(), Some(vec![number; 5000].into()));
            }
            for _ in 0..3 {
                assert!(ws.recv().unwrap_err().is_disconnect());
            }
        });
        let mut peer = Peer::new(far);
        for number in 0..100 {
            peer.send(&wire::client(wire::BINARY, &[number; 5000]));
        }
        thread::sleep(Duration::from_millis(200)); // all of it has been taken in
        drop(peer);
        sending.join().unwrap();
    });
}

/// Halves take over what a socket in one piece has taken in.
#[test]
fn halves_deliver_what_came_in_during_a_send() {
    within(|| {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut ws = server_on(near, &Config::new());
        let mut peer = Peer::new(far);
        peer.send(&wire::client(wire::TEXT, b"hello").repeat(100));
        assert!(matches!(ws.send(vec![1; 4 << 20]), Err(Error::Io(_))));
        let (mut receiver, sender) = ws.split();
        let receiving = thread::spawn(move || {
            for _ in 0..100 {
                assert_eq!(receiver.recv().unwrap(), Some("hello".into()));
            }
            receiver.recv().unwrap_err(); // of the read that writes the rest
        });
        assert_eq!(peer.frame().unwrap().payload.len(), 4 << 20);
        drop(peer);
        receiving.join().unwrap();
        assert_eq!(sender.unsent(), 0);
    });
}

/// The user's own time-outs go on in both directions, however often the other one has its turn.
#[test]
fn a_time_out_of_the_user_ends_a_call_that_looks_both_ways() {
    within(|| {
        let (near, _far) = tcp();
        near.set_read_timeout(Some(Duration::from_millis(150))).unwrap();
        near.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut ws: WebSocket<TcpStream> = server_on(near, &Config::new().max_unsent(64 << 20));
        ws.feed(vec![1; 32 << 20]).unwrap();
        for (least, act) in [
            (150, (|ws| ws.recv().map(drop)) as fn(&mut WebSocket<TcpStream>) -> _),
            (300, WebSocket::flush),
            (150, |ws| ws.next_event().map(drop)),
        ] {
            let start = std::time::Instant::now();
            let error = act(&mut ws).unwrap_err();
            assert!(matches!(error, Error::Io(_)), "{error:?}");
            let took = start.elapsed().as_millis();
            assert!((least - 20..least * 2 + 300).contains(&took), "{took} ms of {least}");
        }
    });
}

/// Nobody remembers how much went through halves, or through parts in other hands: two ends that
/// then both have much to write do not wait for each other either.
#[test]
fn ends_that_were_taken_apart_receive() {
    for halves in [true, false] {
        within(move || {
            let [mut a, mut b] = both(UnixStream::pair().unwrap(), &Config::new().max_unsent(1000));
            let sending = thread::spawn(move || {
                a.send(message(0, 10_000_000)).unwrap();
                a
            });
            receive(&mut b, 1, 10_000_000);
            a = sending.join().unwrap();
            a = if halves {
                let (receiver, sender) = a.split();
                receiver.reunite(sender).unwrap()
            } else {
                WebSocket::from_parts(a.into_parts())
            };
            let sending = thread::spawn(move || {
                b.send(message(0, 5_000_000)).unwrap();
                b
            });
            receive(&mut a, 1, 5_000_000);
            b = sending.join().unwrap();
            at_both_ends([a, b], |ws| {
                ws.feed(message(0, 4_000_000)).unwrap();
                receive(ws, 1, 4_000_000);
                ws.flush().unwrap();
            });
        });
    }
}

//! Streams that do not wait: every call comes back at once, can be made again, and loses nothing.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sansws::blocking::{Plain, Transport, WebSocket, accept_with, client, read_request};
use sansws::handshake::client::Request;
use sansws::handshake::server::{Accept, Reject};
use sansws::{CloseCode, Config, Error, KeepAlive};

use crate::blocking::peer::{Peer, client_on, server, server_on, tcp, within};
use sansws_test::wire;

#[track_caller]
fn assert_would_block<T: std::fmt::Debug>(result: Result<T, Error>) {
    match result {
        Err(Error::Io(io)) if io.kind() == ErrorKind::WouldBlock => {}
        other => panic!("{other:?}"),
    }
}

fn nonblocking() -> (TcpStream, TcpStream) {
    let (near, far) = tcp();
    near.set_nonblocking(true).unwrap();
    far.set_nonblocking(true).unwrap();
    (near, far)
}

/// With and without a timer, and with time-outs that do not apply.
fn configs() -> [Config; 2] {
    [Config::new(), Config::new().keep_alive(KeepAlive::Every(Duration::from_secs(10)))]
}

#[test]
fn every_call_comes_back_at_once() {
    for config in configs() {
        within(move || {
            let (near, far) = nonblocking();
            let mut ws = server_on(near, &config);
            let start = Instant::now();
            for _ in 0..10 {
                assert_would_block(ws.recv());
                assert_would_block(ws.next_event().map(drop));
                ws.flush().unwrap();
            }
            ws.feed(vec![1; 10 << 20]).unwrap();
            let mut unsent = ws.unsent();
            for _ in 0..10 {
                assert_would_block(ws.flush());
                assert_would_block(ws.recv());
                assert_would_block(ws.send("no room for this"));
                assert!(ws.unsent() <= unsent);
                unsent = ws.unsent();
            }
            assert_would_block(ws.close(CloseCode::NORMAL, ""));
            assert_would_block(ws.close(CloseCode::NORMAL, ""));
            assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());

            // the other end waits, and gets the message whole and the Close once
            far.set_nonblocking(false).unwrap();
            let reading = thread::spawn(move || {
                let mut peer = Peer::new(far);
                let len = peer.frame().unwrap().payload.len();
                let close = peer.frame().unwrap().close_code();
                peer.send(&wire::client(wire::CLOSE, &wire::close_payload(1000, "")));
                assert_eq!(peer.frame(), None);
                (len, close)
            });
            loop {
                match ws.close(CloseCode::NORMAL, "") {
                    Ok(()) => break,
                    again => assert_would_block(again),
                }
                thread::sleep(Duration::from_millis(1));
            }
            assert!(ws.close_info().unwrap().clean);
            assert_eq!(reading.join().unwrap(), (10 << 20, Some(1000)));
        });
    }
}

/// One thread for both ends, as in a game loop: each has sent more than the other has taken.
#[test]
fn two_ends_in_one_thread_get_on() {
    fn turn<S: Transport>(ws: &mut WebSocket<S>) -> usize {
        let mut bytes = 0;
        loop {
            match ws.recv() {
                Ok(Some(message)) => bytes += message.len(),
                again => {
                    assert_would_block(again);
                    return bytes;
                }
            }
        }
    }
    fn run<S: Transport>(ends: [WebSocket<S>; 2]) {
        const COUNT: usize = 48;
        let [mut a, mut b] = ends;
        let (mut sent, mut got) = ([0; 2], [0; 2]);
        while got != [COUNT << 20; 2] {
            for (i, ws) in [&mut a, &mut b].into_iter().enumerate() {
                while sent[i] < COUNT && ws.feed(vec![7; 1 << 20]).is_ok() {
                    sent[i] += 1;
                    let _ = ws.flush();
                }
            }
            for (i, ws) in [&mut a, &mut b].into_iter().enumerate() {
                got[i] += turn(ws);
            }
        }
    }
    for config in configs() {
        let larger = config.clone().max_unsent(64 << 20);
        within(move || {
            let (near, far) = nonblocking();
            run([server_on(near, &config), client_on(far, &config)]);
        });
        within(move || {
            let (near, far) = nonblocking();
            run([server_on(Plain(near), &larger), client_on(Plain(far), &larger)]);
        });
    }
}

/// `recv` takes in what frees the other end although a flush has taken in much before.
#[test]
fn two_ends_that_hold_much_already_free_each_other() {
    fn turn<S: Transport>(ws: &mut WebSocket<S>, left: &mut usize) {
        match ws.recv() {
            Ok(Some(message)) => *left -= message.len(),
            again => assert_would_block(again),
        }
    }
    within(|| {
        let (near, far) = nonblocking();
        let config = Config::new().max_unsent(1000);
        let mut ends = [server_on(near, &config), client_on(far, &config)];
        ends.iter_mut().for_each(|ws| ws.feed(vec![1; 8 << 20]).unwrap());
        // Until both hold much of the other's, nobody calls `recv`. One that has nothing unsent
        // takes nothing in by a flush: it gets its second message at once.
        let mut fed = [false; 2];
        while fed != [true; 2] && ends.iter().all(|ws| ws.unsent() > 0) {
            for (ws, fed) in ends.iter_mut().zip(&mut fed) {
                match ws.flush() {
                    Ok(()) if !*fed => *fed = ws.feed(vec![2; 7 << 20]).is_ok(),
                    Ok(()) => {}
                    again => assert_would_block(again),
                }
            }
        }
        assert_ne!(fed, [false; 2]);
        let mut left = [15 << 20; 2];
        while left != [0; 2] {
            for ((ws, left), fed) in ends.iter_mut().zip(&mut left).zip(&mut fed) {
                turn(ws, left);
                *fed = *fed || ws.feed(vec![2; 7 << 20]).is_ok();
            }
        }
    });
}

#[test]
fn halves_come_back_at_once() {
    for config in configs() {
        within(move || {
            let (near, far) = nonblocking();
            let (mut receiver, sender) = server_on(near, &config).split();
            let start = Instant::now();
            assert_would_block(receiver.recv());
            assert_would_block(sender.send(vec![1; 10 << 20]));
            for _ in 0..10 {
                assert_would_block(receiver.recv());
                assert_would_block(receiver.next_event().map(drop));
                assert_would_block(sender.flush());
                assert_would_block(sender.send("no room for this"));
            }
            assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
            far.set_nonblocking(false).unwrap();
            let reading = thread::spawn(move || {
                let mut peer = Peer::new(far);
                let len = peer.frame().unwrap().payload.len();
                peer.send(&wire::client(wire::TEXT, b"whole"));
                (len, peer)
            });
            // the receiving half writes what is unsent
            let text = loop {
                match receiver.recv() {
                    Ok(message) => break message,
                    again => assert_would_block(again),
                }
                thread::sleep(Duration::from_millis(1));
            };
            assert_eq!(text, Some("whole".into()));
            assert_eq!(reading.join().unwrap().0, 10 << 20);
            assert_eq!(sender.unsent(), 0);
        });
    }
}

/// Counts the calls of a stream.
struct Counted {
    io: TcpStream,
    calls: Arc<AtomicUsize>,
}

impl Counted {
    fn count(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }
}

impl Read for Counted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.count();
        self.io.read(buf)
    }
}

impl Write for Counted {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.count();
        self.io.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.io.flush()
    }
}

impl Transport for Counted {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.io.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.io.set_write_timeout(timeout)
    }

    fn shutdown(&self, how: std::net::Shutdown) -> io::Result<()> {
        self.io.shutdown(how)
    }
}

/// The handshake waits, and does not ask without an end. Both ends, and the refusal.
#[test]
fn a_handshake_waits_without_spinning() {
    for accepted in [true, false] {
        within(move || {
            let (near, far) = nonblocking();
            let calls = Arc::new(AtomicUsize::new(0));
            let [near, far] = [near, far].map(|io| Counted { io, calls: calls.clone() });
            let serving = thread::spawn(move || {
                let incoming = read_request(near, &Config::new()).unwrap();
                thread::sleep(Duration::from_millis(500));
                if accepted {
                    incoming.accept(&Accept::default()).map(drop)
                } else {
                    incoming.reject(&Reject::new(403))
                }
            });
            thread::sleep(Duration::from_millis(500));
            let result = client(far, &Request::new("ws://h/").unwrap(), &Config::new());
            match result {
                Ok(_) => assert!(accepted),
                Err(error) => assert!(matches!(error, Error::Refused(_)), "{error:?}"),
            }
            serving.join().unwrap().unwrap();
            // a second, at one call in 10 ms
            let calls = calls.load(Ordering::Relaxed);
            assert!(calls < 400, "{calls} calls");
        });
    }
}

/// A handshake with nobody ends in time.
#[test]
fn a_handshake_with_nobody_ends() {
    within(|| {
        let (near, _far) = nonblocking();
        let config = Config::new().handshake_timeout(Duration::from_millis(100));
        let error = accept_with(near, &config).unwrap_err();
        assert!(matches!(error, Error::HandshakeTimeout), "{error:?}");
    });
}

/// Pongs and the answer to a Close leave with `recv`, when it is their time.
#[test]
fn answers_leave_by_themselves() {
    within(|| {
        let (mut ws, mut peer) = server(&Config::new());
        ws.get_ref().set_nonblocking(true).unwrap();
        assert_would_block(ws.recv());
        peer.send(&wire::client(wire::PING, b"p"));
        peer.send(&wire::client(wire::CLOSE, b""));
        let end = loop {
            match ws.recv() {
                Ok(end) => break end,
                again => assert_would_block(again),
            }
            if peer.io.peek(&mut [0]).is_ok() && ws.unsent() == 0 {
                peer.io.shutdown(std::net::Shutdown::Write).unwrap();
            }
        };
        assert_eq!(end, None);
        assert_eq!(peer.frame().unwrap().opcode, wire::PONG);
        assert_eq!(peer.frame().unwrap().close_code(), None);
        assert_eq!(peer.frame(), None);
    });
}

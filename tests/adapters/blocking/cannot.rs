//! Streams that cannot end one direction, or take no time-outs: they end well all the same. And
//! what a TLS stream has to say at its end.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use sansws::blocking::{Plain, Transport, WebSocket, accept, read_request};
use sansws::handshake::server::Reject;
use sansws::{CloseCode, Config, Error};

use crate::blocking::peer::{Peer, client_on, server_between, server_on, tcp, within};
use sansws_test::wire;

/// Long before any time-out.
const AT_ONCE: Duration = Duration::from_millis(700);

/// A stream made of two pipes, as a child process has them.
struct Pipes {
    from: UnixStream,
    to: UnixStream,
}

fn pipes() -> (Pipes, Pipes) {
    let [(a, b), (c, d)] = [UnixStream::pair().unwrap(), UnixStream::pair().unwrap()];
    (Pipes { from: a, to: c }, Pipes { from: d, to: b })
}

impl Read for Pipes {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.from.read(buf)
    }
}

impl Write for Pipes {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.to.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Whichever end closes, and whatever it is made of: both know how it was, at once.
#[test]
fn a_closing_handshake_ends_by_itself() {
    fn run<A: Transport + Send + 'static, B: Transport + Send + 'static>(
        near: WebSocket<A>,
        far: WebSocket<B>,
    ) {
        fn end<S: Transport>(mut ws: WebSocket<S>, closes: bool) -> (u16, bool) {
            if closes {
                ws.close(CloseCode::NORMAL, "").unwrap();
            }
            assert_eq!(ws.recv().unwrap(), None);
            let info = ws.close_info().unwrap();
            (info.code, info.clean)
        }
        let start = Instant::now();
        let near = thread::spawn(move || end(near, true));
        let far = thread::spawn(move || end(far, false));
        assert_eq!(near.join().unwrap(), (1000, true));
        assert_eq!(far.join().unwrap(), (1000, true));
        assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
    }
    let config = Config::new();
    within(move || {
        for server_closes in [true, false] {
            let (near, far) = tcp();
            let (server, client) =
                (server_on(Plain(near), &config), client_on(Plain(far), &config));
            if server_closes {
                run(server, client)
            } else {
                run(client, server)
            }
            let (near, far) = pipes();
            let (server, client) =
                (server_on(Plain(near), &config), client_on(Plain(far), &config));
            if server_closes {
                run(server, client)
            } else {
                run(client, server)
            }
            // one end can, the other cannot
            let (near, far) = tcp();
            let (server, client) = (server_on(near, &config), client_on(Plain(far), &config));
            if server_closes {
                run(server, client)
            } else {
                run(client, server)
            }
            let (near, far) = tcp();
            let (server, client) = (server_on(Plain(near), &config), client_on(far, &config));
            if server_closes { run(server, client) } else { run(client, server) }
        }
    });
}

/// A client does not wait for the end of TCP where it could wait for ever.
#[test]
fn a_client_without_time_outs_does_not_wait_for_the_server_to_hang_up() {
    within(|| {
        let (near, far) = tcp();
        let mut ws = client_on(Plain(near), &Config::new());
        let mut peer = Peer::new(far);
        peer.send(&wire::server(wire::CLOSE, &wire::close_payload(1001, "")));
        assert_eq!(ws.recv().unwrap(), None); // the peer keeps TCP open
        assert_eq!(peer.frame().unwrap().close_code(), Some(1001));
        assert_eq!(ws.close_info().unwrap().code, 1001);
    });
}

/// The Close that names the rule is written, and then it is over.
#[test]
fn a_violation_ends_at_once() {
    within(|| {
        for is_client in [false, true] {
            let (near, far) = tcp();
            let mut peer = Peer::new(far);
            let mut ws = if is_client {
                peer.send(&wire::client(wire::TEXT, b"masked"));
                client_on(Plain(near), &Config::new())
            } else {
                peer.send(&wire::server(wire::TEXT, b"not masked"));
                server_on(Plain(near), &Config::new())
            };
            assert!(matches!(ws.recv(), Err(Error::Protocol(_))));
            drop(ws);
            assert_eq!(peer.frame().unwrap().close_code(), Some(1002));
            assert_eq!(peer.frame(), None);
        }
    });
}

/// What is refused is answered, and the end of the stream follows the answer.
#[test]
fn a_refusal_ends_at_once() {
    within(|| {
        for wrong in [false, true] {
            let (near, far) = tcp();
            let mut peer = Peer::new(far);
            let start = Instant::now();
            if wrong {
                peer.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
                assert!(matches!(accept(Plain(near)), Err(Error::Handshake(_))));
            } else {
                peer.send(wire::REQUEST.as_bytes());
                let incoming = read_request(Plain(near), &Config::new()).unwrap();
                incoming.reject(&Reject::new(403)).unwrap();
            }
            let answer = String::from_utf8(peer.rest()).unwrap();
            let status = if wrong { "426" } else { "403" };
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
        }
    });
}

/// As a TLS stream: it buffers what it is given, needs `&mut self` for its last record, and takes
/// the time-outs of the socket below.
struct Records {
    io: TcpStream,
    buffer: Vec<u8>,
    log: Arc<Mutex<Vec<&'static str>>>,
}

impl Records {
    fn new(io: TcpStream) -> (Self, Arc<Mutex<Vec<&'static str>>>) {
        let log = Arc::<Mutex<Vec<_>>>::default();
        (Self { io, buffer: Vec::new(), log: log.clone() }, log)
    }
}

impl Read for Records {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.io.read(buf)
    }
}

impl Write for Records {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.buffer.is_empty() {
            let n = self.io.write(&self.buffer)?;
            self.buffer.drain(..n);
        }
        Ok(())
    }
}

impl Transport for Records {
    fn read_timeout(&self) -> io::Result<Option<Duration>> {
        self.io.read_timeout()
    }

    fn write_timeout(&self) -> io::Result<Option<Duration>> {
        self.io.write_timeout()
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.io.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.io.set_write_timeout(timeout)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        assert!(self.buffer.is_empty(), "the end before the last frame");
        self.log.lock().unwrap().push("close_notify");
        self.io.shutdown(Shutdown::Write)
    }
}

#[test]
fn a_server_says_that_it_was_the_last_record() {
    within(|| {
        let (near, far) = tcp();
        let (records, log) = Records::new(near);
        let (mut ws, mut peer) = server_between(records, far, &Config::new());
        ws.send("hello").unwrap();
        peer.send(&wire::client(wire::CLOSE, b""));
        let end = thread::spawn(move || ws.recv());
        assert_eq!(peer.frame().unwrap().text(), "hello");
        assert_eq!(peer.frame().unwrap().close_code(), None);
        assert_eq!(peer.frame(), None);
        drop(peer);
        assert_eq!(end.join().unwrap().unwrap(), None);
        assert_eq!(*log.lock().unwrap(), ["close_notify"]);

        let (near, far) = tcp();
        let (records, log) = Records::new(near);
        let mut peer = Peer::new(far);
        peer.send(wire::REQUEST.as_bytes());
        let incoming = read_request(records, &Config::new()).unwrap();
        let answer = thread::spawn(move || peer.rest());
        incoming.reject(&Reject::new(403)).unwrap();
        assert!(answer.join().unwrap().starts_with(b"HTTP/1.1 403 "));
        assert_eq!(*log.lock().unwrap(), ["close_notify"]);
    });
}

/// What the stream's own buffer could not get rid of leaves with the next `recv`, and two such ends
/// do not wait for each other.
#[test]
fn a_stream_that_buffers_gets_rid_of_it() {
    within(|| {
        let (near, far) = tcp();
        let config = Config::new().max_unsent(64 << 20);
        let (near, far) = (Records::new(near).0, Records::new(far).0);
        let ends = [server_on(near, &config), client_on(far, &config)];
        let threads = ends.map(|mut ws| {
            thread::spawn(move || {
                ws.feed(vec![1; 15 << 20]).unwrap();
                let message = ws.recv().unwrap().unwrap();
                assert_eq!(message.len(), 15 << 20);
                ws.flush().unwrap();
                ws
            })
        });
        let _ends = threads.map(|thread| thread.join().unwrap());
    });
}

//! The blocking halves: how a connection ends in one thread and shows in the others.

use core::cell::Cell;
use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use sansws::blocking::{Sender, Transport};
use sansws::proto::{SendError, State};
use sansws::{CloseCode, Config, Error, Event, KeepAlive};

use super::threads::{Running, client, halves, server, start, tcp_pair};
use sansws_test::blocking::Peer;
use sansws_test::wire::{self, CLOSE, Frame, PING, PONG, TEXT, close_payload};

const MILLIS: Duration = Duration::from_millis(1);

/// More than a socket takes.
const LARGE: usize = 4 << 20;

/// Checks how long it is since `start`, in milliseconds.
fn took(range: core::ops::Range<u64>, start: Instant) {
    let took = start.elapsed().as_millis() as u64;
    assert!(range.contains(&took), "took {took} ms, expected {range:?}");
}

#[test]
fn close_leaves_the_rest_to_the_receiver() {
    let (near, far) = tcp_pair();
    let (mut receiver, sender) = server(near, &Config::new()).split();
    let receiving = start(move || (receiver.recv(), receiver));
    let mut far = client(far, &Config::new());
    start({
        let sender = sender.clone();
        move || sender.close(CloseCode::GOING_AWAY, "bye")
    })
    .end()
    .unwrap(); // before anybody has answered
    assert_eq!(sender.state(), State::Closing);
    let answering = start(move || far.recv());
    let (end, receiver) = receiving.end();
    assert_eq!(end.unwrap(), None);
    assert_eq!(answering.end().unwrap(), None);
    assert_eq!(sender.state(), State::Closed);
    for info in [sender.close_info(), receiver.close_info()] {
        let info = info.unwrap();
        assert!(info.clean && info.sent_code == Some(CloseCode::GOING_AWAY), "{info:?}");
    }
    // once more costs nothing
    sender.close(CloseCode::NORMAL, "").unwrap();
}

/// The peer does not answer: whoever reads gives up, though it began to read before there was a
/// deadline.
#[test]
fn a_reader_gives_up_in_time_after_a_close() {
    let (mut receiver, sender, mut peer) = halves(&Config::new().close_timeout(200 * MILLIS));
    let reading = start(move || receiver.recv());
    std::thread::sleep(20 * MILLIS);
    let began = Instant::now();
    sender.close(CloseCode::NORMAL, "").unwrap();
    took(0..100, began);
    peer.expect(Frame::new(CLOSE, close_payload(1000, "")));
    assert!(reading.end().unwrap_err().is_timeout());
    took(190..1000, began);
    assert!(sender.send("x").unwrap_err().is_timeout());
    assert_eq!(peer.frame(), None);
}

/// The same when the Close cannot leave: the socket is full, and another thread is blocked in a
/// write that it began without any time-out.
#[test]
fn close_gives_up_in_time_behind_a_blocked_writer() {
    let (mut receiver, sender, _peer) = halves(&Config::new().close_timeout(200 * MILLIS));
    let reading = start(move || receiver.recv());
    let blocked: Vec<_> = (0..2)
        .map(|_| {
            let sender = sender.clone();
            start(move || sender.send(vec![0; LARGE]))
        })
        .collect();
    assert!(blocked.iter().all(|sending| sending.runs_for(50 * MILLIS)));
    let began = Instant::now();
    let closed = start(move || sender.close(CloseCode::NORMAL, "")).end();
    assert!(closed.unwrap_err().is_timeout());
    took(190..2000, began); // what the socket holds earns the peer more time
    for sending in blocked {
        sending.end().unwrap_err();
    }
    assert!(reading.end().unwrap_err().is_timeout());
    took(190..2500, began);
}

/// The same when `close` itself is what writes.
#[test]
fn close_gives_up_in_time_when_the_socket_is_full() {
    let (mut receiver, sender, _peer) = halves(&Config::new().close_timeout(200 * MILLIS));
    sender.feed(vec![0; LARGE]).unwrap();
    let closing = start({
        let sender = sender.clone();
        move || sender.close(CloseCode::NORMAL, "")
    });
    let reading = start(move || receiver.recv());
    assert!(closing.end().unwrap_err().is_timeout());
    assert!(reading.end().unwrap_err().is_timeout());
}

/// A peer that has closed but keeps the socket open is left after a second, by the halves and by a
/// socket in one piece.
#[test]
fn a_peer_that_keeps_the_socket_open_is_left() {
    let (mut receiver, sender, mut peer) = halves(&Config::new());
    let began = Instant::now();
    let reading = start(move || (receiver.recv(), receiver.recv()));
    peer.send_frame(CLOSE, close_payload(1000, ""));
    peer.expect(Frame::new(CLOSE, close_payload(1000, "")));
    let (end, again) = reading.end();
    assert_eq!((end.unwrap(), again.unwrap()), (None, None));
    took(990..3000, began);
    assert!(sender.close_info().unwrap().clean);

    let (receiver, sender, mut peer) = halves(&Config::new());
    let mut ws = receiver.reunite(sender).unwrap();
    let began = Instant::now();
    let reading = start(move || ws.recv());
    peer.send_frame(CLOSE, close_payload(1000, ""));
    assert_eq!(reading.end().unwrap(), None);
    took(990..3000, began);
}

/// Two senders are blocked, one writing and one waiting for its turn, when the connection ends.
#[test]
fn blocked_senders_are_told() {
    type Cause = fn(&mut Peer<UnixStream>);
    type Check = fn(&Error) -> bool;
    let causes: [(Cause, Check); 3] = [
        (|peer| peer.io.shutdown(Shutdown::Both).unwrap(), Error::is_disconnect),
        (|peer| peer.io.shutdown(Shutdown::Write).unwrap(), Error::is_disconnect),
        // a violation; the reply cannot leave, the server lingers for a second
        (|peer| peer.send_frame(3, []), |error| matches!(error, Error::Protocol(_))),
    ];
    for (number, (cause, is_it)) in causes.into_iter().enumerate() {
        let (mut receiver, sender, mut peer) = halves(&Config::new().max_unsent(100));
        let reading = start(move || receiver.recv());
        let blocked: Vec<_> = (0..3)
            .map(|_| {
                let sender = sender.clone();
                start(move || sender.send(vec![0; LARGE]))
            })
            .collect();
        assert!(blocked.iter().all(|sending| sending.runs_for(20 * MILLIS)));
        let began = Instant::now();
        cause(&mut peer);
        let errors: Vec<Error> = blocked.into_iter().map(|b| b.end().unwrap_err()).collect();
        took(0..3000, began);
        // whoever waits for room learns first that no message will be taken
        let not_open = |error: &Error| matches!(error, Error::Send(SendError::NotOpen));
        let is_an_end = |error: &Error| is_it(error) || error.is_disconnect();
        assert!(errors.iter().all(|it| is_an_end(it) || not_open(it)), "{errors:?}");
        assert!(errors.iter().any(is_an_end), "{errors:?}");
        let end = reading.end().unwrap_err();
        assert!(is_it(&end), "{number}: {end:?}");
        for _ in 0..2 {
            assert!(sender.send("x").is_err() && sender.feed("x").is_err(), "{number}");
            assert!(sender.flush().is_err(), "{number}");
        }
    }
}

/// A thread that only sends is told by its next call.
#[test]
fn the_next_call_tells() {
    let (mut receiver, sender, mut peer) = halves(&Config::new());
    sender.send("open").unwrap();
    let reading = start(move || receiver.recv());
    peer.expect(Frame::new(TEXT, "open"));
    peer.send_frame(CLOSE, close_payload(1001, ""));
    peer.expect(Frame::new(CLOSE, close_payload(1001, "")));
    let error = sender.send("too late").unwrap_err();
    assert!(matches!(error, Error::Send(SendError::NotOpen)), "{error:?}");
    peer.io.shutdown(Shutdown::Both).unwrap();
    assert_eq!(reading.end().unwrap(), None);
    let error = sender.send("too late").unwrap_err();
    assert!(matches!(error, Error::Send(SendError::NotOpen)), "{error:?}");
    sender.flush().unwrap();
}

fn keep_alive() -> Config {
    Config::new().keep_alive(KeepAlive::Every(60 * MILLIS)).pong_timeout(60 * MILLIS)
}

/// Whoever waits: a reader, a writer that is blocked, or both.
#[test]
fn a_silent_peer_is_given_up() {
    for (reads, writes) in [(true, false), (false, true), (true, true)] {
        let (mut receiver, sender, _peer) = halves(&keep_alive());
        let began = Instant::now();
        let mut waiting: Vec<Running<Result<(), Error>>> = Vec::new();
        if reads {
            waiting.push(start(move || receiver.recv().map(|_| ())));
        }
        if writes {
            let sender = sender.clone();
            waiting.push(start(move || sender.send(vec![0; LARGE])));
        }
        for wait in waiting {
            let error = wait.end().unwrap_err();
            assert!(error.is_timeout(), "{reads} {writes}: {error:?}");
        }
        took(115..1500, began);
        assert!(sender.send("x").unwrap_err().is_timeout());
    }
}

/// A peer that takes bytes slowly but all the time is kept, and gets everything before the Close:
/// whether somebody receives meanwhile or not.
#[test]
fn a_slow_reader_is_kept() {
    for reads in [false, true] {
        let (mut receiver, sender, peer) = halves(&keep_alive().close_timeout(150 * MILLIS));
        let reading = start(move || {
            let mut io = peer.io;
            let mut chunk = [0; 10_000];
            let mut bytes = Vec::new();
            loop {
                let n = io.read(&mut chunk).unwrap();
                assert!(n > 0, "cut off");
                bytes.extend_from_slice(&chunk[..n]);
                let (frames, used) = wire::frames_in(&bytes);
                bytes.drain(..used);
                for frame in frames {
                    match frame.whole() {
                        PING => {}
                        CLOSE => return,
                        _ => assert_eq!(frame.payload.len(), 2 << 20),
                    }
                }
                std::thread::sleep(10 * MILLIS);
            }
        });
        let receiving = reads.then(|| start(move || receiver.recv()));
        start(move || {
            sender.send(vec![0; 2 << 20])?;
            sender.close(CloseCode::NORMAL, "")
        })
        .end()
        .unwrap();
        reading.end();
        if let Some(receiving) = receiving {
            // the peer has gone without an answer to the Close
            let end = receiving.end().unwrap_err();
            assert!(end.is_disconnect(), "{end:?}");
        }
    }
}

/// A socket that is full has no room for a last word, and nobody waits for it.
#[test]
fn a_peer_that_reads_nothing_is_given_up_at_once() {
    let (receiver, sender, _peer) = halves(&keep_alive());
    let mut ws = receiver.reunite(sender).unwrap();
    let began = Instant::now();
    let error = start(move || ws.send(vec![0; LARGE])).end().unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    took(115..2000, began); // what the socket holds earns the peer more time
}

/// Takes bytes every other time, and otherwise lets a wait that was bounded end at once: the clock
/// of a kernel may tick a moment after a wait has begun.
struct Ticking {
    ticks: bool,
    limit: Cell<Option<Duration>>,
}

impl Read for Ticking {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
}

impl Write for Ticking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.ticks = !self.ticks;
        if self.ticks && self.limit.get().is_some_and(|limit| limit <= MILLIS) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Ticking {
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.limit.set(timeout);
        Ok(())
    }
}

#[test]
fn a_wait_that_ended_early_is_not_reported() {
    let io = Ticking { ticks: false, limit: Cell::new(None) };
    let mut ws = server(io, &keep_alive());
    let began = Instant::now();
    while began.elapsed() < 100 * MILLIS {
        ws.send("x").unwrap();
    }
}

/// A peer that answers is not, and the round trip is measured: with halves and with a socket in one
/// piece.
#[test]
fn a_peer_that_answers_is_kept() {
    for whole in [false, true] {
        let config = keep_alive().keep_alive(KeepAlive::Every(300 * MILLIS));
        let (mut receiver, sender, mut peer) = halves(&config.pong_timeout(2000 * MILLIS));
        let began = Instant::now();
        let reading = start(move || {
            if whole {
                let mut ws = receiver.reunite(sender).unwrap();
                (ws.recv(), ws.round_trip())
            } else {
                (receiver.recv(), receiver.round_trip())
            }
        });
        for round in 1..=2 {
            let ping = peer.frame().unwrap();
            assert_eq!(ping.whole(), PING);
            took(300 * round..300 * round + 250, began);
            peer.send_frame(PONG, &ping.payload);
        }
        peer.send_frame(TEXT, "bye");
        let (received, round_trip) = reading.end();
        assert_eq!(received.unwrap(), Some("bye".into()));
        assert!(round_trip.is_some_and(|time| time < 1000 * MILLIS), "{round_trip:?}");
    }
}

/// Pongs that nobody has read, because this end only sends, are no silence of the peer.
#[test]
fn a_peer_that_reads_is_kept_though_nobody_receives() {
    for whole in [false, true] {
        let (receiver, sender, mut peer) = halves(&keep_alive());
        let reading = start(move || while peer.frame().is_some() {});
        let mut ws =
            if whole { Ok(receiver.reunite(sender).unwrap()) } else { Err((receiver, sender)) };
        let began = Instant::now();
        let sending = start(move || {
            while began.elapsed() < 400 * MILLIS {
                match &mut ws {
                    Ok(ws) => ws.send(&[0; 100_000])?,
                    Err((_, sender)) => sender.send(&[0; 100_000])?,
                }
            }
            Ok::<(), Error>(())
        });
        sending.end().unwrap();
        reading.end();
    }
}

/// `flush` waits for the bytes that were queued, and a shorter pong may take the place of some.
#[test]
fn flush_ends_when_a_shorter_pong_takes_the_place_of_the_last() {
    let (mut receiver, sender, mut peer) = halves(&Config::new().max_pending_pongs(1));
    let sending = start({
        let sender = sender.clone();
        move || sender.send(vec![0; LARGE])
    });
    assert!(sending.runs_for(50 * MILLIS));
    for _ in 0..2 {
        peer.send_frame(PING, [b'a'; 125]);
        assert!(matches!(receiver.next_event().unwrap(), Some(Event::Ping(_))));
    }
    let flushing = start({
        let sender: Sender<_> = sender.clone();
        move || sender.flush()
    });
    assert!(flushing.runs_for(50 * MILLIS));
    peer.send_frame(PING, []);
    assert!(matches!(receiver.next_event().unwrap(), Some(Event::Ping(&[]))));
    assert_eq!(peer.frame().unwrap().payload.len(), LARGE);
    peer.expect(Frame::new(PONG, [b'a'; 125]));
    peer.expect(Frame::new(PONG, []));
    flushing.end().unwrap();
    sending.end().unwrap();
}

/// A stream that counts its reads, and whose writes may come back late: the peer has the bytes by
/// then, and has answered.
struct Watched {
    io: std::net::TcpStream,
    late: Duration,
    reads: Arc<AtomicUsize>,
}

impl Read for Watched {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.io.read(buf)
    }
}

impl Write for Watched {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.io.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.io.flush()
    }
}

impl Transport for Watched {
    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        Transport::shutdown(&self.io, how)
    }

    fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Transport::read_timeout(&self.io)
    }

    fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Transport::write_timeout(&self.io)
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        Transport::set_read_timeout(&self.io, timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        Transport::set_write_timeout(&self.io, timeout)
    }
}

impl sansws::blocking::SplitTransport for Watched {
    fn read_shared(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        (&self.io).read(buf)
    }

    fn write_shared(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let written = (&self.io).write_vectored(slices);
        std::thread::sleep(self.late);
        written
    }
}

/// The answer to a Close may be there before the write that carried the Close has come back. The
/// receiving half, which finds a writer at work then, still shuts down as soon as he is done.
#[test]
fn an_answer_overtakes_the_write_of_the_close() {
    let (near, far) = tcp_pair();
    let config = Config::new().close_timeout(Duration::from_secs(60));
    let near = Watched { io: near, late: 100 * MILLIS, reads: Arc::default() };
    let (mut receiver, sender) = server(near, &config).split();
    let receiving = start(move || receiver.recv());
    let mut far = client(far, &config);
    let answering = start(move || far.recv());
    sender.close(CloseCode::NORMAL, "").unwrap();
    // both wait ten seconds at most
    assert_eq!(receiving.end().unwrap(), None);
    assert_eq!(answering.end().unwrap(), None);
}

/// A half that waits for messages lies still, whatever the socket has done before: a write's turn
/// is no time-out that the user has set.
#[test]
fn a_half_that_waits_costs_nothing() {
    let (near, far) = tcp_pair();
    let reads = Arc::new(AtomicUsize::new(0));
    let near = Watched { io: near, late: Duration::ZERO, reads: Arc::clone(&reads) };
    let mut near = server(near, &Config::new());
    let mut far = client(far, &Config::new());
    near.send("before").unwrap();
    assert_eq!(far.recv().unwrap(), Some("before".into()));
    let (mut receiver, sender) = near.split();
    let receiving = start(move || receiver.recv());
    sender.send("after").unwrap();
    assert_eq!(far.recv().unwrap(), Some("after".into()));
    std::thread::sleep(500 * MILLIS);
    far.send("wake up").unwrap();
    assert_eq!(receiving.end().unwrap(), Some("wake up".into()));
    let reads = reads.load(Ordering::Relaxed);
    assert!(reads < 6, "{reads} reads for one message");
}

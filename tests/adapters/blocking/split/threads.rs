//! The blocking halves: two threads and more on one socket.

use core::time::Duration;
use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use sansws::blocking::{Receiver, Sender, SplitTransport, WebSocket};
use sansws::buf::RecvBuffer;
use sansws::proto::{Connection, MessageRef};
use sansws::{CloseCode, Config, Error, Event, KeepAlive, Message};

use sansws_test::blocking::Peer;
use sansws_test::wire::{self, BINARY, CLOSE, Frame, PING, PONG, TEXT, close_payload};

/// How long anything in these tests may take.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Runs `code` in a thread; ask [`Running::end`] for its result.
#[track_caller]
pub fn start<T: Send + 'static>(code: impl FnOnce() -> T + Send + 'static) -> Running<T> {
    let (sender, receiver) = mpsc::channel();
    let caller = core::panic::Location::caller();
    thread::spawn(move || {
        let _ = sender.send(code());
    });
    Running(receiver, caller)
}

pub struct Running<T>(mpsc::Receiver<T>, &'static core::panic::Location<'static>);

impl<T> Running<T> {
    /// The result; the test fails if there is none in time.
    pub fn end(self) -> T {
        match self.0.recv_timeout(LIMIT) {
            Ok(result) => result,
            Err(error) => panic!("the thread begun at {} has not ended well: {error}", self.1),
        }
    }

    /// Whether there is no result after `wait`.
    pub fn runs_for(&self, wait: Duration) -> bool {
        thread::sleep(wait);
        matches!(self.0.try_recv(), Err(mpsc::TryRecvError::Empty))
    }
}

pub fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let near = listener.accept().unwrap().0;
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    (near, far)
}

pub fn server<S>(io: S, config: &Config) -> WebSocket<S> {
    WebSocket::from_parts(sansws::Parts::new(io, Connection::server(config), RecvBuffer::new()))
}

pub fn client<S>(io: S, config: &Config) -> WebSocket<S> {
    WebSocket::from_parts(sansws::Parts::new(
        io,
        Connection::client(config, [7; 32]),
        RecvBuffer::new(),
    ))
}

/// The halves of a server's socket and its client. No read of the client waits for ever.
pub fn halves(config: &Config) -> (Receiver<UnixStream>, Sender<UnixStream>, Peer<UnixStream>) {
    let (near, far) = UnixStream::pair().unwrap();
    far.set_read_timeout(Some(LIMIT)).unwrap();
    far.set_write_timeout(Some(LIMIT)).unwrap();
    let (receiver, sender) = server(near, config).split();
    (receiver, sender, Peer::new(far))
}

type Halves<S> = (Receiver<S>, Sender<S>);

/// Both ends send `count` messages of `len` bytes at once, and receive them.
fn converse<A, B>(near: Halves<A>, far: Halves<B>, count: usize, len: usize)
where
    A: SplitTransport + Send + Sync + 'static,
    B: SplitTransport + Send + Sync + 'static,
{
    fn send<S: SplitTransport>(sender: &Sender<S>, count: usize, len: usize) {
        let mut payload = vec![0xA5; len];
        for number in 0..count {
            payload[..8].copy_from_slice(&(number as u64).to_be_bytes());
            sender.send(&payload).unwrap();
        }
    }

    fn receive<S: SplitTransport>(
        mut receiver: Receiver<S>,
        count: usize,
        len: usize,
    ) -> Receiver<S> {
        for number in 0..count {
            let Some(Message::Binary(payload)) = receiver.recv().unwrap() else {
                panic!("no message")
            };
            assert_eq!(payload.len(), len);
            assert_eq!(payload[..8], (number as u64).to_be_bytes());
            assert!(payload[8..].iter().all(|&byte| byte == 0xA5));
        }
        receiver
    }

    let closer = near.1.clone();
    let sending =
        [start(move || send(&near.1, count, len)), start(move || send(&far.1, count, len))];
    let (near, far) = (near.0, far.0);
    let near = start(move || receive(near, count, len));
    let far = start(move || receive(far, count, len));
    sending.into_iter().for_each(Running::end);
    let (mut near, mut far) = (near.end(), far.end());
    let near = start(move || (near.recv(), near));
    let far = start(move || (far.recv(), far));
    start(move || closer.close(CloseCode::NORMAL, "")).end().unwrap();
    let ((a, near), (b, far)) = (near.end(), far.end());
    assert_eq!((a.unwrap(), b.unwrap()), (None, None));
    assert!(near.close_info().unwrap().clean && far.close_info().unwrap().clean);
}

/// 64 MiB each way, far more than the buffers of the sockets take.
#[test]
fn large_messages_pass_each_other_over_tcp() {
    let (near, far) = tcp_pair();
    let config = Config::new();
    converse(server(near, &config).split(), client(far, &config).split(), 8, 8 << 20);
}

#[test]
fn many_messages_pass_each_other_over_a_unix_socket() {
    let (near, far) = UnixStream::pair().unwrap();
    let config = Config::new().max_unsent(4096);
    converse(server(near, &config).split(), client(far, &config).split(), 20_000, 300);
}

/// Pings in both streams: each receiver has pongs to write while the sockets are full, and must go
/// on receiving all the same, or neither end ever reads again.
#[test]
fn receivers_that_owe_pongs_do_not_wait_for_each_other() {
    const ROUNDS: usize = 3000;
    let (near, far) = UnixStream::pair().unwrap();
    let config = Config::new().max_unsent(4096);
    let mut running = Vec::new();
    for (mut receiver, sender) in [server(near, &config).split(), client(far, &config).split()] {
        running.push(start(move || {
            for _ in 0..ROUNDS {
                sender.send(MessageRef::ping(&[0; 100])).unwrap();
                sender.send(&[0; 2000]).unwrap();
            }
        }));
        running.push(start(move || {
            for _ in 0..ROUNDS {
                assert!(receiver.recv().unwrap().is_some());
            }
            drop(receiver); // the sender's thread has the stream for as long as it needs it
        }));
    }
    running.into_iter().for_each(Running::end);
}

/// A large message that nobody is writing is left to the receiver, which must not forget to
/// receive.
#[test]
fn a_receiver_that_writes_what_was_fed_goes_on_receiving() {
    let (mut receiver, sender, mut peer) = halves(&Config::new());
    sender.feed(vec![1; 8 << 20]).unwrap();
    let receiving = start(move || {
        let received = receiver.recv();
        (received, receiver.recv())
    });
    let large = vec![2; 8 << 20];
    peer.send_frame(BINARY, &large); // before it reads anything
    peer.expect(Frame::new(BINARY, vec![1; 8 << 20]));
    peer.send_frame(PING, "still there?");
    peer.expect(Frame::new(PONG, "still there?"));
    peer.send_frame(CLOSE, []);
    peer.expect(Frame::new(CLOSE, []));
    drop(peer);
    let (received, end) = receiving.end();
    assert_eq!(received.unwrap(), Some(Message::from(large)));
    assert_eq!(end.unwrap(), None);
}

#[test]
fn a_thread_that_only_receives_answers() {
    for keeps_sender in [true, false] {
        let (mut receiver, sender, mut peer) = halves(&Config::new());
        let sender = keeps_sender.then_some(sender);
        let receiving = start(move || {
            let text = receiver.recv().unwrap();
            (text, receiver.recv().unwrap(), receiver)
        });
        for number in 0..100_u8 {
            peer.send_frame(PING, [number]);
            peer.expect(Frame::new(PONG, [number]));
        }
        peer.send_frame(TEXT, "hello");
        peer.send_frame(CLOSE, close_payload(4000, "bye"));
        peer.expect(Frame::new(CLOSE, close_payload(4000, "")));
        assert_eq!(peer.frame(), None, "a server closes first");
        peer.io.shutdown(Shutdown::Both).unwrap();
        let (text, end, receiver) = receiving.end();
        assert_eq!((text, end), (Some(Message::from("hello")), None));
        let info = receiver.close_info().unwrap();
        assert_eq!((info.code, &*info.reason, info.clean), (4000, "bye", true));
        if let Some(sender) = sender {
            assert_eq!(sender.close_info(), Some(info));
        }
    }
}

#[test]
fn the_receiver_may_be_gone() {
    let (receiver, sender, mut peer) = halves(&Config::new());
    drop(receiver);
    let sending = start(move || sender.send(&[7; 1 << 20]));
    peer.expect(Frame::new(BINARY, vec![7; 1 << 20]));
    sending.end().unwrap();
    assert_eq!(peer.frame(), None);
}

/// Messages of several threads stay whole, each thread's in order, with pongs between them.
#[test]
fn messages_of_many_threads_stay_whole_and_in_order() {
    const THREADS: usize = 4;
    const MESSAGES: usize = 500;
    fn payload(id: usize, number: usize) -> Vec<u8> {
        let mut payload = vec![id as u8, (number >> 8) as u8, number as u8];
        payload.extend((0..(id * 7919 + number * 131) % 3000).map(|at| (at + number) as u8));
        payload
    }

    let (mut receiver, sender, mut peer) = halves(&Config::new().max_unsent(5000));
    let receiving = start(move || while receiver.recv().is_ok_and(|message| message.is_some()) {});
    let sending: Vec<_> = (0..THREADS)
        .map(|id| {
            let sender = sender.clone();
            start(move || {
                for number in 0..MESSAGES {
                    let payload = payload(id, number);
                    if number.is_multiple_of(3) && sender.feed(&payload).is_ok() {
                        sender.flush().unwrap();
                    } else {
                        sender.send(&payload).unwrap();
                    }
                }
            })
        })
        .collect();
    let mut pinging = peer.io.try_clone().unwrap();
    let pinging = start(move || {
        for number in 0..200_u8 {
            pinging.write_all(&wire::client(PING, &[number])).unwrap();
        }
    });
    let mut next = [0; THREADS];
    let mut pongs = Vec::new();
    while next != [MESSAGES; THREADS] || pongs.last() != Some(&199) {
        let frame = peer.frame().unwrap();
        if frame.whole() == PONG {
            pongs.extend(frame.payload);
            continue;
        }
        let id = usize::from(frame.payload[0]);
        assert_eq!(frame, Frame::new(BINARY, payload(id, next[id])));
        next[id] += 1;
    }
    assert!(pongs.is_sorted(), "{pongs:?}");
    sending.into_iter().for_each(Running::end);
    pinging.end();
    drop(peer);
    receiving.end();
}

/// The peer does not read: the writer waits, the receiver goes on, its pong goes out afterwards.
#[test]
fn a_blocked_writer_does_not_keep_the_receiver_from_receiving() {
    let (mut receiver, sender, mut peer) = halves(&Config::new());
    let large = vec![1; 4 << 20];
    let sending = start({
        let large = large.clone();
        move || (sender.send(&large), sender)
    });
    assert!(sending.runs_for(Duration::from_millis(50)));
    let (events, received) = mpsc::channel();
    let receiving = start(move || {
        while let Ok(Some(event)) = receiver.next_event() {
            let _ = events.send(match event {
                Event::Ping(_) => "ping".to_owned(),
                Event::Text(text) => text.to_string(),
                other => panic!("{other:?}"),
            });
        }
    });
    for round in 0..10 {
        peer.send_frame(PING, [round]);
        peer.send_frame(TEXT, format!("message {round}"));
        assert_eq!(received.recv_timeout(LIMIT).unwrap(), "ping");
        assert_eq!(received.recv_timeout(LIMIT).unwrap(), format!("message {round}"));
    }
    assert!(sending.runs_for(Duration::ZERO));
    peer.expect(Frame::new(BINARY, &large));
    for round in 0..10 {
        peer.expect(Frame::new(PONG, [round]));
    }
    let (sent, sender) = sending.end();
    sent.unwrap();
    drop((peer, sender));
    receiving.end();
}

/// A sender whose write takes too long for its user leaves: the half that waits in `recv` all the
/// while writes the rest.
#[test]
fn what_a_sender_leaves_is_written_by_the_receiver() {
    for keep_alive in [false, true] {
        let mut config = Config::new();
        if keep_alive {
            config = config.keep_alive(KeepAlive::Every(Duration::from_secs(20)));
        }
        let (near, far) = UnixStream::pair().unwrap();
        far.set_read_timeout(Some(LIMIT)).unwrap();
        near.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut peer = Peer::new(far);
        let (mut receiver, sender) = server(near, &config).split();
        let receiving = start(move || receiver.recv());
        assert!(receiving.runs_for(Duration::from_millis(50)));
        let error = start({
            let sender = sender.clone();
            move || sender.send(vec![1; 4 << 20])
        })
        .end()
        .unwrap_err();
        assert!(matches!(error, Error::Io(_)), "{error:?}");
        assert!(sender.unsent() > 0);
        // nobody calls anything
        let began = Instant::now();
        peer.expect(Frame::new(BINARY, vec![1; 4 << 20]));
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        peer.send_frame(TEXT, "thanks");
        assert_eq!(receiving.end().unwrap(), Some("thanks".into()));
        assert_eq!(sender.unsent(), 0);
    }
}

/// So is what a socket had left of its message before it became halves, and who sends with them
/// waits for what it has sent alone.
#[test]
fn what_a_socket_left_is_written_by_its_halves() {
    for in_parts in [false, true] {
        let (near, far) = UnixStream::pair().unwrap();
        far.set_read_timeout(Some(LIMIT)).unwrap();
        near.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut ws = server(near, &Config::new());
        let error = ws.send(vec![1; 4 << 20]).unwrap_err();
        assert!(matches!(error, Error::Io(_)), "{error:?}");
        ws.get_ref().set_write_timeout(None).unwrap();
        if in_parts {
            ws = WebSocket::from_parts(ws.into_parts());
        }
        let (_receiver, sender) = ws.split();
        let sending = start(move || {
            sender.send("more")?;
            sender.flush()?;
            sender.close(CloseCode::NORMAL, "")
        });
        let mut peer = Peer::new(far);
        peer.expect(Frame::new(BINARY, vec![1; 4 << 20]));
        peer.expect(Frame::new(TEXT, "more"));
        sending.end().unwrap();
    }
}

#[test]
fn blocking_halves_reunite() {
    let config = Config::new();
    let (receiver, sender, _) = halves(&config);
    let (other_receiver, other_sender, mut other_peer) = halves(&config);
    let (receiver, other_sender) = receiver.reunite(other_sender).unwrap_err().into_halves();
    let clone = sender.clone();
    let error = receiver.reunite(sender).unwrap_err();
    assert!(error.to_string().contains("clones"), "{error}");
    let (receiver, sender) = error.into_halves();
    drop(clone);
    drop(receiver.reunite(sender).unwrap());

    other_sender.feed("unsent").unwrap();
    let mut ws = other_receiver.reunite(other_sender).unwrap();
    ws.flush().unwrap();
    other_peer.expect(Frame::new(TEXT, "unsent"));
    let (mut receiver, sender) = ws.split();
    // Full, so that the receiver gives its socket time-outs that nobody has asked for.
    sender.feed(vec![0; 4 << 20]).unwrap();
    other_peer.send_frame(TEXT, "x");
    assert_eq!(receiver.recv().unwrap(), Some("x".into()));
    let mut ws = receiver.reunite(sender).unwrap();
    let receiving = start(move || {
        ws.flush()?;
        ws.recv()
    });
    assert!(receiving.runs_for(Duration::from_millis(100)), "a time-out was left");
    other_peer.expect(Frame::new(BINARY, vec![0; 4 << 20]));
    assert!(receiving.runs_for(Duration::from_millis(100)), "a time-out was left");
    other_peer.send_frame(TEXT, "y");
    assert_eq!(receiving.end().unwrap(), Some("y".into()));
}

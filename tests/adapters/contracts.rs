//! The same steps on both adapters: what has the same name does the same.

use std::collections::HashSet;
use std::fmt::Debug;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use ::tokio::time::timeout;
use sansws::buf::RecvBuffer;
use sansws::handshake::client::Request;
use sansws::proto::{Connection, SendError, State};
use sansws::{CloseCode, Config, Error, Event, Message, Parts, blocking, tokio as asynchronous};
use sansws_test::wire;

use Step::*;

/// One call, or something that the peer does.
#[derive(Clone, Debug)]
enum Step {
    Feed(&'static str),
    Send(&'static str),
    Flush,
    Recv,
    NextEvent,
    NextChunk,
    StartClose,
    Close,
    /// Takes the socket apart into halves: from here on their methods are called.
    Split,
    /// Begins to close, and does not wait for what that takes.
    BeginClose,
    /// Feeds more than there is room for on the way to the peer.
    Fill,
    /// The peer sends these bytes.
    Sends(Vec<u8>),
    /// What this end sends from now on fails.
    Deaf,
    /// The peer sends no more.
    Ends,
    /// What has come to the peer.
    Wire,
}

/// A socket of one of the adapters, whole or in halves. Each call returns what came of it.
trait Socket {
    fn feed(&mut self, text: &str) -> Result<(), Error>;
    fn send(&mut self, text: &str) -> Result<(), Error>;
    fn flush(&mut self) -> Result<(), Error>;
    fn recv(&mut self) -> Result<Option<Message>, Error>;
    fn next(&mut self, in_chunks: bool) -> Result<Option<String>, Error>;
    fn start_close(&mut self) -> Result<(), Error>;
    fn close(&mut self) -> Result<(), Error>;
    /// As `start_close`, also for halves.
    fn begin_close(&mut self);
    fn split(self: Box<Self>) -> Box<dyn Socket>;

    /// Closes as a socket in one piece does, to the end.
    fn close_to_the_end(&mut self) -> Result<(), Error> {
        self.close()?;
        while self.recv()?.is_some() {}
        Ok(())
    }
}

fn name_of(event: &Event<'_>) -> String {
    match event {
        Event::Text(text) => format!("text {}", text.as_str()),
        Event::Chunk(chunk) => {
            let payload = std::str::from_utf8(chunk.payload).unwrap();
            format!("chunk {payload} first {} last {}", chunk.first, chunk.last)
        }
        Event::Ping(_) => "ping".into(),
        Event::Close(close) => format!("close {:?}", close.as_ref().map(|it| it.code.as_u16())),
        other => format!("{other:?}"),
    }
}

impl Socket for blocking::WebSocket<UnixStream> {
    fn feed(&mut self, text: &str) -> Result<(), Error> {
        self.feed(text)
    }

    fn send(&mut self, text: &str) -> Result<(), Error> {
        self.send(text)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.flush()
    }

    fn recv(&mut self) -> Result<Option<Message>, Error> {
        self.recv()
    }

    fn next(&mut self, in_chunks: bool) -> Result<Option<String>, Error> {
        let event = if in_chunks { self.next_chunk() } else { self.next_event() };
        Ok(event?.map(|(event, _)| name_of(&event)))
    }

    fn start_close(&mut self) -> Result<(), Error> {
        self.start_close(CloseCode::NORMAL, "")
    }

    fn close(&mut self) -> Result<(), Error> {
        self.close(CloseCode::NORMAL, "")
    }

    fn begin_close(&mut self) {
        self.start_close(CloseCode::NORMAL, "").unwrap();
    }

    fn split(self: Box<Self>) -> Box<dyn Socket> {
        Box::new((*self).split())
    }
}

impl Socket for (blocking::Receiver<UnixStream>, blocking::Sender<UnixStream>) {
    fn feed(&mut self, text: &str) -> Result<(), Error> {
        self.1.feed(text)
    }

    fn send(&mut self, text: &str) -> Result<(), Error> {
        self.1.send(text)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.1.flush()
    }

    fn recv(&mut self) -> Result<Option<Message>, Error> {
        self.0.recv()
    }

    fn next(&mut self, in_chunks: bool) -> Result<Option<String>, Error> {
        let event = if in_chunks { self.0.next_chunk() } else { self.0.next_event() };
        Ok(event?.map(|event| name_of(&event)))
    }

    fn start_close(&mut self) -> Result<(), Error> {
        unreachable!("halves have none")
    }

    fn close(&mut self) -> Result<(), Error> {
        self.1.close(CloseCode::NORMAL, "")
    }

    fn begin_close(&mut self) {
        let sender = self.1.clone();
        std::thread::spawn(move || sender.close(CloseCode::NORMAL, ""));
        while self.1.state() == State::Open {
            std::thread::yield_now();
        }
    }

    fn split(self: Box<Self>) -> Box<dyn Socket> {
        unreachable!("they are split")
    }
}

type AsyncStream = ::tokio::net::UnixStream;

struct OnTokio<T>(::tokio::runtime::Runtime, T);

impl Socket for OnTokio<asynchronous::WebSocket<AsyncStream>> {
    fn feed(&mut self, text: &str) -> Result<(), Error> {
        self.1.feed(text)
    }

    fn send(&mut self, text: &str) -> Result<(), Error> {
        self.0.block_on(self.1.send(text))
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.0.block_on(self.1.flush())
    }

    fn recv(&mut self) -> Result<Option<Message>, Error> {
        self.0.block_on(self.1.recv())
    }

    fn next(&mut self, in_chunks: bool) -> Result<Option<String>, Error> {
        let Self(runtime, ws) = self;
        runtime.block_on(async {
            let event = if in_chunks { ws.next_chunk().await } else { ws.next_event().await };
            Ok(event?.map(|(event, _)| name_of(&event)))
        })
    }

    fn start_close(&mut self) -> Result<(), Error> {
        self.1.start_close(CloseCode::NORMAL, "")
    }

    fn close(&mut self) -> Result<(), Error> {
        self.0.block_on(self.1.close(CloseCode::NORMAL, ""))
    }

    fn begin_close(&mut self) {
        self.1.start_close(CloseCode::NORMAL, "").unwrap();
    }

    fn split(self: Box<Self>) -> Box<dyn Socket> {
        let Self(runtime, ws) = *self;
        Box::new(OnTokio(runtime, ws.into_split()))
    }
}

impl Socket for OnTokio<(asynchronous::Receiver<AsyncStream>, asynchronous::Sender<AsyncStream>)> {
    fn feed(&mut self, text: &str) -> Result<(), Error> {
        self.1.1.feed(text)
    }

    fn send(&mut self, text: &str) -> Result<(), Error> {
        self.0.block_on(self.1.1.send(text))
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.0.block_on(self.1.1.flush())
    }

    fn recv(&mut self) -> Result<Option<Message>, Error> {
        self.0.block_on(self.1.0.recv())
    }

    fn next(&mut self, in_chunks: bool) -> Result<Option<String>, Error> {
        let Self(runtime, (receiver, _)) = self;
        runtime.block_on(async {
            let event = match in_chunks {
                true => receiver.next_chunk().await,
                false => receiver.next_event().await,
            };
            Ok(event?.map(|event| name_of(&event)))
        })
    }

    fn start_close(&mut self) -> Result<(), Error> {
        unreachable!("halves have none")
    }

    fn close(&mut self) -> Result<(), Error> {
        self.0.block_on(self.1.1.close(CloseCode::NORMAL, ""))
    }

    fn begin_close(&mut self) {
        let Self(runtime, (_, sender)) = self;
        // dropped while it waits, it leaves a connection that is closing
        let closing = async { timeout(Duration::ZERO, sender.close(CloseCode::NORMAL, "")).await };
        let _ = runtime.block_on(closing);
    }

    fn split(self: Box<Self>) -> Box<dyn Socket> {
        unreachable!("they are split")
    }
}

/// A time-out that tests wait for.
const SOON: Duration = Duration::from_millis(300);

/// A server's socket of one of the adapters, and its peer.
fn ends(on_tokio: bool, close_timeout: Duration) -> (Box<dyn Socket>, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    let config = Config::new().close_timeout(close_timeout).max_unsent(100_000);
    let parts = Parts::new(near, Connection::server(&config), RecvBuffer::new());
    if !on_tokio {
        return (Box::new(blocking::WebSocket::from_parts(parts)), far);
    }
    let runtime = ::tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let parts = parts.map_io(|io| {
        io.set_nonblocking(true).unwrap();
        let _inside = runtime.enter();
        AsyncStream::from_std(io).unwrap()
    });
    (Box::new(OnTokio(runtime, asynchronous::WebSocket::from_parts(parts))), far)
}

fn text_of<T: Debug>(result: Result<T, Error>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => error.to_string(),
    }
}

/// What comes of the steps, one line for each that says something.
fn run(on_tokio: bool, steps: &[Step]) -> Vec<String> {
    let (mut socket, mut peer) = ends(on_tokio, SOON);
    let mut lines = Vec::new();
    for step in steps {
        if matches!(step, Split) {
            socket = socket.split();
        } else {
            lines.extend(take(&mut socket, &mut peer, step));
        }
    }
    lines
}

/// Takes one step. What comes of it, if that says something.
fn take(socket: &mut Box<dyn Socket>, peer: &mut UnixStream, step: &Step) -> Option<String> {
    Some(match step {
        Feed(text) => text_of(socket.feed(text)),
        Fill => text_of(socket.feed(&"x".repeat(1 << 20))),
        Send(text) => text_of(socket.send(text)),
        Flush => text_of(socket.flush()),
        Recv => text_of(socket.recv()),
        NextEvent => text_of(socket.next(false)),
        NextChunk => text_of(socket.next(true)),
        StartClose => text_of(socket.start_close()),
        Close => {
            let begin = Instant::now();
            let result = text_of(socket.close());
            let waited = begin.elapsed() >= Duration::from_millis(200);
            format!("{result}{}", if waited { ", after a wait" } else { "" })
        }
        Wire => arrived(peer),
        step => {
            match step {
                BeginClose => socket.begin_close(),
                Sends(bytes) => peer.write_all(bytes).unwrap(),
                Ends => peer.shutdown(Shutdown::Write).unwrap(),
                Deaf => peer.shutdown(Shutdown::Read).unwrap(),
                step => unreachable!("{step:?}"),
            }
            return None;
        }
    })
}

/// What has come, and what comes in a moment.
fn arrived(peer: &mut UnixStream) -> String {
    peer.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut bytes = Vec::new();
    let mut piece = [0; 1000];
    let end = loop {
        match peer.read(&mut piece) {
            Ok(0) => break ", the end",
            Ok(n) => bytes.extend_from_slice(&piece[..n]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break "";
            }
            Err(_) => break ", a reset",
        }
    };
    let frames: Vec<String> = wire::frames(&bytes)
        .iter()
        .map(|frame| match frame.opcode {
            wire::CLOSE => format!("close {}", frame.close_code().unwrap_or_default()),
            opcode => format!("{opcode} {}", String::from_utf8_lossy(&frame.payload)),
        })
        .collect();
    format!("wire {frames:?}{end}")
}

fn text(payload: &str) -> Step {
    Sends(wire::client(wire::TEXT, payload.as_bytes()))
}

fn close() -> Step {
    Sends(wire::client(wire::CLOSE, &wire::close_payload(1000, "")))
}

#[test]
fn the_adapters_do_the_same() {
    const TIMED_OUT: &str = "time-out";
    let part = |from: usize, to: usize| {
        let frame = wire::client(wire::TEXT, b"in two parts");
        Sends(frame[from..to.min(frame.len())].to_vec())
    };
    let cases: [(&str, Vec<Step>, &[&str]); 8] = [
        (
            "feed encodes, flush writes, send does both",
            vec![Feed("a"), Wire, Flush, Wire, Send("b"), Wire],
            &["()", "wire []", "()", "wire [\"1 a\"]", "()", "wire [\"1 b\"]"],
        ),
        (
            "recv answers pings, behind what was fed",
            vec![Feed("a"), Sends(wire::client(wire::PING, b"p")), text("t"), Recv, Flush, Wire],
            &["()", "Some(Text(\"t\"))", "()", "wire [\"1 a\", \"10 p\"]"],
        ),
        (
            "a message in chunks is finished in chunks",
            vec![part(0, 10), NextChunk, part(10, 99), Recv, NextEvent, text("t"), Recv],
            &[
                "Some(\"chunk in t first true last false\")",
                "next_chunk has begun this message: take the rest of it before recv",
                "Some(\"chunk wo parts first false last true\")",
                "Some(Text(\"t\"))",
            ],
        ),
        (
            "the peer closes: a Close is answered, and the end is told again and again",
            vec![close(), Ends, NextEvent, Recv, Recv, Wire],
            &["Some(\"close Some(1000)\")", "None", "None", "wire [\"close 1000\"], the end"],
        ),
        (
            "close waits for the answer of the peer, but not for ever",
            vec![Close, Wire],
            &[TIMED_OUT, "wire [\"close 1000\"]"],
        ),
        (
            "start_close waits for nothing, and recv goes on with it",
            vec![StartClose, text("late"), close(), Ends, Recv, Recv, Wire],
            &["()", "Some(Text(\"late\"))", "None", "wire [\"close 1000\"], the end"],
        ),
        (
            "close of a half returns once its Close is written",
            vec![Split, Close, Wire, close(), Ends, Recv],
            &["()", "wire [\"close 1000\"]", "None"],
        ),
        (
            "halves send and receive as a whole does",
            vec![Split, Send("a"), Feed("b"), Flush, Wire, text("t"), Recv, part(0, 10), NextChunk],
            &[
                "()",
                "()",
                "()",
                "wire [\"1 a\", \"1 b\"]",
                "Some(Text(\"t\"))",
                "Some(\"chunk in t first true last false\")",
            ],
        ),
    ];
    for (name, steps, expected) in cases {
        for on_tokio in [false, true] {
            let lines = run(on_tokio, &steps);
            assert_eq!(lines.len(), expected.len(), "{name}: {lines:?}");
            for (line, expected) in lines.iter().zip(expected) {
                // the text of a time-out is its own
                let is_it = match *expected {
                    TIMED_OUT => line.ends_with(", after a wait"),
                    expected => line == expected,
                };
                assert!(is_it, "{name}, on tokio: {on_tokio}\n{lines:#?}");
            }
        }
    }
}

/// What a call said, without the texts of the system.
fn kind_of(result: Result<(), Error>) -> &'static str {
    match result {
        Ok(()) => "ok",
        Err(Error::Send(SendError::NotOpen)) => "not open",
        Err(Error::Protocol(_)) => "violation",
        Err(Error::Timeout(_)) => "time-out",
        Err(Error::Disconnected(_)) => "disconnected",
        Err(_) => "another error",
    }
}

/// The calls that send, in every state of a connection: the same for a socket in one piece and for
/// halves, on both adapters, the second time too. `close` is that of a socket in one piece: halves
/// receive to the end after it.
#[test]
fn halves_say_what_a_whole_says() {
    const NOT_OPEN: &str = "not open";
    let violation = || Sends(wire::client(3, b""));
    let states: [(&str, Vec<Step>, [&str; 4]); 11] = [
        ("open", vec![], ["ok", "ok", "ok", "time-out"]),
        ("open, and the peer has hung up", vec![Ends], ["ok", "ok", "ok", "disconnected"]),
        ("we close", vec![BeginClose], [NOT_OPEN, NOT_OPEN, "ok", "time-out"]),
        (
            "we close, behind what the peer does not take",
            vec![Fill, BeginClose],
            [NOT_OPEN, NOT_OPEN, "time-out", "time-out"],
        ),
        ("the peer closes", vec![close(), NextEvent, Ends], [NOT_OPEN, NOT_OPEN, "ok", "ok"]),
        (
            "the peer has closed",
            vec![close(), Ends, NextEvent, Recv],
            [NOT_OPEN, NOT_OPEN, "ok", "ok"],
        ),
        (
            "we have closed",
            vec![BeginClose, close(), Ends, NextEvent, Recv],
            [NOT_OPEN, NOT_OPEN, "ok", "ok"],
        ),
        ("a violation", vec![violation(), Ends, Recv], ["violation"; 4]),
        ("the end of the stream", vec![Ends, Recv], ["disconnected"; 4]),
        ("nobody answers our Close", vec![BeginClose, Recv], ["time-out"; 4]),
        (
            "the peer has closed, and did not take what was sent before",
            vec![Deaf, Feed("lost"), close(), Ends, NextEvent, Recv],
            ["disconnected", "disconnected", "disconnected", "ok"],
        ),
    ];
    for (name, steps, expected) in states {
        for (call, expected) in ["feed", "send", "flush", "close"].into_iter().zip(expected) {
            for (on_tokio, in_halves) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                // what is not to be awaited does not come before it should
                let patience = if expected == "time-out" { SOON } else { 200 * SOON };
                let (mut socket, mut peer) = ends(on_tokio, patience);
                if in_halves {
                    socket = socket.split();
                }
                for step in &steps {
                    take(&mut socket, &mut peer, step);
                }
                let context = format!("{name}: {call}, tokio {on_tokio}, halves {in_halves}");
                for round in 0..2 {
                    let said = match call {
                        "feed" => socket.feed("x"),
                        "send" => socket.send("x"),
                        "flush" => socket.flush(),
                        _ => socket.close_to_the_end(),
                    };
                    assert_eq!(kind_of(said), expected, "{context}, call {round}");
                }
            }
        }
    }
}

/// The key of the handshake and the masking keys are new for each connection.
#[::tokio::test]
async fn no_two_connections_have_the_same_keys() {
    let request = Request::new("ws://h/").unwrap();
    let config = Config::new();
    let mut seen = Vec::new();
    for on_tokio in [false, true, false, true] {
        let (near, mut far) = UnixStream::pair().unwrap();
        let answering = std::thread::spawn(move || {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                far.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let key = wire::header(&head, "sec-websocket-key").unwrap().to_owned();
            far.write_all(wire::response(&head).as_bytes()).unwrap();
            let mut frames = [0; 2 * 7];
            far.read_exact(&mut frames).unwrap();
            let masks = [&frames[2..6], &frames[9..13]].map(<[u8]>::to_vec);
            (key.into_bytes(), masks)
        });
        if on_tokio {
            near.set_nonblocking(true).unwrap();
            let near = ::tokio::net::UnixStream::from_std(near).unwrap();
            let mut ws = asynchronous::client(near, &request, &config).await.unwrap();
            ws.send("1").await.unwrap();
            ws.send("2").await.unwrap();
        } else {
            let mut ws = blocking::client(near, &request, &config).unwrap();
            ws.send("1").unwrap();
            ws.send("2").unwrap();
        }
        let (key, masks) = answering.join().unwrap();
        seen.push(key);
        seen.extend(masks);
    }
    let different: HashSet<_> = seen.iter().collect();
    assert_eq!(different.len(), 4 * 3, "{seen:?}");
}

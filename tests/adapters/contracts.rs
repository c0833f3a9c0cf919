//! The same steps on both adapters: what has the same name does the same.

use std::fmt::Debug;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use sansws::buf::RecvBuffer;
use sansws::proto::Connection;
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
    /// The peer sends these bytes.
    Sends(Vec<u8>),
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
    fn split(self: Box<Self>) -> Box<dyn Socket>;
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

impl Socket for blocking::WebSocket<TcpStream> {
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

    fn split(self: Box<Self>) -> Box<dyn Socket> {
        Box::new((*self).split())
    }
}

impl Socket for (blocking::Receiver<TcpStream>, blocking::Sender<TcpStream>) {
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

    fn split(self: Box<Self>) -> Box<dyn Socket> {
        unreachable!("they are split")
    }
}

type Tcp = ::tokio::net::TcpStream;

struct OnTokio<T>(::tokio::runtime::Runtime, T);

impl Socket for OnTokio<asynchronous::WebSocket<Tcp>> {
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

    fn split(self: Box<Self>) -> Box<dyn Socket> {
        let Self(runtime, ws) = *self;
        Box::new(OnTokio(runtime, ws.into_split()))
    }
}

impl Socket for OnTokio<(asynchronous::Receiver<Tcp>, asynchronous::Sender<Tcp>)> {
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

    fn split(self: Box<Self>) -> Box<dyn Socket> {
        unreachable!("they are split")
    }
}

/// A server's socket of one of the adapters, and its peer.
fn ends(on_tokio: bool) -> (Box<dyn Socket>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    let config = Config::new().close_timeout(Duration::from_millis(300));
    let parts = Parts::new(near, Connection::server(&config), RecvBuffer::new());
    if !on_tokio {
        return (Box::new(blocking::WebSocket::from_parts(parts)), far);
    }
    let runtime = ::tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let parts = parts.map_io(|io| {
        io.set_nonblocking(true).unwrap();
        let _inside = runtime.enter();
        Tcp::from_std(io).unwrap()
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
    let (mut socket, mut peer) = ends(on_tokio);
    let mut lines = Vec::new();
    for step in steps {
        lines.push(match step {
            Feed(text) => text_of(socket.feed(text)),
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
            Split => {
                socket = socket.split();
                continue;
            }
            Sends(bytes) => {
                peer.write_all(bytes).unwrap();
                continue;
            }
            Ends => {
                peer.shutdown(Shutdown::Write).unwrap();
                continue;
            }
            Wire => arrived(&mut peer),
        });
    }
    lines
}

/// What has come, and what comes in a moment.
fn arrived(peer: &mut TcpStream) -> String {
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

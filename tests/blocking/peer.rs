//! The other end of a connection, byte by byte, and the means to make both ends.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use sansws::blocking::{Transport, WebSocket, accept_with, client, connect_with};
use sansws::buf::RecvBuffer;
use sansws::handshake::client::Request;
use sansws::proto::{Config, Connection};

use crate::wire::{self, Frame};

/// Runs a whole test in a thread and waits so long for it that a hang is a failure and no hang.
pub fn bounded(test: impl FnOnce() + Send + 'static) {
    let (done, finished) = mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    match finished.recv_timeout(Duration::from_secs(10)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it takes too long"),
        _ => {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// One end of a connection that speaks in bytes.
#[derive(Debug)]
pub struct Peer<S> {
    pub io: S,
    buf: Vec<u8>,
}

impl<S: Read + Write> Peer<S> {
    pub fn new(io: S) -> Self {
        Self { io, buf: Vec::new() }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).expect("the other end reads");
    }

    /// The head of a request or response.
    pub fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.buf.windows(4).position(|end| end == b"\r\n\r\n") {
                let rest = self.buf.split_off(end + 4);
                let head = std::mem::replace(&mut self.buf, rest);
                return String::from_utf8(head).expect("ASCII");
            }
            assert!(self.more(), "the head ends early: {:?}", self.buf);
        }
    }

    /// The next frame; `None` at the end of file.
    pub fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, len)) = wire::first(&self.buf) {
                self.buf.drain(..len);
                return Some(frame);
            }
            if !self.more() {
                assert!(self.buf.is_empty(), "the stream ends inside a frame");
                return None;
            }
        }
    }

    /// Everything up to the end of file.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.buf)
    }

    fn more(&mut self) -> bool {
        let mut chunk = [0; 4096];
        let n = self.io.read(&mut chunk).expect("no reset");
        self.buf.extend_from_slice(&chunk[..n]);
        n > 0
    }
}

/// A server's socket on any stream, the handshake left out.
pub fn server_on<S>(io: S, config: &Config) -> WebSocket<S> {
    WebSocket::from_parts(io, Connection::server(config), RecvBuffer::new())
}

/// A client's socket on any stream, the handshake left out.
pub fn client_on<S>(io: S, config: &Config) -> WebSocket<S> {
    WebSocket::from_parts(io, Connection::client(config, [9; 32]), RecvBuffer::new())
}

/// A server's socket and its peer.
pub fn server(config: &Config) -> (WebSocket<TcpStream>, Peer<TcpStream>) {
    let (near, far) = tcp();
    server_between(near, far, config)
}

/// A server's socket and its peer on two ends of a stream.
pub fn server_between<S: Transport, P: Read + Write>(
    near: S,
    far: P,
    config: &Config,
) -> (WebSocket<S>, Peer<P>) {
    let mut peer = Peer::new(far);
    peer.send(wire::REQUEST.as_bytes());
    let ws = accept_with(near, config).expect("a handshake");
    assert_eq!(wire::header(&peer.head(), "sec-websocket-accept"), Some(wire::ACCEPT));
    (ws, peer)
}

/// A client's socket and its peer.
pub fn client_and_peer(config: &Config) -> (WebSocket<TcpStream>, Peer<TcpStream>) {
    let (near, far) = tcp();
    let mut peer = Peer::new(far);
    let request = Request::new("ws://server.example.com/chat").unwrap();
    thread::scope(|scope| {
        let ws = scope.spawn(|| client(near, &request, config).expect("a handshake"));
        let head = peer.head();
        peer.send(wire::response(&head).as_bytes());
        (ws.join().unwrap(), peer)
    })
}

/// Both ends on TCP: the server's, the client's.
pub fn pair(config: &Config) -> (WebSocket<TcpStream>, WebSocket<TcpStream>) {
    let (listener, url) = listen();
    let request = Request::new(&url).unwrap();
    thread::scope(|scope| {
        let client = scope.spawn(|| connect_with(&request, config).expect("a handshake"));
        let server = accept_with(listener.accept().unwrap().0, config).expect("a handshake");
        (server, client.join().unwrap())
    })
}

/// A listener and the URL that leads to it.
pub fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    (listener, url)
}

/// Two ends of a TCP connection: accepted, connected.
pub fn tcp() -> (TcpStream, TcpStream) {
    let (listener, _) = listen();
    let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    far.set_nodelay(true).unwrap();
    (listener.accept().unwrap().0, far)
}

//! The other end of a connection, byte by byte, and the means to make both ends.

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use sansws::buf::RecvBuffer;
use sansws::handshake::client::Request;
use sansws::proto::{Config, Connection};
use sansws::tokio::{WebSocket, accept_with, client, connect_with};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::wire::{self, Frame};

thread_local! {
    /// How long something may take that must happen soon.
    static PATIENCE: Cell<Duration> = const { Cell::new(Duration::from_secs(10)) };
}

/// To be called first in every test with a paused clock: there, time passes as soon as nothing else
/// happens, and the time-outs under test must come before ours.
pub fn clock_is_paused() {
    PATIENCE.set(Duration::from_secs(3600));
}

/// Waits for something that must happen soon.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE.get(), future).await.expect("it takes too long")
}

/// One end of a connection that speaks in bytes.
#[derive(Debug)]
pub struct Peer<S> {
    pub io: S,
    buf: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub fn new(io: S) -> Self {
        Self { io, buf: Vec::new() }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        within(self.io.write_all(bytes)).await.expect("the other end reads");
    }

    /// The head of a request or response.
    pub async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.buf.windows(4).position(|end| end == b"\r\n\r\n") {
                let rest = self.buf.split_off(end + 4);
                let head = std::mem::replace(&mut self.buf, rest);
                return String::from_utf8(head).expect("ASCII");
            }
            assert!(self.more().await, "the head ends early: {:?}", self.buf);
        }
    }

    /// The next frame; `None` at the end of file.
    pub async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, len)) = wire::first(&self.buf) {
                self.buf.drain(..len);
                return Some(frame);
            }
            if !self.more().await {
                assert!(self.buf.is_empty(), "the stream ends inside a frame");
                return None;
            }
        }
    }

    /// Everything up to the end of file.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.buf)
    }

    async fn more(&mut self) -> bool {
        let mut chunk = [0; 4096];
        let n = within(self.io.read(&mut chunk)).await.expect("no reset");
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

/// A server's socket and its peer, connected through a pipe that holds `capacity` bytes.
pub async fn server(
    config: &Config,
    capacity: usize,
) -> (WebSocket<DuplexStream>, Peer<DuplexStream>) {
    let (near, far) = duplex(capacity);
    let mut peer = Peer::new(far);
    let shake = async {
        peer.send(wire::REQUEST.as_bytes()).await;
        peer.head().await
    };
    let (ws, head) = within(async { tokio::join!(accept_with(near, config), shake) }).await;
    assert_eq!(wire::header(&head, "sec-websocket-accept"), Some(wire::ACCEPT));
    (ws.expect("a handshake"), peer)
}

/// A client's socket and its peer, connected through a pipe that holds `capacity` bytes.
pub async fn client_and_peer(
    config: &Config,
    capacity: usize,
) -> (WebSocket<DuplexStream>, Peer<DuplexStream>) {
    let (near, far) = duplex(capacity);
    let mut peer = Peer::new(far);
    let request = Request::new("ws://server.example.com/chat").unwrap();
    let shake = async {
        let head = peer.head().await;
        peer.send(wire::response(&head).as_bytes()).await;
    };
    let (ws, ()) = within(async { tokio::join!(client(near, &request, config), shake) }).await;
    (ws.expect("a handshake"), peer)
}

/// A server's socket and its peer on TCP.
pub async fn tcp_server(config: &Config) -> (WebSocket<TcpStream>, Peer<TcpStream>) {
    let (near, far) = tcp().await;
    let mut peer = Peer::new(far);
    let shake = async {
        peer.send(wire::REQUEST.as_bytes()).await;
        peer.head().await
    };
    let (ws, _) = within(async { tokio::join!(accept_with(near, config), shake) }).await;
    (ws.expect("a handshake"), peer)
}

/// Both ends on TCP: the server's, the client's.
pub async fn pair(config: &Config) -> (WebSocket<TcpStream>, WebSocket<TcpStream>) {
    let (listener, url) = listen().await;
    let request = Request::new(&url).unwrap();
    let accept = async {
        let (stream, _) = listener.accept().await.unwrap();
        accept_with(stream, config).await
    };
    let (server, client) =
        within(async { tokio::join!(accept, connect_with(&request, config)) }).await;
    (server.expect("a handshake"), client.expect("a handshake"))
}

/// A listener and the URL that leads to it.
pub async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    (listener, url)
}

/// Two ends of a TCP connection: accepted, connected.
pub async fn tcp() -> (TcpStream, TcpStream) {
    let (listener, _) = listen().await;
    let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (near, _) = listener.accept().await.unwrap();
    far.set_nodelay(true).unwrap();
    (near, far)
}

//! A server under test, and both kinds of clients for it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use sansws::handshake::client::Request;
use sansws::server::{ExternalStream, Hub, Server, ServerError, ServerHandle};
use sansws::tokio::{ClientStream, WebSocket, connect_with};
use sansws::{CloseCode, Config, Error, Message};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use sansws_test::peer::Peer;
use sansws_test::wire::{self, Frame};

pub use sansws_test::{Log, within};

/// Waits until something is true.
pub async fn until(mut is_it: impl FnMut() -> bool) {
    within(async {
        while !is_it() {
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

pub async fn bind() -> Server {
    Server::bind("ws://127.0.0.1:0").await.unwrap()
}

/// A server that runs.
pub struct Running {
    pub addr: SocketAddr,
    pub hub: Hub,
    pub handle: ServerHandle,
    pub run: JoinHandle<Result<(), ServerError>>,
}

pub fn start(server: Server) -> Running {
    Running {
        addr: server.local_addr().unwrap(),
        hub: server.hub(),
        handle: server.handle(),
        run: tokio::spawn(server.run()),
    }
}

impl Running {
    pub fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.addr)
    }

    pub fn request(&self, path: &str) -> Request {
        Request::new(&self.url(path)).unwrap()
    }

    pub async fn connect(&self, path: &str) -> WebSocket<ClientStream> {
        self.try_connect(&self.request(path)).await.unwrap()
    }

    pub async fn try_connect(&self, request: &Request) -> Result<WebSocket<ClientStream>, Error> {
        within(connect_with(request, &Config::new())).await
    }

    /// The status and the body with which a handshake is refused.
    pub async fn refused(&self, request: &Request) -> (u16, String) {
        match self.try_connect(request).await.unwrap_err() {
            Error::Refused(refused) => {
                let body = String::from_utf8(refused.body().to_vec()).unwrap();
                (refused.status(), body)
            }
            error => panic!("{error:?}"),
        }
    }

    /// A connection that speaks in bytes, its handshake done.
    pub async fn raw(&self, path: &str) -> TcpStream {
        self.raw_with(&wire::REQUEST.replacen("/chat", path, 1)).await
    }

    /// The same with a request of its own.
    pub async fn raw_with(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        read_head(&mut stream).await;
        stream
    }

    /// What the server answers to these bytes until it closes.
    pub async fn http(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        within(stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub async fn get(&self, path: &str) -> String {
        self.http(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).await
    }

    /// Ends the server at once.
    pub async fn stop(self) {
        within(self.handle.shutdown(CloseCode::GOING_AWAY, "", Duration::ZERO)).await.unwrap();
        within(self.run).await.unwrap().unwrap();
    }
}

/// A stream in memory to a server that runs, from an address, for tests in virtual time.
pub async fn dial(server: &Running, from: [u8; 4]) -> Peer<DuplexStream> {
    loop {
        let (here, there) = duplex(1_000_000);
        match server.handle.accept(ExternalStream::new(there, (from, 7).into())) {
            Ok(()) => return Peer::new(here),
            Err(_) => tokio::task::yield_now().await, // until it runs
        }
    }
}

/// The same, its handshake done.
pub async fn open(server: &Running, path: &str) -> Peer<DuplexStream> {
    let mut peer = dial(server, [192, 0, 2, 1]).await;
    peer.send(wire::REQUEST.replacen("/chat", path, 1).as_bytes()).await;
    let head = peer.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    peer
}

/// The next message, which is text.
pub async fn text<S>(ws: &mut WebSocket<S>) -> String
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match within(ws.recv()).await.unwrap() {
        Some(Message::Text(text)) => text.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Until the connection is over: its code and reason, and whether it ended cleanly.
pub async fn closed<S>(ws: &mut WebSocket<S>) -> (u16, String, bool)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Ok(Some(_)) = within(ws.recv()).await {}
    let info = ws.close_info().unwrap();
    (info.code, info.reason.to_string(), info.clean)
}

/// The head of the answer to a handshake that is accepted, and nothing behind it.
pub async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(stream.read_u8()).await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    head
}

/// Whole frames until `done` says that these are enough, or the stream ends.
pub async fn frames(stream: &mut TcpStream, done: impl Fn(&[Frame]) -> bool) -> Vec<Frame> {
    let mut bytes = Vec::new();
    let mut all = Vec::new();
    while !done(&all) {
        let mut more = vec![0; 64 * 1024];
        let n = within(stream.read(&mut more)).await.unwrap();
        if n == 0 {
            break;
        }
        bytes.extend(&more[..n]);
        let (frames, used) = wire::frames_in(&bytes);
        bytes.drain(..used);
        all.extend(frames);
    }
    all
}

/// An address for a program that has to be told its port. Below the ports that the system gives
/// away, so that nothing else of this machine's tests takes it before that program does.
pub fn free_addr() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    for _ in 0..1000 {
        let next = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 20_000 + (std::process::id().wrapping_mul(64) + next) % 12_000;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port as u16));
        if TcpListener::bind(addr).is_ok() {
            return addr;
        }
    }
    panic!("no port is free");
}

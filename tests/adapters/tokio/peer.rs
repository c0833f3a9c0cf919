//! The means to make both ends of a connection.

use sansws::Config;
use sansws::buf::RecvBuffer;
use sansws::handshake::client::Request;
use sansws::proto::Connection;
use sansws::tokio::{WebSocket, accept_with, client, tune};
use sansws_test::wire;
use tokio::io::{DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};

pub use sansws_test::peer::{Peer, clock_is_paused, within};

/// A server's socket on any stream, the handshake left out.
pub fn server_on<S>(io: S, config: &Config) -> WebSocket<S> {
    WebSocket::from_parts(sansws::Parts::new(io, Connection::server(config), RecvBuffer::new()))
}

/// A client's socket on any stream, the handshake left out.
pub fn client_on<S>(io: S, config: &Config) -> WebSocket<S> {
    WebSocket::from_parts(sansws::Parts::new(
        io,
        Connection::client(config, [9; 32]),
        RecvBuffer::new(),
    ))
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
    pair_of(config, config).await
}

/// The same, each with settings of its own.
pub async fn pair_of(
    of_server: &Config,
    of_client: &Config,
) -> (WebSocket<TcpStream>, WebSocket<TcpStream>) {
    let (listener, url) = listen().await;
    let request = Request::new(&url).unwrap();
    let accept = async {
        let (stream, _) = listener.accept().await.unwrap();
        accept_with(stream, of_server).await
    };
    let connect = async {
        let stream = TcpStream::connect((request.host(), request.port())).await.unwrap();
        tune(&stream).unwrap();
        client(stream, &request, of_client).await
    };
    let (server, client) = within(async { tokio::join!(accept, connect) }).await;
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

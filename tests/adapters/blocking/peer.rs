//! The means to make both ends of a connection.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use sansws::Config;
use sansws::blocking::{Transport, WebSocket, accept_with, client};
use sansws::buf::RecvBuffer;
use sansws::handshake::client::Request;
use sansws::proto::Connection;

use sansws_test::wire;

pub use sansws_test::blocking::{Peer, within};

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
        let client = scope.spawn(|| {
            let stream = TcpStream::connect((request.host(), request.port())).unwrap();
            stream.set_nodelay(true).unwrap();
            client(stream, &request, config).expect("a handshake")
        });
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

//! What a task has to hold: the socket, and the futures of its methods, in bytes.
//!
//! The documentation of the module has these figures. They are those of a 64-bit platform.
#![cfg(target_pointer_width = "64")]

use std::mem::{size_of, size_of_val};

use sansws::Config;
use sansws::buf::RecvBuffer;
use sansws::proto::Connection;
use sansws::tokio::{ByteStream, WebSocket};
use tokio::net::TcpStream;

#[tokio::test]
async fn futures_and_sockets_are_small() {
    let (near, far) = tokio::io::duplex(64);
    let mut ws = WebSocket::from_parts(sansws::Parts::new(
        near,
        Connection::server(&Config::new()),
        RecvBuffer::new(),
    ));
    let recv = size_of_val(&ws.recv());
    let next_event = size_of_val(&ws.next_event());
    let send = size_of_val(&ws.send("text"));
    let flush = size_of_val(&ws.flush());
    // the room that a handshake needs lies in a box, for as long as it takes
    let accept = size_of_val(&sansws::tokio::accept(far));
    let sizes = [
        ("recv", recv, 24),
        ("next_event", next_event, 64),
        ("send", send, 144),
        ("flush", flush, 24),
        ("accept", accept, 48),
        ("WebSocket<TcpStream>", size_of::<WebSocket<TcpStream>>(), 376),
        ("ByteStream<TcpStream>", size_of::<ByteStream<TcpStream>>(), 392),
        ("Connection", size_of::<Connection>(), 208),
    ];
    for (name, size, most) in sizes {
        assert!(size <= most, "{name}: {size} bytes");
    }
}

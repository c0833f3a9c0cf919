//! What a task has to hold: the socket, and the futures of its methods, in bytes.
//!
//! The documentation of the module has these figures. They are those of a 64-bit platform.
#![cfg(target_pointer_width = "64")]

use std::mem::{size_of, size_of_val};

use sansws::buf::RecvBuffer;
use sansws::proto::Connection;
use sansws::tokio::{ByteStream, WebSocket};
use sansws::{Config, Message};
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
    let send_message = size_of_val(&ws.send(Message::from("text")));
    let flush = size_of_val(&ws.flush());
    // the room that a handshake needs lies in a box, for as long as it takes
    let accept = size_of_val(&sansws::tokio::accept(far));
    for (name, size) in [
        ("future of [`recv`](WebSocket::recv), [`flush`](WebSocket::flush)", recv.max(flush)),
        ("future of [`next_event`](WebSocket::next_event)", next_event),
        ("future of [`send`](WebSocket::send) with a `&str`", send),
        ("the same with a [`Message`](crate::Message)", send_message),
        ("future of [`accept`] (the rest in a box, until it is done)", accept),
        ("`WebSocket<TcpStream>`", size_of::<WebSocket<TcpStream>>()),
        ("`ByteStream<TcpStream>`", size_of::<ByteStream<TcpStream>>()),
    ] {
        let row = include_str!("../../../src/tokio/mod.rs")
            .lines()
            .find_map(|line| line.strip_prefix("//! | ")?.strip_prefix(name)?.strip_prefix(" | "))
            .unwrap_or_else(|| panic!("{name} has no row"));
        let said: usize = row.trim_end_matches(" |").parse().unwrap();
        // a compiler may lay things out anew
        assert!(size <= said && size + 16 >= said, "{name}: {size} bytes, the table has {said}");
    }
    assert!(size_of::<Connection>() <= 208, "{}", size_of::<Connection>());
}

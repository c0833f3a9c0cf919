//! `next_chunk`: messages as they arrive, and the way back to whole ones.

use std::net::TcpStream;

use sansws::blocking::WebSocket;
use sansws::{Config, Error, Event};

use crate::blocking::peer::{Peer, server, within};
use sansws_test::wire;

/// Half of a message of 12 bytes has come, and the first 4 bytes of it were taken.
fn half_a_message() -> (WebSocket<TcpStream>, Peer<TcpStream>) {
    let (mut ws, mut peer) = server(&Config::new());
    let frame = wire::client(wire::TEXT, b"in two parts");
    peer.send(&frame[..10]);
    let (event, _) = ws.next_chunk().unwrap().unwrap();
    let Event::Chunk(chunk) = event else { panic!("{event:?}") };
    assert_eq!((chunk.first, chunk.last, chunk.payload), (true, false, &b"in t"[..]));
    peer.send(&frame[10..]);
    (ws, peer)
}

#[test]
fn the_rest_of_a_message_comes_in_chunks_too() {
    within(|| {
        let (mut ws, mut peer) = half_a_message();
        let error = ws.recv().unwrap_err();
        assert!(matches!(error, Error::PartialMessage), "{error}");
        let (event, _) = ws.next_event().unwrap().unwrap();
        let Event::Chunk(chunk) = event else { panic!("{event:?}") };
        assert_eq!((chunk.first, chunk.last, chunk.payload), (false, true, &b"wo parts"[..]));
        peer.send(&wire::client(wire::TEXT, b"whole"));
        assert_eq!(ws.recv().unwrap(), Some("whole".into()));
    });
}

#[test]
fn halves() {
    within(|| {
        let (ws, mut peer) = half_a_message();
        let (mut receiver, _sender) = ws.split();
        let error = receiver.recv().unwrap_err();
        assert!(matches!(error, Error::PartialMessage), "{error}");
        let event = receiver.next_chunk().unwrap().unwrap();
        let Event::Chunk(chunk) = event else { panic!("{event:?}") };
        assert_eq!((chunk.last, chunk.payload), (true, &b"wo parts"[..]));
        peer.send(&wire::client(wire::TEXT, b"whole"));
        assert_eq!(receiver.recv().unwrap(), Some("whole".into()));
    });
}

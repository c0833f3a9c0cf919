//! Streams that a connector has connected, without the opening handshake.

use std::io::{Read, Write};

use sansws::client::Connector;
use sansws::{Config, blocking};

use crate::support::{echo_plain, head, serve, within, within_thread};

#[tokio::test]
async fn a_handshake_of_ones_own() {
    let addr = serve(|mut stream| {
        let head = head(&mut stream);
        echo_plain(stream, head);
    });
    let connector = Connector::new(&format!("ws://{addr}/")).unwrap();
    let io = within(connector.connect_stream()).await.unwrap();
    assert!(!io.is_secure());
    let config = Config::new();
    let opening = sansws::tokio::client(io, connector.request(), &config);
    let mut ws = within(opening).await.unwrap();
    ws.send("hello").await.unwrap();
    assert_eq!(within(ws.recv()).await.unwrap().unwrap().as_text(), Some("hello"));

    within_thread(move || {
        let io = connector.connect_stream_blocking().unwrap();
        let mut ws = blocking::client(io, connector.request(), &Config::new()).unwrap();
        ws.send("hello").unwrap();
        assert_eq!(ws.recv().unwrap().unwrap().as_text(), Some("hello"));
    })
    .await;
}

/// Nothing is sent that the caller has not written.
#[tokio::test]
async fn the_first_byte_is_the_callers() {
    let addr = serve(|mut stream| {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        stream.write_all(&byte).unwrap();
    });
    let connector = Connector::new(&format!("ws://{addr}/")).unwrap();
    let answer = within_thread(move || {
        let mut io = connector.connect_stream_blocking().unwrap();
        io.write_all(b"?").unwrap();
        let mut byte = [0];
        io.read_exact(&mut byte).unwrap();
        byte
    });
    assert_eq!(&answer.await, b"?");
}

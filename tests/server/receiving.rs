//! Messages that are begun and never finished, by many clients at once.

use sansws::server::{Server, handler_fn};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{Running, bind, frames, start, until, within};
use sansws_test::wire;

const MIB: usize = 1024 * 1024;

fn serve(server: Server) -> Running {
    let echo = handler_fn().on_message(|client, message| client.send(message));
    start(server.route("/", echo).max_queued_bytes(8 * MIB))
}

/// A client that has sent a part of a message of that length.
async fn begun(server: &Running, len: usize, part: usize) -> TcpStream {
    let mut stream = server.raw("/").await;
    let frame = wire::client(wire::BINARY, &vec![7; len]);
    // it may be closed before it has sent everything
    let _ = within(stream.write_all(&frame[..part])).await;
    stream
}

#[tokio::test]
async fn unfinished_messages_have_a_limit_together() {
    let server = serve(bind().await.max_receiving_bytes(2 * MIB));
    let mut honest = server.connect("/").await;
    let mut attackers = Vec::new();
    for _ in 0..5 {
        attackers.push(begun(&server, MIB, 700_000).await);
    }
    until(|| server.hub.stats().overload_closed >= 2).await;
    // who takes no more than a share goes on
    for len in [10, 70_000] {
        within(honest.send(vec![1; len])).await.unwrap();
        assert_eq!(within(honest.recv()).await.unwrap().unwrap().len(), len);
    }
    let mut last = attackers.pop().unwrap();
    let seen = frames(&mut last, |frames| !frames.is_empty()).await;
    assert_eq!(seen[0].close_code(), Some(1013));
    // what they held comes back
    drop((attackers, last));
    until(|| server.hub.all().len() == 1).await;
    let closed = server.hub.stats().overload_closed;
    within(honest.send(vec![1; 900_000])).await.unwrap();
    assert_eq!(within(honest.recv()).await.unwrap().unwrap().len(), 900_000);
    assert_eq!(server.hub.stats().overload_closed, closed);
    server.stop().await;
}

/// Few bytes that become many.
#[cfg(feature = "deflate")]
#[tokio::test]
async fn what_is_inflated_counts() {
    use sansws::deflate::Deflate;

    let config = Server::default_config().deflate(Deflate::new());
    let server = serve(bind().await.config(config).max_receiving_bytes(2 * MIB));
    let extension = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    let request = wire::REQUEST.replacen("/chat", "/", 1).replacen("\r\n\r\n", extension, 1);
    let mut frame = wire::encode(false, wire::BINARY, Some([1, 2, 3, 4]), &zeros(3500));
    frame[0] |= 0x40; // RSV1: compressed
    assert!(frame.len() < 6000);
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut stream = server.raw_with(&request).await;
        stream.write_all(&frame).await.unwrap();
        clients.push(stream);
    }
    until(|| server.hub.stats().overload_closed >= 4).await;
    drop(clients);
    until(|| server.hub.all().is_empty()).await;
    server.stop().await;
}

/// A deflate stream (RFC 1951 §3.2.6) of that many times 258 zeros and one, without its end.
#[cfg(feature = "deflate")]
fn zeros(times: usize) -> Vec<u8> {
    // a block with fixed codes; the literal 0; then length 258 at distance 1 again and again
    let bits = "01000110000".chars().chain("1100010100000".chars().cycle().take(13 * times));
    let bits: Vec<_> = bits.map(|bit| u8::from(bit == '1')).collect();
    bits.chunks_exact(8).map(|byte| byte.iter().rev().fold(0, |all, bit| all << 1 | bit)).collect()
}

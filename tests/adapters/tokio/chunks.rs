//! `next_chunk`: messages as they arrive, and the way back to whole ones.

use sansws::tokio::WebSocket;
use sansws::{Error, Event};
use tokio::io::DuplexStream;

use crate::tokio::peer::{server, within};
use sansws_test::peer::Peer;
use sansws_test::wire;

type Ends = (WebSocket<DuplexStream>, Peer<DuplexStream>);

/// Half of a message of 12 bytes has come, and the first 4 bytes of it were taken.
async fn half_a_message() -> Ends {
    let (mut ws, mut peer) = server(&sansws::Config::new(), 1 << 16).await;
    let frame = wire::client(wire::TEXT, b"in two parts");
    peer.send(&frame[..10]).await;
    let (event, _) = within(ws.next_chunk()).await.unwrap().unwrap();
    let Event::Chunk(chunk) = event else { panic!("{event:?}") };
    assert_eq!((chunk.first, chunk.last, chunk.payload), (true, false, &b"in t"[..]));
    peer.send(&frame[10..]).await;
    (ws, peer)
}

#[tokio::test]
async fn the_rest_of_a_message_comes_in_chunks_too() {
    let (mut ws, mut peer) = half_a_message().await;
    let error = within(ws.recv()).await.unwrap_err();
    assert!(matches!(error, Error::PartialMessage), "{error}");
    let (event, _) = within(ws.next_event()).await.unwrap().unwrap();
    let Event::Chunk(chunk) = event else { panic!("{event:?}") };
    assert_eq!((chunk.first, chunk.last, chunk.payload), (false, true, &b"wo parts"[..]));
    peer.send(&wire::client(wire::TEXT, b"whole")).await;
    assert_eq!(within(ws.recv()).await.unwrap(), Some("whole".into()));
}

#[tokio::test]
async fn halves() {
    let (ws, mut peer) = half_a_message().await;
    let (mut receiver, _sender) = ws.split();
    let error = within(receiver.recv()).await.unwrap_err();
    assert!(matches!(error, Error::PartialMessage), "{error}");
    let event = within(receiver.next_chunk()).await.unwrap().unwrap();
    let Event::Chunk(chunk) = event else { panic!("{event:?}") };
    assert_eq!((chunk.last, chunk.payload), (true, &b"wo parts"[..]));
    peer.send(&wire::client(wire::TEXT, b"whole")).await;
    assert_eq!(within(receiver.recv()).await.unwrap(), Some("whole".into()));
}

/// What has arrived of a message comes at once, and a future that is dropped loses none of it.
#[tokio::test]
async fn in_the_middle_of_a_message() {
    use futures_util::FutureExt;
    let (mut ws, mut peer) = server(&sansws::Config::new(), 1 << 16).await;
    let frame = wire::client(wire::BINARY, b"in two parts");
    peer.send(&frame[..10]).await;
    assert!(ws.recv().now_or_never().is_none());
    let (event, _) = within(ws.next_chunk()).await.unwrap().unwrap();
    let Event::Chunk(chunk) = event else { panic!("{event:?}") };
    assert_eq!((chunk.first, chunk.payload), (true, &b"in t"[..]));
    assert!(ws.next_chunk().now_or_never().is_none());
    peer.send(&frame[10..]).await;
    let (event, _) = within(ws.next_chunk()).await.unwrap().unwrap();
    let Event::Chunk(chunk) = event else { panic!("{event:?}") };
    assert_eq!((chunk.last, chunk.payload), (true, &b"wo parts"[..]));
}

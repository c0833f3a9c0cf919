//! Unsent bytes: how many there may be, who waits for them, and how they leave.

use core::time::Duration;

use sansws::proto::SendError;
use sansws::{Config, Error, KeepAlive};
use tokio::time::sleep;

use crate::tokio::split::peer::{piped, within};
use sansws_test::wire::{BINARY, Frame, PING, PONG, TEXT};

const LIMIT: usize = 100;

fn config() -> Config {
    Config::new().max_unsent(LIMIT).keep_alive(KeepAlive::Off)
}

fn is_full(error: &Error) -> bool {
    matches!(error, Error::Send(SendError::BufferFull { unsent: LIMIT.., limit: LIMIT }))
}

#[tokio::test(start_paused = true)]
async fn send_waits_for_room_and_the_others_say_that_there_is_none() {
    let (ws, mut peer) = piped(10, &config());
    let (_receiver, sender) = ws.split();
    // 10 bytes are in the pipe then, and 99 wait: room for one more message
    sender.try_send(&[1; 107]).unwrap();
    assert_eq!(sender.unsent(), LIMIT - 1);
    sender.feed(&[2; 200]).unwrap();
    assert_eq!(sender.unsent(), LIMIT - 1 + 204);
    assert!(is_full(&sender.feed("no").unwrap_err()));
    assert!(is_full(&sender.try_send("no").unwrap_err()));

    let waiting = tokio::spawn({
        let sender = sender.clone();
        async move { sender.send(&[3; 3]).await }
    });
    sleep(Duration::from_secs(3600)).await;
    assert!(!waiting.is_finished());
    assert_eq!(sender.unsent(), LIMIT - 1 + 204, "a message that waits for room is not queued");

    peer.expect(Frame::new(BINARY, [1; 107])).await;
    peer.expect(Frame::new(BINARY, [2; 200])).await;
    peer.expect(Frame::new(BINARY, [3; 3])).await;
    within(waiting).await.unwrap().unwrap();
    assert_eq!(sender.unsent(), 0);
}

/// What `try_send` could not write leaves through the receiver that waits.
#[tokio::test(start_paused = true)]
async fn the_receiver_writes_what_is_left_over() {
    let (ws, mut peer) = piped(10, &config());
    let (mut receiver, sender) = ws.split();
    let receiving = tokio::spawn(async move { receiver.recv().await });
    sleep(Duration::from_secs(1)).await;
    sender.try_send(&[1; 300]).unwrap();
    assert_eq!(sender.unsent(), 304 - 10);
    drop(sender);
    peer.expect(Frame::new(BINARY, [1; 300])).await;
    drop(peer);
    within(receiving).await.unwrap().unwrap_err();
}

/// What was fed leaves with the next `recv`, in one piece with what it answers.
#[tokio::test(start_paused = true)]
async fn the_receiver_writes_what_was_fed() {
    let (ws, mut peer) = piped(1000, &config());
    let (mut receiver, sender) = ws.split();
    sender.feed("fed").unwrap();
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(sender.unsent(), 5);
    peer.send_frame(PING, "p").await;
    let receiving = tokio::spawn(async move { receiver.recv().await });
    peer.expect(Frame::new(TEXT, "fed")).await;
    peer.expect(Frame::new(PONG, "p")).await;
    drop(peer);
    within(receiving).await.unwrap().unwrap_err();
}

/// `flush` waits for what was queued when it was called, and for nothing that came later.
#[tokio::test(start_paused = true)]
async fn flush_waits_for_what_was_queued_before() {
    let (ws, mut peer) = piped(10, &config().max_unsent(10_000));
    let (_receiver, sender) = ws.split();
    within(sender.flush()).await.unwrap(); // nothing is queued
    sender.feed(&[1; 98]).unwrap();
    let flushing = tokio::spawn({
        let sender = sender.clone();
        async move { sender.flush().await }
    });
    sleep(Duration::from_secs(1)).await;
    assert!(!flushing.is_finished());
    sender.feed(&[2; 1000]).unwrap();
    let mut bytes = [0; 89];
    within(tokio::io::AsyncReadExt::read_exact(&mut peer.io, &mut bytes)).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert!(!flushing.is_finished(), "a byte of the first message is unwritten");
    peer.has_read(&bytes);
    peer.expect(Frame::new(BINARY, [1; 98])).await;
    within(flushing).await.unwrap().unwrap();
    assert!(sender.unsent() > 900, "{}", sender.unsent());
}

/// A pong that replaces a longer one takes bytes out of the queue that `flush` waits for.
#[tokio::test(start_paused = true)]
async fn flush_ends_when_a_shorter_pong_takes_the_place_of_the_last() {
    let (ws, mut peer) = piped(40, &config().max_unsent(10_000).max_pending_pongs(2));
    let (mut receiver, sender) = ws.split();
    let receiving = tokio::spawn(async move { receiver.recv().await });
    // Two wait in what is being written, two in the queue behind it, and one that is replaced.
    for _ in 0..6 {
        peer.send_frame(PING, [b'a'; 125]).await;
    }
    sleep(Duration::from_secs(1)).await;
    let flushing = tokio::spawn({
        let sender = sender.clone();
        async move { sender.flush().await }
    });
    sleep(Duration::from_secs(1)).await;
    assert!(!flushing.is_finished());
    let before = sender.unsent();
    peer.send_frame(PING, []).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(sender.unsent(), before - 125);
    while sender.unsent() > 0 {
        assert_eq!(peer.frame().await.unwrap().whole(), PONG);
        tokio::task::yield_now().await;
    }
    within(flushing).await.unwrap().unwrap();
    drop(peer);
    within(receiving).await.unwrap().unwrap_err();
}

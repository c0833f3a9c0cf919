//! The time-outs hold whichever half waits, and wake the other one.

use core::time::Duration;

use sansws::{CloseCode, Config, KeepAlive};
use tokio::time::{Instant, sleep};

use crate::tokio::split::peer::{piped, within};
use sansws_test::wire::{CLOSE, Frame, PING, PONG, TEXT, close_payload};

const SECOND: Duration = Duration::from_secs(1);

/// The receiver waits without any alarm when a sender sets one for it.
#[tokio::test(start_paused = true)]
async fn a_close_that_nobody_answers_ends_in_the_receiver() {
    let (ws, mut peer) = piped(1024, &Config::new().keep_alive(KeepAlive::Off));
    let (mut receiver, sender) = ws.split();
    let receiving = tokio::spawn(async move { receiver.recv().await });
    sleep(SECOND).await;
    let start = Instant::now();
    within(sender.close(CloseCode::GOING_AWAY, "")).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO, "a sender waits for its Close to leave only");
    assert!(within(receiving).await.unwrap().unwrap_err().is_timeout());
    assert!((10.0..10.1).contains(&start.elapsed().as_secs_f64()), "{:?}", start.elapsed());
    assert!(sender.send("x").await.unwrap_err().is_timeout());
    peer.expect(Frame::new(CLOSE, close_payload(1001, ""))).await;
}

/// A server lingers for a second after both Close frames, and no longer.
#[tokio::test(start_paused = true)]
async fn a_peer_that_keeps_the_stream_open_is_left() {
    let (ws, mut peer) = piped(1024, &Config::new().keep_alive(KeepAlive::Off));
    let (mut receiver, sender) = ws.split();
    let receiving = tokio::spawn(async move { receiver.recv().await });
    sender.close(CloseCode::NORMAL, "").await.unwrap();
    peer.expect(Frame::new(CLOSE, close_payload(1000, ""))).await;
    let start = Instant::now();
    peer.send_frame(CLOSE, close_payload(1000, "")).await;
    assert_eq!(within(receiving).await.unwrap().unwrap(), None);
    assert!((1.0..1.1).contains(&start.elapsed().as_secs_f64()), "{:?}", start.elapsed());
}

fn keep_alive() -> Config {
    Config::new().keep_alive(KeepAlive::Every(20 * SECOND)).pong_timeout(5 * SECOND)
}

/// Whoever waits: only the receiver, only a sender that is blocked, or both. Where nobody receives,
/// the pong may have come, so the peer gets four times more.
#[tokio::test(start_paused = true)]
async fn a_silent_peer_ends_the_wait_of_each_half() {
    for (receives, sends) in [(true, false), (false, true), (true, true)] {
        let (ws, _peer) = piped(64, &keep_alive());
        let (mut receiver, sender) = ws.split();
        let start = Instant::now();
        let mut waiting = Vec::new();
        if receives {
            waiting.push(tokio::spawn(async move { receiver.recv().await.map(|_| ()) }));
        }
        if sends {
            let sender = sender.clone();
            waiting.push(tokio::spawn(async move { sender.send(&[0; 1000]).await }));
        }
        for task in waiting {
            let error = within(task).await.unwrap().unwrap_err();
            assert!(error.is_timeout(), "{error:?}");
            let took = start.elapsed().as_secs_f64();
            let expected = if receives { 25.0 } else { 45.0 };
            assert!((expected..expected + 0.2).contains(&took), "{receives} {sends}: {took} s");
        }
        assert!(sender.send("x").await.unwrap_err().is_timeout());
    }
}

/// A peer that reads slowly is alive: each byte that goes through says so. So is one that never
/// answers pings but talks.
#[tokio::test(start_paused = true)]
async fn slow_peers_are_not_given_up() {
    let (ws, mut peer) = piped(64, &keep_alive());
    let (mut receiver, sender) = ws.split();
    let receiving = tokio::spawn(async move {
        let first = receiver.recv().await;
        (first, receiver.recv().await)
    });
    let start = Instant::now();
    let sending = tokio::spawn({
        let sender = sender.clone();
        async move { sender.send(&[7; 2000]).await }
    });
    let mut bytes = [0; 64];
    while !sending.is_finished() {
        sleep(4 * SECOND).await;
        let n = within(tokio::io::AsyncReadExt::read(&mut peer.io, &mut bytes)).await.unwrap();
        peer.has_read(&bytes[..n]);
    }
    sending.await.unwrap().unwrap();
    assert!(start.elapsed() > 100 * SECOND, "{:?}", start.elapsed());
    peer.send_frame(TEXT, "still here").await;
    drop(peer);
    let (first, second) = within(receiving).await.unwrap();
    assert_eq!(first.unwrap(), Some("still here".into()));
    assert!(second.unwrap_err().is_disconnect());
}

/// The pings go out while nobody sends, and the pong is measured.
#[tokio::test(start_paused = true)]
async fn the_receiver_keeps_the_connection_alive() {
    let (ws, mut peer) = piped(64, &keep_alive());
    let (mut receiver, sender) = ws.split();
    let receiving = tokio::spawn(async move { (receiver.recv().await, receiver) });
    let start = Instant::now();
    for round in 1..=20 {
        let ping = peer.frame().await.unwrap();
        assert_eq!((ping.whole(), start.elapsed().as_secs() / 20), (PING, round));
        sleep(3 * SECOND).await;
        peer.send_frame(PONG, ping.payload).await;
        sleep(SECOND / 10).await;
    }
    peer.send_frame(TEXT, "bye").await;
    let (received, receiver) = within(receiving).await.unwrap();
    assert_eq!(received.unwrap(), Some("bye".into()));
    assert_eq!(receiver.round_trip().unwrap().as_secs(), 3);
    drop(sender);
}

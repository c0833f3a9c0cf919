//! What leaves without anybody sending: pongs, and the reply to a Close.

use sansws::proto::State;
use sansws::{Config, Message};
use tokio::io::{AsyncWriteExt, BufStream, duplex};

use crate::tokio::split::peer::{Trickle, peer_on, piped, server, tcp_pair, within};
use sansws_test::wire::{CLOSE, Frame, PING, PONG, TEXT, close_payload};

#[tokio::test]
async fn a_half_that_only_receives_answers() {
    let (near, far) = tcp_pair().await;
    let (mut receiver, sender) = server(near, &Config::new()).into_split();
    let mut peer = peer_on(far);
    let receiving = tokio::spawn(async move {
        let text = receiver.recv().await.unwrap();
        (text, receiver.recv().await.unwrap(), receiver)
    });
    for number in 0..100_u8 {
        peer.send_frame(PING, [number]).await;
        peer.expect(Frame::new(PONG, [number])).await;
    }
    peer.send_frame(TEXT, "hello").await;
    peer.send_frame(CLOSE, close_payload(4000, "bye")).await;
    peer.expect(Frame::new(CLOSE, close_payload(4000, ""))).await;
    assert_eq!(peer.frame().await, None, "a server closes TCP first");
    peer.io.shutdown().await.unwrap();
    let (text, end, receiver) = within(receiving).await.unwrap();
    assert_eq!((text, end), (Some(Message::from("hello")), None));
    for info in [receiver.close_info(), sender.close_info()] {
        let info = info.unwrap();
        assert_eq!((info.code, &*info.reason, info.clean), (4000, "bye", true));
    }
    assert_eq!(sender.state(), State::Closed);
}

/// Without a sender at all, and byte by byte.
#[tokio::test]
async fn the_senders_may_be_gone() {
    let (near, far) = duplex(16);
    let (mut receiver, sender) = server(Trickle::new(near), &Config::new()).split();
    drop(sender);
    let mut peer = peer_on(far);
    let receiving = tokio::spawn(async move { receiver.recv().await });
    let long = [b'p'; 125];
    for ping in [&b""[..], b"1", &long] {
        peer.send_frame(PING, ping).await;
        peer.expect(Frame::new(PONG, ping)).await;
    }
    peer.send_frame(CLOSE, []).await;
    peer.expect(Frame::new(CLOSE, [])).await;
    drop(peer);
    assert_eq!(within(receiving).await.unwrap().unwrap(), None);
}

/// And the other way round: what a sender sends does not need the other half.
#[tokio::test]
async fn the_receiver_may_be_gone() {
    let (ws, mut peer) = piped(16, &Config::new());
    let (receiver, sender) = ws.split();
    drop(receiver);
    let text = "longer than the pipe is wide";
    let sending = tokio::spawn(async move {
        sender.send(text).await.unwrap();
        sender.close(sansws::CloseCode::NORMAL, "").await.unwrap();
        sender
    });
    peer.expect(Frame::new(TEXT, text)).await;
    peer.expect(Frame::new(CLOSE, close_payload(1000, ""))).await;
    drop(within(sending).await.unwrap());
    assert_eq!(peer.frame().await, None);
}

/// A stream with a buffer of its own, as TLS is, may take a pong and have no way to pass it on yet.
#[tokio::test]
async fn a_pong_does_not_stay_in_the_streams_own_buffer() {
    let (near, far) = duplex(16);
    let (mut receiver, _sender) = server(BufStream::new(near), &Config::new()).split();
    let receiving = tokio::spawn(async move { receiver.recv().await });
    let mut peer = peer_on(far);
    peer.send_frame(PING, [b'p'; 125]).await;
    peer.expect(Frame::new(PONG, [b'p'; 125])).await;
    drop(peer);
    assert!(within(receiving).await.unwrap().unwrap_err().is_disconnect());
}

#[tokio::test]
async fn a_message_does_not_stay_in_the_streams_own_buffer() {
    let text = "longer than the pipe is wide, shorter than the buffer before it";
    for receiving in [false, true] {
        let (near, far) = duplex(16);
        let (mut receiver, sender) = server(BufStream::new(near), &Config::new()).split();
        let mut peer = peer_on(far);
        let receiving = receiving.then(|| tokio::spawn(async move { receiver.recv().await }));
        tokio::task::yield_now().await;
        let sending = tokio::spawn(async move {
            sender.send(text).await.unwrap();
            sender
        });
        peer.expect(Frame::new(TEXT, text)).await;
        let sender = within(sending).await.unwrap();
        if receiving.is_some() {
            sender.try_send(text).unwrap();
            tokio::task::yield_now().await;
            peer.expect(Frame::new(TEXT, text)).await;
        }
    }
}

/// `send` has not written anything as long as the stream's own buffer has it.
#[tokio::test]
async fn sending_includes_the_streams_own_buffer() {
    let (near, far) = duplex(16);
    let (_receiver, sender) = server(BufStream::new(near), &Config::new()).split();
    let mut peer = peer_on(far);
    let sending = tokio::spawn(async move { sender.send(&[7; 40]).await });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!sending.is_finished(), "42 bytes do not fit into a pipe for 16");
    peer.expect(Frame::new(sansws_test::wire::BINARY, [7; 40])).await;
    within(sending).await.unwrap().unwrap();
}

//! Futures dropped after any number of polls, over a stream that moves one byte at a time.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use sansws::proto::State;
use sansws::tokio::{Locked, Receiver, Sender};
use sansws::{CloseCode, Config, PreparedMessage};
use tokio::io::{DuplexStream, duplex};

use crate::tokio::split::peer::{Peer, Trickle, peer_on, server, within};
use sansws_test::wire::{
    self, BINARY, CLOSE, CONTINUATION, Frame, KEY, PING, PONG, TEXT, close_payload,
};

type Stream = Locked<Trickle<DuplexStream>>;

fn trickling(
    capacity: usize,
    config: &Config,
) -> (Receiver<Stream>, Sender<Stream>, Peer<DuplexStream>) {
    let (near, far) = duplex(capacity);
    let (receiver, sender) = server(Trickle::new(near), config).split();
    (receiver, sender, peer_on(far))
}

/// Polls `future` up to `polls` times and drops it then. Between the polls everything else runs.
async fn give_up_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

/// More polls than a message of this test needs.
const MOST_POLLS: usize = 60;

/// A message is taken with the first poll, and arrives whole and once, however its future ends.
#[tokio::test]
async fn a_dropped_send_loses_and_tears_nothing() {
    let (_receiver, sender, mut peer) = trickling(1 << 16, &Config::new());
    let mut expected = Vec::new();
    let mut given_up = 0;
    for polls in 0..MOST_POLLS {
        for way in 0..3 {
            let text = format!("{way} {polls} {}", "x".repeat(polls));
            let sent = match way {
                0 => give_up_after(polls, sender.send(&text)).await,
                1 => {
                    let prepared = PreparedMessage::new(&text).unwrap();
                    give_up_after(polls, sender.send(&prepared)).await
                }
                _ => {
                    sender.feed(&text).unwrap();
                    give_up_after(polls, sender.flush()).await
                }
            };
            if polls > 0 || way == 2 {
                expected.push(text);
            }
            given_up += usize::from(sent.is_none());
            assert!(sent.is_none_or(|sent| sent.is_ok()));
        }
    }
    assert!(given_up > MOST_POLLS, "{given_up}");
    within(sender.close(CloseCode::NORMAL, "")).await.unwrap();
    for text in expected {
        peer.expect(Frame::new(TEXT, text)).await;
    }
    peer.expect(Frame::new(CLOSE, close_payload(1000, ""))).await;
}

/// A message that waits for room is not taken: it arrives only when its future is not dropped.
#[tokio::test]
async fn a_send_that_waits_for_room_is_not_taken() {
    for polls in 0..MOST_POLLS {
        // nothing goes through a pipe that is full
        let (_receiver, sender, mut peer) = trickling(1, &Config::new().max_unsent(1));
        sender.feed("first").unwrap();
        assert!(give_up_after(polls, sender.send("second")).await.is_none());
        let reading = tokio::spawn(async move {
            let first = peer.frame().await;
            (first, peer.frame().await, peer)
        });
        within(sender.send("third")).await.unwrap();
        let (first, third, _peer) = within(reading).await.unwrap();
        assert_eq!(first, Some(Frame::new(TEXT, "first")));
        assert_eq!(third, Some(Frame::new(TEXT, "third")), "{polls} polls");
    }
}

/// Whatever is dropped when, a Close frame follows what was sent, once.
#[tokio::test]
async fn a_dropped_close_goes_on_in_the_receiver() {
    for polls in 0..MOST_POLLS {
        let (mut receiver, sender, mut peer) = trickling(4096, &Config::new());
        sender.feed("before").unwrap();
        give_up_after(polls, sender.close(CloseCode::NORMAL, "bye")).await;
        if polls == 0 {
            assert_eq!(sender.state(), State::Open);
            continue;
        }
        assert_eq!(sender.state(), State::Closing);
        sender.close(CloseCode::GOING_AWAY, "again").await.unwrap();
        let receiving = tokio::spawn(async move { receiver.recv().await });
        peer.expect(Frame::new(TEXT, "before")).await;
        peer.expect(Frame::new(CLOSE, close_payload(1000, "bye"))).await;
        peer.send_frame(CLOSE, close_payload(1000, "")).await;
        assert_eq!(peer.frame().await, None);
        drop(peer);
        assert_eq!(within(receiving).await.unwrap().unwrap(), None);
    }
}

/// Every message comes once and in order, and every ping is answered, though most `recv` are
/// dropped.
#[tokio::test]
async fn a_dropped_recv_loses_nothing() {
    for polls in 1..MOST_POLLS {
        let (mut receiver, sender, mut peer) = trickling(4096, &Config::new());
        for number in 0..5_u8 {
            peer.send_frame(TEXT, format!("text {number}")).await;
            peer.send_frame(PING, [number]).await;
            peer.send(&wire::encode(false, BINARY, Some(KEY), &[number])).await; // two fragments
            peer.send(&wire::encode(true, CONTINUATION, Some(KEY), b"end")).await;
        }
        let mut received = Vec::new();
        while received.len() < 10 {
            if let Some(message) = within(give_up_after(polls, receiver.recv())).await {
                received.push(message.unwrap().unwrap());
            }
        }
        for number in 0..5_u8 {
            assert_eq!(received[2 * usize::from(number)], format!("text {number}").into());
            let binary = [&[number][..], b"end"].concat();
            assert_eq!(received[2 * usize::from(number) + 1], binary.into());
        }
        within(sender.flush()).await.unwrap();
        for number in 0..5_u8 {
            peer.expect(Frame::new(PONG, [number])).await;
        }
    }
}

/// `select!` between both directions: one of the futures is dropped each time.
#[tokio::test]
async fn both_halves_in_one_select_loop() {
    let (mut receiver, sender, mut peer) = trickling(64, &Config::new().max_unsent(40));
    let peer = tokio::spawn(async move {
        for number in 0..200_u8 {
            peer.send_frame(BINARY, [number; 9]).await;
            peer.expect(Frame::new(BINARY, [number; 9])).await;
        }
        peer
    });
    let mut echoed = 0;
    let mut pending: Option<sansws::Message> = None;
    while echoed < 200 {
        let waiting = pending.is_some();
        tokio::select! {
            message = within(receiver.recv()) => {
                let message = message.unwrap().unwrap();
                sender.feed(&message).unwrap();
                pending = Some(message);
                echoed += 1;
            }
            flushed = sender.flush(), if waiting => {
                flushed.unwrap();
                pending = None;
            }
            () = tokio::task::yield_now() => {}
        }
    }
    within(sender.flush()).await.unwrap();
    within(peer).await.unwrap();
}

/// The rest of a message whose sender gave up leaves by the receiving half, which waits already; so
/// does what a sender had fed when it was dropped.
#[tokio::test]
async fn the_receiver_writes_what_others_leave() {
    let (near, far) = duplex(64);
    let (mut receiver, sender) = server(near, &Config::new()).split();
    let mut peer = peer_on(far);
    let receiving = tokio::spawn(async move { receiver.recv().await });
    tokio::task::yield_now().await;
    for round in 0..3 {
        let text = "x".repeat(1000 + round);
        assert!(give_up_after(1 + round, sender.send(&text)).await.is_none());
        assert_eq!(within(peer.frame()).await, Some(Frame::new(TEXT, &text)));
    }
    let fed = sender.clone();
    fed.feed("fed").unwrap();
    drop(fed);
    assert_eq!(within(peer.frame()).await, Some(Frame::new(TEXT, "fed")));
    peer.send_frame(CLOSE, close_payload(1000, "")).await;
    assert_eq!(within(peer.frame()).await, Some(Frame::new(CLOSE, close_payload(1000, ""))));
    drop((peer, sender));
    assert_eq!(within(receiving).await.unwrap().unwrap(), None);
}

/// A flush that was given up is not the one of what is queued after it.
#[tokio::test]
async fn a_flush_that_is_given_up_flushes_nothing_later() {
    use futures_util::{Sink, SinkExt, StreamExt};
    use sansws::Message;
    use sansws::tokio::Outbound;

    async fn gives_up<Item>(
        sink: impl FnOnce(Sender<Locked<DuplexStream>>) -> Box<dyn Sinks<Item>>,
        item: impl Fn(&'static str) -> Item,
    ) {
        let (near, far) = duplex(64);
        let (mut receiver, sender) = server(near, &Config::new()).split();
        let count = sender.clone();
        sender.feed(vec![0; 300]).unwrap();
        let mut sink = sink(sender);
        assert!(give_up_after(3, sink.flush()).await.is_none());
        let (mut peer, _) = crate::tokio::split::peer::client(far, &Config::new()).split();
        let reading = tokio::spawn(async move { (peer.next().await, peer.next().await) });
        while count.unsent() > 0 {
            assert!(give_up_after(1, receiver.recv()).await.is_none());
        }
        sink.start_send_unpin(item("x")).unwrap();
        within(sink.flush()).await.unwrap();
        assert_eq!(count.unsent(), 0);
        let (_, second) = within(reading).await.unwrap();
        assert_eq!(second.unwrap().unwrap(), Message::from("x"));
    }

    trait Sinks<Item>: Sink<Item, Error = sansws::Error> + Unpin {}
    impl<Item, S: Sink<Item, Error = sansws::Error> + Unpin> Sinks<Item> for S {}

    gives_up(|sender| Box::new(sender), Message::from).await;
    gives_up(|sender| Box::new(sender.with_control()), |text| Outbound::Message(text.into())).await;
}

/// A sender is a sink: an echo of a stream forwarded to it, through a pipe that holds next to
/// nothing.
#[tokio::test]
async fn a_sender_is_a_sink() {
    use futures_util::{SinkExt, StreamExt, stream};
    use sansws::Message;

    let (near, far) = duplex(64);
    let config = Config::new().max_unsent(1000);
    let (receiver, sender) = server(near, &config).split();
    let echo = tokio::spawn(receiver.forward(sender));
    let (mut receiver, mut sender) = crate::tokio::split::peer::client(far, &config).split();
    let sending = tokio::spawn(async move {
        let messages = (0..50).map(|number| Ok(Message::from(vec![number; 3000])));
        sender.send_all(&mut stream::iter(messages)).await.unwrap();
        sender
    });
    for number in 0..50 {
        let message = within(receiver.next()).await.unwrap().unwrap();
        assert!(message.as_bytes() == [number; 3000]);
    }
    let mut sender = sending.await.unwrap();
    within(SinkExt::close(&mut sender)).await.unwrap();
    assert!(within(receiver.next()).await.is_none());
    drop((sender, receiver));
    within(echo).await.unwrap().unwrap();
}

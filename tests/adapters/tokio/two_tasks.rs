//! A `Stream` in one task and its `Sink` in another: each is woken for reading, writing and time.

use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt, stream};
use sansws::proto::Timeout;
use sansws::{CloseCode, Config, Error, KeepAlive, Message};
use tokio::io::duplex;
use tokio::time::{Instant, sleep};

use crate::tokio::peer::{client_on, clock_is_paused, pair, server, server_on, within};
use sansws_test::wire;

fn quiet() -> Config {
    Config::new().keep_alive(KeepAlive::Off)
}

/// Both ends send more than the pipe and their buffers hold, and nobody waits for ever.
#[tokio::test]
async fn large_messages_go_both_ways() {
    for capacity in [64, 64 * 1024] {
        let config = quiet().max_unsent(100_000);
        let (near, far) = duplex(capacity);
        let (sink, stream) = StreamExt::split(server_on(near, &config));
        let echo = tokio::spawn(stream.forward(sink));
        let (mut sink, mut stream) = StreamExt::split(client_on(far, &config));
        let sending = tokio::spawn(async move {
            for number in 0..40 {
                sink.send(Message::from(vec![number; 300_000])).await.unwrap();
            }
            sink
        });
        for number in 0..40 {
            let message = within(stream.next()).await.unwrap().unwrap();
            assert!(message.as_bytes() == [number; 300_000], "{capacity} {number}");
        }
        let mut sink = sending.await.unwrap();
        let (closed, end) = within(async { tokio::join!(sink.close(), stream.next()) }).await;
        closed.unwrap();
        assert!(end.is_none());
        drop((sink, stream)); // or the server would wait for the end of the pipe
        within(echo).await.unwrap().unwrap();
    }
}

/// The task that sends takes the waker of the transport and of the timer; the other one still
/// hears.
#[tokio::test(start_paused = true)]
async fn a_sink_that_waits_leaves_the_reader_its_wakers() {
    clock_is_paused();
    let (ws, mut peer) = server(&Config::new().max_unsent(1000), 64).await;
    let (mut sink, mut stream) = StreamExt::split::<Message>(ws);
    let reading = tokio::spawn(async move { stream.next().await });
    let sending = tokio::spawn(async move { sink.send(vec![7; 4000].into()).await });
    sleep(Duration::from_millis(1)).await;
    // a ping while both wait: its pong lies behind the message
    peer.send(&wire::client(wire::PING, b"there?")).await;
    let message = peer.frame().await.unwrap();
    assert_eq!(message.payload.len(), 4000);
    within(sending).await.unwrap().unwrap();
    assert_eq!(peer.frame().await.unwrap().payload, b"there?");
    peer.send(&wire::client(wire::TEXT, b"yes")).await;
    assert_eq!(within(reading).await.unwrap().unwrap().unwrap().as_text(), Some("yes"));
}

/// A flush that is given up does not take the reader's waker along.
#[tokio::test(start_paused = true)]
async fn a_flush_that_is_given_up_leaves_the_reader_its_waker() {
    clock_is_paused();
    let (ws, mut peer) = server(&quiet(), 64).await;
    let (mut sink, mut stream) = StreamExt::split::<Message>(ws);
    let reading = tokio::spawn(async move { stream.next().await });
    sleep(Duration::from_millis(1)).await;
    assert!(sink.send(vec![7; 400].into()).now_or_never().is_none());
    sleep(Duration::from_millis(1)).await;
    assert_eq!(peer.frame().await.unwrap().payload.len(), 400, "the reader writes the rest");
    peer.send(&wire::client(wire::PING, b"")).await;
    assert_eq!(peer.frame().await.unwrap().opcode, wire::PONG);
    drop(peer);
    assert!(within(reading).await.unwrap().unwrap().is_err());
}

/// Nor does one that is blocked take the alarm along: keep-alive goes on, and both hear of its
/// verdict.
#[tokio::test(start_paused = true)]
async fn keep_alive_goes_on_beside_a_sink() {
    clock_is_paused();
    for given_up in [false, true] {
        let (ws, _peer) = server(&Config::new().max_unsent(1000), 64).await;
        let (mut sink, mut stream) = StreamExt::split::<Message>(ws);
        let start = Instant::now();
        let reading = tokio::spawn(async move { stream.next().await });
        sleep(Duration::from_millis(1)).await;
        let sending = async {
            if given_up {
                assert!(sink.send(vec![7; 4000].into()).now_or_never().is_none());
                return None;
            }
            Some(sink.send(vec![7; 4000].into()).await)
        };
        let sent = within(sending).await;
        let read = within(reading).await.unwrap().unwrap();
        for error in sent.map(Result::unwrap_err).into_iter().chain([read.unwrap_err()]) {
            assert!(matches!(error, Error::Timeout(Timeout::KeepAlive)), "{error:?}");
        }
        assert_eq!(start.elapsed().as_secs(), 40, "{given_up}");
    }
}

/// Closing the sink ends the stream in the other task, and loses nothing that was under way.
#[tokio::test]
async fn closing_the_sink_leaves_the_answers_to_the_stream() {
    let (mut server, client) = pair(&Config::new()).await;
    tokio::spawn(async move {
        while let Some(message) = server.recv().await.unwrap() {
            sleep(Duration::from_millis(20)).await;
            server.send(message).await.unwrap();
        }
    });
    let (sink, stream) = StreamExt::split::<Message>(client);
    let requests = stream::iter(["one", "two", "three"]).map(|text| Ok(Message::from(text)));
    let forwarding = tokio::spawn(requests.forward(sink));
    let answers = within(stream.map(Result::unwrap).collect::<Vec<_>>()).await;
    assert_eq!(answers, ["one", "two", "three"].map(Message::from));
    within(forwarding).await.unwrap().unwrap();
}

/// One task for both: closing returns at a message that nobody has received, and the stream goes
/// on.
#[tokio::test]
async fn a_sink_closes_up_to_a_message_that_was_not_received() {
    let (mut server, mut client) = pair(&Config::new()).await;
    let serving = tokio::spawn(async move {
        server.feed("late").unwrap();
        while let Some(message) = server.recv().await.unwrap() {
            server.send(message).await.unwrap();
        }
        server.close_info().unwrap().into_owned()
    });
    SinkExt::send(&mut client, "hello".into()).await.unwrap();
    within(SinkExt::close(&mut client)).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap().as_text(), Some("late"));
    assert_eq!(client.next().await.unwrap().unwrap().as_text(), Some("hello"));
    assert!(client.next().await.is_none());
    let info = within(serving).await.unwrap();
    assert!(info.clean && info.code == u16::from(CloseCode::NORMAL), "{info:?}");
}

/// A send that waits in one piece: pings are answered, a message is kept, a Close is answered.
#[tokio::test(start_paused = true)]
async fn a_send_that_waits_listens() {
    clock_is_paused();
    let (mut ws, mut peer) = server(&quiet().max_unsent(1000), 64).await;
    for _ in 0..3 {
        peer.send(&wire::client(wire::PING, b"there?")).await;
        assert!(ws.send(vec![7; 400]).now_or_never().is_none());
    }
    let talk = async {
        peer.send(&wire::client(wire::TEXT, b"kept")).await;
        peer.send(&wire::client(wire::CLOSE, b"")).await;
        let mut opcodes = Vec::new();
        while opcodes.len() < 7 {
            opcodes.push(peer.frame().await.unwrap().opcode);
        }
        opcodes
    };
    let (sent, opcodes) = within(async { tokio::join!(ws.send(vec![7; 4000]), talk) }).await;
    sent.unwrap();
    let pongs = opcodes.iter().filter(|it| **it == wire::PONG).count();
    assert_eq!((pongs, opcodes.len()), (3, 7), "{opcodes:?}");
    assert_eq!(within(ws.recv()).await.unwrap(), Some("kept".into()));
    let (end, close) = within(async { tokio::join!(ws.recv(), peer.frame()) }).await;
    assert_eq!(end.unwrap(), None);
    assert_eq!(close.unwrap().opcode, wire::CLOSE);
}

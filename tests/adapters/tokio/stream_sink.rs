//! The socket as a `Stream` and a `Sink`.

use futures_util::stream::FusedStream;
use futures_util::{SinkExt, StreamExt};
use sansws::proto::{Initiator, SendError};
use sansws::{CloseCode, Config, Error, Message};

use crate::tokio::peer::{pair, server, within};
use sansws_test::wire;

#[tokio::test]
async fn a_stream_forwarded_to_its_sink_is_an_echo() {
    let (server, mut client) = pair(&Config::new()).await;
    let server = tokio::spawn(async move {
        let (sink, stream) = StreamExt::split(server);
        stream.forward(sink).await
    });
    within(async {
        for number in 0..100 {
            client.send(&format!("{number}")).await.unwrap();
        }
        for number in 0..100 {
            let back = client.recv().await.unwrap().unwrap();
            assert_eq!(back.as_text(), Some(&*number.to_string()));
        }
        client.close(CloseCode::NORMAL, "done").await.unwrap();
    })
    .await;
    let info = client.close_info().unwrap();
    assert_eq!((info.initiator, info.code, info.clean), (Initiator::Local, 1000, true));
    drop(client); // or the server would wait for the end of TCP
    within(server).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_halves_of_a_split_stream_work_in_two_tasks() {
    let (server, mut client) = pair(&Config::new()).await;
    let (mut sink, mut stream) = StreamExt::split::<Message>(server);
    let reader = tokio::spawn(async move {
        let mut count = 0;
        while let Some(message) = stream.next().await {
            message.unwrap();
            count += 1;
        }
        count
    });
    let writer = tokio::spawn(async move {
        for number in 0..50 {
            sink.send(Message::from(format!("{number}"))).await.unwrap();
        }
        sink
    });
    within(async {
        for number in 0..50 {
            let message = client.recv().await.unwrap().unwrap();
            assert_eq!(message.as_text(), Some(&*number.to_string()));
            client.send("got it").await.unwrap();
        }
        client.close(CloseCode::NORMAL, "").await.unwrap();
    })
    .await;
    drop(client);
    drop(within(writer).await.unwrap());
    assert_eq!(within(reader).await.unwrap(), 50);
}

#[tokio::test]
async fn a_stream_ends_for_ever_after_a_closing_handshake() {
    let (mut server, mut client) = pair(&Config::new()).await;
    let close = async move { client.close(CloseCode::NORMAL, "").await };
    let (end, closed) = within(async { tokio::join!(StreamExt::next(&mut server), close) }).await;
    assert!(end.is_none(), "{end:?}");
    closed.unwrap();
    assert!(server.is_terminated());
    for _ in 0..3 {
        assert!(within(StreamExt::next(&mut server)).await.is_none());
    }
}

#[tokio::test]
async fn a_stream_ends_after_its_first_error() {
    let (mut server, client) = pair(&Config::new()).await;
    assert!(!server.is_terminated());
    drop(client);
    let error = within(StreamExt::next(&mut server)).await.unwrap().unwrap_err();
    assert!(error.is_disconnect(), "{error}");
    assert!(server.is_terminated());
    for _ in 0..3 {
        assert!(within(StreamExt::next(&mut server)).await.is_none());
    }
}

#[tokio::test]
async fn feeding_a_sink_writes_nothing_before_it_is_flushed() {
    let (mut ws, mut peer) = server(&Config::new(), 4096).await;
    within(SinkExt::feed(&mut ws, Message::from("one"))).await.unwrap();
    within(SinkExt::feed(&mut ws, Message::from("two"))).await.unwrap();
    assert_eq!(ws.unsent(), 2 + 3 + 2 + 3);
    within(SinkExt::flush(&mut ws)).await.unwrap();
    assert_eq!(ws.unsent(), 0);
    for text in ["one", "two"] {
        assert_eq!(peer.frame().await.unwrap().text(), text);
    }
}

/// Closing a sink is the closing handshake with 1000; a closed sink can be closed again and takes
/// nothing.
#[tokio::test]
async fn closing_a_sink_is_the_closing_handshake() {
    let (mut ws, mut peer) = server(&Config::new(), 4096).await;
    let answer = async {
        assert_eq!(peer.frame().await.unwrap().close_code(), Some(1000));
        peer.send(&wire::client(wire::CLOSE, &wire::close_payload(1000, ""))).await;
        assert_eq!(peer.frame().await, None);
        drop(peer);
    };
    let (closed, ()) = within(async { tokio::join!(SinkExt::close(&mut ws), answer) }).await;
    closed.unwrap();
    within(SinkExt::close(&mut ws)).await.unwrap();
    let error = within(SinkExt::send(&mut ws, Message::from("late"))).await.unwrap_err();
    assert!(matches!(error, Error::Send(SendError::NotOpen)), "{error:?}");
}

/// A sink that is full waits until the peer reads.
#[tokio::test]
async fn a_full_sink_waits_for_room() {
    let config = Config::new().max_unsent(100);
    let (mut ws, mut peer) = server(&config, 64).await;
    let payload = [7; 30];
    let send = async {
        for _ in 0..200 {
            SinkExt::feed(&mut ws, Message::from(&payload[..])).await.unwrap();
            assert!(ws.unsent() < 100 + 32, "{}", ws.unsent());
        }
        SinkExt::<Message>::flush(&mut ws).await.unwrap();
    };
    let receive = async {
        for _ in 0..200 {
            assert_eq!(peer.frame().await.unwrap().payload, payload);
        }
    };
    within(async { tokio::join!(send, receive) }).await;
}

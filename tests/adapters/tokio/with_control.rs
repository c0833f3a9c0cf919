//! Pings, pongs and a Close frame as items of a `Sink`.

use futures_util::{FutureExt, Sink, SinkExt, StreamExt, stream};
use sansws::proto::{Initiator, SendError};
use sansws::tokio::{Outbound, WebSocket};
use sansws::{CloseCode, Config, Error, Message};
use tokio::io::DuplexStream;

use crate::tokio::peer::{Peer, pair, server, within};
use sansws_test::wire;

const AWAY: CloseCode = CloseCode::GOING_AWAY;

async fn socket() -> (WebSocket<DuplexStream>, Peer<DuplexStream>) {
    server(&Config::new(), 1 << 16).await
}

/// What is too long is refused before a byte is written, and the sink goes on.
async fn refuses_what_is_too_long(
    mut sink: impl Sink<Outbound, Error = Error> + Unpin,
    peer: &mut Peer<DuplexStream>,
) {
    let long = vec![b'p'; 126];
    for item in [Outbound::Ping(long.clone().into()), Outbound::Pong(long.into())] {
        let error = within(sink.send(item)).await.unwrap_err();
        assert!(matches!(error, Error::Send(SendError::ControlTooLong { len: 126 })), "{error:?}");
    }
    let reason = "r".repeat(124);
    let error = within(sink.send(Outbound::Close(AWAY, reason.into()))).await.unwrap_err();
    assert!(matches!(error, Error::Send(SendError::ReasonTooLong { len: 124 })), "{error:?}");

    within(sink.send("text".into())).await.unwrap();
    within(sink.send(Outbound::Ping(vec![b'p'; 125].into()))).await.unwrap();
    within(sink.send(Outbound::Pong("pong".into()))).await.unwrap();
    within(sink.send(Outbound::Close(AWAY, "r".repeat(123).into()))).await.unwrap();
    // the flush has written it
    let frames = [(wire::TEXT, 4), (wire::PING, 125), (wire::PONG, 4), (wire::CLOSE, 125)];
    for (opcode, len) in frames {
        let frame = peer.frame().await.unwrap();
        assert_eq!((frame.opcode, frame.payload.len()), (opcode, len));
    }
    for item in ["late".into(), Outbound::Ping("".into()), Outbound::Close(AWAY, "".into())] {
        let error = sink.send(item).now_or_never().unwrap().unwrap_err();
        assert!(matches!(error, Error::Send(SendError::NotOpen)), "{error:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_refused_before_it_is_written() {
    let (ws, mut peer) = socket().await;
    refuses_what_is_too_long(ws.with_control(), &mut peer).await;
    let (ws, mut peer) = socket().await;
    let (_receiver, sender) = ws.split();
    refuses_what_is_too_long(sender.with_control(), &mut peer).await;
}

/// A stream of messages and pings, forwarded: closing that at its end sends no second Close.
#[tokio::test]
async fn a_stream_of_messages_and_control_frames_is_forwarded() {
    for closes in [false, true] {
        let (server, client) = pair(&Config::new()).await;
        let (sink, stream) = StreamExt::split(server.with_control());
        let mut items =
            vec![Outbound::from("text"), Outbound::Ping("ping".into()), Outbound::from(vec![1, 2])];
        if closes {
            items.push(Outbound::Close(AWAY, "bye".into()));
        }
        let sending = tokio::spawn(stream::iter(items).map(Ok).forward(sink));
        let receiving = tokio::spawn(stream.count());
        let mut client = client;
        let mut seen = Vec::new();
        while let Some((event, _)) = within(client.next_event()).await.unwrap() {
            seen.push(format!("{event:?}"));
        }
        assert!(seen[1].starts_with("Ping"), "{seen:?}");
        let info = client.close_info().unwrap();
        let code = if closes { 1001 } else { 1000 };
        assert_eq!((info.initiator, info.code, info.clean), (Initiator::Peer, code, true));
        assert_eq!(&*info.reason, if closes { "bye" } else { "" });
        drop(client);
        within(sending).await.unwrap().unwrap();
        assert_eq!(within(receiving).await.unwrap(), 0);
    }
}

/// Closing the sink after a Close item waits for the end of the closing handshake, as without one.
#[tokio::test]
async fn closing_after_a_close_finishes_the_closing_handshake() {
    let (ws, mut peer) = socket().await;
    let mut sink = ws.with_control();
    SinkExt::<Outbound>::feed(&mut sink, Outbound::Close(AWAY, "".into())).await.unwrap();
    assert!(sink.get_ref().unsent() > 0);
    assert!(SinkExt::<Outbound>::close(&mut sink).now_or_never().is_none());
    assert_eq!(peer.frame().await.unwrap().close_code(), Some(1001));
    peer.send(&wire::client(wire::CLOSE, &wire::close_payload(1001, ""))).await;
    let (closed, end) = within(async {
        tokio::join!(SinkExt::<Outbound>::close(&mut sink), async {
            let end = peer.frame().await;
            drop(peer);
            end
        })
    })
    .await;
    closed.unwrap();
    assert_eq!(end, None);
    let ws = sink.into_inner();
    assert!(ws.close_info().unwrap().clean);
}

/// The half's writes the Close, whether it was flushed before or not.
#[tokio::test]
async fn closing_a_half_after_a_close_writes_it() {
    for flushed in [false, true] {
        let (ws, mut peer) = socket().await;
        let (mut receiver, sender) = ws.split();
        let mut sink = sender.with_control();
        sink.feed("text".into()).await.unwrap();
        sink.feed(Outbound::Close(AWAY, "".into())).await.unwrap();
        if flushed {
            within(SinkExt::<Outbound>::flush(&mut sink)).await.unwrap();
        }
        within(SinkExt::<Outbound>::close(&mut sink)).await.unwrap();
        assert_eq!(sink.get_mut().unsent(), 0, "{flushed}");
        assert_eq!(peer.frame().await.unwrap().text(), "text");
        assert_eq!(peer.frame().await.unwrap().close_code(), Some(1001));
        peer.send(&wire::client(wire::CLOSE, &wire::close_payload(1001, ""))).await;
        drop(peer);
        assert_eq!(within(receiver.recv()).await.unwrap(), None);
    }
}

/// A Close that nobody flushes leaves with the task that reads.
#[tokio::test]
async fn a_close_that_is_queued_wakes_the_reader() {
    let (ws, mut peer) = socket().await;
    let (mut sink, mut stream) = StreamExt::split(ws.with_control());
    let reading = tokio::spawn(async move { stream.next().await.transpose() });
    tokio::task::yield_now().await;
    // `SplitSink` keeps the last item to itself until it has room for the next
    sink.feed(Outbound::Close(AWAY, "".into())).await.unwrap();
    assert!(std::future::poll_fn(|cx| sink.poll_ready_unpin(cx)).await.is_ok());
    assert_eq!(peer.frame().await.unwrap().close_code(), Some(1001));
    peer.send(&wire::client(wire::CLOSE, &wire::close_payload(1001, ""))).await;
    drop(peer);
    assert_eq!(within(reading).await.unwrap().unwrap(), None::<Message>);
}

//! Messages from one end to the other and back.

use bytes::Bytes;
use sansws::bytes;
use sansws::proto::{MessageKind, MessageRef, SendError, State};
use sansws::{CloseCode, Config, Error, Event, KeepAlive, Message, PreparedMessage};
use tokio::io::{BufStream, duplex};

use crate::tokio::faulty::Faulty;
use crate::tokio::peer::{client_on, pair, server, server_on, within};
use sansws_test::wire;

/// Echoes until the end.
async fn echo<S>(mut ws: sansws::tokio::WebSocket<S>) -> Result<(), Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(message) = ws.recv().await? {
        ws.feed(message)?;
    }
    Ok(())
}

/// every length whose header has another form, both kinds, both directions.
#[tokio::test]
async fn messages_of_all_sizes_come_back_as_they_went() {
    let (server, mut client) = pair(&Config::new()).await;
    let server = tokio::spawn(echo(server));
    for len in [0, 1, 125, 126, 127, 4095, 4096, 16_383, 16_384, 65_535, 65_536, 1 << 20] {
        let binary = wire::pattern(len);
        let text: String = (0..len).map(|at| char::from(b'a' + (at % 26) as u8)).collect();
        within(async {
            client.send(&binary).await.unwrap();
            assert_eq!(client.recv().await.unwrap(), Some(Message::from(binary)), "{len}");
            client.send(&text).await.unwrap();
            assert_eq!(client.recv().await.unwrap(), Some(Message::from(text)), "{len}");
        })
        .await;
    }
    within(client.close(CloseCode::NORMAL, "")).await.unwrap();
    drop(client); // or the server would wait for the end of TCP
    within(server).await.unwrap().unwrap();
}

/// F-17: a message of exactly the limit is delivered, one byte more is 1009 at both ends.
#[tokio::test]
async fn the_largest_message_passes_and_one_byte_more_does_not() {
    let (server, mut client) = pair(&Config::new()).await;
    let server = tokio::spawn(echo(server));
    let limit = 16 * 1024 * 1024;
    let message = Bytes::from(vec![0x5a; limit + 1]);
    within(client.send(message.slice(..limit))).await.unwrap();
    let back = within(client.recv()).await.unwrap().unwrap();
    assert!(back.as_bytes() == &message[..limit], "the message has changed");

    // The server tells why it hangs up, also to a peer that is still busy sending.
    let _ = within(client.send(message)).await;
    assert_eq!(within(client.recv()).await.unwrap(), None);
    assert_eq!(client.close_info().unwrap().code, 1009);
    let error = within(server).await.unwrap().unwrap_err();
    assert_eq!(error.close_code(), Some(CloseCode::MESSAGE_TOO_BIG), "{error}");
}

#[tokio::test]
async fn what_is_fed_leaves_with_one_flush() {
    let (mut server, mut client) = pair(&Config::new()).await;
    for number in 0..10 {
        client.feed(format!("message {number}")).unwrap();
    }
    assert!(client.unsent() > 0);
    within(client.flush()).await.unwrap();
    assert_eq!(client.unsent(), 0);
    for number in 0..10 {
        let message = within(server.recv()).await.unwrap().unwrap();
        assert_eq!(message.as_text(), Some(&*format!("message {number}")));
    }
}

#[tokio::test]
async fn prepared_messages_reach_several_peers() {
    let payload = wire::pattern(40_000);
    for message in [PreparedMessage::new("ready").unwrap(), PreparedMessage::new(&payload).unwrap()]
    {
        for _ in 0..2 {
            let (mut server, mut client) = pair(&Config::new()).await;
            // in both directions: masked and not
            within(server.send(&message)).await.unwrap();
            client.feed(&message).unwrap();
            within(client.flush()).await.unwrap();
            let (there, back) = within(async { tokio::join!(server.recv(), client.recv()) }).await;
            assert_eq!(there.unwrap().unwrap().as_bytes(), message.payload());
            assert_eq!(back.unwrap().unwrap().as_bytes(), message.payload());
        }
    }
}

/// An event and the means to answer it at the same time.
#[tokio::test]
async fn events_can_be_answered_while_they_are_held() {
    let (mut server, mut client) = pair(&Config::new()).await;
    client.feed("text").unwrap();
    client.feed(&b"binary"[..]).unwrap();
    client.feed(MessageRef::ping(b"ping")).unwrap();
    within(client.flush()).await.unwrap();
    within(async {
        for kind in [MessageKind::Text, MessageKind::Binary] {
            let (event, mut out) = server.next_event().await.unwrap().unwrap();
            match (&event, kind) {
                (Event::Text(text), MessageKind::Text) => out.feed(&**text).unwrap(),
                (Event::Binary(binary), MessageKind::Binary) => out.feed(&**binary).unwrap(),
                other => panic!("{other:?}"),
            }
            assert!(out.unsent() > 0);
            out.send("sent at once").await.unwrap();
            assert_eq!(out.unsent(), 0);
        }
        let (event, mut out) = server.next_event().await.unwrap().unwrap();
        assert!(matches!(event, Event::Ping(b"ping")), "{event:?}");
        out.flush().await.unwrap();

        for expected in ["text", "sent at once", "binary", "sent at once"] {
            assert_eq!(client.recv().await.unwrap().unwrap().as_bytes(), expected.as_bytes());
        }
        let (event, mut out) = client.next_event().await.unwrap().unwrap();
        assert!(matches!(event, Event::Pong(b"ping")), "{event:?}");
        out.start_close(CloseCode::GOING_AWAY, "seen enough").unwrap();
        out.flush().await.unwrap();
        let (event, _) = server.next_event().await.unwrap().unwrap();
        assert!(matches!(event, Event::Close(Some(close)) if close.reason == "seen enough"));
    })
    .await;
}

/// C-25: what follows the response in the same packet.
#[tokio::test]
async fn a_client_loses_nothing_that_follows_the_response() {
    let (near, far) = duplex(4096);
    let mut peer = crate::tokio::peer::Peer::new(far);
    let request = sansws::handshake::client::Request::new("ws://h/").unwrap();
    let config = Config::new();
    let shake = async {
        let mut bytes = wire::response(&peer.head().await).into_bytes();
        bytes.extend(wire::server(wire::TEXT, b"Hello"));
        bytes.extend(wire::server(wire::CLOSE, &wire::close_payload(1001, "")));
        peer.send(&bytes).await;
    };
    let (ws, ()) = tokio::join!(sansws::tokio::client(near, &request, &config), shake);
    let mut ws = ws.unwrap();
    assert_eq!(within(ws.recv()).await.unwrap(), Some("Hello".into()));
    let serve = async {
        let frame = peer.frame().await.unwrap();
        assert!(frame.mask.is_some());
        drop(peer);
        frame.close_code()
    };
    let (end, code) = within(async { tokio::join!(ws.recv(), serve) }).await;
    assert_eq!((end.unwrap(), code), (None, Some(1001)));
}

/// what the application gets wrong changes nothing on the connection.
#[tokio::test]
async fn a_message_that_cannot_be_sent_does_no_harm() {
    let (mut ws, mut peer) = server(&Config::new(), 4096).await;
    let long = [0; 126];
    let error = within(ws.send(MessageRef::ping(&long))).await.unwrap_err();
    assert!(matches!(error, Error::Send(SendError::ControlTooLong { len: 126 })), "{error:?}");
    let error = within(ws.close(CloseCode::NORMAL, &"x".repeat(124))).await.unwrap_err();
    assert!(matches!(error, Error::Send(SendError::ReasonTooLong { len: 124 })), "{error:?}");
    assert_eq!((ws.state(), ws.unsent()), (State::Open, 0));
    within(ws.send("still there")).await.unwrap();
    assert_eq!(peer.frame().await.unwrap().text(), "still there");

    ws.start_close(CloseCode::NORMAL, "").unwrap();
    for _ in 0..2 {
        let error = within(ws.send("too late")).await.unwrap_err();
        assert!(matches!(error, Error::Send(SendError::NotOpen)), "{error:?}");
        let error = ws.start_close(CloseCode::NORMAL, "").unwrap_err();
        assert!(matches!(error, Error::Send(SendError::NotOpen)), "{error:?}");
    }
    within(ws.flush()).await.unwrap();
    assert_eq!(peer.frame().await.unwrap().close_code(), Some(1000));
    drop(ws);
    assert_eq!(peer.frame().await, None);
}

/// How a transport cuts the bytes is nothing that an application sees.
#[tokio::test]
async fn short_reads_and_writes_change_nothing() {
    let quiet = Config::new().keep_alive(KeepAlive::Off);
    for (step, stutter, vectored) in [
        (1, false, false),
        (1, true, true),
        (2, true, false),
        (3, false, true),
        (7, true, true),
        (1000, true, false),
        (usize::MAX, true, true),
    ] {
        let make = |io| {
            let io = Faulty::new(io).step(step).vectored(vectored);
            if stutter { io.stutter() } else { io }
        };
        let (near, far) = duplex(512);
        let mut client = client_on(make(far), &quiet);
        let work = async {
            let ask = async move {
                for len in [0, 1, 125, 126, if step < 100 { 1000 } else { 20_000 }] {
                    client.send(Bytes::from(wire::pattern(len))).await?;
                    let back = client.recv().await?.unwrap();
                    assert!(back.as_bytes() == wire::pattern(len), "step {step}, {len} bytes");
                }
                client.close(CloseCode::NORMAL, "").await
            };
            let echo = async {
                let mut ws = server_on(make(near), &quiet);
                while let Some(message) = ws.recv().await? {
                    ws.send(message).await?;
                }
                Ok::<_, Error>(())
            };
            tokio::try_join!(echo, ask)
        };
        within(work).await.unwrap();
    }
}

/// A stream with a buffer of its own (TLS has one): nothing stays behind in it.
#[tokio::test]
async fn a_buffering_stream_is_flushed_without_being_asked() {
    // the pipe is smaller than a message, so that flushing has to wait
    let (near, far) = duplex(64);
    let quiet = Config::new().keep_alive(KeepAlive::Off);
    let mut client = client_on(BufStream::new(far), &quiet);
    let server = tokio::spawn(echo(server_on(BufStream::new(near), &quiet)));
    for len in [0, 5, 200, 5000, 100_000] {
        within(async {
            client.feed(wire::pattern(len)).unwrap();
            let back = client.recv().await.unwrap().unwrap();
            assert!(back.as_bytes() == wire::pattern(len), "{len}");
        })
        .await;
    }
    within(client.close(CloseCode::NORMAL, "")).await.unwrap();
    drop(client); // or the server would wait for the end of TCP
    within(server).await.unwrap().unwrap();
}

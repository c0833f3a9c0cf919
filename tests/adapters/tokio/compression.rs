//! permessage-deflate through the adapter, whole and in halves. The protocol of it is tested
//! without sockets, in `tests/core/rfc7692`.

use sansws::deflate::Deflate;
use sansws::{CloseCode, Config, Message};

use crate::tokio::peer::{pair, pair_of, within};
use sansws_test::wire;

fn settings() -> [Config; 3] {
    let deflate = Deflate::new().threshold(0);
    let takeover =
        deflate.clone().server_no_context_takeover(false).client_no_context_takeover(false);
    [deflate, takeover.clone(), takeover.server_max_window_bits(9)]
        .map(|it| Config::new().deflate(it))
}

fn messages() -> Vec<Message> {
    let lens = [0, 1, 126, 16_384, 70_000, 1 << 20];
    let text = |len| Message::from("äbc ".chars().cycle().take(len / 2).collect::<String>());
    lens.into_iter().flat_map(|len| [wire::pattern(len).into(), text(len)]).collect()
}

#[tokio::test]
async fn compressed_messages_come_back_as_they_went() {
    for config in settings() {
        let (mut server, mut client) = pair(&config).await;
        assert!(server.deflate().is_some());
        assert_eq!(server.deflate(), client.deflate());
        let echo = tokio::spawn(async move {
            while let Some((event, mut out)) = server.next_event().await.unwrap() {
                if let Some(message) = event.into_message_ref() {
                    out.feed(message).unwrap();
                }
            }
        });
        for message in messages() {
            within(client.send(&message)).await.unwrap();
            assert_eq!(within(client.recv()).await.unwrap(), Some(message));
        }
        within(client.close(CloseCode::NORMAL, "")).await.unwrap();
        echo.await.unwrap();
    }
}

#[tokio::test]
async fn halves_compress_as_well() {
    for config in settings() {
        let (server, client) = pair(&config).await;
        let (mut from_client, to_client) = server.split();
        let (mut from_server, to_server) = client.split();
        let echo = tokio::spawn(async move {
            while let Some(message) = from_client.recv().await.unwrap() {
                to_client.send(message).await.unwrap();
            }
        });
        let sending = tokio::spawn(async move {
            for message in messages() {
                to_server.send(message).await.unwrap();
            }
            to_server
        });
        for message in messages() {
            assert_eq!(within(from_server.recv()).await.unwrap(), Some(message));
        }
        let to_server = sending.await.unwrap();
        to_server.close(CloseCode::NORMAL, "").await.unwrap();
        assert_eq!(within(from_server.recv()).await.unwrap(), None);
        echo.await.unwrap();
    }
}

#[tokio::test]
async fn nothing_is_agreed_unless_both_want_it() {
    let (off, on) = (Config::new(), Config::new().deflate(Deflate::new()));
    for (of_server, of_client, agreed) in
        [(&off, &off, false), (&on, &off, false), (&off, &on, false), (&on, &on, true)]
    {
        let (server, client) = pair_of(of_server, of_client).await;
        let found = (server.deflate().is_some(), client.deflate().is_some());
        assert_eq!(found, (agreed, agreed), "{of_server:?} {of_client:?}");
    }
}

//! What holds for every engine, whoever makes the connections to it.

use sansws::proto::MessageRef;
use sansws::server::backplane::Backplane;
use sansws::server::{Client, Handler, Hub, Server, handler_fn};
use sansws::tokio::{ClientStream, WebSocket};
use sansws::{CloseCode, Message};

use crate::support::{Running, bind, closed, start, text, until, within};

/// A handler whose clients enter the room of their path, and pass on what they say to the others
/// there.
pub fn rooms() -> impl Handler {
    let pass_on = |client: &Client, message: sansws::server::Received<'_>| {
        for room in client.rooms() {
            let _ = client.hub().room(&room).except(client.id()).send(&message);
        }
    };
    handler_fn()
        .on_open(|client| client.join(client.info().param("room").unwrap()))
        .on_message(pass_on)
}

pub async fn joined(engine: impl Backplane) -> Running {
    joined_with(engine, |server| server).await
}

pub async fn joined_with(engine: impl Backplane, set_up: impl FnOnce(Server) -> Server) -> Running {
    start(set_up(bind().await.route("/{room}", rooms()).backplane(engine)))
}

/// A client in a room: the connection and its id.
pub async fn member(server: &Running, room: &str) -> (WebSocket<ClientStream>, u64) {
    let ids = |hub: &Hub| hub.room(room).clients().iter().map(Client::id).collect::<Vec<_>>();
    let before = ids(&server.hub);
    let path = room.replace(' ', "%20").replace('/', "%2F");
    let ws = server.connect(&format!("/{path}")).await;
    until(|| server.hub.room(room).len() == before.len() + 1).await;
    let id = ids(&server.hub).into_iter().find(|id| !before.contains(id)).unwrap();
    (ws, id)
}

/// Waits until what one server sends to a room reaches a client of another one, which gets as many
/// probes as that takes.
pub async fn spans(from: &Running, room: &str, to: &mut WebSocket<ClientStream>) {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    within(async {
        loop {
            let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let probe = format!("probe {number}");
            from.hub.room(room).send(&probe).unwrap();
            let wait = std::time::Duration::from_millis(50);
            while let Ok(message) = tokio::time::timeout(wait, to.recv()).await {
                // one of an earlier round may have been late
                match message.unwrap().unwrap() {
                    Message::Text(text) if *text == *probe => return,
                    Message::Text(text) => assert!(text.starts_with("probe "), "{text}"),
                    other => panic!("{other:?}"),
                }
            }
        }
    })
    .await;
}

/// The next message that is no probe.
pub async fn next(ws: &mut WebSocket<ClientStream>) -> String {
    loop {
        let text = text(ws).await;
        if !text.starts_with("probe ") {
            return text;
        }
    }
}

/// Everything that spans servers, with two of them that are joined and run.
pub async fn rooms_span(one: &Running, two: &Running) {
    let (mut here, id_here) = member(one, "a b/c").await;
    let (mut there, id_there) = member(two, "a b/c").await;
    let (mut other, _) = member(two, "other").await;
    assert_ne!(id_here >> 32, id_there >> 32, "ids say which server");
    spans(one, "a b/c", &mut there).await;
    spans(two, "a b/c", &mut here).await;
    spans(one, "other", &mut other).await;

    // in order, once, and to nobody else
    for at in 0..100 {
        let reach = one.hub.room("a b/c").publish(&*format!("{at}")).unwrap();
        assert_eq!((reach.clients, reach.others), (1, Some(Ok(()))));
    }
    for ws in [&mut here, &mut there] {
        for at in 0..100 {
            assert_eq!(next(ws).await, at.to_string());
        }
    }
    // from a handler, but for its own client
    within(here.send("from here")).await.unwrap();
    assert_eq!(next(&mut there).await, "from here");
    within(there.send("from there")).await.unwrap();
    assert_eq!(next(&mut here).await, "from there");
    // but for one of the other server
    two.hub.room("a b/c").except(id_here).send("not to here").unwrap();
    two.hub.all().except(id_there).send("to all but there").unwrap();
    two.hub.all().send("to all").unwrap();
    assert_eq!(next(&mut here).await, "to all but there");
    assert_eq!(next(&mut here).await, "to all");
    assert_eq!(next(&mut there).await, "not to here");
    assert_eq!(next(&mut there).await, "to all");
    assert_eq!(next(&mut other).await, "to all but there");
    assert_eq!(next(&mut other).await, "to all");

    // kinds of messages
    let bytes = [0xFF, 1, 1, 0, 0];
    one.hub.room("a b/c").send(&bytes[..]).unwrap();
    one.hub.room("a b/c").send(MessageRef::ping(b"ping")).unwrap();
    one.hub.room("a b/c").send(MessageRef::text("plain").uncompressed()).unwrap();
    let message = within(there.recv()).await.unwrap().unwrap();
    assert_eq!(message, Message::Binary(bytes.to_vec().into()));
    assert_eq!(next(&mut there).await, "plain");
    let message = within(here.recv()).await.unwrap().unwrap();
    assert_eq!(message.as_bytes(), bytes);
    assert_eq!(next(&mut here).await, "plain");

    // closing by id, and by room
    let (mut third, id) = member(two, "a b/c").await;
    one.hub.close(id, CloseCode::POLICY_VIOLATION, "you").unwrap();
    assert_eq!(closed(&mut third).await, (1008, "you".into(), true));
    one.hub.room("a b/c").except(id_here).close(CloseCode::SERVICE_RESTART, "room").unwrap();
    assert_eq!(closed(&mut there).await, (1012, "room".into(), true));
    one.hub.room("a b/c").send("alone").unwrap();
    assert_eq!(next(&mut here).await, "alone");
    for server in [one, two] {
        let stats = server.hub.stats().backplane.unwrap();
        assert!(stats.up && stats.received > 0, "{stats:?}");
        assert_eq!((stats.invalid, stats.not_published, stats.outages), (0, 0, 0));
    }
    within(other.close(CloseCode::NORMAL, "")).await.unwrap();
    within(here.close(CloseCode::NORMAL, "")).await.unwrap();
}

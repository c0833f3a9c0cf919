//! All clients at once, and rooms of them.

use std::collections::BTreeSet;

use sansws::proto::CloseInfo;
use sansws::server::{Client, Handler, Hub, JoinError, Response, handler_fn};
use sansws::{CloseCode, PreparedMessage};
use tokio::sync::mpsc;
use tokio::task::yield_now;

use crate::support::{bind, closed, start, text, until, within};
use crate::topics;

#[tokio::test]
async fn broadcasts_reach_whom_they_should() {
    let server = start(bind().await.route("/", handler_fn()));
    let hub = server.hub.clone();
    assert_eq!(hub.all().send("to nobody"), Ok(0));
    let mut all = Vec::new();
    for at in 1..=3 {
        all.push(server.connect("/").await);
        until(|| hub.all().len() == at).await;
    }
    let ids: Vec<u64> = hub.all().clients().iter().map(|client| client.id()).collect();
    assert_eq!(hub.all().send("all"), Ok(3));
    assert_eq!(hub.all().except(ids[0]).send("not the first"), Ok(2));
    hub.send_to(ids[0], "the first").unwrap();
    let large = "large ".repeat(20_000);
    assert_eq!(hub.all().send(&large), Ok(3));
    for (at, ws) in all.iter_mut().enumerate() {
        assert_eq!(text(ws).await, "all");
        assert_eq!(text(ws).await, if at == 0 { "the first" } else { "not the first" });
        assert_eq!(text(ws).await, large);
    }
    assert_eq!(hub.get(ids[1]).unwrap().id(), ids[1]);
    assert!(hub.get(0).is_none());

    hub.all().close(CloseCode::SERVICE_RESTART, "be right back").unwrap();
    for ws in &mut all {
        assert_eq!(closed(ws).await, (1012, "be right back".into(), true));
    }
    until(|| hub.all().is_empty()).await;
    // new ones are welcome
    let _ws = server.connect("/").await;
    server.stop().await;
}

#[tokio::test]
async fn rooms_are_left_with_the_connection() {
    let route = handler_fn().on_open(|client| client.join(client.info().param("room").unwrap()));
    let server = start(bind().await.route("/{room}", route));
    let hub = server.hub.clone();
    let mut one = server.connect("/a").await;
    until(|| hub.room("a").len() == 1).await;
    let mut two = server.connect("/a").await;
    until(|| hub.room("a").len() == 2).await;
    let mut three = server.connect("/b").await;
    until(|| hub.room("b").len() == 1).await;

    assert_eq!(hub.room("a").send("in a"), Ok(2));
    assert_eq!(hub.room("none").send("in none"), Ok(0));
    let first = hub.room("a").clients().remove(0);
    assert_eq!(hub.room("a").except(first.id()).send("the other in a"), Ok(1));
    assert_eq!(hub.all().send("all"), Ok(3));
    for (ws, expected) in [
        (&mut one, vec!["in a", "all"]),
        (&mut two, vec!["in a", "the other in a", "all"]),
        (&mut three, vec!["all"]),
    ] {
        for message in expected {
            assert_eq!(text(ws).await, message);
        }
    }

    assert_eq!((first.join("b"), first.join("b")), (Ok(true), Ok(false)), "entered twice");
    let names = |client: &Client| client.rooms();
    assert_eq!(names(&first), ["a", "b"]);
    let rooms: Vec<_> = hub.rooms().iter().map(|(name, n)| format!("{name} {n}")).collect();
    assert_eq!(rooms, ["a 2", "b 2"]);
    assert!(first.leave("a") && !first.leave("a"), "left twice");
    assert_eq!((hub.room("a").len(), hub.room("b").len()), (1, 2));
    within(one.close(CloseCode::NORMAL, "")).await.unwrap();
    until(|| hub.room("b").len() == 1).await;
    assert_eq!(first.join("a"), Err(JoinError::Closed), "it is gone");
    until(|| names(&first).is_empty()).await; // once `on_close` is over
    drop(two);
    until(|| hub.room("a").is_empty()).await;
    server.stop().await;
}

/// Neither the number of rooms nor their names are left to whoever names them, and all are left in
/// the end.
#[tokio::test]
async fn rooms_are_bounded() {
    let server = bind().await.route("/", handler_fn()).max_rooms_per_client(3).max_room_name_len(5);
    let server = start(server);
    let ws = server.connect("/").await;
    until(|| server.hub.all().len() == 1).await;
    let client = server.hub.all().clients().remove(0);
    let too_long = JoinError::NameTooLong { len: 6, limit: 5 };
    assert_eq!(client.join("longer"), Err(too_long));
    assert_eq!(
        too_long.to_string(),
        "the name of a room has 6 bytes where 5 are allowed: choose a shorter one, or raise \
         Server::max_room_name_len"
    );
    for room in ["c", "a", "b"] {
        assert_eq!(client.join(room), Ok(true));
    }
    assert_eq!(client.join("a"), Ok(false), "it is there already");
    assert_eq!(client.join("d"), Err(JoinError::TooManyRooms { limit: 3 }));
    assert!(client.leave("a") && client.join("d") == Ok(true));
    let names = client.rooms();
    assert_eq!(names, ["c", "b", "d"]);
    assert!(server.hub.room("a").is_empty());
    drop(ws);
    until(|| server.hub.rooms().is_empty()).await;
    server.stop().await;
}

/// More than are left at once.
#[tokio::test]
async fn many_rooms_are_left() {
    let server = start(bind().await.route("/", handler_fn()));
    let ws = server.connect("/").await;
    until(|| server.hub.all().len() == 1).await;
    let client = server.hub.all().clients().remove(0);
    for at in 0..1024 {
        assert_eq!(client.join(&format!("room {at}")), Ok(true));
    }
    assert_eq!(client.join("one more"), Err(JoinError::TooManyRooms { limit: 1024 }));
    assert_eq!(server.hub.rooms().len(), 1024);
    drop(ws);
    until(|| server.hub.rooms().is_empty()).await;
    server.stop().await;
}

/// Compressed once for those who agreed on it, and not at all for the others.
#[cfg(feature = "deflate")]
#[tokio::test]
async fn broadcasts_are_compressed() {
    use sansws::Config;
    use sansws::deflate::Deflate;
    use sansws::server::Server;
    use sansws::tokio::connect_with;
    use tokio::io::AsyncReadExt;

    use sansws_test::wire;

    let config = Server::default_config().deflate(Deflate::new());
    let echo = handler_fn().on_message(|client, message| client.send(message));
    let server = start(bind().await.route("/", echo).config(config));
    let request = server.request("/");
    let config = Config::new().deflate(Deflate::new());
    let mut compressed = within(connect_with(&request, &config)).await.unwrap();
    let mut plain = server.connect("/").await;
    let offer = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    let offer = wire::REQUEST.replacen("/chat", "/", 1).replacen("\r\n\r\n", offer, 1);
    let mut raw = server.raw_with(&offer).await;
    until(|| server.hub.all().len() == 3).await;
    let large = "again and ".repeat(10_000);
    assert_eq!(server.hub.all().send(&large), Ok(3));
    // FIN, RSV1 and text; not even a length of three bytes
    let start = [within(raw.read_u8()).await.unwrap(), within(raw.read_u8()).await.unwrap()];
    assert!(start[0] == 0xc1 && start[1] <= 126, "{start:x?}");
    server.hub.all().clients().iter().for_each(|client| client.send(&large).unwrap());
    for ws in [&mut compressed, &mut plain] {
        ws.send("echo").await.unwrap();
        for _ in 0..2 {
            assert!(text(ws).await == large);
        }
        assert_eq!(text(ws).await, "echo");
    }
    server.stop().await;
}

#[test]
fn a_hub_needs_no_server() {
    let hub = Hub::default();
    assert_eq!((hub.all().len(), hub.all().send("x"), hub.all().clients().len()), (0, Ok(0), 0));
    assert!(hub.all().send(sansws::proto::MessageRef::ping(&[0; 126])).is_err());
    assert!(hub.all().close(CloseCode::NORMAL, "").is_ok());
}

/// Connections that come and go while others broadcast.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broadcasting_while_clients_come_and_go() {
    let server = start(bind().await.route("/", handler_fn()));
    let hub = server.hub.clone();
    let mut faithful = server.connect("/").await;
    until(|| hub.all().len() == 1).await;
    let talking = std::thread::spawn(move || {
        for at in 0..2000 {
            hub.all().send(format!("{at}")).unwrap();
        }
    });
    for _ in 0..20 {
        drop(server.connect("/").await);
    }
    for at in 0..2000 {
        assert_eq!(text(&mut faithful).await, at.to_string());
    }
    talking.join().unwrap();
    until(|| server.hub.all().len() == 1).await;
    server.stop().await;
}

/// However many talk at the same time, nobody sees another order than the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broadcasts_have_one_order() {
    const CLIENTS: usize = 8;
    const TALKERS: usize = 3;
    const MESSAGES: usize = 1300; // all of them fit into a queue
    let route = handler_fn().on_open(|client| client.join("all"));
    let server = start(bind().await.route("/", route));
    let mut clients = Vec::new();
    for at in 1..=CLIENTS {
        clients.push(server.connect("/").await);
        until(|| server.hub.room("all").len() == at).await;
    }
    let talkers: Vec<_> = (0..TALKERS)
        .map(|talker| {
            let hub = server.hub.clone();
            std::thread::spawn(move || {
                for at in 0..MESSAGES {
                    let message = PreparedMessage::new(&*format!("{talker} {at}")).unwrap();
                    let reached = match at % 3 {
                        0 => hub.all().send(&message).unwrap(),
                        1 => hub.room("all").send(&message).unwrap(),
                        _ => hub.all().except(0).send(&*format!("{talker} {at}")).unwrap(),
                    };
                    assert_eq!(reached, CLIENTS);
                }
            })
        })
        .collect();
    let mut seen = Vec::new();
    for client in &mut clients {
        let mut lines = Vec::new();
        for _ in 0..TALKERS * MESSAGES {
            lines.push(text(client).await);
        }
        seen.push(lines);
    }
    assert!(seen.iter().all(|lines| lines == &seen[0]));
    for talker in talkers {
        talker.join().unwrap();
    }
    server.stop().await;
}

/// Also where the talk is in rooms that have members in common, or come to have some.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_with_common_members_have_one_order() {
    const CLIENTS: usize = 6;
    const ROOMS: [&str; 3] = ["a", "b", "c"];
    const MESSAGES: usize = 1000;
    let server = start(bind().await.route("/", handler_fn()));
    let mut sockets = Vec::new();
    for at in 1..=CLIENTS {
        sockets.push(server.connect("/").await);
        until(|| server.hub.all().len() == at).await;
    }
    let clients = server.hub.all().clients();
    clients.iter().for_each(|client| assert!(client.join("a").unwrap()));
    let talkers: Vec<_> = ROOMS
        .map(|room| {
            let (hub, clients) = (server.hub.clone(), clients.clone());
            std::thread::spawn(move || {
                for at in 0..MESSAGES {
                    if at == MESSAGES / 4 {
                        clients
                            .iter()
                            .for_each(|client| assert_eq!(client.join(room), Ok(room != "a")));
                    }
                    hub.room(room).send(&*format!("{room} {at}")).unwrap();
                }
            })
        })
        .into();
    for talker in talkers {
        tokio::task::spawn_blocking(move || talker.join().unwrap()).await.unwrap();
    }
    server.hub.all().send("end").unwrap();
    let mut seen = Vec::new();
    for socket in &mut sockets {
        let mut lines = Vec::new();
        loop {
            match text(socket).await {
                line if line == "end" => break,
                line => lines.push(line),
            }
        }
        seen.push(lines);
    }
    // those whose joining the talk in a room has overtaken have more of it
    let sets: Vec<BTreeSet<&String>> = seen.iter().map(|lines| lines.iter().collect()).collect();
    let common = |lines: &&String| sets.iter().all(|set| set.contains(lines));
    let first: Vec<_> = seen[0].iter().filter(common).collect();
    assert!(first.len() >= MESSAGES + 2 * (MESSAGES * 3 / 4));
    assert!(seen.iter().all(|lines| lines.iter().filter(common).eq(first.iter().copied())));
    server.stop().await;
}

/// Tells of its end.
struct Leaver(mpsc::UnboundedSender<(Vec<String>, Vec<usize>, bool)>);

impl Handler for Leaver {
    async fn on_open(&self, client: &Client) {
        for room in ["c", "a", "b"] {
            client.join(room).unwrap();
        }
        client.leave("a");
        client.send("here").unwrap();
    }

    async fn on_close(&self, client: &Client, _info: &CloseInfo<'_>) {
        let members = ["c", "a", "b"].map(|room| client.hub().room(room).len()).to_vec();
        if client.info().query() != Some("aborts") {
            yield_now().await; // and after that they are known too
        }
        let told = (client.rooms(), members, client.leave("c"));
        self.0.send(told).unwrap();
        assert_eq!(client.join("d"), Err(JoinError::Closed));
        assert_ne!(client.info().query(), Some("panics"), "which takes nothing with it");
    }
}

/// `on_close` knows the rooms that the client was in, where it is not any more.
#[tokio::test]
async fn the_rooms_of_a_client_are_known_when_it_closes() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = start(bind().await.route("/", Leaver(tell)));
    type Leave = fn(&Client, topics::Socket);
    let leave: [(&str, Leave); 4] = [
        ("/", |_, ws| drop(ws)),
        ("/?panics", |_, ws| drop(ws)),
        ("/", |client, _ws| client.close(CloseCode::NORMAL, "").unwrap()),
        ("/?aborts", |client, _ws| client.abort()),
    ];
    for (path, leave) in leave {
        let mut ws = topics::visit(&server, path).await;
        assert_eq!(topics::text(&mut ws).await, "here");
        let client = topics::newest(&server, 1).await;
        assert_eq!(client.rooms(), ["c", "b"]);
        leave(&client, ws);
        let (rooms, members, left) = within(told.recv()).await.unwrap();
        assert_eq!((rooms, members, left), (vec!["c".into(), "b".into()], vec![0, 0, 0], false));
        // and only then
        within(async {
            while !client.rooms().is_empty() || !server.hub.all().is_empty() {
                yield_now().await;
            }
        })
        .await;
    }
    server.stop().await;
}

/// What there is to know of all clients, as text.
#[tokio::test]
async fn a_page_of_all_clients_is_one_line() {
    let route = handler_fn().on_open(|client| client.join("a"));
    let server = bind().await.route("/", route).http("/debug/clients", async |request| {
        let describe = |it: &Client| {
            let info = it.info();
            let age = info.opened().elapsed().as_millis();
            format!("{} {} {} B {:?} {age} ms\n", it.id(), info.path(), it.queued(), it.rooms())
        };
        let clients = request.hub().all().clients();
        Response::text(clients.iter().map(describe).collect::<String>())
    });
    let server = start(server);
    let _ws = topics::visit(&server, "/").await;
    let client = topics::newest(&server, 1).await;
    within(async {
        while client.rooms().is_empty() {
            yield_now().await;
        }
    })
    .await;
    let page = server.get("/debug/clients").await;
    let body = page.split("\r\n\r\n").nth(1).unwrap();
    let age = body.strip_prefix(&format!("{} / 0 B [\"a\"] ", client.id())).unwrap();
    assert!(age.strip_suffix(" ms\n").unwrap().parse::<u32>().is_ok(), "{body}");
    server.stop().await;
}

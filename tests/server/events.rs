//! What handlers are told, and when.

use std::sync::Arc;
use std::time::Duration;

use sansws::bytes::Bytes;
use sansws::proto::{CloseInfo, MessageRef};
use sansws::server::{
    Accept, Client, Handler, Received, Request, Response, Server, SlowClients, handler_fn,
};
use sansws::{CloseCode, Event, KeepAlive, Message};
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::support::{Log, bind, closed, frames, start, text, until, within};
use sansws_test::wire;

/// Writes everything down; knows some words.
struct Recorder(Log);

impl Handler for Recorder {
    async fn on_request(&self, request: &Request<'_>) -> Result<Accept, Response> {
        assert!(request.peer_addr().ip().is_loopback());
        if request.cookie("user").is_none() && request.query() == Some("members") {
            return Err(Response::text("log in\n").status(401).header("WWW-Authenticate", "Basic"));
        }
        if request.query() == Some("panic") {
            panic!("on_request panics, as the test wants");
        }
        let acceptance = Accept::new().header("Set-Cookie", "seen=1");
        Ok(match request.subprotocols().any(|name| name == "v2") {
            true => acceptance.subprotocol("v2"),
            false => acceptance,
        })
    }

    async fn on_open(&self, client: &Client) {
        self.0.add(format!("open {}", client.info().param("room").unwrap()));
    }

    async fn on_message(&self, client: &Client, message: Received<'_>) {
        self.0.add(format!("message {}", String::from_utf8_lossy(message.as_bytes())));
        match message.as_text() {
            Some("panic") => panic!("on_message panics, as the test wants"),
            Some("close") => {
                client.send("last words").unwrap();
                client.close(CloseCode::new(4000).unwrap(), "told to").unwrap();
            }
            Some("wait") => {
                client.send("waiting").unwrap();
                sleep(Duration::from_millis(50)).await;
                client.send("waited").unwrap();
            }
            _ => client.send(message).unwrap(),
        }
    }

    async fn on_close(&self, client: &Client, info: &CloseInfo<'_>) {
        assert!(client.hub().get(client.id()).is_none());
        assert!(!client.is_open());
        let CloseInfo { initiator, code, reason, clean, .. } = info;
        self.0.add(format!("close {code} {reason:?} {initiator:?} clean={clean}"));
    }
}

#[tokio::test]
async fn events_come_in_order() {
    let log = Log::default();
    let server = start(bind().await.route("/chat/{room}", Recorder(log.clone())));
    let mut ws = server.connect("/chat/caf%C3%A9").await;
    ws.send("one").await.unwrap();
    assert_eq!(text(&mut ws).await, "one");
    ws.send(&[1, 2][..]).await.unwrap();
    let echoed = within(ws.recv()).await.unwrap();
    assert_eq!(echoed, Some(Message::from(&[1, 2][..])));
    // what is sent before a wait leaves before it is over
    ws.send("wait").await.unwrap();
    assert_eq!(text(&mut ws).await, "waiting");
    assert_eq!(text(&mut ws).await, "waited");
    within(ws.close(CloseCode::NORMAL, "bye")).await.unwrap();
    until(|| log.lines().len() == 5).await;
    assert_eq!(
        log.lines(),
        [
            "open caf\u{e9}",
            "message one",
            "message \u{1}\u{2}",
            "message wait",
            "close 1000 \"bye\" Peer clean=true"
        ]
    );
    server.stop().await;
}

/// Each way to end, with one `on_close` for it.
#[tokio::test]
async fn every_end_is_told_once() {
    let log = Log::default();
    let server = start(bind().await.route("/{room}", Recorder(log.clone())));
    let last = |count| {
        let log = log.clone();
        async move {
            let closes = || log.lines().into_iter().filter(|line| line.starts_with("close"));
            until(|| closes().count() == count).await;
            closes().next_back().unwrap()
        }
    };

    let mut ws = server.connect("/closed-by-the-handler").await;
    ws.send("close").await.unwrap();
    ws.send("not delivered any more").await.unwrap();
    assert_eq!(text(&mut ws).await, "last words");
    assert_eq!(closed(&mut ws).await, (4000, "told to".into(), true));
    assert_eq!(last(1).await, "close 4000 \"\" Local clean=true");
    assert!(!log.lines().contains(&"message not delivered any more".to_string()));

    drop(server.connect("/dropped").await);
    assert_eq!(last(2).await, "close 1006 \"\" Network clean=false");

    let mut raw = server.raw("/breaks-a-rule").await;
    raw.write_all(&wire::server(wire::TEXT, b"not masked")).await.unwrap();
    let seen = frames(&mut raw, |_| false).await;
    assert_eq!(seen[0].close_code(), Some(1002));
    drop(raw);
    assert_eq!(last(3).await, "close 1006 \"\" Local clean=false");

    // an end of file in the middle of a frame
    let mut raw = server.raw("/torn").await;
    raw.write_all(&wire::client(wire::TEXT, b"torn")[..5]).await.unwrap();
    drop(raw);
    assert_eq!(last(4).await, "close 1006 \"\" Network clean=false");

    sleep(Duration::from_millis(20)).await;
    let lines = log.lines();
    let count = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!((count("open"), count("close")), (4, 4));
    until(|| server.hub.stats().closed == 4).await;
    assert_eq!(server.hub.stats().opened, 4);
    assert!(server.hub.all().is_empty());
    server.stop().await;
}

/// The handler of one connection panics.
#[tokio::test]
async fn a_panic_closes_its_connection_only() {
    let log = Log::default();
    let server = start(bind().await.route("/{room}", Recorder(log.clone())));
    let mut other = server.connect("/other").await;
    for _ in 0..3 {
        let mut ws = server.connect("/one").await;
        ws.send("panic").await.unwrap();
        assert_eq!(closed(&mut ws).await, (1011, String::new(), true));
    }
    assert_eq!(server.refused(&server.request("/one?panic")).await.0, 500);
    other.send("still here").await.unwrap();
    assert_eq!(text(&mut other).await, "still here");
    let closes = || log.lines().iter().filter(|line| line.starts_with("close 1011")).count();
    until(|| closes() == 3).await;
    assert_eq!((server.hub.all().len(), server.hub.stats().panics), (1, 4));
    server.stop().await;
}

struct Trap;

impl AsRef<[u8]> for Trap {
    fn as_ref(&self) -> &[u8] {
        b"trap"
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        panic!("the memory of a message panics, as the test wants");
    }
}

/// Memory that panics when it is given back cuts off nothing that waits to be written.
#[tokio::test]
async fn a_message_that_panics_when_dropped_leaves_whole_frames() {
    let route = handler_fn().on_message(|client, _| {
        client.send("before").unwrap();
        client.send(Message::Binary(Bytes::from_owner(Trap))).unwrap();
    });
    let server = start(bind().await.route("/", route));
    let mut ws = server.connect("/").await;
    ws.send("go").await.unwrap();
    assert_eq!(text(&mut ws).await, "before");
    assert_eq!(within(ws.recv()).await.unwrap(), Some(Message::Binary("trap".into())));
    assert_eq!(closed(&mut ws).await.0, 1011);
    server.stop().await;
}

/// The same where it waits in a queue: what others get is whole.
#[tokio::test]
async fn a_message_that_panics_when_dropped_leaves_whole_queues() {
    let route = handler_fn().on_message(|client, _| {
        let hub = client.hub();
        hub.all().except(client.id()).send("before").unwrap();
        let other = hub.all().clients().into_iter().find(|it| it.id() != client.id()).unwrap();
        other.send(Message::Binary(Bytes::from_owner(Trap))).unwrap();
    });
    let server = start(bind().await.route("/", route));
    let (mut one, mut other) = (server.connect("/").await, server.connect("/").await);
    until(|| server.hub.all().len() == 2).await;
    one.send("go").await.unwrap();
    assert_eq!(closed(&mut one).await.0, 1011);
    server.hub.all().send("after").unwrap();
    for expected in ["before", "trap", "after"] {
        let message = within(other.recv()).await.unwrap().unwrap();
        assert_eq!(message.as_bytes(), expected.as_bytes());
    }
    server.stop().await;
}

/// Memory that asks for its client when it is given back does not wait for itself: be it of a
/// message that is copied, makes room for others, or waits when the client is closed or goes.
#[tokio::test]
async fn a_message_may_use_its_client_when_dropped() {
    struct Asks(Client, Log, usize);
    impl AsRef<[u8]> for Asks {
        fn as_ref(&self) -> &[u8] {
            &[b'x'; 100_000][..self.2]
        }
    }
    impl Drop for Asks {
        fn drop(&mut self) {
            let _ = (self.0.queued(), self.0.send("given back"));
            self.1.add("given back");
        }
    }
    for drop_oldest in [true, false] {
        let log = Log::default();
        let mut server = bind().await.route("/", handler_fn());
        server = server.max_queued_bytes(200_000).max_burst_bytes(200_000);
        if drop_oldest {
            server = server.slow_clients(SlowClients::DropOldest);
        }
        let server = start(server);
        let raw = server.raw("/").await;
        until(|| server.hub.all().len() == 1).await;
        let client = server.hub.all().clients().remove(0);
        for number in 0..100 {
            let len = if number % 2 == 0 { 100 } else { 100_000 };
            let bytes = Bytes::from_owner(Asks(client.clone(), log.clone(), len));
            let _ = client.send(Message::Binary(bytes));
            if number % 10 == 9 {
                yield_now().await;
            }
        }
        assert_eq!(client.is_open(), drop_oldest);
        drop(raw);
        until(|| log.lines().len() == 100).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn panics_around_a_connection_are_caught_too() {
    let log = Log::default();
    let on_open = log.clone();
    let route = handler_fn()
        .on_open(|client| assert!(client.info().query().is_none(), "as the test wants"))
        .on_close(move |_, info| {
            on_open.add(format!("{}", info.code));
            panic!("on_close panics, as the test wants");
        });
    let server = start(bind().await.route("/", route));
    let mut ws = server.connect("/?q").await;
    assert_eq!(closed(&mut ws).await.0, 1011);
    until(|| server.hub.stats().panics == 2).await;
    assert_eq!(log.lines(), ["1011"]);
    until(|| server.hub.all().is_empty()).await;
    let ws = server.connect("/").await;
    until(|| server.hub.all().len() == 1).await;
    drop(ws);
    server.stop().await;
}

#[tokio::test]
async fn requests_are_accepted_and_refused() {
    let server = start(bind().await.route("/{room}", Recorder(Log::default())));
    let (status, body) = server.refused(&server.request("/a?members")).await;
    assert_eq!((status, &*body), (401, "log in\n"));
    let member = server.request("/a?members").header("Cookie", "x=1; user=me");
    server.try_connect(&member).await.unwrap();

    let request = server.request("/a").subprotocol("v1");
    let ws = server.try_connect(&request.subprotocol("v2")).await.unwrap();
    assert_eq!(ws.subprotocol(), Some("v2"));
    // the server closes, because this is no frame
    let answer = server.http(&format!("{}bye", wire::REQUEST)).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert_eq!(wire::header(&answer, "set-cookie"), Some("seen=1"));
    assert_eq!(server.hub.stats().refused, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_wrong_acceptance_is_a_500() {
    let unoffered = handler_fn().on_request(|_| Ok(Accept::new().subprotocol("never offered")));
    let header = handler_fn().on_request(|_| Ok(Accept::new().header("Upgrade", "h2c")));
    let page = handler_fn().on_request(|_| Err(Response::text("").status(99)));
    let server = bind().await.route("/a", unoffered).route("/b", header).route("/c", page);
    let server = start(server);
    for path in ["/a", "/b", "/c"] {
        assert_eq!(server.refused(&server.request(path)).await.0, 500, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn clients_are_known_by_what_they_said() {
    let server = start(bind().await.route("/u/{name}/{*rest}", handler_fn()));
    let request = server.request("/u/J%C3%B6rg/a/b?x=1&y");
    let request = request.header("Cookie", "session=abc; theme=dark");
    let request = request.header("X-Twice", "1").header("x-twice", "2");
    let ws = server.try_connect(&request).await.unwrap();
    until(|| server.hub.all().len() == 1).await;
    let client = server.hub.all().clients().remove(0);
    let info = client.info();
    assert_eq!(info.path(), "/u/J%C3%B6rg/a/b");
    assert_eq!((info.query(), info.route()), (Some("x=1&y"), "/u/{name}/{*rest}"));
    assert_eq!((info.param("name"), info.param("rest")), (Some("J\u{f6}rg"), Some("a/b")));
    assert_eq!((info.param("none"), info.origin(), info.subprotocol()), (None, None, None));
    assert_eq!(info.host(), server.addr.to_string());
    assert_eq!((info.cookie("theme"), info.cookie("none")), (Some("dark"), None));
    assert_eq!((info.header("X-TWICE"), info.header("upgrade")), (Some("1"), None));
    assert_eq!(info.headers().filter(|(name, _)| name.eq_ignore_ascii_case("x-twice")).count(), 2);
    assert_eq!(info.peer_addr(), ws.get_ref().tcp().local_addr().unwrap());
    let shown = format!("{client:?} {info:?}");
    assert!(!shown.contains("abc"), "a secret in {shown}");

    let other = server.connect("/u/a/b").await;
    until(|| server.hub.all().len() == 2).await;
    let ids: Vec<u64> = server.hub.all().clients().iter().map(Client::id).collect();
    assert!(client.id() == ids[0] && ids[0] < ids[1], "{ids:?}");
    drop((ws, other));
    server.stop().await;
}

/// What a request may leave behind for the life of its connection.
#[tokio::test]
async fn not_all_headers_are_kept() {
    let server = start(bind().await.route("/", handler_fn()).max_kept_headers(100));
    let request = server.request("/").header("X-Short", "kept");
    let request = request.header("Cookie", &"x".repeat(200));
    let request = request.header("X-Last", "kept too");
    let _ws = server.try_connect(&request).await.unwrap();
    until(|| server.hub.all().len() == 1).await;
    let client = server.hub.all().clients().remove(0);
    let info = client.info();
    assert_eq!((info.header("x-short"), info.header("x-last")), (Some("kept"), Some("kept too")));
    assert_eq!(info.header("cookie"), None);
    assert_eq!(info.host(), server.addr.to_string());
    server.stop().await;
}

/// A peer that is gone without a word, for a server that only waits and for one
/// whose socket takes no more.
#[tokio::test]
async fn a_dead_network_is_told_too() {
    let log = Log::default();
    let config = Server::default_config()
        .keep_alive(KeepAlive::Every(Duration::from_millis(50)))
        .pong_timeout(Duration::from_millis(50))
        .close_timeout(Duration::from_millis(100));
    let server = start(bind().await.route("/{room}", Recorder(log.clone())).config(config));
    let _silent = server.raw("/silent").await;
    let blocked = server.raw("/blocked").await;
    until(|| server.hub.all().len() == 2).await;
    for client in server.hub.all().clients() {
        while client.info().path() == "/blocked" && client.send(vec![0; 900_000]).is_ok() {
            sleep(Duration::from_millis(1)).await;
        }
    }
    let closes = || log.lines().iter().filter(|line| line.starts_with("close 1006")).count();
    until(|| closes() == 2 && server.hub.all().is_empty()).await;
    drop(blocked);
    server.stop().await;
}

/// A handler that waits for a long time holds up nobody else, and its client may go meanwhile.
#[tokio::test]
async fn a_handler_that_waits_holds_up_nobody_else() {
    struct Waits(Arc<Notify>);
    impl Handler for Waits {
        async fn on_message(&self, client: &Client, message: Received<'_>) {
            if message.as_text() == Some("wait") {
                self.0.notified().await;
            }
            let _ = client.send(message);
        }
    }
    let release = Arc::new(Notify::new());
    let server = start(bind().await.route("/", Waits(Arc::clone(&release))));
    let (mut one, mut two) = (server.connect("/").await, server.connect("/").await);
    one.send("wait").await.unwrap();
    for _ in 0..10 {
        two.send("go on").await.unwrap();
        assert_eq!(text(&mut two).await, "go on");
    }
    // sent to while its handler waits
    until(|| server.hub.all().len() == 2).await;
    server.hub.all().send("from outside").unwrap();
    assert_eq!(text(&mut one).await, "from outside");
    release.notify_one();
    assert_eq!(text(&mut one).await, "wait");
    server.stop().await;
}

/// What a connection remembers, for its handler and for everybody who knows the client.
#[tokio::test]
async fn state() {
    struct User(String);
    let route = handler_fn()
        .on_request(|request| match request.query() {
            Some(name) => Ok(Accept::new().client_state(User(name.to_string()))),
            None => Ok(Accept::new()),
        })
        .on_message(|client, _| {
            let name = |it: &Client| it.state().map_or("nobody", |User(name)| name).to_string();
            let names: Vec<_> = client.hub().all().clients().iter().map(name).collect();
            client.send(names.join(" "))
        });
    let server = start(bind().await.route("/", route));
    let mut ann = server.connect("/?ann").await;
    let _other = server.connect("/").await;
    let _bob = server.connect("/?bob").await;
    until(|| server.hub.all().len() == 3).await;
    ann.send("who?").await.unwrap();
    assert_eq!(text(&mut ann).await, "ann nobody bob");
    let client = server.hub.all().clients().remove(0);
    assert_eq!(client.state::<User>().unwrap().0, "ann");
    assert!(client.state::<String>().is_none());
    server.stop().await;
    // as long as somebody has the client
    assert_eq!(client.state::<User>().unwrap().0, "ann");
}

#[tokio::test]
async fn pings_and_pongs() {
    let log = Log::default();
    let (pings, pongs) = (log.clone(), log.clone());
    let show = |payload: &[u8]| String::from_utf8_lossy(payload).into_owned();
    let route = handler_fn()
        .on_open(|client| client.send(MessageRef::ping(b"from the server")))
        .on_ping(move |_, payload| pings.add(format!("ping {}", show(payload))))
        .on_pong(move |_, payload| pongs.add(format!("pong {}", show(payload))));
    let server = start(bind().await.route("/", route));
    let mut ws = server.connect("/").await;
    ws.send(MessageRef::ping(b"from the client")).await.unwrap();
    let answer = within(async {
        loop {
            let (event, _) = ws.next_event().await.unwrap().unwrap();
            if let Event::Pong(payload) = event {
                return payload.to_vec();
            }
        }
    })
    .await;
    assert_eq!(answer, b"from the client");
    until(|| log.lines().len() == 2).await;
    let mut lines = log.lines();
    lines.sort();
    assert_eq!(lines, ["ping from the client", "pong from the server"]);
    server.stop().await;
}

/// Before `on_close`, once, and only if something went wrong.
#[tokio::test]
async fn errors_are_told() {
    let log = Log::default();
    let route = || {
        let (errors, closes) = (log.clone(), log.clone());
        handler_fn()
            .on_error(move |client, error| {
                assert!(client.hub().get(client.id()).is_none());
                let code = error.close_code();
                errors.add(format!("{} {} {code:?}", error.is_disconnect(), error.is_timeout()));
            })
            .on_close(move |_, info| closes.add(format!("close {}", info.code)))
    };
    let server = start(bind().await.route("/", route()));

    let mut ws = server.connect("/").await;
    within(ws.close(CloseCode::NORMAL, "")).await.unwrap();
    until(|| log.lines().len() == 1).await;

    drop(server.connect("/").await);
    until(|| log.lines().len() == 3).await;

    let mut raw = server.raw("/").await;
    raw.write_all(&wire::server(wire::TEXT, b"not masked")).await.unwrap();
    frames(&mut raw, |_| false).await;
    drop(raw);
    until(|| log.lines().len() == 5).await;
    server.stop().await;

    // one that answers no pings
    let time = Duration::from_millis(20);
    let config = Server::default_config().keep_alive(KeepAlive::Every(time)).pong_timeout(time);
    let server = start(bind().await.route("/", route()).config(config));
    let _raw = server.raw("/").await;
    until(|| log.lines().len() == 7).await;
    assert_eq!(
        log.lines(),
        [
            "close 1000",
            "true false None",
            "close 1006",
            "false false Some(1002 (protocol error))",
            "close 1006",
            "false true None",
            "close 1006",
        ]
    );
    server.stop().await;
}

/// A handler that waits for longer than keep-alive would is no reason to give the peer up.
#[tokio::test]
async fn a_handler_that_waits_does_not_end_its_connection() {
    struct Slow;
    impl Handler for Slow {
        async fn on_message(&self, client: &Client, message: Received<'_>) {
            sleep(Duration::from_millis(300)).await;
            client.send(message).unwrap();
        }
    }
    let time = Duration::from_millis(30);
    let config = Server::default_config().keep_alive(KeepAlive::Every(time)).pong_timeout(time);
    let server = start(bind().await.route("/", Slow).config(config));
    let mut ws = server.connect("/").await;
    for _ in 0..3 {
        ws.send("slowly").await.unwrap();
        // receiving answers the pings
        assert_eq!(text(&mut ws).await, "slowly");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_is_aborted() {
    let log = Log::default();
    let closes = log.clone();
    let route = handler_fn()
        .on_message(|client, _| client.abort())
        .on_close(move |_, info| closes.add(format!("{}", info.code)));
    let server = start(bind().await.route("/", route));
    let mut ws = server.connect("/").await;
    ws.send("misbehave").await.unwrap();
    assert_eq!(closed(&mut ws).await.0, 1006);
    until(|| log.lines() == ["1006"]).await;
    server.stop().await;
}

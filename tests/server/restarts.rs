//! Servers that take each other's place on a port, and clients that are on their way meanwhile.

use std::io::Write;
use std::net::{SocketAddr, TcpStream as StdStream};
use std::time::Duration;

use sansws::server::{Server, handler_fn};
use sansws::tokio::connect;
use sansws::{CloseCode, Message};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::support::{Running, bind, closed, read_head, start, text, until, within};

const LONG: Duration = Duration::from_secs(60);

/// A client that the operating system has connected and the server has not heard of: the runtime of
/// these tests is on one thread, and nobody waits in between.
fn queued(addr: SocketAddr) -> TcpStream {
    let mut stream = StdStream::connect(addr).unwrap();
    let request = sansws_test::wire::REQUEST.replacen("/chat", "/", 1);
    stream.write_all(request.as_bytes()).unwrap();
    stream.set_nonblocking(true).unwrap();
    TcpStream::from_std(stream).unwrap()
}

/// A server that says which one it is.
async fn shared(addr: &str, name: &'static str) -> Running {
    let route = handler_fn().on_open(move |client| client.send(name));
    start(Server::bind_shared(addr).await.unwrap().route("/", route))
}

#[tokio::test]
async fn who_waits_in_the_queue_is_served_when_the_listener_closes() {
    let server = start(bind().await.route("/", handler_fn()));
    drop(server.connect("/").await); // it runs
    let mut clients: Vec<_> = (0..200).map(|_| queued(server.addr)).collect();
    within(server.handle.stop_listening()).await;
    for client in &mut clients {
        read_head(client).await;
    }
    assert_eq!(server.hub.stats().pending, 0);
    assert!(StdStream::connect(server.addr).is_err(), "nobody listens any more");
    // connections go on, and so does the server
    until(|| server.hub.all().len() == clients.len()).await;
    assert!(!server.run.is_finished());
    within(server.handle.stop_listening()).await;
    server.stop().await;
}

/// One after the other, where there is no room for all at a time.
#[tokio::test]
async fn a_queue_that_is_longer_than_what_may_be_pending() {
    let server = start(bind().await.max_pending(1).route("/", handler_fn()));
    drop(server.connect("/").await);
    let mut clients: Vec<_> = (0..50).map(|_| queued(server.addr)).collect();
    within(server.handle.stop_listening()).await;
    for client in &mut clients {
        read_head(client).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn who_waits_in_the_queue_gets_a_503_when_the_server_stops() {
    let server = start(bind().await.route("/", handler_fn()));
    drop(server.connect("/").await);
    let mut clients: Vec<_> = (0..200).map(|_| queued(server.addr)).collect();
    let shutdown = server.handle.shutdown(CloseCode::GOING_AWAY, "", LONG);
    let answers = async {
        for client in &mut clients {
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        }
    };
    let (ended, ()) = within(async { tokio::join!(shutdown, answers) }).await;
    ended.unwrap();
    within(server.run).await.unwrap().unwrap();
}

/// One server after the other on the same port, while clients come all the time: each of them is
/// served, and by the last one in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_take_turns_on_a_port() {
    const NAMES: [&str; 4] = ["first", "second", "third", "fourth"];
    let mut old = shared("127.0.0.1:0", NAMES[0]).await;
    let addr = old.addr.to_string();
    let url = old.url("/");
    let clients: Vec<_> = (0..4).map(|_| tokio::spawn(come_and_go(url.clone()))).collect();
    for name in &NAMES[1..] {
        let new = shared(&addr, name).await;
        until(|| new.hub.stats().opened > 20).await;
        within(old.handle.stop_listening()).await;
        let before = old.hub.stats().opened;
        let after = new.hub.stats().opened;
        until(|| new.hub.stats().opened > after + 20).await;
        assert_eq!(old.hub.stats().opened, before, "{name}");
        let end = old.handle.shutdown(CloseCode::GOING_AWAY, "", LONG);
        within(end).await.unwrap();
        within(old.run).await.unwrap().unwrap();
        old = new;
    }
    assert_eq!(old.hub.stats().refused, 0);
    for client in &clients {
        client.abort();
    }
    for client in clients {
        // no failure was before that
        assert!(within(client).await.unwrap_err().is_cancelled());
    }
    old.stop().await;
}

/// Connects for ever; a connection that fails is a panic.
async fn come_and_go(url: String) {
    loop {
        let mut ws = within(connect(&url)).await.unwrap();
        let hello = ws.recv().await.unwrap(); // `None` where it was closed at once
        assert!(matches!(hello, Some(Message::Text(_)) | None), "{hello:?}");
        let _ = ws.close(CloseCode::NORMAL, "").await;
        let _ = within(ws.recv()).await;
    }
}

/// The operating system does not answer newcomers while those are awaited that it has answered:
/// they try again, and reach whoever listens there by then.
#[tokio::test]
async fn newcomers_are_left_to_the_next_one() {
    let server = start(bind().await.route("/", handler_fn()));
    drop(server.connect("/").await);
    let accepted = server.hub.stats().accepted;
    let newcomer = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let addr = server.addr;
        let connect = move || StdStream::connect_timeout(&addr, Duration::from_millis(200));
        tokio::task::spawn_blocking(connect).await.unwrap()
    };
    let ((), newcomer) =
        within(async { tokio::join!(server.handle.stop_listening(), newcomer) }).await;
    assert!(newcomer.is_err()); // in time, or refused where it came too late
    assert_eq!(server.hub.stats().accepted, accepted);
    server.stop().await;
}

/// A handshake that a handler takes its time over is awaited, one that has sent nothing is not.
#[tokio::test]
async fn handshakes_under_way_get_their_answers() {
    struct Slow(std::sync::Mutex<Option<oneshot::Receiver<()>>>);
    impl sansws::server::Handler for Slow {
        async fn on_request(
            &self,
            _: &sansws::server::Request<'_>,
        ) -> Result<sansws::server::Accept, sansws::server::Response> {
            let go_on = self.0.lock().unwrap().take().unwrap();
            go_on.await.unwrap();
            Ok(sansws::server::Accept::new())
        }
    }
    let (decide, decision) = oneshot::channel();
    let server = start(bind().await.route("/", Slow(Some(decision).into())));
    let mut asked = queued(server.addr);
    let _silent = StdStream::connect(server.addr).unwrap();
    until(|| server.hub.stats().pending == 2).await;
    let handle = server.handle.clone();
    let stopped = tokio::spawn(async move { handle.stop_listening().await });
    tokio::time::sleep(Duration::from_millis(1700)).await; // longer than silence is respected
    assert!(!stopped.is_finished());
    decide.send(()).unwrap();
    read_head(&mut asked).await;
    within(stopped).await.unwrap();
    server.stop().await;
}

/// The queue of a listener that somebody else has open as well is not ours to empty: who comes in
/// between is served by the next one, as with a socket of systemd.
#[tokio::test]
async fn a_listener_that_is_passed_on_keeps_its_queue() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let passed_on = || TcpListener::from_std(listener.try_clone().unwrap()).unwrap();
    let named = |name: &'static str| handler_fn().on_open(move |client| client.send(name));

    let server = start(Server::from_listener(passed_on()).route("/", named("old")));
    let mut on_old = server.connect("/").await;
    assert_eq!(text(&mut on_old).await, "old");
    within(async { tokio::join!(server.handle.stop_listening(), closed_by(&server, &mut on_old)) })
        .await;
    within(server.run).await.unwrap().unwrap();

    let mut between = queued(listener.local_addr().unwrap());
    let server = start(Server::from_listener(passed_on()).route("/", named("new")));
    read_head(&mut between).await;
    let mut on_new = server.connect("/").await;
    assert_eq!(text(&mut on_new).await, "new");
    server.stop().await;
}

async fn closed_by(
    server: &Running,
    ws: &mut sansws::tokio::WebSocket<sansws::tokio::ClientStream>,
) {
    let end = server.handle.shutdown(CloseCode::SERVICE_RESTART, "", LONG);
    let (ended, close) = tokio::join!(end, closed(ws));
    ended.unwrap();
    assert_eq!(close, (1012, String::new(), true));
}

/// It cannot be taken by accident: both have to share it.
#[tokio::test]
async fn a_port_is_shared_with_those_who_share_it() {
    let server = bind().await;
    let addr = server.local_addr().unwrap().to_string();
    assert!(Server::bind_shared(&addr).await.is_err());
    let shared = Server::bind_shared("127.0.0.1:0").await.unwrap();
    let addr = shared.local_addr().unwrap().to_string();
    assert!(Server::bind(&addr).await.is_err());
    let both = bind().await.and_bind_shared(&addr).await.unwrap();
    assert_eq!(both.local_addrs().unwrap()[1], shared.local_addr().unwrap());
}

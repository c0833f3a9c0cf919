//! What messages and idle clients cost the event server, counted by the allocator.
//!
//! The other ends are blocking sockets that allocate nothing.
use core::sync::atomic::Ordering::Relaxed;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use sansws::CloseCode;
use sansws::server::{History, RateLimit, Route, Server, handler_fn};
use tokio::runtime::{Builder, Runtime};

use sansws_test::counting::{COUNT, HELD, held_beyond};
use sansws_test::process::alone;

/// Clients that are measured; as many again come before them and pay for what all share.
const CLIENTS: usize = 200;

/// An echo on the tokio adapter: the socket, its task and its timer.
#[test]
fn an_idle_socket_is_cheap() {
    alone("server::an_idle_socket_is_cheap", || {
        let runtime = runtime();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    tokio::spawn(async move {
                        let mut ws = sansws::tokio::accept(stream).await.unwrap();
                        while let Some(message) = ws.recv().await.unwrap() {
                            ws.send(message).await.unwrap();
                        }
                    });
                }
            });
        });
        let (_all, each) = idle_clients(addr);
        println!("an idle socket holds {each} bytes of the heap");
        assert!(each <= 1160, "{each} bytes");
    });
}

#[test]
fn messages_and_idle_clients_are_cheap() {
    alone("server::messages_and_idle_clients_are_cheap", messages_and_idle_clients_are_cheap_alone);
}

fn messages_and_idle_clients_are_cheap_alone() {
    let runtime = runtime();
    let server = runtime.block_on(Server::bind("127.0.0.1:0")).unwrap();
    let addr = server.local_addr().unwrap();
    let (hub, handle) = (server.hub(), server.handle());
    let echo = handler_fn().on_message(|client, message| client.send(message));
    let many = handler_fn().on_message(|client, message| {
        for _ in 0..16 {
            client.hub().all().send(&message).unwrap();
        }
    });
    let server = server.route("/", echo).route("/many", many);
    let serving = std::thread::spawn(move || runtime.block_on(server.run()));

    let (mut all, each) = idle_clients(addr);
    println!("an idle client holds {each} bytes of the heap");
    // 128 of them are the task, which `Step` does not share with the connection
    assert!(each <= 1540, "{each} bytes");

    // masked with a key of zeros
    for (frame, answer) in [
        (&b"\x81\x85\0\0\0\0hello"[..], &b"\x81\x05hello"[..]),
        (&[&b"\x82\xfe\x20\0\0\0\0\0"[..], &[7; 0x2000]].concat(), &{
            let mut answer = b"\x82\x7e\x20\0".to_vec();
            answer.resize(4 + 0x2000, 7);
            answer
        }),
    ] {
        let stream = &mut all[0];
        let mut received = vec![0; answer.len()];
        let mut echo = |count| {
            for _ in 0..count {
                stream.write_all(frame).unwrap();
                stream.read_exact(&mut received).unwrap();
                assert_eq!(received, answer);
            }
        };
        echo(100);
        let before = COUNT.load(Relaxed);
        echo(1000);
        let count = COUNT.load(Relaxed) - before;
        println!("1000 messages of {} bytes: {count} allocations", frame.len());
        assert!(count < 10, "{count} allocations");
    }

    let mut broadcast = |text: &str| {
        assert_eq!(hub.all().send(text), Ok(2 * CLIENTS));
        for stream in &mut all {
            let mut received = [0; 7];
            stream.read_exact(&mut received).unwrap();
            assert_eq!(&received[2..], text.as_bytes());
        }
    };
    broadcast("first");
    let before = COUNT.load(Relaxed);
    broadcast("again");
    let count = COUNT.load(Relaxed) - before;
    println!("a broadcast to {} clients: {count} allocations", 2 * CLIENTS);
    assert!(count < 20, "{count} allocations");

    // what comes in a row, before anybody can write it
    all.push(open(addr, "/many"));
    let expected = b"\x81\x05again".repeat(16);
    let mut broadcasts = || {
        all[2 * CLIENTS].write_all(b"\x81\x85\0\0\0\0again").unwrap();
        for stream in &mut all {
            let mut received = [0; 16 * 7];
            stream.read_exact(&mut received).unwrap();
            assert_eq!(received[..], expected);
        }
    };
    broadcasts();
    let before = COUNT.load(Relaxed);
    broadcasts();
    let count = COUNT.load(Relaxed) - before;
    println!("16 broadcasts to {} clients in a row: {count} allocations", 2 * CLIENTS);
    assert!(count < 100, "{count} allocations");

    drop(all);
    let ended = self::runtime().block_on(handle.shutdown(CloseCode::NORMAL, "", Duration::ZERO));
    ended.unwrap();
    serving.join().unwrap().unwrap();
}

/// What strangers cost: those who say nothing, and handshakes.
#[test]
fn newcomers_are_cheap() {
    alone("server::newcomers_are_cheap", newcomers_alone);
}

fn newcomers_alone() {
    let runtime = runtime();
    let server = runtime.block_on(Server::bind("127.0.0.1:0")).unwrap();
    let (addr, handle) = (server.local_addr().unwrap(), server.handle());
    let serving =
        std::thread::spawn(move || runtime.block_on(server.route("/", handler_fn()).run()));
    let mut all: Vec<_> = (0..CLIENTS).map(|_| open(addr, "/")).collect();
    all.reserve(2 * CLIENTS);
    settle();

    let before = HELD.load(Relaxed);
    all.extend((0..CLIENTS).map(|_| TcpStream::connect(addr).unwrap()));
    settle();
    let each = held_beyond(before) / CLIENTS;
    println!("one that has said nothing holds {each} bytes of the heap");
    assert!(each <= 2500, "{each} bytes");

    let before = COUNT.load(Relaxed);
    all.extend((0..CLIENTS).map(|_| open(addr, "/")));
    settle();
    let each = (COUNT.load(Relaxed) - before) as f64 / CLIENTS as f64;
    println!("a handshake and the connection make {each} allocations");
    assert!(each <= 16.0, "{each} allocations");

    drop(all);
    let ended = self::runtime().block_on(handle.shutdown(CloseCode::NORMAL, "", Duration::ZERO));
    ended.unwrap();
    serving.join().unwrap().unwrap();
}

/// What their documentation says that these settings cost each client of a route.
#[test]
fn settings_cost_what_they_say() {
    alone("server::settings_cost_what_they_say", settings_alone);
}

fn settings_alone() {
    let runtime = runtime();
    let server = runtime.block_on(Server::bind("127.0.0.1:0")).unwrap();
    let (addr, handle) = (server.local_addr().unwrap(), server.handle());
    let route = || Route::new(handler_fn());
    let idle = route().idle_timeout(Duration::from_secs(3600));
    let rate = route().client_rate(RateLimit::new().messages(10).bytes(1000));
    let server = server.route("/a", route()).route("/b", route().slow_after(Duration::ZERO));
    let server = server.route("/c", idle).route("/d", rate);
    let serving = std::thread::spawn(move || runtime.block_on(server.run()));
    let mut all = Vec::with_capacity(5 * CLIENTS);
    let mut measure = |path| {
        settle();
        let before = HELD.load(Relaxed);
        all.extend((0..CLIENTS).map(|_| open(addr, path)));
        settle();
        held_beyond(before) / CLIENTS
    };
    measure("/a"); // pays for what all share
    let [plain, other, idle, rate] = ["/a", "/b", "/c", "/d"].map(&mut measure);
    println!("{plain} bytes, {other} with a setting, {idle} and {rate} with an alarm or a rate");
    assert!(other <= plain + 16, "{other} bytes for {plain}");
    assert!(idle <= plain + 300 && rate <= plain + 200, "{idle} and {rate} bytes for {plain}");
    drop(all);
    let ended = self::runtime().block_on(handle.shutdown(CloseCode::NORMAL, "", Duration::ZERO));
    ended.unwrap();
    serving.join().unwrap().unwrap();
}

#[test]
fn topics_hold_no_more_than_they_are_charged() {
    alone("server::topics_hold_no_more_than_they_are_charged", topics_alone);
}

fn topics_alone() {
    const LINES: History = History::last(1000);
    let runtime = runtime();
    let server = runtime.block_on(Server::bind("127.0.0.1:0")).unwrap();
    let hub = server.hub();
    hub.topic("first", LINES).send("what all share").unwrap();
    hub.topic("first", LINES).forget();
    let before = HELD.load(Relaxed);
    let held = || held_beyond(before);
    for (topics, messages, len) in [(1, 1000, 1), (1, 50, 10_000), (3000, 1, 1), (30, 30, 300)] {
        let names: Vec<_> = (0..topics).map(|at| format!("a topic with the number {at}")).collect();
        let of_names = held();
        for name in &names {
            for _ in 0..messages {
                hub.topic(name, LINES).send("m".repeat(len)).unwrap();
            }
        }
        let (taken, charged) = (held() - of_names, hub.stats().history_bytes as usize);
        println!("{topics} x {messages} x {len}: {taken} bytes are charged {charged}");
        assert!(taken <= charged && charged <= 3 * taken, "{taken} for {charged}");
        for name in &names {
            assert!(hub.topic(name, LINES).forget());
        }
        assert_eq!((hub.stats().topics, hub.stats().history_bytes), (0, 0));
        assert!(held() - of_names < 1000, "{} are left", held() - of_names);
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Lets the server finish what it is at.
fn settle() {
    std::thread::sleep(Duration::from_millis(200));
}

/// Opens twice as many clients as are measured, and returns how many bytes the server holds for
/// each of the second half.
fn idle_clients(addr: SocketAddr) -> (Vec<TcpStream>, usize) {
    let mut all = Vec::with_capacity(2 * CLIENTS);
    all.extend((0..CLIENTS).map(|_| open(addr, "/")));
    settle();
    let before = HELD.load(Relaxed);
    all.extend((0..CLIENTS).map(|_| open(addr, "/")));
    settle();
    (all, held_beyond(before) / CLIENTS)
}

/// Opens a connection, and allocates nothing.
fn open(addr: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let headers = "HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";
    let mut piece = [0; 512];
    let mut rest = &mut piece[..];
    write!(rest, "GET {path} {headers}").unwrap();
    let len = 512 - rest.len();
    stream.write_all(&piece[..len]).unwrap();
    let mut len = 0;
    while !piece[..len].ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut piece[len..=len]).unwrap();
        len += 1;
    }
    assert!(piece.starts_with(b"HTTP/1.1 101 "));
    stream
}

//! What a message costs from one server to clients of others, by each engine, with more servers and
//! more rooms, and beside a loop on the crate `redis` that is written by hand and Socket.IO.
//!
//! `cargo bench --bench backplane --features redis,nats [-- MESSAGES]`, on Linux, with
//! `redis-server` and `nats-server` (Debian: packages of these names). It starts its own.
//!
//! Servers in this process, one client of each but the first in all rooms; the first sends to the
//! rooms in turn. The processor time is that of this process, with all servers and clients, and
//! without the broker.
//!
//! Socket.IO has a process of node for each server, whose processor time it is, without the client
//! of this process. It is left out unless it is there:
//! `npm install --prefix target/socket-io socket.io @socket.io/redis-adapter redis`.
#![allow(clippy::unwrap_used)]

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use sansws::server::backplane::{Memory, Nats, Redis};
use sansws::server::{Hub, JoinError, Server, handler_fn};
use sansws::tokio::{ClientStream, WebSocket, connect};
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

/// Bytes in a message, the first 16 of which are a time.
const SIZE: usize = 100;

/// The most messages under way where throughput is measured.
const AHEAD: u64 = 4096;

/// Messages that are sent at once there.
const BURST: u64 = 256;

/// Messages of which the delay is measured, one each millisecond.
const DELAYS: u64 = 2000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let count = std::env::args().skip(1).find_map(|it| it.parse().ok()).unwrap_or(300_000);
    let redis = Broker::start("redis-server", &["--save", "", "--bind", "127.0.0.1", "--port"]);
    let nats = Broker::start("nats-server", &["-a", "127.0.0.1", "-p"]);
    let (redis_url, nats_url) =
        (format!("redis://127.0.0.1:{}", redis.port), format!("nats://127.0.0.1:{}", nats.port));
    println!("| | delivered/s | CPU per delivery | p50 | p99 |");
    println!("|---|---:|---:|---:|---:|");

    let (hub, client) = start(bind(1).await).await;
    measure("one server", count, vec![client], Sender::hub(hub, 1)).await;

    let bus = Memory::new();
    let servers = vec![bind(1).await.backplane(bus.clone()), bind(1).await.backplane(bus)];
    joined("`Memory`", count, servers, 1).await;

    let (hub, client) = start(bind(1).await).await;
    let sender = by_hand(&redis_url, hub).await;
    measure("the crate `redis` by hand", count, vec![client], sender).await;

    for (servers, rooms) in [(2, 1), (3, 1), (2, 10), (2, 1000), (2, 10_000)] {
        let mut all = Vec::new();
        for _ in 0..servers {
            all.push(bind(rooms).await.backplane(Redis::connect(&redis_url).await.unwrap()));
        }
        joined(&format!("`Redis`, servers: {servers}, rooms: {rooms}"), count, all, rooms).await;
        let mut all = Vec::new();
        for _ in 0..servers {
            all.push(bind(rooms).await.backplane(Nats::connect(&nats_url).await.unwrap()));
        }
        joined(&format!("`Nats`, servers: {servers}, rooms: {rooms}"), count, all, rooms).await;
    }

    if let Some((client, sender, _servers)) = socket_io(&redis_url).await {
        measure("Socket.IO, servers: 2, rooms: 1", count / 10, vec![client], sender).await;
    }
}

async fn bind(rooms: usize) -> Server {
    let in_rooms = handler_fn().on_open(move |client| {
        for at in 0..rooms {
            client.join(&format!("room {at}"))?;
        }
        Ok::<_, JoinError>(())
    });
    let server = Server::bind("ws://127.0.0.1:0").await.unwrap();
    server.max_rooms_per_client(rooms).route("/", in_rooms)
}

/// Starts a server, with a client in its rooms.
async fn start(server: Server) -> (Hub, WebSocket<ClientStream>) {
    let (addr, hub) = (server.local_addr().unwrap(), server.hub());
    tokio::spawn(server.run());
    let client = connect(&format!("ws://{addr}/")).await.unwrap();
    while hub.room("room 0").is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    (hub, client)
}

async fn joined(name: &str, count: u64, mut servers: Vec<Server>, rooms: usize) {
    let first = servers.remove(0);
    let from = first.hub();
    tokio::spawn(first.run());
    let mut clients = Vec::new();
    for server in servers {
        clients.push(start(server).await.1);
    }
    measure(name, count, clients, Sender::hub(from, rooms)).await;
}

/// What messages are given to.
enum Sender {
    Hub { hub: Hub, rooms: Vec<String>, next: AtomicUsize },
    ByHand(mpsc::Sender<String>),
    SocketIo { ws: Box<WebSocket<ClientStream>>, processes: Vec<u32> },
}

impl Sender {
    fn hub(hub: Hub, rooms: usize) -> Self {
        let rooms = (0..rooms).map(|at| format!("room {at}")).collect();
        Self::Hub { hub, rooms, next: AtomicUsize::new(0) }
    }

    const fn rooms(&self) -> usize {
        match self {
            Self::Hub { rooms, .. } => rooms.len(),
            _ => 1,
        }
    }

    /// Sends the same message so many times.
    async fn send(&mut self, count: u64, message: &str) {
        match self {
            Self::Hub { hub, rooms, next } => {
                for _ in 0..count {
                    let at = next.fetch_add(1, Ordering::Relaxed) % rooms.len();
                    let reach = hub.room(&rooms[at]).publish(message).unwrap();
                    assert!(reach.others.is_none_or(|it| it.is_ok()), "{reach:?}");
                }
            }
            Self::ByHand(queue) => {
                for _ in 0..count {
                    queue.send(message.to_owned()).await.unwrap();
                }
            }
            Self::SocketIo { ws, .. } => {
                ws.send(format!("42[\"send\",{count},\"{message}\"]")).await.unwrap();
            }
        }
    }

    /// The processor time of all servers.
    fn processor_time(&self) -> Duration {
        match self {
            Self::SocketIo { processes, .. } => {
                processes.iter().map(|it| processor_time(&it.to_string())).sum()
            }
            _ => processor_time("self"),
        }
    }
}

/// Two servers, a client of each, and the one of the first as the sender.
async fn socket_io(
    redis: &str,
) -> Option<(WebSocket<ClientStream>, Sender, Vec<sansws_test::process::Process>)> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let modules = root.join("target/socket-io");
    if !modules.join("node_modules/socket.io").exists() {
        eprintln!("Socket.IO is not in {}", modules.display());
        return None;
    }
    let mut servers = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut command = Command::new("node");
        command.env("NODE_ENV", "production");
        command.arg(root.join("benches/socket_io.mjs")).arg(&modules).arg(redis);
        let mut process =
            sansws_test::process::Process::spawn_for(Duration::from_secs(600), &mut command);
        let port = process.stdout_line(sansws_test::process::START);
        servers.push(process);
        let url = format!("ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket");
        let mut ws = connect(&url).await.unwrap();
        ws.recv().await.unwrap();
        ws.send("40").await.unwrap();
        ws.recv().await.unwrap();
        clients.push(ws);
    }
    let mut receiver = clients.pop()?;
    receiver.send("42[\"join\"]").await.unwrap();
    let processes = servers.iter().map(|it| it.id()).collect();
    Some((receiver, Sender::SocketIo { ws: Box::new(clients.pop()?), processes }, servers))
}

/// The least that joins two servers: a queue whose contents go to Redis in one pipeline, and what
/// comes goes to the room.
async fn by_hand(url: &str, to: Hub) -> Sender {
    let client = redis::Client::open(url).unwrap();
    let mut publish = client.get_multiplexed_async_connection().await.unwrap();
    let (mut sink, mut stream) = client.get_async_pubsub().await.unwrap().split();
    sink.subscribe("room 0").await.unwrap();
    let (queue, mut waiting) = mpsc::channel::<String>(8192);
    tokio::spawn(async move {
        let mut batch = Vec::new();
        while waiting.recv_many(&mut batch, 512).await > 0 {
            let mut commands = redis::Pipeline::new();
            for message in batch.drain(..) {
                commands.publish("room 0", message).ignore();
            }
            commands.query_async::<()>(&mut publish).await.unwrap();
        }
    });
    tokio::spawn(async move {
        let _sink = sink;
        while let Some(message) = stream.next().await {
            let text: String = message.get_payload().unwrap();
            to.room("room 0").send(text).unwrap();
        }
    });
    Sender::ByHand(queue)
}

async fn measure(
    name: &str,
    count: u64,
    clients: Vec<WebSocket<ClientStream>>,
    mut sender: Sender,
) {
    let begin = Instant::now();
    let message = || format!("{:016}{}", begin.elapsed().as_nanos(), "x".repeat(SIZE - 16));
    let arrived = Arc::new(Arrived::default());
    let each = clients.len() as u64;
    let receivers: Vec<_> = clients
        .into_iter()
        .map(|client| tokio::spawn(receive(client, Arc::clone(&arrived), begin)))
        .collect();
    // until the way is there, of all rooms to all servers
    let rooms = sender.rooms() as u64;
    loop {
        let before = arrived.count.load(Ordering::Relaxed);
        sender.send(rooms, &message()).await;
        sleep(Duration::from_millis(1000)).await;
        if arrived.count.load(Ordering::Relaxed) == before + rooms * each {
            break;
        }
    }

    let first = arrived.count.load(Ordering::Relaxed);
    let (start, cpu) = (Instant::now(), sender.processor_time());
    for at in (0..count).step_by(BURST as usize) {
        arrived.reaches((first + at * each).saturating_sub(AHEAD)).await;
        sender.send(BURST.min(count - at), &message()).await;
    }
    arrived.reaches(first + count * each).await;
    let (time, cpu) = (start.elapsed(), sender.processor_time() - cpu);

    let first = first + count * each;
    for at in 0..DELAYS {
        sender.send(1, &message()).await;
        sleep(Duration::from_millis(1)).await;
        arrived.reaches((first + at * each).saturating_sub(100)).await;
    }
    arrived.reaches(first + DELAYS * each).await;
    for receiver in receivers {
        receiver.abort();
    }
    let mut delays = std::mem::take(&mut *arrived.delays.lock().unwrap());
    let delays = &mut delays[first as usize..];
    delays.sort();
    let at = |part: f64| delays[(delays.len() as f64 * part) as usize].as_micros();
    let delivered = (count * each) as f64;
    println!(
        "| {name} | {:.0} | {:.2} µs | {} µs | {} µs |",
        delivered / time.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / delivered,
        at(0.5),
        at(0.99)
    );
}

#[derive(Default)]
struct Arrived {
    count: AtomicU64,
    delays: std::sync::Mutex<Vec<Duration>>,
    noted: Notify,
}

impl Arrived {
    async fn reaches(&self, count: u64) {
        while self.count.load(Ordering::Relaxed) < count {
            let _ = timeout(Duration::from_millis(20), self.noted.notified()).await;
        }
    }
}

async fn receive(mut client: WebSocket<ClientStream>, arrived: Arc<Arrived>, begin: Instant) {
    while let Ok(Some(message)) = client.recv().await {
        let text = message.as_text().unwrap();
        if text == "2" {
            let _ = client.send("3").await; // a ping of Socket.IO
            continue;
        }
        let text = text.strip_prefix("42[\"m\",\"").unwrap_or(text);
        let sent: u64 = text[..16].parse().unwrap();
        let delay = begin.elapsed().saturating_sub(Duration::from_nanos(sent));
        arrived.delays.lock().unwrap().push(delay);
        if arrived.count.fetch_add(1, Ordering::Relaxed).is_multiple_of(64) {
            arrived.noted.notify_one();
        }
    }
}

/// The processor time of a process, to a hundredth of a second.
fn processor_time(process: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let ticks: u64 = rest.split(' ').skip(11).take(2).map(|it| it.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

struct Broker {
    process: Child,
    port: u16,
}

impl Broker {
    fn start(program: &str, options: &[&str]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut command = Command::new(program);
        command.args(options).arg(port.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        let this = Self { process, port };
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "{program} does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        this
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

//! What a message costs from one server to a client of another one, by each engine, and beside a
//! loop on the crate `redis` that is written by hand.
//!
//! `cargo bench --bench backplane --features redis,nats [-- MESSAGES]`, on Linux, with
//! `redis-server` and `nats-server` (Debian: packages of these names). It starts its own.
//!
//! Two servers in this process, one client of the second in a room; the first sends to the room.
//! The processor time is that of this process, with both servers and the client, and without the
//! broker.
#![allow(clippy::unwrap_used)]

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use sansws::server::backplane::{Memory, Nats, Redis};
use sansws::server::{Hub, Server, handler_fn};
use sansws::tokio::{ClientStream, WebSocket, connect};
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

/// Bytes in a message, the first 16 of which are a time.
const SIZE: usize = 100;

/// The most messages under way where throughput is measured.
const AHEAD: u64 = 4096;

/// Messages of which the delay is measured, one each millisecond.
const DELAYS: u64 = 2000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let count = std::env::args().skip(1).find_map(|it| it.parse().ok()).unwrap_or(300_000);
    let redis = Broker::start("redis-server", &["--save", "", "--bind", "127.0.0.1", "--port"]);
    let nats = Broker::start("nats-server", &["-a", "127.0.0.1", "-p"]);
    let (redis_url, nats_url) =
        (format!("redis://127.0.0.1:{}", redis.port), format!("nats://127.0.0.1:{}", nats.port));
    println!("| | messages/s | CPU per message | p50 | p99 |");
    println!("|---|---:|---:|---:|---:|");

    let server = bind().await;
    let (hub, client) = start(server).await;
    measure("one server", count, hub.clone(), client, Sender::Hub(hub)).await;

    let bus = Memory::new();
    let (one, two) = (bind().await.backplane(bus.clone()), bind().await.backplane(bus));
    pair("`Memory`", count, one, two).await;

    let connect = async || Redis::connect(&redis_url).await.unwrap();
    let one = bind().await.backplane(connect().await);
    pair("`Redis`", count, one, bind().await.backplane(connect().await)).await;

    let (hub, client) = start(bind().await).await;
    let sender = by_hand(&redis_url, hub.clone()).await;
    measure("the crate `redis` by hand", count, hub, client, sender).await;

    let connect = async || Nats::connect(&nats_url).await.unwrap();
    let one = bind().await.backplane(connect().await);
    pair("`Nats`", count, one, bind().await.backplane(connect().await)).await;
}

async fn bind() -> Server {
    let in_room = handler_fn().on_open(|client| client.join("room"));
    Server::bind("ws://127.0.0.1:0").await.unwrap().route("/", in_room)
}

/// Starts a server, with a client in the room.
async fn start(server: Server) -> (Hub, WebSocket<ClientStream>) {
    let (addr, hub) = (server.local_addr().unwrap(), server.hub());
    tokio::spawn(server.run());
    let client = connect(&format!("ws://{addr}/")).await.unwrap();
    while hub.room("room").is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    (hub, client)
}

async fn pair(name: &str, count: u64, one: Server, two: Server) {
    let from = one.hub();
    tokio::spawn(one.run());
    let (hub, client) = start(two).await;
    measure(name, count, hub, client, Sender::Hub(from)).await;
}

/// What messages are given to.
enum Sender {
    Hub(Hub),
    ByHand(mpsc::Sender<String>),
}

impl Sender {
    async fn send(&self, message: String) {
        match self {
            Self::Hub(hub) => {
                let reach = hub.room("room").publish(message).unwrap();
                assert!(reach.others.is_none_or(|it| it.is_ok()), "{reach:?}");
            }
            Self::ByHand(queue) => queue.send(message).await.unwrap(),
        }
    }
}

/// The least that joins two servers: a queue whose contents go to Redis in one pipeline, and what
/// comes goes to the room.
async fn by_hand(url: &str, to: Hub) -> Sender {
    let client = redis::Client::open(url).unwrap();
    let mut publish = client.get_multiplexed_async_connection().await.unwrap();
    let (mut sink, mut stream) = client.get_async_pubsub().await.unwrap().split();
    sink.subscribe("room").await.unwrap();
    let (queue, mut waiting) = mpsc::channel::<String>(8192);
    tokio::spawn(async move {
        let mut batch = Vec::new();
        while waiting.recv_many(&mut batch, 512).await > 0 {
            let mut commands = redis::Pipeline::new();
            for message in batch.drain(..) {
                commands.publish("room", message).ignore();
            }
            commands.query_async::<()>(&mut publish).await.unwrap();
        }
    });
    tokio::spawn(async move {
        let _sink = sink;
        while let Some(message) = stream.next().await {
            let text: String = message.get_payload().unwrap();
            to.room("room").send(text).unwrap();
        }
    });
    Sender::ByHand(queue)
}

async fn measure(
    name: &str,
    count: u64,
    _hub: Hub,
    client: WebSocket<ClientStream>,
    sender: Sender,
) {
    let begin = Instant::now();
    let message = || format!("{:016}{}", begin.elapsed().as_nanos(), "x".repeat(SIZE - 16));
    let arrived = Arc::new(Arrived::default());
    let receiver = tokio::spawn(receive(client, Arc::clone(&arrived), begin));
    // until the way is there
    while timeout(Duration::from_millis(100), arrived.reaches(1)).await.is_err() {
        sender.send(message()).await;
    }
    sleep(Duration::from_millis(300)).await;

    let first = arrived.count.load(Ordering::Relaxed);
    let (start, cpu) = (Instant::now(), processor_time());
    for at in 0..count {
        if at.is_multiple_of(256) {
            arrived.reaches((first + at).saturating_sub(AHEAD)).await;
        }
        sender.send(message()).await;
    }
    arrived.reaches(first + count).await;
    let (time, cpu) = (start.elapsed(), processor_time() - cpu);

    let first = first + count;
    for at in 0..DELAYS {
        sender.send(message()).await;
        sleep(Duration::from_millis(1)).await;
        arrived.reaches((first + at).saturating_sub(100)).await;
    }
    arrived.reaches(first + DELAYS).await;
    receiver.abort();
    let mut delays = std::mem::take(&mut *arrived.delays.lock().unwrap());
    let delays = &mut delays[first as usize..];
    delays.sort();
    let at = |part: f64| delays[(delays.len() as f64 * part) as usize].as_micros();
    println!(
        "| {name} | {:.0} | {:.2} µs | {} µs | {} µs |",
        count as f64 / time.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / count as f64,
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
        let sent: u64 = message.as_text().unwrap()[..16].parse().unwrap();
        let delay = begin.elapsed().saturating_sub(Duration::from_nanos(sent));
        arrived.delays.lock().unwrap().push(delay);
        if arrived.count.fetch_add(1, Ordering::Relaxed).is_multiple_of(64) {
            arrived.noted.notify_one();
        }
    }
}

/// The processor time of this process, to a hundredth of a second.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
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

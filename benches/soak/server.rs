//! The process with the event server. It does what lines on its standard input say, and ends when
//! that ends.

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sansws::deflate::Deflate;
use sansws::server::{Accept, Hub, Received, Server, ServerHandle, TrySendError, handler_fn};
use sansws::{CloseCode, Config};
use sansws_test::system::descriptors;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::payload;

/// How long a client that is told to come back may take to close.
pub const FAREWELL: Duration = Duration::from_secs(90);

/// The code of a close that the client has asked for.
pub const ON_REQUEST: u16 = 4000;

/// What a client gets that asks for a flood: messages, and bytes of each.
const FLOOD: u64 = 96;
const FLOOD_LEN: usize = 64 * 1024;

/// How many messages a connection has sent.
struct Seen(AtomicU64);

/// What went wrong.
#[derive(Default)]
struct Faults {
    /// Messages that were changed, lost, doubled, or came out of turn.
    messages: AtomicU64,
    /// Answers that could not be sent though the client was there.
    answers: AtomicU64,
}

pub fn main(addr: &str) {
    let (commands, receiver) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let _ = commands.send(line);
        }
        std::process::exit(0); // nobody is there any more
    });
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(serve(addr, receiver));
}

async fn serve(addr: &str, commands: UnboundedReceiver<String>) {
    let before = descriptors(std::process::id());
    let faults = Arc::new(Faults::default());
    let config = Config::new()
        .max_message_len(payload::LARGEST)
        .max_unsent(64 * 1024)
        .handshake_timeout(Duration::from_secs(60)); // the machine is busy, and not with attackers
    let server = Server::bind_shared(addr).await.unwrap();
    println!("listening on {}", server.local_addr().unwrap());
    let echo = {
        let faults = Arc::clone(&faults);
        handler_fn().on_request(|_| Ok(accept())).on_message(move |client, message| {
            match message.as_bytes() {
                b"close" => {
                    let _ = client.close(CloseCode::new(ON_REQUEST).unwrap(), "");
                }
                b"abort" => client.abort(),
                _ => {
                    faults.look_at(client.state(), &message);
                    faults.note(client.send(message));
                }
            }
        })
    };
    let room = {
        let faults = Arc::clone(&faults);
        handler_fn()
            .on_request(|_| Ok(accept()))
            .on_open(|client| client.join(client.info().param("room").unwrap()))
            .on_message(move |client, message| match message.as_bytes() {
                b"close" => {
                    let _ = client.close(CloseCode::new(ON_REQUEST).unwrap(), "");
                }
                b"abort" => client.abort(),
                _ => {
                    faults.look_at(client.state(), &message);
                    let room = client.info().param("room").unwrap();
                    client.hub().room(room).send(message).unwrap();
                }
            })
    };
    let flood = handler_fn().on_message(|client, _| {
        let mut message = String::new();
        for number in 1..=FLOOD {
            payload::write(0, number, FLOOD_LEN, &mut message);
            if client.send(payload::message(number, &message)).is_err() {
                break; // it is too slow
            }
        }
    });
    let server = server
        .config(config)
        .deflate(Deflate::new())
        .route("/echo", echo)
        .route("/room/{room}", room)
        .route("/flood", flood);
    let (hub, handle) = (server.hub(), server.handle());
    let commands = tokio::spawn(obey(commands, handle, hub.clone(), Arc::clone(&faults)));
    server.run().await.unwrap();
    let stop = commands.await.unwrap();
    println!(
        "stopped after={} descriptors_before={before} descriptors={} {}",
        stop.elapsed().as_millis(),
        descriptors(std::process::id()),
        report(&hub, &faults)
    );
}

fn accept() -> Accept {
    Accept::new().client_state(Seen(AtomicU64::new(0)))
}

/// Obeys up to `stop`, and returns when that began.
async fn obey(
    mut commands: UnboundedReceiver<String>,
    handle: ServerHandle,
    hub: Hub,
    faults: Arc<Faults>,
) -> Instant {
    while let Some(command) = commands.recv().await {
        match command.as_str() {
            "stop" => {
                let start = Instant::now();
                handle.stop_listening().await;
                handle.shutdown(CloseCode::SERVICE_RESTART, "", FAREWELL).await.unwrap();
                return start;
            }
            _ => println!("{}", report(&hub, &faults)),
        }
    }
    std::process::exit(0)
}

fn report(hub: &Hub, faults: &Faults) -> String {
    let stats = hub.stats();
    format!(
        "open={} pending={} rooms={} opened={} received={} sent={} slow={} gave_way={} panics={} \
         bad_messages={} bad_answers={}",
        stats.open(),
        stats.pending,
        stats.rooms,
        stats.opened,
        stats.received,
        stats.sent,
        stats.slow_closed,
        stats.gave_way,
        stats.panics,
        faults.messages.load(Ordering::Relaxed),
        faults.answers.load(Ordering::Relaxed),
    )
}

impl Faults {
    /// Expects the next message of a connection.
    fn look_at(&self, seen: Option<&Seen>, message: &Received<'_>) {
        let expected = seen.unwrap().0.fetch_add(1, Ordering::Relaxed) + 1;
        let is_good = payload::read(message.as_bytes()).is_some_and(|(_, it)| it == expected)
            && message.as_text().is_some() == payload::is_text(expected);
        self.messages.fetch_add(u64::from(!is_good), Ordering::Relaxed);
    }

    /// A client that is closing gets no answer; any other does.
    fn note(&self, sent: Result<(), TrySendError>) {
        let is_bad = !matches!(sent, Ok(()) | Err(TrySendError::Closed));
        self.answers.fetch_add(u64::from(is_bad), Ordering::Relaxed);
    }
}

//! What runs on the two machines. Each says on stdout what happens, a line for each thing.

use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use core::time::Duration;

use sansws::blocking;
use sansws::{Config, Error, KeepAlive};
use tokio::runtime::Runtime;

use crate::{INTERVAL, PONG_TIMEOUT};

/// Reserved for documentation (RFC 5737), and in the namespaces only.
pub const SERVER_ADDRESS: &str = "192.0.2.1";
pub const CLIENT_ADDRESS: &str = "192.0.2.2";

const PORT: u16 = 9001;

/// The sockets of the server, in the order in which they are accepted. Those that send never stop,
/// so that they are blocked soon after the cable is pulled.
pub const SOCKETS: [&str; 7] = [
    "tokio, receives",
    "tokio, sends",
    "tokio, split, receives",
    "tokio, split, sends",
    "blocking, receives",
    "blocking, sends",
    "blocking, split, receives",
];

/// How many connections serve those: a split socket has two of them.
const CONNECTIONS: usize = 6;

#[derive(Clone, Copy)]
pub enum Role {
    Server,
    Client,
}

pub fn run(role: Role) {
    match role {
        Role::Server => serve(),
        Role::Client => visit(),
    }
}

fn config() -> Config {
    Config::new().keep_alive(KeepAlive::Every(INTERVAL)).pong_timeout(PONG_TIMEOUT)
}

fn say(socket: &str, end: Result<(), Error>) {
    match end {
        Err(error) if error.is_timeout() => println!("{socket}: timeout"),
        other => println!("{socket}: {other:?}"),
    }
}

fn serve() {
    let listener = TcpListener::bind((SERVER_ADDRESS, PORT)).unwrap();
    println!("\nlistening");
    let runtime = Runtime::new().unwrap();
    let (done, all_done) = mpsc::channel();
    for number in 0..CONNECTIONS {
        let stream = listener.accept().unwrap().0;
        let done = done.clone();
        if number < 3 {
            stream.set_nonblocking(true).unwrap();
            runtime.spawn(async move {
                serve_tokio(number, stream).await;
                done.send(()).unwrap();
            });
        } else {
            thread::spawn(move || {
                serve_blocking(number, stream);
                done.send(()).unwrap();
            });
        }
    }
    println!("busy");
    for _ in 0..CONNECTIONS {
        all_done.recv_timeout(Duration::from_secs(30)).unwrap();
    }
}

static PAYLOAD: [u8; 64 * 1024] = [0; 64 * 1024];

async fn serve_tokio(number: usize, stream: TcpStream) {
    let stream = tokio::net::TcpStream::from_std(stream).unwrap();
    let mut ws = sansws::tokio::accept_with(stream, &config()).await.unwrap();
    match number {
        0 => say(SOCKETS[0], ws.recv().await.map(|_| ())),
        1 => {
            let end = loop {
                if let Err(error) = ws.send(&PAYLOAD).await {
                    break error;
                }
            };
            say(SOCKETS[1], Err(end));
        }
        _ => {
            let (mut receiver, sender) = ws.into_split();
            let sending = tokio::spawn(async move {
                let end = loop {
                    if let Err(error) = sender.send(&PAYLOAD).await {
                        break error;
                    }
                };
                say(SOCKETS[3], Err(end));
            });
            say(SOCKETS[2], receiver.recv().await.map(|_| ()));
            sending.await.unwrap();
        }
    }
}

fn serve_blocking(number: usize, stream: TcpStream) {
    let mut ws = blocking::accept_with(stream, &config()).unwrap();
    match number {
        3 => say(SOCKETS[4], ws.recv().map(|_| ())),
        4 => {
            let end = loop {
                if let Err(error) = ws.send(&PAYLOAD) {
                    break error;
                }
            };
            say(SOCKETS[5], Err(end));
        }
        _ => {
            let (mut receiver, sender) = ws.split();
            say(SOCKETS[6], receiver.recv().map(|_| ()));
            drop(sender);
        }
    }
}

/// Opens all connections and receives on them, in threads: what comes is thrown away, and every
/// ping is answered.
fn visit() {
    let receiving: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let url = format!("ws://{SERVER_ADDRESS}:{PORT}/");
            let mut ws = blocking::connect(&url).unwrap();
            thread::spawn(move || while let Ok(Some(_)) = ws.next_event() {})
        })
        .collect();
    println!("\nconnected");
    // killed when the test is over
    receiving.into_iter().for_each(|thread| thread.join().unwrap());
}

//! A game at 60 frames a second: client and server on non-blocking sockets and the core, with no
//! runtime. Every frame, each end does what can be done without waiting.
//!
//! `cargo run --example game_loop -- ADDR` serves, and prints its address. With `--client ADDR` it
//! plays there for a second, closes, and says what it saw.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::endpoint::{Endpoint, EndpointError, Step};
use sansws::handshake::{client::Request, server::Accept};
use sansws::{Config, Event};

const FRAME: Duration = Duration::from_micros(16_667);

/// The steps that a peer gets in a frame: a flood must not hold up the game.
const STEPS: usize = 64;

struct Peer {
    stream: TcpStream,
    endpoint: Endpoint,
    rx: RecvBuffer,
    tx: SendBuffer,
}

impl Peer {
    fn new(stream: TcpStream, endpoint: Endpoint, tx: SendBuffer) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, endpoint, rx: RecvBuffer::new(), tx })
    }

    /// Does what can be done now, and counts the messages. The result once the connection is over.
    fn update(&mut self, now: Duration, texts: &mut usize) -> Option<Result<(), EndpointError>> {
        let Self { stream, endpoint, rx, tx } = self;
        for _ in 0..STEPS {
            match endpoint.step(rx, tx) {
                // that reading or writing failed shows in the result
                Step::Write => drop(endpoint.write_to(tx, stream)),
                Step::Read { .. } => {
                    let Ok(false) = endpoint.read_from(rx, stream) else { continue };
                    break;
                }
                Step::Response(_) => {}
                Step::Wait { .. } | Step::Again => break,
                Step::ShutdownWrite => {
                    let _ = stream.shutdown(std::net::Shutdown::Write);
                    endpoint.note_shut_down();
                }
                Step::Request(request) => drop(endpoint.accept(request, &Accept::default(), tx)),
                Step::Event(event) => *texts += usize::from(matches!(event, Event::Text(_))),
                Step::Close(result) => return Some(result),
            }
        }
        endpoint.handle_timeout(now, tx); // after what has come was taken in
        None
    }
}

fn serve(addr: &str) -> io::Result<()> {
    let listener = TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    println!("listening on ws://{}", listener.local_addr()?);
    let (start, mut players, mut moves) = (Instant::now(), Vec::new(), 0);
    loop {
        if let Ok((stream, _)) = listener.accept() {
            players.extend(Peer::new(stream, Endpoint::server(&Config::new()), SendBuffer::new()));
        }
        let now = start.elapsed();
        players.retain_mut(|player| {
            // refused before the handshake, and for a player who has fallen behind
            let _ = player.endpoint.feed(&mut player.tx, &*format!("{moves} moves"));
            player.update(now, &mut moves).is_none()
        });
        std::thread::sleep(FRAME.saturating_sub(start.elapsed() - now));
    }
}

fn play(addr: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut tx = SendBuffer::new();
    let request = Request::new(&format!("ws://{addr}"))?;
    let endpoint = Endpoint::client(&request, Endpoint::random_seed()?, &Config::new(), &mut tx)?;
    let mut peer = Peer::new(TcpStream::connect(addr)?, endpoint, tx)?;
    let (start, mut states) = (Instant::now(), 0);
    for frame in 0.. {
        let _ = peer.endpoint.feed(&mut peer.tx, "move"); // refused before and after
        if frame == 60 {
            peer.endpoint.close(&mut peer.tx, None)?;
        }
        let now = start.elapsed();
        if let Some(result) = peer.update(now, &mut states) {
            println!("saw {states} states");
            return Ok(result?);
        }
        std::thread::sleep(FRAME.saturating_sub(start.elapsed() - now));
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [addr] => Ok(serve(addr)?),
        ["--client", addr] => play(addr),
        _ => Err("usage: game_loop [--client] ADDR".into()),
    }
}

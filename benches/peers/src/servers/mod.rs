//! The echo servers: ours, the peers', and two floors.

mod broadcast;
mod computing;
mod fastwebsockets;
pub mod floor;
mod floor_epoll;
mod floor_tokio;
mod sockudo;
mod soketto;
mod tokio_tungstenite;
mod tokio_websockets;
mod tungstenite;
mod upgrade;
mod uwebsockets;
mod yawc;

use std::future::{Future, poll_fn};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt};

use tokio::net::{TcpListener, TcpStream};

#[derive(Clone, Copy, PartialEq)]
pub enum Group {
    Floor,
    Ours,
    Peer,
}

#[derive(Clone, Copy, PartialEq)]
pub enum For {
    Everything,
    /// Idle connections alone.
    Memory,
    /// The comparisons of sizes and threads alone; it may use both processors.
    Scale,
    /// Messages to many alone.
    Broadcast,
    /// Compressed messages alone.
    Compression,
    /// Attacks alone: with handlers that compute, or no program of this kind.
    Attackers,
}

pub struct Server {
    pub name: &'static str,
    pub group: Group,
    /// What it is of interest for.
    pub part: For,
    /// How to start it.
    pub program: Program,
}

#[derive(Clone, Copy)]
pub enum Program {
    /// An example of the main crate, by the name of its program.
    Example(&'static str, &'static [&'static str]),
    /// A script for node or python, with these arguments.
    Script(Interpreter, &'static str, &'static [&'static str]),
    /// This program.
    Own(fn() -> io::Result<()>),
    /// This program, with a library that may not be there.
    Foreign(fn() -> io::Result<()>),
}

#[derive(Clone, Copy)]
pub enum Interpreter {
    Node,
    Python,
}

pub const SERVERS: [Server; 40] = [
    own("floor-epoll", Group::Floor, floor_epoll::serve),
    own("floor-tokio", Group::Floor, floor_tokio::serve),
    ours("sansws-tokio", "echo"),
    ours("sansws-events", "echo_events"),
    ours("sansws-mio", "echo_mio"),
    ours("sansws-blocking", "echo_blocking"),
    own("tungstenite", Group::Peer, tungstenite::serve),
    own("tokio-tungstenite", Group::Peer, tokio_tungstenite::plain),
    own("tokio-tungstenite-batched", Group::Peer, tokio_tungstenite::batched),
    own("fastwebsockets", Group::Peer, fastwebsockets::serve),
    own("tokio-websockets", Group::Peer, tokio_websockets::plain),
    own("tokio-websockets-batched", Group::Peer, tokio_websockets::batched),
    own("sockudo-ws", Group::Peer, sockudo::plain),
    own("sockudo-ws-batched", Group::Peer, sockudo::batched),
    own("sockudo-ws-protocol", Group::Peer, sockudo::protocol),
    own("yawc", Group::Peer, yawc::plain),
    own("yawc-batched", Group::Peer, yawc::batched),
    own("soketto", Group::Peer, soketto::serve),
    foreign("uwebsockets", For::Everything, uwebsockets::plain),
    Server {
        name: "sansws-tokio-2-threads",
        group: Group::Ours,
        part: For::Scale,
        program: Program::Example("echo", &["--threads", "2"]),
    },
    Server {
        name: "sansws-events-2-threads",
        group: Group::Ours,
        part: For::Scale,
        program: Program::Example("echo_events", &["--threads", "2"]),
    },
    Server {
        part: For::Scale,
        ..own("sansws-broadcast-2-threads", Group::Ours, broadcast::events_on_two_threads)
    },
    Server {
        part: For::Memory,
        ..own("tokio-tungstenite-tuned", Group::Peer, tokio_tungstenite::tuned)
    },
    node("node-ws", For::Attackers, &[]),
    computing("sansws-tokio-1ms", Group::Ours, computing::tokio),
    computing("sansws-events-1ms", Group::Ours, computing::events),
    computing("tokio-tungstenite-1ms", Group::Peer, tokio_tungstenite::computing),
    node("node-ws-1ms", For::Attackers, &["--compute"]),
    broadcast("floor-broadcast", Group::Floor, broadcast::floor),
    broadcast("sansws-broadcast", Group::Ours, broadcast::events),
    broadcast("axum-broadcast", Group::Peer, broadcast::axum),
    foreign("uwebsockets-broadcast", For::Broadcast, uwebsockets::broadcast),
    node("node-ws-broadcast", For::Broadcast, &["--broadcast"]),
    python("python-websockets-broadcast", For::Broadcast, &["--broadcast"]),
    Server { part: For::Compression, ..ours("sansws-tokio-deflate", "echo") },
    Server { part: For::Compression, ..ours("sansws-events-deflate", "echo_events") },
    Server { part: For::Compression, ..ours("sansws-mio-deflate", "echo_mio") },
    foreign("uwebsockets-deflate", For::Compression, uwebsockets::deflate),
    node("node-ws-deflate", For::Compression, &["--all"]),
    python("python-websockets-deflate", For::Compression, &[]),
];

pub fn find(name: &str) -> Option<&'static Server> {
    SERVERS.iter().find(|server| server.name == name)
}

const fn own(name: &'static str, group: Group, serve: fn() -> io::Result<()>) -> Server {
    Server { name, group, part: For::Everything, program: Program::Own(serve) }
}

const fn foreign(name: &'static str, part: For, serve: fn() -> io::Result<()>) -> Server {
    Server { name, group: Group::Peer, part, program: Program::Foreign(serve) }
}

const fn ours(name: &'static str, example: &'static str) -> Server {
    let program = Program::Example(example, &[]);
    Server { name, group: Group::Ours, part: For::Everything, program }
}

const fn node(name: &'static str, part: For, args: &'static [&'static str]) -> Server {
    const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/servers/node_ws.mjs");
    let program = Program::Script(Interpreter::Node, SCRIPT, args);
    Server { name, group: Group::Peer, part, program }
}

const fn python(name: &'static str, part: For, args: &'static [&'static str]) -> Server {
    const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/servers/python_websockets.py");
    let program = Program::Script(Interpreter::Python, SCRIPT, args);
    Server { name, group: Group::Peer, part, program }
}

const fn broadcast(name: &'static str, group: Group, serve: fn() -> io::Result<()>) -> Server {
    Server { part: For::Broadcast, ..own(name, group, serve) }
}

const fn computing(name: &'static str, group: Group, serve: fn() -> io::Result<()>) -> Server {
    Server { part: For::Attackers, ..own(name, group, serve) }
}

/// What a handler does that computes.
fn compute() {
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1) {
        std::hint::spin_loop();
    }
}

/// Prints where the server is, as the examples do.
fn announce(addr: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on ws://{addr}")?;
    out.flush()
}

/// Accepts connections on tokio, on one thread, each for a task of its own.
fn on_tokio<F>(handle: impl Fn(TcpStream) -> F) -> io::Result<()>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        announce(listener.local_addr()?)?;
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            stream.set_nodelay(true)?;
            tokio::spawn(handle(stream));
        }
    })
}

/// Waits for a message and takes those that are there with it, 32 at most; none at the end.
async fn take_ready<S: Stream + Unpin>(stream: &mut S, items: &mut Vec<S::Item>) {
    poll_fn(|cx| {
        while items.len() < 32 {
            match stream.poll_next_unpin(cx) {
                Poll::Ready(Some(item)) => items.push(item),
                Poll::Pending if items.is_empty() => return Poll::Pending,
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Poll::Ready(())
    })
    .await;
}

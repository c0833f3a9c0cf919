//! Servers that send what one client says to all: a floor, ours, and `axum` with a broadcast
//! channel of tokio, as its own example has it.

use std::io::{self, ErrorKind, Read, Write};

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::routing::any;
use futures_util::{SinkExt, StreamExt};
use mio::net::TcpStream;
use mio::{Events, Interest, Token};
use sansws::server::{OriginPolicy, Server, handler_fn};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Sender, channel};

use super::floor::{push_replies, respond};
use super::floor_epoll::{LISTENER, accept, listen};

/// What a server can do the least: one read for what has come, and one write of it for each client.
pub fn floor() -> io::Result<()> {
    let (listener, mut poll) = listen()?;
    let mut clients = Vec::new();
    let mut events = Events::with_capacity(1024);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => {
                    while let Some(mut stream) = accept(&listener)? {
                        let interest = Interest::READABLE | Interest::WRITABLE;
                        let token = Token(clients.len());
                        poll.registry().register(&mut stream, token, interest)?;
                        clients.push(Some(Client { stream, open: false, unsent: Vec::new() }));
                    }
                }
                Token(id) => {
                    let mut out = Vec::new();
                    let open = clients[id].as_mut().map(|client| client.take(event, &mut out));
                    if matches!(open, Some(Err(_))) {
                        clients[id] = None;
                    }
                    if !out.is_empty() {
                        clients.iter_mut().for_each(|client| send(client, &out));
                    }
                }
            }
        }
    }
}

/// Writes to one client; what it does not take waits for it.
fn send(slot: &mut Option<Client>, bytes: &[u8]) {
    let Some(client) = slot else { return };
    if !client.open {
        return;
    }
    if client.write(bytes).is_err() {
        *slot = None;
    }
}

struct Client {
    stream: TcpStream,
    open: bool,
    unsent: Vec<u8>,
}

impl Client {
    /// Reads what has come; `out` gets the frames for all.
    fn take(&mut self, event: &mio::event::Event, out: &mut Vec<u8>) -> io::Result<()> {
        if event.is_writable() && !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            self.write(&unsent)?;
        }
        if !event.is_readable() {
            return Ok(());
        }
        // the load generator writes what fits, and no frame is cut
        let mut buffer = [0; 64 * 1024];
        let bytes = match self.stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => &buffer[..n],
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        if !self.open {
            let mut answer = Vec::new();
            respond(bytes, &mut answer);
            self.open = true;
            return self.write(&answer);
        }
        push_replies(bytes, out);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() && self.unsent.is_empty() {
            match self.stream.write(rest) {
                Ok(n) => rest = &rest[n..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.unsent.extend_from_slice(rest);
        Ok(())
    }
}

/// The example `broadcast`, on one thread.
pub fn events() -> io::Result<()> {
    chat_of_ours(&tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// The same on two threads.
pub fn events_on_two_threads() -> io::Result<()> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    chat_of_ours(&builder.worker_threads(2).enable_all().build()?)
}

fn chat_of_ours(runtime: &tokio::runtime::Runtime) -> io::Result<()> {
    let served = runtime.block_on(async {
        let chat = handler_fn().on_message(|client, message| client.hub().all().send(message));
        let server = Server::bind("127.0.0.1:0").await?.route("/", chat).origins(OriginPolicy::Any);
        super::announce(server.local_addr()?)?;
        server.run().await
    });
    served.map_err(io::Error::other)
}

/// A task that reads and one that writes for each client, and a channel between all.
pub fn axum() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        super::announce(listener.local_addr()?)?;
        let (all, _) = channel(1024);
        let upgrade = |upgrade: WebSocketUpgrade, State(all): State<Sender<Message>>| async {
            upgrade.on_upgrade(|socket| chat(socket, all))
        };
        let app = axum::Router::new().route("/", any(upgrade)).with_state(all);
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            let _ = stream.set_nodelay(true);
        });
        axum::serve(listener, app).await
    })
}

async fn chat(socket: WebSocket, all: Sender<Message>) {
    let (mut sink, mut stream) = socket.split();
    let mut messages = all.subscribe();
    let writer = tokio::spawn(async move {
        loop {
            let message = match messages.recv().await {
                Ok(message) => message,
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            };
            if sink.send(message).await.is_err() {
                return;
            }
        }
    });
    while let Some(Ok(message)) = stream.next().await {
        if matches!(message, Message::Text(_) | Message::Binary(_)) {
            let _ = all.send(message);
        }
    }
    writer.abort();
}

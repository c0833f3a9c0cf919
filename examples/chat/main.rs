//! A chat with a page of its own, on one port.
//!
//! `cargo run --example chat [-- ADDR]`, then open the address in two browser windows.
//!
//! - `/` is the page;
//! - `/chat` is the chat: every text goes to everyone as `<id> says: <text>`; a binary message goes
//!   back to its sender;
//! - `/echo` sends every message back.
//!
//! Ctrl-C closes every connection with 1001 and ends the program.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sansws::deflate::Deflate;
use sansws::handshake::server::{Accept, Reject};
use sansws::tokio::{Incoming, WebSocket};
use sansws::{CloseCode, Config, Error, Message, PreparedMessage};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

#[path = "../cli/mod.rs"]
mod cli;

type Ws = WebSocket<TcpStream>;

/// A newcomer may post this much at most.
const MAX_MESSAGE_LEN: usize = 2 * 1024 * 1024;

/// Nothing that is said here is a secret, so it may be compressed; by default without context takeover,
/// so that those who only listen cost no memory for it.
const DEFLATE: Deflate = Deflate::new();

/// Messages that may wait for one client. A client that falls behind further is let go: the chat does
/// not remember for it.
const QUEUE: usize = 256;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let options = cli::Options::parse("chat", "127.0.0.1:8181");
    let listener = TcpListener::bind(&options.addr).await?;
    cli::announce(listener.local_addr()?);

    let room = Arc::new(Room::default());
    let (stop, stopped) = watch::channel(());
    // every connection holds a clone of `alive`; the last one to go wakes `gone`
    let (alive, mut gone) = mpsc::channel::<()>(1);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (room, stopped) = (Arc::clone(&room), stopped.clone());
                    let alive = alive.clone();
                    tokio::spawn(async move {
                        if let Err(error) = serve(stream, room, stopped).await
                            && !error.is_disconnect()
                        {
                            eprintln!("{error}");
                        }
                        drop(alive);
                    });
                }
                Err(error) => {
                    // out of descriptors, most likely: they come back when connections close
                    eprintln!("accept: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    drop((listener, stop, alive));
    let _ = tokio::time::timeout(Duration::from_secs(10), gone.recv()).await;
    Ok(())
}

/// Answers one request: with a page, or with a WebSocket.
async fn serve(
    stream: TcpStream,
    room: Arc<Room>,
    mut stopped: watch::Receiver<()>,
) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let config = Config::new().max_message_len(MAX_MESSAGE_LEN).deflate(DEFLATE);
    let incoming = tokio::select! {
        incoming = sansws::tokio::read_request(stream, &config) => incoming?,
        _ = stopped.changed() => return Ok(()), // a browser may have connected for later
    };
    let request = incoming.request();
    match request.path() {
        "/chat" | "/echo" if request.is_same_origin() == Some(false) => {
            // a page of somebody else must not speak with its visitor's cookies (RFC 6455 §10.2)
            answer(incoming, 403, "text/plain", b"This chat is for its own page only.\n").await
        }
        "/chat" => chat(incoming.accept(&Accept::default()).await?, &room, stopped).await,
        "/echo" => echo(incoming.accept(&Accept::default()).await?, stopped).await,
        "/" => answer(incoming, 200, "text/html; charset=utf-8", PAGE.as_bytes()).await,
        "/favicon.ico" => answer(incoming, 200, "image/svg+xml", ICON.as_bytes()).await,
        _ => answer(incoming, 404, "text/plain", b"There is nothing here; try /.\n").await,
    }
}

async fn answer(
    incoming: Incoming<TcpStream>,
    status: u16,
    content_type: &str,
    body: &[u8],
) -> Result<(), Error> {
    let headers = [("Content-Type", content_type), ("X-Content-Type-Options", "nosniff")];
    incoming.reject(&Reject { status, headers: &headers, body }).await
}

async fn echo(mut ws: Ws, mut stopped: watch::Receiver<()>) -> Result<(), Error> {
    loop {
        tokio::select! {
            message = ws.recv() => match message? {
                Some(message) => ws.feed(message)?,
                None => return Ok(()),
            },
            _ = stopped.changed() => return go_away(ws).await,
        }
    }
}

async fn chat(mut ws: Ws, room: &Room, mut stopped: watch::Receiver<()>) -> Result<(), Error> {
    let (member, mut inbox) = room.enter();
    ws.send(format!("you are {}", member.id)).await?;
    room.announce();
    loop {
        tokio::select! {
            message = ws.recv() => match message? {
                Some(Message::Text(text)) => room.say(&format!("{} says: {text}", member.id)),
                Some(Message::Binary(bytes)) => ws.send(bytes).await?,
                None => return Ok(()),
            },
            message = inbox.recv() => match message {
                Some(message) => ws.send_prepared(&message).await?,
                None => return ws.close(CloseCode::TRY_AGAIN_LATER, "you read too slowly").await,
            },
            _ = stopped.changed() => return go_away(ws).await,
        }
    }
}

async fn go_away(mut ws: Ws) -> Result<(), Error> {
    ws.close(CloseCode::GOING_AWAY, "the server is going down").await
}

/// Who is here.
#[derive(Default)]
struct Room {
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    last_id: u64,
    inboxes: BTreeMap<u64, mpsc::Sender<PreparedMessage>>,
}

/// A place in the room; leaves it when dropped, however the connection ended.
struct Member<'a> {
    id: u64,
    room: &'a Room,
}

impl Room {
    fn enter(&self) -> (Member<'_>, mpsc::Receiver<PreparedMessage>) {
        let (sender, inbox) = mpsc::channel(QUEUE);
        let mut members = self.lock();
        members.last_id += 1;
        let id = members.last_id;
        members.inboxes.insert(id, sender);
        (Member { id, room: self }, inbox)
    }

    /// Tells everyone who is here.
    fn announce(&self) {
        let ids: Vec<String> = self.lock().inboxes.keys().map(u64::to_string).collect();
        self.say(&format!("here: {}", ids.join(", ")));
    }

    /// Sends a text to everyone: encoded and compressed once, queued by reference.
    fn say(&self, text: &str) {
        let Ok(message) = PreparedMessage::with_deflate(text, &DEFLATE) else { return };
        // whoever cannot keep up loses the sender, which ends the connection
        self.lock().inboxes.retain(|_, inbox| inbox.try_send(message.clone()).is_ok());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        self.room.lock().inboxes.remove(&self.id);
        self.room.announce();
    }
}

const PAGE: &str = include_str!("chat.html");

const ICON: &str = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>\
    <path fill='#2a7' d='M2 2h12v9H7l-3 3v-3H2z'/></svg>";

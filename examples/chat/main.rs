//! A chat with rooms and a live feed, and the page for them, on one port.
//!
//! `cargo run --example chat [-- ADDR]`, then open the address in two browser windows. With TLS:
//! `cargo run --features rustls --example chat -- --tls CERTIFICATE KEY [ADDR]`.
//!
//! Several of them are one chat where they have an engine in common: start Redis, and then these
//! two, and open a page of each.
//!
//! ```text
//! cargo run --features redis --example chat -- --backplane redis://127.0.0.1 127.0.0.1:8181
//! cargo run --features redis --example chat -- --backplane redis://127.0.0.1 127.0.0.1:8182
//! ```
//!
//! The same with NATS: feature `nats`, `--backplane nats://127.0.0.1`. Rooms remember nothing then,
//! and the list of who is there is that of one server.
//!
//! | path | is |
//! |---|---|
//! | `/` | the page |
//! | `/chat/{room}`, `/chat` | a room; without a name, the lobby |
//! | `/feed` | a simulation that all who watch see at the same time |
//! | `/echo` | sends every message back |
//! | `/metrics` | figures for Prometheus |
//! | `/debug/clients` | who is there |
//!
//! In a room a newcomer is told `you are <id>`, everybody is told `here: <id>, <id>` when somebody
//! comes or goes, and every text goes to everybody in the room as `<position> <id> says: <text>`. A
//! newcomer gets the last lines, and who comes back with `?since=<position>` those behind that one.
//! A binary message goes back to its sender. The page, `chat.html`, finds all addresses beside its
//! own, so that it works below any path of a proxy and through TLS.
//!
//! Whoever reads too slowly is closed with 1013: a chat with a gap in it would be worse than one
//! that the page opens again, which goes on where it was. The feed drops messages instead
//! (`feed.rs`).
//!
//! The last two are for whoever runs it: a proxy in front should keep them from the public.
//!
//! Ctrl-C or SIGTERM closes every connection with 1001 and ends the program.

use std::error::Error;
use std::time::Duration;

use sansws::deflate::Deflate;
use sansws::proto::CloseInfo;
#[cfg(feature = "rustls")]
use sansws::server::Tls;
#[cfg(feature = "nats")]
use sansws::server::backplane::Nats;
#[cfg(feature = "redis")]
use sansws::server::backplane::Redis;
use sansws::server::{
    Accept, Client, Handler, History, Hub, Position, Received, Request, Response, Server,
    ServerError, handler_fn,
};
use sansws::{CloseCode, PreparedMessage};
use tokio::sync::mpsc;

#[path = "../cli/mod.rs"]
mod cli;
mod feed;
#[path = "../cli/stop.rs"]
mod stop;

/// The longest message. Beyond it the connection is closed with 1009.
const MAX_MESSAGE_LEN: usize = 2 * 1024 * 1024;

/// Nothing that is said here is a secret, so it may be compressed; by default without context
/// takeover, so that those who only listen cost no memory for it.
const DEFLATE: Deflate = Deflate::new();

/// What a room remembers of what was said. All rooms together are bounded by the server.
const LINES: History = History::last(200).max_age(Duration::from_secs(24 * 3600));

/// The lines that a newcomer gets.
const LAST_LINES: usize = 20;

/// How long clients may take to close when the server goes down.
const FAREWELL: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), ServerError> {
    let options = cli::Options::parse("chat", "127.0.0.1:8181");
    let scheme = if options.tls.is_some() { "wss" } else { "ws" };
    let addr = options.addr.trim_start_matches("ws://");
    let server = Server::bind(&format!("{scheme}://{addr}")).await?;
    #[cfg(feature = "rustls")]
    let server = match options.tls {
        Some((certificate, key)) => server.tls(Tls::from_pem_files(certificate, key)?),
        None => server,
    };
    let server = match &options.backplane {
        Some(url) => join_others(server, url).await.unwrap_or_else(|error| {
            eprintln!("chat: {error}");
            std::process::exit(1);
        }),
        None => server,
    };
    let chat = Chat::new(server.hub(), options.backplane.is_none());
    let feed = feed::start(server.hub());
    let server = server
        .config(Server::default_config().max_message_len(MAX_MESSAGE_LEN).deflate(DEFLATE))
        .route("/chat", chat.clone())
        .route("/chat/{room}", chat)
        .route("/feed", feed)
        .route("/echo", handler_fn().on_message(|client, message| client.send(message)))
        .metrics("/metrics")
        .http("/debug/clients", async |it| Response::text(it.hub().all().to_table()))
        .page("/", Response::html(PAGE).header("Content-Security-Policy", CONTENT_SECURITY_POLICY))
        .page("/favicon.ico", Response::new("image/svg+xml", ICON));

    let handle = server.handle();
    tokio::spawn(async move {
        if stop::until_told_to_stop().await.is_ok() {
            let _ =
                handle.shutdown(CloseCode::GOING_AWAY, "the server is going down", FAREWELL).await;
        }
    });
    cli::announce_as(scheme, server.local_addr()?);
    server.run().await
}

/// Joins the servers that have the same engine.
async fn join_others(server: Server, url: &str) -> Result<Server, Box<dyn Error>> {
    #[cfg(feature = "redis")]
    if url.starts_with("redis") || url.starts_with("unix:") {
        return Ok(server.backplane(Redis::connect(url).await?));
    }
    #[cfg(feature = "nats")]
    if url.starts_with("nats:") || url.starts_with("tls:") {
        return Ok(server.backplane(Nats::connect(url).await?));
    }
    drop(server);
    Err(format!("there is no engine for {url}").into())
}

/// The handler of all rooms.
#[derive(Clone)]
struct Chat {
    /// Whether rooms have a history, which is of one server.
    remembers: bool,
    /// Rooms that somebody has entered or left.
    changed: mpsc::UnboundedSender<String>,
}

impl Chat {
    fn new(hub: Hub, remembers: bool) -> Self {
        let (changed, rooms) = mpsc::unbounded_channel();
        tokio::spawn(announce(hub, rooms));
        Self { remembers, changed }
    }

    fn note_change(&self, client: &Client) {
        // nobody listens when the program ends
        let _ = self.changed.send(room(client).to_owned());
    }
}

impl Handler for Chat {
    async fn on_request(&self, request: &Request<'_>) -> Result<Accept, Response> {
        match request.param("room") {
            Some(name) if !is_room_name(name) => Err(Response::text(NO_ROOM_NAME).status(400)),
            _ => Ok(Accept::new()),
        }
    }

    async fn on_open(&self, client: &Client) {
        // before it can hear anything else
        let _ = client.send(format!("you are {}", client.id()));
        if self.remembers {
            let room = client.hub().topic(room(client), LINES);
            let resumed = since(client).and_then(|since| room.join_since(client, since).ok());
            if resumed.is_none() {
                // it is new here, or what it missed is lost in part; unless it has gone already
                let _ = room.join_last(client, LAST_LINES);
            }
        } else {
            let _ = client.join(room(client));
        }
        self.note_change(client);
    }

    async fn on_message(&self, client: &Client, message: Received<'_>) {
        // what cannot be sent is for somebody who goes, of which `on_close` tells
        match message {
            Received::Text(text) if !self.remembers => {
                let line = format!("- {} says: {text}", client.id()); // no position
                let _ = client.hub().room(room(client)).send(line);
            }
            Received::Text(text) => {
                let line = |position| format!("{position} {} says: {text}", client.id());
                let _ = client.hub().topic(room(client), LINES).send_with(line);
            }
            Received::Binary(_) => drop(client.send(message)),
        }
    }

    async fn on_close(&self, client: &Client, _info: &CloseInfo<'_>) {
        self.note_change(client);
    }
}

/// Tells those in a room who is there. One task does it for all rooms: lists arrive in the order in
/// which they were made, so that the last one is right, and a crowd that comes at once is told
/// once.
async fn announce(hub: Hub, mut changed: mpsc::UnboundedReceiver<String>) {
    let mut rooms = Vec::new();
    while changed.recv_many(&mut rooms, usize::MAX).await > 0 {
        rooms.sort_unstable();
        rooms.dedup();
        for room in rooms.drain(..) {
            let clients = hub.room(&room).clients();
            let ids: Vec<String> = clients.iter().map(|it| it.id().to_string()).collect();
            let list = PreparedMessage::new(format!("here: {}", ids.join(", ")));
            let Ok(list) = list else { continue }; // only a ping can be too long
            // not to the room, which may have members on other servers
            for client in &clients {
                let _ = client.send(&list);
            }
            // others have their turns between the rooms
            tokio::task::coop::consume_budget().await;
        }
    }
}

/// The room that a client asked for.
fn room(client: &Client) -> &str {
    client.info().param("room").unwrap_or("lobby")
}

/// The position of the last line that a client has, which comes back.
fn since(client: &Client) -> Option<Position> {
    client.info().query()?.strip_prefix("since=")?.parse().ok()
}

/// Nothing that cannot be seen, nothing that means something in an address (`/`, `..`), and not too
/// long for a list of rooms. The page has the same rule.
fn is_room_name(name: &str) -> bool {
    let is_allowed = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    (1..=MAX_ROOM_NAME).contains(&name.chars().count()) && name.chars().all(is_allowed)
}

/// In characters.
const MAX_ROOM_NAME: usize = 32;

const NO_ROOM_NAME: &str = "400 Bad Request: this is not the name of a room. A name has 1 to 32 \
    letters, digits, hyphens and underscores; an address has it percent-encoded, such as \
    /chat/caf%C3%A9\n";

const PAGE: &str = include_str!("chat.html");

/// What the page needs: what it brings along, WebSockets, and to ask whether the server is there.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; \
    style-src 'unsafe-inline'; img-src data:; connect-src 'self' ws: wss:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

const ICON: &str = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>\
    <path fill='#2a7' d='M2 2h12v9H7l-3 3v-3H2z'/></svg>";

//! Our servers: the tokio adapter and the event server, each without compression, with it, and with
//! it for each message alone. They run the case that is in the path: `/PEER/CASE`.

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use sansws::handshake::server::Accept;
use sansws::server::{ExternalStream, OriginPolicy, Server, ServerHandle, handler_fn};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use crate::cases::{self, Takeover};
use crate::end::{End, Incoming};
use crate::tap::{Received, Tap};
use crate::{PATIENCE, report};

pub async fn run() -> Result<(), Box<dyn Error>> {
    for takeover in [Takeover::Off, Takeover::Allowed, Takeover::Forbidden] {
        for events in [false, true] {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let (end, port) = (if events { "events" } else { "socket" }, listener.local_addr()?);
            println!("port\t{end}\t{takeover:?}\t{}", port.port());
            tokio::spawn(async move {
                let events = events.then(|| events_server(takeover));
                while let Ok((stream, peer)) = listener.accept().await {
                    sansws::tokio::tune(&stream).expect("a socket");
                    match &events {
                        Some(server) => server.accept(stream, peer),
                        None => drop(tokio::spawn(socket(stream, takeover))),
                    }
                }
            });
        }
    }
    println!("ready");
    std::future::pending().await
}

async fn socket(stream: TcpStream, takeover: Takeover) {
    let (stream, received) = Tap::new(stream);
    let incoming = sansws::tokio::read_request(stream, &takeover.config()).await;
    let incoming = match incoming {
        Ok(incoming) => incoming,
        Err(error) => return report("socket", "?", "?", Err(format!("the request: {error}"))),
    };
    let path = incoming.request().path().to_owned();
    let result = async {
        let opened = incoming.accept(&Accept::default()).await;
        let ws = opened.map_err(|error| format!("the handshake: {error}"))?;
        run_case("socket", &path, End::socket(ws, received)).await;
        Ok::<(), String>(())
    };
    if let Err(error) = result.await {
        report("socket", &path, "?", Err(error));
    }
}

async fn run_case(kind: &str, path: &str, mut end: End) {
    let (peer, case) = path.trim_start_matches('/').split_once('/').unwrap_or(("?", path));
    let result = timeout(PATIENCE, cases::run(case, &mut end)).await;
    report(kind, peer, case, result.unwrap_or_else(|_| Err("nothing came".into())));
}

/// An event server whose streams are tapped, and where what its handler gets goes.
struct EventsServer {
    handle: ServerHandle,
    taps: Arc<Mutex<HashMap<SocketAddr, Received>>>,
}

fn events_server(takeover: Takeover) -> EventsServer {
    let taps: Arc<Mutex<HashMap<SocketAddr, Received>>> = Arc::default();
    let ends: Arc<Mutex<HashMap<u64, UnboundedSender<Incoming>>>> = Arc::default();
    let pass = {
        let ends = ends.clone();
        move |id: u64, incoming: Incoming| {
            if let Some(end) = ends.lock().expect("no panic").get(&id) {
                let _ = end.send(incoming); // its case is over
            }
        }
    };
    let handler = handler_fn()
        .on_open({
            let (ends, taps) = (ends.clone(), Arc::clone(&taps));
            move |client| {
                let (sender, incoming) = unbounded_channel();
                ends.lock().expect("no panic").insert(client.id(), sender);
                let peer = client.info().peer_addr();
                let received = taps.lock().expect("no panic").remove(&peer);
                let end = End::events(client.clone(), incoming, received.unwrap_or_default());
                let path = client.info().path().to_owned();
                tokio::spawn(async move { run_case("events", &path, end).await });
            }
        })
        .on_message({
            let pass = pass.clone();
            move |client, message| pass(client.id(), Incoming::Message(message.into_message()))
        })
        .on_pong({
            let pass = pass.clone();
            move |client, payload| pass(client.id(), Incoming::Pong(payload.to_vec()))
        })
        .on_close(move |client, info| {
            pass(client.id(), Incoming::Closed(info.clone().into_owned()));
            ends.lock().expect("no panic").remove(&client.id());
        });
    let server = Server::detached()
        .route("/{*path}", handler)
        .origins(OriginPolicy::Any)
        .config(takeover.config());
    let handle = server.handle();
    tokio::spawn(server.run());
    EventsServer { handle, taps }
}

impl EventsServer {
    fn accept(&self, stream: TcpStream, peer: SocketAddr) {
        let (stream, received) = Tap::new(stream);
        self.taps.lock().expect("no panic").insert(peer, received);
        let accepted = self.handle.accept(ExternalStream::new(stream, peer));
        accepted.expect("the server runs");
    }
}
